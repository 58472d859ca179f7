//! Ports: names, sides, queues, descriptors.

use std::collections::BTreeMap;

use super::draft::{Draft, PortDraft};
use crate::check::{JsonPath, Problems, Side};
use crate::control::config::{Device, PcapDevice, Rss};

pub(super) fn check(draft: &Draft<'_>, problems: &mut Problems) {
    names(draft, problems);
    sides(draft, problems);
    for port in &draft.ports {
        queues(draft, port, problems);
        descriptors(port, problems);
    }
}

fn names(draft: &Draft<'_>, problems: &mut Problems) {
    let mut first: BTreeMap<&str, &JsonPath> = BTreeMap::new();
    for port in &draft.ports {
        let Some(name) = &port.name else { continue };
        match first.get(&**name) {
            Some(other) => {
                problems
                    .error(&port.path.key("name"), "two ports have this name")
                    .found(format_args!("\"{name}\""))
                    .help(format_args!("the other is {other}"));
            }
            None => {
                first.insert(name, &port.path);
            }
        }
    }
}

/// Packets must have somewhere to go: a side that nobody stands on swallows them all.
fn sides(draft: &Draft<'_>, problems: &mut Problems) {
    let sides: Option<Vec<Side>> = draft.ports.iter().map(|port| port.side).collect();
    let Some(sides) = sides else { return };
    let (here, there) = match sides.first() {
        Some(Side::Client) => ("client", "server"),
        Some(Side::Server) => ("server", "client"),
        _ => return,
    };
    if sides.iter().any(|side| Some(side) != sides.first()) {
        return;
    }
    let message = match sides.len() {
        1 => format!("the only port is on the {here} side, so its packets have nowhere to go"),
        _ => format!("all ports are on the {here} side, so their packets have nowhere to go"),
    };
    problems
        .error(&JsonPath::root().key("ports"), message)
        .allowed(format_args!(
            "at least one port whose \"side\" is \"{there}\" or \"any\""
        ));
}

/// Most pairs of queues that the driver of a device has.
fn most_queues(device: &Device) -> u16 {
    match device {
        // RTE_MAX_QUEUES_PER_PORT. What the card itself can is known only once it is open.
        Device::Pci(_) | Device::AfXdp(_) | Device::Null(_) => 1024,
        // TAP_MAX_QUEUES, RTE_PMD_AF_PACKET_MAX_RINGS, RTE_PMD_RING_MAX_RX_RINGS.
        Device::Tap(_) | Device::AfPacket(_) | Device::Ring(_) => 16,
        // ETH_MEMIF_MAX_NUM_Q_PAIRS.
        Device::Memif(_) => 255,
        // RTE_PMD_PCAP_MAX_QUEUES: an endless source, from which each queue gets the whole file.
        Device::Pcap(pcap) if is_endless(pcap) => 16,
        // One file, one order of packets.
        Device::Pcap(_) => 1,
    }
}

/// Whether the file is a source without end, and nothing else.
fn is_endless(pcap: &PcapDevice) -> bool {
    pcap.repeat && pcap.rx_file.is_some() && pcap.tx_file.is_none()
}

fn queues(draft: &Draft<'_>, port: &PortDraft, problems: &mut Problems) {
    let cores = draft.core_count();
    let place = port.path.key("queues");
    if let (Some(Some(queues)), true) = (port.queues, draft.packet_cores.is_some())
        && usize::from(queues) < cores
    {
        problems
            .warning(
                &place,
                format!(
                    "{queues} of {cores} packet cores receive from this port; the others hand what \
                     they send to packet core 0"
                ),
            )
            .found(queues)
            .help(format_args!(
                "{cores} queues, one for each packet core, are faster"
            ));
    }
    if let (Some(device), Some(queues)) = (&port.device, port.queue_pairs(cores)) {
        let most = most_queues(device);
        if queues > most {
            let of_default = port.queues == Some(None);
            let has = match most {
                1 => "one queue only".to_owned(),
                most => format!("{most} queues at most"),
            };
            let message = format!("a port of type \"{}\" has {has}", device.kind());
            let problem = problems.error(&place, message);
            problem.allowed(match most {
                1 => "1".to_owned(),
                most => format!("1 to {most}"),
            });
            if of_default {
                problem.found(format_args!("{queues}, one for each packet core"));
            } else {
                problem.found(queues);
            }
        }
        if queues > 1 && port.rss == Some(Rss::Destination) && !matches!(device, Device::Pci(_)) {
            problems
                .warning(
                    &port.path.key("rss"),
                    format!(
                        "a port of type \"{}\" spreads packets by its own rule",
                        device.kind()
                    ),
                )
                .found("\"destination\"")
                .help("use one queue, or a network card");
        }
    }
}

fn descriptors(port: &PortDraft, problems: &mut Problems) {
    // ETH_MEMIF_MAX_LOG2_RING_SIZE.
    let most = match port.device {
        Some(Device::Memif(_)) => 1 << 14,
        _ => 1 << 15,
    };
    for (key, count) in [
        ("rx_descriptors", port.rx_descriptors),
        ("tx_descriptors", port.tx_descriptors),
    ] {
        let Some(count) = count else { continue };
        if !count.is_power_of_two() {
            let above = u32::from(count).next_power_of_two();
            problems
                .error(
                    &port.path.key(key),
                    "the number of descriptors is not a power of two",
                )
                .found(count)
                .allowed(format_args!("{} or {above}, for instance", above / 2));
        } else if u32::from(count) > most {
            problems
                .error(
                    &port.path.key(key),
                    "a port of type \"memif\" has fewer descriptors",
                )
                .found(count)
                .allowed(format_args!("a power of two from 32 to {most}"));
        }
    }
}
