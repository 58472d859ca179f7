//! The facts around a configuration that a check may use: the machine, the ports, the place in the
//! chain.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The clients: what is received here goes towards the servers.
    Client,
    /// The servers: what is received here goes towards the clients.
    Server,
    /// Both (one-arm, top of rack): a stage of the chain says for each packet which way it goes.
    Any,
}

/// What a stage's check may know about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// The port's name in the configuration.
    pub name: String,
    /// Who is behind it.
    pub side: Side,
    /// The largest packet without its Ethernet header, in bytes.
    pub mtu: u32,
    /// Whether its device is asked to deal with checksums; if it can is known when it is open.
    pub checksum_offload: bool,
}

/// Facts around the configuration of one stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckContext {
    /// The machine it will run on, or `None` if that is another one than this.
    pub machine: Option<Machine>,
    /// The ports whose entries were readable, in the order of the configuration.
    pub ports: Vec<PortFacts>,
    /// How many packet cores there are: how many shards each stage has.
    pub packet_cores: usize,
    /// The stage's own name.
    pub stage: String,
    /// The stage's place in the chain, from 0 at the clients' end.
    pub position: usize,
    /// The kinds of all stages of the chain, in order; empty for one that is unreadable.
    pub chain: Vec<String>,
}

impl CheckContext {
    /// The port called `name`.
    pub fn port(&self, name: &str) -> Option<&PortFacts> {
        self.ports.iter().find(|port| port.name == name)
    }
}

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HugepagePool {
    /// Size of a page, in KiB.
    pub page_kib: u64,
    /// Pages the kernel has reserved.
    pub total: u64,
    /// Pages nobody uses now.
    pub free: u64,
}

/// What a machine can do, as far as a configuration depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The processors this process may run on.
    pub cpus: BTreeSet<usize>,
    /// Huge pages, smallest size first; sizes without a reserved page are left out.
    pub hugepages: Vec<HugepagePool>,
    /// Whether a hugetlbfs is mounted (needed for huge pages when `eal.in_memory` is off).
    pub hugetlbfs_mounted: bool,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// Effective capabilities, as the kernel's bit set.
    pub capabilities: u64,
    /// Names of the network interfaces.
    pub interfaces: BTreeSet<String>,
    /// Addresses of the PCI devices, as `0000:01:00.0`.
    pub pci: BTreeSet<String>,
}

impl Machine {
    /// Looks at the machine this runs on. What cannot be read counts as absent.
    pub fn detect() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let names = |path: &str| -> BTreeSet<String> {
            let Ok(entries) = std::fs::read_dir(path) else {
                return BTreeSet::new();
            };
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        };
        let mut machine = Self::from_status(&read("/proc/self/status"));
        let pools = "/sys/kernel/mm/hugepages";
        for name in names(pools) {
            let size = name
                .strip_prefix("hugepages-")
                .and_then(|s| s.strip_suffix("kB"));
            let Some(page_kib) = size.and_then(|s| s.parse().ok()) else {
                continue;
            };
            let count = |file: &str| -> u64 {
                read(&format!("{pools}/{name}/{file}"))
                    .trim()
                    .parse()
                    .unwrap_or(0)
            };
            let (total, free) = (count("nr_hugepages"), count("free_hugepages"));
            if total > 0 {
                machine.hugepages.push(HugepagePool {
                    page_kib,
                    total,
                    free,
                });
            }
        }
        machine.hugepages.sort();
        machine.hugetlbfs_mounted = has_hugetlbfs(&read("/proc/mounts"));
        machine.interfaces = names("/sys/class/net");
        machine.pci = names("/sys/bus/pci/devices");
        machine
    }

    /// The facts that `/proc/self/status` holds.
    fn from_status(status: &str) -> Self {
        let value = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
                .map(str::trim)
        };
        Self {
            cpus: value("Cpus_allowed_list")
                .map(parse_cpu_list)
                .unwrap_or_default(),
            // Fields: real, effective, saved and file system user.
            is_root: value("Uid").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0"),
            capabilities: value("CapEff")
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .unwrap_or(0),
            ..Self::default()
        }
    }

    /// Whether the process holds the capability with this number (`linux/capability.h`).
    pub fn has_capability(&self, number: u32) -> bool {
        self.capabilities
            .checked_shr(number)
            .is_some_and(|bits| bits & 1 == 1)
    }

    /// Memory in huge pages that nobody uses now, in bytes.
    pub fn free_hugepage_bytes(&self) -> u64 {
        self.hugepages
            .iter()
            .map(|pool| pool.free.saturating_mul(pool.page_kib).saturating_mul(1024))
            .fold(0, u64::saturating_add)
    }
}

/// Whether a table of mounts has a hugetlbfs.
fn has_hugetlbfs(mounts: &str) -> bool {
    mounts
        .lines()
        .any(|line| line.split_whitespace().nth(2) == Some("hugetlbfs"))
}

/// Reads the kernel's list format: `0-3,8,10-11`.
fn parse_cpu_list(list: &str) -> BTreeSet<usize> {
    /// More processors than any kernel is built for; bounds the work on nonsense.
    const MOST: usize = 1 << 16;
    let mut cpus = BTreeSet::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>())
        {
            cpus.extend(first..=last.min(MOST));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status_of_a_process() {
        let status = "Name:\tcat\nUid:\t1000\t0\t0\t0\nCapEff:\t0000000000003000\nCpus_allowed:\tf\nCpus_allowed_list:\t0-1,4\n";
        let machine = Machine::from_status(status);
        assert_eq!(machine.cpus, BTreeSet::from([0, 1, 4]));
        assert!(machine.is_root);
        assert!(machine.has_capability(12) && machine.has_capability(13));
        assert!(!machine.has_capability(14) && !machine.has_capability(64));
    }

    #[test]
    fn nonsense_counts_as_absent() {
        assert_eq!(
            Machine::from_status("Uid:\nCapEff:\tzz\n"),
            Machine::default()
        );
        assert_eq!(parse_cpu_list("a,3-1,7-,5"), BTreeSet::from([5]));
        assert!(parse_cpu_list("0-99999999999").len() <= (1 << 16) + 1);
    }

    #[test]
    fn this_machine_has_a_processor() {
        assert!(!Machine::detect().cpus.is_empty());
    }

    #[test]
    fn a_mount_table_shows_huge_pages() {
        assert!(has_hugetlbfs("nodev /dev/hugepages hugetlbfs rw 0 0\n"));
        assert!(!has_hugetlbfs("hugetlbfs /mnt tmpfs rw 0 0\n"));
    }
}
