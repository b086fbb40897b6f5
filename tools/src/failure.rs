//! Why a command ends without having done what it was asked, and the exit code that says so.

use diatreme::{CallError, OpenError};
use std::io;

/// Exit codes: 0 done, 1 it did not work, 2 it could not have worked as it was called.
const FAILED: u8 = 1;
pub(crate) const WRONG_USAGE: u8 = 2;

/// Why a command ends early. The text names what, where, and what to do, in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called wrongly: an impossible setting, an input that is not there.
    Usage(String),
    /// It did not work: damage was found, a record was refused, the system said no.
    Failed(String),
    /// Whoever read its output has left. Nobody is to be told, and nothing is wrong.
    ClosedPipe,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure::Usage(text.into())
    }

    pub(crate) fn failed(text: impl Into<String>) -> Failure {
        Failure::Failed(text.into())
    }

    /// An output that could not be written.
    pub(crate) fn output(to: &str, error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::Failed(format!("cannot write {to}: {error}")),
        }
    }

    /// The same, with where it happened before it.
    pub(crate) fn context(self, place: &str) -> Failure {
        match self {
            Failure::Usage(text) => Failure::Usage(format!("{place}: {text}")),
            Failure::Failed(text) => Failure::Failed(format!("{place}: {text}")),
            Failure::ClosedPipe => Failure::ClosedPipe,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => WRONG_USAGE,
            Failure::Failed(_) => FAILED,
            Failure::ClosedPipe => 0,
        }
    }

    /// What to tell the user, if anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Failure::Usage(text) | Failure::Failed(text) => Some(text),
            Failure::ClosedPipe => None,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        match error {
            OpenError::Config(_) | OpenError::Pin { .. } => Failure::Usage(error.to_string()),
            _ => Failure::Failed(error.to_string()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::Failed(error.to_string())
    }
}

impl From<log::LogError> for Failure {
    fn from(error: log::LogError) -> Failure {
        Failure::Failed(error.to_string())
    }
}
