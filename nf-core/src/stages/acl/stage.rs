//! The data path of the `acl` stage.

use std::sync::Arc;

use super::rule::Action;
use super::table::{KEY4, KEY6, Table, key4, key6};
use crate::chain::{Cx, Note, Stage};
use crate::packet::{Batch, Packet};
use crate::publish::Reader;
use crate::telemetry::{CounterDesc, CounterSet};
use crate::wire::{Fragment, Layers, Malformed, protocol};

/// Why the stage drops packets: a rule, the default, what cannot be matched, and the words of
/// [`Malformed`].
pub const REASONS: &[&str] = &{
    let mut reasons = [""; FIRST_MALFORMED + Malformed::REASONS.len()];
    reasons[DENIED] = "denied";
    reasons[DEFAULT_DENIED] = "default_denied";
    reasons[NON_IP] = "non_ip";
    reasons[TINY_FRAGMENT] = "tiny_fragment";
    let mut i = 0;
    while i < Malformed::REASONS.len() {
        reasons[FIRST_MALFORMED + i] = Malformed::REASONS[i];
        i += 1;
    }
    reasons
};

const DENIED: usize = 0;
const DEFAULT_DENIED: usize = 1;
const NON_IP: usize = 2;
const TINY_FRAGMENT: usize = 3;
const FIRST_MALFORMED: usize = 4;

/// Counters of the stage, by index.
pub const COUNTERS: &[CounterDesc] = &[
    CounterDesc {
        name: "allowed",
        help: "Packets that a rule allowed.",
    },
    CounterDesc {
        name: "default_allowed",
        help: "Packets that no rule matched and the default allowed.",
    },
    CounterDesc {
        name: "unmatched",
        help: "Packets allowed without a look at the rules, because they are not IP.",
    },
];

const ALLOWED: usize = 0;
const DEFAULT_ALLOWED: usize = 1;
const UNMATCHED: usize = 2;

/// In the list of verdicts: the packet goes on. Any other number is the reason of its drop.
const PASS: u8 = u8::MAX;

/// The shard of one core.
#[derive(Debug)]
pub struct AclShard {
    table: Reader<Table>,
    /// Hits by slot, which this core alone advances.
    hits: Arc<CounterSet>,
    keys4: Box<[[u8; KEY4]; Batch::CAPACITY]>,
    keys6: Box<[[u8; KEY6]; Batch::CAPACITY]>,
}

/// What the first look at a packet says.
enum Seen {
    V4([u8; KEY4]),
    V6([u8; KEY6]),
    /// The rules are not asked; the reason if it is dropped.
    Decided(Option<usize>),
}

impl AclShard {
    pub(super) fn new(table: Reader<Table>, hits: Arc<CounterSet>) -> AclShard {
        AclShard {
            table,
            hits,
            keys4: Box::new([[0; KEY4]; Batch::CAPACITY]),
            keys6: Box::new([[0; KEY6]; Batch::CAPACITY]),
        }
    }
}

/// Reads a packet's key.
#[inline(always)]
fn look(table: &Table, cx: &Cx<'_>, packet: &Packet) -> Seen {
    let data = packet.data();
    let layers = Layers::parse_lax(data, packet.len());
    if let Some(problem) = layers.problem()
        && table.malformed == Action::Deny
    {
        return Seen::Decided(Some(FIRST_MALFORMED + problem.index()));
    }
    let ports = layers.ports(data);
    let flags = table.flags(cx.direction(), layers.protocol(), ports.is_some());
    let (from, to) = ports.unwrap_or_default();
    if let Some(header) = layers.ipv4(data) {
        // A second fragment that starts inside the TCP header could overwrite the ports that the
        // first was allowed for (RFC 1858, RFC 3128).
        if layers.fragment() == Fragment::Later
            && layers.protocol() == protocol::TCP
            && header.fragment_offset() < 24
        {
            return Seen::Decided(Some(TINY_FRAGMENT));
        }
        let (source, destination) = (header.source().octets(), header.destination().octets());
        return Seen::V4(key4(flags, &source, &destination, from, to));
    }
    if let Some(header) = layers.ipv6(data) {
        let (source, destination) = (header.source().octets(), header.destination().octets());
        return Seen::V6(key6(flags, &source, &destination, from, to));
    }
    Seen::Decided((table.non_ip == Action::Deny).then_some(NON_IP))
}

