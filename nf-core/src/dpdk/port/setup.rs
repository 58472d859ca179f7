//! From a description to a started port: find or create the device, configure it, start it.

use std::ffi::CString;

use super::arguments::vdev;
use super::{Device, PortError, PortSpec, Rss, TxChecksums};
use crate::dpdk::{DpdkError, Mempool};

/// Finds the PCI device or creates the virtual one: its port id, and its name if it was created.
pub(super) fn find_or_create(spec: &PortSpec) -> Result<(u16, Option<CString>), PortError> {
    let zero = |_| PortError::character(spec, "device", '\0');
    let vdev = vdev(spec)?;
    let (lookup, created) = match (&vdev, &spec.device) {
        (Some((name, args)), _) => {
            let c_name = CString::new(name.as_str()).map_err(zero)?;
            let c_args = CString::new(args.as_str()).map_err(zero)?;
            // SAFETY: valid C strings, copied by DPDK.
            let code = unsafe { dpdk_sys::rte_vdev_init(c_name.as_ptr(), c_args.as_ptr()) };
            if code < 0 {
                return Err(PortError::no_device(
                    spec,
                    format!("{name},{args}"),
                    DpdkError::from_return("rte_vdev_init", code),
                ));
            }
            (c_name.clone(), Some(c_name))
        }
        (None, Device::Pci { address }) => (CString::new(address.as_str()).map_err(zero)?, None),
        (None, _) => (CString::new(spec.name.as_str()).map_err(zero)?, None),
    };
    let mut id = 0;
    // SAFETY: a valid C string and out pointer. A driver whose probe failed leaves no port behind
    // and no error in `rte_vdev_init`, so every port is looked up by name.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(lookup.as_ptr(), &mut id) };
    if code < 0 {
        if let Some(name) = &created {
            // SAFETY: the device that was just created.
            unsafe { dpdk_sys::rte_vdev_uninit(name.as_ptr()) };
        }
        let error = DpdkError::from_return("rte_eth_dev_get_port_by_name", code);
        return Err(PortError::no_device(
            spec,
            lookup.to_string_lossy().into_owned(),
            error,
        ));
    }
    Ok((id, created))
}

/// What the driver says of its device.
pub(super) fn device_info(id: u16) -> Result<dpdk_sys::rte_eth_dev_info, DpdkError> {
    let mut info = dpdk_sys::rte_eth_dev_info::default();
    // SAFETY: an existing port and a valid out pointer.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &mut info) };
    DpdkError::check("rte_eth_dev_info_get", code).map(|_| info)
}

/// Configures and starts, and says which checksums the port fills in; the caller holds the control lock.
pub(super) fn configure(
    spec: &PortSpec,
    id: u16,
    pool: &Mempool,
) -> Result<TxChecksums, PortError> {
    let fail = |error| PortError::setup(spec, error);
    let info = device_info(id).map_err(fail)?;
    let has = info.max_rx_queues.min(info.max_tx_queues);
    if spec.queues > has {
        return Err(PortError::Queues {
            port: spec.name.clone(),
            asked: spec.queues,
            has,
        });
    }
    let most = most_mtu(&info);
    let told = match &spec.device {
        // These drivers claim 1518 bytes, and take whatever fits into the slots of their rings.
        Device::AfPacket { .. } | Device::Memif { .. } => spec.mtu.min(most),
        _ if spec.mtu > most => {
            return Err(PortError::Mtu {
                port: spec.name.clone(),
                asked: spec.mtu,
                most,
            });
        }
        _ => spec.mtu,
    };
    let conf = device_conf(spec, &info, told, pool);
    let (rx_offloads, tx_offloads) = (conf.rxmode.offloads, conf.txmode.offloads);
    let check = |call, code| DpdkError::check(call, code).map_err(fail);
    // SAFETY: here and below: an existing port, and structs that live through the calls.
    unsafe {
        check(
            "rte_eth_dev_configure",
            dpdk_sys::rte_eth_dev_configure(id, spec.queues, spec.queues, &conf),
        )?;
        let (mut rx, mut tx) = (spec.rx_descriptors, spec.tx_descriptors);
        check(
            "rte_eth_dev_adjust_nb_rx_tx_desc",
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &mut rx, &mut tx),
        )?;
        for queue in 0..spec.queues {
            let rxconf = dpdk_sys::rte_eth_rxconf {
                offloads: rx_offloads,
                ..info.default_rxconf
            };
            let txconf = dpdk_sys::rte_eth_txconf {
                offloads: tx_offloads,
                ..info.default_txconf
            };
            check(
                "rte_eth_rx_queue_setup",
                dpdk_sys::rte_eth_rx_queue_setup(id, queue, rx, u32::MAX, &rxconf, pool.as_ptr()),
            )?;
            check(
                "rte_eth_tx_queue_setup",
                dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx, u32::MAX, &txconf),
            )?;
        }
        check("rte_eth_dev_start", dpdk_sys::rte_eth_dev_start(id))?;
        if told != 1500 {
            // Many virtual devices have no MTU of their own; -ENOTSUP is no failure then.
            let code = dpdk_sys::rte_eth_dev_set_mtu(id, told);
            if code < 0 && code != -libc::ENOTSUP {
                check("rte_eth_dev_set_mtu", code)?;
            }
        }
        if spec.promiscuous {
            dpdk_sys::rte_eth_promiscuous_enable(id);
        } else {
            dpdk_sys::rte_eth_promiscuous_disable(id);
            dpdk_sys::rte_eth_allmulticast_enable(id);
        }
    }
    Ok(TxChecksums::of(tx_offloads))
}

