//! What the file `state` holds: how far each log was followed, how far each tenant's tree goes, and each stream's last link.
//!
//! It is saved whole, and as large as there are streams: 56 bytes each. It is derived, and worth no repair: whatever is wrong
//! with it, the trees are made anew from the log.

use crate::follow::{Reason, Stop, StreamEnd};
use crypto::Link;
use crypto::merkle::Hash;
use log::{Cursor, SegmentId};

const MAGIC: &[u8; 8] = b"DIATNOTA";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 40;
const LOG_BYTES: usize = 40;
const TENANT_BYTES: usize = 64;
const STREAM_BYTES: usize = 56;
const CRC_BYTES: usize = 4;

/// The state, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) engine: [u8; 16],
    pub(crate) logs: Vec<(u16, Cursor)>,
    pub(crate) tenants: Vec<TenantState>,
    pub(crate) streams: Vec<StreamState>,
}

/// A stream, by tenant and id, and where its chain is.
pub(crate) type StreamState = ((u64, u32), StreamEnd);

/// A tenant's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TenantState {
    pub(crate) tenant: u64,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) stop: Option<Stop>,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let body = self.logs.len() * LOG_BYTES + self.tenants.len() * TENANT_BYTES + self.streams.len() * STREAM_BYTES;
        let mut out = Out(Vec::with_capacity(HEAD_BYTES + body + CRC_BYTES));
        out.bytes(MAGIC).u16(VERSION).u16(0).u32(self.logs.len() as u32);
        out.bytes(&self.engine).u32(self.tenants.len() as u32).u32(self.streams.len() as u32);
        for (log, cursor) in &self.logs {
            out.u16(*log).u16(0).u32(cursor.segment).u64(cursor.frame).u64(cursor.end).u64(cursor.sequence);
            out.u32(cursor.body_crc).u32(0);
        }
        for tenant in &self.tenants {
            let stop = tenant
                .stop
                .map_or((0, 0, 0, 0), |stop| (stop.reason.code(), stop.segment.log, stop.segment.number, stop.byte));
            out.u64(tenant.tenant).u64(tenant.size).bytes(tenant.root.as_bytes());
            out.u16(stop.0).u16(stop.1).u32(stop.2).u64(stop.3);
        }
        for ((tenant, stream), end) in &self.streams {
            out.u64(*tenant).u32(*stream).u32(0).u64(end.next_offset).bytes(end.link.as_bytes());
        }
        let sum = log::format::crc(&out.0);
        out.u32(sum);
        out.0
    }

    /// The state, if it is whole and of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<State> {
        let (covered, sum) = bytes.split_last_chunk::<CRC_BYTES>()?;
        let mut rest = In(covered);
        if rest.array::<8>()? != *MAGIC || u32::from_le_bytes(*sum) != log::format::crc(covered) {
            return None;
        }
        let (version, _, logs) = (rest.u16()?, rest.u16()?, rest.u32()?);
        let mut state = State { engine: rest.array()?, ..State::default() };
        let (tenants, streams) = (rest.u32()?, rest.u32()?);
        if version != VERSION {
            return None;
        }
        for _ in 0..logs {
            let (log, _) = (rest.u16()?, rest.u16()?);
            let (segment, frame, end, sequence) = (rest.u32()?, rest.u64()?, rest.u64()?, rest.u64()?);
            let (body_crc, _) = (rest.u32()?, rest.u32()?);
            state.logs.push((log, Cursor { segment, frame, end, sequence, body_crc }));
        }
        for _ in 0..tenants {
            let (tenant, size, root) = (rest.u64()?, rest.u64()?, Hash::from_bytes(rest.array()?));
            let (code, log, number, byte) = (rest.u16()?, rest.u16()?, rest.u32()?, rest.u64()?);
            let stop = match code {
                0 => None,
                code => Some(Stop { segment: SegmentId { log, number }, byte, reason: Reason::from_code(code)? }),
            };
            state.tenants.push(TenantState { tenant, size, root, stop });
        }
        for _ in 0..streams {
            let (tenant, stream, _) = (rest.u64()?, rest.u32()?, rest.u32()?);
            let (next_offset, link) = (rest.u64()?, Link::from_bytes(rest.array()?));
            state.streams.push(((tenant, stream), StreamEnd { next_offset, link }));
        }
        rest.0.is_empty().then_some(state)
    }
}

struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_no_flipped_bit_or_cut_goes_unnoticed() {
        let segment = SegmentId { log: 2, number: 9 };
        let root = Hash::from_bytes([5; 32]);
        let stop = Some(Stop { segment, byte: 4096, reason: Reason::Gap });
        let cursor = Cursor { segment: 3, frame: 8192, end: 12_288, sequence: 77, body_crc: 5 };
        let end = StreamEnd { next_offset: 8, link: crypto::genesis(1, 2) };
        let state = State {
            engine: [9; 16],
            logs: vec![(0, cursor), (1, Cursor::default())],
            tenants: vec![
                TenantState { tenant: 1, size: 8, root, stop: None },
                TenantState { tenant: 2, size: 0, root: Hash::EMPTY_TREE, stop },
            ],
            streams: vec![((1, 2), end)],
        };
        let mut bytes = state.encode();
        assert_eq!(bytes.len(), HEAD_BYTES + 2 * LOG_BYTES + 2 * TENANT_BYTES + STREAM_BYTES + CRC_BYTES);
        assert_eq!(State::decode(&bytes), Some(state));
        for at in 0..bytes.len() {
            bytes[at] ^= 4;
            assert_eq!(State::decode(&bytes), None, "byte {at}");
            bytes[at] ^= 4;
            assert_eq!(State::decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
