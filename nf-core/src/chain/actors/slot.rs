//! A place in a core's chain, and where its shard is.

use super::execute::{Sends, run_stage};
use super::mail::{Body, ChainWork, Mail};
use crate::chain::Direction;
use crate::chain::cx::{Cx, Env};
use crate::chain::guard::{enter, guarded_one};
use crate::chain::shard::ChainStage;
use crate::chain::stage::Stage;
use crate::packet::Batch;
use crate::sched::runtime::{Handle, Lease};
use crate::sched::{ActorId, Failure};

/// A place in a core's chain.
#[derive(Debug)]
pub(in crate::chain) struct Slot {
    /// The shard, while it runs here.
    pub stage: Option<Box<ChainStage>>,
    seat: Option<Box<Seat>>,
}

/// What a shard is to the scheduler.
struct Seat {
    actor: Handle<ChainWork>,
    lease: Option<Lease<ChainWork>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("actor", &self.actor.id())
            .field("here", &self.lease.is_some())
            .finish()
    }
}

impl Slot {
    /// Of a shard that nobody schedules.
    pub fn fixed(stage: ChainStage) -> Slot {
        Slot {
            stage: Some(Box::new(stage)),
            seat: None,
        }
    }

    /// Of an actor, wherever it is.
    pub fn of(actor: Handle<ChainWork>) -> Slot {
        Slot {
            stage: None,
            seat: Some(Box::new(Seat { actor, lease: None })),
        }
    }

    /// The stage that is here runs a batch.
    #[inline(always)]
    pub fn process(
        &mut self,
        env: &mut Env,
        position: u8,
        direction: Direction,
        batch: &mut Batch,
    ) {
        let Some(stage) = &mut self.stage else {
            return self.send_away(env, position, direction, batch);
        };
        stage.undelivered += env.take_undelivered(position);
        let Some(seat) = &mut self.seat else {
            if env.traced.is_some() {
                stage.process_traced(env, direction, batch);
            } else {
                stage.process(env, direction, batch);
            }
            return;
        };
        let count = batch.len();
        enter(env, seat.actor.id());
        let cycles = match env.traced.is_some() {
            true => stage.process_traced(env, direction, batch),
            false => stage.process(env, direction, batch),
        };
        stage.tally.add_total(cycles as f64, count);
    }

    /// Tells the scheduler what the stage has done since it was last told.
    pub fn report(&mut self, unit: f64, sojourn_ns: f64, bytes: f64) {
        let lease = self.seat.as_mut().and_then(|seat| seat.lease.as_mut());
        if let (Some(lease), Some(stage)) = (lease, &mut self.stage)
            && !stage.tally.is_empty()
        {
            let tally = std::mem::take(&mut stage.tally);
            lease.book(tally.of_totals(unit), sojourn_ns, bytes);
        }
    }

    /// Whether it is that actor's place.
    pub fn is_of(&self, actor: ActorId) -> bool {
        self.seat
            .as_ref()
            .is_some_and(|seat| seat.actor.id() == actor)
    }

    /// The stage has failed: it is taken out of service. What it left in the batch passes.
    #[cold]
    pub fn bury(&mut self, env: &mut Env, failure: Failure) {
        let lease = self.seat.as_mut().and_then(|seat| seat.lease.take());
        let (Some(lease), Some(stage), Some(sched)) =
            (lease, self.stage.take(), env.sched.as_mut())
        else {
            return;
        };
        sched.bury(lease, Box::new(Body::Stage(stage)), failure);
    }

