//! What a test needs from the machine, and what happens where that is missing.
//!
//! A test that cannot run says so on standard error, on a line of its own that starts with
//! `SKIPPED:` and that the test harness does not swallow. With `SLUICE_NO_SKIP=1` (as in CI) it
//! fails instead.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Something a test needs that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// User id 0, for namespaces, TAP interfaces and raw sockets.
    Root,
    /// `/dev/net/tun`, for TAP ports.
    Tun,
    /// At least this many free huge pages of 2 MiB.
    HugePages(u64),
    /// A program on the search path.
    Command(&'static str),
    /// At least this many processors.
    Cpus(usize),
    /// A kernel with AF_XDP sockets.
    AfXdp,
}

impl Need {
    /// Why the need is not met, or `None` where it is.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        match self {
            Need::Root => (!rustix::process::geteuid().is_root()).then(|| "not root".to_owned()),
            Need::Tun => (!Path::new("/dev/net/tun").exists())
                .then(|| "/dev/net/tun does not exist".to_owned()),
            Need::HugePages(wanted) => {
                let free = free_huge_pages();
                (free < wanted)
                    .then(|| format!("{wanted} free huge pages of 2 MiB needed, {free} there"))
            }
            Need::Command(name) => find_program(name)
                .is_none()
                .then(|| format!("`{name}` is not installed (`cargo xtask setup` installs it)")),
            Need::AfXdp => (!crate::frames::has_xdp_sockets())
                .then(|| "the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)".to_owned()),
            Need::Cpus(wanted) => {
                let there = std::thread::available_parallelism().map_or(1, usize::from);
                (there < wanted).then(|| format!("{wanted} processors needed, {there} there"))
            }
        }
    }
}

/// All that is missing of `needs`, in one sentence.
///
/// # Errors
/// The sentence, if anything is missing.
pub fn check_needs(needs: &[Need]) -> Result<(), String> {
    let missing: Vec<String> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("; "))
    }
}

/// Reports that the current test is skipped, past the test harness's capture.
///
/// # Panics
/// Where skipping is not allowed: with `SLUICE_NO_SKIP` set to anything but `0` or nothing, or, when that is
/// not set, with `CI` set to `true`.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert!(
        !skips_forbidden(),
        "a test may not be skipped here, but {test} cannot run: {reason}"
    );
    // Not `eprintln!`: the harness captures that for tests that pass.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {reason}\n").as_bytes());
}

fn skips_forbidden() -> bool {
    match std::env::var("SLUICE_NO_SKIP") {
        Ok(value) => !value.is_empty() && value != "0",
        Err(_) => std::env::var("CI").is_ok_and(|value| value == "true"),
    }
}

/// Skips the rest of the test, loudly: `skip!("why")`, or `skip!("why" => Ok(()))` where the test
/// returns something.
#[macro_export]
macro_rules! skip {
    ($reason:expr) => {{
        $crate::skipped($reason.as_ref());
        return;
    }};
    ($reason:expr => $value:expr) => {{
        $crate::skipped($reason.as_ref());
        return $value;
    }};
}

/// Skips the rest of the test, loudly, unless the machine has all that is named:
/// `require!(Need::Root, Need::Tun)`.
#[macro_export]
macro_rules! require {
    ($($need:expr),+ $(,)?) => {
        if let Err(reason) = $crate::check_needs(&[$($need),+]) {
            $crate::skip!(reason);
        }
    };
}

/// Where a program is on the search path (which is widened by the administrator's folders, since a
/// user's often lacks them).
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Free huge pages of 2 MiB, over all NUMA nodes.
#[must_use]
pub fn free_huge_pages() -> u64 {
    std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// A port number that is free on loopback just now, for TCP and UDP both, below the range from which
/// the kernel takes its own. No two calls in a process give the same one.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    for _ in 0..COUNT {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Processes that run side by side start far from each other.
        let offset = std::process::id().wrapping_mul(97).wrapping_add(number) % COUNT;
        let port = u16::try_from(FIRST + offset).unwrap_or(0);
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_need_is_named() {
        let error = check_needs(&[
            Need::Command("no-such-program-a"),
            Need::Command("no-such-program-b"),
            Need::Command("sh"),
        ])
        .unwrap_err();
        assert!(error.contains("no-such-program-a"), "{error}");
        assert!(error.contains("no-such-program-b"), "{error}");
        assert!(!error.contains("`sh`"), "{error}");
        assert_eq!(check_needs(&[Need::Command("sh"), Need::Cpus(1)]), Ok(()));
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let port = free_port();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