/// The largest layer-3 packet that the device takes, as ethdev works it out when it checks an MTU.
fn most_mtu(info: &dpdk_sys::rte_eth_dev_info) -> u16 {
    let known = info.max_mtu != u16::MAX && info.max_rx_pktlen > u32::from(info.max_mtu);
    let around = match known {
        true => info.max_rx_pktlen - u32::from(info.max_mtu),
        false => 18, // Ethernet's header and check sequence
    };
    let most = info.max_rx_pktlen.saturating_sub(around);
    u16::try_from(most).unwrap_or(u16::MAX).min(info.max_mtu)
}

/// Offloads are asked for only where they are offered. `MBUF_FAST_FREE` never: packets may be
/// shared, chained, or from another pool.
fn device_conf(
    spec: &PortSpec,
    info: &dpdk_sys::rte_eth_dev_info,
    mtu: u16,
    pool: &Mempool,
) -> dpdk_sys::rte_eth_conf {
    use dpdk_sys as d;
    // SAFETY: a plain C struct for which zero means default.
    let mut conf: d::rte_eth_conf = unsafe { std::mem::zeroed() };
    let mut rx = 0;
    let mut tx = d::SLUICE_TX_OFFLOAD_MULTI_SEGS;
    if spec.checksum_offload {
        rx |= d::SLUICE_RX_OFFLOAD_IPV4_CKSUM
            | d::SLUICE_RX_OFFLOAD_UDP_CKSUM
            | d::SLUICE_RX_OFFLOAD_TCP_CKSUM;
        tx |= d::SLUICE_TX_OFFLOAD_IPV4_CKSUM
            | d::SLUICE_TX_OFFLOAD_UDP_CKSUM
            | d::SLUICE_TX_OFFLOAD_TCP_CKSUM;
    }
    if spec.vlan_strip {
        rx |= d::SLUICE_RX_OFFLOAD_VLAN_STRIP;
        tx |= d::SLUICE_TX_OFFLOAD_VLAN_INSERT;
    }
    let frame = u32::from(spec.mtu) + 14 + 8 + 4;
    if frame + d::SLUICE_PKTMBUF_HEADROOM > u32::from(pool.data_room()) {
        rx |= d::SLUICE_RX_OFFLOAD_SCATTER;
    }
    if spec.queues > 1 && spec.rss != Rss::Off {
        let mut hash = d::SLUICE_RSS_IP | d::SLUICE_RSS_UDP | d::SLUICE_RSS_TCP;
        hash &= info.flow_type_rss_offloads;
        let narrow = d::SLUICE_RSS_L3_DST_ONLY | d::SLUICE_RSS_L4_DST_ONLY;
        if spec.rss == Rss::Destination {
            hash |= narrow & info.flow_type_rss_offloads;
            if info.flow_type_rss_offloads & narrow != narrow {
                tracing::warn!(
                    port = spec.name,
                    "the device cannot hash over the destination alone; packets are spread by the 5-tuple"
                );
            }
        }
        if hash == 0 {
            tracing::warn!(
                port = spec.name,
                "the device cannot be told how to spread packets over queues"
            );
        } else {
            conf.rxmode.mq_mode = d::SLUICE_MQ_RX_RSS as _;
            conf.rx_adv_conf.rss_conf.rss_hf = hash;
            rx |= d::SLUICE_RX_OFFLOAD_RSS_HASH;
        }
    }
    conf.rxmode.mtu = u32::from(mtu.max(info.min_mtu));
    conf.rxmode.offloads = rx & info.rx_offload_capa;
    conf.txmode.offloads = tx & info.tx_offload_capa;
    conf
}
