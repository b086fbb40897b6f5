//! Latencies in the forms that other tools read: the distribution as CSV, and the interval log of the HdrHistogram family.

use crate::failure::Failure;
use crate::report::Report;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The latencies of one part of a run.
pub(crate) struct Recorded {
    name: String,
    ns: Histogram<u64>,
}

impl Recorded {
    pub(crate) fn new(name: impl Into<String>, ns: Histogram<u64>) -> Recorded {
        Recorded { name: name.into(), ns }
    }
}

/// The distributions as CSV: of each latency that occurred, how many requests had it, and the fraction of all that took no
/// longer. A latency is the upper end of its bucket in the histogram. What has one name, as a part that ran several times,
/// is one distribution.
pub(crate) fn ecdf_csv(recorded: &[Recorded]) -> String {
    let mut csv = String::from("part,latency_ns,fraction,count\n");
    for (at, Recorded { name, .. }) in recorded.iter().enumerate() {
        if recorded[..at].iter().all(|before| before.name != *name) {
            distribution(&mut csv, name, recorded.iter().filter(|one| one.name == *name).map(|one| &one.ns));
        }
    }
    csv
}

fn distribution<'a>(csv: &mut String, name: &str, all: impl Iterator<Item = &'a Histogram<u64>>) {
    let mut counts = BTreeMap::new();
    for bucket in all.flat_map(Histogram::iter_recorded) {
        *counts.entry(bucket.value_iterated_to()).or_insert(0) += bucket.count_at_value();
    }
    let (name, total, mut below): (_, u64, u64) = (quoted(name), counts.values().sum(), 0);
    for (latency_ns, count) in counts {
        below += count;
        let fraction = below as f64 / total as f64;
        let _a_string_takes_all = writeln!(csv, "{name},{latency_ns},{fraction},{count}");
    }
}

/// A text as one field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

/// What stands at the head of an interval log: for people what it holds, and the lines that readers of the format expect.
const HEAD: &str =
    "[Logged by diatreme bench; values are latencies in nanoseconds]\n[Histogram log format version 1.3]";
const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// A log of histograms, one of each part and interval, written while the run goes on: a long run takes no more memory than
/// a short one, and what is there when it is killed can be read.
pub(crate) struct HdrLog {
    report: Report,
    serializer: V2DeflateSerializer,
    /// From here count the times of intervals.
    opened: (SystemTime, Instant),
    has_head: bool,
}

impl HdrLog {
    /// Opens the file. What it holds stays until the first interval ends.
    pub(crate) fn open(path: &Path) -> Result<HdrLog, Failure> {
        let (opened, serializer) = ((SystemTime::now(), Instant::now()), V2DeflateSerializer::new());
        Ok(HdrLog { report: Report::open_at(path)?, serializer, opened, has_head: false })
    }

    /// Logs what a part recorded in an interval of this length, which ends now.
    pub(crate) fn interval(&mut self, part: &str, length: Duration, ns: &Histogram<u64>) -> Result<(), Failure> {
        self.head()?;
        let (tag, start) = (tag(part), self.opened.1.elapsed().saturating_sub(length));
        self.append(|serializer, text| {
            // Without a header, a writer adds nothing but the line.
            let mut writer =
                IntervalLogWriterBuilder::new().begin_log_with(text, serializer).map_err(|error| error.to_string())?;
            writer.write_histogram(ns, start, length, Tag::new(&tag)).map_err(|error| error.to_string())
        })
    }

    /// Ends the log: one without intervals is a log all the same.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.head()
    }

    fn head(&mut self) -> Result<(), Failure> {
        if self.has_head {
            return Ok(());
        }
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment(HEAD).with_start_time(self.opened.0).with_base_time(self.opened.0);
        self.append(|serializer, text| {
            builder.begin_log_with(text, serializer).map_err(|error| error.to_string())?;
            text.extend_from_slice(LEGEND.as_bytes());
            Ok(())
        })?;
        self.has_head = true;
        Ok(())
    }

    fn append(
        &mut self,
        write: impl FnOnce(&mut V2DeflateSerializer, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let mut text = Vec::new();
        write(&mut self.serializer, &mut text)
            .and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()))
            .map_err(|error| Failure::failed(format!("cannot log a histogram: {error}")))
            .and_then(|text| self.report.append(&text))
    }
}

/// The name of a part without the characters that separate fields.
fn tag(part: &str) -> String {
    let words = part.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn counts_of_the_csv_sum_up_and_fractions_rise_to_one() {
        let parts = [
            Recorded::new("append", histogram((0..10_000).map(|n| n * n))),
            Recorded::new("random \"reads\", cold", histogram([7, 9])),
            Recorded::new("nothing", histogram([])),
            Recorded::new("append", histogram([3, 100_000_000])),
            Recorded::new("random \"reads\", cold", histogram([7])),
        ];
        let csv = ecdf_csv(&parts);
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("part,latency_ns,fraction,count"));
        let (mut count, mut last) = (0, (0, 0.0));
        for line in lines.clone().filter(|line| line.starts_with("append,")) {
            let fields: Vec<&str> = line.split(',').collect();
            let (latency, fraction): (u64, f64) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
            assert!(latency > last.0 || count == 0, "{line}");
            assert!(fraction > last.1, "{line}");
            last = (latency, fraction);
            count += fields[3].parse::<u64>().unwrap();
        }
        assert_eq!((count, last), (10_002, (parts[3].ns.max(), 1.0)));
        let others: Vec<&str> = lines.filter(|line| !line.starts_with("append,")).collect();
        let name = "\"random \"\"reads\"\", cold\"";
        assert_eq!(others, [format!("{name},7,{},2", 2.0 / 3.0), format!("{name},9,1,1")]);
    }

    #[test]
    fn an_interval_log_is_there_line_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.hlog");
        let mut log = HdrLog::open(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        let opened = log.opened.0.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let (short, long) = (Duration::from_millis(500), Duration::from_secs(1000));
        log.interval("append", long, &histogram([1_000, 2_000])).unwrap();
        log.interval("random reads, cold", short, &histogram([])).unwrap();
        let text = std::fs::read(&path).unwrap();
        let entries: Vec<LogEntry<'_>> = IntervalLogIterator::new(&text).map(Result::unwrap).collect();
        let [LogEntry::StartTime(start), LogEntry::BaseTime(base), intervals @ ..] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(start, base);
        assert!(start.abs_diff(opened) < Duration::from_millis(2), "{start:?} {opened:?}");
        let interval = |entry: &LogEntry<'_>| match entry {
            LogEntry::Interval(one) => (one.tag().unwrap().as_str().to_owned(), one.duration(), one.max()),
            other => panic!("{other:?}"),
        };
        let read: Vec<_> = intervals.iter().map(interval).collect();
        assert_eq!(read, [("append".into(), long, 2_000.0), ("random_reads_cold".into(), short, 0.0)]);
    }

    #[test]
    fn a_log_without_intervals_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.hlog");
        HdrLog::open(&path).unwrap().finish().unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(IntervalLogIterator::new(&text).map(Result::unwrap).count(), 2);
        assert_eq!(HdrLog::open(&directory.path().join("absent/run.hlog")).err().unwrap().code(), 2);
    }
}
