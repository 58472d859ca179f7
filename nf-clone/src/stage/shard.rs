//! The shard of one core: what kind of packet it is, and who handles it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nf_core::chain::{Cx, Note, Stage};
use nf_core::clock::Bucket;
use nf_core::packet::{Batch, Direction, Packet};
use nf_core::publish::Reader;
use nf_core::wire::{
    Fragment, Layers, Transport, Verdict, check_transport_checksum_of, ipv4_checksum_ok,
};

use super::config::WireFormat;
use super::counts::{Count, Reason};
use super::edit;
use super::fast::{Tally, Way};
use super::format::{Compat28, Format, Message, V1};
use super::plain::{Look, Sweep, direction_of};
use super::probes::Probes;
use super::version::{Shared, Version};
use crate::groups::ServerSet;
use crate::id::{CompatIds, IdSource, NextId};
use crate::messages::Messages;
use crate::servers::{CoreServers, Servers};
use crate::wire::{Kind, WireError};

/// Tokens of the stage's timers.
const PROBE: u64 = 0;
const SWEEP: u64 = 1;

/// What a shard owns besides the version.
#[derive(Debug)]
pub(crate) struct Work {
    pub core: usize,
    pub cores: u64,
    /// What servers said of their queues: shared, or this core's own.
    pub loads: Arc<Servers>,
    pub ids: IdSource,
    pub compat_ids: CompatIds,
    /// The epoch that `ids` counts in.
    pub epoch: u16,
    pub messages: Messages,
    pub budget: Bucket,
    pub replies: Bucket,
    /// For `wire: none`: the burst's packets, and where the table is swept next.
    pub looks: Vec<Look>,
    pub sweep: Sweep,
}

/// The shard of one core.
#[derive(Debug)]
pub(crate) struct CloneShard {
    version: Reader<Version>,
    shared: Arc<Shared>,
    work: Work,
    /// The core that looks after the servers is the first.
    probes: Option<Probes>,
}

/// A burst's view of the world.
pub(crate) struct Turn<'a> {
    pub version: &'a Version,
    pub work: &'a mut Work,
    pub shared: &'a Shared,
    /// What this core counts of servers.
    pub mine: &'a CoreServers,
    pub live: ServerSet,
    /// For `wire: none`: those that could be chosen if they answered.
    pub silent: ServerSet,
    pub now: u64,
    pub now_us: u64,
}

impl CloneShard {
    pub fn new(version: Reader<Version>, shared: Arc<Shared>, work: Work) -> CloneShard {
        let probes = (work.core == 0).then(Probes::new);
        CloneShard {
            version,
            shared,
            work,
            probes,
        }
    }
}

impl Stage for CloneShard {
    fn start(&mut self, cx: &mut Cx<'_>) {
        if let Some(probes) = &mut self.probes {
            probes.start(cx, self.version.get(), &self.shared, PROBE);
        }
        if self.shared.plain.is_some() {
            self.work.sweep.step(cx, &self.shared, SWEEP);
        }
    }

    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let lost = cx.take_undelivered();
        if lost != 0 {
            cx.count(Count::CloneTxDrop as usize, lost);
        }
        let (version, shared) = (self.version.get(), &*self.shared);
        let Some(mine) = shared.cores.get(self.work.core) else {
            return;
        };
        let mut turn = Turn {
            live: shared.servers.live(),
            silent: match version.wire {
                WireFormat::None => shared.servers.silent(),
                WireFormat::V1 | WireFormat::Compat28 => ServerSet::EMPTY,
            },
            now: cx.now(),
            now_us: cx.now() / 1000,
            version,
            shared,
            mine,
            work: &mut self.work,
        };
        match version.wire {
            // What a trace tells of a packet, the common case does not say.
            WireFormat::V1 if !cx.is_tracing() => turn.burst(cx, batch),
            WireFormat::V1 => batch.sift(|packet| turn.packet::<V1>(cx, packet)),
            WireFormat::Compat28 => batch.sift(|packet| turn.packet::<Compat28>(cx, packet)),
            WireFormat::None => turn.plain(cx, batch),
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        if token == SWEEP {
            return self.work.sweep.step(cx, &self.shared, SWEEP);
        }
        if let Some(probes) = &mut self.probes {
            probes.step(cx, self.version.get(), &self.shared, PROBE);
        }
    }

    fn refresh(&mut self) {
        if !self.version.refresh() {
            return;
        }
        let version = self.version.get();
        if version.epoch != self.work.epoch {
            self.work.epoch = version.epoch;
            self.work.ids.begin();
        }
        self.work.messages.set_ttl(version.msg_ttl_ns);
    }

