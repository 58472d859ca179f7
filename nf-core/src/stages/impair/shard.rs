//! What one core does to its packets.

use super::chance::Chance;
use super::config::MOST_COPIES;
use super::corrupt::{corrupt, has_bits};
use super::delay::DelayState;
use super::held::Held;
use super::link::{Admission, Link};
use super::loss::LossState;
use super::plan::{LanePlan, Plan};
use crate::chain::{Cx, Note, Stage};
use crate::clock::TimerId;
use crate::packet::{Batch, Direction, Packet};
use crate::publish::Reader;
use crate::telemetry::CounterDesc;

/// Most packets that are let go with a batch, so that they never fill what the chain takes on at
/// once.
const RELEASED_WITH_BATCH: usize = 256;

/// Most packets that are let go by a timer.
const RELEASED_BY_TIMER: usize = 1024;

pub(super) const REASONS: &[&str] = &["loss", "queue_full", "held_full"];
const LOSS: usize = 0;
const QUEUE_FULL: usize = 1;
const HELD_FULL: usize = 2;

pub(super) const COUNTERS: &[CounterDesc] = &[
    CounterDesc {
        name: "duplicated",
        help: "Copies of packets that were made.",
    },
    CounterDesc {
        name: "corrupted",
        help: "Packets of which bits were flipped.",
    },
    CounterDesc {
        name: "delayed",
        help: "Packets that were held, by a delay or by a link of limited rate.",
    },
    CounterDesc {
        name: "reordered",
        help: "Packets that were held back so that later ones go ahead.",
    },
    CounterDesc {
        name: "no_buffer",
        help: "Packets that were not duplicated or corrupted because the packet pool was exhausted.",
    },
];
const DUPLICATED: usize = 0;
const CORRUPTED: usize = 1;
const DELAYED: usize = 2;
const REORDERED: usize = 3;
const NO_BUFFER: usize = 4;

/// What one direction remembers from packet to packet.
struct Lane {
    chance: Chance,
    loss: LossState,
    link: Link,
    delay: DelayState,
    /// When the last packet in order leaves.
    last: u64,
    /// When the packet that came last leaves.
    newest: u64,
    /// Packets so far that were neither lost nor refused by the link.
    seen: u64,
}

impl Lane {
    fn new(seed: u64, core: usize, direction: Direction, most: usize) -> Lane {
        Lane {
            chance: Chance::new(seed, core, direction as usize),
            loss: LossState::default(),
            link: Link::new(most),
            delay: DelayState::default(),
            last: 0,
            newest: 0,
            seen: 0,
        }
    }
}

/// One core's share of the stage.
pub(super) struct ImpairShard {
    plan: Reader<Plan>,
    epoch: u64,
    core: usize,
    lanes: [Lane; 2],
    held: Held,
    /// The timer that is set, and for when.
    timer: Option<(TimerId, u64)>,
    /// There was no timer left on this core: the next packets have to do.
    untimed: bool,
}

/// Whether a packet stays in its batch.
enum Fate {
    Now(Packet),
    Gone,
}

impl ImpairShard {
    pub fn new(plan: Reader<Plan>, core: usize, most: usize) -> ImpairShard {
        let seed = plan.get().seed;
        ImpairShard {
            epoch: plan.get().epoch,
            lanes: Direction::ALL.map(|direction| Lane::new(seed, core, direction, most)),
            held: Held::new(most),
            timer: None,
            untimed: false,
            plan,
            core,
        }
    }

    /// Lets up to `most` packets go whose time has come. True when any went in `direction`.
    fn release(&mut self, cx: &mut Cx<'_>, direction: Direction, most: usize) -> bool {
        let mut any = false;
        for _ in 0..most {
            let Some((way, packet)) = self.held.pop(cx.now()) else {
                break;
            };
            any |= way == direction;
            cx.emit(way, packet);
        }
        any
    }

    /// Sees to it that a timer is set for the next packet to leave.
    fn set_timer(&mut self, cx: &mut Cx<'_>) {
        let Some(next) = self.held.next() else { return };
        if let Some((timer, at)) = self.timer {
            if at <= next {
                return;
            }
            cx.cancel(timer);
        }
        let after = next.saturating_sub(cx.now());
        self.timer = cx.timer(after, 0).map(|timer| (timer, next));
        self.untimed = self.timer.is_none();
    }
}

