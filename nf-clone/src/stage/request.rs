//! Requests: where each goes, and its clone.

use std::net::IpAddr;

use nf_core::chain::{Cx, Note};
use nf_core::packet::Packet;
use nf_core::wire::Layers;
use nf_core::wire::checksum::Delta;

use super::counts::{Count, Reason};
use super::edit;
use super::format::{Format, Message, Stamp};
use super::replies;
use super::shard::Turn;
use crate::decide::{Choice, Loads, choose};
use crate::groups;
use crate::messages::{Found, Route};
use crate::wire::Flags;
use crate::wire::v1::nack;

/// What becomes of one request.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    first: u8,
    clone: Option<u8>,
    id: u64,
}

impl Turn<'_> {
    /// A request (REQ) to the service.
    #[inline(always)]
    pub(super) fn request<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        cx.count(Count::ReqTotal as usize, 1);
        let version = self.version;
        if F::HAS_SWID && message.swid == version.switch_id {
            cx.count(Count::ReqRejected as usize, 1);
            return self.looped(cx, packet);
        }
        let group = message.group as usize;
        let pair = version.groups.get(group).copied();
        let is_ours = F::HAS_EPOCH && message.flags.has(Flags::CID);
        let wrong = match pair {
            _ if message.clo != 0 => Some(Count::BadClo),
            None => Some(Count::BadGrp),
            _ if message.idx >= version.filters.given.tables() => Some(Count::BadIdx),
            _ if is_ours && !is_clients_own(message) => Some(Count::BadReqId),
            _ if !may_send(packet.data(), layers, self) => Some(Count::BadSource),
            _ => None,
        };
        if F::HAS_SWID && message.cfg_gen != 0 && message.cfg_gen != version.cfg_gen {
            replies::send(self, cx, &packet, layers, message, None);
        }
        let (Some(pair), None) = (pair, wrong) else {
            return self.reject::<F>(cx, packet, layers, message, wrong);
        };
        if !version.inline && is_at_its_end(packet.data(), layers) {
            cx.count(Count::ReqRejected as usize, 1);
            cx.count(Count::TtlExpired as usize, 1);
            cx.drop(packet, Reason::TtlExpired as usize);
            return None;
        }
        let Some((first, second)) = groups::candidates(pair, group, &self.live) else {
            return self.nobody::<F>(cx, packet, layers, message);
        };
        if message.packets > 1 {
            return self.long_request::<F>(cx, packet, layers, message, (first, second));
        }
        let mut may_clone = first != second;
        if may_clone && forbids_cloning(message, is_ours) {
            may_clone = false;
            cx.count(Count::ReqNocloneFlag as usize, 1);
        }
        let choice = self.choose(cx, first, second, may_clone);
        let (id, may_clone) = match is_ours {
            true => (message.id, true),
            false => self.next_id::<F>(cx),
        };
        let verdict = match choice {
            Choice::Both if may_clone => Verdict {
                first,
                clone: Some(second),
                id,
            },
            Choice::Second => {
                cx.count(Count::ReqJsqSecond as usize, 1);
                Verdict {
                    first: second,
                    clone: None,
                    id,
                }
            }
            _ => Verdict {
                first,
                clone: None,
                id,
            },
        };
        self.send::<F>(cx, packet, layers, message, verdict)
    }

    /// Decides by what is known of the two candidates.
    #[inline(always)]
    fn choose(&mut self, cx: &mut Cx<'_>, first: u8, second: u8, may_clone: bool) -> Choice {
        let version = self.version;
        let age = version.state_max_age_ns;
        let weight = |sid| version.server(sid).map_or(1, |server| server.weight);
        let loads = Loads {
            first: self.work.loads.load(first, self.now, age),
            second: self.work.loads.load(second, self.now, age),
            first_weight: weight(first),
            second_weight: weight(second),
        };
        let probe = || version.jsq_probe != 0 && (cx.random() >> 32) as u32 <= version.jsq_probe;
        let choice = choose(&version.policy, &loads, may_clone, first != second, probe);
        if choice == Choice::Both
            && version.budget != 0
            && !self.work.budget.take(self.now, version.budget)
        {
            cx.count(Count::ReqUncloneBudget as usize, 1);
            return Choice::First;
        }
        choice
    }

    /// A packet of a request of several: the first decides, the others follow.
    #[cold]
    fn long_request<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
        (first, second): (u8, u8),
    ) -> Option<Packet> {
        let key = u64::from(message.client) << 32 | u64::from(message.seq);
        let is_ours = message.flags.has(Flags::CID);
        let mut route = Route { first, clone: None };
        if message.packet == 0 {
            // Only an id that all its packets share pairs the packets of the answers.
            let may_clone = first != second && is_ours && !forbids_cloning(message, is_ours);
            let wanted = match self.choose(cx, first, second, may_clone) {
                Choice::Both => Some(Route {
                    first,
                    clone: Some(second),
                }),
                Choice::Second => Some(Route {
                    first: second,
                    clone: None,
                }),
                Choice::First => None,
            };
            if let Some(wanted) = wanted {
                let table = &mut self.work.messages;
                if table.insert(self.now, key, message.packets, wanted) {
                    cx.count(Count::MsgInsert as usize, 1);
                    route = wanted;
                } else {
                    cx.count(Count::MsgFull as usize, 1);
                }
            }
        } else {
            match self.work.messages.find(self.now, key, message.packets) {
                Found::Route(found) => {
                    cx.count(Count::MsgHit as usize, 1);
                    route = found;
                }
                Found::OtherCount => {
                    let wrong = Some(Count::BadPacketNumber);
                    return self.reject::<F>(cx, packet, layers, message, wrong);
                }
                Found::Unknown => {}
            }
        }
        let expired = self.work.messages.take_expired();
        cx.count(Count::MsgExpired as usize, expired);
        if route.clone.is_none() && route.first != first {
            cx.count(Count::ReqJsqSecond as usize, 1);
        }
        let id = match is_ours {
            true => message.id,
            false => self.next_id::<F>(cx).0,
        };
        let verdict = Verdict {
            first: route.first,
            clone: route.clone,
            id,
        };
        self.send::<F>(cx, packet, layers, message, verdict)
    }

    /// Stamps a request and sends it to its server, or to its two.
    #[inline(always)]
    fn send<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        message: &Message,
        verdict: Verdict,
    ) -> Option<Packet> {
        if !cx.ensure_writable(&mut packet) {
            cx.count(Count::ReqRejected as usize, 1);
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
        let Some(second) = verdict.clone else {
            let stamp = Stamp {
                clo: 0,
                swid: self.version.switch_id,
                sid: message.sid,
                id: verdict.id,
            };
            let changed = stamp_in::<F>(&mut packet, layers, message, &stamp);
            return self.send_one(cx, packet, layers, verdict.first, changed);
        };
        let stamp = Stamp {
            clo: 1,
            swid: self.version.switch_id,
            sid: second.into(),
            id: verdict.id,
        };
        let changed = stamp_in::<F>(&mut packet, layers, message, &stamp);
        let headers = layers.payload_at() + F::LEN;
        let Some(mut clone) = edit::duplicate(cx, &mut packet, headers, self.version.copy_max)
        else {
            return self.unclone::<F>(cx, packet, layers, message, verdict, changed);
        };
        let changed_clone = match clone.data_mut().get_mut(layers.payload_at()..) {
            Some(header) => F::set_clo(header, 2, changed),
            None => changed,
        };
        self.address(&mut packet, layers, verdict.first, changed);
        self.address(&mut clone, layers, second, changed_clone);
        cx.count(Count::ReqCloned as usize, 1);
        self.mine.of(verdict.first).originals.add(1);
        self.mine.of(second).clones.add(1);
        cx.note(&packet, || {
            Note::new("cloned")
                .with("id", verdict.id)
                .with("to", verdict.first)
                .with("and", second)
        });
        // The original stays in the batch, and the clone follows behind it: where there is no room for both
        // in a port's queue, the clone is what is dropped.
        let packet = self.send_on(cx, packet);
        cx.emit(nf_core::packet::Direction::ToServer, clone);
        packet
    }

    #[inline(always)]
    fn send_one(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        sid: u8,
        changed: Delta,
    ) -> Option<Packet> {
        self.address(&mut packet, layers, sid, changed);
        cx.count(Count::ReqSingle as usize, 1);
        self.mine.of(sid).originals.add(1);
        cx.note(&packet, || Note::new("not cloned").with("to", sid));
        self.send_on(cx, packet)
    }

    /// There was no buffer for the clone: the original goes alone, and says so.
    #[cold]
    fn unclone<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        message: &Message,
        verdict: Verdict,
        changed: Delta,
    ) -> Option<Packet> {
        cx.count(Count::ReqUncloneNomem as usize, 1);
        edit::mend_udp(packet.data_mut(), layers, changed);
        let second = verdict.clone.map_or(message.sid, u16::from);
        let stamped = Message {
            clo: 1,
            swid: self.version.switch_id,
            sid: second,
            id: verdict.id,
            ..*message
        };
        let stamp = Stamp {
            clo: 0,
            swid: self.version.switch_id,
            sid: message.sid,
            id: verdict.id,
        };
        let changed = stamp_in::<F>(&mut packet, layers, &stamped, &stamp);
        self.send_one(cx, packet, layers, verdict.first, changed)
    }

    /// A write (WREQ): stamped, so that we own the answer, and passed on.
    #[cold]
    pub(super) fn write_request<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        mut packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        cx.count(Count::WriteReq as usize, 1);
        if F::HAS_SWID && message.swid == self.version.switch_id {
            return self.looped(cx, packet);
        }
        let to = edit::destination(packet.data(), layers);
        if to.is_some_and(|to| self.version.is_vip(to)) {
            if F::HAS_SWID {
                let why = Some(nack::WRITE_TO_VIP);
                replies::send(self, cx, &packet, layers, message, why);
            }
            return self.refuse(cx, packet, Count::WriteToVip, Reason::BadRequest);
        }
        if !F::HAS_SWID {
            return Some(packet);
        }
        if !cx.ensure_writable(&mut packet) {
            cx.drop(packet, Reason::NoBuffer as usize);
            return None;
        }
        let stamp = Stamp {
            clo: message.clo,
            swid: self.version.switch_id,
            sid: message.sid,
            id: message.id,
        };
        let changed = stamp_in::<F>(&mut packet, layers, message, &stamp);
        edit::mend_udp(packet.data_mut(), layers, changed);
        if self.version.offload {
            let len = packet.len();
            edit::leave_udp(&mut packet, layers, len);
        }
        Some(packet)
    }

    /// A request that this appliance has stamped already: it goes in a circle, or another appliance has the
    /// same number.
    #[cold]
    pub(super) fn looped(&mut self, cx: &mut Cx<'_>, packet: Packet) -> Option<Packet> {
        cx.count(Count::Loop as usize, 1);
        cx.drop(packet, Reason::Loop as usize);
        None
    }

    #[cold]
    fn nobody<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        cx.count(Count::ReqRejected as usize, 1);
        cx.count(Count::NoServer as usize, 1);
        if F::HAS_SWID {
            replies::send(self, cx, &packet, layers, message, Some(nack::NO_SERVER));
        }
        cx.drop(packet, Reason::NoServer as usize);
        None
    }

    #[cold]
    fn reject<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
        wrong: Option<Count>,
    ) -> Option<Packet> {
        cx.count(Count::ReqRejected as usize, 1);
        let wrong = wrong.unwrap_or(Count::BadGrp);
        let why = match wrong {
            Count::BadGrp => Some(nack::BAD_GROUP),
            Count::BadIdx => Some(nack::BAD_TABLE),
            _ => None,
        };
        if F::HAS_SWID && why.is_some() {
            replies::send(self, cx, &packet, layers, message, why);
        }
        let reason = match wrong {
            Count::BadSource => Reason::BadSource,
            _ => Reason::BadRequest,
        };
        self.refuse(cx, packet, wrong, reason)
    }
}

