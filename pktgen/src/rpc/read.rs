//! Addresses, rates and loads as they are written on the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::profile::values::{V4, V6, Values};

/// More addresses than this in a range are a slip.
const MOST_ADDRESSES: u64 = 4096;

/// Reads `ADDRESS` or `ADDRESS:PORT` (`[ADDRESS]:PORT` for IPv6).
pub fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    text.parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, port))
        .map_err(|_| format!("{text:?} is not an address; expected ADDRESS or ADDRESS:PORT"))
}

/// Reads IP addresses: `10.0.1.101+6`, `10.0.1.1-10.0.1.9`, or several separated by commas.
pub fn hosts(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        if let Ok(address) = part.parse::<IpAddr>() {
            found.push(address);
            continue;
        }
        let v6 = part.contains(':');
        let sequence = if v6 {
            Values::<V6>::from_text(part).map(|values| values.sequence)
        } else {
            Values::<V4>::from_text(part).map(|values| values.sequence)
        };
        let sequence = sequence
            .map_err(|_| format!("{part:?} is no address and no range such as 10.0.1.101+6"))?;
        if sequence.len() > MOST_ADDRESSES {
            return Err(format!("{part:?} is more than {MOST_ADDRESSES} addresses"));
        }
        found.extend((0..sequence.len()).map(|index| {
            let value = sequence.value(index, 0);
            if v6 {
                IpAddr::V6(Ipv6Addr::from(value))
            } else {
                IpAddr::V4(Ipv4Addr::from(value as u32))
            }
        }));
    }
    Ok(found)
}

/// As [`hosts`], where each part may also be `ADDRESS:PORT`.
pub fn addresses(text: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.parse::<SocketAddr>() {
            Ok(address) => found.push(address),
            Err(_) => found.extend(
                hosts(part)?
                    .into_iter()
                    .map(|host| SocketAddr::new(host, port)),
            ),
        }
    }
    Ok(found)
}

/// Reads requests a second: `100000`, `100k`, `1.5M`, also with `rps` behind.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong =
        || format!("{text:?} is not a rate; expected requests a second such as 50k or 1.5M");
    let (number, unit) = workload::format::split(text).ok_or_else(wrong)?;
    let unit = unit.strip_suffix("rps").unwrap_or(unit).trim();
    let scale = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" | "m" => 1e6,
        "G" => 1e9,
        _ => return Err(wrong()),
    };
    let rate = number * scale;
    if rate > 0.0 && rate <= 1e12 {
        Ok(rate)
    } else {
        Err(wrong())
    }
}

/// Reads a share: `10%` or `0.1`, from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a share; expected such as 10% or 0.1");
    let (number, unit) = workload::format::split(text).ok_or_else(wrong)?;
    let value = match unit {
        "%" => number / 100.0,
        "" => number,
        _ => return Err(wrong()),
    };
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(wrong())
    }
}

/// Reads load points: shares, and `sweep` for 10 % to 90 % and 95 %.
pub fn loads(texts: &[String]) -> Result<Vec<f64>, String> {
    let mut loads = Vec::new();
    for text in texts {
        if text == "sweep" {
            loads.extend((1..=9).map(|tenth| f64::from(tenth) / 10.0));
            loads.push(0.95);
            continue;
        }
        // More than the capacity may be asked for, to see what happens.
        let (number, unit) = workload::format::split(text).unwrap_or((0.0, ""));
        let load = if unit == "%" { number / 100.0 } else { number };
        if !matches!(unit, "%" | "") || !(0.0001..=10.0).contains(&load) {
            return Err(format!(
                "{text:?} is not a load; expected a share of the capacity such as 50%, or sweep"
            ));
        }
        loads.push(load);
    }
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    Ok(loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_alone_in_ranges_and_with_ports() {
        let texts = |text: &str| -> Vec<String> {
            addresses(text, 9044)
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(
            texts("10.0.1.101+2,10.0.0.1:5"),
            ["10.0.1.101:9044", "10.0.1.102:9044", "10.0.0.1:5"]
        );
        assert_eq!(
            texts("2001:2::1-2001:2::2"),
            ["[2001:2::1]:9044", "[2001:2::2]:9044"]
        );
        assert_eq!(texts("[2001:2::1]:7"), ["[2001:2::1]:7"]);
        assert_eq!(address("10.0.0.1", 7).unwrap().to_string(), "10.0.0.1:7");
        for text in [
            "",
            "10.0.0",
            "10.0.0.1+x",
            "10.0.0.1+5000",
            "host",
            "10.0.0.1:99999",
        ] {
            assert!(addresses(text, 1).is_err(), "{text}");
        }
        assert!(address("10.0.0.1+2", 7).is_err());
    }

    #[test]
    fn rates_and_loads() {
        for (text, value) in [("50k", 5e4), ("1.5Mrps", 1.5e6), ("100000", 1e5)] {
            assert_eq!(rate(text), Ok(value));
        }
        for text in ["", "fast", "0", "-1", "5kpps"] {
            assert!(rate(text).is_err(), "{text}");
        }
        let read =
            |texts: &[&str]| loads(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&["90%", "0.5", "50%"]), Ok(vec![0.5, 0.9]));
        assert_eq!(read(&["sweep"]).unwrap().len(), 10);
        assert_eq!(read(&["120%"]), Ok(vec![1.2]));
        for text in ["", "0%", "x", "5us"] {
            assert!(read(&[text]).is_err(), "{text}");
        }
        assert_eq!(share("25%"), Ok(0.25));
        assert!(share("120%").is_err() && share("x").is_err());
    }
}
