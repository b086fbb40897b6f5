//! Which frames are part of a log: the rules of `docs/format.md`, "Opening", over what the segments show.
//!
//! Opening and verifying both ask here, and nothing here reads or writes. What must stay true:
//! - no frame below the claim is given up without an [`Item::Lost`] or a fault that names it;
//! - a frame that a later opening passed over (at or above the base that it pinned) is not part of the log;
//! - nothing that is not plainly ours and unused is [`Verdict::Unused`];
//! - what may be taken away is never all that tells of a loss: with it gone, the judgement is the same.

mod traces;

use crate::error::Cause;
use crate::format::footer::FooterHeader;
use crate::format::segment::{Base, SegmentHeader, SegmentId};
use crate::format::{BLOCK_BYTES, Fault};
use crate::recover::Torn;
use planted::Bug;
use std::ops::{Range, RangeInclusive};

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A frame whose header is intact and belongs where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) sequence: u64,
    pub(crate) durable_mark: u64,
    pub(crate) position: u64,
    pub(crate) end: u64,
    pub(crate) previous_crc: u32,
    pub(crate) body_crc: u32,
    /// What is wrong with it, looked at alone.
    pub(crate) fault: Option<Fault>,
}

/// What a segment shows.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) id: SegmentId,
    pub(crate) header: Result<SegmentHeader, Fault>,
    /// Who wrote it: as its header says, or else its footer or frames.
    pub(crate) incarnation: Option<[u8; 16]>,
    /// Present if it is sealed; its frames are then not needed.
    pub(crate) footer: Option<FooterHeader>,
    pub(crate) frames: Vec<Line>,
    /// Stretches of blocks in which no frame begins, and what lies there; [`Fault::Unwritten`] if all is zero.
    pub(crate) bad: Vec<(Range<u64>, Fault)>,
    /// What the first frame says of the frame before it, where that is known of a sealed segment.
    pub(crate) follows: Option<u32>,
    /// An intact trailer points at what is no good footer: the segment was whole once.
    pub(crate) has_trailer: bool,
    /// The file's length.
    pub(crate) length: u64,
}

impl Outline {
    /// Of a segment of which no more than the header was read.
    pub(crate) fn new(id: SegmentId, header: Result<SegmentHeader, Fault>, length: u64) -> Outline {
        Outline {
            id,
            header,
            incarnation: header.ok().map(|header| header.incarnation),
            footer: None,
            frames: Vec::new(),
            bad: Vec::new(),
            follows: None,
            has_trailer: false,
            length,
        }
    }

    /// The sequence from which on the log is this incarnation's, as well as the segment tells.
    fn base_sequence(&self) -> Option<u64> {
        let first = self.footer.map(|footer| footer.first_sequence);
        let first = first.or_else(|| self.frames.first().map(|frame| frame.sequence));
        self.header.map_or(first, |header| Some(header.base.sequence))
    }

    /// Nothing was ever written after the header.
    fn is_blank(&self) -> bool {
        let sealed = self.footer.is_some() || self.has_trailer;
        !sealed && self.frames.is_empty() && self.bad.iter().all(|(_, fault)| *fault == Fault::Unwritten)
    }

    fn fault_at(&self, at: u64) -> Fault {
        let stretch = self.bad.iter().find(|(bytes, _)| bytes.contains(&at));
        let end_of_file = if at + BLOCK > self.length { Fault::Cut } else { Fault::Unwritten };
        stretch.map_or(end_of_file, |(_, fault)| *fault)
    }
}

/// What comes next in a log.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A frame that is part of the log: the segment's number `at`. With a fault it was acknowledged and is damaged.
    Frame { at: usize, fault: Option<Fault> },
    /// Something is missing or wrong.
    Lost(Lost),
}

/// A place where something is missing or wrong that is not one frame.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) segment: SegmentId,
    pub(crate) bytes: Range<u64>,
    pub(crate) cause: Cause,
    /// The sequences that are lost with it; maybe none.
    pub(crate) sequences: Range<u64>,
}

/// What a segment is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds frames of the log.
    Part,
    /// It was made and holds nothing that was ever acknowledged: it may go.
    Unused,
    /// It holds nothing that can be used, and must not be touched: it is damaged, or tells of what is.
    Left,
}

