//! Checkpoints and proofs that the library makes are verified by the verifier in Python, and what is changed in them is refused
//! by both.
#![allow(missing_docs, clippy::unwrap_used)]

mod harness;
mod two_verifiers;

use crypto::Link;
use crypto::merkle::{self, Hash, NodeId, Path};
use crypto::note::{Checkpoint, ConsistencyProof, InclusionProof, NoteError, Origin, Signer, Verifier};
use harness::Place;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs;
use two_verifiers::{Auditor, python};

const ORIGIN: Origin = Origin { engine: *b"an engine's id..", tenant: 0xC164_DCD0_0B43_0377 };

/// A record as it is hashed; every third one sealed, by the looks of it.
struct Recorded {
    stream: u32,
    link_before: Link,
    record: Vec<u8>,
    leaf: Hash,
}

/// A tenant with two streams.
struct Tenant {
    records: Vec<Recorded>,
    signer: Signer,
    key: Verifier,
}

impl Tenant {
    fn new(size: u64) -> Tenant {
        let mut links = [1, 2].map(|stream| crypto::genesis(ORIGIN.tenant, stream));
        let mut records = Vec::new();
        for position in 0..size {
            let stream = usize::from(position % 3 == 2);
            let (sealed, link_before) = (position % 3 == 0, links[stream]);
            let payload = format!("payload {position}");
            let mut record = vec![1, u8::from(sealed)];
            record.extend((payload.len() as u32).to_le_bytes());
            let fields = [position / 2, position, 1_795_183_667_917_213_154];
            record.extend(fields.iter().flat_map(|field: &u64| field.to_le_bytes()));
            record.extend(u32::from(sealed).to_le_bytes());
            record.extend(payload.as_bytes());
            record.extend(if sealed { &b"sixteen byte tag"[..] } else { b"" });
            links[stream] = crypto::next(&link_before, &record);
            let leaf = merkle::leaf(ORIGIN.tenant, stream as u32 + 1, &links[stream]);
            records.push(Recorded { stream: stream as u32 + 1, link_before, record, leaf });
        }
        let signer = Signer::from_seed(b"the seed of an engine's own key.");
        let key = signer.verifier(&ORIGIN.to_string()).unwrap();
        Tenant { records, signer, key }
    }

    fn node(&self, NodeId { level, index }: NodeId) -> Hash {
        if level == 0 {
            return self.records[index as usize].leaf;
        }
        let child = |index| self.node(NodeId { level: level - 1, index });
        merkle::node(&child(2 * index), &child(2 * index + 1))
    }

    fn hashes(&self, path: &Path) -> Vec<Hash> {
        path.hashes(|node| Ok::<_, Infallible>(self.node(node))).unwrap()
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        let mut range = merkle::Range::new(0);
        self.records[..size as usize].iter().for_each(|record| range.push(record.leaf, |_, _| {}));
        let root = range.root().unwrap_or(Hash::EMPTY_TREE);
        Checkpoint { origin: ORIGIN, size, root, time: 1_795_183_667_000_000_000 }
    }

    fn signed(&self, size: u64) -> String {
        self.checkpoint(size).sign(&self.signer)
    }

    fn inclusion(&self, index: u64, size: u64) -> InclusionProof {
        let Recorded { stream, link_before, record, .. } = &self.records[index as usize];
        InclusionProof {
            index,
            stream: *stream,
            link_before: *link_before,
            record: record.clone(),
            hashes: self.hashes(&Path::inclusion(index, size).unwrap()),
            checkpoint: self.signed(size),
        }
    }

    fn consistency(&self, old: u64, new: u64) -> ConsistencyProof {
        let hashes = self.hashes(&Path::consistency(old, new).unwrap());
        ConsistencyProof { old, hashes, checkpoint: self.signed(new) }
    }
}

/// Both verifiers, and the key that is pinned.
struct Both<'a> {
    auditor: Auditor,
    key: &'a Verifier,
}

