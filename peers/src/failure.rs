//! Why a comparison ends without a result.

use std::fmt::Display;

/// Why the program ends early. The text names what, where, and what to do, in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called wrongly: exit code 2.
    Usage(String),
    /// It did not work: exit code 1.
    Failed(String),
}

impl Failure {
    /// For errors of an engine or of the system: what was being done comes before them.
    pub(crate) fn doing<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure::Failed(format!("{what}: {error}"))
    }

    /// The same, with where it happened before it.
    pub(crate) fn context(self, place: &str) -> Failure {
        match self {
            Failure::Usage(text) => Failure::Usage(format!("{place}: {text}")),
            Failure::Failed(text) => Failure::Failed(format!("{place}: {text}")),
        }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Failure::Usage(text) | Failure::Failed(text) => text,
        }
    }
}
