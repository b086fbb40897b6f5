//! Which of the segments that an opening would cut or remove must stay, because nothing else vouches for a loss.
//!
//! Torn frames are not part of the log, and yet the mark of one may be all that tells that a frame before it was
//! acknowledged. Once it is gone, what is lost looks torn. That is no harm when the manifest's frontier or a later opening's
//! base tells of it; but an opening writes those when it has cut and removed, and may be interrupted before.

use super::{Item, Judged, Line, Lost, Outline, Verdict, claim_of, lost};
use crate::error::Cause;
use crate::format::segment::Base;

/// Leaves as they are those segments that vouch for a loss of which nothing else tells that is there to stay.
pub(super) fn keep(
    segments: &mut [Judged],
    end: &[Lost],
    (outlines, limits): (&[Outline], &[u64]),
    frontier: Base,
    anchors: &[Base],
) {
    let judged = segments.iter().zip(outlines);
    let needed = judged.map(|(judged, outline)| needed(judged, outline)).chain(end.iter().map(needed_by)).max();
    let rests = segments.iter().zip(outlines).zip(limits).map(|((judged, outline), &limit)| match judged.verdict {
        Verdict::Unused => 0,
        Verdict::Part if judged.whole && outline.footer.is_none() => {
            claim_of(outline, adopted(judged, outline), limit, anchors)
        }
        Verdict::Part | Verdict::Left => claim_of(outline, &outline.frames, limit, anchors),
    });
    let kept = rests.fold(frontier.sequence, u64::max);
    if needed.is_none_or(|needed| needed <= kept) {
        return;
    }
    for ((judged, outline), &limit) in segments.iter_mut().zip(outlines).zip(limits) {
        if claim_of(outline, &outline.frames, limit, anchors) > kept {
            judged.whole = false;
            if judged.verdict == Verdict::Unused {
                judged.verdict = Verdict::Left;
            }
        }
    }
}

/// The claim without which what is damaged in a segment would be judged otherwise.
fn needed(judged: &Judged, outline: &Outline) -> u64 {
    let bad = judged.items.iter().filter_map(|item| match item {
        Item::Frame { at, fault: Some(_) } => Some(outline.frames[*at].sequence + 1),
        _ => None,
    });
    bad.chain(lost(&judged.items).map(needed_by)).max().unwrap_or(0)
}

fn needed_by(lost: &Lost) -> u64 {
    match lost.cause {
        // Also if no sequence is lost: without a claim beyond it, the log would be torn here.
        Cause::Frame { .. } => lost.sequences.end.max(lost.sequences.start + 1),
        _ => lost.sequences.end,
    }
}

/// The frames of an unsealed segment that stay when it is cut.
fn adopted<'a>(judged: &'a Judged, outline: &'a Outline) -> impl Iterator<Item = &'a Line> {
    judged.items.iter().filter_map(|item| match item {
        Item::Frame { at, .. } => Some(&outline.frames[*at]),
        Item::Lost(_) => None,
    })
}
