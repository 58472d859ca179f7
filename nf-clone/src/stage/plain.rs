//! `wire: none`: packets of services that know nothing of cloning.
//!
//! A burst is gone through twice: first every packet is read, which sends for the memory of its entry in
//! the table of requests, then every packet is decided.

use std::net::IpAddr;

use nf_core::chain::{Cx, Note};
use nf_core::packet::{Batch, Direction, Packet};
use nf_core::wire::checksum::Delta;
use nf_core::wire::{Fragment, Layers, Transport};

use super::config::CloneConfig;
use super::counts::{Count, Reason};
use super::directory::{Directory, Listed};
use super::edit;
use super::request::{is_at_its_end, may_send};
use super::shard::{Turn, is_sound};
use super::version::{Shared, Version};
use crate::plain::{Answer, Asking, Client, Counter, Decision, Plain, Reply, Request, Ticket};
use crate::servers::Bar;
use crate::wire::MAX_LOAD;

/// How often a core sweeps, nanoseconds.
const SWEEP_NS: u64 = 1_000_000;

/// What a packet is, read but not decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    layers: Layers,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// None of the services'.
    Other,
    /// Not as it should be.
    Bad(Count, Reason),
    /// From a client, for this service.
    Request(u8, Request),
    /// From a server (service and SID); nothing if it is no reply of the protocol.
    Reply(u8, u8, Option<Reply>),
}

