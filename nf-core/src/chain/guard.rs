//! What keeps a failing stage from taking others with it.
//!
//! A core says which actor it runs and since when. A panic ends the handler and no more; a watchdog
//! that finds a handler running for too long condemns it, and the handler ends at its next
//! [checkpoint](super::Cx::checkpoint). Either way the actor is taken out of service. Threads cannot be stopped from
//! outside: a handler that reaches no checkpoint keeps its core (iPipe, section 3.4, has a hardware timer here).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::cx::Env;
use crate::sched::{ActorId, Failure};

/// What a core says of the handler that it runs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Vitals {
    /// Number of the handler's run; odd while it runs.
    run: AtomicU64,
    actor: AtomicU32,
    /// The run that has to end.
    condemned: AtomicU64,
}

/// A handler that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Which run of the core's it is.
    pub number: u64,
    /// Whose.
    pub actor: ActorId,
}

impl Vitals {
    /// What runs now, if anything.
    pub fn running(&self) -> Option<Run> {
        let number = self.run.load(Ordering::Acquire);
        let actor = self.actor.load(Ordering::Acquire);
        // The same run before and after: the actor is its.
        let same = number % 2 == 1 && self.run.load(Ordering::Acquire) == number;
        same.then_some(Run {
            number,
            actor: ActorId {
                index: actor as u16,
                generation: (actor >> 16) as u16,
            },
        })
    }

    /// Has a run ended, if it still goes on.
    pub fn condemn(&self, run: Run) {
        self.condemned.store(run.number, Ordering::Release);
    }

    #[inline(always)]
    fn begin(&self, actor: ActorId) {
        let word = u32::from(actor.index) | u32::from(actor.generation) << 16;
        self.actor.store(word, Ordering::Release);
        let number = self.run.load(Ordering::Relaxed);
        self.run.store(number + 1, Ordering::Release);
    }

    #[inline(always)]
    fn end(&self) -> bool {
        let number = self.run.load(Ordering::Relaxed);
        self.run.store(number + 1, Ordering::Release);
        self.condemned.load(Ordering::Relaxed) == number
    }

    /// Whether the run that goes on has to end.
    #[inline(always)]
    fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Relaxed) == self.run.load(Ordering::Relaxed)
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would end a handler, and nothing else: a panic hook that ends the process may
/// let it pass.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// What unwinds a handler that was condemned.
struct Condemned;

/// Ends the handler that runs, if it was condemned.
#[inline(always)]
pub(super) fn checkpoint(env: &Env) {
    if GUARDED.get() && env.vitals.is_condemned() {
        end_handler();
    }
}

#[cold]
fn end_handler() -> ! {
    // No panic: nobody has made a mistake that should be told with a backtrace.
    resume_unwind(Box::new(Condemned))
}

/// Runs a handler of an actor. If it fails, what it had in hand is lost, and its state is not to be trusted.
#[inline(always)]
pub(super) fn guarded<R>(
    env: &mut Env,
    actor: ActorId,
    handler: impl FnOnce(&mut Env) -> R,
) -> Result<R, Failure> {
    env.vitals.begin(actor);
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| handler(env)));
    GUARDED.set(false);
    let condemned = env.vitals.end();
    match outcome {
        Ok(result) if !condemned => Ok(result),
        Ok(_) => Err(Failure::Overrun),
        Err(payload) => Err(failure(&*payload)),
    }
}

#[cold]
fn failure(payload: &(dyn Any + Send)) -> Failure {
    if payload.is::<Condemned>() {
        return Failure::Overrun;
    }
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    Failure::Panic(text.unwrap_or_else(|| "without a message".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTOR: ActorId = ActorId {
        index: 3,
        generation: 9,
    };

    #[test]
    fn a_run_is_seen_while_it_lasts_and_condemned_alone() {
        let vitals = Vitals::default();
        assert_eq!(vitals.running(), None);
        vitals.begin(ACTOR);
        let run = vitals.running().expect("it runs");
        assert_eq!(run.actor, ACTOR);
        assert!(!vitals.is_condemned());
        assert!(!vitals.end());
        // Too late: the next run is another.
        vitals.condemn(run);
        vitals.begin(ACTOR);
        assert!(!vitals.is_condemned());
        vitals.condemn(vitals.running().expect("it runs"));
        assert!(vitals.is_condemned() && vitals.end());
        assert_eq!(vitals.running(), None);
    }
}
