//! Making packets a server's or the service's: addresses, ports of the appliance and VLANs.

use std::net::IpAddr;

use nf_core::chain::Cx;
use nf_core::packet::{Direction, LOCAL_PORT, NO_PORT, Packet};
use nf_core::wire::checksum::Delta;
use nf_core::wire::{Layers, MacAddr, flow_hash};

use super::counts::{Count, Reason};
use super::edit;
use super::shard::Turn;
use crate::groups::MAX_SERVERS;

impl Turn<'_> {
    /// Sends a request on to the servers, whatever side it came from.
    #[inline(always)]
    pub(super) fn send_on(&mut self, cx: &mut Cx<'_>, mut packet: Packet) -> Option<Packet> {
        if packet.meta().direction == Direction::ToServer {
            return Some(packet);
        }
        // A server is a client of the service: the request turns around.
        if packet.meta().egress == LOCAL_PORT {
            packet.meta_mut().egress = NO_PORT;
        }
        cx.emit(Direction::ToServer, packet);
        None
    }

    /// A segment of a TCP connection to the service: all of one connection go to one server, and none is
    /// read (grade T0).
    pub(super) fn tcp(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        to: bool,
    ) -> Option<Packet> {
        let frame = packet.data();
        if !to {
            let is_server = edit::source(frame, layers).is_some_and(|source| {
                (0..MAX_SERVERS).any(|sid| {
                    let server = self.version.server(sid as u8);
                    server.is_some_and(|server| server.address == source)
                })
            });
            if !is_server {
                cx.count(Count::Passthrough as usize, 1);
                return Some(packet);
            }
            cx.count(Count::Tcp as usize, 1);
            return self.towards_client(cx, packet, layers);
        }
        let is_vip =
            edit::destination(frame, layers).is_some_and(|address| self.version.is_vip(address));
        if !is_vip {
            cx.count(Count::Passthrough as usize, 1);
            return Some(packet);
        }
        cx.count(Count::Tcp as usize, 1);
        let hash = flow_hash(frame, layers);
        let groups = self.version.groups.len();
        let group = ((u64::from(hash) * groups as u64) >> 32) as usize;
        let chosen = self
            .version
            .groups
            .get(group)
            .and_then(|&pair| crate::groups::candidates(pair, group, &self.live));
        let Some((sid, _)) = chosen else {
            cx.count(Count::NoServer as usize, 1);
            cx.drop(packet, Reason::NoServer as usize);
            return None;
        };
        if !cx.ensure_writable(&mut packet) {
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
        self.address(&mut packet, layers, sid, Delta::new());
        self.send_on(cx, packet)
    }

    /// Makes a packet the server's: its address, and in mode `inline` its MAC address, VLAN and port.
    #[inline(always)]
    pub(super) fn address(
        &mut self,
        packet: &mut Packet,
        layers: &Layers,
        sid: u8,
        changed: Delta,
    ) {
        let Some(server) = self.version.server(sid) else {
            return;
        };
        let len = packet.len();
        edit::set_destination(packet.data_mut(), layers, server.address, changed);
        if self.version.inline {
            let mac = match server.mac {
                Some(mac) => Some(mac),
                None => self.shared.servers.mac(sid).map(MacAddr),
            };
            if let Some(mac) = mac {
                edit::set_mac(packet.data_mut(), mac);
            }
            packet.meta_mut().egress = server.egress;
            if server.vlan != 0 {
                edit::set_vlan(packet, server.vlan);
            }
        }
        if self.version.offload {
            edit::leave_udp(packet, layers, len);
        }
    }

    /// Makes a packet of a server the service's, if the settings say so.
    #[inline(always)]
    pub(super) fn towards_client(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
    ) -> Option<Packet> {
        let (len, mut changed) = (packet.len(), false);
        if self.version.rewrites_source
            && let Some(source) = edit::source(packet.data(), layers)
            && let Some(vip) = self.version.own_address(source)
        {
            if !cx.ensure_writable(&mut packet) {
                cx.drop(packet, Reason::NoBuffer as usize);
                return None;
            }
            edit::set_source(packet.data_mut(), layers, vip);
            changed = true;
        }
        if self.version.inline && layers.tag_count() > 0 {
            packet = self.untag(cx, packet, layers)?;
        }
        if changed && self.version.offload {
            edit::leave_udp(&mut packet, layers, len);
        }
        Some(packet)
    }

    /// A packet of a server in a VLAN of its own: its clients are not in it.
    #[cold]
    fn untag(&mut self, cx: &mut Cx<'_>, mut packet: Packet, layers: &Layers) -> Option<Packet> {
        let tag = layers.outer_tag().map_or(0, |tag| tag.id());
        let source = edit::source(packet.data(), layers);
        let is_ours = (0..MAX_SERVERS).any(|sid| {
            self.version.server(sid as u8).is_some_and(|server| {
                server.vlan == tag && server.vlan != 0 && is_same(server.address, source, self)
            })
        });
        if is_ours {
            if !cx.ensure_writable(&mut packet) {
                cx.drop(packet, Reason::NoBuffer as usize);
                return None;
            }
            edit::clear_vlan(&mut packet);
        }
        Some(packet)
    }
}

/// Whether a packet with that source, which may be the VIP by now, is of the server.
fn is_same(server: IpAddr, source: Option<IpAddr>, turn: &Turn<'_>) -> bool {
    source.is_some_and(|source| source == server || turn.version.is_vip(source))
}
