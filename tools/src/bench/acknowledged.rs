//! Tells whoever reads on how far each stream's records are acknowledged: for tests that kill the process or pull the plug, and then
//! look whether all that was told is there.
//!
//! What must stay true: it never tells more than was acknowledged. It may lag behind. Nothing is held back in memory, and the
//! offset is the last thing in its line, so that also a line which was cut tells less and not more.

use super::args::{stream_name, tenant_name};
use super::load::BenchStream;
use crate::failure::Failure;
use crate::report::Report;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The file, which all clients share.
#[derive(Debug)]
pub(crate) struct Acknowledged(Mutex<Report>);

impl Acknowledged {
    pub(crate) fn open(path: &Path) -> Result<Arc<Acknowledged>, Failure> {
        Ok(Arc::new(Acknowledged(Mutex::new(Report::open_at(path)?))))
    }

    fn append(&self, lines: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append_now(lines)
    }
}

/// What one client tells.
pub(crate) struct Teller<'a> {
    file: &'a Acknowledged,
    /// How the lines of each of its streams begin, and the offset that was told last.
    streams: Vec<(String, Option<u64>)>,
    /// To use again.
    lines: String,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(file: &'a Acknowledged, streams: &[&BenchStream]) -> Teller<'a> {
        let name = |stream: &&BenchStream| format!("{} {}", tenant_name(stream.tenant), stream_name(stream.number));
        Teller { file, streams: streams.iter().map(|stream| (name(stream), None)).collect(), lines: String::new() }
    }

    /// Tells of the streams whose head has risen; of all, the first time.
    pub(crate) fn tell(&mut self, heads: &[u64]) -> io::Result<()> {
        self.lines.clear();
        for ((name, told), head) in self.streams.iter_mut().zip(heads) {
            if *told != Some(*head) {
                *told = Some(*head);
                let _memory_takes_it = writeln!(self.lines, "{name} {head}");
            }
        }
        if self.lines.is_empty() { Ok(()) } else { self.file.append(&self.lines) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        let file = Acknowledged::open(&path).unwrap();
        let streams = ["bench-0 stream-0", "bench-1 stream-0"].map(|name| (name.to_owned(), None));
        let mut teller = Teller { file: &file, streams: streams.into(), lines: String::new() };
        let mut told = |heads: [u64; 2]| {
            teller.tell(&heads).unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        assert_eq!(told([0, 3]), "bench-0 stream-0 0\nbench-1 stream-0 3\n");
        assert_eq!(told([0, 3]), "bench-0 stream-0 0\nbench-1 stream-0 3\n");
        assert_eq!(told([7, 3]), "bench-0 stream-0 0\nbench-1 stream-0 3\nbench-0 stream-0 7\n");
    }
}
