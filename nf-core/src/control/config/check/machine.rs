//! Cores, huge pages and rights: what the machine must have.

use super::draft::Draft;
use crate::check::{JsonPath, Machine, Problems};
use crate::control::config::{Device, Hugepages, Idle};

/// Numbers of capabilities (`linux/capability.h`).
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;

pub(super) fn check(draft: &Draft<'_>, machine: Option<&Machine>, problems: &mut Problems) {
    cores(draft, machine, problems);
    if let Some(machine) = machine {
        hugepages(draft, machine, problems);
        rights(draft, machine, problems);
    }
}

fn cores(draft: &Draft<'_>, machine: Option<&Machine>, problems: &mut Problems) {
    let path = JsonPath::root().key("cores");
    let packet = path.key("packet");
    let listed = draft.packet_cores.as_deref().unwrap_or_default();
    for (index, core) in listed.iter().enumerate() {
        let place = packet.index(index);
        if let Some(first) = listed.iter().take(index).position(|other| other == core) {
            problems
                .error(&place, "this processor stands in the list twice")
                .found(core)
                .help(format_args!("it stands at {} already", packet.index(first)));
        }
    }
    if let Some(machine) = machine {
        // A default that the machine cannot meet is told where it would stand.
        for (index, core) in listed.iter().enumerate() {
            exists(machine, draft, *core, &packet.index(index), problems);
        }
        if let Some(control) = draft.control_core {
            exists(machine, draft, control, &path.key("control"), problems);
        }
    }
    if let Some(control) = draft.control_core
        && listed.contains(&control)
    {
        let taken = |cpu: usize| listed.iter().any(|core| usize::from(*core) == cpu);
        let free = machine.and_then(|machine| machine.cpus.iter().find(|cpu| !taken(**cpu)));
        let problem = problems.warning(
            &path.key("control"),
            "the control core is one of the packet cores, so its work makes packets wait",
        );
        problem.found(control);
        match (free, draft.idle) {
            (Some(free), _) => {
                problem.help(format_args!("processor {free} is free"));
            }
            (None, Some(Idle::Poll)) => {
                problem.help("set cores.idle to \"adaptive\", so that packet cores make room");
            }
            _ => {}
        }
    }
}

pub(super) fn exists(
    machine: &Machine,
    draft: &Draft<'_>,
    core: u16,
    path: &JsonPath,
    problems: &mut Problems,
) {
    if machine.cpus.is_empty() || machine.cpus.contains(&usize::from(core)) {
        return;
    }
    let message = "this machine has no such processor, or this process may not use it";
    let problem = problems.error(path, message);
    match draft.is_written(path) {
        true => problem.found(core),
        false => problem.found(format_args!("{core}, the default")),
    };
    match machine.cpus.len() {
        1 => problem.allowed(format_args!("processor {}", ranges(machine))),
        _ => problem.allowed(format_args!("one of the processors {}", ranges(machine))),
    };
}

/// The processors of a machine, as `0-3, 8`.
fn ranges(machine: &Machine) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for cpu in &machine.cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => ranges.push((*cpu, *cpu)),
        }
    }
    let texts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    texts.join(", ")
}

fn hugepages(draft: &Draft<'_>, machine: &Machine, problems: &mut Problems) {
    let path = JsonPath::root().key("eal").key("hugepages");
    let Some(wish) = draft.hugepages else { return };
    if wish == Hugepages::Off {
        return;
    }
    let none = machine.hugepages.is_empty();
    // If the memory is not known, only having nothing at all is surely too little.
    let wanted_mb = draft.memory_mb.map_or(u64::from(none), u64::from);
    let free_mb = machine.free_hugepage_bytes() >> 20;
    if free_mb < wanted_mb {
        let lack = if none {
            "this machine has no huge pages reserved"
        } else {
            "not enough huge pages are free"
        };
        let slow = "this will run on ordinary memory, at about a third of the speed";
        let (problem, word) = match wish {
            Hugepages::Required => (problems.error(&path, lack), "required"),
            _ => (problems.warning(&path, format!("{lack}: {slow}")), "auto"),
        };
        if let Some(memory_mb) = draft.memory_mb {
            let found = format!("\"{word}\", {memory_mb} MiB of memory, {free_mb} MiB free");
            let smallest = machine.hugepages.first();
            let page_kib = smallest.map_or(2048, |pool| pool.page_kib.max(1));
            let more = ((wanted_mb - free_mb) * 1024).div_ceil(page_kib);
            let pages = smallest.map_or(0, |pool| pool.total).saturating_add(more);
            problem.found(found).help(format_args!(
                "reserve them: sysctl -w vm.nr_hugepages={pages}"
            ));
        } else {
            problem.found(format_args!("\"{word}\""));
        }
        return;
    }
    if draft.in_memory == Some(false) && !machine.hugetlbfs_mounted {
        problems
            .error(
                &JsonPath::root().key("eal").key("in_memory"),
                "huge pages outside of memory need a hugetlbfs, and none is mounted",
            )
            .found("false")
            .help("leave it on, or: mount -t hugetlbfs nodev /dev/hugepages");
    }
}

fn rights(draft: &Draft<'_>, machine: &Machine, problems: &mut Problems) {
    for port in &draft.ports {
        let (needed, does) = match &port.device {
            Some(Device::Tap(_)) => (
                &[(CAP_NET_ADMIN, "CAP_NET_ADMIN")][..],
                "make a TAP interface",
            ),
            Some(Device::AfPacket(_)) => (
                &[
                    (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
                    (CAP_NET_RAW, "CAP_NET_RAW"),
                ][..],
                "open a packet socket and bring its interface up",
            ),
            Some(Device::AfXdp(_)) => (
                &[
                    (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
                    (CAP_NET_RAW, "CAP_NET_RAW"),
                    // libbpf finds programs and maps by their numbers, which CAP_BPF does not allow.
                    (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
                ][..],
                "open an AF_XDP socket",
            ),
            _ => continue,
        };
        let missing: Vec<&str> = needed
            .iter()
            .filter(|(number, _)| !machine.has_capability(*number))
            .map(|(_, name)| *name)
            .collect();
        if !missing.is_empty() {
            let user = if machine.is_root {
                "root without"
            } else {
                "a user without"
            };
            let missing = missing.join(" and ");
            problems
                .warning(
                    &port.path.key("device"),
                    format!("this process may not {does}"),
                )
                .found(format_args!("{user} {missing}"))
                .help(format_args!(
                    "run Sluice with {missing}, as its systemd unit does"
                ));
        }
    }
}
