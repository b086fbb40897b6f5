//! Adopting what was judged to be part of the log: its streams, the runs in which they lie, and what they lost.

use super::{Blind, Content, Frame, Recovered};
use crate::StreamStart;
use crate::draft::Draft;
use crate::error::{Cause, Damage, Loss};
use crate::format::footer::{Footer, StreamEntry};
use crate::format::frame::TableEntry;
use crate::format::{BLOCK_BYTES, Fault};
use crate::history::{Item, Judged, Lost, Outline, Verdict};
use crate::index::{Run, SealedSegment};
use hashbrown::HashMap;
use std::sync::Arc;

/// A segment that is part of the log.
pub(super) struct Kept {
    pub(super) segment: Arc<SealedSegment>,
    pub(super) footer: Footer,
}

/// What was adopted so far.
#[derive(Default)]
pub(super) struct Adoption {
    pub(super) recovered: Recovered,
    pub(super) kept: Vec<Kept>,
    /// The newest frame in which each stream was seen, or one after it.
    newest: HashMap<(u64, u32), u64, foldhash::fast::RandomState>,
    /// The opening that wrote each segment that was kept, and the sequence at which it began, if that is known.
    openings: Vec<([u8; 16], Option<u64>)>,
}

impl Adoption {
    /// Takes the next segment.
    pub(super) fn take(&mut self, outline: &Outline, content: Content, judged: &Judged) {
        let footer = match content {
            Content::Sealed(footer) => {
                self.take_lost(outline, judged);
                if judged.verdict == Verdict::Part {
                    for line in &footer.streams {
                        self.see(&Seen::line(line), footer.header.next_sequence.saturating_sub(1));
                    }
                }
                footer
            }
            Content::Frames(frames, damage) => {
                self.recovered.damage.extend(damage);
                self.take_frames(outline, &frames, judged)
            }
        };
        if judged.verdict == Verdict::Part {
            if outline.footer.is_none() && judged.whole && !footer.is_sound() {
                self.refuse_footer(outline, &footer);
            }
            self.keep(outline, footer);
        }
    }

    /// The frames' tables contradict each other under checksums that fit. The footer that they give would be refused by the
    /// next opening; so it is not written, and this one says so as well.
    #[cold]
    fn refuse_footer(&mut self, outline: &Outline, footer: &Footer) {
        let (bytes, cause) = (BLOCK_BYTES as u64..footer.header.position, Cause::Footer(Fault::Shape));
        self.recovered.damage.push(Damage { segment: outline.id, bytes, cause, losses: Vec::new() });
    }

    fn take_lost(&mut self, outline: &Outline, judged: &Judged) {
        for item in &judged.items {
            if let Item::Lost(lost) = item {
                self.lose(lost, Some(outline));
            }
        }
    }

    fn take_frames(&mut self, outline: &Outline, frames: &[Frame], judged: &Judged) -> Footer {
        let mut draft = Draft::new(outline.id, outline.incarnation, judged.sequences.start, 0);
        for item in &judged.items {
            match item {
                Item::Lost(lost) => {
                    self.lose(lost, Some(outline));
                    draft.break_index(lost.bytes.end);
                }
                Item::Frame { at, fault } => self.take_frame(outline, &frames[*at], *fault, &mut draft),
            }
        }
        draft.footer
    }

    /// A bad frame with an intact table is indexed like a good one: a read that comes to it names the damage.
    fn take_frame(&mut self, outline: &Outline, frame: &Frame, fault: Option<Fault>, draft: &mut Draft) {
        let header = &frame.header;
        let sequence = header.sequence;
        let end = header.position + u64::from(header.length);
        let table = frame.table.as_deref().unwrap_or_default();
        for entry in table {
            self.see(&Seen::entry(entry), sequence);
        }
        draft.add(header, frame.payload_bytes, table);
        if let Some(fault) = fault {
            if frame.table.is_none() {
                self.lose_blindly(sequence, Some(header.incarnation));
            }
            let cause = Cause::Frame { sequence, fault };
            let losses = table.iter().map(loss).collect();
            self.recovered.damage.push(Damage { segment: outline.id, bytes: header.position..end, cause, losses });
            draft.break_index(end);
        }
    }

    /// Takes what is missing before something that `outline` shows, or at the end of the log.
    fn lose(&mut self, lost: &Lost, outline: Option<&Outline>) {
        let Lost { segment, bytes, cause, sequences } = lost.clone();
        if !sequences.is_empty() {
            let header = outline.and_then(|outline| outline.header.ok());
            // What lies between an opening's base and a frame of its own, it wrote itself.
            let own = header.filter(|header| header.base.sequence <= sequences.start);
            self.lose_blindly(sequences.end - 1, own.map(|header| header.incarnation));
        }
        self.recovered.damage.push(Damage { segment, bytes, cause, losses: Vec::new() });
    }

