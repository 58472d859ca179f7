//! Why a port did not open, and what may help.

use thiserror::Error;

use super::{Device, PortSpec};
use crate::dpdk::DpdkError;

/// Why a port did not open.
#[derive(Debug, Error)]
pub enum PortError {
    /// DPDK made no device.
    #[error("port {port:?}: no device came up for {device}: {why}{hint}")]
    NoDevice {
        /// Our name.
        port: String,
        /// DPDK's device string.
        device: String,
        /// What DPDK said, or the call that failed and its errno.
        why: String,
        /// What may help.
        hint: String,
    },
    /// The device has fewer queues than asked for.
    #[error("port {port:?}: {asked} queues were asked for, and the device has {has}")]
    Queues {
        /// Our name.
        port: String,
        /// Queues asked for.
        asked: u16,
        /// Queues the device has.
        has: u16,
    },
    /// The device cannot take packets of that size.
    #[error(
        "port {port:?}: an mtu of {asked} was asked for, and the device takes at most {most} with this \
         version of DPDK"
    )]
    Mtu {
        /// Our name.
        port: String,
        /// Bytes asked for.
        asked: u16,
        /// The most it takes, bytes.
        most: u16,
    },
    /// There is no memory for the pool that its driver needs for itself.
    #[error(
        "port {port:?}: no packet pool of its own with {packets} packets: {error}; is eal.memory_mb enough?"
    )]
    Pool {
        /// Our name.
        port: String,
        /// Packets that it would have.
        packets: u32,
        /// What DPDK said.
        error: DpdkError,
    },
    /// The pool is for the driver of one port, and another one has it.
    #[error("port {port:?}: another port uses its packet pool")]
    PoolTaken {
        /// Our name.
        port: String,
    },
    /// Another process listens on a memif server's socket.
    #[error("port {port:?}: another process listens on the memif socket {socket} already")]
    SocketTaken {
        /// Our name.
        port: String,
        /// Path of the socket.
        socket: String,
    },
    /// A set-up call failed.
    #[error("port {port:?}: {error}")]
    Setup {
        /// Our name.
        port: String,
        /// The call and its errno.
        error: DpdkError,
    },
    /// A setting that DPDK cannot take.
    #[error("port {port:?}: {what} must not contain {character:?}")]
    Character {
        /// Our name.
        port: String,
        /// Which setting.
        what: &'static str,
        /// The character.
        character: char,
    },
}

impl PortError {
    /// DPDK made no device.
    pub(super) fn no_device(spec: &PortSpec, device: String, error: DpdkError) -> PortError {
        PortError::NoDevice {
            port: spec.name.clone(),
            device,
            why: error.to_string(),
            hint: hint(&spec.device),
        }
    }

    /// A set-up call failed.
    pub(super) fn setup(spec: &PortSpec, error: DpdkError) -> PortError {
        PortError::Setup {
            port: spec.name.clone(),
            error,
        }
    }

    /// A setting has a character that DPDK cannot take.
    pub(super) fn character(spec: &PortSpec, what: &'static str, character: char) -> PortError {
        PortError::Character {
            port: spec.name.clone(),
            what,
            character,
        }
    }
}

/// What may help when no device came up.
/// What may help against what DPDK said, where that is known better than by the device.
pub(super) fn hint_for(why: &str) -> Option<&'static str> {
    why.contains("PACKET_FANOUT").then_some(
        "; another process in this network namespace has the same fan-out group, whose number DPDK \
         makes of process and interface: start again",
    )
}

fn hint(device: &Device) -> String {
    match device {
        Device::Tap { .. } => {
            "; a TAP needs /dev/net/tun, CAP_NET_ADMIN and a free interface name".into()
        }
        Device::AfPacket { interface, .. } => {
            format!(
                "; is there an interface {interface:?} in this network namespace, and CAP_NET_RAW?"
            )
        }
        Device::AfXdp { interface, .. } => {
            format!(
                "; is there an interface {interface:?} here, with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF?"
            )
        }
        Device::Pci { address } => {
            format!("; is {address} bound to vfio-pci (`dpdk-devbind.py --status`)?")
        }
        Device::Memif { .. } => "; is the socket's folder there and writable?".into(),
        Device::Pcap { .. } => "; are the files there?".into(),
        Device::Ring { .. } | Device::Null { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fan_out_group_that_another_process_has_is_not_a_missing_interface() {
        let said = "net_af_packet_a: could not set PACKET_FANOUT on AF_PACKET socket for veth0:Invalid argument";
        assert!(hint_for(said).is_some_and(|hint| hint.ends_with("start again")));
        assert_eq!(hint_for("net_af_packet_a: no such interface"), None);
    }
}
