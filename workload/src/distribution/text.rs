//! Reading and writing distributions.

use std::fmt;

use super::{Distribution, Mixture};
use crate::format::{read_nanoseconds, split, write_nanoseconds};
use crate::quantile::QuantileTable;

/// What the values of a distribution are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Times; kept in nanoseconds, written with their unit.
    Time,
    /// Sizes; kept in bytes.
    Bytes,
}

impl Unit {
    fn read(self, text: &str) -> Result<f64, String> {
        let value = match self {
            Unit::Time if !text.trim().ends_with(char::is_alphabetic) => {
                return Err(format!(
                    "{text:?} has no unit; expected a time such as \"25us\""
                ));
            }
            Unit::Time => read_nanoseconds(text.trim())? as f64,
            Unit::Bytes => read_bytes(text)?,
        };
        if value <= 0.0 {
            return Err(format!("a value is more than 0, found {text:?}"));
        }
        Ok(value)
    }

    fn write(self, value: f64) -> String {
        match self {
            Unit::Time => write_nanoseconds(value),
            Unit::Bytes => format!("{value}B"),
        }
    }
}

/// Reads a size such as `1530`, `11.8kB`, `4MiB`; in bytes.
pub fn read_bytes(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a size; expected such as \"1530\", \"32kB\", \"4MiB\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let scale = match unit {
        "" | "B" => 1.0,
        "k" | "kB" | "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        "KiB" | "kiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    Ok(number * scale)
}

/// Splits at commas that are not inside parentheses.
fn arguments(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// A share such as `90%` or `0.9`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a share; expected such as \"90%\" or \"0.9\"");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    match unit {
        "%" => Ok(number / 100.0),
        "" => Ok(number),
        _ => Err(wrong()),
    }
}

const FORMS: &str = "const(10us), exp(25us), bimodal(90%:25us,10%:250us), \
    lognormal(median=10us,p99=200us), quantiles(0%:1us,50%:10us,99%:1ms,cap=5ms), \
    mix(99%:exp(10us),1%:const(1ms)), cap(exp(25us),1ms), or the name of a preset";

/// How deep distributions may stand inside one another.
const DEPTH: u32 = 8;

/// The normal distribution's 90th, 95th, 99th and 99.9th percentiles, in deviations.
const NORMAL: [(&str, f64); 4] = [
    ("p90", 1.281_551_565_5),
    ("p95", 1.644_853_627),
    ("p99", 2.326_347_874),
    ("p99.9", 3.090_232_306),
];

impl Distribution {
    /// Reads a distribution. The error says what was found and what is allowed.
    pub fn parse(text: &str, unit: Unit) -> Result<Distribution, String> {
        parse(text, unit, 0)
    }

    /// Writes it so that [`parse`](Self::parse) reads it again.
    pub fn text(&self, unit: Unit) -> String {
        match self {
            Distribution::Constant(value) => format!("const({})", unit.write(*value)),
            Distribution::Exponential(mean) => format!("exp({})", unit.write(*mean)),
            Distribution::LogNormal { median, sigma, cap } => {
                let cap = if cap.is_finite() {
                    format!(",cap={}", unit.write(*cap))
                } else {
                    String::new()
                };
                format!(
                    "lognormal(median={},sigma={sigma}{cap})",
                    unit.write(*median)
                )
            }
            Distribution::Quantiles(table) => {
                let points: Vec<String> = table
                    .points()
                    .iter()
                    .map(|(p, value)| format!("{p}:{}", unit.write(*value)))
                    .collect();
                format!(
                    "quantiles({},cap={})",
                    points.join(","),
                    unit.write(table.cap())
                )
            }
            Distribution::Mixture(mixture) => {
                let parts: Vec<String> = mixture
                    .parts()
                    .iter()
                    .map(|(share, part)| format!("{share}:{}", part.text(unit)))
                    .collect();
                format!("mix({})", parts.join(","))
            }
            Distribution::Methods(methods) => methods.name(),
            Distribution::Capped(of, cap) => format!("cap({},{})", of.text(unit), unit.write(*cap)),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Time => "time",
            Unit::Bytes => "size",
        })
    }
}

