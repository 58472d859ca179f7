//! What the first core does by the clock: pings, health, and where servers are on the link.

use std::net::IpAddr;

use nf_core::chain::Cx;
use nf_core::check::Side;
use nf_core::packet::{Direction, NO_PORT, Packet};
use nf_core::wire::{
    Layers, MacAddr, arp, ethernet, ethernet::ethertype, fill_transport_checksum, ipv4, ipv6,
    neighbor, udp,
};

use super::counts::{Count, Reason};
use super::edit;
use super::version::{Server, Shared, Version};
use crate::groups::MAX_SERVERS;
use crate::health::{Health, Now, STEP_NS};
use crate::plain::{Judge, Patience, Plain};
use crate::servers::{Bar, ServerTotals, Servers};
use crate::wire::{HEADER_LEN, Header, Kind};

/// How often an unknown neighbour is asked for.
const ASK_NS: u64 = 100_000_000;

/// How often a known one is asked for, so that its going elsewhere is noticed.
const CONFIRM_NS: u64 = 10_000_000_000;

/// The least Ethernet frame without its check sequence.
const MIN_FRAME: usize = 60;

/// The health of all servers, by SID.
#[derive(Debug)]
pub(crate) struct Probes {
    health: Box<[Option<Health>]>,
    asked: Box<[u64]>,
    epoch: u16,
    announced: bool,
    /// Of the servers of `wire: none`.
    judge: Judge,
}

impl Probes {
    pub fn new() -> Probes {
        Probes {
            health: vec![None; MAX_SERVERS].into_boxed_slice(),
            asked: vec![0; MAX_SERVERS].into_boxed_slice(),
            epoch: 0,
            announced: false,
            judge: Judge::new(),
        }
    }

    /// Begins, and sets the timer.
    pub fn start(&mut self, cx: &mut Cx<'_>, version: &Version, shared: &Shared, token: u64) {
        self.epoch = version.epoch;
        self.step(cx, version, shared, token);
    }

    /// Looks after every server, and sets the timer again.
    pub fn step(&mut self, cx: &mut Cx<'_>, version: &Version, shared: &Shared, token: u64) {
        // Without a timer there is no health; a core has thousands of them.
        let _ = cx.timer(STEP_NS, token);
        if std::mem::replace(&mut self.epoch, version.epoch) != version.epoch {
            cx.count(Count::EpochRolls as usize, 1);
        }
        if version.inline && !self.announced {
            self.announced = announce(cx, version);
        }
        let configured = shared.servers.configured();
        for sid in 0..=u8::MAX {
            match version.server(sid) {
                Some(server) if configured.has(sid) => self.look(cx, version, shared, sid, server),
                _ => {
                    if let Some(slot) = self.health.get_mut(usize::from(sid)) {
                        *slot = None;
                    }
                    self.judge.forget(sid);
                }
            }
        }
    }

    fn look(
        &mut self,
        cx: &mut Cx<'_>,
        version: &Version,
        shared: &Shared,
        sid: u8,
        server: &Server,
    ) {
        let servers = &shared.servers;
        if version.inline && server.mac.is_none() {
            let known = servers.mac(sid);
            servers.bar(sid, Bar::Unresolved, known.is_none());
            // One that is down may be elsewhere: everybody is asked, not the address that it had.
            let believed = known.filter(|_| !servers.is_barred(sid, Bar::Down));
            if let Some(asked) = self.asked.get_mut(usize::from(sid)) {
                let pause = believed.map_or(ASK_NS, |_| CONFIRM_NS);
                if *asked == 0 || cx.now().saturating_sub(*asked) >= pause {
                    *asked = cx.now().max(1);
                    ask(cx, version, server, believed.map(MacAddr));
                }
            }
        }
        if let Some(plain) = &shared.plain {
            let patience = Patience {
                silence: version.pace.silence_ns,
                answers: version.pace.restore,
            };
            return self.listen(cx, plain, patience, servers, sid);
        }
        let Some(slot) = self.health.get_mut(usize::from(sid)) else {
            return;
        };
        let health = slot.get_or_insert_with(Health::new);
        let totals = ServerTotals::sum(shared.cores.iter(), sid);
        let seen = Now {
            now: cx.now(),
            forwarded: totals.originals,
            answered: totals.responses,
            ponged: servers.ponged(sid),
        };
        let mut pace = version.pace;
        if version.own_address(server.address).is_none() {
            // There is no address to ask from.
            pace.interval_ns = 0;
        }
        let outcome = health.step(&pace, &seen);
        match outcome.change {
            Some(Some(_)) => {
                servers.bar(sid, Bar::Down, true);
                cx.count(Count::ServerDown as usize, 1);
            }
            Some(None) => {
                servers.reset(sid);
                servers.bar(sid, Bar::Down, false);
                cx.count(Count::ServerUp as usize, 1);
            }
            None => {}
        }
        if let Some(number) = outcome.ping {
            ping(cx, version, shared, sid, server, number);
        }
    }
}