/// Writes into the header of a request; says what that changes in the checksum.
#[inline(always)]
fn stamp_in<F: Format>(
    packet: &mut Packet,
    layers: &Layers,
    message: &Message,
    stamp: &Stamp,
) -> Delta {
    match packet.data_mut().get_mut(layers.payload_at()..) {
        Some(header) => F::stamp(header, message, stamp),
        None => Delta::new(),
    }
}

/// Whether a client's own id is what it must be.
#[inline(always)]
fn is_clients_own(message: &Message) -> bool {
    message.id != 0 && message.id == u64::from(message.client) << 32 | u64::from(message.seq)
}

/// Whether the client forbids cloning, or the filter could mistake the answer for that to an earlier try.
#[inline(always)]
fn forbids_cloning(message: &Message, is_ours: bool) -> bool {
    message.flags.has(Flags::NOCLONE) || (is_ours && message.flags.has(Flags::RETX))
}

/// Whether a request may come from its source: not from a group, and not from the service itself.
#[inline(always)]
pub(super) fn may_send(frame: &[u8], layers: &Layers, turn: &Turn<'_>) -> bool {
    match edit::source(frame, layers) {
        Some(IpAddr::V4(source)) => {
            !source.is_multicast() && !source.is_broadcast() && turn.version.vip4 != Some(source)
        }
        Some(IpAddr::V6(source)) => !source.is_multicast() && turn.version.vip6 != Some(source),
        None => false,
    }
}

/// Whether the TTL or hop limit does not reach the server.
#[inline(always)]
pub(super) fn is_at_its_end(frame: &[u8], layers: &Layers) -> bool {
    match layers.ipv4(frame) {
        Some(header) => header.ttl() <= 1,
        None => layers
            .ipv6(frame)
            .is_some_and(|header| header.hop_limit() <= 1),
    }
}
