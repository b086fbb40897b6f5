//! `diatreme verify` and the verifier in Python, which shares no code with it, say the same of the same directories.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;
mod two_verifiers;

use crypto::note::{Checkpoint, Origin};
use harness::history::{signer, vkey};
use harness::supervised::{Supervised, offset};
use harness::{Place, find, flip};
use iobackend::{Arena, BackendConfig, Mode};
use log::format::crc;
use log::{Damage, LogError, SCAN_BUFFER_BYTES, Verified};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use two_verifiers::{Auditor, python};

const BLOCK: usize = 4096;

/// What both reports have, word for word.
const COUNTS: [&str; 8] = ["sound", "logs", "segments", "frames", "records", "payload_bytes", "streams", "torn_tails"];

fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("record number {number:02}\n").into_bytes()).collect()
}

fn ingest(place: &Place, tenant: &str, stream: &str, shards: &str) {
    let args = ["--tenant", tenant, "--stream", stream, "--shards", shards, "--window", "3", "-"];
    place.run_with("ingest", &args, &lines(20)).succeeds();
}

/// Several tenants and streams, two shards, one, and a segment for each opening.
fn many() -> Place {
    let place = Place::new();
    for (tenant, stream, shards) in [
        ("acme", "audit", "2"),
        ("beta", "audit", "2"),
        ("gamma", "audit", "2"),
        ("delta", "audit", "2"),
        ("acme", "access", "2"),
        ("beta", "audit", "1"),
        ("gamma", "access", "1"),
        ("delta", "audit", "2"),
    ] {
        ingest(&place, tenant, stream, shards);
    }
    assert!(place.data().join("shard-0001/00000001.seg").exists(), "two shards wrote");
    place
}

/// Twenty records, each in a frame of its own, and more in a second segment whose writer is killed.
fn crashed() -> Place {
    let place = Place::new();
    place.ingest(&lines(20), &["--window", "1"]).succeeds();
    let data = place.data();
    let into = ["ingest", "--unencrypted", "--data-dir", data.to_str().unwrap()];
    let args = [&into[..], &["--tenant", "acme", "--stream", "audit", "--window", "1", "-"]].concat();
    let mut command = Supervised::start(args);
    let mut stdin = command.stdin();
    stdin.write_all(&lines(10)).unwrap();
    let mut told = vec![command.hear().unwrap()];
    while offset(&told[told.len() - 1]) < 30 {
        told.push(command.hear().unwrap());
    }
    command.kill_after(Duration::ZERO);
    assert!(command.gone(told).was_killed());
    place
}

/// Records that are sealed.
fn sealed() -> Place {
    let place = Place::new();
    place.seal();
    place.ingest(&lines(20), &["--window", "3"]).succeeds();
    let segment = fs::read(place.segment(1)).unwrap();
    assert!(!segment.windows(13).any(|window| window == b"record number"), "the payload is ciphertext");
    place
}