    /// The damage that is pushed next stands for frames up to `sequence`, of which nothing tells what they held.
    fn lose_blindly(&mut self, sequence: u64, incarnation: Option<[u8; 16]>) {
        let damage = self.recovered.damage.len();
        let before = self.recovered.blind.take();
        let incarnation =
            before.map_or(incarnation, |before| before.incarnation.filter(|one| Some(*one) == incarnation));
        let (later, catalogs) = (Vec::new(), HashMap::default());
        self.recovered.blind = Some(Blind { sequence, damage, incarnation, later, catalogs });
    }

    /// A stream shows itself: offsets that it skips were in what was lost, or are in another log.
    fn see(&mut self, seen: &Seen, sequence: u64) {
        let key = (seen.tenant, seen.stream);
        let stream = self.recovered.streams.entry(key).or_insert_with(|| StreamStart::new(key.0, key.1));
        let before = self.newest.insert(key, sequence);
        let blind = self.recovered.blind.as_mut();
        let blind = blind.filter(|blind| before.is_none_or(|before| before <= blind.sequence));
        if seen.first_offset > stream.next_offset {
            let hole = Loss { tenant: key.0, stream: key.1, offsets: stream.next_offset..seen.first_offset };
            if let Some(blind) = &blind {
                self.recovered.damage[blind.damage].losses.push(hole.clone());
            }
            self.recovered.holes.push(hole);
        }
        if let Some(blind) = blind
            && key.1 == 0
        {
            blind.catalogs.insert(key.0, seen.first_offset);
        }
        stream.next_offset = seen.next_offset;
        stream.link = seen.link;
        stream.timestamp = seen.timestamp;
        stream.position = seen.position;
    }

    fn keep(&mut self, outline: &Outline, footer: Footer) {
        let segment = Arc::new(SealedSegment {
            id: outline.id,
            incarnation: footer.header.incarnation,
            salt: outline.header.ok().map(|header| header.salt),
            end: footer.header.position,
            index: footer.index.clone().into_boxed_slice(),
        });
        for line in &footer.streams {
            if let Some(stream) = self.recovered.streams.get_mut(&(line.tenant, line.stream)) {
                let run = Run { segment: Arc::clone(&segment), first_offset: line.first_offset, newest: line.newest };
                stream.runs.push(run);
            }
        }
        let base = outline.header.ok().map(|header| header.base.sequence);
        self.openings.push((segment.incarnation, base));
        self.kept.push(Kept { segment, footer });
    }

    /// Ends with what is missing at the end of the log.
    pub(super) fn finish(mut self, end: &[Lost]) -> Adoption {
        end.iter().for_each(|lost| self.lose(lost, None));
        self.recovered.incarnations = self.openings.iter().map(|(incarnation, _)| *incarnation).collect();
        self.recovered.incarnations.dedup();
        if let Some(blind) = &mut self.recovered.blind {
            let lost = blind.sequence;
            let later = self.openings.iter().filter(|(_, base)| base.is_some_and(|base| base > lost));
            blind.later = later.map(|(incarnation, _)| *incarnation).collect();
            blind.later.dedup();
            let may_have_lost = |key: &&(u64, u32)| self.newest.get(*key).is_none_or(|&newest| newest <= lost);
            self.recovered.frozen = self.recovered.streams.keys().filter(may_have_lost).copied().collect();
            self.recovered.frozen.sort_unstable();
        }
        self
    }
}

/// A stream's state as a frame's table or a segment's footer gives it.
struct Seen {
    tenant: u64,
    stream: u32,
    first_offset: u64,
    next_offset: u64,
    timestamp: u64,
    position: u64,
    link: crypto::Link,
}

impl Seen {
    fn line(line: &StreamEntry) -> Seen {
        let &StreamEntry { tenant, stream, first_offset, next_offset, timestamp, position, link, .. } = line;
        Seen { tenant, stream, first_offset, next_offset, timestamp, position, link }
    }

    fn entry(entry: &TableEntry) -> Seen {
        let &TableEntry { tenant, stream, first_offset, timestamp, position, link_after: link, .. } = entry;
        Seen { tenant, stream, first_offset, next_offset: entry.next_offset(), timestamp, position, link }
    }
}

/// What is lost of a stream with a frame.
pub(crate) fn loss(entry: &TableEntry) -> Loss {
    Loss { tenant: entry.tenant, stream: entry.stream, offsets: entry.first_offset..entry.next_offset() }
}
