//! What must never come twice, over all openings, crashes, copies and clones of a run: incarnations, salts, and nonces under one key.
//!
//! An account of its own of what reaches the disk. Each segment's header and each frame is read as it is handed to the disk, whatever
//! becomes of it there; each sealed record is opened with the key and the nonce that docs/format.md says. What must hold:
//! - no two openings have one incarnation, no two segments one salt;
//! - a record is sealed as documented, with the newest key of its stream, or of its tenant; nothing is sealed with a destroyed key;
//! - of a tenant or stream that has a key, no data record is in the clear; and no payload is anywhere else than in such a record;
//! - no key and nonce come twice, but for the same bytes.
//!
//! The last law is held in two ways. One is by key and nonce as documented. The other knows neither: of each payload some bytes are known
//! ([`payload::known`]), and with the ciphertext they give a piece of the key stream; where a piece comes twice, so did key and nonce, however
//! the engine came by them. So a wrong derivation that opens what it sealed is not only told to be undocumented.

use crate::keys::{KeyName, Keys};
use crate::payload;
use crypto::seal::{HASHED_HEADER_BYTES, SegmentKey, TAG_BYTES, associated_data};
use iobackend::sim::{SimDisk, Written};
use kernel::{KeyView, RecordKind};
use log::format::frame::{FrameHeader, HEADER_BYTES, RECORD_HEADER_BYTES, Record, TableEntry, record_bytes};
use log::format::segment::{SegmentHeader, SegmentId};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Which opening, by its number in the run.
type Opening = u32;

/// Every identity seen so far.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    incarnations: Vec<[u8; 16]>,
    salts: BTreeMap<[u8; 32], (SegmentId, Opening)>,
    segments: BTreeMap<(Opening, SegmentId), [u8; 32]>,
    /// The cipher that was used last of each key, with the salt that it is made of.
    ciphers: BTreeMap<KeyName, ([u8; 32], SegmentKey)>,
    nonces: BTreeMap<Nonce, Sealed>,
    streams: BTreeMap<payload::Known, Sealed>,
    /// What seals which stream (0: the tenant's others) in the newest opening.
    newest: BTreeMap<(u64, u32), u32>,
    /// Records that were sealed.
    pub(crate) sealed: u64,
    /// The first record that was not sealed as documented. It is told when the run is over: what else is wrong says more.
    undocumented: Option<String>,
}

/// A nonce under a segment's key: that of a data key and a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Nonce {
    key: KeyName,
    salt: [u8; 32],
    sequence: u64,
    at: u32,
}

/// What was sealed, and where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sealed {
    /// Of ciphertext, tag and associated data.
    digest: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    opening: Opening,
    segment: SegmentId,
    sequence: u64,
    at: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { opening, segment, sequence, at } = self;
        write!(f, "byte {at} of frame {sequence} in {segment} of opening {opening}")
    }
}

/// A data record, and where it lies.
struct Data<'a> {
    record: Record<'a>,
    entry: TableEntry,
    place: Place,
}

impl Registry {
    /// Notes an opening, and the keys that its catalogs name.
    pub(crate) fn opening(&mut self, incarnation: [u8; 16], keys: &[KeyView]) -> Result<(), String> {
        if self.incarnations.contains(&incarnation) {
            return Err("two openings have the same incarnation".into());
        }
        self.incarnations.push(incarnation);
        self.newest.clear();
        for view in keys {
            let newest = self.newest.entry((view.tenant.0, view.stream.map_or(0, |stream| stream.0))).or_default();
            *newest = view.key_id.max(*newest);
        }
        Ok(())
    }

    /// Takes what was handed to a disk since the last call.
    pub(crate) fn look(&mut self, disk: &SimDisk, keys: &Keys) -> Result<(), String> {
        disk.take_written().iter().try_for_each(|written| self.written(written, keys))
    }

