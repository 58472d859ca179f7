//! Numbers as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// A rate or count with a decimal prefix and at most four characters of digits: `1.23 M`.
pub fn short(value: f64) -> String {
    if !value.is_finite() || value <= 0.0 {
        return "0".into();
    }
    let prefixes = ["", "k", "M", "G", "T", "P", "E"];
    let mut value = value;
    let mut index = 0;
    // 999.5 would be rounded up to four digits.
    while value >= 999.5 && index + 1 < prefixes.len() {
        value /= 1000.0;
        index += 1;
    }
    let prefix = prefixes[index];
    let space = if prefix.is_empty() { "" } else { " " };
    let digits = match value {
        value if index == 0 && value >= 10.0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    if index == 0 && value < 0.005 {
        return "<0.01".into();
    }
    let text = format!("{value:.digits$}");
    let text = match text.contains('.') && index == 0 {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    format!("{text}{space}{prefix}")
}

/// A whole number with thin groups of three: `1 234 567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A time: `850 ns`, `2.1 us`, `13 ms`, `1.50 s`.
pub fn nanos(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = if value < 9.95 {
        2
    } else if value < 99.5 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// A moment as the log writes it: `2026-03-01T09:05:07.042Z`.
pub fn utc(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days in years that begin with March, so that the odd day comes last; in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// How long something has been running: `45 s`, `3 min`, `2 h 05 min`, `3 d 04 h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (value, text) in [
            (0.0, "0"),
            (f64::NAN, "0"),
            (0.001, "<0.01"),
            (0.5, "0.5"),
            (1.0, "1"),
            (42.4, "42"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (12_345.0, "12.3 k"),
            (1_234_567.0, "1.23 M"),
            (999_960.0, "1.00 M"),
            (14.88e6, "14.9 M"),
            (100e9, "100 G"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }

    #[test]
    fn moments() {
        use std::time::Duration;
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_868_799, "2000-02-29T23:59:59.007Z"),
            (1_772_355_907, "2026-03-01T09:05:07.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(7);
            assert_eq!(utc(at), text);
        }
    }

    #[test]
    fn counts_times_and_durations() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1 000", "1 234 567"]
        );
        assert_eq!(
            [999, 1_000, 12_340, 123_456, 9_999_999, 1_500_000_000].map(nanos),
            [
                "999 ns", "1.00 µs", "12.3 µs", "123 µs", "10.0 ms", "1.50 s"
            ]
        );
        assert_eq!(
            [59.9, 61.0, 7500.0, 273_600.0].map(duration),
            ["59 s", "1 min", "2 h 05 min", "3 d 04 h"]
        );
    }
}
