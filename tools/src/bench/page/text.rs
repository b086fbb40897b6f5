//! Numbers that a reader can take in at a glance, and text that cannot break out of the page.

/// Text as content or attribute of HTML and SVG. A control character, which no form of it may hold, becomes a space.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            char => safe.push(char),
        }
    }
    safe
}

/// Three digits, as many of them behind the point as there is room for.
fn three_digits(value: f64) -> String {
    // From where rounding would make it one digit more.
    let decimals = match value.abs() {
        small if small < 9.995 => 2,
        small if small < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// What stands for a number that is none.
pub(super) const NONE: &str = "–";

/// A number in the largest unit of which it is at least one.
fn in_units(value: f64, units: &[(f64, &str)]) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    if value == 0.0 {
        return format!("0{}", units.last().map_or("", |unit| unit.1));
    }
    // A number that would be rounded to a thousand belongs to the next unit.
    let unit = units.iter().find(|(scale, _)| value.abs() >= scale * 0.9995);
    match unit.or(units.last()) {
        Some((scale, name)) => format!("{}{name}", three_digits(value / scale)),
        None => three_digits(value),
    }
}

/// A time.
pub(crate) fn latency(ns: f64) -> String {
    in_units(ns, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")])
}

/// A time at a tick of an axis: its value is round.
pub(crate) fn latency_tick(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (scale, name) = units.into_iter().find(|(scale, _)| ns >= *scale).unwrap_or((1.0, "ns"));
    format!("{} {name}", trimmed(ns / scale))
}

/// A number of things, or things a second: `4.12 M`.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 999.5 && value.fract() == 0.0 {
        return format!("{value}");
    }
    in_units(value, &[(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " K"), (1.0, "")])
}

/// A number at a tick of an axis that goes up to `high`: all ticks have the unit of the highest.
pub(super) fn number_tick(value: f64, high: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " K")];
    let (scale, name) = units.into_iter().find(|(scale, _)| high >= *scale).unwrap_or((1.0, ""));
    if value == 0.0 { "0".into() } else { format!("{}{name}", trimmed(value / scale)) }
}

/// No more digits than it takes.
pub(super) fn trimmed(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes in units of 1,024: memory, frames, files.
pub(super) fn bytes(bytes: f64) -> String {
    let units = [(1_099_511_627_776.0, " TiB"), (1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1024.0, " KiB")];
    match units.into_iter().find(|(scale, _)| bytes >= *scale) {
        Some((scale, name)) if (bytes / scale).fract() == 0.0 => format!("{}{name}", bytes / scale),
        Some((scale, name)) => format!("{}{name}", three_digits(bytes / scale)),
        None if bytes.is_finite() => format!("{} bytes", trimmed(bytes.round())),
        None => NONE.into(),
    }
}

/// Bytes a second, in units of 1,000 as devices are sold.
pub(super) fn bytes_per_sec(bytes: f64) -> String {
    in_units(bytes, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " KB/s"), (1.0, " B/s")])
}

/// A fraction in percent.
pub(super) fn percent(fraction: f64) -> String {
    if !fraction.is_finite() {
        return NONE.into();
    }
    let percent = fraction * 100.0;
    if percent.abs() < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// A quantile as it is called: `99.9 %`.
pub(super) fn quantile(fraction: f64) -> String {
    format!("{} %", trimmed(fraction * 100.0))
}

/// How many times as much.
pub(super) fn times(ratio: f64) -> String {
    format!("{}×", if ratio < 999.5 { three_digits(ratio) } else { number(ratio) })
}

/// Seconds.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds.fract() == 0.0 { format!("{seconds} s") } else { latency(seconds * 1e9) }
}

/// The day and time of day, in UTC, of seconds since 1970.
pub(super) fn date(unix_sec: u64) -> String {
    let (days, second) = (unix_sec / 86_400, unix_sec % 86_400);
    // Eras of 400 years, each of as many days, that begin on 1 March: then a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on: lengths repeat every five, of 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escaped("<a b=\"c\" d='e'>&\u{1}"), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp; ");
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        for (ns, text) in [
            (0.0, "0 ns"),
            (1.0, "1.00 ns"),
            (999.4, "999 ns"),
            (999.6, "1.00 µs"),
            (9_996.0, "10.0 µs"),
            (471_300.0, "471 µs"),
            (1_418_000.0, "1.42 ms"),
            (75e9, "75.0 s"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(latency(ns), text, "{ns}");
        }
        for (value, text) in [(0.0, "0"), (64.0, "64"), (14_700.0, "14.7 K"), (999_700.0, "1.00 M"), (4.12e6, "4.12 M")]
        {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(
            [bytes(100.0), bytes(1024.0), bytes(262_144.0), bytes(1e7)],
            ["100 bytes", "1 KiB", "256 KiB", "9.54 MiB"]
        );
        assert_eq!([percent(0.7234), percent(0.0561), percent(f64::INFINITY)], ["72 %", "5.6 %", "–"]);
        assert_eq!([quantile(0.5), quantile(0.9999)], ["50 %", "99.99 %"]);
        assert_eq!([seconds(10.0), seconds(0.25)], ["10 s", "250 ms"]);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!([latency_tick(1e3), latency_tick(5e8), latency_tick(0.5)], ["1 µs", "500 ms", "0.5 ns"]);
        assert_eq!([number_tick(5e5, 2e6), number_tick(0.0, 2e6), number_tick(20.0, 80.0)], ["0.5 M", "0", "20"]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (unix_sec, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_772_323_199, "2026-02-28 23:59 UTC"),
            (1_772_323_200, "2026-03-01 00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(unix_sec), text);
        }
    }
}