/// Asks both about a directory, and gives what both say.
#[track_caller]
fn both(place: &Place, auditor: &mut Auditor, case: &str) -> Value {
    let report = place.path("ours.json");
    let ended = place.run("verify", &["--json", report.to_str().unwrap()]);
    let theirs = auditor.says(&json!({"directory": place.data()}));
    if ended.code == 1 && !ended.text().contains("damaged: ") {
        assert!(theirs["refused"].is_string(), "{case}: {}, and in Python: {theirs}", ended.err);
        return theirs;
    }
    let ours = place.json("ours.json");
    assert_eq!(ended.code, i32::from(ours["sound"] == false), "{case}");
    for count in COUNTS {
        assert_eq!(ours[count], theirs[count], "{case}: {count}; {ours:#}\nin Python: {theirs:#}");
    }
    assert_eq!(files(&ours["notes"]), files(&theirs["notes"]), "{case}: {ours:#}\nin Python: {theirs:#}");
    assert_eq!(places(&ours), places(&theirs), "{case}: {ours:#}\nin Python: {theirs:#}");
    assert_eq!(losses(&ours), losses(&theirs), "{case}: {ours:#}\nin Python: {theirs:#}");
    assert_eq!(trees(&ours), trees(&theirs), "{case}: {ours:#}\nin Python: {theirs:#}");
    theirs
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn files(notes: &Value) -> Vec<&Value> {
    array(notes).iter().map(|note| &note["file"]).collect()
}

/// Where the damage is: files and bytes.
fn places(report: &Value) -> Vec<(String, u64)> {
    let place = |damage: &Value| (damage["file"].as_str().unwrap().into(), damage["byte"].as_u64().unwrap());
    let mut places: Vec<_> = array(&report["damage"]).iter().map(place).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// What is lost: tenants by name, streams, offsets.
fn losses(report: &Value) -> Vec<String> {
    let fields = ["tenant", "tenant_name", "stream", "stream_name", "first_offset", "last_offset"];
    let loss = |loss: &Value| fields.map(|field| loss[field].to_string()).join(" ");
    let lost = array(&report["damage"]).iter().flat_map(|damage| array(&damage["losses"]));
    let mut losses: Vec<_> = lost.map(loss).collect();
    losses.sort_unstable();
    losses
}

/// Each tenant's tree.
fn trees(report: &Value) -> Vec<[&Value; 4]> {
    array(&report["trees"]).iter().map(|tree| ["tenant", "size", "root", "broken"].map(|field| &tree[field])).collect()
}

#[test]
fn known_answers() {
    let Some(python) = python() else { return };
    let ended = two_verifiers::command(python, &["self-test"]).succeeds();
    assert!(ended.text().lines().count() > 10 && ended.text().lines().all(|line| line.starts_with("ok ")));
}

#[test]
fn of_sound_directories() {
    let Some(python) = python() else { return };
    let mut auditor = Auditor::start(python);
    let cases = [("several tenants, streams and shards", many()), ("a crash", crashed()), ("sealed", sealed())];
    for (case, place) in cases {
        let before = place.contents();
        let report = both(&place, &mut auditor, case);
        assert_eq!(report["sound"], true, "{case}");
        assert!(array(&report["trees"]).iter().all(|tree| tree["broken"] == false), "{case}: {report:#}");
        assert!(place.contents() == before, "{case}: nothing was changed");
        // As an auditor calls it.
        let data = place.data();
        let ended = two_verifiers::command(python, &["verify", data.to_str().unwrap()]).succeeds();
        assert!(ended.text().contains("sound: every checksum and every chain link fits"), "{}", ended.text());
    }
}

#[test]
fn of_damaged_directories() {
    let Some(python) = python() else { return };
    let mut auditor = Auditor::start(python);
    let mut check = |place: &Place, case: &str, change: &dyn Fn(&Path)| {
        let copy = copy(place);
        change(&copy.data());
        both(&copy, &mut auditor, case)
    };
    let (many, crashed) = (many(), crashed());
    let segment = |number: u32| format!("shard-0000/{number:08}.seg");
    let at = find(&crashed.segment(1), b"record number 10");
    let frame = at / BLOCK * BLOCK;

    for (case, byte) in
        [("a payload", at), ("a frame's magic", frame), ("a frame's sequence", frame + 32), ("a table", frame + 200)]
    {
        let report = check(&crashed, case, &|data| flip(&data.join(segment(1)), byte));
        assert_eq!((&report["sound"], losses(&report).len()), (&false.into(), 1), "{case}");
    }
    check(&crashed, "a frame of zeros", &|data| write(&data.join(segment(1)), frame, &[0; BLOCK]));
    check(&crashed, "a frame in the place of another", &|data| {
        let other = fs::read(data.join(segment(1))).unwrap()[frame - BLOCK..frame].to_vec();
        write(&data.join(segment(1)), frame, &other);
    });
    check(&crashed, "a header", &|data| flip(&data.join(segment(1)), 50));
    check(&crashed, "a trailer", &|data| {
        let path = data.join(segment(1));
        flip(&path, fs::metadata(&path).unwrap().len() as usize - BLOCK + 8);
    });
    for blocks in [0, 1, 7] {
        check(&crashed, "a segment that was cut", &|data| {
            let file = fs::OpenOptions::new().write(true).open(data.join(segment(1))).unwrap();
            file.set_len((blocks * BLOCK) as u64).unwrap();
        });
    }
    for case in ["manifest.a", "manifest.b"] {
        let report = check(&crashed, case, &|data| flip(&data.join(case), 20));
        assert_eq!((&report["sound"], &report["notes"][0]["file"]), (&true.into(), &case.into()));
        check(&crashed, case, &|data| fs::remove_file(data.join(case)).unwrap());
    }
    check(&crashed, "no manifest", &|data| {
        ["manifest.a", "manifest.b"].iter().for_each(|copy| fs::remove_file(data.join(copy)).unwrap());
    });
    check(&crashed, "a foreign file", &|data| fs::write(data.join("README"), "").unwrap());

    let report = check(&crashed, "a torn tail", &|data| {
        // The newest record's frame and what may follow it: then nothing intact says that it was acknowledged.
        let path = data.join(segment(2));
        let bytes = fs::read(&path).unwrap();
        let newest = find(&path, b"record number 09") / BLOCK * BLOCK;
        let used =
            (newest..bytes.len()).step_by(BLOCK).filter(|at| bytes[*at..at + BLOCK].iter().any(|byte| *byte != 0));
        used.for_each(|at| flip(&path, at + 130));
    });
    assert_eq!((&report["sound"], &report["torn_tails"]), (&true.into(), &1.into()));

    for number in 1..=3 {
        check(&many, "a segment that is missing", &|data| fs::remove_file(data.join(segment(number))).unwrap());
    }
    check(&many, "a log that is missing", &|data| fs::remove_dir_all(data.join("shard-0001")).unwrap());
    for other in [segment(2), "shard-0001/00000001.seg".into()] {
        check(&many, "segments that changed places", &|data| {
            let (one, other, between) = (data.join(segment(1)), data.join(&other), data.join("between"));
            fs::rename(&one, &between).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(&between, &other).unwrap();
        });
    }
}

/// Five directories and what was kept of one of them: both say the same of each, in the same word.
#[test]
fn of_checkpoints_that_were_kept() {
    let Some(python) = python() else { return };
    let place = Place::new();
    place.ingest(&lines(5), &["--window", "1"]).succeeds();
    let older = copy(&place);
    place.ingest(&lines(5), &["--window", "1"]).succeeds();
    let history = place.history();
    let key = history.vkey();
    let (signed, size) = (|size| history.checkpoint(size).sign(&signer()), history.size());
    let forked = Checkpoint { root: history.checkpoint(3).root, ..history.checkpoint(4) }.sign(&signer());
    let damaged = copy(&place);
    flip(&damaged.segment(2), BLOCK + 200);
    let other = Place::new();
    other.ingest(&lines(5), &[]).succeeds();

    for (directory, note, verdict) in [
        (&place, signed(size), "extended"),
        (&place, signed(1), "extended"),
        (&place, signed(0), "extended"),
        (&older, signed(7), "extended"),
        (&older, signed(size), "truncated"),
        (&place, forked, "rewritten"),
        (&damaged, signed(size), "damaged"),
        (&other, signed(size), "elsewhere"),
    ] {
        let kept = directory.path("kept");
        fs::write(&kept, &note).unwrap();
        let (data, kept, report) = (directory.data(), kept.to_str().unwrap(), directory.path("report.json"));
        let report = report.to_str().unwrap();
        let args = ["--checkpoint", kept, "--key", &key, "--json", report];
        let ours = directory.run("verify", &args);
        let word = |report: &Value| report["checkpoints"][0]["verdict"].as_str().unwrap().to_owned();
        assert_eq!(word(&directory.json("report.json")), verdict, "{}", ours.text());
        let theirs = two_verifiers::command(python, &[&["verify", data.to_str().unwrap()], &args[..]].concat());
        assert_eq!(word(&directory.json("report.json")), verdict, "{}", theirs.text());
        assert_eq!((ours.code, theirs.code), (i32::from(verdict != "extended"), ours.code), "{}", theirs.err);
    }
    let kept = place.write("kept", &signed(size).replacen("\n12\n", "\n11\n", 1));
    let data = place.data();
    for key in [&key, &another_key()] {
        let args = ["--checkpoint", &kept, "--key", key];
        assert_eq!(place.run("verify", &args).code, 1);
        let theirs = two_verifiers::command(python, &[&["verify", data.to_str().unwrap()], &args[..]].concat());
        assert!(theirs.code == 1 && theirs.text().is_empty() && theirs.err.contains("refused"), "{}", theirs.err);
    }
}

/// Another engine's.
fn another_key() -> String {
    vkey(Origin { engine: [7; 16], tenant: 7 })
}

fn write(path: &Path, at: usize, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at as u64).unwrap();
}

/// A directory, and both verifiers for it in this process: the memory is used again, since touching it anew would take longer than
/// all else.
struct Bench {
    directory: Place,
    auditor: Auditor,
    memory: Mutex<Vec<Arena>>,
}

impl Bench {
    /// On a copy of the directory.
    fn new(python: &Path, original: &Place) -> Bench {
        Bench { directory: copy(original), auditor: Auditor::start(python), memory: Mutex::default() }
    }

    /// The verification that the command does.
    fn ours(&self) -> Result<Verified, LogError> {
        let open = || {
            let mut memory = self.memory.lock().unwrap();
            let free = memory.iter_mut().position(Arena::reclaim).unwrap_or_else(|| {
                memory.push(Arena::new(SCAN_BUFFER_BYTES).unwrap());
                memory.len() - 1
            });
            assert!(memory.len() < 4, "a verification keeps its memory");
            let buffer = memory[free].take(SCAN_BUFFER_BYTES).unwrap();
            let data = self.directory.data();
            let config = BackendConfig { mode: Mode::Sync, direct: false, ..BackendConfig::new(&data) };
            Ok((iobackend::open(&config, &memory[free]).unwrap(), buffer))
        };
        log::verify(open, 1, |_, _| {})
    }

    /// What both say, at once.
    fn both(&mut self) -> (Result<Verified, LogError>, Value) {
        self.auditor.ask(&json!({"directory": self.directory.data()}));
        (self.ours(), self.auditor.answer())
    }

    fn write(&self, path: &Path, at: usize, bytes: &[u8]) {
        write(&self.directory.data().join(path), at, bytes);
    }
}

/// A copy, with holes where a segment was not written yet.
fn copy(original: &Place) -> Place {
    let copy = Place::new();
    for (path, bytes) in original.contents() {
        let path = copy.data().join(path.strip_prefix(original.data()).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for (number, block) in bytes.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0))
        {
            file.write_all_at(block, (number * BLOCK) as u64).unwrap();
        }
    }
    copy
}

