//! The epoch of request ids: another one at every start.

use std::fs;
use std::io::Write;
use std::path::Path;

use nf_core::clock::Clock;

use crate::id::next_epoch;

/// An epoch that the last runs have not used.
///
/// With a file, the one after that in it, which is written back before any id is given. Without, one
/// of 65,535 by the time of day in hundredths of a second, so that starts less than eleven minutes and more
/// than a hundredth of a second apart always have different ones. One start in 65,535 of any others does
/// not; its ids are different all the same, because their count begins anywhere.
pub(super) fn begin(file: Option<&Path>, clock: &Clock) -> Result<u16, String> {
    let Some(file) = file else {
        let now = clock.wall_clock().unix_ns(clock.now());
        return Ok((now / 10_000_000 % 65_535) as u16 + 1);
    };
    let last = match fs::read_to_string(file) {
        Ok(text) => text.trim().parse::<u16>().map_err(|_| {
            let shown: String = text.trim().chars().take(20).collect();
            format!(
                "{}: not an epoch: {shown:?}; it holds a number up to 65535",
                file.display()
            )
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let epoch = next_epoch(last);
    store(file, epoch)?;
    Ok(epoch)
}

/// Writes an epoch to its file, so that it is there after a crash or not at all.
pub(super) fn store(file: &Path, epoch: u16) -> Result<(), String> {
    let next = file.with_extension("new");
    let written = fs::File::create(&next)
        .and_then(|mut out| {
            writeln!(out, "{epoch}")?;
            out.sync_all()
        })
        .and_then(|()| fs::rename(&next, file));
    written.map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use nf_core::clock::VirtualClock;

    use super::*;

    #[test]
    fn f06_every_start_has_another_epoch() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("epoch");
        let clock = Clock::Virtual(VirtualClock::new());
        let begin = || begin(Some(&file), &clock);
        assert_eq!((begin(), begin(), begin()), (Ok(1), Ok(2), Ok(3)));
        store(&file, u16::MAX).expect("written");
        assert_eq!(begin(), Ok(1), "0 is skipped");
    }

    #[test]
    fn f06_a_damaged_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("epoch");
        fs::write(&file, "many\n").expect("written");
        let clock = Clock::Virtual(VirtualClock::new());
        let told = begin(Some(&file), &clock).expect_err("refused");
        assert!(told.contains("not an epoch: \"many\""), "{told}");
    }

    #[test]
    fn f06_without_a_file_time_tells() {
        let time = VirtualClock::new();
        let clock = Clock::Virtual(time.clone());
        let first = begin(None, &clock);
        time.advance(20_000_000);
        let second = begin(None, &clock);
        assert!(first != second && first != Ok(0) && second != Ok(0));
    }
}
