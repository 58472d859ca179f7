//! The common case, for speed: a message of one packet in format v1, over UDP over IPv4 without options,
//! tags or fragments, of which nothing is odd.
//!
//! Such a message has every field at a place that is known, so its 82 bytes of headers are looked at as one
//! array. What is not recognised here, or is the least bit unusual, goes the way of all packets
//! ([`super::shard`]), which says what is to be done and is what this is tested against.

use nf_core::chain::Cx;
use nf_core::packet::{Direction, Packet};
use nf_core::wire::checksum::{NativeDelta, ipv4_header_is_valid, udp_over_ipv4_is_valid};

use super::config::FilterMode;
use super::counts::Count;
use super::edit;
use super::shard::Turn;
use super::version::FastServer;
use crate::decide::{Choice, Loads, choose};
use crate::filter::Verdict;
use crate::id;
use crate::wire::v1::field;

/// Ethernet, IPv4, UDP, and the message's header.
const HEADERS: usize = MESSAGE + 40;
const IP: usize = 14;
const UDP: usize = 34;
const MESSAGE: usize = 42;

/// Flags with which a request is not ordinary: an id of the client's own, no cloning.
const UNUSUAL_REQUEST: u8 = 0b0011;
/// Flag with which a response is not.
const UNUSUAL_RESPONSE: u8 = 0b0001;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It stays in the batch.
    On,
    /// The slower answer: it ends.
    Filtered,
    /// Somebody else has to look.
    Slow,
}

/// Counts of a burst, added up before they are given to the chain.
#[derive(Debug, Default)]
pub(super) struct Tally {
    cloned: u32,
    single: u32,
    second: u32,
    budget: u32,
    nomem: u32,
    first: u32,
    filtered: u32,
    uncloned: u32,
    overwrote: u32,
    passthrough: u32,
}

impl Tally {
    /// Adds everything to the stage's counters.
    pub fn count(self, cx: &mut Cx<'_>) {
        let responses = self.first + self.filtered + self.uncloned;
        for (count, n) in [
            (Count::ReqTotal, self.cloned + self.single),
            (Count::ReqCloned, self.cloned),
            (Count::ReqSingle, self.single),
            (Count::ReqJsqSecond, self.second),
            (Count::ReqUncloneBudget, self.budget),
            (Count::ReqUncloneNomem, self.nomem),
            (Count::RespTotal, responses),
            (Count::StateUpdates, responses),
            (Count::RespFirst, self.first),
            (Count::RespFiltered, self.filtered),
            (Count::RespUncloned, self.uncloned),
            (Count::SlotOverwrite, self.overwrote),
            (Count::Passthrough, self.passthrough),
        ] {
            if n != 0 {
                cx.count(count as usize, n.into());
            }
        }
    }
}

