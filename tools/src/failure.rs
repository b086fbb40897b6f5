//! Why a command ends without having done what it was asked, and the exit code that says so.

use diatreme::{CallError, OpenError};
use std::io;
use std::path::Path;

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
    /// Whoever read its output has left, and there is no more to do. Nobody is to be told, and nothing is wrong.
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

    /// For errors that name places below the data directory only: puts the directory before them.
    pub(crate) fn at<E: Into<Failure>>(directory: &Path) -> impl Fn(E) -> Failure {
        move |error| error.into().context(&directory.display().to_string())
    }

    /// For errors of an engine at its opening and closing, of which some name the directory themselves, and settings
    /// are wrong in any.
    pub(crate) fn engine(directory: &Path) -> impl Fn(OpenError) -> Failure {
        move |error| match error {
            OpenError::Config(_)
            | OpenError::Pin { .. }
            | OpenError::Directory { .. }
            | OpenError::Locked { .. }
            | OpenError::Backend(_) => error.into(),
            _ => Failure::at(directory)(error),
        }
    }

    /// Of several endings of one command, what there is to tell. That nobody reads hides none of the others.
    pub(crate) fn join(endings: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
        let mut all = Ok(());
        for ending in endings {
            all = match (all, ending) {
                (all, Ok(())) => all,
                (Ok(()) | Err(Failure::ClosedPipe), ending) => ending,
                (all, Err(Failure::ClosedPipe)) => all,
                (Err(first), Err(next)) => Err(first.and(&next)),
            };
        }
        all
    }

    /// The first one decides on the exit code.
    fn and(self, next: &Failure) -> Failure {
        let more = next.message().map_or_else(String::new, |text| format!("; and {text}"));
        match self {
            Failure::Usage(text) => Failure::Usage(text + &more),
            Failure::Failed(text) => Failure::Failed(text + &more),
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

impl From<notary::Error> for Failure {
    fn from(error: notary::Error) -> Failure {
        Failure::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_a_failure() {
        let damaged = || Err(Failure::failed("damaged"));
        let closed = || Err(Failure::ClosedPipe);
        let ending = |endings: Vec<Result<(), Failure>>| {
            let ended = Failure::join(endings);
            ended.map_err(|failure| (failure.code(), failure.message().map(str::to_owned)))
        };
        let said = |text: &str| Err((FAILED, Some(text.to_owned())));
        assert_eq!(ending(vec![Ok(()), Ok(())]), Ok(()));
        assert_eq!(ending(vec![damaged(), closed(), Ok(())]), said("damaged"));
        assert_eq!(ending(vec![closed(), Ok(()), damaged()]), said("damaged"));
        assert_eq!(
            ending(vec![damaged(), Err(Failure::failed("the disk is full"))]),
            said("damaged; and the disk is full")
        );
        assert_eq!(ending(vec![Ok(()), closed()]), Err((0, None)));
    }
}