fn same(ours: &Result<Verified, LogError>, theirs: &Value) -> bool {
    let Ok(ours) = ours else { return theirs["refused"].is_string() };
    let place = |damage: &Damage| (damage.segment.to_string(), damage.bytes.start);
    let mut damaged: Vec<_> = ours.damage.iter().map(place).collect();
    damaged.sort_unstable();
    damaged.dedup();
    theirs["refused"].is_null()
        && (theirs["sound"] == ours.damage.is_empty() && places(theirs) == damaged)
        && (theirs["frames"] == ours.frames && theirs["records"] == ours.records)
        && (theirs["payload_bytes"] == ours.payload_bytes && theirs["streams"] == ours.streams)
        && (theirs["torn_tails"] == ours.torn && array(&theirs["notes"]).is_empty() == ours.bad_copy.is_none())
}

/// One record: three frames, in a segment of six blocks; and a mark between them if the machine is slow.
fn small() -> Place {
    let place = Place::new();
    place.ingest(b"one\n", &[]).succeeds();
    place
}

/// Divides `work` over two threads, each with its own copy of the directory.
fn on_two_threads<T: Sync>(python: &Path, original: &Place, work: &[T], each: impl Fn(&mut Bench, &T) + Sync) {
    std::thread::scope(|scope| {
        for part in 0..2 {
            let each = &each;
            scope.spawn(move || {
                let mut bench = Bench::new(python, original);
                work.iter().skip(part).step_by(2).for_each(|one| each(&mut bench, one));
                let (ours, theirs) = bench.both();
                assert!(ours.is_ok_and(|ours| ours.damage.is_empty()) && theirs["sound"] == true, "as it was at first");
            });
        }
    });
}