#[inline(always)]
fn u16_at(bytes: &[u8; HEADERS], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Two bytes as they lie in memory.
#[inline(always)]
fn raw16(bytes: &[u8; HEADERS], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes as they lie in memory.
#[inline(always)]
fn raw32(bytes: &[u8; HEADERS], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
fn put16(bytes: &mut [u8; HEADERS], at: usize, raw: u16) {
    bytes[at..at + 2].copy_from_slice(&raw.to_ne_bytes());
}

#[inline(always)]
fn put32(bytes: &mut [u8; HEADERS], at: usize, raw: u32) {
    bytes[at..at + 4].copy_from_slice(&raw.to_ne_bytes());
}

/// Writes four bytes, and what that changes in a checksum.
#[inline(always)]
fn replace(bytes: &mut [u8; HEADERS], at: usize, raw: u32, changed: NativeDelta) -> NativeDelta {
    let before = raw32(bytes, at);
    put32(bytes, at, raw);
    changed.change(before, raw)
}

impl Turn<'_> {
    /// Looks at a packet that may be ordinary.
    #[inline(always)]
    pub(super) fn fast(&mut self, cx: &mut Cx<'_>, packet: &mut Packet, tally: &mut Tally) -> Way {
        let version = self.version;
        let frame = packet.data();
        let Some(headers) = frame.first_chunk::<HEADERS>() else {
            return Way::Slow;
        };
        // IPv4 without options; no fragment, whatever "don't fragment" says; UDP.
        let shape = u16_at(headers, 12) == 0x0800
            && headers[IP] == 0x45
            && u16_at(headers, IP + 6) & 0x3fff == 0
            && headers[IP + 9] == 17;
        if !shape {
            return Way::Slow;
        }
        let ports = (u16_at(headers, UDP), u16_at(headers, UDP + 2));
        let from = version.ports.has(ports.0);
        let to = version.ports.has(ports.1);
        let ip_len = usize::from(u16_at(headers, IP + 2));
        let udp_len = usize::from(u16_at(headers, UDP + 4));
        if ip_len != udp_len + 20 || frame.len() < ip_len + IP {
            return Way::Slow;
        }
        if from == to {
            if from {
                return Way::Slow;
            }
            tally.passthrough += 1;
            return Way::On;
        }
        // The magic number, version 1, ten words; one packet of one.
        let start = raw32(headers, MESSAGE) & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
        let is_message = udp_len >= 48
            && start == u32::from_ne_bytes([0x4e, 0x43, 0x1a, 0])
            && u16_at(headers, MESSAGE + field::PKT_IDX) == 1;
        if !is_message || !packet.is_writable() {
            return Way::Slow;
        }
        if version.verify && !packet.checksums_are_good(true) && !is_sound(frame, headers, ip_len) {
            return Way::Slow;
        }
        match (to, headers[MESSAGE + field::TYPE]) {
            (true, 1) => self.fast_request(cx, packet, tally),
            (false, 2) => self.fast_response(packet, tally),
            _ => Way::Slow,
        }
    }

    #[inline(always)]
    fn fast_request(&mut self, cx: &mut Cx<'_>, packet: &mut Packet, tally: &mut Tally) -> Way {
        let version = self.version;
        let len = packet.len();
        let direction = packet.meta().direction;
        let Some(headers) = packet.data_mut().first_chunk_mut::<HEADERS>() else {
            return Way::Slow;
        };
        let flags_clo = u16_at(headers, MESSAGE + field::FLAGS);
        let cfg_gen = u16_at(headers, MESSAGE + field::CFG_GEN);
        let destination = raw32(headers, IP + 16);
        let source = raw32(headers, IP + 12);
        let group = u32::from_be(raw32(headers, MESSAGE + field::GRP)) as usize;
        // Not cloned yet, and nothing forbids it; of no appliance yet; to the service, from one host.
        let is_ordinary = flags_clo & (u16::from(UNUSUAL_REQUEST) << 8 | 0xff) == 0
            && u16_at(headers, MESSAGE + field::SWID) == 0
            && (cfg_gen == 0 || cfg_gen == version.cfg_gen)
            && (version.any_vip || destination == version.raw_vip4)
            && source != version.raw_vip4
            && headers[IP + 12] < 224
            && headers[MESSAGE + field::IDX] < version.filters.given.tables()
            && (version.inline || headers[IP + 8] > 1)
            && direction == Direction::ToServer;
        let Some(&pair) = version.groups.get(group) else {
            return Way::Slow;
        };
        let both_live = self.live.has(pair.0) && self.live.has(pair.1);
        if !is_ordinary || !both_live {
            return Way::Slow;
        }
        let (first, second) = pair;
        let (Some(first_server), Some(second_server)) =
            (version.fast_server(first), version.fast_server(second))
        else {
            return Way::Slow;
        };
        if first == second {
            return Way::Slow;
        }
        let id = match self.work.ids.give(self.work.epoch) {
            id::NextId::Id(id) => id,
            id::NextId::Exhausted => return Way::Slow,
        };
        let loads = Loads {
            first: self
                .work
                .loads
                .load(first, self.now, version.state_max_age_ns),
            second: self
                .work
                .loads
                .load(second, self.now, version.state_max_age_ns),
            first_weight: first_server.weight,
            second_weight: second_server.weight,
        };
        let probe = || version.jsq_probe != 0 && (cx.random() >> 32) as u32 <= version.jsq_probe;
        let mut choice = choose(&version.policy, &loads, true, true, probe);
        if choice == Choice::Both
            && version.budget != 0
            && !self.work.budget.take(self.now, version.budget)
        {
            tally.budget += 1;
            choice = Choice::First;
        }
        let (to, server) = match choice {
            Choice::Second => (second, second_server),
            _ => (first, first_server),
        };
        let mine = self.mine;
        let raw_id = id.to_be();
        let (high, low) = match cfg!(target_endian = "little") {
            true => (raw_id as u32, (raw_id >> 32) as u32),
            false => ((raw_id >> 32) as u32, raw_id as u32),
        };
        // SWID stands before SID, in one word of four bytes.
        let sid = raw16(headers, MESSAGE + field::SID);
        let owner = |sid: u16| {
            let [a, b] = version.switch_id.to_be_bytes();
            let [c, d] = sid.to_ne_bytes();
            u32::from_ne_bytes([a, b, c, d])
        };
        let mut changed = NativeDelta::new();
        changed = replace(headers, MESSAGE + field::REQ_ID, high, changed);
        changed = replace(headers, MESSAGE + field::REQ_ID + 4, low, changed);
        if choice != Choice::Both {
            changed = replace(headers, MESSAGE + field::SWID, owner(sid), changed);
            address(headers, server.raw_ip4, changed);
            if let Some(mac) = server.raw_mac {
                headers[..6].copy_from_slice(&mac);
            }
            packet.meta_mut().egress = server.egress;
            if version.offload {
                packet.leave_udp_checksum(IP, UDP - IP);
            }
            mine.of(to).originals.add(1);
            tally.single += 1;
            tally.second += u32::from(choice == Choice::Second);
            return Way::On;
        }
        let Some(mut clone) = edit::duplicate(cx, packet, HEADERS, version.copy_max.min(len))
        else {
            // There is no buffer: the original goes alone, and says so.
            finish(packet, 0, owner(sid), first_server, changed);
            mine.of(first).originals.add(1);
            tally.single += 1;
            tally.nomem += 1;
            return Way::On;
        };
        let shown = owner(u16::from(second).to_be());
        finish(packet, 1, shown, first_server, changed);
        finish(&mut clone, 2, shown, second_server, changed);
        if version.offload {
            packet.leave_udp_checksum(IP, UDP - IP);
            clone.leave_udp_checksum(IP, UDP - IP);
        }
        mine.of(first).originals.add(1);
        mine.of(second).clones.add(1);
        tally.cloned += 1;
        cx.emit(Direction::ToServer, clone);
        Way::On
    }

    #[inline(always)]
    fn fast_response(&mut self, packet: &mut Packet, tally: &mut Tally) -> Way {
        let version = self.version;
        let Some(headers) = packet.data_mut().first_chunk_mut::<HEADERS>() else {
            return Way::Slow;
        };
        let flags = headers[MESSAGE + field::FLAGS];
        let clo = headers[MESSAGE + field::CLO];
        let sid = u16_at(headers, MESSAGE + field::SID);
        let is_ordinary = u16_at(headers, MESSAGE + field::SWID) == version.switch_id
            && flags & UNUSUAL_RESPONSE == 0
            && clo <= 2
            && sid < 256;
        let is_its = version
            .fast_server(sid as u8)
            .is_some_and(|server| server.raw_ip4 == raw32(headers, IP + 12));
        if !is_ordinary || !is_its {
            return Way::Slow;
        }
        let sid = sid as u8;
        let mut verdict = None;
        if clo != 0 {
            let id = u64::from(u32::from_be(raw32(headers, MESSAGE + field::REQ_ID))) << 32
                | u64::from(u32::from_be(raw32(headers, MESSAGE + field::REQ_ID + 4)));
            let is_filtered = version.filtering
                && version.dense
                && version.filter_mode != FilterMode::Winner
                && id::epoch(id) == version.epoch;
            if !is_filtered {
                return Way::Slow;
            }
            let index = id::dense_index(id, self.work.cores);
            let table = headers[MESSAGE + field::IDX];
            verdict = version.filters.given.respond(table, index, id);
            if verdict.is_none() {
                return Way::Slow;
            }
        }
        let load = u16_at(headers, MESSAGE + field::LOAD);
        self.work.loads.hear_at(sid, load, self.now_us);
        if version.inline {
            let mac = [
                headers[6],
                headers[7],
                headers[8],
                headers[9],
                headers[10],
                headers[11],
            ];
            self.shared.servers.set_mac(sid, mac);
        }
        self.mine.of(sid).responses.add(1);
        match verdict {
            None => tally.uncloned += 1,
            Some(Verdict::First) => tally.first += 1,
            Some(Verdict::Overwrote) => {
                tally.first += 1;
                tally.overwrote += 1;
            }
            Some(Verdict::Filtered) => {
                tally.filtered += 1;
                return Way::Filtered;
            }
        }
        if version.rewrites_source && version.vip4.is_some() {
            let changed = replace(headers, IP + 12, version.raw_vip4, NativeDelta::new());
            mend(headers, changed, changed);
            if version.offload {
                packet.leave_udp_checksum(IP, UDP - IP);
            }
        }
        Way::On
    }
}

/// Makes a packet one of a pair, or the only one, for its server.
#[inline(always)]
fn finish(packet: &mut Packet, clo: u8, owner: u32, server: &FastServer, changed: NativeDelta) {
    if let Some(headers) = packet.data_mut().first_chunk_mut::<HEADERS>() {
        let changed = replace(headers, MESSAGE + field::SWID, owner, changed);
        let before = raw32(headers, MESSAGE + field::FLAGS);
        headers[MESSAGE + field::CLO] = clo;
        let changed = changed.change(before, raw32(headers, MESSAGE + field::FLAGS));
        address(headers, server.raw_ip4, changed);
        if let Some(mac) = server.raw_mac {
            headers[..6].copy_from_slice(&mac);
        }
    }
    packet.meta_mut().egress = server.egress;
}

/// Sets the destination, and mends both checksums.
#[inline(always)]
fn address(headers: &mut [u8; HEADERS], to: u32, changed: NativeDelta) {
    let before = raw32(headers, IP + 16);
    put32(headers, IP + 16, to);
    let in_ip = NativeDelta::new().change(before, to);
    mend(headers, in_ip, changed.change(before, to));
}

#[inline(always)]
fn mend(headers: &mut [u8; HEADERS], in_ip: NativeDelta, in_udp: NativeDelta) {
    let sum = in_ip.apply(raw16(headers, IP + 10));
    put16(headers, IP + 10, sum);
    let sum = in_udp.apply_udp(raw16(headers, UDP + 6));
    put16(headers, UDP + 6, sum);
}

/// Whether both checksums are right.
#[inline(always)]
fn is_sound(frame: &[u8], headers: &[u8; HEADERS], ip_len: usize) -> bool {
    if !ipv4_header_is_valid(&headers[IP..UDP]) {
        return false;
    }
    if raw16(headers, UDP + 6) == 0 {
        return true;
    }
    let payload = frame.get(HEADERS..IP + ip_len);
    payload.is_some_and(|payload| udp_over_ipv4_is_valid(&headers[IP + 12..], payload))
}