/// The judgement on one segment.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) items: Vec<Item>,
    pub(crate) verdict: Verdict,
    /// Nothing in it is wrong: if it is unsealed it can be cut to its last frame and sealed.
    pub(crate) whole: bool,
    /// The sequences it holds.
    pub(crate) sequences: Range<u64>,
}

/// The judgement on a log.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) segments: Vec<Judged>,
    /// What is missing at the end.
    pub(crate) end: Vec<Lost>,
    /// Where the log goes on.
    pub(crate) base: Base,
    pub(crate) torn: Option<Torn>,
}

/// Judges a log by its segments, in order of their numbers, and by the manifest's frontier.
pub(crate) fn judge(log: u16, outlines: &[Outline], frontier: Base) -> Judgement {
    let anchors = anchors(outlines.iter(), frontier);
    let limits = limits(outlines);
    let claim = claim(outlines, &limits, frontier, &anchors).max(claim_of_gaps(outlines, &limits));
    let claim = if planted::is(Bug::CutAtFirstBadFrame) { 0 } else { claim };
    let mut course = Course::new(claim, 0, Some(0));
    course.unknown = anchors.iter().filter(|base| base.sequence > 0 && base.body_crc == 0).copied().collect();
    let mut segments: Vec<Judged> = Vec::with_capacity(outlines.len());
    let mut before = 0;
    for (at, (outline, limit)) in outlines.iter().zip(&limits).enumerate() {
        let mut items = Vec::new();
        let number = outline.id.number;
        let follows_gap = number - before > 1;
        if follows_gap {
            let rest = outlines[at..].iter().zip(&limits[at..]);
            let next = rest.filter_map(|(outline, limit)| shows(outline, course.expected, *limit, &anchors)).min();
            course.pass_missing(before + 1..=number - 1, log, next, &mut items);
        }
        before = number;
        let mut judged = course.segment(outline, *limit, &anchors, items);
        if follows_gap && judged.verdict == Verdict::Unused {
            // It is all that tells of the ones before.
            judged.verdict = Verdict::Left;
        }
        segments.push(judged);
    }
    let end = course.finish(log, before, frontier);
    let blamed: Vec<SegmentId> =
        segments.iter().flat_map(|judged| lost(&judged.items)).chain(&end).map(|lost| lost.segment).collect();
    for (judged, outline) in segments.iter_mut().zip(outlines) {
        judged.whole &= !blamed.contains(&outline.id);
    }
    traces::keep(&mut segments, &end, (outlines, &limits), frontier, &anchors);
    // Numbers have no gaps: what lies before a segment that stays must stay too.
    let stays = segments.iter().rposition(|judged| judged.verdict != Verdict::Unused).unwrap_or(0);
    for judged in segments.iter_mut().take(stays).filter(|judged| judged.verdict == Verdict::Unused) {
        judged.verdict = Verdict::Left;
    }
    let (segment, end_at) = course.end;
    let base = Base { sequence: course.expected, end: end_at, segment, body_crc: course.last_crc.unwrap_or_default() };
    Judgement { segments, end, base, torn: course.torn }
}

/// What openings and the manifest pinned: for each the last frame that is part of the log, and where it lies.
fn anchors<'a>(outlines: impl Iterator<Item = &'a Outline>, frontier: Base) -> Vec<Base> {
    outlines.filter_map(|outline| outline.header.ok()).map(|header| header.base).chain([frontier]).collect()
}

/// Of each sealed segment that goes on behind a frame which was pinned as the last, the sequences of such frames. Its footer
/// does not tell of them whether it is the segment that was pinned: they have to be looked at.
pub(crate) fn pinned_within(outlines: &[&Outline], frontier: Base) -> Vec<Vec<u64>> {
    let anchors = anchors(outlines.iter().copied(), frontier);
    let within = |outline: &&Outline| {
        let ends = outline.footer.map_or(0..0, |footer| footer.first_sequence + 1..footer.next_sequence);
        pins(outline, &anchors).filter(|pin| ends.contains(&pin.sequence)).map(|pin| pin.sequence - 1).collect()
    };
    outlines.iter().map(within).collect()
}

