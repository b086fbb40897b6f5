//! Writes the seeds of all targets, out of logs that the log itself has written: `seeds DIRECTORY`, below which each target
//! has a folder of its own.

use diatreme_fuzz::samples::{self, Sample, segment_name};
use log::format::footer::Trailer;
use log::format::frame::FrameHeader;
use log::format::manifest::{COPIES, Identity, Manifest};
use log::format::{BLOCK_BYTES, crc};
use std::error::Error;
use std::path::{Path, PathBuf};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?);
    for (number, sample) in samples::all().iter().enumerate() {
        segments(&root, sample)?;
        manifests(&root, sample)?;
        changes(&root, sample.name, number as u8)?;
    }
    Ok(())
}

/// Files that are equal are written once: the name is the content's checksum.
fn put(root: &Path, target: &str, bytes: &[u8]) -> Done {
    let folder = root.join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{:08x}", crc(bytes))), bytes)?;
    Ok(())
}

/// Every segment; and, for the targets that take parts of one, its frames, and its footer with the trailer.
fn segments(root: &Path, sample: &Sample) -> Done {
    for number in 1..=2 {
        let file = sample.disk.0.get(&segment_name(number)).ok_or("a sample has two segments")?;
        let data = &file.data;
        put(root, "segment", data)?;
        let mut at = BLOCK_BYTES;
        while let Ok(header) = FrameHeader::decode(&data[at..]) {
            let end = at + header.length as usize;
            put(root, "frame", &data[at..end])?;
            at = end;
        }
        if let Ok(trailer) = Trailer::decode(&data[data.len() - BLOCK_BYTES..]) {
            put(root, "footer", &data[trailer.footer as usize..])?;
        }
    }
    Ok(())
}

/// The sample's own, and one with tenants that were placed by hand, in a directory that knows which it is. The two seeds
/// without an identity are of the first builds, and no program writes them any more.
fn manifests(root: &Path, sample: &Sample) -> Done {
    let file = sample.disk.0.get(COPIES[0]).ok_or("a sample has a manifest")?;
    put(root, "manifest", &file.data)?;
    let manifest = Manifest::decode(&file.data).map_err(|fault| fault.to_string())?;
    let identity = Identity { device: 66_306, inode: 1 << 40 };
    let placed = Manifest { overrides: vec![(11, 0), (12, 3)], shards: 4, identity, ..manifest };
    let mut bytes = vec![0; placed.encoded_bytes()];
    placed.encode(&mut bytes);
    put(root, "manifest", &bytes)
}

/// No change, and one of each kind in one of the segments, without and with checksums that fit.
fn changes(root: &Path, name: &str, number: u8) -> Done {
    let folder = root.join("log");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), [number])?;
    for kind in 0..9 {
        for (first, fit) in [(number, "as-is"), (number | 0x80, "fit")] {
            let change = [first, kind, 2 + kind % 2, 2, 0, 3, 1, 0, 0, 0, 0, 0, 0];
            std::fs::write(folder.join(format!("{name}-{kind}-{fit}")), change)?;
        }
    }
    Ok(())
}