impl Stage for AclShard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let table = self.table.get();
        let mut verdicts = [PASS; Batch::CAPACITY];
        let (mut at4, mut at6) = ([0u8; Batch::CAPACITY], [0u8; Batch::CAPACITY]);
        let (mut count4, mut count6, mut unmatched) = (0, 0, 0);
        let mut drops = 0;
        for (index, (packet, verdict)) in batch.iter().zip(&mut verdicts).enumerate() {
            match look(table, cx, packet) {
                Seen::V4(key) => {
                    if let (Some(slot), Some(at)) =
                        (self.keys4.get_mut(count4), at4.get_mut(count4))
                    {
                        (*slot, *at) = (key, index as u8);
                        count4 += 1;
                    }
                }
                Seen::V6(key) => {
                    if let (Some(slot), Some(at)) =
                        (self.keys6.get_mut(count6), at6.get_mut(count6))
                    {
                        (*slot, *at) = (key, index as u8);
                        count6 += 1;
                    }
                }
                Seen::Decided(Some(reason)) => {
                    *verdict = reason as u8;
                    drops += 1;
                }
                Seen::Decided(None) => unmatched += 1,
            }
        }
        let mut results = [0u32; Batch::CAPACITY];
        let mut judge = Judge {
            table,
            hits: &self.hits,
            allowed: 0,
            default_allowed: 0,
            drops,
        };
        if let (Some(keys), Some(results)) = (self.keys4.get(..count4), results.get_mut(..count4))
            && count4 > 0
        {
            table.classify4(keys, results);
            judge.all(cx, batch, &at4, results, &mut verdicts);
        }
        if let (Some(keys), Some(results)) = (self.keys6.get(..count6), results.get_mut(..count6))
            && count6 > 0
        {
            table.classify6(keys, results);
            judge.all(cx, batch, &at6, results, &mut verdicts);
        }
        let (allowed, default_allowed, drops) = (judge.allowed, judge.default_allowed, judge.drops);
        cx.count(ALLOWED, allowed);
        cx.count(DEFAULT_ALLOWED, default_allowed);
        if unmatched > 0 {
            cx.count(UNMATCHED, unmatched);
        }
        if drops == 0 {
            return;
        }
        let mut verdicts = verdicts.into_iter();
        batch.sift(|packet| match verdicts.next() {
            Some(PASS) | None => Some(packet),
            Some(reason) => {
                cx.drop(packet, usize::from(reason));
                None
            }
        });
    }

    fn refresh(&mut self) {
        self.table.refresh();
    }
}

/// Turns rule numbers into verdicts, and counts.
struct Judge<'a> {
    table: &'a Table,
    hits: &'a CounterSet,
    allowed: u64,
    default_allowed: u64,
    drops: u64,
}

impl Judge<'_> {
    #[inline(always)]
    fn all(
        &mut self,
        cx: &mut Cx<'_>,
        batch: &Batch,
        at: &[u8],
        results: &[u32],
        verdicts: &mut [u8; Batch::CAPACITY],
    ) {
        for (&number, &at) in results.iter().zip(at) {
            let reason = match self.table.verdict(number) {
                Some(rule) => {
                    self.hits.add(rule.slot as usize, 1);
                    match rule.action {
                        Action::Allow => {
                            self.allowed += 1;
                            PASS
                        }
                        Action::Deny => DENIED as u8,
                    }
                }
                None if self.table.default == Action::Allow => {
                    self.default_allowed += 1;
                    PASS
                }
                None => DEFAULT_DENIED as u8,
            };
            if reason != PASS {
                self.drops += 1;
            }
            if let Some(verdict) = verdicts.get_mut(usize::from(at)) {
                *verdict = reason;
            }
            if cx.is_tracing() {
                self.tell(cx, batch, at, number, reason);
            }
        }
    }

    #[cold]
    fn tell(&self, cx: &mut Cx<'_>, batch: &Batch, at: u8, number: u32, reason: u8) {
        if let Some(packet) = batch.as_slice().get(usize::from(at)) {
            let what = if reason == PASS { "allowed" } else { "denied" };
            cx.note(packet, || match number {
                0 => Note::new(what).with("by", "default"),
                number => Note::new(what).with("rule", number),
            });
        }
    }
}
