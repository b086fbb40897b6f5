//! Engines on real files, notaries beside them, and the trees computed again from the records, plainly.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "only tests use this")]

use crypto::merkle::Hash;
use crypto::note::Verifier;
use diatreme::{Builder, Client, Cores, Engine, StreamRef};
use diatreme_notary::{Notary, Settings, Signing, Step};
use iobackend::{Arena, Backend, BackendConfig, Buffer, Mode};
use keys::{KeyStore, MasterSource, generate_master_file};
use log::Sight;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A data directory with a key store and a master key beside it.
pub struct Place {
    pub root: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
        };
        Place { root }
    }

    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub fn keys(&self) -> PathBuf {
        self.root.path().join("data.keys")
    }

    pub fn builder(&self, shards: u16) -> Builder {
        fs::create_dir_all(self.data()).unwrap();
        Engine::builder(self.data()).unencrypted().shards(shards).cores(Cores::Unpinned).segment_bytes(4 << 20)
    }

    pub fn open(&self, shards: u16) -> Engine {
        self.builder(shards).open().unwrap()
    }

    /// The key store, made if it is not there.
    pub fn store(&self, engine: [u8; 16]) -> KeyStore {
        let master = self.root.path().join("master");
        let source = MasterSource::File(master.clone());
        if self.keys().join("keys").exists() {
            return KeyStore::open(&self.keys(), &engine, &source).unwrap();
        }
        generate_master_file(&master).unwrap();
        KeyStore::create(&self.keys(), &engine, &source).unwrap()
    }

    /// A notary that does not sign.
    pub fn notary(&self) -> Notary<Backend> {
        self.notary_with(Settings::default())
    }

    pub fn notary_with(&self, settings: Settings) -> Notary<Backend> {
        let (backend, buffer) = backend(&self.data());
        Notary::open(&self.data(), backend, buffer, settings).unwrap()
    }

    /// A notary that signs.
    pub fn signer(&self) -> Notary<Backend> {
        let mut notary = self.notary();
        let mut store = self.store(notary.engine());
        notary.sign_with(Signing::new(&mut store).unwrap());
        notary
    }

    /// Copies all of it, key store and all, to another place.
    pub fn copy(&self) -> Place {
        let other = Place::new();
        copy(self.root.path(), other.root.path());
        other
    }
}

pub fn backend(data: &Path) -> (Backend, Buffer) {
    let mut arena = Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
    let buffer = log::scan_buffer(&mut arena).unwrap();
    let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(data) };
    (iobackend::open(&config, &arena).unwrap(), buffer)
}

/// Copies files and directories, over those that are there.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn finish(notary: &mut Notary<Backend>, now: u64) -> Step {
    notary.finish(now).unwrap()
}

/// Nothing is wrong.
pub fn assert_sound(step: &Step) {
    assert!(step.damage.is_empty() && step.stopped.is_empty() && step.refused.is_empty(), "{step:?}");
}

pub fn tenant(name: &str) -> u64 {
    kernel_id(name)
}

/// A tenant's id, as docs/format.md has it.
fn kernel_id(name: &str) -> u64 {
    let hash = crypto::sha256(&[b"diatreme/tenant/v1\0", name.as_bytes()]);
    u64::from_le_bytes(hash[..8].try_into().unwrap())
}

pub fn verifier(notary: &Notary<Backend>, tenant: u64) -> Verifier {
    notary.signing().unwrap().verifier(&notary.origin(tenant))
}

/// Appends records, a few in flight; each is different.
pub fn fill(client: &mut Client, stream: &StreamRef, count: u64) {
    let first = client.head(stream).unwrap().next;
    for offset in first..first + count {
        let mut payload = format!("{:?} {offset} ", stream.stream()).into_bytes();
        payload.resize(payload.len() + (offset as usize * 37) % 300, offset as u8);
        client.submit_append(stream, Some(offset), &[&payload]).unwrap();
        if offset % 16 == 0 {
            client.wait(|completion| assert!(completion.result.is_ok(), "{completion:?}")).unwrap();
        }
    }
    while client.in_flight() > 0 {
        client.wait(|completion| assert!(completion.result.is_ok(), "{completion:?}")).unwrap();
    }
}

