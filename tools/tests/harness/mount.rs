//! File systems that are small, or fail: each in a mount namespace of its own, with which it goes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Does what it is told, a line at a time, and answers each with a line: empty, or what went wrong.
const HOLDER: &str = r#"while read -r line; do said=$(eval "$line" 2>&1) && echo || echo "failed:" $said; done"#;

/// A file system of which only this process and what it starts know.
pub struct Mount {
    holder: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it is mounted, in the namespace of the holder.
    at: PathBuf,
    /// What brings it back after [`Mount::again`] took it away.
    mount: String,
    in_user_namespace: bool,
}

impl Mount {
    /// One in memory. An ordinary user may have it where user namespaces are allowed.
    pub fn memory(at: &Path, mebibytes: u32) -> Result<Mount, String> {
        let mount = format!("mount -t tmpfs -o size={mebibytes}m none {}", at.display());
        Mount::new(&["--mount"], at, &mount).or_else(|as_root| {
            let mounted = Mount::new(&["--user", "--map-root-user", "--mount"], at, &mount);
            mounted.map_err(|as_user| format!("as root: {as_root}; in a user namespace: {as_user}"))
        })
    }

    /// One on a device whose medium is a file. Only root may have it.
    pub fn device(at: &Path, image: &Path, mebibytes: u32) -> Result<Mount, String> {
        std::fs::File::create(image).and_then(|file| file.set_len(u64::from(mebibytes) << 20)).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image).stderr(Stdio::null()).status();
        if !made.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("mkfs.ext4: {made:?}"));
        }
        Mount::new(&["--mount"], at, &format!("mount -t ext4 -o loop {} {}", image.display(), at.display()))
    }

    fn new(namespaces: &[&str], at: &Path, mount: &str) -> Result<Mount, String> {
        std::fs::create_dir_all(at).unwrap();
        let holder = Command::new("unshare")
            .args(namespaces)
            .args(["sh", "-c", HOLDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut holder = holder.map_err(|error| format!("unshare: {error}"))?;
        let (lines, answers) = (holder.stdin.take().unwrap(), BufReader::new(holder.stdout.take().unwrap()));
        let in_user_namespace = namespaces.contains(&"--user");
        let mut mounted = Mount { holder, lines, answers, at: at.into(), mount: mount.into(), in_user_namespace };
        mounted.run(mount).map(|()| mounted)
    }

    /// Has a line of shell done beside the file system.
    pub fn run(&mut self, line: &str) -> Result<(), String> {
        let mut answer = String::new();
        let asked = writeln!(self.lines, "{line}").and_then(|()| self.answers.read_line(&mut answer));
        match (asked, answer.trim_end()) {
            (Err(_) | Ok(0), _) => Err("unshare was not allowed a namespace, or it is gone".into()),
            (Ok(_), "") => Ok(()),
            (Ok(_), failed) => Err(failed.into()),
        }
    }

    /// A path in it, for what runs beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// What a command is to be preceded by to run beside it. (A path through /proc would not do: the engine resolves it.)
    pub fn enter(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        let mut enter = vec!["nsenter".to_owned(), "--target".into(), target, "--mount".into()];
        if self.in_user_namespace {
            enter.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        enter
    }

    /// The device stops: from now on it answers with an error, and what the file system has not written is lost.
    pub fn stop(&mut self) -> Result<(), String> {
        // EXT4_IOC_SHUTDOWN, without flushing the journal.
        let ask = r#"$how = pack("L", 2); open(FS, "<", $ARGV[0]) && ioctl(FS, 0x8004587d, $how) or die "$!""#;
        self.run(&format!("perl -e '{ask}' {}", self.at.display()))
    }

    /// As after a restart of the machine.
    pub fn again(&mut self) {
        // A ring of a process that is gone may keep files open for a moment.
        let at = self.at.display();
        self.run(&format!("for i in $(seq 1000); do umount {at} && break || sleep 0.01; done")).unwrap();
        let mount = self.mount.clone();
        self.run(&mount).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It may be gone already; then so is the file system.
        let _gone = self.holder.kill();
        let _waited = self.holder.wait();
    }
}

/// What the host offers, if it does. A host that must offer all says so, lest nobody sees that a test tests nothing.
pub fn or_skip<T>(what: &str, offered: Result<T, String>) -> Option<T> {
    match offered {
        Ok(offered) => Some(offered),
        Err(why) if std::env::var_os("DIATREME_FAULTS_REQUIRED").is_some() => panic!("{what}: {why}"),
        Err(why) => {
            println!("skipped: {what}: {why}");
            None
        }
    }
}
