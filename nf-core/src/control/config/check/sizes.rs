//! Do the packet buffers suffice, and does the memory suffice for them?

use super::draft::{Draft, PortDraft};
use crate::check::{JsonPath, Problems};
use crate::control::config::{Device, Hugepages, own_pool_packets};

/// Bytes kept free in front of a received packet (`RTE_PKTMBUF_HEADROOM`).
const HEADROOM: u32 = 128;
/// What stands around the data of a packet buffer: the pool's own header, `rte_mbuf`, and Sluice's
/// notes on the packet.
const AROUND_DATA: u64 = 64 + 128 + 64;
/// Memory that DPDK takes besides the packet buffers, in MiB: its own tables, the rings of ports.
const BESIDES_MB: u64 = 16;

/// Room for received data in a buffer with this data room.
pub(super) fn room(data_room: u32) -> u32 {
    data_room.saturating_sub(HEADROOM)
}

/// The longest frame at this MTU: Ethernet's header and two VLAN tags.
pub(super) fn frame_bytes(mtu: u16) -> u32 {
    u32::from(mtu) + 14 + 2 * 4
}

/// What the packet buffers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The least number of packet buffers with which no port and no core goes short.
    pub least_packets: u64,
    /// Bytes that one packet buffer takes.
    pub packet_bytes: u64,
    /// The least `eal.memory_mb`.
    pub least_memory_mb: u64,
}

/// Bytes that one packet buffer takes. DPDK makes objects a number of cache lines that has no
/// common divisor with the number of memory channels, of which it assumes four.
fn packet_bytes(data_room: u32) -> u64 {
    let lines = (AROUND_DATA + u64::from(data_room)).div_ceil(64);
    (lines | 1) * 64
}

/// Bytes that the pool takes. In ordinary memory no buffer may lie across two pages.
fn pool_bytes(packets: u64, each: u64, hugepages: Hugepages) -> u64 {
    const PAGE: u64 = 4096;
    let buffers = match hugepages {
        Hugepages::Off if each <= PAGE => packets.div_ceil((PAGE / each).max(1)) * PAGE,
        _ => packets * each,
    };
    // The ring that holds the free ones.
    buffers + packets.next_power_of_two() * 8
}

pub(super) fn check(draft: &Draft<'_>, problems: &mut Problems) -> Option<MemoryNeed> {
    cache(draft, problems);
    for port in &draft.ports {
        segments(draft, port, problems);
    }
    let least_packets = least_packets(draft);
    if let (Some(least), Some(packets)) = (least_packets, draft.packets)
        && u64::from(packets) < least
    {
        let path = JsonPath::root().key("mempool").key("packets");
        problems
            .error(&path, "too few packet buffers for the queues and the cores")
            .found(packets)
            .allowed(format_args!("at least {least}: {}", sum(draft)));
    }
    let each = packet_bytes(draft.data_room?);
    let packets = u64::from(draft.packets?);
    let hugepages = draft.hugepages?;
    let own = own_pools(draft);
    let pools = own
        .iter()
        .fold(pool_bytes(packets, each, hugepages), |sum, own| {
            sum + pool_bytes(*own, each, hugepages)
        });
    let least_memory_mb = pools.div_ceil(1 << 20) + BESIDES_MB;
    if let Some(memory_mb) = draft.memory_mb
        && u64::from(memory_mb) < least_memory_mb
    {
        let path = JsonPath::root().key("eal").key("memory_mb");
        problems
            .error(&path, "the packet buffers do not fit into this memory")
            .found(memory_mb)
            .allowed(format_args!(
                "at least {least_memory_mb} for {packets} packet buffers of {each} bytes{}{}",
                match own.iter().sum::<u64>() {
                    0 => String::new(),
                    own => format!(", and {own} in the pools that AF_XDP ports have of their own"),
                },
                match hugepages {
                    Hugepages::Off => ", which without huge pages cannot lie across pages",
                    _ => "",
                }
            ));
    }
    let least_packets = least_packets?;
    Some(MemoryNeed {
        least_packets,
        packet_bytes: each,
        least_memory_mb,
    })
}