impl Probes {
    /// Whether a server of `wire: none`, which answers no pings, answers requests.
    fn listen(
        &mut self,
        cx: &mut Cx<'_>,
        plain: &Plain,
        patience: Patience,
        servers: &Servers,
        sid: u8,
    ) {
        if self.judge.down().has(sid) && !servers.is_barred(sid, Bar::Down) {
            // Another one has its number now.
            self.judge.forget(sid);
        }
        if let Some(down) = self.judge.look(cx.now(), patience, plain.silence(), sid) {
            servers.bar(sid, Bar::Down, down);
            let count = match down {
                true => Count::ServerDown,
                false => Count::ServerUp,
            };
            cx.count(count as usize, 1);
        }
    }
}

/// The port on the side of `side`, or the first for both sides.
fn port_of(version: &Version, side: Side) -> Option<u16> {
    let interfaces = &version.interfaces;
    let at = interfaces
        .iter()
        .position(|interface| interface.side == side)
        .or_else(|| interfaces.iter().position(|port| port.side == Side::Any));
    at.map(|at| at as u16)
}

/// The port that leads to a server.
fn port_to(version: &Version, server: &Server) -> Option<u16> {
    match server.egress {
        NO_PORT => port_of(version, Side::Server),
        port => Some(port),
    }
}

fn mac_of(version: &Version, port: u16) -> Option<MacAddr> {
    version
        .interfaces
        .get(usize::from(port))
        .map(|port| port.mac)
}

/// Sends ping number `number`.
fn ping(
    cx: &mut Cx<'_>,
    version: &Version,
    shared: &Shared,
    sid: u8,
    server: &Server,
    number: u64,
) {
    // In mode `gateway` the ping comes in as if from the clients' side, to the router itself, which finds
    // its way; in mode `inline` it goes straight out.
    let link = match version.inline {
        false => port_of(version, Side::Client).and_then(|port| {
            let mac = mac_of(version, port)?;
            Some((port, NO_PORT, mac, mac))
        }),
        true => port_to(version, server).and_then(|port| {
            let from = mac_of(version, port)?;
            let known = shared.servers.mac(sid).map(MacAddr);
            Some((port, port, from, server.mac.or(known)?))
        }),
    };
    let (Some((ingress, egress, from, to)), Some(own)) =
        (link, version.own_address(server.address))
    else {
        return;
    };
    let header = Header {
        swid: version.switch_id,
        sid: sid.into(),
        client_id: version.instance,
        // Whole, because a service runs for longer than 2^32 pings take.
        req_id: number,
        client_seq: number as u32,
        ..Header::new(Kind::Ping)
    };
    let mut frame = [0; 14 + 40 + 8 + HEADER_LEN];
    let port = version.ports.first();
    let Some(length) = write(&mut frame, (to, from), (own, server.address), port, &header) else {
        return;
    };
    let frame = frame.get(..length).unwrap_or_default();
    if let Some(mut packet) = packet_of(cx, frame) {
        cx.count(Count::Pings as usize, 1);
        packet.meta_mut().port = ingress;
        packet.meta_mut().egress = egress;
        if version.inline && server.vlan != 0 {
            edit::set_vlan(&mut packet, server.vlan);
        }
        cx.emit(Direction::ToServer, packet);
    }
}