impl Both<'_> {
    /// What both say of a proof; that they say the same.
    #[track_caller]
    fn say(&mut self, proof: &[u8], old: Option<&str>) -> Result<Value, NoteError> {
        let (key, kept) = (self.key.to_string(), old.map(str::as_bytes));
        self.auditor.ask(&json!({"proof": proof, "key": key, "old": kept}));
        let ours = match old {
            Some(old) => self.consistency(proof, old),
            None => self.inclusion(proof),
        };
        let theirs = self.auditor.answer();
        let text = String::from_utf8_lossy(proof);
        assert_eq!(ours.is_err(), theirs["refused"].is_string(), "{ours:?}; in Python: {theirs:#}; {text}");
        if let Ok(facts) = &ours {
            for (name, fact) in facts.as_object().unwrap() {
                assert_eq!(*fact, theirs[name], "{name}; {text}");
            }
        }
        ours
    }

    fn inclusion(&self, proof: &[u8]) -> Result<Value, NoteError> {
        let proof = InclusionProof::decode(proof)?;
        let included = proof.verify(self.key)?;
        let record = included.record;
        Ok(json!({
            "proof": "inclusion", "stream": included.stream, "offset": record.offset, "position": record.position,
            "timestamp": record.timestamp, "sealed": record.tag.is_some(), "payload_bytes": record.payload.len(),
            "size": included.checkpoint.size,
        }))
    }

    fn consistency(&self, proof: &[u8], old: &str) -> Result<Value, NoteError> {
        let kept = Checkpoint::open(old.as_bytes(), self.key)?;
        let new = ConsistencyProof::decode(proof)?.verify(&kept, self.key)?;
        Ok(json!({"proof": "consistency", "old_size": kept.size, "size": new.size}))
    }
}

/// The text with each byte changed, and each line left out, doubled, or exchanged with the next. Not doubled is the last one: a second
/// signature of one key is none too many.
fn changed(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = (0..text.len()).map(move |at| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1 << (at % 7);
        bytes
    });
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let by_line = (0..lines.len()).flat_map(move |at| {
        let without = [&lines[..at], &lines[at + 1..]].concat();
        let doubled = [&lines[..at], &lines[at..=at], &lines[at..]].concat();
        let mut exchanged = lines.clone();
        exchanged.swap(at, (at + 1) % lines.len());
        let doubled = if at + 1 < lines.len() { doubled } else { lines.clone() };
        [without, doubled, exchanged].map(|lines| lines.concat().into_bytes())
    });
    bytes.chain(by_line).filter(move |bytes| bytes != text.as_bytes())
}

#[test]
fn every_field_of_every_proof_of_a_record() {
    let Some(python) = python() else { return };
    let tenant = Tenant::new(11);
    let mut both = Both { auditor: Auditor::start(python), key: &tenant.key };
    let forger = Signer::from_seed(b"the seed of another engine's key");
    for size in [1, 2, 7, 8, 11] {
        for index in 0..size {
            let proof = tenant.inclusion(index, size);
            both.say(proof.encode().as_bytes(), None).unwrap();
            let mut wrong = Vec::new();
            let mut change = |change: &dyn Fn(&mut InclusionProof)| {
                let mut proof = proof.clone();
                change(&mut proof);
                wrong.push(proof);
            };
            change(&|proof| proof.index += 1);
            change(&|proof| proof.index = proof.index.wrapping_sub(1));
            change(&|proof| proof.stream ^= 3);
            change(&|proof| proof.link_before = crypto::genesis(ORIGIN.tenant, 9));
            for at in 0..proof.record.len() {
                change(&|proof| proof.record[at] ^= 1 << (at % 8));
            }
            change(&|proof| proof.record.push(0));
            change(&|proof| proof.record.truncate(proof.record.len() - 1));
            for at in 0..proof.hashes.len() {
                change(&|proof| proof.hashes[at] = Hash::EMPTY_TREE);
                change(&|proof| _ = proof.hashes.remove(at));
                change(&|proof| proof.hashes.insert(at, proof.hashes[at]));
            }
            change(&|proof| proof.hashes.push(Hash::EMPTY_TREE));
            change(&|proof| proof.checkpoint = tenant.checkpoint(size).sign(&forger));
            change(&|proof| {
                let other = Origin { tenant: 7, ..ORIGIN };
                proof.checkpoint = Checkpoint { origin: other, ..tenant.checkpoint(size) }.sign(&tenant.signer);
            });
            for other in [1, 2, 7, 8, 11, 0].into_iter().filter(|other| *other != size) {
                change(&|proof| proof.checkpoint = tenant.signed(other));
            }
            for wrong in wrong {
                both.say(wrong.encode().as_bytes(), None).unwrap_err();
            }
        }
    }
    for wrong in changed(&tenant.inclusion(3, 11).encode()) {
        both.say(&wrong, None).unwrap_err();
    }
}

