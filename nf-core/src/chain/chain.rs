//! One core's chain: its shard of each stage, in order, and what runs packets through them.

use super::Direction;
use super::actors::{ChainWork, Sends, Slot};
use super::cx::Env;
use super::egress::{EgressTable, Output};
use super::guard::{guarded, leave};
use super::shard::ChainStage;
use super::trace::{TraceEvent, TraceSession, Traced};
use crate::packet::{Batch, Meta, NO_PORT, Packet};
use crate::sched::Failure;
use crate::sched::runtime::{Handle, Send};
use crate::telemetry::CounterDesc;

/// Why the chain itself drops a packet, by index.
pub const CHAIN_REASONS: &[&str] = &[
    "no_egress",
    "loop",
    "backlog_full",
    "mailbox_full",
    "hold_back_full",
    "worker_full",
    "actor_gone",
    "over_quota",
];

/// What the chain itself counts.
pub const CHAIN_COUNTERS: &[CounterDesc] = &[CounterDesc {
    name: "bypassed",
    help: "Packets that passed a stage that was taken out of service.",
}];

/// Index into [`CHAIN_REASONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainReason {
    /// No port leads where the packet goes.
    NoEgress = 0,
    /// Stages turned it around again and again.
    Loop = 1,
    /// Stages emitted more packets at once than the chain takes on.
    BacklogFull = 2,
    /// The mailbox of a stage that runs elsewhere was full.
    MailboxFull = 3,
    /// A stage was being moved, and as many packets were held back as may be.
    HoldBackFull = 4,
    /// The way to a worker core was full.
    WorkerFull = 5,
    /// The stage went while the packet was on its way to it.
    ActorGone = 6,
    /// The actor that it was for holds as many as it may.
    OverQuota = 7,
}

/// Stages between the client side and the server side, as one core runs them.
#[derive(Debug)]
pub struct Chain {
    slots: Vec<Slot>,
    egress: EgressTable,
    /// Packets that leave by other ports than the first of their batch.
    stray: Option<Box<Batch>>,
    /// Packets a stage emitted, on their way.
    emitted: Option<Box<Batch>>,
}

impl Chain {
    /// A chain of these stages, client side first; at most 255.
    pub fn new(mut stages: Vec<ChainStage>, egress: EgressTable) -> Chain {
        for (position, stage) in stages.iter_mut().enumerate() {
            stage.home.position = position as u8;
        }
        Chain::of(stages.into_iter().map(Slot::fixed).collect(), egress)
    }

    /// A chain of actors, client side first, each wherever it is; they have to be those of the core whose
    /// environment it is run with.
    pub fn of_actors(actors: Vec<Handle<ChainWork>>, egress: EgressTable) -> Chain {
        Chain::of(actors.into_iter().map(Slot::of).collect(), egress)
    }

    fn of(slots: Vec<Slot>, egress: EgressTable) -> Chain {
        Chain {
            slots,
            egress,
            stray: Some(Box::default()),
            emitted: Some(Box::default()),
        }
    }

    /// The stages that are here, client side first.
    pub fn stages(&self) -> impl Iterator<Item = &ChainStage> {
        self.slots.iter().filter_map(|slot| slot.stage.as_deref())
    }

    /// Puts another shard into the place of one.
    #[cfg(test)]
    pub(super) fn replace_shard(&mut self, position: usize, shard: Box<dyn super::Stage>) {
        if let Some(stage) = &mut self.slots[position].stage {
            stage.shard = shard;
        }
    }

    /// Replaces the egress table; returns the old one.
    pub fn set_egress(&mut self, egress: EgressTable) -> EgressTable {
        std::mem::replace(&mut self.egress, egress)
    }

    /// Whether nobody looks at packets: there are no stages, and none is traced. The core's loop
    /// then passes them untouched to the port that they leave by.
    #[inline(always)]
    pub(super) fn is_idle(&self, env: &Env) -> bool {
        self.slots.is_empty() && env.traced.is_none()
    }

    /// The port that packets leave by when no stage chooses one.
    pub(super) fn default_egress(&self, ingress: u16, direction: Direction) -> u16 {
        self.egress.port(ingress, direction)
    }