impl Turn<'_> {
    /// A burst of a chain with `wire: none`.
    pub(super) fn plain(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let version = self.version;
        let (Some(plain), Some(directory)) = (&self.shared.plain, &version.directory) else {
            return;
        };
        self.work.looks.clear();
        for packet in batch.iter_mut() {
            let look = self.look(plain, directory, packet);
            self.work.looks.push(look);
        }
        let mut at = 0;
        batch.sift(|packet| {
            let look = self.work.looks.get(at).copied();
            at += 1;
            let Some(look) = look else {
                return Some(packet);
            };
            let layers = &look.layers;
            match look.what {
                What::Other => self.other(cx, packet, layers),
                What::Bad(count, reason) => self.refuse(cx, packet, count, reason),
                What::Request(service, request) => match directory.get(service) {
                    Some(listed) => self.plain_request(cx, packet, layers, plain, listed, &request),
                    None => Some(packet),
                },
                What::Reply(service, sid, reply) => match directory.get(service) {
                    Some(listed) => {
                        self.plain_reply(cx, packet, layers, (plain, listed, sid), reply.as_ref())
                    }
                    None => Some(packet),
                },
            }
        });
    }

    #[inline(always)]
    fn look(&self, plain: &Plain, directory: &Directory, packet: &mut Packet) -> Look {
        let layers = Layers::parse_lax(packet.data(), packet.len());
        let what = self.judge(plain, directory, packet, &layers);
        Look { layers, what }
    }

    #[inline(always)]
    fn judge(
        &self,
        plain: &Plain,
        directory: &Directory,
        packet: &mut Packet,
        layers: &Layers,
    ) -> What {
        if layers.transport() != Transport::Udp || layers.fragment() != Fragment::None {
            return What::Other;
        }
        let frame = packet.data();
        let (Some((from, to)), Some(source), Some(destination)) = (
            layers.ports(frame),
            edit::source(frame, layers),
            edit::destination(frame, layers),
        ) else {
            return What::Other;
        };
        let asked = match self.version.is_vip(destination) {
            true => directory.by_port(to),
            false => None,
        };
        let answered = match asked {
            None => directory.by_server(source, from),
            Some(_) => None,
        };
        if asked.is_none() && answered.is_none() {
            return What::Other;
        }
        if self.version.verify && !is_sound(packet, layers) {
            return What::Bad(Count::CsumBad, Reason::BadChecksum);
        }
        // Messages that lie in several pieces are rare; headers always lie in the first.
        if !packet.is_contiguous() && !packet.linearize() {
            return What::Bad(Count::Truncated, Reason::BadMessage);
        }
        let frame = packet.data();
        let payload = layers.payload(frame);
        if let Some(number) = asked {
            if !may_send(frame, layers, self) || from == 0 {
                return What::Bad(Count::BadSource, Reason::BadSource);
            }
            let client = Client::new(source, from);
            return match directory.get(number) {
                Some(listed) => What::Request(
                    number,
                    plain.read_request(&listed.service, &client, payload),
                ),
                None => What::Other,
            };
        }
        let Some((number, sid)) = answered else {
            return What::Other;
        };
        if packet.meta().direction != Direction::ToClient {
            // Only servers answer: this one pretends to be one.
            return What::Bad(Count::BadDirection, Reason::BadMessage);
        }
        let client = Client::new(destination, to);
        match directory.get(number) {
            Some(listed) => {
                let reply = plain.read_reply(&listed.service, &client, payload);
                What::Reply(number, sid, reply)
            }
            None => What::Other,
        }
    }

    /// A client's datagram to the service.
    #[inline(always)]
    fn plain_request(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        plain: &Plain,
        listed: &Listed,
        request: &Request,
    ) -> Option<Packet> {
        cx.count(Count::ReqTotal as usize, 1);
        if !self.version.inline && is_at_its_end(packet.data(), layers) {
            cx.count(Count::ReqRejected as usize, 1);
            cx.count(Count::TtlExpired as usize, 1);
            cx.drop(packet, Reason::TtlExpired as usize);
            return None;
        }
        if !cx.ensure_writable(&mut packet) {
            cx.count(Count::ReqRejected as usize, 1);
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
        let standing = listed.service.standing(&self.live, &self.silent);
        let asking = Asking {
            service: &listed.service,
            standing: &standing,
            candidates: standing.candidates(cx.random()),
            may_clone: true,
        };
        let decision = plain.on_request(self.now, request, &asking);
        if !matches!(decision, Decision::Clone { .. }) {
            count(cx, decision.counter());
        }
        match decision {
            Decision::Clone {
                first,
                second,
                ticket,
            } => self.plain_pair(
                cx,
                packet,
                layers,
                (plain, listed),
                [first, second],
                &ticket,
            ),
            Decision::Single(sid, why) => {
                cx.count(Count::ReqSingle as usize, 1);
                cx.note(&packet, || {
                    Note::new("not cloned")
                        .with("to", sid)
                        .with("why", why.word())
                });
                self.plain_send(packet, layers, listed, sid)
                    .and_then(|packet| self.send_on(cx, packet))
            }
            Decision::Pass => {
                cx.count(Count::ReqSingle as usize, 1);
                Some(packet)
            }
            Decision::Refuse => {
                cx.count(Count::ReqRejected as usize, 1);
                cx.drop(packet, Reason::WriteRefused as usize);
                None
            }
            Decision::NoServer => {
                cx.count(Count::ReqRejected as usize, 1);
                cx.count(Count::NoServer as usize, 1);
                cx.drop(packet, Reason::NoServer as usize);
                None
            }
        }
    }

    /// A request for two servers.
    #[inline(always)]
    fn plain_pair(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        (plain, listed): (&Plain, &Listed),
        [first, second]: [u8; 2],
        ticket: &Ticket,
    ) -> Option<Packet> {
        let version = self.version;
        let allowed = version.budget == 0 || self.work.budget.take(self.now, version.budget);
        let clone = match allowed {
            true => edit::duplicate(cx, &mut packet, layers.payload_at(), version.copy_max),
            false => None,
        };
        let Some(clone) = clone else {
            plain.retract(ticket);
            cx.count(Count::ReqSingle as usize, 1);
            match allowed {
                true => cx.count(Count::ReqUncloneNomem as usize, 1),
                false => cx.count(Count::ReqUncloneBudget as usize, 1),
            }
            return self
                .plain_send(packet, layers, listed, first)
                .and_then(|packet| self.send_on(cx, packet));
        };
        cx.count(Count::ReqCloned as usize, 1);
        count(cx, Counter::Cloned);
        cx.note(&packet, || {
            Note::new("cloned").with("to", first).with("and", second)
        });
        let packet = self.plain_send(packet, layers, listed, first);
        self.mine.of(second).clones.add(1);
        let clone = self.plain_address(clone, layers, listed, second);
        // The original first: where there is no room for both, the clone is what is dropped.
        let packet = packet.and_then(|packet| self.send_on(cx, packet));
        cx.emit(Direction::ToServer, clone);
        packet
    }

    #[inline(always)]
    fn plain_send(
        &mut self,
        packet: Packet,
        layers: &Layers,
        listed: &Listed,
        sid: u8,
    ) -> Option<Packet> {
        self.mine.of(sid).originals.add(1);
        Some(self.plain_address(packet, layers, listed, sid))
    }

    /// Makes a packet, which may be written, the server's.
    #[inline(always)]
    fn plain_address(
        &mut self,
        mut packet: Packet,
        layers: &Layers,
        listed: &Listed,
        sid: u8,
    ) -> Packet {
        let mut changed = Delta::new();
        if listed.port != listed.server_port
            && let Some(mut header) = layers.udp_mut(packet.data_mut())
        {
            header.set_destination_port(listed.server_port);
            changed = changed.word(listed.port, listed.server_port);
        }
        self.address(&mut packet, layers, sid, changed);
        packet
    }

    /// Whether a server is down, while another one of the service is not.
    #[cold]
    fn is_only_tried(&self, listed: &Listed, sid: u8) -> bool {
        self.shared.servers.is_barred(sid, Bar::Down)
            && !listed.service.members.and(&self.live).is_empty()
    }

    /// A server's datagram to a client.
    #[inline(always)]
    fn plain_reply(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        (plain, listed, sid): (&Plain, &Listed, u8),
        reply: Option<&Reply>,
    ) -> Option<Packet> {
        cx.count(Count::RespTotal as usize, 1);
        let answer = match reply {
            Some(reply) => {
                let mut answer = plain.on_reply(self.now, reply, sid);
                if answer == Answer::Unknown && self.is_only_tried(listed, sid) {
                    answer = answer.of_server_that_is_down();
                }
                count(cx, answer.counter());
                answer
            }
            None => {
                plain.silence().heard(sid);
                count(cx, Counter::Unreadable);
                Answer::Unknown
            }
        };
        let load = plain.loads().outstanding(sid);
        self.heard_of(cx, &packet, sid, load.min(MAX_LOAD.into()) as u16);
        if !answer.forwards() && self.version.filtering {
            cx.count(Count::RespFiltered as usize, 1);
            cx.note(&packet, || Note::new("filtered").with("of", sid));
            cx.drop(packet, Reason::Filtered as usize);
            return None;
        }
        if listed.port != listed.server_port {
            if !cx.ensure_writable(&mut packet) {
                cx.drop(packet, Reason::NoBuffer as usize);
                return None;
            }
            let frame = packet.data_mut();
            if let Some(mut header) = layers.udp_mut(frame) {
                header.set_source_port(listed.port);
            }
            let changed = Delta::new().word(listed.server_port, listed.port);
            edit::mend_udp(frame, layers, changed);
        }
        self.towards_client(cx, packet, layers)
    }
}

