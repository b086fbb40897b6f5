//! Where a master key comes from.
//!
//! What must stay true: a key is never part of an error, of a [`MasterSource`]'s text, or of its `Debug`; and whatever
//! buffer held it is wiped. What the key is read into is as long as it needs from the start, since a buffer that grows
//! leaves copies behind.
//!
//! Not here: a shell. A command is a program and its arguments, parted by blanks; what needs quotes goes into a script.

use crate::files::{Disk, Files, ReadError, parent};
use crate::limits::MASTER_TEXT_BYTES_MAX;
use crypto::secret::{MasterKey, SECRET_BYTES};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;
use zeroize::Zeroizing;

/// Hexadecimal digits of a key.
const DIGITS: usize = 2 * SECRET_BYTES;
/// Where systemd says that it put a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a master key comes from: `file:PATH`, `env:NAME`, `credential:NAME` or `command:PROGRAM ARGS…`.
#[derive(Clone, PartialEq, Eq)]
pub enum MasterSource {
    /// A file that only its owner may read: 32 bytes, or 64 hexadecimal digits. It serves one key store: erasure
    /// replaces it.
    File(PathBuf),
    /// An environment variable: 64 hexadecimal digits. Other processes of the user can read it.
    Env(String),
    /// A credential of a systemd service (`LoadCredential=`): 32 bytes, or 64 hexadecimal digits.
    Credential(String),
    /// A program, and its arguments, that prints 64 hexadecimal digits.
    Command(Vec<String>),
}

impl MasterSource {
    /// Gets the key.
    ///
    /// # Errors
    /// If it cannot be had, or is none.
    pub fn read(&self) -> Result<MasterKey, SourceError> {
        self.read_with(&Disk)
    }

    pub(crate) fn read_with(&self, files: &dyn Files) -> Result<MasterKey, SourceError> {
        let read = match self {
            MasterSource::File(path) => read_file(files, path, Guard::Mode),
            MasterSource::Env(name) => read_env(name),
            MasterSource::Credential(name) => read_credential(files, name),
            MasterSource::Command(words) => read_command(words),
        };
        read.map_err(|fault| SourceError { source: self.clone(), fault })
    }
}

/// Arguments are left out: some would be secrets.
impl fmt::Display for MasterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterSource::File(path) => write!(f, "file:{}", path.display()),
            MasterSource::Env(name) => write!(f, "env:{name}"),
            MasterSource::Credential(name) => write!(f, "credential:{name}"),
            MasterSource::Command(words) => {
                let more = if words.len() > 1 { " …" } else { "" };
                write!(f, "command:{}{more}", words.first().map_or("", String::as_str))
            }
        }
    }
}

impl fmt::Debug for MasterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterSource({self})")
    }
}

impl FromStr for MasterSource {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<MasterSource, NoSource> {
        let (kind, rest) = text.split_once(':').ok_or(NoSource::Kind)?;
        if !matches!(kind, "file" | "env" | "credential" | "command") {
            return Err(NoSource::Kind);
        }
        if is_digits(rest.as_bytes()) {
            return Err(NoSource::IsKey);
        }
        let name_is = |fits: bool, what| if fits { Ok(rest.to_owned()) } else { Err(NoSource::Name(what)) };
        match kind {
            "file" => name_is(!rest.is_empty(), "file: wants a path").map(|path| MasterSource::File(path.into())),
            "env" => {
                let fits = !rest.is_empty() && !rest.contains(['=', '\0']);
                name_is(fits, "env: wants the name of a variable").map(MasterSource::Env)
            }
            "credential" => {
                let fits = !matches!(rest, "" | "." | "..") && !rest.contains(['/', '\0']);
                name_is(fits, "credential: wants a name without slashes").map(MasterSource::Credential)
            }
            _ => {
                let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() {
                    Err(NoSource::Name("command: wants a program"))
                } else {
                    Ok(MasterSource::Command(words))
                }
            }
        }
    }
}

/// Why a text names no source. It does not repeat the text, which may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSource {
    /// It begins with none of the kinds.
    Kind,
    /// Where a name should be, there are the digits of a key.
    IsKey,
    /// The name cannot be; the text says what is wanted.
    Name(&'static str),
}

impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSource::Kind => f.write_str(
                "a master key's source is file:PATH, env:NAME, credential:NAME or command:PROGRAM ARGS; this begins with \
                 none of these",
            ),
            NoSource::IsKey => f.write_str(
                "this is a key, where the name of its place is wanted; whoever lists processes sees it now: do not use it \
                 again",
            ),
            NoSource::Name(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NoSource {}

/// Why a master key could not be had.
#[derive(Debug)]
pub struct SourceError {
    /// Where it was looked for.
    pub source: MasterSource,
    /// What was wrong.
    pub fault: SourceFault,
}

/// What was wrong with a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceFault {
    /// The system said no.
    Unreadable {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// It is a directory, or a device.
    NotAFile,
    /// Others than its owner may read or change the file.
    Exposed {
        /// Who may do what.
        mode: u32,
    },
    /// It has another length than a key.
    Length {
        /// In bytes; more than are ever read count as one more.
        found: u64,
    },
    /// It has the length of 64 digits, and some are none.
    NotHex,
    /// It has 32 digits: half a key.
    HalfKey,
    /// All bytes are zero: the key was destroyed.
    Zero,
    /// There is no such variable.
    NotSet,
    /// There are no credentials: it is not a systemd service.
    NoCredentials,
    /// The program failed.
    Failed(ExitStatus),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceError { source, fault } = self;
        write!(f, "master key from {source}: ")?;
        match fault {
            SourceFault::Unreadable { doing, error } => write!(f, "cannot {doing} it: {error}"),
            SourceFault::NotAFile => f.write_str("it is not a file"),
            SourceFault::Exposed { mode } => {
                write!(f, "mode {mode:04o} lets others than its owner at it; run `chmod 600` on it")
            }
            SourceFault::Length { found } => {
                write!(f, "it has {found} bytes; a master key is {}", self.wanted())
            }
            SourceFault::NotHex => {
                write!(f, "some of it are not hexadecimal digits; a master key is {}", self.wanted())
            }
            SourceFault::HalfKey => {
                write!(f, "32 hexadecimal digits are half a key; a master key is {}", self.wanted())
            }
            SourceFault::Zero => f.write_str("it is all zeros: the key was destroyed; name the new one"),
            SourceFault::NotSet => {
                f.write_str("there is no such environment variable; set it to 64 hexadecimal digits")
            }
            SourceFault::NoCredentials => write!(
                f,
                "${CREDENTIALS} is not set; start as a systemd service with LoadCredential=, or name another source"
            ),
            SourceFault::Failed(status) => write!(f, "the program ended with {status}; try it by hand"),
        }
    }
}