    /// Runs a batch that a port received through all stages in its direction, and everything that
    /// the stages emit meanwhile. The batch is empty afterwards.
    pub fn run(
        &mut self,
        env: &mut Env,
        ingress: u16,
        direction: Direction,
        batch: &mut Batch,
        output: &mut impl Output,
    ) {
        let now = env.tick();
        let count = batch.len();
        // From memory, so that a packet costs two wide stores instead of one for each field.
        let fresh = std::hint::black_box(Meta::received(now, ingress, direction));
        for packet in batch.iter_mut() {
            packet.reset_meta(fresh);
        }
        if env.sched.is_some()
            && let Some(first) = batch.iter().next()
        {
            env.sample_bytes = first.len() as u32;
        }
        if let Some(traced) = &mut env.traced
            && !traced.mark(batch, direction, now)
        {
            env.traced = None;
        }
        self.pass(env, direction, None, batch, output);
        self.run_emitted(env, output);
        if env.sched.is_some() {
            env.note_latency(now, count);
        }
    }

    /// Which way a packet goes that came in by a port for both sides: the first stage that knows
    /// decides, and what nobody knows goes to the servers.
    pub fn classify(&self, packet: &Packet) -> Direction {
        self.stages()
            .find_map(|stage| stage.shard.classify(packet))
            .unwrap_or(Direction::ToServer)
    }

    /// The same of a batch that came in by a port for both sides: first what goes to the servers, then what goes
    /// to the clients, each in its order.
    pub fn run_classified(
        &mut self,
        env: &mut Env,
        ingress: u16,
        batch: &mut Batch,
        output: &mut impl Output,
    ) {
        let mut to_client = Batch::new();
        batch.sift(|packet| match self.classify(&packet) {
            Direction::ToServer => Some(packet),
            Direction::ToClient => to_client.push(packet).err(),
        });
        for (direction, part) in [
            (Direction::ToServer, batch),
            (Direction::ToClient, &mut to_client),
        ] {
            if !part.is_empty() {
                self.run(env, ingress, direction, part, output);
            }
        }
    }

    /// Calls [`Stage::start`](super::Stage::start) of every stage, client side first, and sends on what they emit.
    ///
    /// To be called once, on the core that runs the chain, before anything else.
    pub fn start(&mut self, env: &mut Env, output: &mut impl Output) {
        env.tick();
        self.look_after(env, output);
        for position in 0..self.slots.len() {
            if let Some(slot) = self.slots.get_mut(position) {
                slot.call(env, |shard, cx| shard.start(cx));
            }
            self.run_emitted(env, output);
        }
    }

    /// Calls the stages whose timers have expired. Returns how many did.
    pub fn expire(&mut self, env: &mut Env, output: &mut impl Output) -> u64 {
        let mut expired = 0;
        for position in 0..self.slots.len() {
            while let Some(slot) = self.slots.get_mut(position)
                && slot.expire(env)
            {
                expired += 1;
                self.run_emitted(env, output);
            }
        }
        expired
    }

    /// Whether a stage has set a timer.
    #[inline(always)]
    pub(super) fn has_timers(&self) -> bool {
        self.stages().any(|stage| !stage.timers.is_empty())
    }

    /// When [`expire`](Chain::expire) has to be called next, nanoseconds; `None` without timers. Nothing
    /// expires before it; what is far off may expire later than it.
    pub fn next_expiry(&self) -> Option<u64> {
        let next = |stage: &ChainStage| stage.timers.next_expiry();
        self.stages().filter_map(next).min()
    }

    /// Whether a stage runs elsewhere.
    pub(super) fn has_stages_away(&self) -> bool {
        self.slots.iter().any(Slot::is_away)
    }

    /// Gives back the stages that the scheduler wants elsewhere.
    pub(super) fn yield_up(&mut self, env: &mut Env) {
        for slot in &mut self.slots {
            slot.yield_up(env);
        }
    }

    /// Tells the scheduler what this core has done since it was last told.
    pub(super) fn report(&mut self, env: &mut Env) {
        if env.latency.is_empty() {
            return;
        }
        let latency = std::mem::take(&mut env.latency).of_same();
        // Nanoseconds in a cycle, exactly enough.
        let unit = env.clock.duration(1 << 20) as f64 / f64::from(1 << 20);
        let bytes = f64::from(env.sample_bytes);
        for slot in &mut self.slots {
            slot.report(unit, latency.mean, bytes);
        }
        if let Some(sched) = &mut env.sched {
            sched.book_latency(latency);
        }
    }

