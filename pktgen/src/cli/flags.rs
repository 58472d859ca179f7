//! Flags laid over a profile.

use nf_core::check::Problems;
use nf_core::control::config::PortConfig;
use serde_json::{Value, json};

use super::{Protocol, TrafficArgs};
use crate::engine::ports;
use crate::profile::Profile;
use crate::profile::packet::{Packet, Vlan};
use crate::profile::stream::{Ramp, Size, Stream};
use crate::profile::values::{Kind, Values, VlanId};

/// Reads `--port` arguments.
pub fn port_configs(texts: &[String]) -> Result<Vec<PortConfig>, String> {
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| match text.split_once('=') {
            Some((name, device)) if !name.contains(':') => ports::parse(name, device),
            _ => ports::parse(&format!("port{index}"), text),
        })
        .collect()
}

fn read_values<K: Kind>(text: &Option<String>) -> Result<Option<Values<K>>, String> {
    text.as_deref().map(Values::from_text).transpose()
}

impl TrafficArgs {
    /// Lays the flags over `profile`: those about packets and timing over each of its streams, or over
    /// the default stream.
    pub fn apply(&self, profile: &mut Profile) -> Result<(), String> {
        if !self.port.is_empty() {
            profile.ports = port_configs(&self.port)?;
            for stream in &mut profile.streams {
                stream.port = None;
            }
        }
        if self.self_test {
            profile.ports = vec![
                ports::parse("left", "ring")?,
                ports::parse("right", "ring")?,
            ];
            for stream in &mut profile.streams {
                // Whatever the profile calls its ports, there are two of them here.
                stream.port = None;
            }
            profile.receive.ports = None;
            profile.line_rates.clear();
        }
        if !self.tx_cores.is_empty() {
            profile.cores.transmit.clone_from(&self.tx_cores);
        }
        if !self.rx_cores.is_empty() {
            profile.cores.receive.clone_from(&self.rx_cores);
        }
        profile.eal.memory_mb = self.memory.unwrap_or(profile.eal.memory_mb);
        if self.duration.is_some() || self.count.is_some() {
            profile.duration = self.duration;
            profile.packets = self.count;
        }
        profile.seed = self.seed.or(profile.seed);
        profile.receive.verify_checksums &= !self.no_verify;
        profile.receive.settle = self.settle.unwrap_or(profile.receive.settle);
        if profile.streams.is_empty() {
            profile.streams.push(Stream::default());
        }
        for stream in &mut profile.streams {
            self.apply_stream(stream)?;
        }
        Ok(())
    }

    fn apply_stream(&self, stream: &mut Stream) -> Result<(), String> {
        if let Some(file) = &self.replay {
            let timing = if self.rate.is_some() {
                "rate"
            } else {
                "recorded"
            };
            let replay = json!({
                "file": file, "speed": self.speed.unwrap_or(1.0), "loop": self.repeat,
                "timing": timing
            });
            stream.replay = serde_json::from_value(replay).ok();
            stream.packet = Packet::default();
            stream.flows = None;
        }
        if let Some(rate) = self.rate {
            stream.rate = rate;
        }
        stream.spacing = self.spacing.unwrap_or(stream.spacing);
        if let Some(size) = &self.size {
            stream.size = Size::from_text(size)?;
        }
        stream.flows = self.flows.or(stream.flows);
        stream.gateway = self.gateway.or(stream.gateway);
        if let Some((from, over)) = self.ramp.as_deref().and_then(|ramp| ramp.split_once(',')) {
            stream.ramp = Some(Ramp {
                from: from.parse()?,
                over: over.parse()?,
            });
        }
        let packet = &mut stream.packet;
        if let Some(mac) = read_values(&self.src_mac)? {
            packet.ethernet.source = Some(mac);
        }
        if let Some(mac) = read_values(&self.dst_mac)? {
            packet.ethernet.destination = Some(mac);
        }
        if !self.vlan.is_empty() {
            packet.vlans = Vec::new();
            for (index, id) in self.vlan.iter().enumerate() {
                let outer = index == 0 && self.vlan.len() > 1;
                packet.vlans.push(Vlan {
                    id: Values::<VlanId>::from_text(id)?,
                    priority: 0,
                    tpid: if outer { 0x88a8 } else { 0x8100 },
                });
            }
        }
        self.apply_addresses(packet)?;
        self.apply_transport(packet)
    }

    fn apply_addresses(&self, packet: &mut Packet) -> Result<(), String> {
        let families: Vec<bool> = [&self.src, &self.dst]
            .into_iter()
            .flatten()
            .map(|text| text.contains(':'))
            .collect();
        match families.as_slice() {
            [] => return Ok(()),
            [true, false] | [false, true] => {
                return Err("--src and --dst must both be IPv4, or both IPv6".into());
            }
            [true, ..] => {
                packet.ipv4 = None;
                let ip = packet.ipv6.get_or_insert_default();
                if let Some(source) = read_values(&self.src)? {
                    ip.source = source;
                }
                if let Some(destination) = read_values(&self.dst)? {
                    ip.destination = destination;
                }
            }
            _ => {
                packet.ipv6 = None;
                let ip = packet.ipv4.get_or_insert_default();
                if let Some(source) = read_values(&self.src)? {
                    ip.source = source;
                }
                if let Some(destination) = read_values(&self.dst)? {
                    ip.destination = destination;
                }
            }
        }
        Ok(())
    }

    fn apply_transport(&self, packet: &mut Packet) -> Result<(), String> {
        if let Some(protocol) = self.protocol {
            let keep = (packet.udp.take(), packet.tcp.take(), packet.icmp.take());
            match protocol {
                Protocol::Udp => packet.udp = Some(keep.0.unwrap_or_default()),
                Protocol::Tcp => packet.tcp = Some(keep.1.unwrap_or_default()),
                Protocol::Icmp => packet.icmp = Some(keep.2.unwrap_or_default()),
            }
        }
        let (source, destination) = (read_values(&self.src_port)?, read_values(&self.dst_port)?);
        if source.is_none() && destination.is_none() {
            return Ok(());
        }
        if packet.icmp.is_some() {
            return Err("--src-port and --dst-port have no place in ICMP".into());
        }
        if let Some(tcp) = &mut packet.tcp {
            tcp.source_port = source.unwrap_or_else(|| tcp.source_port.clone());
            tcp.destination_port = destination.unwrap_or_else(|| tcp.destination_port.clone());
        } else {
            let udp = packet.udp.get_or_insert_default();
            udp.source_port = source.unwrap_or_else(|| udp.source_port.clone());
            udp.destination_port = destination.unwrap_or_else(|| udp.destination_port.clone());
        }
        Ok(())
    }
}

/// The profile that a file and flags describe; every mistake as text.
pub fn profile(traffic: &TrafficArgs) -> Result<Profile, String> {
    let mut problems = Problems::new();
    let mut profile = match &traffic.profile {
        Some(path) => crate::profile::load(path).map_err(|problems| told(&problems))?,
        None => crate::profile::parse(&Value::Object(Default::default()), &mut problems),
    };
    traffic.apply(&mut profile)?;
    crate::profile::check(&profile, &mut problems);
    if problems.has_errors() {
        Err(told(&problems))
    } else {
        Ok(profile)
    }
}

/// Problems as text.
pub fn told(problems: &Problems) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
