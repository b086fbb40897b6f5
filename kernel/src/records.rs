//! The records of an append, where they lie in the request.

use crate::refusal::{Malformed, Refusal};

/// Bytes of the length in front of every record.
const LENGTH_BYTES: u32 = 4;

/// The records of one append: `count` times a length (`u32`, little-endian) and that many bytes,
/// from some place in the request's body to its end.
///
/// Made only by [`parse`](Self::parse), which walks the whole region once. So whoever holds a
/// `Records` may rely on its sums, and its iterator cannot run out of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    body: &'a [u8],
    start: u32,
    count: u32,
    bytes: u32,
    longest: u32,
}

impl<'a> Records<'a> {
    /// Takes the `count` records that fill `body` from byte `start` to its end.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] if the records end before or after the body does.
    #[inline]
    pub fn parse(body: &'a [u8], start: u32, count: u32) -> Result<Self, Refusal> {
        let Ok(end) = u32::try_from(body.len()) else {
            return Err(Refusal::Malformed { what: Malformed::BodyTooLong, at: u32::MAX });
        };
        if start > end {
            return Err(Refusal::Malformed { what: Malformed::BodyTruncated, at: end });
        }
        let mut at = start;
        let mut bytes = 0;
        let mut longest = 0;
        for _ in 0..count {
            let Some(record) = record_at(body, at) else {
                return Err(Refusal::Malformed { what: Malformed::RecordTruncated, at });
            };
            // None of the three overflows: the record ends within a body of at most u32::MAX bytes.
            at = record.start + record.len;
            bytes += record.len;
            longest = longest.max(record.len);
        }
        if at != end {
            return Err(Refusal::Malformed { what: Malformed::BytesAfterRecords, at });
        }
        Ok(Self { body, start, count, bytes, longest })
    }

    /// How many records there are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Payload bytes of all records together.
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Payload bytes of the longest record; 0 if there is none.
    #[must_use]
    pub const fn longest(&self) -> u32 {
        self.longest
    }

    /// The records in order.
    #[must_use]
    pub const fn iter(&self) -> RecordsIter<'a> {
        RecordsIter { body: self.body, at: self.start, left: self.count }
    }
}

impl<'a> IntoIterator for &Records<'a> {
    type Item = Record<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// One record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where the payload begins, in bytes from the start of the request's body.
    pub start: u32,
    /// Bytes of the payload.
    pub len: u32,
    /// The payload.
    pub bytes: &'a [u8],
}

/// Walks over the records of an append.
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    body: &'a [u8],
    at: u32,
    left: u32,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        self.left = self.left.checked_sub(1)?;
        let record = record_at(self.body, self.at)?;
        self.at = record.start + record.len;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}

/// The record whose length stands at byte `at`; `None` if it does not end within the body.
#[inline]
fn record_at(body: &[u8], at: u32) -> Option<Record<'_>> {
    let (length, rest) = body.get(at as usize..)?.split_first_chunk()?;
    let len = u32::from_le_bytes(*length);
    let bytes = rest.get(..len as usize)?;
    Some(Record { start: at + LENGTH_BYTES, len, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Vec::new();
        for payload in payloads {
            body.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            body.extend_from_slice(payload);
        }
        body
    }

    fn malformed(body: &[u8], start: u32, count: u32) -> (Malformed, u32) {
        match Records::parse(body, start, count) {
            Err(Refusal::Malformed { what, at }) => (what, at),
            other => panic!("taken for {other:?}"),
        }
    }

    #[test]
    fn a_region_that_lies_about_itself_is_refused() {
        let body = region(&[vec![7; 3], vec![]]);
        assert_eq!(malformed(&body, 0, 1), (Malformed::BytesAfterRecords, 7));
        assert_eq!(malformed(&body, 0, 3), (Malformed::RecordTruncated, 11));
        assert_eq!(malformed(&body, 0, u32::MAX), (Malformed::RecordTruncated, 11));
        assert_eq!(malformed(&body, 0, 0), (Malformed::BytesAfterRecords, 0));
        assert_eq!(malformed(&body, 12, 0), (Malformed::BodyTruncated, 11));
        assert_eq!(malformed(&body[..6], 0, 2), (Malformed::RecordTruncated, 0));
        assert_eq!(malformed(&body[..9], 0, 2), (Malformed::RecordTruncated, 7));
        assert_eq!(malformed(&[0xff; 12], 0, 1), (Malformed::RecordTruncated, 0));
        assert_eq!(malformed(&[0xff; 12], u32::MAX, 1), (Malformed::BodyTruncated, 12));
    }

    proptest! {
        #[test]
        fn records_come_back_with_their_place(
            head in 0_usize..20,
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        ) {
            let mut body = vec![0xaa; head];
            body.extend(region(&payloads));
            let records = Records::parse(&body, head as u32, payloads.len() as u32).unwrap();
            prop_assert_eq!(records.bytes() as usize, payloads.iter().map(Vec::len).sum::<usize>());
            prop_assert_eq!(records.longest() as usize, payloads.iter().map(Vec::len).max().unwrap_or(0));
            prop_assert_eq!(records.iter().len(), payloads.len());
            for (record, payload) in records.iter().zip(&payloads) {
                prop_assert_eq!(record.bytes, &payload[..]);
                let range = record.start as usize..(record.start + record.len) as usize;
                prop_assert_eq!(&body[range], &payload[..]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64), start: u32, count: u32) {
            for start in [0, start % 64, start] {
                if let Ok(records) = Records::parse(&body, start, count % 8) {
                    prop_assert_eq!(records.iter().count() as u32, records.count());
                }
                let _ = Records::parse(&body, start, count);
            }
        }
    }
}
