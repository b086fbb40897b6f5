//! What joins the segments: logs by their sequences, streams by their links.

use super::Verified;
use super::examine::{At, Examined, Findings, Map, Stretch};
use super::trees::{Rows, Sizes};
use crate::error::{Cause, Damage, Loss};
use crate::format::Fault;
use crate::format::manifest::Manifest;
use crate::format::segment::SegmentId;
use crate::history::{Item, Judged, Judgement, Lost, Outline, Verdict, judge};
use crate::manifest::ManifestRead;
use std::ops::Range;

/// Joins what the segments, in order, and the manifest show.
pub(super) fn join(read: &ManifestRead, examined: Vec<Examined>, logs: usize, sizes: &Sizes) -> Verified {
    let engine = engine(read, &examined);
    let mut verified = Verified { logs, segments: examined.len(), engine, ..Verified::default() };
    match read.manifest {
        Some(_) => verified.bad_copy = read.bad_copies().pop(),
        None => blame_copies(read, examined.len(), &mut verified.damage),
    }
    let listed = read.manifest.as_ref().map_or(0, |manifest| manifest.frontiers.len());
    let found = examined.last().map_or(0, |segment| usize::from(segment.outline.id.log) + 1);
    let mut segments = examined.into_iter().peekable();
    let mut all = Joined { sizes, streams: Map::default(), trees: Rows::default() };
    for log in 0..listed.max(found) {
        let log = u16::try_from(log).expect("a log's number is below LOGS_MAX");
        let mut of_log = Vec::new();
        while let Some(segment) = segments.next_if(|segment| segment.outline.id.log == log) {
            of_log.push(segment);
        }
        join_log(log, of_log, read.manifest.as_ref(), &mut verified, &mut all);
    }
    verified.streams = all.streams.len();
    let mut streams: Vec<_> = all.streams.into_iter().collect();
    streams.sort_unstable_by_key(|(key, _)| *key);
    for (key, stretches) in streams {
        join_stream(key, stretches, &mut verified.damage);
    }
    verified.trees = all.trees.join(sizes, &mut verified.damage);
    verified
}

fn engine(read: &ManifestRead, examined: &[Examined]) -> Option<[u8; 16]> {
    let mut headers = examined.iter().filter_map(|segment| segment.outline.header.ok()).map(|header| header.engine);
    read.manifest.as_ref().map(|manifest| manifest.engine).or_else(|| {
        let first = headers.next()?;
        headers.all(|engine| engine == first).then_some(first)
    })
}

/// What goes over all logs.
struct Joined<'a> {
    sizes: &'a Sizes,
    streams: Map<Vec<Stretch>>,
    trees: Rows,
}

/// Neither copy of the manifest serves. Where there is no segment either, that need not be damage: it is durable before the
/// first segment is made, and making the directory may have come to no end.
fn blame_copies(read: &ManifestRead, segments: usize, damage: &mut Vec<Damage>) {
    if segments == 0 && !read.faults.contains(&Some(Fault::Unreadable)) {
        return;
    }
    for fault in read.faults {
        let segment = SegmentId { log: 0, number: 0 };
        let cause = Cause::Manifest(fault.unwrap_or(Fault::Cut));
        damage.push(Damage { segment, bytes: 0..0, cause, losses: Vec::new() });
    }
}

/// Judges one log, and takes in what its unsealed segments add to it.
fn join_log(
    log: u16,
    segments: Vec<Examined>,
    manifest: Option<&Manifest>,
    verified: &mut Verified,
    all: &mut Joined<'_>,
) {
    let frontier = manifest.and_then(|manifest| manifest.frontiers.get(usize::from(log))).copied().unwrap_or_default();
    let clean = manifest.is_some_and(|manifest| manifest.clean);
    let (mut outlines, mut rests) = (Vec::new(), Vec::new());
    for Examined { outline, frames, findings } in segments {
        outlines.push(outline);
        rests.push((frames, findings));
    }
    let judgement = judge(log, &outlines, frontier);
    let unsealed = unsealed(&outlines, &judgement, clean);
    for (at, (frames, mut findings)) in rests.into_iter().enumerate() {
        let (outline, judged) = (&outlines[at], &judgement.segments[at]);
        findings.take(outline.id, &frames, &judged.items, all.sizes, None);
        if judged.verdict != Verdict::Part {
            findings.stretches.clear();
            findings.trees.clear();
        }
        if unsealed.contains(&at) && !outline.has_trailer {
            let end = outline.frames.last().map_or(0, |frame| frame.end);
            let (bytes, cause) = (end..outline.length.max(end), Cause::Footer(Fault::Cut));
            findings.damage.push(Damage { segment: outline.id, bytes, cause, losses: Vec::new() });
        }
        verified.bytes += outline.length;
        take(findings, verified, all);
    }
    for Lost { segment, bytes, cause, .. } in judgement.end {
        verified.damage.push(Damage { segment, bytes, cause, losses: Vec::new() });
    }
    verified.torn += usize::from(judgement.torn.is_some());
}