/// Packets in the pools that AF_XDP ports have of their own.
fn own_pools(draft: &Draft<'_>) -> Vec<u64> {
    let own = draft.ports.iter().filter_map(|port| match &port.device {
        Some(Device::AfXdp(_)) => {
            let queues = port.queue_pairs(draft.core_count())?;
            let descriptors = u32::from(port.rx_descriptors?) + u32::from(port.tx_descriptors?);
            Some(u64::from(own_pool_packets(queues, descriptors)))
        }
        _ => None,
    });
    own.collect()
}

/// Buffers that all descriptors can hold, if every port is readable.
fn in_descriptors(draft: &Draft<'_>) -> Option<u64> {
    let cores = draft.core_count();
    draft.ports.iter().try_fold(0, |sum, port| {
        let each = u64::from(port.rx_descriptors?) + u64::from(port.tx_descriptors?);
        Some(sum + each * u64::from(port.queue_pairs(cores)?))
    })
}

/// Buffers that all cores can hold: DPDK lets a cache grow to 3/2 of its size.
fn in_cores(draft: &Draft<'_>) -> Option<u64> {
    draft.packet_cores.as_ref()?;
    let each = u64::from(draft.cache?) * 3 / 2 + u64::from(draft.burst?);
    Some(draft.core_count() as u64 * each)
}

fn least_packets(draft: &Draft<'_>) -> Option<u64> {
    Some(in_descriptors(draft)? + in_cores(draft)?)
}

fn sum(draft: &Draft<'_>) -> String {
    let descriptors = in_descriptors(draft).unwrap_or(0);
    let cores = in_cores(draft).unwrap_or(0);
    format!("{descriptors} for the descriptors, {cores} for the cores' caches and bursts")
}

/// DPDK refuses a pool whose caches could hold all of it.
fn cache(draft: &Draft<'_>, problems: &mut Problems) {
    let (Some(cache), Some(packets)) = (draft.cache, draft.packets) else {
        return;
    };
    if u64::from(cache) * 3 > u64::from(packets) * 2 {
        problems
            .error(
                &JsonPath::root().key("mempool").key("cache"),
                "the cache is larger than 2/3 of the packets",
            )
            .found(cache)
            .allowed(format_args!(
                "at most {} with {packets} packets",
                u64::from(packets) * 2 / 3
            ));
    }
}

/// A packet longer than a buffer arrives in several, which costs time; the devices that cannot do
/// that at all are told of elsewhere.
fn segments(draft: &Draft<'_>, port: &PortDraft, problems: &mut Problems) {
    let several = matches!(
        port.device,
        Some(Device::Pci(_) | Device::Tap(_) | Device::Memif(_) | Device::Pcap(_))
    );
    let (Some(mtu), Some(data_room), true) = (port.mtu, draft.data_room, several) else {
        return;
    };
    let frame = frame_bytes(mtu);
    if frame > room(data_room) {
        let pieces = frame.div_ceil(room(data_room).max(1));
        problems
            .warning(
                &port.path.key("mtu"),
                format!("packets of this size arrive in {pieces} buffers each, which is slower"),
            )
            .found(mtu)
            .help(format_args!(
                "set mempool.data_room_bytes to {} for one buffer each",
                frame + HEADROOM
            ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_an_odd_number_of_cache_lines() {
        assert_eq!(packet_bytes(2176), 39 * 64);
        assert_eq!(packet_bytes(2176 + 64), 39 * 64);
        assert_eq!(packet_bytes(2176 + 65), 41 * 64);
    }

    #[test]
    fn in_ordinary_memory_no_buffer_lies_across_pages() {
        assert_eq!(pool_bytes(1000, 2496, Hugepages::Off), 1000 * 4096 + 8192);
        assert_eq!(pool_bytes(1000, 576, Hugepages::Off), 143 * 4096 + 8192);
        assert_eq!(pool_bytes(1000, 9024, Hugepages::Off), 1000 * 9024 + 8192);
        assert_eq!(pool_bytes(1000, 2496, Hugepages::Auto), 1000 * 2496 + 8192);
    }
}