/// Writes a message as a whole frame; gives its length.
fn write(
    out: &mut [u8],
    (to, from): (MacAddr, MacAddr),
    (source, destination): (IpAddr, IpAddr),
    port: u16,
    header: &Header,
) -> Option<usize> {
    let udp_len = (udp::HEADER_LEN + HEADER_LEN) as u16;
    let (kind, network_len) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ipv4::Repr {
                source,
                destination,
                protocol: ipv4::protocol::UDP,
                payload_len: udp_len,
                ttl: 64,
                traffic_class: 0,
                identification: 0,
                dont_fragment: true,
            };
            (
                ethertype::IPV4,
                header.emit(out.get_mut(ethernet::HEADER_LEN..)?)?,
            )
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = ipv6::Repr {
                source,
                destination,
                next_header: ipv4::protocol::UDP,
                payload_len: udp_len,
                hop_limit: 64,
                traffic_class: 0,
                flow_label: 0,
            };
            (
                ethertype::IPV6,
                header.emit(out.get_mut(ethernet::HEADER_LEN..)?)?,
            )
        }
        _ => return None,
    };
    ethernet::write(out, to, from, kind)?;
    let at = ethernet::HEADER_LEN + network_len;
    udp::write(out.get_mut(at..)?, port, port, HEADER_LEN as u16)?;
    let at = at + udp::HEADER_LEN;
    out.get_mut(at..at + HEADER_LEN)?
        .copy_from_slice(&header.encode());
    let frame = out.get_mut(..at + HEADER_LEN)?;
    let layers = Layers::parse_lax(frame, frame.len());
    fill_transport_checksum(frame, &layers).then_some(at + HEADER_LEN)
}

/// A packet of the stage's own with these bytes.
pub(super) fn packet_of(cx: &mut Cx<'_>, frame: &[u8]) -> Option<Packet> {
    let mut packet = cx.alloc()?;
    match packet.append(frame.len()) {
        Some(room) => room.copy_from_slice(frame),
        None => {
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
    }
    Some(packet)
}

/// Asks on the link where a server is.
fn ask(cx: &mut Cx<'_>, version: &Version, server: &Server, at: Option<MacAddr>) {
    let port = port_to(version, server);
    let (Some(port), Some(own)) = (port, version.own_address(server.address)) else {
        return;
    };
    let Some(mac) = mac_of(version, port) else {
        return;
    };
    let mut frame = [0; 96];
    let length = match (own, server.address) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            let to = at.unwrap_or(MacAddr::BROADCAST);
            arp::write_request(&mut frame, to, mac, own, target)
        }
        (IpAddr::V6(own), IpAddr::V6(target)) => {
            neighbor::write_solicit(&mut frame, at, mac, own, target)
        }
        _ => None,
    };
    send(cx, port, length, &frame);
}

/// Says on every link where the service's addresses are. False as long as there is no port.
fn announce(cx: &mut Cx<'_>, version: &Version) -> bool {
    for (port, interface) in version.interfaces.iter().enumerate() {
        let mut frame = [0; 96];
        if let Some(vip) = version.vip4 {
            let length = arp::write_announcement(&mut frame, interface.mac, vip);
            send(cx, port as u16, length, &frame);
        }
        if let Some(vip) = version.vip6 {
            let length = neighbor::write_announcement(&mut frame, interface.mac, vip, false);
            send(cx, port as u16, length, &frame);
        }
    }
    !version.interfaces.is_empty()
}

fn send(cx: &mut Cx<'_>, port: u16, length: Option<usize>, frame: &[u8]) {
    let frame = length.and_then(|length| frame.get(..length.max(MIN_FRAME)));
    if let Some(mut packet) = frame.and_then(|frame| packet_of(cx, frame)) {
        packet.meta_mut().egress = port;
        cx.emit(Direction::ToServer, packet);
    }
}