/// The pins of frames that lie in a segment.
fn pins<'a>(outline: &Outline, anchors: &'a [Base]) -> impl Iterator<Item = &'a Base> {
    let number = outline.id.number;
    anchors.iter().filter(move |pin| pin.segment == number && pin.sequence > 0 && pin.body_crc != 0)
}

/// Judges the frames of a sealed segment by its footer alone. What of it is damaged, and whether it begins well, is
/// then known without the rest of the log.
pub(crate) fn judge_sealed(outline: &Outline, footer: &FooterHeader) -> Vec<Item> {
    let mut course = Course::new(footer.next_sequence, footer.first_sequence, None);
    let mut items = Vec::new();
    let at = course.frames(outline, u64::MAX, &mut items);
    if course.expected < footer.next_sequence || at < footer.position {
        let next = footer.next_sequence.max(course.expected);
        course.lose(outline.id, at..footer.position, outline.fault_at(at), next, &mut items);
    }
    items
}

/// The highest sequence that anything intact vouches for. A segment of another history vouches for nothing in this one.
fn claim(outlines: &[Outline], limits: &[u64], frontier: Base, anchors: &[Base]) -> u64 {
    let claims =
        outlines.iter().zip(limits).map(|(outline, &limit)| claim_of(outline, &outline.frames, limit, anchors));
    let pinned = if planted::is(Bug::FrontierIgnored) { 0 } else { frontier.sequence };
    claims.fold(pinned, u64::max)
}

/// The same of one segment, if of its frames there are only these.
fn claim_of<'a>(outline: &Outline, frames: impl IntoIterator<Item = &'a Line>, limit: u64, anchors: &[Base]) -> u64 {
    if contradicts(outline, anchors).is_some() {
        return 0;
    }
    let base = outline.header.map_or(0, |header| header.base.sequence);
    let sealed = outline.footer.map_or(0, |footer| footer.next_sequence);
    let marks = frames.into_iter().map(|frame| frame.durable_mark).max().unwrap_or(0);
    // What a segment says from its limit on is of frames that are not part of the log.
    base.max(sealed.max(marks).min(limit))
}

/// A segment is made only when the one before it is there to stay. So where a number is missing below one that is there, a
/// crash did not do it, and none of the frames before were left behind by one: they count as acknowledged.
fn claim_of_gaps(outlines: &[Outline], limits: &[u64]) -> u64 {
    let gap = outlines.windows(2).rposition(|pair| pair[1].id.number - pair[0].id.number > 1);
    let before = outlines.iter().zip(limits).take(gap.map_or(0, |gap| gap + 1));
    let newest = |(outline, limit): (&Outline, &u64)| {
        outline.frames.iter().map(|frame| frame.sequence).filter(|sequence| sequence < limit).max()
    };
    before.filter_map(newest).max().map_or(0, |sequence| sequence.saturating_add(1))
}

/// The first sequence that a segment shows, from `expected` on.
fn shows(outline: &Outline, expected: u64, limit: u64, anchors: &[Base]) -> Option<u64> {
    if contradicts(outline, anchors).is_some() {
        return None;
    }
    match &outline.footer {
        Some(footer) => {
            let any = footer.first_sequence < footer.next_sequence && footer.next_sequence <= limit;
            Some(footer.first_sequence).filter(|first| any && *first >= expected)
        }
        None => outline.frames.iter().map(|frame| frame.sequence).find(|at| (expected..limit).contains(at)),
    }
}

/// For each segment the sequence at which the next incarnation took over. A frame at or above it is what an opening
/// found torn and could not cut, because its segment is damaged elsewhere.
fn limits(outlines: &[Outline]) -> Vec<u64> {
    let (mut limit, mut base, mut incarnation) = (u64::MAX, u64::MAX, None);
    let mut limits = Vec::with_capacity(outlines.len());
    for outline in outlines.iter().rev() {
        if outline.incarnation.is_some() && outline.incarnation != incarnation {
            limit = limit.min(base);
            incarnation = outline.incarnation;
            base = u64::MAX;
        }
        base = base.min(outline.base_sequence().unwrap_or(u64::MAX));
        limits.push(limit);
    }
    limits.reverse();
    limits
}

