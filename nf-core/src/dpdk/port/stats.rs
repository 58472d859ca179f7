//! What an open port tells of itself: link, address, driver and counters.

use std::ffi::CStr;

use serde::Serialize;

use super::Port;
use super::setup::device_info;
use crate::dpdk::DpdkError;

/// State of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LinkState {
    /// Carrier.
    pub up: bool,
    /// Full duplex.
    pub full_duplex: bool,
    /// Mbit/s, `None` when unknown.
    pub speed_mbps: Option<u32>,
}

/// The device's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets the device dropped because the receive queue was full.
    pub rx_missed: u64,
    /// Broken packets.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Receives that failed because the pool was exhausted.
    pub rx_no_mbuf: u64,
}

impl Port {
    /// The link's state, without waiting.
    pub fn link(&self) -> LinkState {
        let mut speed = 0;
        // SAFETY: an open port.
        let bits = self
            .handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::sluice_link_get(self.id(), &mut speed) });
        LinkState {
            up: bits > 0 && bits & 1 != 0,
            full_duplex: bits > 0 && bits & 2 != 0,
            speed_mbps: (speed != 0 && speed != u32::MAX).then_some(speed),
        }
    }

    /// The port's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        let mut address = dpdk_sys::rte_ether_addr::default();
        // SAFETY: an open port and a valid out pointer.
        self.handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::rte_eth_macaddr_get(self.id(), &mut address) });
        address.addr_bytes
    }

    /// The device's counters.
    pub fn stats(&self) -> PortStats {
        let mut stats = dpdk_sys::rte_eth_stats::default();
        // SAFETY: as above.
        self.handle
            .0
            .eal
            .control(|| unsafe { dpdk_sys::rte_eth_stats_get(self.id(), &mut stats) });
        PortStats {
            rx_packets: stats.ipackets,
            tx_packets: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            tx_errors: stats.oerrors,
            rx_no_mbuf: stats.rx_nombuf,
        }
    }

    /// The driver's extended counters by name.
    pub fn xstats(&self) -> Vec<(String, u64)> {
        let id = self.id();
        self.handle.0.eal.control(|| {
            // SAFETY: asking for the number only.
            let count = unsafe { dpdk_sys::rte_eth_xstats_get(id, std::ptr::null_mut(), 0) };
            let count = usize::try_from(count).unwrap_or(0);
            let mut values = vec![dpdk_sys::rte_eth_xstat::default(); count];
            // SAFETY: the name struct is plain bytes, zero is valid.
            let mut names: Vec<dpdk_sys::rte_eth_xstat_name> =
                vec![unsafe { std::mem::zeroed() }; count];
            // SAFETY: both arrays have `count` entries.
            let (got, named) = unsafe {
                (
                    dpdk_sys::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32),
                    dpdk_sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32),
                )
            };
            let valid = usize::try_from(got.min(named)).unwrap_or(0).min(count);
            values[..valid]
                .iter()
                .filter_map(|entry| {
                    let name = names.get(usize::try_from(entry.id).ok()?)?;
                    // SAFETY: DPDK terminates the names.
                    let name = unsafe { CStr::from_ptr(name.name.as_ptr()) };
                    Some((name.to_string_lossy().into_owned(), entry.value))
                })
                .collect()
        })
    }

    /// The driver's name.
    pub fn driver(&self) -> String {
        let info = self.handle.0.eal.control(|| device_info(self.id()));
        match info {
            // SAFETY: a static string of the driver.
            Ok(info) if !info.driver_name.is_null() => unsafe { CStr::from_ptr(info.driver_name) }
                .to_string_lossy()
                .into_owned(),
            _ => String::new(),
        }
    }

    /// Sets the link up or down, where the device can.
    pub fn set_link(&self, up: bool) -> Result<(), DpdkError> {
        let id = self.id();
        self.handle.0.eal.control(|| {
            // SAFETY: an open port.
            let code = unsafe {
                if up {
                    dpdk_sys::rte_eth_dev_set_link_up(id)
                } else {
                    dpdk_sys::rte_eth_dev_set_link_down(id)
                }
            };
            DpdkError::check("rte_eth_dev_set_link", code).map(|_| ())
        })
    }
}
