//! The data keys of the shard's tenants, and the ciphers that seal and open records with them.
//!
//! A cipher belongs to one data key and one segment (docs/format.md, "Sealing"). To seal there is one for each key, made anew
//! when the log goes over to another segment; to open, a few are kept, since what is read lies mostly in few segments.
//!
//! What must stay true:
//! - a record is sealed with a cipher made of the salt of the segment that its frame goes to;
//! - a place of a key that was forgotten is given to no other key: a stream that still names it seals with none.
//!
//! Deliberately absent: which key a stream is sealed with (the kernel), and where keys come from (the engine).

use crate::format::segment::SegmentHeader;
use crate::limits::OPENERS_MAX;
use crypto::seal::{ASSOCIATED_BYTES, HASHED_HEADER_BYTES, SegmentKey, associated_data};
use crypto::secret::DataKey;
use hashbrown::HashMap;
use planted::Bug;

/// The value of a stream's place in the keyring before it has one.
pub(crate) const NO_PLACE: u32 = u32::MAX;

/// Which key: tenant and key id.
type KeyName = (u64, u32);

#[derive(Debug, Default)]
pub(crate) struct Keyring {
    places: HashMap<KeyName, u32, foldhash::fast::RandomState>,
    sealers: Vec<Option<Sealer>>,
    openers: Vec<Opener>,
    /// The opener that makes room for the next one.
    oldest: usize,
}

/// A key, and its cipher for the segment that was written with it last.
#[derive(Debug)]
struct Sealer {
    name: KeyName,
    key: DataKey,
    /// The segment's number; 0 before the first.
    segment: u32,
    cipher: Option<SegmentKey>,
}

/// A cipher for a segment that is read.
#[derive(Debug)]
struct Opener {
    name: KeyName,
    salt: [u8; 32],
    cipher: SegmentKey,
}

impl Keyring {
    /// Takes a key. One that is there already stays.
    pub(crate) fn add(&mut self, tenant: u64, key_id: u32, key: DataKey) {
        let name = (tenant, key_id);
        let sealers = &mut self.sealers;
        self.places.entry(name).or_insert_with(|| {
            sealers.push(Some(Sealer { name, key, segment: 0, cipher: None }));
            (sealers.len() - 1) as u32
        });
    }

    /// Drops a key and every cipher made of it.
    pub(crate) fn forget(&mut self, tenant: u64, key_id: u32) {
        let name = (tenant, key_id);
        if let Some(place) = self.places.remove(&name) {
            self.sealers[place as usize] = None;
        }
        self.openers.retain(|opener| opener.name != name);
        self.oldest = 0;
    }

    /// Where a key is.
    pub(crate) fn place(&self, tenant: u64, key_id: u32) -> Option<u32> {
        self.places.get(&(tenant, key_id)).copied()
    }

    /// Whether the place still has its key.
    #[inline]
    pub(crate) fn holds(&self, place: u32) -> bool {
        self.sealers.get(place as usize).is_some_and(Option::is_some)
    }

    /// The cipher that seals records in the segment.
    ///
    /// # Panics
    /// If the place has no key.
    #[inline]
    pub(crate) fn sealer(&mut self, place: u32, segment: &SegmentHeader) -> &SegmentKey {
        let sealer = self.sealers[place as usize].as_mut().expect("the key was asked for");
        if sealer.segment != segment.id.number {
            sealer.derive(segment);
        }
        sealer.cipher.as_ref().expect("derived with the segment's number")
    }

    /// The cipher that opens records of a segment with this salt; `None` without the key.
    pub(crate) fn opener(&mut self, tenant: u64, key_id: u32, salt: &[u8; 32]) -> Option<&SegmentKey> {
        let name = (tenant, key_id);
        let known = self.openers.iter().position(|opener| opener.name == name && opener.salt == *salt);
        let at = match known {
            Some(at) => at,
            None => {
                let sealer = self.sealers[self.place(tenant, key_id)? as usize].as_ref()?;
                let cipher = derive(&sealer.key, salt, name);
                self.keep(Opener { name, salt: *salt, cipher })
            }
        };
        Some(&self.openers[at].cipher)
    }

    fn keep(&mut self, opener: Opener) -> usize {
        if self.openers.len() < OPENERS_MAX {
            self.openers.push(opener);
            return self.openers.len() - 1;
        }
        let at = self.oldest;
        self.openers[at] = opener;
        self.oldest = (at + 1) % OPENERS_MAX;
        at
    }
}

impl Sealer {
    #[cold]
    fn derive(&mut self, segment: &SegmentHeader) {
        if self.cipher.is_none() || !planted::is(Bug::CipherKeptOverSegments) {
            self.cipher = Some(derive(&self.key, &segment.salt, self.name));
        }
        self.segment = segment.id.number;
    }
}

fn derive(key: &DataKey, salt: &[u8; 32], (tenant, key_id): KeyName) -> SegmentKey {
    let unsalted = planted::is(Bug::SealedWithoutSalt) || planted::is(Bug::CounterStartsOver);
    let salt = if unsalted { &[0; 32] } else { salt };
    SegmentKey::derive(key, salt, tenant, key_id)
}

/// What a record's nonce is made of: its frame, and the byte of it at which the record begins.
#[inline]
pub(crate) fn nonce(sequence: u64, at: u32, offset: u64) -> (u64, u32) {
    if planted::is(Bug::NonceOfOffset) {
        return (offset, 0);
    }
    let at = if planted::is(Bug::NonceOfFrameAlone) { 0 } else { at };
    let sequence = if planted::is(Bug::NonceOfPlaceAlone) { 0 } else { sequence };
    let sequence = if planted::is(Bug::CounterStartsOver) { sequence & 63 } else { sequence };
    let sequence = if planted::is(Bug::TailSealedAgain) { sequence & !1 } else { sequence };
    (sequence, at)
}

/// What a record is bound to: whose it is, and what it says of itself.
#[inline]
pub(crate) fn identity(tenant: u64, stream: u32, hashed: &[u8; HASHED_HEADER_BYTES]) -> [u8; ASSOCIATED_BYTES] {
    if planted::is(Bug::IdentityNotSealed) {
        return [0; ASSOCIATED_BYTES];
    }
    associated_data(tenant, stream, hashed)
}