/// Opens the engine, appends so many records to each (tenant, stream), and closes it.
pub fn write(place: &Place, shards: u16, appends: &[(&str, &str, u64)]) {
    let engine = place.open(shards);
    let mut client = engine.client();
    for (tenant, stream, count) in appends {
        let stream = client.ensure_stream(tenant, stream).unwrap();
        fill(&mut client, &stream, *count);
    }
    drop(client);
    engine.close().unwrap();
}

/// A record as it lies in the log.
#[derive(Clone, Debug)]
pub struct Plain {
    pub stream: u32,
    pub offset: u64,
    pub payload: Vec<u8>,
    pub leaf: Hash,
}

/// Every tenant's records by position, with the leaves computed from the genesis on, one record at a time.
pub fn plain(data: &Path) -> BTreeMap<u64, Vec<Plain>> {
    /// By offset: position, hashed bytes, payload.
    type Stream = BTreeMap<u64, (u64, Vec<u8>, Vec<u8>)>;
    let (mut backend, buffer) = backend(data);
    let mut buffer = Some(buffer);
    let mut records: BTreeMap<(u64, u32), Stream> = BTreeMap::new();
    for log in 0..16 {
        for id in log::log_segments(&mut backend, log).unwrap() {
            let mut visit = |sight: Sight<'_>| {
                let Sight::Frame { header, bytes, body: Ok(()) } = sight else { return };
                let table: Vec<_> = header.table(bytes).unwrap().iter().collect();
                for record in header.records(bytes).map(Result::unwrap) {
                    let entry = &table[usize::from(record.header.slot)];
                    let stream = records.entry((entry.tenant, entry.stream)).or_default();
                    let value = (record.header.position, record.hashed.to_vec(), record.payload.to_vec());
                    stream.insert(record.header.offset, value);
                }
            };
            log::inspect_segment(&mut backend, &mut buffer, id, &mut visit).unwrap();
        }
    }
    let mut tenants: BTreeMap<u64, BTreeMap<u64, Plain>> = BTreeMap::new();
    for ((tenant, stream), records) in records {
        let mut link = crypto::genesis(tenant, stream);
        for (offset, (position, hashed, payload)) in records {
            link = crypto::next(&link, &hashed);
            let leaf = crypto::sha256(&[&[0], &tenant.to_le_bytes(), &stream.to_le_bytes(), link.as_bytes()]);
            let record = Plain { stream, offset, payload, leaf: Hash::from_bytes(leaf) };
            assert!(tenants.entry(tenant).or_default().insert(position, record).is_none());
        }
    }
    let dense = |(tenant, records): (u64, BTreeMap<u64, Plain>)| {
        assert!(records.keys().copied().eq(0..records.len() as u64), "positions of {tenant:016x} have no gaps");
        (tenant, records.into_values().collect())
    };
    tenants.into_iter().map(dense).collect()
}

/// The root as RFC 6962 defines it, by recursion.
pub fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::from_bytes(crypto::sha256(&[])),
        [leaf] => *leaf,
        _ => {
            let middle = 1 << (leaves.len() - 1).ilog2();
            let (left, right) = (root_of(&leaves[..middle]), root_of(&leaves[middle..]));
            Hash::from_bytes(crypto::sha256(&[&[1], left.as_bytes(), right.as_bytes()]))
        }
    }
}

pub fn leaves(records: &[Plain]) -> Vec<Hash> {
    records.iter().map(|record| record.leaf).collect()
}

/// The notary's trees are those of the records, all of them.
pub fn assert_trees(notary: &Notary<Backend>, data: &Path) {
    let plain = plain(data);
    assert_eq!(notary.tenants(), plain.keys().copied().collect::<Vec<_>>());
    for (tenant, records) in &plain {
        assert_eq!(notary.size(*tenant), records.len() as u64, "tenant {tenant:016x}");
        assert_eq!(notary.root(*tenant), Some(root_of(&leaves(records))), "tenant {tenant:016x}");
    }
}
