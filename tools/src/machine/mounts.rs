//! File systems: `/proc/self/mountinfo`.

use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Major and minor number of its device, as `/sys/dev/block` writes it; major 0 for one that has none of its own.
    pub(crate) device_number: String,
    pub(crate) point: PathBuf,
    pub(crate) file_system: String,
    /// What is mounted, such as `/dev/vda1`.
    pub(crate) source: String,
    /// Of the mount and of the file system, without the directories of an overlay, which are long and of no use here.
    pub(crate) options: Vec<String>,
}

impl Mount {
    /// One line: `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard`.
    fn parse(line: &str) -> Option<Mount> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let mut file_system = file_system.split(' ');
        let &[_, _, device_number, _, point, mount_options, ..] = mount.as_slice() else { return None };
        let (kind, source) = (file_system.next()?, file_system.next()?);
        let all = mount_options.split(',').chain(file_system.next().unwrap_or_default().split(','));
        let mut options: Vec<String> = Vec::new();
        for option in all.filter(|option| !option.is_empty() && !option.contains("dir=") && !option.contains("dir+=")) {
            if !options.iter().any(|known| known == option) {
                options.push(option.to_owned());
            }
        }
        Some(Mount {
            device_number: device_number.into(),
            point: PathBuf::from(unescaped(point)),
            file_system: kind.into(),
            source: unescaped(source),
            options,
        })
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|has| has == option)
    }
}

/// The file system that holds a path, which is absolute and without links. Of two on the same point the later one hides
/// the other.
pub(crate) fn holding(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(Mount::parse).filter(|mount| path.starts_with(&mount.point));
    mounts.max_by_key(|mount| mount.point.components().count())
}

/// Space, tab, line feed and backslash stand as three octal digits.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let escaped = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=65534
28 27 259:3 / /srv rw,noatime shared:12 master:1 - xfs /dev/nvme0n1p3 rw,attr2,inode64,noquota
29 28 0:44 / /srv/a\\040b rw - tmpfs tmpfs rw,size=4k
30 28 259:4 / /srv/a\\040b rw - ext4 /dev/nvme0n1p4 rw
";

    fn of(path: &str) -> Mount {
        holding(MOUNTS, Path::new(path)).unwrap()
    }

    #[test]
    fn the_nearest_mount_holds_a_path() {
        assert_eq!(of("/home/x").source, "/dev/vda");
        assert_eq!(of("/srv/data").device_number, "259:3");
        assert_eq!(of("/srvdata").source, "/dev/vda", "a name that only begins alike");
        assert_eq!(of("/srv/a b/c").source, "/dev/nvme0n1p4", "the later mount hides the earlier");
        assert_eq!(of("/srv").options, ["rw", "noatime", "attr2", "inode64", "noquota"]);
        assert!(of("/").has("discard") && !of("/").has("disc"));
    }

    #[test]
    fn an_overlay_is_told_without_its_directories() {
        let line = "612 540 0:66 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d,xino=off";
        let mount = holding(line, Path::new("/data")).unwrap();
        assert_eq!((mount.file_system.as_str(), mount.options.join(",")), ("overlay", "rw,relatime,xino=off".into()));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        for text in ["", " - ", "1 2 3 - x", "a b c d e f - ext4", "27 1 254:0 / / rw", "\\ \\0 \\999 - - -"] {
            assert_eq!(holding(text, Path::new("/")), None, "{text:?}");
        }
        assert_eq!(unescaped("a\\040b\\134\\09x\\"), "a b\\\\09x\\");
        assert_eq!(unescaped("\\é00"), "\\é00", "cut inside a character");
    }
}