/// A core's part in looking after the table: all cores together see all of it once every answer timeout.
#[derive(Debug)]
pub(crate) struct Sweep {
    cursor: usize,
    slots: u64,
    /// In which this core would see the whole table, nanoseconds.
    round_ns: u64,
    last: u64,
}

impl Sweep {
    pub fn new(core: usize, cores: usize, config: &CloneConfig) -> Sweep {
        let slots = 1_u64 << config.requests_log2.min(28);
        let cores = cores.max(1) as u64;
        Sweep {
            cursor: (slots / cores * core as u64) as usize,
            slots,
            round_ns: (u64::from(config.answer_timeout_us) * 1000 * cores).max(1),
            last: 0,
        }
    }

    /// Sweeps on, and sets the timer.
    pub fn step(&mut self, cx: &mut Cx<'_>, shared: &Shared, token: u64) {
        let _ = cx.timer(SWEEP_NS, token);
        let now = cx.now();
        let elapsed = now.saturating_sub(std::mem::replace(&mut self.last, now));
        // After a pause, no more than a sixteenth at once.
        let count = (self.slots.saturating_mul(elapsed) / self.round_ns).min(self.slots / 16) + 1;
        if let Some(plain) = &shared.plain {
            let swept = plain.sweep(now, &mut self.cursor, count as usize);
            let index = super::counts::plain(Counter::GivenUp);
            cx.count(index, swept.given_up.into());
        }
    }
}

/// Which way a datagram of a service goes.
pub(super) fn direction_of(
    version: &Version,
    directory: &Directory,
    packet: &Packet,
    layers: &Layers,
) -> Option<Direction> {
    let frame = packet.data();
    let (from, to) = layers.ports(frame)?;
    let destination = edit::destination(frame, layers)?;
    if version.is_vip(destination) && directory.by_port(to).is_some() {
        return Some(Direction::ToServer);
    }
    let source: IpAddr = edit::source(frame, layers)?;
    directory
        .by_server(source, from)
        .map(|_| Direction::ToClient)
}

#[inline(always)]
fn count(cx: &mut Cx<'_>, counter: Counter) {
    cx.count(super::counts::plain(counter), 1);
}
