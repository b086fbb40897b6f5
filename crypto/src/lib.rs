//! The chain that makes a stream's history tamper-evident.
//!
//! Every record of a stream has a [`Link`]: the SHA-256 of the link before it and of the
//! record's bytes as they stand in the log.
//!
//! ```text
//! genesis = SHA-256( "diatreme/chain/genesis/v1" 00 tenant:u64-LE stream:u32-LE )
//! link    = SHA-256( 02 previous-link[32] record[..] )
//! ```
//!
//! What must stay true:
//!
//! - The record is hashed as stored (sealed, where it is sealed), so whoever verifies a chain
//!   needs no key, and a chain outlives the key of its payloads.
//! - The leading 02 keeps links apart from the leaves (00) and the nodes (01) of an RFC 6962
//!   Merkle tree: no input of one kind is an input of another.
//! - A link has one preimage layout: the prefix and the previous link have fixed lengths and the
//!   record takes all the rest, so no length field is needed to make the encoding injective.
//!
//! Over the links stand trees ([`merkle`]), and over their roots signed notes ([`note`]).
//!
//! A chain has no secrets: all its inputs are public, so nothing is wiped and comparison need not
//! be constant-time. What has secrets is in modules of its own: [`secret`] keeps them, [`seal`]
//! seals records, [`wrap`] makes keys fit to be stored.
//!
//! Not here: the layout of a record (the log's business), files and clocks.

#![deny(unsafe_code)]

pub mod merkle;
pub mod note;

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics of the SHA instructions")]
mod sha_ni;

mod derive;
pub mod seal;
pub mod secret;
pub mod wrap;

use std::fmt;

use sha2::{Digest, Sha256};

/// How many chains [`next_lanes`] extends at once, at most.
pub const LANES: usize = 4;

/// Bytes of a link.
const LINK_BYTES: usize = 32;

/// Keeps links apart from RFC 6962 leaves (0) and nodes (1).
const CHAIN_PREFIX: u8 = 2;

/// What every genesis hash starts with. The zero byte after it ends the name, so that a longer
/// name in a later version cannot continue into the tenant's bytes.
const GENESIS_DOMAIN: &[u8] = b"diatreme/chain/genesis/v1\0";

/// A stream's chain up to and including one record.
///
/// Displays as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link([u8; LINK_BYTES]);

impl Link {
    /// A link as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; LINK_BYTES]) -> Self {
        Self(bytes)
    }

    /// The link as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LINK_BYTES] {
        &self.0
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// The link before a stream's first record.
///
/// Tenant and stream are part of it, so that one stream's records do not verify as another's.
#[must_use]
pub fn genesis(tenant: u64, stream: u32) -> Link {
    Link(sha256(&[GENESIS_DOMAIN, &tenant.to_le_bytes(), &stream.to_le_bytes()]))
}

/// The link of `record`, whose predecessor in the stream has the link `previous`.
#[must_use]
pub fn next(previous: &Link, record: &[u8]) -> Link {
    let mut link = *previous;
    extend::<1>(std::slice::from_mut(&mut link), &[record]);
    link
}

/// Extends up to [`LANES`] independent chains at once: each `links[i]` becomes
/// `next(&links[i], records[i])`. Records may differ in length.
///
/// # Panics
///
/// If there are no links, more than [`LANES`], or not as many records as links.
pub fn next_lanes(links: &mut [Link], records: &[&[u8]]) {
    assert!(
        (1..=LANES).contains(&links.len()) && links.len() == records.len(),
        "{} links and {} records: 1 to {LANES} of each, as many as the other",
        links.len(),
        records.len(),
    );
    match links.len() {
        1 => extend::<1>(links, records),
        2 => extend::<2>(links, records),
        3 => extend::<3>(links, records),
        _ => extend::<LANES>(links, records),
    }
}

/// [`next_lanes`] for a number of lanes known to the compiler.
#[inline]
fn extend<const N: usize>(links: &mut [Link], records: &[&[u8]]) {
    #[cfg(target_arch = "x86_64")]
    if sha_ni::ShaNi::detect().is_some_and(|sha_ni| sha_ni.extend::<N>(links, records)) {
        return;
    }
    for (link, record) in links.iter_mut().zip(records) {
        *link = next_portable(link, record);
    }
}

/// [`next`] by `sha2` alone.
fn next_portable(previous: &Link, record: &[u8]) -> Link {
    Link(sha256(&[&[CHAIN_PREFIX], previous.as_bytes(), record]))
}

/// The SHA-256 of the parts, one after the other. For cold paths.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Which SHA-256 extends chains on this machine, for the start-up report.
#[must_use]
pub fn implementation() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if sha_ni::ShaNi::detect().is_some() {
        return "SHA-NI, up to 4 lanes";
    }
    "sha2"
}

#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