/// Whether a segment holds another history than a later opening, or the manifest, pinned: the frame before the pin
/// has an intact header, and is another. A sealed segment is whole: one that does not reach over the pinned frame is another.
fn contradicts(outline: &Outline, anchors: &[Base]) -> Option<u64> {
    for pin in pins(outline, anchors) {
        let holds = outline
            .footer
            .is_none_or(|footer| (footer.first_sequence..footer.next_sequence).contains(&(pin.sequence - 1)));
        let sealed = outline.footer.map(|footer| (footer.next_sequence, footer.last_crc, footer.position));
        let frames = outline.frames.iter().map(|frame| (frame.sequence + 1, frame.body_crc, frame.end));
        let mut here = frames.chain(sealed).filter(|(sequence, ..)| *sequence == pin.sequence);
        if !holds || here.any(|(_, crc, end)| (crc, end) != (pin.body_crc, pin.end)) {
            return Some(pin.sequence - 1);
        }
    }
    None
}

/// How far the log has been followed.
struct Course {
    claim: u64,
    /// The next sequence.
    expected: u64,
    /// The body checksum of the frame before, if that is known.
    last_crc: Option<u32>,
    /// Where the newest frame ends.
    end: (u32, u64),
    /// Where frames lay that turn out to be missing: behind the last frame of an unsealed segment, or in one that holds
    /// nothing usable.
    tail: Option<(SegmentId, Range<u64>, Fault)>,
    torn: Option<Torn>,
    /// Openings that did not know the frame before theirs.
    unknown: Vec<Base>,
}

impl Course {
    fn new(claim: u64, expected: u64, last_crc: Option<u32>) -> Course {
        Course { claim, expected, last_crc, end: (0, 0), tail: None, torn: None, unknown: Vec::new() }
    }

    /// Segments are missing. What comes next in the log, if there is any of it, is frame `next`. If nothing tells that they
    /// held frames, they may have all the same, and how many nobody knows: one sequence is given up for them, so that
    /// every later opening sees that something is lost here.
    fn pass_missing(&mut self, numbers: RangeInclusive<u32>, log: u16, next: Option<u64>, items: &mut Vec<Item>) {
        let next = next.unwrap_or_else(|| self.claim.max(self.expected.saturating_add(1)));
        let (number, last) = numbers.into_inner();
        let segment = SegmentId { log, number };
        let cause = if number == last { Cause::MissingSegment } else { Cause::MissingSegments { last } };
        items.push(Item::Lost(Lost { segment, bytes: 0..0, cause, sequences: self.expected..next }));
        if next > self.expected {
            self.claim = self.claim.max(next);
            self.expected = next;
            self.last_crc = None;
            self.tail = None;
        }
    }

    fn segment(&mut self, outline: &Outline, limit: u64, anchors: &[Base], mut items: Vec<Item>) -> Judged {
        let first = self.expected;
        let part = self.follow(outline, limit, anchors, &mut items);
        let unclaimed = self.torn.is_some() || self.claim <= self.expected;
        let never_whole = outline.footer.is_none() && !outline.has_trailer;
        let unused = never_whole && (outline.header.is_ok() || outline.is_blank());
        let verdict = match part {
            true => Verdict::Part,
            false if unclaimed && unused && lost(&items).all(|lost| lost.segment != outline.id) => Verdict::Unused,
            false => Verdict::Left,
        };
        if let Err(fault) = outline.header
            && (part || verdict == Verdict::Left && !outline.is_blank())
        {
            self.note(outline.id, 0..BLOCK, Cause::SegmentHeader(fault), &mut items);
        }
        if verdict == Verdict::Left {
            self.leave(outline, &mut items);
        }
        let whole = !items.iter().any(|item| matches!(item, Item::Frame { fault: Some(_), .. }));
        Judged { items, verdict, whole, sequences: first.min(self.expected)..self.expected }
    }

