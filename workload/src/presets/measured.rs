//! Service times of real stores, measured by `cargo xtask measure-service-times`: a GET of one object of 64
//! bytes, and a SCAN that reads 100.

use crate::distribution::{Distribution, Unit};

/// Lines of a name and a distribution; what begins with `#` says where they come from.
const MEASURED: &str = include_str!("measured.txt");

/// The distribution of that name.
pub(super) fn measured(name: &str) -> Option<Result<Distribution, String>> {
    let lines = MEASURED.lines().filter(|line| !line.starts_with('#'));
    let (_, text) = lines
        .filter_map(|line| line.split_once(' '))
        .find(|(own, _)| *own == name)?;
    Some(Distribution::parse(text, Unit::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_take_longer_than_gets() {
        for store in ["memcached", "redis"] {
            let of = |what: &str| measured(&format!("{store}-{what}")).unwrap().unwrap();
            let (get, scan) = (of("get").mean(), of("scan").mean());
            assert!((1e3..1e6).contains(&get), "{store}: {get}");
            assert!((2.0 * get..100.0 * get).contains(&scan), "{store}: {scan}");
        }
        assert!(measured("memcached").is_none());
        assert!(MEASURED.contains("\n# cargo xtask measure-service-times "));
    }
}
