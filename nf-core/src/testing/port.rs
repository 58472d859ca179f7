//! What a port does with packets that leave their checksums to it, as a NIC would: by flags and lengths
//! alone, with what stands in the field.

use crate::dpdk::TxChecksums;
use crate::packet::Packet;
use crate::wire::checksum::{self, Sum};

/// The bytes that a port puts on the wire.
///
/// # Panics
/// If the packet leaves a checksum to a port that fills in none, or tells lengths that are not its own.
pub(super) fn on_the_wire(packet: &Packet, offered: Option<TxChecksums>) -> Vec<u8> {
    let mut frame: Vec<u8> = packet.segments().flatten().copied().collect();
    let asked = packet.offload_flags();
    if !packet.leaves_checksums() {
        return frame;
    }
    let has = |flag| asked & flag != 0;
    assert!(
        offered.is_some_and(TxChecksums::serve_udp),
        "a checksum is left to a port that fills in none"
    );
    assert_eq!(
        asked & dpdk_sys::SLUICE_MBUF_F_TX_L4_MASK,
        dpdk_sys::SLUICE_MBUF_F_TX_UDP_CKSUM
    );
    let lengths = packet.tx_offload();
    let (network, transport) = (
        (lengths & 0x7f) as usize,
        (lengths & 0x7f) as usize + (lengths >> 7 & 0x1ff) as usize,
    );
    let udp_length = u16::from_be_bytes([frame[transport + 4], frame[transport + 5]]);
    let end = transport + usize::from(udp_length);
    let version = frame[network] >> 4;
    let fits = has(dpdk_sys::SLUICE_MBUF_F_TX_IPV4) == (version == 4)
        && has(dpdk_sys::SLUICE_MBUF_F_TX_IPV6) == (version == 6);
    assert!(fits, "flags {asked:#x} with IP version {version}");
    if has(dpdk_sys::SLUICE_MBUF_F_TX_IP_CKSUM) {
        frame[network + 10..network + 12].fill(0);
        let sum = checksum::of(&frame[network..transport]);
        frame[network + 10..network + 12].copy_from_slice(&sum.to_be_bytes());
    }
    let mut sum = Sum::new();
    sum.add_bytes(&frame[transport..end]);
    let sum = sum.udp_checksum().to_be_bytes();
    frame[transport + 6..transport + 8].copy_from_slice(&sum);
    frame
}