    /// What is wrong and was not told yet, when the run is over.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.undocumented.take()
    }

    fn written(&mut self, written: &Written, keys: &Keys) -> Result<(), String> {
        let Written { file, at, bytes } = written;
        let mut clear = Vec::new();
        if *at == 0 {
            let header = SegmentHeader::decode(bytes).map_err(|fault| format!("{file} gets a header: {fault}"))?;
            self.segment(&header)?;
        } else if let Ok(header) = FrameHeader::decode(bytes) {
            self.frame(&header, bytes, keys, &mut clear)?;
        }
        match payload::find(bytes).find(|found| !clear.iter().any(|range: &Range<usize>| range.contains(found))) {
            Some(found) => Err(format!("a payload lies in the clear at byte {} of {file}", at + found as u64)),
            None => Ok(()),
        }
    }

    /// An opening that came to nothing may have written, and was never told of.
    fn opening_of(&mut self, incarnation: &[u8; 16]) -> Opening {
        let known = self.incarnations.iter().position(|one| one == incarnation);
        known.unwrap_or_else(|| {
            self.incarnations.push(*incarnation);
            self.incarnations.len() - 1
        }) as Opening
    }

    fn segment(&mut self, header: &SegmentHeader) -> Result<(), String> {
        let place = (header.id, self.opening_of(&header.incarnation));
        let known = *self.salts.entry(header.salt).or_insert(place);
        if known != place {
            let (id, opening) = place;
            return Err(format!("{id} of opening {opening} has the salt of {} of opening {}", known.0, known.1));
        }
        self.segments.insert((place.1, place.0), header.salt);
        Ok(())
    }

    /// Reads a frame, and says where in it payloads are in the clear that may be.
    fn frame(
        &mut self,
        header: &FrameHeader,
        frame: &[u8],
        keys: &Keys,
        clear: &mut Vec<Range<usize>>,
    ) -> Result<(), String> {
        let segment = SegmentId { log: header.log, number: header.segment };
        let opening = self.opening_of(&header.incarnation);
        let name = format!("frame {} in {segment} of opening {opening}", header.sequence);
        let broken = |fault| format!("{name} is written and is none: {fault}");
        header.check_body(frame).map_err(broken)?;
        let table: Vec<TableEntry> = header.table(frame).map_err(broken)?.iter().collect();
        let mut at = HEADER_BYTES;
        for record in header.records(frame) {
            let record = record.map_err(broken)?;
            let Some(entry) = table.get(usize::from(record.header.slot)) else {
                return Err(format!("{name} has a record of no stream at byte {at}"));
            };
            let place = Place { opening, segment, sequence: header.sequence, at: at as u32 };
            if record.header.kind == RecordKind::Data as u8 {
                let data = Data { record, entry: *entry, place };
                if self.data(&data, keys)? {
                    let from = at + RECORD_HEADER_BYTES;
                    clear.push(from..from + record.payload.len());
                }
            } else {
                self.catalog(&record, entry.tenant, place)?;
            }
            let tag = if record.is_sealed() { TAG_BYTES } else { 0 };
            at += record_bytes(record.payload.len() + tag);
        }
        Ok(())
    }

    fn catalog(&mut self, record: &Record<'_>, tenant: u64, place: Place) -> Result<(), String> {
        if record.is_sealed() || record.header.key_id != 0 {
            return Err(format!("a catalog's record is sealed, at {place}"));
        }
        if record.header.kind == RecordKind::DataKey as u8
            && let Some((key_id, rest)) = record.payload.split_first_chunk()
            && let Some((stream, _)) = rest.split_first_chunk()
        {
            let newest = self.newest.entry((tenant, u32::from_le_bytes(*stream))).or_default();
            *newest = u32::from_le_bytes(*key_id).max(*newest);
        }
        Ok(())
    }

    /// Whether a data record is in the clear, and may be.
    fn data(&mut self, data: &Data<'_>, keys: &Keys) -> Result<bool, String> {
        let Data { record, entry: TableEntry { tenant, stream, .. }, place } = data;
        let own = self.newest.get(&(*tenant, *stream)).or_else(|| self.newest.get(&(*tenant, 0)));
        let (wanted, key_id) = (own.copied().unwrap_or(0), record.header.key_id);
        if key_id != wanted {
            return Err(format!(
                "a record of {tenant:016x}/{stream} is sealed with key {key_id}, and key {wanted} is the newest (0: none), at {place}"
            ));
        }
        match (record.is_sealed(), key_id) {
            (false, 0) => Ok(true),
            (true, 1..) => self.sealed(data, keys).map(|()| false),
            (sealed, _) => Err(format!("a record names key {key_id}, and that it is sealed is {sealed}, at {place}")),
        }
    }

    fn sealed(&mut self, data: &Data<'_>, keys: &Keys) -> Result<(), String> {
        let Data { record, entry: TableEntry { tenant, stream, .. }, place } = data;
        let key = (*tenant, record.header.key_id);
        if keys.is_destroyed(key) {
            return Err(format!(
                "a record is sealed with key {} of {tenant:016x}, which is destroyed, at {place}",
                key.1
            ));
        }
        let Some(&salt) = self.segments.get(&(place.opening, place.segment)) else {
            return Err(format!("a record is sealed before its segment has a salt, at {place}"));
        };
        let (header, body) = record
            .hashed
            .split_first_chunk::<HASHED_HEADER_BYTES>()
            .unwrap_or_else(|| unreachable!("a record has its header"));
        let associated = associated_data(*tenant, *stream, header);
        let (ciphertext, tag) = body.split_at(record.payload.len());
        let mut digest = DefaultHasher::new();
        (ciphertext, tag, associated).hash(&mut digest);
        let sealed = Sealed { digest: digest.finish(), place: *place };
        self.sealed += 1;
        let nonce = Nonce { key, salt, sequence: place.sequence, at: place.at };
        once(&mut self.nonces, nonce, sealed, "the same key and nonce")?;
        if let Some(known) = payload::known(ciphertext) {
            once(&mut self.streams, known, sealed, "the same key stream")?;
        }
        if self.undocumented.is_none() && !self.opens(nonce, &associated, ciphertext, tag, keys) {
            self.undocumented = Some(format!("a record does not open as docs/format.md says, at {place}"));
        }
        Ok(())
    }

    fn opens(&mut self, nonce: Nonce, associated: &[u8], ciphertext: &[u8], tag: &[u8], keys: &Keys) -> bool {
        let Nonce { key, salt, sequence, at } = nonce;
        let derive = || (salt, SegmentKey::derive(&keys.key(key), &salt, key.0, key.1));
        let cipher = self.ciphers.entry(key).or_insert_with(derive);
        if cipher.0 != salt {
            *cipher = derive();
        }
        let mut payload = ciphertext.to_vec();
        let tag = tag.first_chunk();
        let opened = tag.is_some_and(|tag| cipher.1.open(sequence, at, associated, &mut payload, tag).is_ok());
        opened && payload::read(&payload).is_some()
    }
}