fn parse(text: &str, unit: Unit, depth: u32) -> Result<Distribution, String> {
    let text = text.trim();
    if depth > DEPTH {
        return Err(format!("{text:?} stands too deep inside others"));
    }
    let Some((name, rest)) = text.split_once('(') else {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return unit.read(text).map(Distribution::Constant);
        }
        return crate::presets::distribution(text, unit).map_err(|error| match error {
            Some(error) => error,
            None => format!("{text:?} is not a distribution; expected such as {FORMS}"),
        });
    };
    let inside = rest
        .strip_suffix(')')
        .ok_or_else(|| format!("{text:?} lacks its closing parenthesis"))?;
    let of = |error: String| format!("{text:?}: {error}");
    let args = arguments(inside);
    let one = || match args.as_slice() {
        [value] => unit.read(value),
        _ => Err(format!("one {unit} is expected")),
    };
    match name.trim() {
        "const" | "constant" => one().map(Distribution::Constant).map_err(of),
        "exp" | "exponential" => one().map(Distribution::Exponential).map_err(of),
        "bimodal" | "mix" => mixture(&args, unit, depth)
            .map(Distribution::Mixture)
            .map_err(of),
        "lognormal" => log_normal(&args, unit).map_err(of),
        "quantiles" => quantiles(&args, unit)
            .map(Distribution::Quantiles)
            .map_err(of),
        "cap" => match args.as_slice() {
            [inner, cap] => Ok(parse(inner, unit, depth + 1)?.capped(unit.read(cap).map_err(of)?)),
            _ => Err(of("a distribution and its cap are expected".into())),
        },
        other => Err(format!(
            "there is no distribution {other:?}; expected such as {FORMS}"
        )),
    }
}

fn mixture(args: &[&str], unit: Unit, depth: u32) -> Result<Mixture, String> {
    let parts = args.iter().map(|part| {
        let (of, value) = part
            .split_once(':')
            .ok_or_else(|| format!("{part:?} is not SHARE:{}", unit.to_string().to_uppercase()))?;
        Ok((share(of)?, parse(value, unit, depth + 1)?))
    });
    Mixture::new(parts.collect::<Result<_, String>>()?)
}

fn quantiles(args: &[&str], unit: Unit) -> Result<QuantileTable, String> {
    let (mut points, mut cap) = (Vec::new(), None);
    for arg in args {
        if let Some(value) = arg.strip_prefix("cap=") {
            cap = Some(unit.read(value)?);
        } else if let Some((p, value)) = arg.split_once(':') {
            points.push((share(p)?, unit.read(value)?));
        } else {
            return Err(format!("{arg:?} is neither SHARE:VALUE nor cap=VALUE"));
        }
    }
    let cap = cap.ok_or("a table of quantiles needs a cap: the mean of its tail is set by it")?;
    QuantileTable::new(&points, cap)
}