#[test]
fn every_field_of_every_proof_of_consistency() {
    let Some(python) = python() else { return };
    let tenant = Tenant::new(11);
    let mut both = Both { auditor: Auditor::start(python), key: &tenant.key };
    let forger = Signer::from_seed(b"the seed of another engine's key");
    for (old, new) in (0..=11).flat_map(|new| (0..=new).map(move |old| (old, new))) {
        let (proof, kept) = (tenant.consistency(old, new), tenant.signed(old));
        both.say(proof.encode().as_bytes(), Some(&kept)).unwrap();
        let mut refused = |change: &dyn Fn(&mut ConsistencyProof), kept: &str| {
            let mut proof = proof.clone();
            change(&mut proof);
            both.say(proof.encode().as_bytes(), Some(kept)).unwrap_err();
        };
        refused(&|proof| proof.old += 1, &kept);
        refused(&|proof| proof.old = proof.old.wrapping_sub(1), &kept);
        for at in 0..proof.hashes.len() {
            refused(&|proof| proof.hashes[at] = Hash::EMPTY_TREE, &kept);
            refused(&|proof| _ = proof.hashes.remove(at), &kept);
            refused(&|proof| proof.hashes.insert(at, proof.hashes[at]), &kept);
        }
        refused(&|proof| proof.hashes.push(Hash::EMPTY_TREE), &kept);
        refused(&|proof| proof.checkpoint = tenant.checkpoint(new).sign(&forger), &kept);
        // Another history of the same size, signed by the same key: what a fork is.
        let fork = Checkpoint { root: merkle::leaf(1, 2, &crypto::genesis(3, 4)), ..tenant.checkpoint(old) };
        refused(&|_| {}, &fork.sign(&tenant.signer));
        let other = Checkpoint { origin: Origin { tenant: 7, ..ORIGIN }, ..tenant.checkpoint(old) };
        refused(&|_| {}, &other.sign(&tenant.signer));
        refused(&|_| {}, &tenant.checkpoint(old).sign(&forger));
        if old > 0 {
            refused(&|_| {}, &tenant.signed(old - 1));
        }
    }
    let (proof, kept) = (tenant.consistency(6, 11).encode(), tenant.signed(6));
    for wrong in changed(&proof) {
        both.say(&wrong, Some(&kept)).unwrap_err();
    }
    for wrong in changed(&kept) {
        // Broken text is none of a checkpoint for either of them; what is text is asked.
        if let Ok(wrong) = std::str::from_utf8(&wrong) {
            both.say(proof.as_bytes(), Some(wrong)).unwrap_err();
        }
    }
}

/// The command, as an auditor calls it.
#[test]
fn by_the_command() {
    let Some(python) = python() else { return };
    let (tenant, place) = (Tenant::new(11), Place::new());
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (record, extends, kept) = (path("record.tlog-proof"), path("extends.proof"), path("kept.checkpoint"));
    fs::write(&record, tenant.inclusion(4, 11).encode()).unwrap();
    fs::write(&extends, tenant.consistency(6, 11).encode()).unwrap();
    fs::write(&kept, tenant.signed(6)).unwrap();
    let key = tenant.key.to_string();
    let proof = |args: &[&str]| two_verifiers::command(python, &[&["proof"], args].concat());

    let ended = proof(&[&record, "--key", &key]).succeeds();
    assert!(ended.text().contains("position       4\n") && ended.text().ends_with("verified\n"), "{}", ended.text());
    proof(&[&extends, "--old", &kept, "--key", &key]).succeeds();

    for (args, code, words) in [
        (&[extends.as_str(), "--key", &key][..], 2, "needs --old"),
        (&[&record, "--old", &kept, "--key", &key], 2, "--old is for a proof of consistency"),
        (&[&kept, "--key", &key], 1, "neither a proof of a record nor one of consistency"),
        (&[&record, "--key", "no key"], 2, "is not a verification key"),
        (&[&path("none"), "--key", &key], 2, "cannot read"),
        (&[&record], 2, "--key"),
    ] {
        let ended = proof(args);
        assert!(ended.code == code && ended.err.contains(words), "{} {}", ended.code, ended.err);
        assert!(!ended.err.contains("Traceback"), "{}", ended.err);
    }
    let other = Signer::from_seed(b"the seed of another engine's key").verifier(&ORIGIN.to_string()).unwrap();
    let ended = proof(&[&record, "--key", &other.to_string()]);
    assert!(ended.code == 1 && ended.err.contains("no signature is by a key that was given"), "{}", ended.err);
}
