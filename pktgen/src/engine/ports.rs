//! From the configuration's port section to a DPDK port.

use nf_core::control::config::PortConfig;
use nf_core::dpdk;

/// Headers around the largest layer-3 packet: Ethernet, two VLAN tags.
const LINK_BYTES: usize = 22;

/// The port to open for `config` with `queues` pairs of queues, for frames of up to `largest` bytes
/// without check sequence.
pub fn spec(config: &PortConfig, queues: u16, largest: usize) -> dpdk::PortSpec {
    let mtu = usize::from(config.mtu).max(largest.saturating_sub(LINK_BYTES));
    dpdk::PortSpec {
        // Checksums and tags are part of what is tested: no device may write them.
        checksum_offload: false,
        vlan_strip: false,
        ..config.port_spec(queues, u16::try_from(mtu).unwrap_or(u16::MAX))
    }
}

/// Reads the short form of a port on the command line: `KIND:WHAT`, such as `tap:pg0`,
/// `memif:/run/x.sock`, `memif-server:/run/x.sock#1`, `af_packet:veth0`, `pci:0000:01:00.0`, `ring`, `null`.
pub fn parse(name: &str, text: &str) -> Result<PortConfig, String> {
    let (kind, what) = text.split_once(':').unwrap_or((text, ""));
    let need = |example: &str| {
        if what.is_empty() {
            Err(format!("`{kind}` needs more, such as {kind}:{example}"))
        } else {
            Ok(what)
        }
    };
    let device = match kind {
        "tap" => serde_json::json!({"type": "tap", "interface": need("pg0")?}),
        "af_packet" | "af_xdp" => serde_json::json!({"type": kind, "interface": need("veth0")?}),
        "pci" => serde_json::json!({"type": "pci", "address": need("0000:01:00.0")?}),
        "memif" | "memif-client" | "memif-server" => {
            let what = need("/run/sluice/memif.sock#0")?;
            let (socket, id) = what.rsplit_once('#').unwrap_or((what, "0"));
            let id: u32 = id
                .parse()
                .map_err(|_| format!("{id:?} is not a memif id"))?;
            let role = if kind == "memif-server" {
                "server"
            } else {
                "client"
            };
            let hidden = socket.strip_prefix('@');
            serde_json::json!({
                "type": "memif", "role": role, "socket": hidden.unwrap_or(socket),
                "abstract": hidden.is_some(), "id": id
            })
        }
        "pcap" => {
            let (from, to) = what.split_once(',').unwrap_or((what, ""));
            let file = |path: &str| (!path.is_empty()).then(|| path.to_owned());
            serde_json::json!({"type": "pcap", "rx_file": file(from), "tx_file": file(to)})
        }
        "ring" | "null" if what.is_empty() => serde_json::json!({"type": kind}),
        _ => {
            return Err(format!(
                "there is no device `{text}`; expected tap:NAME, memif:SOCKET, memif-server:SOCKET, \
                 af_packet:NAME, af_xdp:NAME, pci:ADDRESS, pcap:FROM,TO, ring or null"
            ));
        }
    };
    let port = serde_json::json!({"name": name, "side": "any", "device": device});
    serde_json::from_value(port).map_err(|error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use nf_core::control::config::{Device, MemifRole};

    use super::*;

    #[test]
    fn short_forms_of_every_device() {
        for (text, kind) in [
            ("tap:pg0", "tap"),
            ("memif:/tmp/a.sock", "memif"),
            ("memif-server:/tmp/a.sock#3", "memif"),
            ("memif:@name", "memif"),
            ("af_packet:veth0", "af_packet"),
            ("af_xdp:veth0", "af_xdp"),
            ("pci:0000:01:00.0", "pci"),
            ("pcap:a.pcap,b.pcap", "pcap"),
            ("ring", "ring"),
            ("null", "null"),
        ] {
            let port = parse("a", text).unwrap();
            assert_eq!(port.device.kind(), kind, "{text}");
            assert_eq!(spec(&port, 2, 1514).queues, 2);
        }
        let Device::Memif(memif) = parse("a", "memif-server:/tmp/a.sock#3").unwrap().device else {
            panic!("not a memif");
        };
        assert_eq!((memif.id, memif.role), (3, MemifRole::Server));
        for text in [
            "",
            "tap",
            "tup:x",
            "memif:/a#x",
            "ring:1",
            "tap:a-name-that-is-too-long",
        ] {
            assert!(parse("a", text).is_err(), "{text}");
        }
    }

    #[test]
    fn jumbo_frames_get_room() {
        let port = parse("a", "af_packet:veth0").unwrap();
        let spec = spec(&port, 1, 9014);
        assert!(spec.mtu >= 8992);
        let dpdk::Device::AfPacket { frame_bytes, .. } = spec.device else {
            panic!("no")
        };
        // The frame and the kernel's header before it, in whole quarters of a page.
        assert!(frame_bytes >= 9014 + 80);
        assert_eq!(frame_bytes % 1024, 0);
    }
}
