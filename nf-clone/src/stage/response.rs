//! Responses: what they say of their server, and whether they are the first.

use nf_core::chain::{Cx, Note};
use nf_core::packet::Packet;
use nf_core::wire::{Ethernet, Layers};

use super::config::FilterMode;
use super::counts::{Count, Reason};
use super::format::{self, Format, Message};
use super::shard::Turn;
use crate::filter::{Verdict, winner_tag};
use crate::id;
use crate::wire::{Flags, NO_SERVER};

impl Turn<'_> {
    /// A response (RESP) of a server.
    #[inline(always)]
    pub(super) fn response<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        cx.count(Count::RespTotal as usize, 1);
        if F::HAS_SWID && message.swid == 0 {
            return self.pass(cx, packet, layers, Count::RespUnstamped);
        }
        if F::HAS_SWID && message.sid == NO_SERVER && message.clo == 0 {
            // Answered on the way, by a cache: it says nothing of any server.
            cx.count(Count::RespUncloned as usize, 1);
            return Some(packet);
        }
        let sid = match self.sender(&packet, layers, message) {
            Ok(sid) => sid,
            Err(count) => return self.refuse(cx, packet, count, Reason::BadResponse),
        };
        self.heard_of(cx, &packet, sid, message.load);
        if message.clo == 0 {
            return self.pass(cx, packet, layers, Count::RespUncloned);
        }
        if message.id == 0 {
            return self.refuse(cx, packet, Count::BadReqId, Reason::BadResponse);
        }
        let version = self.version;
        if !version.filtering {
            return self.pass(cx, packet, layers, Count::RespUnfiltered);
        }
        let is_clients = F::HAS_EPOCH && message.flags.has(Flags::CID);
        if F::HAS_EPOCH && !is_clients && id::epoch(message.id) != version.epoch {
            return self.pass(cx, packet, layers, Count::RespStaleEpoch);
        }
        let (filter, index) = match is_clients {
            true => (&version.filters.chosen, id::hashed_index(message.id)),
            false => (
                &version.filters.given,
                format::index::<F>(message.id, version.dense, self.work.cores),
            ),
        };
        let verdict = match version.filter_mode {
            FilterMode::Winner => filter.respond_packet(
                message.idx,
                index,
                winner_tag(index, filter.slots_log2()),
                sid,
                message.packet,
                message.packets,
            ),
            FilterMode::Ordered if message.packets > 1 && !message.flags.has(Flags::DET) => {
                return self.pass(cx, packet, layers, Count::RespUnfiltered);
            }
            FilterMode::Single if message.packets > 1 => {
                return self.pass(cx, packet, layers, Count::RespUnfiltered);
            }
            _ => filter.respond(message.idx, index, message.id),
        };
        match verdict {
            Some(Verdict::First) => self.pass(cx, packet, layers, Count::RespFirst),
            Some(Verdict::Overwrote) => {
                cx.count(Count::SlotOverwrite as usize, 1);
                self.pass(cx, packet, layers, Count::RespFirst)
            }
            Some(Verdict::Filtered) => {
                cx.count(Count::RespFiltered as usize, 1);
                cx.note(&packet, || {
                    Note::new("filtered").with("id", message.id).with("of", sid)
                });
                cx.drop(packet, Reason::Filtered as usize);
                None
            }
            None => self.pass(cx, packet, layers, Count::RespBadIdx),
        }
    }

    /// An answer to a write (WRESP): it says how long its server's queue is, and comes from where the
    /// write went to.
    #[cold]
    pub(super) fn write_response<F: Format>(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        cx.count(Count::WriteResp as usize, 1);
        if F::HAS_SWID && message.swid == 0 {
            cx.count(Count::RespUnstamped as usize, 1);
            return Some(packet);
        }
        match self.sender(&packet, layers, message) {
            Ok(sid) => {
                self.heard_of(cx, &packet, sid, message.load);
                Some(packet)
            }
            Err(count) => self.refuse(cx, packet, count, Reason::BadResponse),
        }
    }

    /// An answer to a ping of ours: it ends here.
    #[cold]
    pub(super) fn pong(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        message: &Message,
    ) -> Option<Packet> {
        let sid = match self.sender(&packet, layers, message) {
            Ok(sid) if message.client == self.version.instance => sid,
            Ok(_) => return self.refuse(cx, packet, Count::BadReqId, Reason::BadResponse),
            Err(count) => return self.refuse(cx, packet, count, Reason::BadResponse),
        };
        self.learn_mac(&packet, sid);
        self.hear(cx, sid, message.load);
        self.shared.servers.pong(sid, message.id);
        cx.count(Count::Pongs as usize, 1);
        cx.drop(packet, Reason::Consumed as usize);
        None
    }

    /// A server was heard.
    #[inline(always)]
    pub(super) fn heard_of(&mut self, cx: &mut Cx<'_>, packet: &Packet, sid: u8, load: u16) {
        self.hear(cx, sid, load);
        self.mine.of(sid).responses.add(1);
        if self.version.inline {
            self.learn_mac(packet, sid);
        }
    }

    /// On one network, a server is where its packets come from.
    #[inline(always)]
    fn learn_mac(&self, packet: &Packet, sid: u8) {
        if let Some(link) = Ethernet::new(packet.data())
            && self.version.inline
        {
            self.shared.servers.set_mac(sid, link.source().0);
        }
    }

    #[inline(always)]
    fn pass(
        &mut self,
        cx: &mut Cx<'_>,
        packet: Packet,
        layers: &Layers,
        count: Count,
    ) -> Option<Packet> {
        cx.count(count as usize, 1);
        self.towards_client(cx, packet, layers)
    }
}