impl SourceError {
    fn wanted(&self) -> &'static str {
        match self.source {
            MasterSource::File(_) | MasterSource::Credential(_) => "32 bytes, or 64 hexadecimal digits",
            MasterSource::Env(_) | MasterSource::Command(_) => "64 hexadecimal digits",
        }
    }

    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(&self.fault, SourceFault::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            SourceFault::Unreadable { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What keeps others from a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Its mode, which is checked.
    Mode,
    /// The directory around it. (The mode of a credential shows the mask of an access list as the group's rights.)
    Directory,
}

fn read_file(files: &dyn Files, path: &Path, guard: Guard) -> Result<MasterKey, SourceFault> {
    let found = files.read(path, MASTER_TEXT_BYTES_MAX).map_err(|error| match error {
        ReadError::NotAFile => SourceFault::NotAFile,
        ReadError::TooLong(found) => SourceFault::Length { found },
        ReadError::Io(error) => SourceFault::Unreadable { doing: "read", error },
    })?;
    if guard == Guard::Mode && found.mode & 0o077 != 0 {
        return Err(SourceFault::Exposed { mode: found.mode });
    }
    parse(&found.bytes, true)
}

fn read_env(name: &str) -> Result<MasterKey, SourceFault> {
    let value = std::env::var_os(name).map(OsString::into_encoded_bytes).ok_or(SourceFault::NotSet)?;
    parse(&Zeroizing::new(value), false)
}

fn read_credential(files: &dyn Files, name: &str) -> Result<MasterKey, SourceFault> {
    let directory = std::env::var_os(CREDENTIALS).ok_or(SourceFault::NoCredentials)?;
    read_file(files, &Path::new(&directory).join(name), Guard::Directory)
}

/// What the program says beside the key goes where ours goes: to standard error, and into no message.
fn read_command(words: &[String]) -> Result<MasterKey, SourceFault> {
    let (program, arguments) = words.split_first().ok_or_else(|| SourceFault::Unreadable {
        doing: "start",
        error: io::Error::new(io::ErrorKind::InvalidInput, "no program is named"),
    })?;
    let unreadable = |doing| move |error| SourceFault::Unreadable { doing, error };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(unreadable("start"))?;
    let mut text = Zeroizing::new([0; MASTER_TEXT_BYTES_MAX + 1]);
    let read = child.stdout.take().map_or(Ok(0), |mut pipe| fill(&mut pipe, &mut text[..]));
    let too_long = matches!(read, Ok(length) if length > MASTER_TEXT_BYTES_MAX);
    if too_long {
        // It may print for ever, and not mind that nobody reads.
        let _it_may_have_ended = child.kill();
    }
    let status = child.wait().map_err(unreadable("wait for"))?;
    let length = read.map_err(unreadable("read from"))?;
    if too_long {
        return Err(SourceFault::Length { found: length as u64 });
    }
    if !status.success() {
        return Err(SourceFault::Failed(status));
    }
    parse(&text[..length], false)
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// A key from what a source gave.
fn parse(given: &[u8], raw: bool) -> Result<MasterKey, SourceFault> {
    let text = given.strip_suffix(b"\n").unwrap_or(given);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    // An erasure leaves as many as there were.
    if !given.is_empty() && given.iter().all(|&byte| byte == 0) {
        return Err(SourceFault::Zero);
    }
    let mut key = Zeroizing::new([0; SECRET_BYTES]);
    match (text.len(), given.len()) {
        (DIGITS, _) => {
            for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
                *byte = digit(pair[0])? << 4 | digit(pair[1])?;
            }
        }
        (SECRET_BYTES, _) if is_digits_of(text, SECRET_BYTES) => return Err(SourceFault::HalfKey),
        (_, SECRET_BYTES) if raw => key.copy_from_slice(given),
        (_, length) => return Err(SourceFault::Length { found: length as u64 }),
    }
    if key.iter().all(|&byte| byte == 0) {
        return Err(SourceFault::Zero);
    }
    Ok(MasterKey::from_bytes(&mut key))
}

fn digit(character: u8) -> Result<u8, SourceFault> {
    let value = char::from(character).to_digit(16);
    value.and_then(|value| u8::try_from(value).ok()).ok_or(SourceFault::NotHex)
}

fn is_digits(text: &[u8]) -> bool {
    is_digits_of(text, DIGITS)
}

fn is_digits_of(text: &[u8], digits: usize) -> bool {
    text.len() == digits && text.iter().all(u8::is_ascii_hexdigit)
}

/// Makes a file with a new master key, readable by its owner only: 64 hexadecimal digits and the end of the line. It is
/// on the disk when this returns.
///
/// # Errors
/// If there is a file already: a key is never overwritten. If there is no randomness, or the file cannot be made.
pub fn generate_master_file(path: &Path) -> io::Result<()> {
    generate_with(&Disk, path).map(drop)
}

/// The same, and gives the key.
pub(crate) fn generate_with(files: &dyn Files, path: &Path) -> io::Result<MasterKey> {
    let key = MasterKey::generate().map_err(|error| io::Error::other(error.to_string()))?;
    let mut text = Zeroizing::new([b'\n'; DIGITS + 1]);
    for (pair, byte) in text.chunks_exact_mut(2).zip(key.expose()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    files.create(path, &text[..])?;
    let flushed = files.flush(path).and_then(|()| files.flush_directory(parent(path)));
    if let Err(error) = flushed {
        // Half a key is no key, and would be in the way of the next attempt.
        let _the_first_error_is_told = files.remove(path);
        return Err(error);
    }
    Ok(key)
}
