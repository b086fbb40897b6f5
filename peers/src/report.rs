//! The tables: records a second, how far Diatreme is ahead, and what was flushed.

use crate::measure::{Measured, Verdict};
use crate::stores::{ENGINES, Engine};
use std::fmt::{self, Display, Formatter};

/// All that was measured, to be printed.
pub(crate) struct Tables<'a> {
    pub(crate) engines: &'a [Engine],
    /// Batch and commits in flight of each column.
    pub(crate) columns: &'a [(usize, usize)],
    pub(crate) all: &'a [Measured],
    pub(crate) markdown: bool,
}

impl Tables<'_> {
    /// What an engine did in a column, a round each.
    fn cell(&self, engine: &Engine, (batch, in_flight): (usize, usize)) -> impl Iterator<Item = &Measured> {
        let name = engine.name;
        self.all.iter().filter(move |one| (one.engine, one.batch, one.in_flight) == (name, batch, in_flight))
    }

    fn rate(&self, engine: &Engine, column: (usize, usize)) -> String {
        let rates = spread(self.cell(engine, column).map(|one| one.records_per_s), short);
        let worst = self.cell(engine, column).filter(|one| one.flushes.verdict == Verdict::NotDurable);
        let flushed = worst.filter_map(|one| one.flushes.per_commit(engine.calls_counted)).map(|(flushes, _)| flushes);
        let flushed = flushed.reduce(f64::min);
        flushed.map_or(rates.clone(), |flushed| format!("NOT DURABLE ({flushed:.2} flushes a commit): {rates}"))
    }

    /// How many times as many records the first engine took in the same round.
    fn ratio(&self, engine: &Engine, column: (usize, usize)) -> String {
        let rounds = self.cell(&self.engines[0], column).zip(self.cell(engine, column));
        spread(rounds.map(|(first, other)| first.records_per_s / other.records_per_s), |ratio| format!("{ratio:.2}"))
    }

    fn latency(&self, engine: &Engine, column: (usize, usize)) -> String {
        let middle = |of: fn(&Measured) -> f64| median(self.cell(engine, column).map(of).collect());
        let both = middle(|one| one.commit_p50_us).zip(middle(|one| one.commit_p99_us));
        both.map_or_else(|| "-".into(), |(p50, p99)| format!("{p50:.0} / {p99:.0}"))
    }

    fn flushes(&self, engine: &Engine, column: (usize, usize)) -> String {
        let (flushed, by_device): (Vec<f64>, Vec<bool>) =
            self.cell(engine, column).filter_map(|one| one.flushes.per_commit(engine.calls_counted)).unzip();
        let by = if by_device.contains(&true) { " by the device" } else { "" };
        let unproven = self.cell(engine, column).any(|one| one.flushes.verdict == Verdict::Unproven);
        let mark = if unproven { ", unproven" } else { "" };
        match median(flushed) {
            Some(per_commit) => format!("{per_commit:.3}{by}{mark}"),
            None if unproven => "unproven".into(),
            None => "-".into(),
        }
    }

    fn table(
        &self,
        out: &mut Formatter<'_>,
        title: &str,
        engines: &[Engine],
        text: impl Fn(&Engine, (usize, usize)) -> String,
    ) -> fmt::Result {
        let column = |(batch, in_flight): &(usize, usize)| match in_flight {
            1 => format!("{batch} a commit"),
            _ => format!("{batch} a commit, {in_flight} in flight"),
        };
        let head = std::iter::once(title.to_owned()).chain(self.columns.iter().map(column)).collect();
        let row = |engine: &Engine| {
            let version = self.all.iter().find(|one| one.engine == engine.name).map(|one| one.version.as_str());
            let name = format!("{} {}", engine.name, version.unwrap_or_default());
            std::iter::once(name).chain(self.columns.iter().map(|&column| text(engine, column))).collect()
        };
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(engines.iter().map(row)).collect();
        lay_out(out, &rows, self.markdown)
    }
}

impl Display for Tables<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let all = self.engines;
        self.table(out, "records/s, median (min-max)", all, |engine, column| self.rate(engine, column))?;
        // Without it there is nothing to relate to: ratios are to Diatreme, or not at all.
        if let [first, others @ ..] = all
            && first.name == ENGINES[0].name
            && !others.is_empty()
        {
            self.table(out, "Diatreme's records/s to theirs", others, |engine, column| self.ratio(engine, column))?;
        }
        self.table(out, "commit, p50 / p99 µs", all, |engine, column| self.latency(engine, column))?;
        self.table(out, "flushes a commit", all, |engine, column| self.flushes(engine, column))
    }
}