    /// Gives back all stages to the scheduler: the core's loop ends.
    pub(super) fn let_go(&mut self, env: &mut Env) {
        for slot in &mut self.slots {
            slot.let_go(env);
        }
    }

    /// Takes stages in hand that belong here again, and calls those elsewhere that are due.
    pub(super) fn look_after(&mut self, env: &mut Env, output: &mut impl Output) {
        for position in 0..self.slots.len() {
            let came = self
                .slots
                .get_mut(position)
                .is_some_and(|slot| slot.look_after(env));
            if came {
                // What it sent from elsewhere goes before anything that it sends from here.
                self.take_returned(env, output);
                let mut sends = Sends::new();
                if let Some(slot) = self.slots.get_mut(position) {
                    slot.catch_up(env, &mut sends);
                }
                for send in sends {
                    match send {
                        Send::Out(mail) => env.pending.extend(mail.into_packet()),
                        Send::To(to, mail) => {
                            let letter = mail.into_packet().map(|packet| (to, packet));
                            env.posted.extend(letter);
                        }
                    }
                }
                self.run_emitted(env, output);
            }
        }
    }

    /// Sends on what came back from stages elsewhere. Returns how many packets there were.
    pub(super) fn take_returned(&mut self, env: &mut Env, output: &mut impl Output) -> usize {
        let Some(mut sched) = env.sched.take() else {
            return 0;
        };
        let pending = &mut env.pending;
        let count = sched.take_returned(&mut |mail| pending.extend(mail.into_packet()));
        env.sched = Some(sched);
        if count > 0 {
            env.tick();
            self.run_emitted(env, output);
        }
        count
    }

    /// Hands a packet to the stage at `position` as if the one before it had let it through: how
    /// the control side and other cores put packets in.
    pub fn inject(
        &mut self,
        env: &mut Env,
        position: u8,
        direction: Direction,
        packet: Packet,
        output: &mut impl Output,
    ) {
        let mut batch = Batch::new();
        if batch.push(packet).is_ok() {
            let before = match direction {
                Direction::ToServer => position.checked_sub(1),
                Direction::ToClient => position
                    .checked_add(1)
                    .filter(|&p| usize::from(p) < self.slots.len()),
            };
            self.pass(env, direction, before, &mut batch, output);
            self.run_emitted(env, output);
        }
    }

    /// Something was published: every shard refreshes its readers.
    pub fn refresh(&mut self, env: &mut Env) {
        for slot in &mut self.slots {
            slot.refresh(env);
        }
    }

    /// Starts a trace on this core.
    pub fn trace(&self, env: &mut Env, session: Option<std::sync::Arc<TraceSession>>) {
        env.traced = session.map(|session| Traced::new(session, env.core as u16));
    }

    /// Runs a batch through the stages behind `after` (all of them for `None`) and out. A stage that fails is
    /// passed from then on, also by what is left of the batch.
    #[inline]
    fn pass(
        &mut self,
        env: &mut Env,
        direction: Direction,
        after: Option<u8>,
        batch: &mut Batch,
        output: &mut impl Output,
    ) {
        if env.sched.is_none() {
            return self.pass_stages(env, direction, after, batch, output);
        }
        let mut after = after;
        while let Err((actor, failure)) = guarded(env, |env| {
            self.pass_stages(env, direction, after, batch, output);
        }) {
            let Some(position) = self.slots.iter().position(|slot| slot.is_of(actor)) else {
                return;
            };
            after = Some(position as u8);
            self.bury(env, position, failure, direction, batch);
        }
    }

    /// Takes a stage out of service that has failed with that batch.
    #[cold]
    fn bury(
        &mut self,
        env: &mut Env,
        position: usize,
        failure: Failure,
        direction: Direction,
        batch: &Batch,
    ) {
        let Some(slot) = self.slots.get_mut(position) else {
            return;
        };
        // One that was condemned and has ended all the same has counted what it left, and the batch is through.
        if let Some(stage) = slot.stage.as_ref().filter(|_| !batch.is_empty()) {
            let left = batch.len() as u64;
            stage.counters.forward.add(direction as usize, left);
        }
        slot.bury(env, failure);
    }

