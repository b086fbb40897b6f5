//! How long a notary takes over ten million records, and a proof of one among them: `cargo run --release -p diatreme-notary
//! --example ten_million [DIRECTORY [RECORDS]]`. The directory must not be there yet, and is left for a look.
#![allow(clippy::unwrap_used, reason = "an example that measures")]

use diatreme::{Cores, Engine};
use diatreme_notary::{Notary, Settings, Signing};
use iobackend::{Arena, Backend, BackendConfig, Mode};
use keys::{KeyStore, MasterSource, generate_master_file};
use std::path::Path;
use std::time::Instant;

const BATCH: u64 = 1000;
const PROOFS: u64 = 1000;

fn open(root: &Path) -> Notary<Backend> {
    let mut arena = Arena::new(log::SCAN_BUFFER_BYTES).unwrap();
    let buffer = log::scan_buffer(&mut arena).unwrap();
    let config = BackendConfig { mode: Mode::Sync, ..BackendConfig::new(root) };
    let backend = iobackend::open(&config, &arena).unwrap();
    Notary::open(root, backend, buffer, Settings::default()).unwrap()
}

fn write(root: &Path, records: u64) -> u64 {
    std::fs::create_dir_all(root).unwrap();
    let engine = Engine::builder(root).unencrypted().shards(1).cores(Cores::Unpinned).open().unwrap();
    let mut client = engine.client();
    let stream = client.ensure_stream("acme", "events").unwrap();
    let payload = [7; 100];
    let batch = [&payload[..]; BATCH as usize];
    for at in 0..records / BATCH {
        client.submit_append(&stream, None, &batch).unwrap();
        if at % 16 == 15 {
            client.wait(|completion| assert!(completion.result.is_ok())).unwrap();
        }
    }
    while client.in_flight() > 0 {
        client.wait(|completion| assert!(completion.result.is_ok())).unwrap();
    }
    drop(client);
    engine.close().unwrap();
    stream.tenant().0
}

fn main() {
    let mut args = std::env::args().skip(1);
    let temporary = tempfile::tempdir().unwrap();
    let root = args.next().map_or_else(|| temporary.path().join("data"), Into::into);
    let records = args.next().map_or(10_000_000, |records| records.parse().unwrap());
    let since = Instant::now();
    let tenant = write(&root, records);
    println!("written: {records} records of 100 bytes in {:.2} s", since.elapsed().as_secs_f64());

    let mut notary = open(&root);
    let master = temporary.path().join("master");
    generate_master_file(&master).unwrap();
    let store = temporary.path().join("keys");
    let mut store = KeyStore::create(&store, &notary.engine(), &MasterSource::File(master)).unwrap();
    let since = Instant::now();
    let step = notary.follow_all(|_| true).unwrap();
    let seconds = since.elapsed().as_secs_f64();
    let each = seconds * 1e9 / records as f64;
    println!(
        "followed: {} bytes in {seconds:.2} s, {each:.0} ns a record, {:.2} GB/s",
        step.bytes,
        step.bytes as f64 / 1e9 / seconds
    );
    notary.sign_with(Signing::new(&mut store).unwrap());
    let since = Instant::now();
    let checkpoint = notary.checkpoint(tenant, 1).unwrap();
    println!("signed: {} records in {:?}", checkpoint.size, since.elapsed());
    let since = Instant::now();
    notary.save().unwrap();
    println!("saved in {:?}", since.elapsed());
    drop(notary);

    let since = Instant::now();
    let mut notary = open(&root);
    println!("opened in {:?}", since.elapsed());
    let key = Signing::new(&mut store).unwrap().verifier(&notary.origin(tenant));
    let (mut longest, mut bytes, mut verified) = (0.0_f64, 0, 0.0);
    let since = Instant::now();
    for at in 0..PROOFS {
        let offset = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (records / BATCH * BATCH);
        let one = Instant::now();
        let proof = notary.inclusion(tenant, 1, offset).unwrap();
        longest = longest.max(one.elapsed().as_secs_f64());
        bytes = bytes.max(proof.encode().len());
        let one = Instant::now();
        proof.verify(&key).unwrap();
        verified += one.elapsed().as_secs_f64();
    }
    let mean = (since.elapsed().as_secs_f64() - verified) / PROOFS as f64;
    println!(
        "proofs of records anywhere: {:.3} ms each, {:.3} ms the longest, {bytes} bytes",
        mean * 1e3,
        longest * 1e3
    );
    println!("verified in {:.1} µs each", verified / PROOFS as f64 * 1e6);
    let since = Instant::now();
    for old in 1..=PROOFS {
        notary.consistency(tenant, old * (records / PROOFS)).unwrap();
    }
    println!("proofs of consistency: {:.3} ms each", since.elapsed().as_secs_f64() * 1e3 / PROOFS as f64);
}
