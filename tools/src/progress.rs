//! Progress on a terminal; nothing where standard error is none.

use crate::output;
use diatreme::{Builder, Engine, OpenError};
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);
/// An opening that takes no longer is not worth a bar: it would only flicker.
const OPENING_SHOWN: Duration = Duration::from_millis(200);
/// One that took longer was waited for, and its speed is told.
const OPENING_TOLD: Duration = Duration::from_secs(1);

/// A bar over bytes of which the number is known.
pub(crate) fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    bar.set_style(style("{bar:32} {percent:>3} %  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}"));
    bar
}

/// A spinner over bytes of which nobody knows how many there will be.
pub(crate) fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_style(style("{spinner} {decimal_bytes}  {decimal_bytes_per_sec}"));
    spinner.enable_steady_tick(TURN);
    spinner
}

/// Opens an engine, with a bar over its recovery while that takes long.
pub(crate) fn open(builder: Builder) -> Result<Engine, OpenError> {
    let bar = bar(0);
    bar.set_draw_target(ProgressDrawTarget::hidden());
    let (since, shown, seen) = (Instant::now(), Once::new(), bar.clone());
    let builder = builder.watch_recovery(move |progress| {
        seen.set_length(progress.total);
        seen.set_position(progress.done);
        if since.elapsed() > OPENING_SHOWN {
            shown.call_once(|| seen.set_draw_target(ProgressDrawTarget::stderr()));
        }
    });
    let opened = builder.open();
    bar.finish_and_clear();
    if let Ok(engine) = &opened {
        let report = engine.report();
        let (bytes, time) = (report.recovery.bytes, report.recovery_time);
        if time > OPENING_TOLD {
            let per_sec = DecimalBytes((bytes as f64 / time.as_secs_f64()) as u64);
            output::progress(&format!("recovered {} in {:.1} s, {per_sec}/s", DecimalBytes(bytes), time.as_secs_f64()));
        }
    }
    opened
}

/// A bar over a number of runs.
pub(crate) fn runs(runs: u64) -> ProgressBar {
    let bar = ProgressBar::new(runs);
    bar.set_style(style("{bar:32} {human_pos} of {human_len} runs  {msg}"));
    bar
}

/// The same for runs that end when their time is over.
pub(crate) fn runs_without_end() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    spinner.set_style(style("{spinner} {human_pos} runs in {elapsed}  {msg}"));
    spinner.enable_steady_tick(TURN);
    spinner
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well formed")
}
