//! Standard output and standard error. A reader that leaves early is nobody's failure: what a command found, and the
//! exit code that says so, do not depend on whether anybody reads it.

use crate::failure::Failure;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, StdoutLock, Write};

/// Prints what a command found. Where nobody reads any more, that is the end of the printing and nothing else.
pub(crate) fn print(write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::output("standard output", &error)),
        _ => Ok(()),
    }
}

/// Tells a remark beside the work.
pub(crate) fn remark(text: &str) {
    tell(&format!("diatreme: {text}\n"));
}

/// Tells what a long command does now, where somebody looks on.
pub(crate) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        remark(text);
    }
}

/// Writes to standard error. If that is closed too, the exit code has to say it all.
pub(crate) fn tell(text: &str) {
    let _nobody_listens = io::stderr().write_all(text.as_bytes());
}