    fn pass_stages(
        &mut self,
        env: &mut Env,
        direction: Direction,
        after: Option<u8>,
        batch: &mut Batch,
        output: &mut impl Output,
    ) {
        let len = self.slots.len();
        match direction {
            Direction::ToServer => {
                for position in after.map_or(0, |p| usize::from(p) + 1)..len {
                    if batch.is_empty() {
                        return;
                    }
                    self.step(env, position, direction, batch);
                }
            }
            Direction::ToClient => {
                for position in (0..after.map_or(len, usize::from).min(len)).rev() {
                    if batch.is_empty() {
                        return;
                    }
                    self.step(env, position, direction, batch);
                }
            }
        }
        if !batch.is_empty() {
            if env.sched.is_some() {
                leave(env);
            }
            self.leave(env, direction, batch, output);
        }
    }

    #[inline]
    fn step(&mut self, env: &mut Env, position: usize, direction: Direction, batch: &mut Batch) {
        if let Some(slot) = self.slots.get_mut(position) {
            slot.process(env, position as u8, direction, batch);
        }
    }

    /// Packets that stages emitted, each from its stage onward; what those emit in turn as well.
    pub(super) fn run_emitted(&mut self, env: &mut Env, output: &mut impl Output) {
        self.run_pending(env, output);
        if !env.posted.is_empty() {
            env.post();
        }
    }

    fn run_pending(&mut self, env: &mut Env, output: &mut impl Output) {
        while !env.pending.is_empty() {
            let first = env
                .pending
                .first()
                .map(|packet| (packet.meta().position, packet.meta().direction));
            let Some((position, direction)) = first else {
                return;
            };
            let mut batch = self.emitted.take().unwrap_or_default();
            // A run of packets of one stage and direction, in the order they were emitted.
            let run = env
                .pending
                .iter()
                .take(Batch::CAPACITY)
                .take_while(|packet| {
                    (packet.meta().position, packet.meta().direction) == (position, direction)
                })
                .count();
            for packet in env.pending.drain(..run) {
                if let Err(packet) = batch.push(packet) {
                    drop(packet); // cannot be: `run` is at most the batch's capacity
                }
            }
            env.lap();
            self.pass(env, direction, Some(position), &mut batch, output);
            self.emitted = Some(batch);
        }
    }

    /// Sends packets out, those for the same port together.
    fn leave(
        &mut self,
        env: &mut Env,
        direction: Direction,
        batch: &mut Batch,
        output: &mut impl Output,
    ) {
        while let Some(first) = batch.iter().next() {
            let port = self.port_of(first, direction);
            let first = first.meta().passage();
            // One pass without a branch: of a burst that no stage has taken apart, every packet came at
            // the same moment and leaves by the same port.
            let [time, exit] = batch.iter().fold([0, 0], |[time, exit], packet| {
                let passage = packet.meta().passage();
                [
                    time | (passage[0] ^ first[0]),
                    exit | (passage[1] ^ first[1]),
                ]
            });
            if exit == 0
                || batch
                    .iter()
                    .all(|packet| self.port_of(packet, direction) == port)
            {
                let ingress = (time == 0).then_some(first[0]);
                return send(env, port, direction, ingress, batch, output);
            }
            let mut stray = self.stray.take().unwrap_or_default();
            batch.sift(|packet| {
                if self.port_of(&packet, direction) == port {
                    return Some(packet);
                }
                stray.push(packet).err()
            });
            send(env, port, direction, None, batch, output);
            batch.append(&mut stray);
            self.stray = Some(stray);
        }
    }

    #[inline(always)]
    fn port_of(&self, packet: &Packet, direction: Direction) -> u16 {
        match packet.meta().egress {
            NO_PORT => self.egress.port(packet.meta().port, direction),
            port => port,
        }
    }
}

/// Sends packets out by `port`, and counts how long they took; `ingress` is when they came, if all came
/// at one moment.
#[inline]
fn send(
    env: &mut Env,
    port: u16,
    direction: Direction,
    ingress: Option<u64>,
    batch: &mut Batch,
    output: &mut impl Output,
) {
    if port == NO_PORT {
        for packet in batch.drain() {
            env.drop_by_chain(packet, direction, ChainReason::NoEgress);
        }
        return;
    }
    env.record_transit(direction, ingress, batch);
    if let Some(traced) = &env.traced {
        let now = env.stamp_ns();
        for packet in batch.iter() {
            traced.packet(packet, now, None, direction, TraceEvent::Sent { port });
        }
    }
    output.send(env, port, batch);
}