fn take(findings: Findings, verified: &mut Verified, all: &mut Joined<'_>) {
    verified.frames += findings.frames;
    verified.records += findings.records;
    verified.payload_bytes += findings.payload_bytes;
    verified.damage.extend(findings.damage);
    for (key, stretches) in findings.stretches {
        all.streams.entry(key).or_default().extend(stretches);
    }
    all.trees.take(findings.trees);
}

/// The segments that should be sealed and are not: closing seals all, and so does an opening before it goes on, but
/// for those that are damaged, and those whose torn frames it left because they told of a loss.
fn unsealed(outlines: &[Outline], judgement: &Judgement, clean: bool) -> Vec<usize> {
    let last = outlines.iter().rev().find_map(|outline| outline.incarnation);
    let of_last = |outline: &Outline| outline.incarnation == last;
    let judged = outlines.iter().zip(&judgement.segments).enumerate();
    judged
        .filter(|(_, (outline, judged))| outline.footer.is_none() && judged.verdict == Verdict::Part && judged.whole)
        .filter(|(_, (outline, judged))| adopted(judged) == outline.frames.len() && (clean || !of_last(outline)))
        .map(|(at, _)| at)
        .collect()
}

fn adopted(judged: &Judged) -> usize {
    judged.items.iter().filter(|item| matches!(item, Item::Frame { .. })).count()
}

/// Checks that the stretches of a stream join, over all segments and logs, from the genesis on.
fn join_stream((tenant, stream): (u64, u32), mut stretches: Vec<Stretch>, damage: &mut Vec<Damage>) {
    stretches.sort_unstable_by_key(|stretch| (stretch.first_offset, stretch.next_offset));
    let (mut next, mut link) = (0, crypto::genesis(tenant, stream));
    let mut at: Option<At> = None;
    for stretch in stretches {
        let loss = |offsets| Loss { tenant, stream, offsets };
        if stretch.first_offset > next {
            name_gap(damage, at, stretch.from, loss(next..stretch.first_offset));
        } else if stretch.first_offset < next || stretch.link_before != link {
            let bytes = stretch.from.1..stretch.from.1;
            let losses = vec![loss(stretch.first_offset..stretch.next_offset)];
            damage.push(Damage { segment: stretch.from.0, bytes, cause: Cause::Chain, losses });
        }
        (next, link, at) = (stretch.next_offset, stretch.link_after, Some(stretch.to));
    }
}

/// A stream's offsets are missing between two places: either some damage there took them, or this is news.
fn name_gap(damage: &mut Vec<Damage>, from: Option<At>, to: At, gap: Loss) {
    let from = from.filter(|from| from.0.log == to.0.log).unwrap_or((SegmentId { number: 0, ..to.0 }, 0));
    let place = |damage: &Damage| (damage.segment, damage.bytes.start);
    let takes = |damage: &Damage| {
        matches!(damage.cause, Cause::Frame { .. } | Cause::MissingSegment | Cause::MissingSegments { .. })
            && between(place(damage), from..to)
    };
    let named =
        |damage: &Damage| damage.losses.iter().any(|loss| (loss.tenant, loss.stream) == (gap.tenant, gap.stream));
    match damage.iter_mut().filter(|damage| takes(damage) && !named(damage)).max_by_key(|damage| place(damage)) {
        Some(damage) => damage.losses.push(gap),
        None => {
            damage.push(Damage { segment: to.0, bytes: to.1..to.1, cause: Cause::Gap, losses: vec![gap] });
        }
    }
}

/// After the frame at the start, up to the frame at the end and with it: a lost frame's place is where the next begins.
fn between(place: At, range: Range<At>) -> bool {
    range.start < place && place <= range.end
}