    /// Calls the stage, guarded, if it is here.
    pub fn call(&mut self, env: &mut Env, call: impl FnOnce(&mut dyn Stage, &mut Cx<'_>)) {
        let Some(stage) = &mut self.stage else {
            return;
        };
        let Some(seat) = &self.seat else {
            return stage.call(env, call);
        };
        if let Err(failure) = guarded_one(env, seat.actor.id(), |env| stage.call(env, call)) {
            self.bury(env, failure);
        }
    }

    /// Calls the stage for one timer that has expired, if it is here and one has.
    pub fn expire(&mut self, env: &mut Env) -> bool {
        let Some(timer) = self
            .stage
            .as_mut()
            .and_then(|stage| stage.take_expired(env.now))
        else {
            return false;
        };
        self.call(env, |shard, cx| shard.on_timer(cx, timer));
        true
    }

    /// The stage is elsewhere: the packets go after it. If it is no more, they pass.
    #[cold]
    fn send_away(&mut self, env: &mut Env, position: u8, direction: Direction, batch: &mut Batch) {
        let Some(seat) = &self.seat else {
            return;
        };
        let home = env.core as u16;
        let undelivered = env.take_undelivered(position);
        let Some(sched) = &mut env.sched else {
            return;
        };
        if seat.actor.is_closed() {
            env.chain_counters.custom.add(BYPASSED, batch.len() as u64);
            return;
        }
        if undelivered > 0 {
            sched.send(&seat.actor, Mail::Undelivered(undelivered));
        }
        for mut packet in batch.drain() {
            let meta = packet.meta_mut();
            (meta.position, meta.direction) = (position, direction);
            sched.send(&seat.actor, Mail::Packet { home, packet });
        }
    }

    /// Whether the stage is an actor, and not here.
    #[inline]
    pub fn is_away(&self) -> bool {
        self.stage.is_none()
    }

    /// Gives the stage back if the scheduler wants it elsewhere.
    pub fn yield_up(&mut self, env: &mut Env) {
        let (Some(seat), Some(sched)) = (&mut self.seat, &mut env.sched) else {
            return;
        };
        if !seat.lease.as_ref().is_some_and(Lease::is_wanted) {
            return;
        }
        if let (Some(lease), Some(stage)) = (seat.lease.take(), self.stage.take()) {
            let wakes = stage.wakes_ns();
            sched.give_back(lease, Box::new(Body::Stage(stage)), wakes);
        }
    }

    /// Gives the stage back in any case: the core's loop ends.
    pub fn let_go(&mut self, env: &mut Env) {
        let (Some(seat), Some(sched)) = (&mut self.seat, &mut env.sched) else {
            return;
        };
        if let (Some(lease), Some(stage)) = (seat.lease.take(), self.stage.take()) {
            sched.give_back(lease, Box::new(Body::Stage(stage)), u64::MAX);
        }
    }

    /// Takes the stage in hand if it belongs here again; else sees to it that it is called in time. True if it
    /// came: what it sent from elsewhere has to go on before it runs here, and then it has to do what
    /// [waits](Slot::catch_up).
    pub fn look_after(&mut self, env: &mut Env) -> bool {
        let (None, Some(seat), Some(sched)) = (&self.stage, &mut self.seat, &mut env.sched) else {
            return false;
        };
        if let Some((lease, body)) = sched.lease(&seat.actor, CATCH_UP_NS) {
            let Body::Stage(mut stage) = *body else {
                return false; // cannot be: the chain is made of stages
            };
            stage.refresh();
            seat.lease = Some(lease);
            self.stage = Some(stage);
            return true;
        }
        if seat.actor.take_wake(env.now) {
            sched.send(&seat.actor, Mail::Tick);
        }
        false
    }

    /// Runs what was sent to the stage before it came here.
    pub fn catch_up(&mut self, env: &mut Env, sends: &mut Sends) {
        let (Some(stage), Some(seat)) = (&mut self.stage, &self.seat) else {
            return;
        };
        let Some(lease) = &seat.lease else {
            return;
        };
        let mut waiting = std::iter::from_fn(|| lease.take_waiting());
        let outcome = guarded_one(env, seat.actor.id(), |env| {
            run_stage(env, stage, &mut waiting, sends);
        });
        if let Err(failure) = outcome {
            self.bury(env, failure);
        }
    }

    /// Something was published: the stage takes it over, wherever it is.
    pub fn refresh(&mut self, env: &mut Env) {
        match (&mut self.stage, &self.seat, &mut env.sched) {
            (Some(stage), _, _) => stage.refresh(),
            (None, Some(seat), Some(sched)) if !seat.actor.is_closed() => {
                sched.send(&seat.actor, Mail::Tick);
            }
            _ => {}
        }
    }
}

/// A stage comes back to its core when what waits for it is done in so many nanoseconds.
const CATCH_UP_NS: f64 = 1e6;

/// Index of the counter of packets that passed a stage that is no more.
pub(super) const BYPASSED: usize = 0;
