//! Lines of a file or of standard input, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How messages name an input.
pub(crate) fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

/// What the next line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without the newline that ended it. A last line may have none.
    Whole,
    /// A line of more bytes than are allowed; it was read to its end to tell how many.
    TooLong {
        /// Its bytes, without the newline.
        len: u64,
    },
    /// There are no more.
    End,
}

/// Cuts an input into lines. Only `\n` ends a line; all other bytes are kept as they are.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line_bytes_max: usize,
}

impl Lines<Box<dyn Read>> {
    /// Opens a file, or standard input for `-`. Gives its length too, where that is known.
    pub(crate) fn open(path: &Path, line_bytes_max: usize) -> io::Result<(Self, Option<u64>)> {
        if is_stdin(path) {
            return Ok((Lines::new(Box::new(io::stdin()), line_bytes_max), None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let len = metadata.is_file().then_some(metadata.len());
        Ok((Lines::new(Box::new(file), line_bytes_max), len))
    }
}

impl<R: Read> Lines<R> {
    fn new(source: R, line_bytes_max: usize) -> Lines<R> {
        Lines { reader: BufReader::with_capacity(BUFFER_BYTES, source), line_bytes_max }
    }

    /// Whether the next line may have to be waited for.
    pub(crate) fn may_block(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// Puts the next line into `line`.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let limit = self.line_bytes_max as u64 + 1;
        if self.reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
            return Ok(Line::End);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > self.line_bytes_max {
            return Ok(Line::TooLong { len: line.len() as u64 + self.skip_line()? });
        }
        Ok(Line::Whole)
    }

    /// Reads to the end of a line and counts its bytes.
    fn skip_line(&mut self) -> io::Result<u64> {
        let mut len = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let used = end.unwrap_or(buffer.len());
            len += used as u64;
            let ended = end.is_some() || buffer.is_empty();
            self.reader.consume(used + usize::from(end.is_some()));
            if ended {
                return Ok(len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], max: usize) -> Vec<Result<Vec<u8>, Line>> {
        let mut lines = Lines::new(input, max);
        let (mut all, mut line) = (Vec::new(), Vec::new());
        loop {
            match lines.next(&mut line).unwrap() {
                Line::End => return all,
                Line::Whole => all.push(Ok(line.clone())),
                other => all.push(Err(other)),
            }
        }
    }

    #[test]
    fn only_a_newline_ends_a_line() {
        let whole = |parts: &[&[u8]]| parts.iter().map(|part| Ok(part.to_vec())).collect::<Vec<_>>();
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"\n", 9), whole(&[b""]));
        assert_eq!(lines(b"a\n\nb\r\n\xff\0", 9), whole(&[b"a", b"", b"b\r", b"\xff\0"]));
        assert_eq!(lines(b"a\nb", 9), lines(b"a\nb\n", 9), "the last newline may be left out");
    }

    #[test]
    fn a_line_that_is_too_long_is_measured() {
        assert_eq!(
            lines(b"123\n1234\nab\n", 3),
            [Ok(b"123".to_vec()), Err(Line::TooLong { len: 4 }), Ok(b"ab".to_vec())]
        );
        assert_eq!(lines(b"12345", 3), [Err(Line::TooLong { len: 5 })]);
        let long = vec![b'x'; 3 * BUFFER_BYTES];
        assert_eq!(lines(&long, 3), [Err(Line::TooLong { len: long.len() as u64 })]);
    }
}
