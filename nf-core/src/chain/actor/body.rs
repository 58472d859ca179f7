//! An actor as the scheduler has it: the code, its memory, its timers and its books, as one value.

use std::sync::Arc;

use super::control::Transfer;
use super::cx::ActorCx;
use super::errand::{Errand, Load};
use super::{Actor, NewActor};
use crate::chain::actors::{Mail, Sends};
use crate::chain::chain::ChainReason;
use crate::chain::cx::Env;
use crate::chain::guard;
use crate::clock::Wheel;
use crate::packet::Packet;
use crate::sched::dmo::incoming::Incoming;
use crate::sched::dmo::{DmoError, Region, TransferError};
use crate::sched::runtime::Send as Sent;
use crate::sched::{ActorId, Failure, Hitch};
use crate::telemetry::{Block, StageCounters, Writer};

/// Resolution of actors' timers, nanoseconds.
const TIMER_TICK_NS: u64 = 1024;

/// Bytes of a frame in which a region is copied.
const FRAME_BYTES: usize = 64 * 1024;

/// How an actor is made, again and again.
pub(super) type Make = Box<dyn Fn() -> Box<dyn Actor> + std::marker::Send>;

/// What stands between an actor and its next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It has not begun.
    New,
    /// It has changed sides, or was about to.
    Moved,
    /// Nothing.
    Ready,
}

/// What an actor has besides its code.
pub(super) struct Own {
    pub id: ActorId,
    pub name: Arc<str>,
    pub region: Region,
    pub timers: Wheel<u64>,
    pub counters: Writer<StageCounters>,
    /// Packets that it has and has not let go of.
    pub held: u64,
    /// How many it may have.
    pub packets: u64,
    /// The packet core by which packets of its own leave.
    pub home: u16,
}

/// An actor that is no stage.
pub struct ActorBody {
    actor: Box<dyn Actor>,
    make: Make,
    transfer: Transfer,
    stand: Stand,
    copies: u32,
    own: Own,
}

impl std::fmt::Debug for ActorBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActorBody")
            .field("name", &self.own.name)
            .field("stand", &self.stand)
            .finish_non_exhaustive()
    }
}

impl ActorBody {
    pub(super) fn new(
        id: ActorId,
        new: &NewActor,
        make: Make,
        counters: Writer<StageCounters>,
    ) -> ActorBody {
        ActorBody {
            actor: make(),
            make,
            transfer: new.transfer,
            stand: Stand::New,
            copies: 0,
            own: Own {
                id,
                name: new.name.clone(),
                region: Region::new(id, new.memory),
                timers: Wheel::new(new.timers, TIMER_TICK_NS),
                counters,
                held: 0,
                packets: new.packets,
                home: new.home,
            },
        }
    }

    /// When its next timer expires, nanoseconds; `u64::MAX` without one.
    pub(in crate::chain) fn wakes_ns(&self) -> u64 {
        self.own.timers.next_expiry().unwrap_or(u64::MAX)
    }

    /// Counts what it has not let go of as dropped: it will not any more.
    pub(in crate::chain) fn close_books(&mut self) {
        let held = self.own.counters.snapshot().held();
        self.own.counters.dropped(usize::MAX, held);
    }

    /// Lets it make its state, or find it again, before anything else.
    pub(in crate::chain) fn begin(
        &mut self,
        env: &mut Env,
        sends: &mut Sends,
    ) -> Result<(), Failure> {
        env.lap();
        let stand = std::mem::replace(&mut self.stand, Stand::Ready);
        let cx = &mut ActorCx::new(env, sends, &mut self.own);
        let outcome = match stand {
            Stand::Ready => Ok(()),
            Stand::New => self.actor.init(cx),
            Stand::Moved => self.actor.on_resume(cx),
        };
        outcome.map_err(|error: DmoError| Failure::GaveUp(error.to_string()))
    }

    /// Calls it for timers that have expired.
    pub(in crate::chain) fn expire(&mut self, env: &mut Env, sends: &mut Sends) {
        while let Some(timer) = self.own.timers.pop(env.now) {
            let mut cx = ActorCx::new(env, sends, &mut self.own);
            self.actor.on_timer(&mut cx, timer.payload);
        }
    }