#[test]
fn of_every_byte_of_a_small_log() {
    let Some(python) = python() else { return };
    let small = small();
    let mut work: Vec<(PathBuf, usize, u8)> = Vec::new();
    for (path, bytes) in small.contents() {
        let path = path.strip_prefix(small.data()).unwrap().to_owned();
        work.extend(bytes.iter().enumerate().map(|(at, byte)| (path.clone(), at, *byte)));
    }
    assert!(work.len() >= 8 * BLOCK, "two copies of the manifest and a segment of six blocks");
    on_two_threads(python, &small, &work, |bench, (path, at, byte)| {
        bench.write(path, *at, &[byte ^ 1 << (at % 8)]);
        let (ours, theirs) = bench.both();
        bench.write(path, *at, &[*byte]);
        assert!(same(&ours, &theirs), "{} at byte {at}: {ours:?}\nin Python: {theirs:#}", path.display());
        let found = ours.is_ok_and(|ours| !ours.damage.is_empty() || ours.bad_copy.is_some());
        assert!(found, "{} at byte {at}: a changed byte that nobody sees", path.display());
    });
}

/// Bytes of one structure, and how to make its checksums fit again.
struct Forgery {
    structure: &'static str,
    at: usize,
    fix: fn(&mut [u8], usize),
}

