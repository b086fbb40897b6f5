//! How long a notary takes over ten million records, and a proof of one among them: `cargo run --release -p diatreme-notary
//! --example ten_million [DIRECTORY [RECORDS]]`. The directory must not be there yet, and is left for a look. Beside the time that
//! passed stands the time on a processor (Linux), which others on the machine take nothing from.
#![allow(clippy::unwrap_used, reason = "an example that measures")]

use diatreme::{Cores, Engine};
use diatreme_notary::{Notary, Settings, Signing};
use iobackend::{Arena, Backend, BackendConfig, Mode};
use keys::{KeyStore, MasterSource, generate_master_file};
use std::path::Path;
use std::time::Instant;

const BATCH: u64 = 500;
const PROOFS: u64 = 1000;

/// A moment: on the clock, and of this thread on a processor.
struct Moment(Instant, f64);

impl Moment {
    fn now() -> Moment {
        let ran = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = ran.split(' ').next().and_then(|first| first.parse::<f64>().ok());
        Moment(Instant::now(), nanoseconds.unwrap_or(f64::NAN) / 1e9)
    }

    /// Seconds since, on the clock and on a processor.
    fn elapsed(&self) -> (f64, f64) {
        (self.0.elapsed().as_secs_f64(), Moment::now().1 - self.1)
    }
}

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
    for _ in 0..records / BATCH {
        // What waits in a ring is bounded by bytes: two of these batches fit.
        while client.in_flight() >= 2 {
            client.wait(|completion| assert!(completion.result.is_ok())).unwrap();
        }
        client.submit_append(&stream, None, &batch).unwrap();
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
    let since = Moment::now();
    let step = notary.follow_all(|_| true).unwrap();
    let (clock, ran) = since.elapsed();
    println!("followed: {} bytes in {clock:.2} s", step.bytes);
    println!(
        "  on a processor {ran:.2} s, {:.0} ns a record, {:.2} GB/s",
        ran * 1e9 / records as f64,
        step.bytes as f64 / 1e9 / ran
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
    let (mut proofs, mut bytes) = (Vec::new(), 0);
    let since = Moment::now();
    for at in 0..PROOFS {
        let offset = at.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (records / BATCH * BATCH);
        proofs.push(notary.inclusion(tenant, 1, offset).unwrap());
    }
    tell("a proof of a record anywhere", since.elapsed());
    let since = Moment::now();
    for proof in &proofs {
        bytes = bytes.max(proof.encode().len());
        proof.verify(&key).unwrap();
    }
    tell("verifying it", since.elapsed());
    println!("  it has {bytes} bytes at the most");
    let since = Moment::now();
    for old in 1..=PROOFS {
        notary.consistency(tenant, old * (records / PROOFS)).unwrap();
    }
    tell("a proof of consistency", since.elapsed());
}

fn tell(what: &str, (clock, ran): (f64, f64)) {
    let each = |seconds: f64| seconds * 1e3 / PROOFS as f64;
    println!("{what}: {:.3} ms, {:.3} on a processor", each(clock), each(ran));
}