    fn classify(&self, packet: &Packet) -> Option<Direction> {
        let version = self.version.get();
        let layers = Layers::parse_lax(packet.data(), packet.len());
        if let Some(directory) = &version.directory {
            return direction_of(version, directory, packet, &layers);
        }
        let (source, destination) = layers.ports(packet.data())?;
        let (from, to) = (version.ports.has(source), version.ports.has(destination));
        if from && to && layers.transport() == Transport::Udp {
            let kind = layers.payload(packet.data()).get(3).copied();
            return match Kind::of(kind?)?.is_to_server() {
                true => Some(Direction::ToServer),
                false => Some(Direction::ToClient),
            };
        }
        match (from, to) {
            (_, true) => Some(Direction::ToServer),
            (true, _) => Some(Direction::ToClient),
            _ => None,
        }
    }
}

impl Turn<'_> {
    /// A burst of which most packets are ordinary.
    #[inline(always)]
    fn burst(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        const { assert!(Batch::CAPACITY <= 64, "one bit for each packet") };
        let mut tally = Tally::default();
        let (mut slow, mut filtered) = (0u64, 0u64);
        for (at, packet) in batch.iter_mut().enumerate() {
            match self.fast(cx, packet, &mut tally) {
                Way::On => {}
                Way::Filtered => filtered |= 1 << at,
                Way::Slow => slow |= 1 << at,
            }
        }
        tally.count(cx);
        if slow | filtered == 0 {
            return;
        }
        batch.sift(|packet| {
            let (is_slow, is_filtered) = (slow & 1 != 0, filtered & 1 != 0);
            (slow, filtered) = (slow >> 1, filtered >> 1);
            if is_filtered {
                cx.drop(packet, Reason::Filtered as usize);
                return None;
            }
            match is_slow {
                true => self.packet::<V1>(cx, packet),
                false => Some(packet),
            }
        });
    }

    /// One packet: what is left of it goes on.
    #[inline(always)]
    fn packet<F: Format>(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let is_udp = layers.transport() == Transport::Udp && layers.fragment() == Fragment::None;
        let Some((from, to)) = layers.ports(packet.data()).filter(|_| is_udp) else {
            return self.other(cx, packet, &layers);
        };
        let (from, to) = (self.version.ports.has(from), self.version.ports.has(to));
        if !(from || to) {
            cx.count(Count::Passthrough as usize, 1);
            return Some(packet);
        }
        self.message::<F>(cx, packet, &layers, from, to)
    }

    /// A datagram from or to a port of the service.
    #[inline(always)]
    fn message<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        from: bool,
        to: bool,
    ) -> Option<Packet> {
        if to && !from && !self.is_for_us(&packet, layers) {
            return self.elsewhere::<F>(cx, packet, layers);
        }
        let message = match F::read(layers.payload(packet.data())) {
            Ok(message) => message,
            Err(WireError::Truncated) if gather::<F>(&mut packet, layers) => {
                return self.message::<F>(cx, packet, layers, from, to);
            }
            Err(error) => return self.refuse(cx, packet, of_error(error), Reason::BadMessage),
        };
        let kind = message.kind;
        if kind.is_to_server() != to && !(from && to) {
            return self.refuse(cx, packet, Count::BadDirection, Reason::BadMessage);
        }
        if self.version.verify && !is_sound(&packet, layers) {
            return self.refuse(cx, packet, Count::CsumBad, Reason::BadChecksum);
        }
        if F::HAS_SWID && self.is_foreign(&message) {
            let count = match kind.is_to_server() {
                true => Count::ReqForeign,
                false => Count::RespForeign,
            };
            cx.count(count as usize, 1);
            return Some(packet);
        }
        match kind {
            Kind::Request => self.request::<F>(cx, packet, layers, &message),
            Kind::Response => self.response::<F>(cx, packet, layers, &message),
            Kind::WriteRequest => self.write_request::<F>(cx, packet, layers, &message),
            Kind::WriteResponse => self.write_response::<F>(cx, packet, layers, &message),
            Kind::Pong => self.pong(cx, packet, layers, &message),
            Kind::Ping | Kind::Config | Kind::Nack => {
                self.refuse(cx, packet, Count::BadDirection, Reason::BadMessage)
            }
        }
    }

    /// A request to another address than the service's: only writes are of interest, which go where
    /// their replication wants.
    #[cold]
    fn elsewhere<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
    ) -> Option<Packet> {
        let mut read = F::read(layers.payload(packet.data()));
        if matches!(read, Err(WireError::Truncated)) && gather::<F>(&mut packet, layers) {
            read = F::read(layers.payload(packet.data()));
        }
        match read {
            Ok(message) if F::HAS_SWID && self.is_foreign(&message) => {
                cx.count(Count::ReqForeign as usize, 1);
                Some(packet)
            }
            // Stamped by us, and addressed to a server: it has been here before.
            Ok(message)
                if F::HAS_SWID
                    && message.kind == Kind::Request
                    && message.swid == self.version.switch_id =>
            {
                self.looped(cx, packet)
            }
            Ok(message) if message.kind == Kind::WriteRequest => {
                self.write_request::<F>(cx, packet, layers, &message)
            }
            _ => {
                cx.count(Count::Passthrough as usize, 1);
                Some(packet)
            }
        }
    }

    /// Whether another appliance owns a message.
    #[inline(always)]
    fn is_foreign(&self, message: &Message) -> bool {
        message.swid != 0 && message.swid != self.version.switch_id
    }

    /// Whether a request's destination is the service.
    #[inline(always)]
    fn is_for_us(&self, packet: &Packet, layers: &Layers) -> bool {
        self.version.any_vip
            || edit::destination(packet.data(), layers)
                .is_some_and(|address| self.version.is_vip(address))
    }

    /// What is no UDP datagram: fragments, TCP of the service, neighbours' questions, and the rest.
    #[cold]
    pub(super) fn other(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
    ) -> Option<Packet> {
        let frame = packet.data();
        let ports = layers.ports(frame).unwrap_or_default();
        let (from, to) = (
            self.version.ports.has(ports.0),
            self.version.ports.has(ports.1),
        );
        if layers.fragment() != Fragment::None {
            let to_vip = edit::destination(frame, layers)
                .is_some_and(|address| self.version.is_vip(address));
            // Later fragments have no ports: those to the service are told by their address.
            if from || to || to_vip {
                cx.count(Count::Fragment as usize, 1);
                if self.version.drops_fragments {
                    cx.drop(packet, Reason::Fragment as usize);
                    return None;
                }
                return Some(packet);
            }
        } else if layers.transport() == Transport::Tcp && (from || to) {
            return self.tcp(cx, packet, layers, to);
        } else if self.version.inline {
            return self.neighbour(cx, packet, layers);
        }
        cx.count(Count::Passthrough as usize, 1);
        Some(packet)
    }

    /// A message that is not as it should be: counted, and dropped or passed as the settings say.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        count: Count,
        reason: Reason,
    ) -> Option<Packet> {
        cx.count(count as usize, 1);
        if !self.version.drops_bad_input {
            return Some(packet);
        }
        cx.note(&packet, || {
            let desc = super::counts::COUNTERS.get(count as usize);
            Note::new("refused").with("why", desc.map_or("", |desc| desc.name))
        });
        cx.drop(packet, reason as usize);
        None
    }

    /// The next id of a request, and whether it may be cloned under it.
    #[inline(always)]
    pub(super) fn next_id<F: Format>(&mut self, cx: &mut Cx<'_>) -> (u64, bool) {
        if !F::HAS_EPOCH {
            return (self.work.compat_ids.give().into(), true);
        }
        match self.work.ids.give(self.work.epoch) {
            NextId::Id(id) => (id, true),
            NextId::Exhausted => {
                self.shared.wants_epoch.store(true, Ordering::Relaxed);
                cx.count(Count::ReqUncloneExhausted as usize, 1);
                (u64::from(self.work.epoch) << 48, false)
            }
        }
    }

    /// A server has said how long its queue is.
    #[inline(always)]
    pub(super) fn hear(&mut self, cx: &mut Cx<'_>, sid: u8, load: u16) {
        self.work.loads.hear(sid, load, self.now);
        cx.count(Count::StateUpdates as usize, 1);
    }

    /// The server that sent a message, if it is the one that it says.
    #[inline(always)]
    pub(super) fn sender(
        &self,
        packet: &Packet,
        layers: &Layers,
        message: &Message,
    ) -> Result<u8, Count> {
        let sid = u8::try_from(message.sid).map_err(|_| Count::BadSid)?;
        let server = self.version.server(sid).ok_or(Count::BadSid)?;
        match edit::source(packet.data(), layers) == Some(server.address) {
            true => Ok(sid),
            false => Err(Count::SidIpMismatch),
        }
    }
}