    /// Follows the log through a segment; says whether that holds anything of it.
    fn follow(&mut self, outline: &Outline, limit: u64, anchors: &[Base], items: &mut Vec<Item>) -> bool {
        if let Some(sequence) = contradicts(outline, anchors) {
            self.misplaced(outline, sequence, items);
            return false;
        }
        if let Some(footer) = &outline.footer {
            return self.sealed(outline, footer, limit, items);
        }
        if self.torn.is_some() {
            return false;
        }
        let at = self.frames(outline, limit, items);
        let part = items.iter().any(|item| matches!(item, Item::Frame { .. }));
        if part {
            // Behind the frames of a segment that was whole once lies a footer, and no torn frame.
            let fault = if outline.has_trailer { Fault::Unwritten } else { outline.fault_at(at) };
            self.tail = Some((outline.id, at..outline.length.max(at), fault));
        }
        part
    }

    /// A segment that holds nothing usable: what is missing lay here, unless there are traces of it before. If nothing is
    /// known to be missing, something was written here all the same, and how much nobody can tell.
    fn leave(&mut self, outline: &Outline, items: &mut Vec<Item>) {
        let fault = outline.header.err().unwrap_or_else(|| outline.fault_at(BLOCK));
        if self.torn.is_none() && self.claim <= self.expected && !outline.is_blank() {
            self.claim = self.expected + 1;
            self.lose(outline.id, 0..outline.length, fault, self.claim, items);
            return;
        }
        let traces = self.tail.as_ref().is_some_and(|(_, _, fault)| *fault != Fault::Unwritten);
        if !traces || !outline.is_blank() {
            self.tail = Some((outline.id, 0..outline.length, fault));
        }
    }

    /// Follows a sealed segment by its footer; says whether it is part of the log.
    fn sealed(&mut self, outline: &Outline, footer: &FooterHeader, limit: u64, items: &mut Vec<Item>) -> bool {
        if footer.first_sequence < self.expected || footer.next_sequence > limit || self.torn.is_some() {
            self.misplaced(outline, footer.first_sequence, items);
            return false;
        }
        if footer.first_sequence > self.expected {
            self.lose_before(outline, BLOCK, BLOCK, footer.first_sequence, items);
        }
        let first = footer.first_sequence;
        if outline.follows.is_some_and(|follows| self.breaks_order(first, follows)) {
            self.note(outline.id, BLOCK..BLOCK, Cause::Frame { sequence: first, fault: Fault::Order }, items);
        }
        self.expected = footer.next_sequence;
        self.last_crc = Some(footer.last_crc);
        self.end = (outline.id.number, footer.position);
        self.tail = None;
        true
    }

    /// Follows a segment by its frames, to its end or to where the log is torn; says where its frames end.
    fn frames(&mut self, outline: &Outline, limit: u64, items: &mut Vec<Item>) -> u64 {
        let mut at = BLOCK;
        for (number, line) in outline.frames.iter().enumerate() {
            if line.sequence >= limit {
                self.name_late(outline, limit, &outline.frames[number..], items);
                break;
            }
            if line.sequence < self.expected {
                let cause = Cause::Frame { sequence: line.sequence, fault: Fault::Order };
                self.note(outline.id, line.position..line.end, cause, items);
                at = line.end;
                continue;
            }
            if line.position > at || line.sequence > self.expected {
                let claimed = self.claim > self.expected;
                if claimed {
                    self.lose_before(outline, at, line.position, line.sequence.min(self.claim), items);
                }
                if line.sequence > self.expected || !claimed {
                    self.tear(outline.id, at);
                    return at;
                }
            }
            let order = self.breaks_order(line.sequence, line.previous_crc).then_some(Fault::Order);
            // What only verification looks for comes last: opening must judge the frame alike.
            let fault = line.fault.filter(|fault| !is_of_records(*fault)).or(order).or(line.fault);
            if fault.is_some_and(|fault| fault == Fault::Cut || is_of_records(fault)) {
                // A file is made at its full length before it is written: it was not a crash that cut it. And a frame of
                // which only verification finds that its records contradict each other is there whole: it is no torn one.
                self.claim = self.claim.max(line.sequence + 1);
            }
            if fault.is_some() && self.claim <= line.sequence {
                self.tear(outline.id, line.position);
                return at;
            }
            items.push(Item::Frame { at: number, fault });
            self.expected = line.sequence + 1;
            self.last_crc = Some(line.body_crc);
            self.end = (outline.id.number, line.end);
            at = line.end;
        }
        at
    }

