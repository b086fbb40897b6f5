//! What waits: beside Little's law, and beside what was offered.

use super::Page;
use crate::bench::document::{Part, Queue};
use crate::bench::figures::{digits, us};
use crate::names::shown;
use crate::table::{count, grouped};

/// All queues.
pub(super) fn queues(page: &mut Page, parts: &[Part]) {
    for (at, part) in parts.iter().enumerate() {
        if let Some(queue) = &part.queue {
            let sharing = Part::sharing(&parts[at..]);
            length(page, queue, sharing);
            if let Some(offered) = queue.offered_per_sec {
                offer(page, queue, offered, sharing.iter().map(|part| part.requests_per_sec).sum());
            }
        }
    }
}

fn length(page: &mut Page, queue: &Queue, sharing: &[Part]) {
    let rates = sharing.iter().map(|part| match &part.latency {
        Some(latency) => format!("{}/s × {} µs", digits(part.requests_per_sec), us(latency.mean_ns)),
        None => format!("{}/s", digits(part.requests_per_sec)),
    });
    let rates = rates.collect::<Vec<_>>().join(" + ");
    let names: Vec<String> = sharing.iter().map(|part| shown(&part.name)).collect();
    let full = match queue.full {
        0 => String::new(),
        times => format!("; the engine's queue was full {}", count(times, "time")),
    };
    page.line(
        "queue",
        &format!(
            "{}: {} requests in flight on the average; by Little's law {} ({rates}){full}",
            names.join(", "),
            digits(queue.mean),
            digits(queue.by_littles_law),
        ),
    );
}

fn offer(page: &mut Page, queue: &Queue, offered: f64, served: f64) {
    let part = if offered > 0.0 { format!(" ({:.1} %)", served / offered * 100.0) } else { String::new() };
    page.line("offered", &format!("{} requests/s, served {}{part}", digits(offered), digits(served)));
    if !queue.is_sustained(served) {
        page.line(
            "",
            &format!(
                "this rate is beyond what was sustained: behind by {} at the end, growing by {}/s; the latencies are \
                 those of a queue that grows, and longer after a longer run",
                count(queue.behind_end, "request"),
                digits(queue.behind_growth_per_sec),
            ),
        );
    } else if queue.behind_max > 0 {
        let (most, end) = (count(queue.behind_max, "request"), grouped(queue.behind_end));
        page.line("", &format!("behind by {most} at the most, by {end} at the end"));
    }
}
