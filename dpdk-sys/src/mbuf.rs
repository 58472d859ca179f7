//! The fields of an mbuf, by the offsets that the C compiler gave.
//!
//! DPDK 24.11 wraps some of them in unnamed unions that older releases do not have, so a field name
//! in the generated struct is no stable handle; an offset is.

use core::ffi::c_void;

use crate::bindings::*;

macro_rules! fields {
    ($($(#[$doc:meta])* $get:ident / $set:ident: $type:ty = $at:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `mbuf` points to an initialised mbuf that nobody writes meanwhile.
        #[inline(always)]
        pub unsafe fn $get(mbuf: *const rte_mbuf) -> $type {
            // SAFETY: the offset is the field's (offsetof), the pointer the caller's promise.
            unsafe { mbuf.byte_add($at as usize).cast::<$type>().read() }
        }

        /// Sets the field of the same name.
        ///
        /// # Safety
        /// `mbuf` points to an mbuf that the caller owns, and the value keeps it consistent.
        #[inline(always)]
        pub unsafe fn $set(mbuf: *mut rte_mbuf, value: $type) {
            // SAFETY: as above.
            unsafe { mbuf.byte_add($at as usize).cast::<$type>().write(value) }
        }
    )*};
}

fields! {
    /// Start of the buffer (headroom included).
    buf_addr / set_buf_addr: *mut c_void = SLUICE_MBUF_BUF_ADDR_AT;
    /// Offset of the data from the start of the buffer, bytes.
    data_off / set_data_off: u16 = SLUICE_MBUF_DATA_OFF_AT;
    /// Reference count (plain read; shared counts are changed through the shim).
    refcnt / set_refcnt: u16 = SLUICE_MBUF_REFCNT_AT;
    /// Number of segments of the chain, right in the first one.
    nb_segs / set_nb_segs: u16 = SLUICE_MBUF_NB_SEGS_AT;
    /// Receiving port id.
    port / set_port: u16 = SLUICE_MBUF_PORT_AT;
    /// Offload flags, `RTE_MBUF_F_*`.
    ol_flags / set_ol_flags: u64 = SLUICE_MBUF_OL_FLAGS_AT;
    /// Packet type as the port recognised it.
    packet_type / set_packet_type: u32 = SLUICE_MBUF_PACKET_TYPE_AT;
    /// Length of the whole chain, bytes, right in the first segment.
    pkt_len / set_pkt_len: u32 = SLUICE_MBUF_PKT_LEN_AT;
    /// Length of this segment's data, bytes.
    data_len / set_data_len: u16 = SLUICE_MBUF_DATA_LEN_AT;
    /// VLAN tag control information, when stripped or to be inserted.
    vlan_tci / set_vlan_tci: u16 = SLUICE_MBUF_VLAN_TCI_AT;
    /// RSS hash of the port, valid with `RTE_MBUF_F_RX_RSS_HASH`.
    rss / set_rss: u32 = SLUICE_MBUF_RSS_AT;
    /// Length of the buffer, bytes.
    buf_len / set_buf_len: u16 = SLUICE_MBUF_BUF_LEN_AT;
    /// Pool the mbuf came from.
    pool / set_pool: *mut rte_mempool = SLUICE_MBUF_POOL_AT;
    /// Next segment, or null.
    next / set_next: *mut rte_mbuf = SLUICE_MBUF_NEXT_AT;
    /// Header lengths for transmit offloads.
    tx_offload / set_tx_offload: u64 = SLUICE_MBUF_TX_OFFLOAD_AT;
    /// Size of the private area behind the mbuf, bytes.
    priv_size / set_priv_size: u16 = SLUICE_MBUF_PRIV_SIZE_AT;
}

/// Size of `struct rte_mbuf`; the private area begins there.
pub const SIZE: usize = SLUICE_MBUF_SIZE as usize;
