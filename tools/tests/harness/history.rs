//! A tenant's records as they lie in the segments, and what an auditor makes of them: trees by RFC 6962's own words, checkpoints and
//! proofs signed by a key of the test. Shares nothing with verification but the layout of a frame.

use super::Place;
use crypto::merkle::Hash;
use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, Origin, Signer};
use crypto::{Link, genesis, next, sha256};
use log::format::frame::FrameHeader;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// `acme`, whose records the harness ingests.
pub const ACME: u64 = 0xc164_dcd0_0b43_0377;

/// When every checkpoint here was signed.
pub const TIME: u64 = 1_700_000_000_000_000_000;

/// A record, by its position.
pub struct Record {
    pub stream: u32,
    pub link_before: Link,
    pub hashed: Vec<u8>,
}

/// A tenant's history in a data directory.
pub struct History {
    pub engine: [u8; 16],
    pub tenant: u64,
    pub records: Vec<Record>,
}

pub fn signer() -> Signer {
    Signer::from_seed(&[42; 32])
}

/// The key to pin for an origin.
pub fn vkey(origin: Origin) -> String {
    signer().verifier(&origin.to_string()).unwrap().to_string()
}

impl History {
    /// Reads it, which must be without a gap.
    pub fn of(data: &Path, tenant: u64) -> History {
        let manifest = fs::read(data.join("manifest.a")).unwrap();
        let mut found = BTreeMap::new();
        for segment in segments(data) {
            for (stream, offset, position, hashed) in records(&fs::read(segment).unwrap(), tenant) {
                assert!(found.insert(position, (stream, offset, hashed)).is_none(), "position {position} twice");
            }
        }
        let (mut records, mut links) = (Vec::new(), BTreeMap::new());
        for (position, (stream, offset, hashed)) in found {
            assert_eq!(position, records.len() as u64, "a gap");
            let (next_offset, link) = links.entry(stream).or_insert((0, genesis(tenant, stream)));
            assert_eq!(offset, *next_offset);
            let link_before = *link;
            (*next_offset, *link) = (offset + 1, next(link, &hashed));
            records.push(Record { stream, link_before, hashed });
        }
        History { engine: manifest[24..40].try_into().unwrap(), tenant, records }
    }

    pub fn size(&self) -> u64 {
        self.records.len() as u64
    }

    pub fn origin(&self) -> Origin {
        Origin { engine: self.engine, tenant: self.tenant }
    }

    pub fn vkey(&self) -> String {
        vkey(self.origin())
    }

    pub fn leaves(&self) -> Vec<[u8; 32]> {
        let leaf = |record: &Record| {
            let link = next(&record.link_before, &record.hashed);
            sha256(&[&[0], &self.tenant.to_le_bytes(), &record.stream.to_le_bytes(), link.as_bytes()])
        };
        self.records.iter().map(leaf).collect()
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = Hash::from_bytes(mth(&self.leaves()[..size as usize]));
        Checkpoint { origin: self.origin(), size, root, time: TIME }
    }

    pub fn inclusion(&self, index: u64, size: u64) -> InclusionProof {
        let Record { stream, link_before, hashed } = &self.records[index as usize];
        InclusionProof {
            index,
            stream: *stream,
            link_before: *link_before,
            record: hashed.clone(),
            hashes: hashes(path(index as usize, &self.leaves()[..size as usize])),
            checkpoint: self.checkpoint(size).sign(&signer()),
        }
    }

    pub fn consistency(&self, old: u64, new: u64) -> ConsistencyProof {
        let leaves = &self.leaves()[..new as usize];
        let hashes = hashes(if old == 0 { Vec::new() } else { subproof(old as usize, leaves, true) });
        ConsistencyProof { old, hashes, checkpoint: self.checkpoint(new).sign(&signer()) }
    }
}

impl Place {
    pub fn history(&self) -> History {
        History::of(&self.data(), ACME)
    }

    /// Writes a file beside the data directory.
    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().into()
    }

    /// Copies the data directory, and gives the copy's path.
    pub fn copy_as(&self, name: &str) -> PathBuf {
        let to = self.path(name);
        for (path, bytes) in self.contents() {
            let target = to.join(path.strip_prefix(self.data()).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, bytes).unwrap();
        }
        to
    }
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let logs = entries(data).into_iter().filter(|path| path.is_dir());
    logs.flat_map(|log| entries(&log)).collect()
}

type Found = (u32, u64, u64, Vec<u8>);

/// The tenant's records in a segment: stream, offset, position, hashed bytes.
fn records(segment: &[u8], tenant: u64) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 4096);
    while at < segment.len() {
        let Ok(header) = FrameHeader::decode(&segment[at..]) else {
            at += 4096;
            continue;
        };
        let frame = &segment[at..at + header.length as usize];
        let table: Vec<_> = header.table(frame).unwrap().iter().collect();
        for record in header.records(frame).map(Result::unwrap) {
            let entry = &table[usize::from(record.header.slot)];
            if entry.tenant == tenant {
                found.push((entry.stream, record.header.offset, record.header.position, record.hashed.to_vec()));
            }
        }
        at += frame.len();
    }
    found
}

fn hashes(hashes: Vec<[u8; 32]>) -> Vec<Hash> {
    hashes.into_iter().map(Hash::from_bytes).collect()
}

/// RFC 6962, section 2.1.
pub fn mth(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            sha256(&[&[1], &mth(left), &mth(right)])
        }
    }
}

/// Section 2.1.1.
fn path(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) =
        if index < left.len() { (path(index, left), right) } else { (path(index - left.len(), right), left) };
    path.push(mth(other));
    path
}

/// Section 2.1.2.
fn subproof(old: usize, leaves: &[[u8; 32]], whole: bool) -> Vec<[u8; 32]> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, other) = if old <= left.len() {
        (subproof(old, left, whole), right)
    } else {
        (subproof(old - left.len(), right, false), left)
    };
    proof.push(mth(other));
    proof
}

fn split(leaves: usize) -> usize {
    leaves.next_power_of_two() / 2
}