fn log_normal(args: &[&str], unit: Unit) -> Result<Distribution, String> {
    let (mut median, mut sigma, mut cap, mut at) = (None, None, f64::INFINITY, None);
    for arg in args {
        let (key, value) = arg
            .split_once('=')
            .ok_or_else(|| format!("{arg:?} is not NAME=VALUE"))?;
        match key.trim() {
            "median" => median = Some(unit.read(value)?),
            "cap" => cap = unit.read(value)?,
            "sigma" => {
                let found: f64 = value
                    .trim()
                    .parse()
                    .map_err(|_| format!("sigma is a number, found {value:?}"))?;
                if !(found > 0.0 && found <= 10.0) {
                    return Err(format!(
                        "sigma is more than 0 and at most 10, found {value:?}"
                    ));
                }
                sigma = Some(found);
            }
            key => match NORMAL.iter().find(|(name, _)| *name == key) {
                Some((_, z)) => at = Some((unit.read(value)?, *z)),
                None => {
                    return Err(format!(
                        "there is no {key:?}; expected median and one of sigma, p90, p95, p99, p99.9; and cap"
                    ));
                }
            },
        }
    }
    let median = median.ok_or("the median is missing")?;
    let sigma = match (sigma, at) {
        (Some(sigma), None) => sigma,
        (None, Some((value, z))) if value > median => (value / median).ln() / z,
        (None, Some(_)) => return Err("a high percentile is above the median".into()),
        _ => return Err("expected one of sigma, p90, p95, p99, p99.9".into()),
    };
    Ok(Distribution::LogNormal { median, sigma, cap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f26_what_is_written_is_read_again() {
        for text in [
            "const(10us)",
            "exp(25us)",
            "mix(0.9:const(25us),0.1:const(250us))",
            "lognormal(median=10us,sigma=1.31,cap=5ms)",
            "quantiles(0:1us,0.5:10us,0.99:1ms,cap=5ms)",
            "cap(exp(25us),1ms)",
        ] {
            let read = Distribution::parse(text, Unit::Time).unwrap();
            assert_eq!(read.text(Unit::Time), text);
        }
        assert_eq!(
            Distribution::parse("25us", Unit::Time),
            Ok(Distribution::Constant(25_000.0))
        );
        assert_eq!(
            Distribution::parse("32KiB", Unit::Bytes),
            Ok(Distribution::Constant(32_768.0))
        );
        let by_p99 = Distribution::parse("lognormal(median=10.7ms,p99=225ms)", Unit::Time);
        let Ok(Distribution::LogNormal { sigma, .. }) = by_p99 else {
            panic!("{by_p99:?}")
        };
        assert!((sigma - 1.31).abs() < 0.005, "{sigma}");
    }

    #[test]
    fn f26_mistakes_are_told_with_what_was_found() {
        for (text, expected) in [
            ("", "is not a distribution"),
            ("fast", "is not a distribution"),
            ("exp(25)", "has no unit"),
            ("exp(25us", "closing parenthesis"),
            ("exp()", "has no unit"),
            ("exp(1us,2us)", "one time is expected"),
            ("exp(0us)", "more than 0"),
            ("expo(25us)", "there is no distribution \"expo\""),
            ("bimodal(90%:25us,20%:250us)", "add up to 110"),
            ("bimodal(25us)", "is not SHARE:TIME"),
            ("bimodal(0%:25us,100%:1us)", "more than 0%"),
            ("bimodal(x:25us)", "is not a share"),
            ("lognormal(median=1us)", "expected one of sigma"),
            ("lognormal(sigma=1)", "median is missing"),
            ("lognormal(median=1us,sigma=-1)", "sigma is more than 0"),
            ("lognormal(median=9us,p99=1us)", "above the median"),
            ("lognormal(median=1us,mean=2us)", "there is no \"mean\""),
            ("quantiles(0%:1us,50%:2us)", "needs a cap"),
            ("quantiles(0%:1us,50%:2us,cap=1us)", "cap is at least"),
            ("cap(exp(1us))", "its cap"),
        ] {
            let error = Distribution::parse(text, Unit::Time).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = format!("{}1us{}", "cap(".repeat(50), ",1us)".repeat(50));
        assert!(
            Distribution::parse(&deep, Unit::Time)
                .unwrap_err()
                .contains("too deep")
        );
    }

    proptest::proptest! {
        #[test]
        fn f26_no_text_is_a_panic(text in "[a-z0-9%:,.()=]{0,40}") {
            let _ = Distribution::parse(&text, Unit::Time);
            let _ = Distribution::parse(&text, Unit::Bytes);
        }
    }
}