/// Moves a header that lies across segments into the first. False when there is nothing to gain.
#[cold]
fn gather<F: Format>(packet: &mut Packet, layers: &Layers) -> bool {
    let has = packet.data().len().saturating_sub(layers.payload_at());
    layers.payload_len() >= F::LEN && has < F::LEN && packet.linearize()
}

/// The counter of what is wrong with a header.
#[cold]
fn of_error(error: WireError) -> Count {
    match error {
        WireError::Truncated => Count::Truncated,
        WireError::BadMagic => Count::BadMagic,
        WireError::BadVersion(_) => Count::BadVersion,
        WireError::BadHeaderLength(_) => Count::BadHlen,
        WireError::BadType(_) => Count::BadType,
        WireError::BadClo(_) => Count::BadClo,
        WireError::BadPacketNumber(..) => Count::BadPacketNumber,
    }
}

/// Whether the checksums of a datagram are right, by the word of the port that received it or by a look;
/// over IPv4, UDP may have none.
#[inline(always)]
pub(super) fn is_sound(packet: &Packet, layers: &Layers) -> bool {
    if packet.checksums_are_good(layers.is_ipv4()) {
        return true;
    }
    let mut segments = packet.segments();
    let head = segments.next().unwrap_or_default();
    if layers.is_ipv4() && !ipv4_checksum_ok(head, layers) {
        return false;
    }
    let verdict = check_transport_checksum_of(layers, head, segments);
    verdict == Verdict::Good || verdict == Verdict::Absent
}