fn lay_out(out: &mut Formatter<'_>, rows: &[Vec<String>], markdown: bool) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        if markdown {
            writeln!(out, "| {} |", row.join(" | "))?;
            if at == 0 {
                writeln!(out, "|{}", " --- |".repeat(columns))?;
            }
        } else {
            let padded: Vec<String> = row.iter().zip(&widths).map(|(text, &width)| format!("{text:width$}")).collect();
            writeln!(out, "{}", padded.join("  ").trim_end())?;
        }
    }
    writeln!(out)
}

/// The median, and the least and the most if there are several.
fn spread(values: impl Iterator<Item = f64>, show: impl Fn(f64) -> String) -> String {
    let values: Vec<f64> = values.collect();
    let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(min, max), &value| (min.min(value), max.max(value)));
    let several = values.len() > 1;
    let Some(median) = median(values) else { return "-".into() };
    if several { format!("{} ({}-{})", show(median), show(min), show(max)) } else { show(median) }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A number to three digits.
pub(crate) fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 999_500.0 => (value / 1e6, " M"),
        value if value >= 999.5 => (value / 1e3, " K"),
        value => (value, ""),
    };
    match value {
        value if value >= 99.95 => format!("{value:.0}{unit}"),
        value if value >= 9.995 => format!("{value:.1}{unit}"),
        value => format!("{value:.2}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush_count::Calls;
    use crate::measure::Flushes;

    fn measured(engine: &Engine, round: usize, records_per_s: f64, verdict: Verdict) -> Measured {
        let calls = Calls::default();
        let (own_account, device, device_by_others) = (None, Some(150), Some(0));
        let flushes = Flushes { commits: 100, needed: 100, calls, own_account, device, device_by_others, verdict };
        let (batch, in_flight, in_flight_used) = (10, 1, 1);
        let (version, commit_p50_us, commit_p99_us) = ("1.2".into(), 80.0, 120.0);
        let engine = engine.name;
        Measured {
            engine,
            version,
            batch,
            in_flight,
            in_flight_used,
            round,
            records_per_s,
            commit_p50_us,
            commit_p99_us,
            flushes,
        }
    }

    #[test]
    fn the_tables_relate_runs_of_a_round_and_name_who_does_not_flush() {
        let (ours, theirs) = (&ENGINES[0], &ENGINES[1]);
        let all = [
            measured(ours, 0, 100.0, Verdict::Durable),
            measured(theirs, 0, 200.0, Verdict::NotDurable),
            measured(theirs, 1, 300.0, Verdict::NotDurable),
            measured(ours, 1, 600.0, Verdict::Unproven),
        ];
        let tables = Tables { engines: &ENGINES[..2], columns: &[(10, 1), (1, 64)], all: &all, markdown: true };
        let text = tables.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "| records/s, median (min-max) | 10 a commit | 1 a commit, 64 in flight |");
        assert_eq!(lines[1], "| --- | --- | --- |");
        assert_eq!(lines[2], "| Diatreme 1.2 | 350 (100-600) | - |");
        assert_eq!(lines[3], "| raft-engine 1.2 | NOT DURABLE (0.00 flushes a commit): 250 (200-300) | - |");
        assert_eq!(lines[7], "| raft-engine 1.2 | 1.25 (0.50-2.00) | - |");
        assert_eq!(lines[11], "| Diatreme 1.2 | 80 / 120 | - |");
        assert_eq!(lines[16], "| Diatreme 1.2 | 1.500 by the device, unproven | - |");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.5, 42.0, 999.4, 999.6, 12_345.0, 999_600.0, 3_819_000.0].map(short);
        assert_eq!(shown, ["0.50", "42.0", "999", "1.00 K", "12.3 K", "1.00 M", "3.82 M"]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(Vec::new()), None);
        assert_eq!(spread([2.0, 1.0, 4.0].into_iter(), |value| format!("{value}")), "2 (1-4)");
        assert_eq!(spread([2.0].into_iter(), |value| format!("{value}")), "2");
    }
}