fn sum(bytes: &mut [u8], from: usize, to: usize, at: usize) {
    let value = crc(&bytes[from..to]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&value);
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn sum_header(bytes: &mut [u8], _: usize) {
    sum(bytes, 0, BLOCK - 4, BLOCK - 4);
}

fn sum_frame(bytes: &mut [u8], at: usize) {
    let frame = at / BLOCK * BLOCK;
    let table = frame + 128 + number(bytes, frame + 60);
    let entries = usize::from(u16::from_le_bytes(bytes[frame + 10..frame + 12].try_into().unwrap()));
    // What is out of bounds has no sum, and is refused before one is needed.
    let end = (table + 112 * entries).min(bytes.len());
    sum(bytes, table.min(end), end, frame + 80);
    sum(bytes, frame + 128, frame + BLOCK, frame + 84);
    sum(bytes, frame, frame + 124, frame + 124);
}

fn sum_footer(bytes: &mut [u8], at: usize) {
    let footer = at / BLOCK * BLOCK;
    sum(bytes, footer + 128, footer + BLOCK, footer + 84);
    sum(bytes, footer, footer + 124, footer + 124);
    let named = number(bytes, footer + 124) as u32;
    let trailer = footer + BLOCK;
    bytes[trailer + 16..trailer + 20].copy_from_slice(&named.to_le_bytes());
    sum_trailer(bytes, trailer);
}

fn sum_trailer(bytes: &mut [u8], at: usize) {
    let trailer = at / BLOCK * BLOCK;
    sum(bytes, trailer, trailer + BLOCK - 4, trailer + BLOCK - 4);
}

/// Whoever changes a byte can make the checksums fit again. Then only what the structures say of each other, and the chain, are left:
/// what one verifier refuses, the other does too. The one in Python also refuses what the format calls zero and is not, or does not know.
#[test]
fn of_forgeries_whose_checksums_fit() {
    let Some(python) = python() else { return };
    let small = small();
    let original = &fs::read(small.segment(1)).unwrap();
    let mut work: Vec<Forgery> = (0..128).map(|at| Forgery { structure: "header", at, fix: sum_header }).collect();
    let blocks =
        |magic: &'static [u8]| (0..original.len()).step_by(BLOCK).filter(move |at| original[*at..].starts_with(magic));
    for frame in blocks(b"DtFr") {
        let entries = usize::from(u16::from_le_bytes(original[frame + 10..frame + 12].try_into().unwrap()));
        let used = 128 + number(original, frame + 60) + 112 * entries;
        let sums = 80..88;
        let bytes = (0..used).filter(|at| !sums.contains(at) && !(124..128).contains(at));
        work.extend(bytes.map(|at| Forgery { structure: "frame", at: frame + at, fix: sum_frame }));
    }
    let footer = blocks(b"DtFt").next().unwrap();
    let used = 128 + 80 * number(original, footer + 72) + 16 * number(original, footer + 76);
    let bytes = (0..used).filter(|at| !(84..88).contains(at) && !(124..128).contains(at));
    work.extend(bytes.map(|at| Forgery { structure: "footer", at: footer + at, fix: sum_footer }));
    work.extend((0..24).map(|at| Forgery { structure: "trailer", at: footer + BLOCK + at, fix: sum_trailer }));

    let segment = Path::new("shard-0000/00000001.seg");
    on_two_threads(python, &small, &work, |bench, Forgery { structure, at, fix }| {
        let mut bytes = original.clone();
        bytes[*at] ^= 1 << (at % 8);
        fix(&mut bytes, *at);
        bench.write(segment, 0, &bytes);
        let (ours, theirs) = bench.both();
        bench.write(segment, 0, original);
        let refused = ours.as_ref().map_or(true, |ours| !ours.damage.is_empty());
        let place = format!("{structure} at byte {at}: {ours:?}\nin Python: {theirs:#}");
        if theirs["sound"] == true {
            assert!(!refused, "{place}");
        } else if !refused {
            let known = [
                "not zero where it should be",
                "that the format does not know",
                "not whole blocks",
                "a mark has records",
                "its base is out of bounds",
                "it does not follow the frame before it",
            ];
            let why = theirs["damage"][0]["what"].as_str().unwrap();
            assert!(known.iter().any(|known| why.contains(known)), "{place}");
        }
    });
}
