//! Numbers as people read and write them.

/// Splits a number from the unit behind it: `1.5Mpps` is 1.5 and `Mpps`. `None` without a number.
pub fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.replace('_', "").parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}

/// A number with a unit prefix, three significant digits and more where they are exact.
pub fn si(value: f64) -> String {
    let (value, prefix) = match value.abs() {
        x if x >= 1e9 => (value / 1e9, "G"),
        x if x >= 1e6 => (value / 1e6, "M"),
        x if x >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {prefix}")
}

/// Nanoseconds for people: `850 ns`, `12.3 µs`, `1.05 ms`, `2 s`.
pub fn nanoseconds(value: f64) -> String {
    let (value, unit) = match value.abs() {
        x if x >= 1e9 => (value / 1e9, "s"),
        x if x >= 1e6 => (value / 1e6, "ms"),
        x if x >= 1e3 => (value / 1e3, "µs"),
        _ => (value, "ns"),
    };
    let digits = match value.abs() {
        _ if unit == "ns" => 0,
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// Thousands apart: `1 234 567`.
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

/// Reads a length of time such as `10s`, `500ms`, `1.5us`; in nanoseconds. A number alone is seconds.
pub fn read_nanoseconds(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("{text:?} is not a length of time; expected such as \"10s\", \"500ms\", \"2min\"")
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let nanoseconds = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" | "" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return Err(wrong()),
    };
    let total = number * nanoseconds;
    if total > 1e18 {
        return Err(wrong());
    }
    Ok(total.round() as u64)
}

/// Nanoseconds exactly, in the largest unit that leaves few digits: what [`read_nanoseconds`] reads again.
pub fn write_nanoseconds(value: f64) -> String {
    let (value, unit) = match value.abs() {
        x if x >= 1e9 => (value / 1e9, "s"),
        x if x >= 1e6 => (value / 1e6, "ms"),
        x if x >= 1e3 => (value / 1e3, "us"),
        _ => (value, "ns"),
    };
    format!("{value}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_in_groups() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1 000"),
            (1234567, "1 234 567"),
        ] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(si(1_500_000.0), "1.5 M");
        assert_eq!(si(999.0), "999 ");
        assert_eq!(nanoseconds(850.0), "850 ns");
        assert_eq!(nanoseconds(12_340.0), "12.3 µs");
        assert_eq!(nanoseconds(2e9), "2.00 s");
    }

    #[test]
    fn times_written_are_read_again() {
        for ns in [1.0, 999.0, 25_000.0, 1_500_000.0, 2e9, 28_500.0] {
            let text = write_nanoseconds(ns);
            assert_eq!(read_nanoseconds(&text), Ok(ns as u64), "{text}");
        }
    }
}