    /// Whether frame `sequence` says that it follows another frame than it does. The first frame of an opening that did not
    /// know the one before it cannot tell.
    fn breaks_order(&self, sequence: u64, follows: u32) -> bool {
        let knows = !self.unknown.iter().any(|base| base.sequence == sequence);
        knows && self.last_crc.is_some_and(|crc| crc != follows)
    }

    /// A segment was missing when a later opening went on, and is back: what that opening did not know of is not part of
    /// the log, since it used the sequences again.
    fn name_late(&self, outline: &Outline, limit: u64, late: &[Line], items: &mut Vec<Item>) {
        let missed = |base: &Base| base.sequence == limit && base.segment < outline.id.number;
        if let (Some(first), Some(last)) = (late.first(), late.last())
            && self.unknown.iter().any(missed)
        {
            let cause = Cause::Frame { sequence: first.sequence, fault: Fault::Order };
            self.note(outline.id, first.position..last.end, cause, items);
        }
    }

    /// Frames are missing before what lies at `position`. Either they lay in this segment, after `at`; or, where that
    /// leaves no room, behind the last frame of the segment before.
    fn lose_before(&mut self, outline: &Outline, at: u64, position: u64, next: u64, items: &mut Vec<Item>) {
        if at == BLOCK
            && position == BLOCK
            && let Some((id, bytes, fault)) = self.tail.take()
        {
            self.lose(id, bytes, fault, next, items);
            return;
        }
        self.lose(outline.id, at..position, outline.fault_at(at), next, items);
    }

    fn lose(&mut self, segment: SegmentId, bytes: Range<u64>, fault: Fault, next: u64, items: &mut Vec<Item>) {
        let sequences = self.expected..next;
        let cause = Cause::Frame { sequence: self.expected, fault };
        items.push(Item::Lost(Lost { segment, bytes, cause, sequences }));
        self.expected = next;
        self.last_crc = None;
    }

    /// Something is wrong that costs no frame.
    fn note(&self, segment: SegmentId, bytes: Range<u64>, cause: Cause, items: &mut Vec<Item>) {
        items.push(Item::Lost(Lost { segment, bytes, cause, sequences: self.expected..self.expected }));
    }

    /// A segment of another history lies here.
    fn misplaced(&self, outline: &Outline, sequence: u64, items: &mut Vec<Item>) {
        self.note(outline.id, BLOCK..outline.length, Cause::Frame { sequence, fault: Fault::Order }, items);
    }

    fn tear(&mut self, segment: SegmentId, at: u64) {
        self.torn = Some(Torn { segment, at, sequence: self.expected });
    }

    /// The log ends here. If something vouches for more, the end itself is damaged.
    fn finish(&mut self, log: u16, last: u32, frontier: Base) -> Vec<Lost> {
        if self.claim <= self.expected {
            let tail = self.tail.take().filter(|_| self.torn.is_none());
            if let Some((segment, bytes, fault)) = tail
                && !matches!(fault, Fault::Unwritten | Fault::Cut)
                && segment.number == self.end.0
            {
                self.tear(segment, bytes.start);
            }
            return Vec::new();
        }
        let mut items = Vec::new();
        let newest = frontier.segment.max(u32::from(last == 0));
        if newest > last {
            self.pass_missing(last + 1..=newest, log, None, &mut items);
        } else {
            let (id, bytes, fault) = self.tail.take().unwrap_or_else(|| {
                let id = SegmentId { log, number: self.end.0.max(1) };
                (id, self.end.1..self.end.1, Fault::Unwritten)
            });
            self.lose(id, bytes, fault, self.claim, &mut items);
        }
        items
            .into_iter()
            .map(|item| match item {
                Item::Lost(lost) => lost,
                Item::Frame { .. } => unreachable!("no frame comes after the last"),
            })
            .collect()
    }
}

/// Whether a frame whose checksums fit holds records that do not: its links, or their lengths.
fn is_of_records(fault: Fault) -> bool {
    matches!(fault, Fault::Chain | Fault::Shape)
}

fn lost(items: &[Item]) -> impl Iterator<Item = &Lost> {
    items.iter().filter_map(|item| match item {
        Item::Lost(lost) => Some(lost),
        Item::Frame { .. } => None,
    })
}
