//! A device in DPDK's words: driver name and arguments.

use std::path::PathBuf;

use super::{Device, PortError, PortSpec};

/// DPDK's device name and arguments for a device; the name is unique by our port name.
pub(super) fn vdev(spec: &PortSpec) -> Result<Option<(String, String)>, PortError> {
    let text = |what: &'static str, value: &str| match value
        .chars()
        .find(|c| matches!(c, ',' | '=' | '[' | ']' | '\0'))
    {
        Some(character) => Err(PortError::character(spec, what, character)),
        None => Ok(value.to_owned()),
    };
    let path = |what, value: &PathBuf| text(what, &value.to_string_lossy());
    let name = text("name", &spec.name)?;
    let mut args: Vec<String> = Vec::new();
    let driver = match &spec.device {
        Device::Pci { .. } | Device::Ring { .. } => return Ok(None),
        Device::Tap { interface, mac } => {
            args.push(format!("iface={}", text("interface", interface)?));
            if let Some(mac) = mac {
                args.push(format!("mac={}", text("mac", mac)?));
            }
            "net_tap"
        }
        Device::Memif {
            server,
            socket,
            abstract_socket,
            id,
            secret,
            zero_copy,
            buffer_bytes,
            mac,
        } => {
            args.push(format!(
                "role={}",
                if *server { "server" } else { "client" }
            ));
            args.push(format!("id={id}"));
            args.push(format!("socket={}", text("socket", socket)?));
            args.push(format!(
                "socket-abstract={}",
                if *abstract_socket { "yes" } else { "no" }
            ));
            args.push(format!("bsize={buffer_bytes}"));
            args.push(format!(
                "rsize={}",
                spec.rx_descriptors
                    .max(spec.tx_descriptors)
                    .max(2)
                    .ilog2()
                    .min(14)
            ));
            if let Some(mac) = mac {
                args.push(format!("mac={}", text("mac", mac)?));
            }
            if let Some(secret) = secret {
                args.push(format!("secret={}", text("secret", secret)?));
            }
            if *zero_copy && !server {
                args.push("zero-copy=yes".into());
            }
            "net_memif"
        }
        Device::AfXdp {
            interface,
            start_queue,
            force_copy,
        } => {
            args.push(format!("iface={}", text("interface", interface)?));
            args.push(format!("start_queue={start_queue}"));
            args.push(format!("queue_count={}", spec.queues));
            if *force_copy {
                args.push("force_copy=1".into());
            }
            "net_af_xdp"
        }
        Device::AfPacket {
            interface,
            frame_bytes,
            frames,
            qdisc_bypass,
        } => {
            args.push(format!("iface={}", text("interface", interface)?));
            args.push(format!("qpairs={}", spec.queues));
            // The driver takes the slots for one array, so a block is filled by whole ones; the kernel
            // wants whole pages.
            let mut block = *frame_bytes;
            while block % 4096 != 0 {
                block += frame_bytes;
            }
            args.push(format!("blocksz={block}"));
            args.push(format!("framesz={frame_bytes}"));
            args.push(format!("framecnt={frames}"));
            args.push(format!("qdisc_bypass={}", u8::from(*qdisc_bypass)));
            "net_af_packet"
        }
        Device::Pcap {
            rx_file,
            tx_file,
            repeat,
        } => {
            match rx_file {
                Some(file) => {
                    let file = format!("rx_pcap={}", path("rx_file", file)?);
                    args.extend((0..spec.queues.max(1)).map(|_| file.clone()));
                }
                None => args.push("rx_iface=".into()),
            }
            if let Some(file) = tx_file {
                args.push(format!("tx_pcap={}", path("tx_file", file)?));
            }
            if *repeat && rx_file.is_some() {
                args.push("infinite_rx=1".into());
            }
            args.retain(|arg| arg != "rx_iface=");
            "net_pcap"
        }
        Device::Null { packet_bytes, copy } => {
            args.push(format!("size={packet_bytes}"));
            args.push(format!("copy={}", u8::from(*copy)));
            "net_null"
        }
    };
    Ok(Some((format!("{driver}_{name}"), args.join(","))))
}
