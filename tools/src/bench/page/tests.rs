//! Pages are whole, whatever the document holds.

use super::{render, samples};
use crate::bench::document::{Document, Run, Stage, Stages};

/// The elements of a page, each closed by its own end and none left open; their attributes.
fn assert_balanced(name: &str, page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.strip_prefix("<!DOCTYPE html>").unwrap_or_else(|| panic!("{name}: no document type"));
    let (head, rest) = body.split_once("<style>").unwrap();
    let (style, rest) = rest.split_once("</style>").unwrap();
    assert!(!style.contains('<') && !style.contains("url("), "{name}: the style sheet ends where it should");
    for piece in head.split('<').chain(rest.split('<')).skip(1).filter(|piece| !piece.trim().is_empty()) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("{name}: <{piece} has no end"));
        assert!(!text.contains('>'), "{name}: a bare > after <{tag}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "{name}: <{tag}> has an open quote");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: </{closed}> closes something else");
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap_or(""));
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} stay open");
}

/// The values of all places, sizes and paths.
fn assert_numbers(name: &str, page: &str) {
    for attribute in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "d"] {
        for value in page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()) {
            let numbers = value.split(['M', 'L', 'Z', ' ']).filter(|number| !number.is_empty());
            for number in numbers {
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("{name}: {attribute}={value}"));
                assert!(number.is_finite() && number.abs() < 10_000.0, "{name}: {attribute}={value}");
            }
        }
    }
    for none in ["NaN", "inf<", "inf ", "inf,"] {
        assert!(!page.contains(none), "{name}: {none:?} in the page");
    }
}

#[test]
fn pages_are_whole_whatever_was_measured() {
    for (name, document) in samples::all() {
        let page = render(&document);
        assert_balanced(name, &page);
        assert_numbers(name, &page);
        for part in document.median_run().iter().flat_map(|run| &run.parts) {
            assert!(page.contains(&part.name), "{name}: {} is not on its page", part.name);
        }
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    for (name, document) in samples::all() {
        let page = render(&document);
        for outside in ["<script", "<link", "<img", "<iframe", "@import", "src=", "href="] {
            assert!(!page.contains(outside), "{name}: {outside}");
        }
        assert!(page.replace("http://www.w3.org/2000/svg", "").find("://").is_none(), "{name}: an address");
    }
}

#[test]
fn hostile_text_stays_text() {
    const HOSTILE: &str = "\"><script>alert('&')</script>\u{0}";
    let mut document = samples::rising();
    let runs = samples::noisy().runs;
    document.runs = runs;
    document.command = HOSTILE.into();
    document.version = HOSTILE.into();
    let Document { setup, config, runs, .. } = &mut document;
    config.scenario = HOSTILE.into();
    config.input = Some(HOSTILE.into());
    config.durability = HOSTILE.into();
    setup.backend = HOSTILE.into();
    setup.chain = HOSTILE.into();
    setup.backend_notes.push(HOSTILE.into());
    setup.arguments.push(HOSTILE.into());
    setup.machine.device = Some(HOSTILE.into());
    for Run { parts, shards, floors, ratio, .. } in runs {
        parts.iter_mut().for_each(|part| part.name = HOSTILE.into());
        floors.device.iter_mut().for_each(|device| device.backend = HOSTILE.into());
        floors.device_missing.push(HOSTILE.into());
        ratio.iter_mut().for_each(|ratio| ratio.tighter = HOSTILE.into());
        let stages = shards.iter_mut().filter_map(|shard| shard.stages.as_mut());
        stages.flat_map(|stages| &mut stages.latency).for_each(|stage| stage.name = HOSTILE.into());
    }
    let page = render(&document);
    assert_balanced("hostile", &page);
    assert!(!page.contains("<script") && !page.contains('\0'));
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"), "it is shown");
}

/// The text of the page's warnings.
fn warnings(document: &Document) -> String {
    let page = render(document);
    page.split("<p class=\"warning").skip(1).filter_map(|rest| rest.split("</p>").next()).collect()
}

#[test]
fn what_spoils_the_figures_is_said() {
    assert_eq!(warnings(&samples::append()), "");
    assert_eq!(warnings(&samples::rising()), "");
    let beyond = warnings(&samples::beyond_the_knee());
    assert!(
        beyond.contains("append: 6.70 M of 8.00 M requests/s") && beyond.contains("grew by 1.30 M a second"),
        "{beyond}"
    );
    assert!(beyond.contains("Neither shards nor clients"), "{beyond}");
    assert!(warnings(&samples::noisy()).contains("Interrupted."));
    assert_eq!(warnings(&samples::mixed()), "", "reads and appends together are what was asked for");
    assert!(warnings(&samples::empty()).contains("Debug build."));
    let mut lost = samples::rising();
    lost.sweep.as_mut().unwrap().knee_per_sec = None;
    assert!(warnings(&lost).contains("there is no knee"));
    let mut blind = samples::empty();
    blind.runs[0].floors.device_missing.push("the disk is full".into());
    assert!(warnings(&blind).contains("the disk is full"));
}

#[test]
fn the_spread_of_several_runs_is_told() {
    let page = render(&samples::repeated());
    for row in ["least</th><td>5.91 M", "median</th><td>6.62 M", "most</th><td>6.70 M"] {
        assert!(page.contains(row), "{row}");
    }
    assert!(page.contains("The run of the median throughput"));
}

#[test]
fn rates_that_were_not_sustained_are_drawn_apart() {
    let page = render(&samples::rising());
    // Three of them, each in both layouts.
    assert_eq!(page.matches("class=\"dot hollow s1\"").count(), 6);
    assert!(page.contains("knee 5.40 M") && page.contains("not sustained, 1.20 M behind at the end"));
}

#[test]
fn the_tighter_floor_is_the_one_that_is_marked() {
    let mut document = samples::append();
    let says = |page: &str, words: &str| assert!(page.contains(words), "{words}");
    says(&render(&document), "processor: 9.22 M records/s, the tighter floor");
    document.runs[0].ratio.as_mut().unwrap().tighter = "device".into();
    says(&render(&document), "dsync, depth 2: 10.2 M records/s, the tighter floor");
}

#[test]
fn stages_are_those_of_all_records() {
    let mut document = samples::append();
    let shards = &mut document.runs[0].shards;
    shards[1].records = 3 * shards[0].records;
    for (shard, ns_per_record) in shards.iter_mut().zip([1000.0, 5000.0]) {
        let seal = Stage { name: "seal".into(), ns_per_record };
        shard.stages = Some(Stages { latency: vec![seal], processor: Vec::new() });
    }
    assert!(render(&document).contains("</i>seal <b>4.00 µs</b> <span>100 %</span>"));
}
