//! A received packet's headers in one line.

use nf_core::wire::{Fragment, Layers, Transport, arp, ethertype};

/// The headers of a packet of `length` bytes, of which `head` is known.
pub fn summary(head: &[u8], length: usize) -> String {
    let layers = Layers::parse_lax(head, length);
    let mut text = link(head, &layers);
    if let Some(network) = network(head, &layers) {
        text += ", ";
        text += &network;
    }
    if let Some(problem) = layers.problem() {
        text += &format!(" [{problem}]");
    }
    text
}

fn link(head: &[u8], layers: &Layers) -> String {
    let Some(link) = nf_core::wire::Ethernet::new(head) else {
        return "less than an Ethernet header".into();
    };
    let mut text = format!("{} > {}", link.source(), link.destination());
    for tag in [layers.outer_tag(), layers.inner_tag()]
        .into_iter()
        .flatten()
    {
        text += &format!(", vlan {}", tag.id());
    }
    text
}

fn network(head: &[u8], layers: &Layers) -> Option<String> {
    if let Some(arp) = layers.arp(head) {
        return Some(match arp.operation() {
            arp::REQUEST => format!("arp who has {}? tell {}", arp.target_ip(), arp.sender_ip()),
            arp::REPLY => format!("arp {} is at {}", arp.sender_ip(), arp.sender_mac()),
            other => format!("arp operation {other}"),
        });
    }
    let (source, destination, hops) = if let Some(ip) = layers.ipv4(head) {
        (
            ip.source().to_string(),
            ip.destination().to_string(),
            format!("ttl {}", ip.ttl()),
        )
    } else if let Some(ip) = layers.ipv6(head) {
        let (source, destination) = (
            format!("[{}]", ip.source()),
            format!("[{}]", ip.destination()),
        );
        (source, destination, format!("hlim {}", ip.hop_limit()))
    } else {
        return (layers.ethertype() != 0).then(|| match layers.ethertype() {
            ethertype::IPV4 => "ipv4".to_owned(),
            ethertype::IPV6 => "ipv6".to_owned(),
            kind => format!("type {kind:#06x}"),
        });
    };
    let ends = |from: u16, to: u16| format!("{source}:{from} > {destination}:{to}");
    let mut text = match layers.transport() {
        Transport::Udp => {
            let udp = layers.udp(head)?;
            let data = layers.payload_len();
            format!(
                "udp {}, {data} bytes",
                ends(udp.source_port(), udp.destination_port())
            )
        }
        Transport::Tcp => {
            let tcp = layers.tcp(head)?;
            let data = layers.payload_len();
            let ends = ends(tcp.source_port(), tcp.destination_port());
            format!("tcp {ends}, {}, {data} bytes", flags(tcp.flags()))
        }
        Transport::Icmp => {
            let icmp = layers.icmp(head)?;
            format!(
                "icmp {source} > {destination}, type {} code {}",
                icmp.kind(),
                icmp.code()
            )
        }
        Transport::Icmpv6 => {
            let icmp = layers.icmpv6(head)?;
            format!(
                "icmpv6 {source} > {destination}, type {} code {}",
                icmp.kind(),
                icmp.code()
            )
        }
        Transport::None => {
            format!(
                "ip {source} > {destination}, protocol {}",
                layers.protocol()
            )
        }
    };
    match layers.fragment() {
        Fragment::None => {}
        Fragment::First => text += ", first fragment",
        Fragment::Later => text += ", later fragment",
    }
    Some(format!("{text}, {hops}"))
}

/// TCP flags, as `SYN ACK`.
fn flags(bits: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "no flags".into()
    } else {
        set.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp_frame() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([
            0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame.extend([0x30, 0x39, 0, 53, 0, 13, 0, 0, 1, 2, 3, 4, 5]);
        frame
    }

    #[test]
    fn headers_in_a_line() {
        let frame = udp_frame();
        assert_eq!(
            summary(&frame, frame.len()),
            "02:00:00:00:00:01 > 02:00:00:00:00:02, udp 10.0.0.1:12345 > 10.0.0.2:53, 5 bytes, ttl 64"
        );
    }

    #[test]
    fn every_cut_of_a_packet_has_a_line() {
        let frame = udp_frame();
        for cut in 0..frame.len() {
            assert!(!summary(&frame[..cut], cut).is_empty());
        }
        assert!(summary(&frame[..40], frame.len()).contains("10.0.0.1"));
        assert_eq!(summary(&[], 0).split(' ').next(), Some("less"));
    }

    #[test]
    fn flags_by_name() {
        assert_eq!(flags(0x12), "SYN ACK");
        assert_eq!(flags(0), "no flags");
    }
}