impl Stage for ImpairShard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        let direction = cx.direction();
        if self.plan.get().lanes[direction as usize].is_none() {
            // What is still held from before leaves by the timer, if there was one.
            if self.untimed {
                self.on_timer(cx, 0);
            }
            return;
        }
        // Once a packet has been emitted, those behind it are as well: emitted packets leave behind
        // the batch, and order shall only change where it is asked for.
        let mut behind = self.release(cx, direction, RELEASED_WITH_BATCH);
        // More is due than goes in one call: what comes now queues behind it.
        let backlog = self.held.next().is_some_and(|next| next <= cx.now());
        let ImpairShard {
            plan, lanes, held, ..
        } = self;
        let Some(plan) = &plan.get().lanes[direction as usize] else {
            return;
        };
        let lane = &mut lanes[direction as usize];
        batch.sift(|packet| {
            if let Some(filter) = &plan.filter
                && !filter.matches(&packet)
            {
                return stay(cx, packet, behind);
            }
            if let Some(loss) = &plan.loss
                && lane.loss.next(loss, &mut lane.chance)
            {
                cx.drop(packet, LOSS);
                return None;
            }
            let mut copies = [const { None }; MOST_COPIES];
            if let Some(duplicate) = &plan.duplicate
                && lane.chance.hits(duplicate.probability)
            {
                make_copies(cx, &packet, copies.iter_mut().take(duplicate.copies.into()));
            }
            let kept = pass(cx, plan, lane, held, packet, backlog, &mut behind);
            for copy in copies.into_iter().flatten() {
                // The original may stay in the batch; a copy is always emitted.
                behind = true;
                pass(cx, plan, lane, held, copy, backlog, &mut behind);
            }
            kept
        });
        self.set_timer(cx);
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, _token: u64) {
        self.timer = None;
        self.release(cx, Direction::ToServer, RELEASED_BY_TIMER);
        self.set_timer(cx);
    }

    fn refresh(&mut self) {
        if !self.plan.refresh() {
            return;
        }
        let plan = self.plan.get();
        if plan.epoch != self.epoch {
            self.epoch = plan.epoch;
            for (lane, direction) in self.lanes.iter_mut().zip(Direction::ALL) {
                lane.chance = Chance::new(plan.seed, self.core, direction as usize);
                lane.loss = LossState::default();
                lane.delay = DelayState::default();
            }
        }
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

#[inline]
fn stay(cx: &mut Cx<'_>, packet: Packet, behind: bool) -> Option<Packet> {
    if behind {
        cx.forward(packet);
        return None;
    }
    Some(packet)
}

fn make_copies<'a>(
    cx: &mut Cx<'_>,
    packet: &Packet,
    copies: impl Iterator<Item = &'a mut Option<Packet>>,
) {
    let mut made = 0;
    for slot in copies {
        *slot = cx.copy(packet);
        match slot {
            Some(_) => made += 1,
            None => cx.count(NO_BUFFER, 1),
        }
    }
    cx.count(DUPLICATED, made);
    cx.note(packet, || Note::new("duplicated").with("copies", made));
}

/// A packet that was not lost: what is left in the batch of it.
fn pass(
    cx: &mut Cx<'_>,
    plan: &LanePlan,
    lane: &mut Lane,
    held: &mut Held,
    packet: Packet,
    backlog: bool,
    behind: &mut bool,
) -> Option<Packet> {
    let direction = cx.direction();
    let Fate::Now(packet) = schedule(cx, plan, lane, held, packet, backlog) else {
        overtake(cx, lane, held, direction, behind);
        return None;
    };
    let kept = stay(cx, packet, *behind);
    overtake(cx, lane, held, direction, behind);
    kept
}

/// Lets packets go that enough others have gone ahead of.
fn overtake(
    cx: &mut Cx<'_>,
    lane: &mut Lane,
    held: &mut Held,
    direction: Direction,
    behind: &mut bool,
) {
    while let Some((at, packet)) = held.overtaken(lane.seen, direction) {
        // Behind the packet that has just gone ahead, whenever that leaves.
        let at = at.max(lane.newest);
        if at <= cx.now() {
            *behind = true;
            cx.emit(direction, packet);
        } else if let Err(packet) = held.until(at, direction, packet) {
            cx.drop(packet, HELD_FULL);
        }
    }
}

fn schedule(
    cx: &mut Cx<'_>,
    plan: &LanePlan,
    lane: &mut Lane,
    held: &mut Held,
    mut packet: Packet,
    backlog: bool,
) -> Fate {
    let (now, direction) = (cx.now(), cx.direction());
    if let Some(setting) = &plan.corrupt
        && lane.chance.hits(setting.probability)
        && has_bits(&packet, setting.place)
    {
        if !packet.is_exclusive() {
            match packet.copy(cx.pool()) {
                Some(own) => packet = own,
                None => cx.count(NO_BUFFER, 1),
            }
        }
        if corrupt(&mut packet, setting, &mut lane.chance) {
            cx.count(CORRUPTED, 1);
            cx.note(&packet, || {
                Note::new("corrupted").with("bits", u64::from(setting.bits))
            });
        }
    }
    let mut at = now;
    if let Some(rate) = &plan.rate {
        match lane.link.arrive(rate, now, packet.len()) {
            Admission::Departs(departs) => at = departs,
            Admission::Full => {
                cx.drop(packet, QUEUE_FULL);
                return Fate::Gone;
            }
        }
    }
    lane.seen += 1;
    let mut keep_order = true;
    if let Some(delay) = &plan.delay {
        let time = lane
            .delay
            .next(&delay.time, delay.correlation, &mut lane.chance);
        at = at.saturating_add(time);
        keep_order = delay.keep_order;
    }
    if keep_order {
        at = at.max(lane.last);
    }
    lane.newest = at;
    if let Some(reorder) = &plan.reorder
        && lane.chance.hits(reorder.probability)
    {
        let deadline = at.saturating_add(reorder.wait_ns);
        let result = match reorder.packets {
            Some(packets) => held.back(at, lane.seen + packets, deadline, direction, packet),
            None => held.until(deadline, direction, packet),
        };
        match result {
            Ok(()) => cx.count(REORDERED, 1),
            Err(packet) => cx.drop(packet, HELD_FULL),
        }
        return Fate::Gone;
    }
    lane.last = lane.last.max(at);
    if at <= now && !backlog {
        return Fate::Now(packet);
    }
    cx.note(&packet, || {
        Note::new("delayed").with("for", crate::chain::NoteValue::Nanos(at - now))
    });
    match held.until(at, direction, packet) {
        Ok(()) => cx.count(DELAYED, 1),
        Err(packet) => cx.drop(packet, HELD_FULL),
    }
    Fate::Gone
}