    /// Hands it a message; if it holds too many already, that one is dropped.
    pub(in crate::chain) fn exec(&mut self, env: &mut Env, message: Packet, sends: &mut Sends) {
        if self.own.held >= self.own.packets {
            let direction = message.meta().direction;
            return env.drop_by_chain(message, direction, ChainReason::OverQuota);
        }
        let way = message.meta().direction as usize;
        self.own.counters.input.add(way, 1);
        self.own.held += 1;
        let mut cx = ActorCx::new(env, sends, &mut self.own);
        self.actor.exec(&mut cx, message);
    }

    /// An object comes, or news of one.
    pub(in crate::chain) fn errand(
        &mut self,
        env: &mut Env,
        mut errand: Box<Errand>,
        sends: &mut Sends,
    ) {
        let mut cx = ActorCx::new(env, sends, &mut self.own);
        match errand.load {
            Load::Forth(detached) => {
                let (from, kind) = (errand.from, errand.kind);
                let arrived = cx.region_mut().adopt(detached);
                let object = match arrived {
                    Ok(departed) => {
                        errand.load = Load::Arrived(departed);
                        Some(departed.id)
                    }
                    Err((detached, error)) => {
                        errand.load = Load::Back(detached, error);
                        None
                    }
                };
                cx.sends.push(Sent::To(from, Mail::Errand(errand)));
                if let Some(object) = object {
                    self.actor.on_object(&mut cx, from, object, kind);
                }
            }
            Load::Arrived(departed) => {
                let (old, new) = (departed.old(), departed.id);
                if cx.region_mut().settle(departed).is_ok() {
                    self.actor.on_given(&mut cx, old, Ok(new));
                }
            }
            Load::Back(detached, error) => {
                let old = detached.id();
                if cx.region_mut().reattach(detached).is_ok() {
                    self.actor.on_given(&mut cx, old, Err(error));
                }
            }
        }
    }

    /// Its turn ends: the time is its own.
    pub(in crate::chain) fn end(&mut self, env: &mut Env) {
        self.own.counters.cycles.add(env.lap());
    }

    /// It goes to another core: says farewell, and if it does not go as it is, is made anew from a copy of its
    /// memory.
    pub(in crate::chain) fn changes_sides(&mut self) -> Result<(), Hitch> {
        if self.stand == Stand::New {
            return Ok(()); // there is nothing to say, and nothing to copy
        }
        self.stand = Stand::Moved;
        let left = guard::contained(self.own.id, || {
            self.actor
                .on_suspend(&mut self.own.region)
                .map_err(|_| Hitch::Stays)?;
            match self.transfer {
                Transfer::Handoff => Ok(()),
                Transfer::Copy => self.copy().map_err(|_| Hitch::Stays),
            }
        });
        left.unwrap_or_else(|failure| Err(Hitch::Fails(failure)))
    }

    /// Goes on with a copy of the memory, and code that knows nothing. On an error, all is as it was.
    fn copy(&mut self) -> Result<(), TransferError> {
        self.copies = self.copies.wrapping_add(1);
        let region = &mut self.own.region;
        let mut outgoing = region.start_copy(self.copies)?;
        let mut incoming = Incoming::new(region.quota());
        let mut frame = vec![0; FRAME_BYTES];
        let arrived = loop {
            let taken = outgoing.fill(region, &mut frame).and_then(|len| {
                let is_all = match frame.get(..len) {
                    Some(frame) if len > 0 => incoming.accept(frame)?,
                    _ => true,
                };
                Ok(is_all)
            });
            match taken {
                Ok(false) => {}
                Ok(true) => break incoming.finish(),
                Err(error) => break Err(error),
            }
        };
        let arrived = match arrived {
            Ok(arrived) => arrived,
            Err(error) => {
                region.abort_copy(outgoing);
                return Err(error);
            }
        };
        let commit = match region.commit_copy(outgoing, &arrived.receipt()) {
            Ok(commit) => commit,
            Err((outgoing, error)) => {
                region.abort_copy(outgoing);
                return Err(error);
            }
        };
        self.own.region = arrived
            .activate(&commit)
            .map_err(|_| TransferError::Unexpected)?;
        self.actor = (self.make)();
        Ok(())
    }
}
