//! Network namespaces that vanish with their guard.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wait::wait_for;

static COUNTER: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// What every name starts with; followed by the owner's process id, a number and a label.
const PREFIX: &str = "slk";

/// A network namespace with its loopback up. Dropping it kills what still runs inside and removes it.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace whose name contains `label`.
    ///
    /// # Panics
    /// If it cannot be made; ask for [`crate::Need::Root`] first.
    #[must_use]
    pub fn new(label: &str) -> Netns {
        Netns::try_new(label).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Netns::new`].
    ///
    /// # Errors
    /// What `ip netns add` said.
    pub fn try_new(label: &str) -> Result<Netns, String> {
        SWEEP.call_once(sweep);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{label}", std::process::id());
        ip(&["netns", "add", &name])?;
        let netns = Netns { name };
        netns.try_ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// As [`Netns::new`], without IPv6: nothing is sent there that the test did not ask for, except
    /// ARP.
    ///
    /// # Panics
    /// As [`Netns::new`].
    #[must_use]
    pub fn quiet(label: &str) -> Netns {
        let netns = Netns::new(label);
        for scope in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
            netns
                .run(|| fs::write(&path, "1"))
                .unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        netns
    }

    /// The name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip ARGS` inside.
    ///
    /// # Panics
    /// If `ip` fails.
    pub fn ip(&self, args: &[&str]) {
        self.try_ip(args).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs `ip ARGS` inside.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn try_ip(&self, args: &[&str]) -> Result<String, String> {
        let mut whole = vec!["-n", &self.name];
        whole.extend_from_slice(args);
        ip(&whole)
    }

    /// Moves `interface` from the current namespace into this one, gives it `addresses`
    /// (`10.0.0.2/24`) and brings it up. Waits a moment for the interface to appear.
    ///
    /// # Panics
    /// If any of that fails.
    pub fn adopt(&self, interface: &str, addresses: &[&str]) {
        self.try_adopt(interface, addresses)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// As [`Netns::adopt`].
    ///
    /// # Errors
    /// What `ip` said.
    pub fn try_adopt(&self, interface: &str, addresses: &[&str]) -> Result<(), String> {
        self.take(None, interface, addresses)
    }

    /// As [`Netns::adopt`], from another namespace, where an appliance may have made the interface.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn try_adopt_from(
        &self,
        owner: &Netns,
        interface: &str,
        addresses: &[&str],
    ) -> Result<(), String> {
        self.take(Some(owner), interface, addresses)
    }

    fn take(
        &self,
        owner: Option<&Netns>,
        interface: &str,
        addresses: &[&str],
    ) -> Result<(), String> {
        let there = |args: &[&str]| match owner {
            Some(owner) => owner.try_ip(args),
            None => ip(args),
        };
        let what = format!("interface {interface}");
        wait_for(&what, Duration::from_secs(5), || {
            there(&["link", "show", "dev", interface]).ok()
        })?;
        there(&["link", "set", "dev", interface, "netns", &self.name])?;
        for address in addresses {
            self.add_address(interface, address)?;
        }
        self.try_ip(&["link", "set", "dev", interface, "up"])?;
        Ok(())
    }

    fn add_address(&self, interface: &str, address: &str) -> Result<(), String> {
        let mut args = vec!["addr", "add", address, "dev", interface];
        if address.contains(':') {
            // Otherwise the address is unusable until duplicate detection has timed out.
            args.push("nodad");
        }
        self.try_ip(&args).map(|_| ())
    }

    /// Joins this namespace and `other` by a veth pair: `(name, addresses)` of either end.
    ///
    /// # Panics
    /// If any step fails.
    pub fn join(&self, here: (&str, &[&str]), other: &Netns, there: (&str, &[&str])) {
        let step = || -> Result<(), String> {
            self.try_ip(&[
                "link",
                "add",
                here.0,
                "type",
                "veth",
                "peer",
                "name",
                there.0,
                "netns",
                &other.name,
            ])?;
            for (netns, (interface, addresses)) in [(self, here), (other, there)] {
                for address in addresses {
                    netns.add_address(interface, address)?;
                }
                netns.try_ip(&["link", "set", "dev", interface, "up"])?;
            }
            Ok(())
        };
        step().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs `work` on a thread that has moved into the namespace: sockets it opens belong here,
    /// wherever they are used afterwards.
    ///
    /// # Panics
    /// If the namespace cannot be entered, and where `work` panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let name = std::thread::current().name().unwrap_or("netns").to_owned();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, || {
                    let file = fs::File::open(netns_path(&self.name))
                        .unwrap_or_else(|error| panic!("{}: {error}", self.name));
                    move_into_link_name_space(
                        std::os::fd::AsFd::as_fd(&file),
                        Some(LinkNameSpaceType::Network),
                    )
                    .unwrap_or_else(|error| panic!("entering {}: {error}", self.name));
                    work()
                })
                .unwrap_or_else(|error| panic!("a thread could not be started: {error}"));
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// An interface name of at most 15 bytes that no other test uses, ending in `label` (at most 4
/// bytes of it).
#[must_use]
pub fn interface_name(label: &str) -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed) % 1000;
    let label: String = label
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(4)
        .collect();
    // 3 bytes of number, 7 of process id at most (the kernel's limit is 2^22).
    format!("t{}{number:03}{label}", std::process::id())
}

fn netns_path(name: &str) -> PathBuf {
    PathBuf::from("/var/run/netns").join(name)
}

/// Kills whatever runs inside, because a namespace lives on as long as a process is in it.
fn remove(name: &str) {
    if let Ok(pids) = ip(&["netns", "pids", name]) {
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid)
                && pid != rustix::process::getpid()
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
    let _ = ip(&["netns", "del", name]);
}

/// Removes the namespaces of processes that are gone.
fn sweep() {
    let Ok(entries) = fs::read_dir("/var/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            continue;
        }
        let owner: Option<u32> = parts.next().and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
}

fn ip(args: &[&str]) -> Result<String, String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .map_err(|error| format!("`ip` could not be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "`ip {}`: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, require};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn interface_names_fit_and_differ() {
        let (a, b) = (interface_name("clients"), interface_name("clients"));
        assert_ne!(a, b);
        assert!(a.len() <= 15, "{a}");
    }

    #[test]
    fn two_namespaces_talk_over_a_veth_pair_and_then_vanish() {
        require!(Need::Root);
        let (a, b) = (Netns::new("a"), Netns::new("b"));
        a.join(
            ("v0", &["10.9.0.1/24", "fd09::1/64"]),
            &b,
            ("v0", &["10.9.0.2/24", "fd09::2/64"]),
        );
        let listener = b.run(|| TcpListener::bind("10.9.0.2:7").unwrap());
        let stream = a.run(|| TcpStream::connect("10.9.0.2:7")).unwrap();
        assert_eq!(
            listener.accept().unwrap().1.ip(),
            stream.local_addr().unwrap().ip()
        );
        let sleeper = b.command("sleep").arg("60").spawn();
        let name = b.name().to_owned();
        drop((a, b));
        assert!(!netns_path(&name).exists());
        // What ran inside was killed.
        assert!(!sleeper.unwrap().wait().unwrap().success());
    }

    #[test]
    fn leftovers_of_dead_processes_are_swept() {
        require!(Need::Root);
        let dead = std::process::Command::new("true").spawn().map(|mut child| {
            let _ = child.wait();
            child.id()
        });
        let name = format!("{PREFIX}-{}-0-left", dead.unwrap());
        ip(&["netns", "add", &name]).unwrap();
        sweep();
        assert!(!netns_path(&name).exists());
    }
}