/// What comes a second time is the same record.
fn once<K: Ord>(seen: &mut BTreeMap<K, Sealed>, key: K, sealed: Sealed, what: &str) -> Result<(), String> {
    let first = *seen.entry(key).or_insert(sealed);
    if first.digest == sealed.digest {
        return Ok(());
    }
    Err(format!("two records are sealed under {what}: at {}, and at {}", first.place, sealed.place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Identity;
    use iobackend::FileName;
    use log::format::frame::{ENTRY_BYTES, RecordHeader};
    use log::format::{BLOCK_BYTES, crc};

    const TENANT: u64 = 7;
    const SALT: [u8; 32] = [5; 32];
    const ID: SegmentId = SegmentId { log: 0, number: 1 };

    fn written(at: u64, bytes: Vec<u8>) -> Written {
        Written { file: FileName::new("shard-0000/00000001.seg").unwrap(), at, bytes }
    }

    fn segment() -> Written {
        let mut block = vec![0; BLOCK_BYTES];
        let (engine, incarnation, base) = ([0; 16], [1; 16], log::format::segment::Base::default());
        let capacity = 1 << 20;
        SegmentHeader { id: ID, engine, incarnation, salt: SALT, capacity, created_at: 0, base }.encode(&mut block);
        written(0, block)
    }

    /// A frame with one record of append `append`, sealed with a key made of this salt; in the clear without one.
    fn frame(sequence: u64, append: u32, salt: Option<[u8; 32]>, keys: &Keys) -> Written {
        let mut frame = vec![0; BLOCK_BYTES];
        let mut sealed = [0; 40];
        payload::write(Identity { append, index: 0 }, &mut sealed);
        let (flags, key_id) = if salt.is_some() { (1, 1) } else { (0, 0) };
        let fixed = RecordHeader {
            slot: 0,
            kind: RecordKind::Data as u8,
            flags,
            payload_bytes: 40,
            offset: append.into(),
            position: 9,
            timestamp: 1,
            key_id,
        };
        let mut header = [0; RECORD_HEADER_BYTES];
        fixed.encode(&mut header);
        let mut tag = Vec::new();
        if let Some(salt) = salt {
            let associated = associated_data(TENANT, 1, header[2..].first_chunk().unwrap());
            let cipher = SegmentKey::derive(&keys.key((TENANT, 1)), &salt, TENANT, 1);
            tag = cipher.seal(sequence, HEADER_BYTES as u32, &associated, &mut sealed).to_vec();
        }
        let records_bytes = record_bytes(sealed.len() + tag.len());
        let record: Vec<u8> = [&header[..], &sealed, &tag].concat();
        frame[HEADER_BYTES..][..record.len()].copy_from_slice(&record);
        let table_at = HEADER_BYTES + records_bytes;
        frame[table_at..][..8].copy_from_slice(&TENANT.to_le_bytes());
        frame[table_at + 8..][..4].copy_from_slice(&1u32.to_le_bytes());
        let header = FrameHeader {
            mark: false,
            log: ID.log,
            entries: 1,
            segment: ID.number,
            incarnation: [1; 16],
            sequence,
            durable_mark: 0,
            position: BLOCK_BYTES as u64,
            length: BLOCK_BYTES as u32,
            records_bytes: records_bytes as u32,
            records: 1,
            previous_crc: 0,
            sealed_at: 0,
            table_crc: crc(&frame[table_at..table_at + ENTRY_BYTES]),
            body_crc: crc(&frame[HEADER_BYTES..]),
        };
        header.encode(&mut frame);
        written(BLOCK_BYTES as u64, frame)
    }

    /// A registry that saw the segment's header, of a tenant with a key.
    fn registry() -> (Registry, Keys) {
        let (mut registry, mut keys) = (Registry::default(), Keys::new(1));
        assert_eq!(keys.draw(TENANT, 0).key_id, 1);
        registry.newest.insert((TENANT, 0), 1);
        registry.written(&segment(), &keys).unwrap();
        (registry, keys)
    }

    #[test]
    fn another_record_under_a_nonce_is_refused_and_the_same_one_is_not() {
        let (mut registry, keys) = registry();
        let first = frame(3, 1, Some(SALT), &keys);
        registry.written(&first, &keys).unwrap();
        registry.written(&first, &keys).unwrap();
        registry.written(&frame(4, 2, Some(SALT), &keys), &keys).unwrap();
        let twice = registry.written(&frame(3, 2, Some(SALT), &keys), &keys).unwrap_err();
        assert!(
            twice.starts_with("two records are sealed under the same key and nonce: at byte 128 of frame 3"),
            "{twice}"
        );
        assert_eq!((registry.finish(), registry.sealed), (None, 4));
    }

    #[test]
    fn what_is_not_sealed_as_documented_is_told() {
        let (mut registry, keys) = registry();
        registry.written(&frame(3, 1, Some([6; 32]), &keys), &keys).unwrap();
        assert!(registry.finish().unwrap().starts_with("a record does not open as docs/format.md says"));
        let clear = registry.written(&frame(4, 2, None, &keys), &keys).unwrap_err();
        assert!(clear.contains("sealed with key 0, and key 1 is the newest"), "{clear}");
    }

    #[test]
    fn a_payload_in_the_clear_and_a_destroyed_key_are_told() {
        let (mut registry, mut keys) = registry();
        let mut footer = vec![0; BLOCK_BYTES];
        payload::write(Identity { append: 1, index: 0 }, &mut footer[100..140]);
        let found = registry.written(&written(8192, footer), &keys).unwrap_err();
        assert_eq!(found, "a payload lies in the clear at byte 8302 of shard-0000/00000001.seg");
        let sealed = frame(5, 3, Some(SALT), &keys);
        keys.destroy(TENANT, None);
        assert!(registry.written(&sealed, &keys).unwrap_err().contains("which is destroyed"));
    }
}
