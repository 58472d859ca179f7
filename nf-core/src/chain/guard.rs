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
    /// The run that has to end, and whose it is.
    condemned: AtomicU64,
    condemned_actor: AtomicU32,
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
        let actor = actor_of(actor);
        same.then_some(Run { number, actor })
    }

    /// Has a run ended, if it still goes on.
    pub fn condemn(&self, run: Run) {
        self.condemned_actor
            .store(word(run.actor), Ordering::Relaxed);
        self.condemned.store(run.number, Ordering::Release);
    }

    /// The next handler of the same run-through begins.
    #[inline(always)]
    fn enter(&self, word: u32) {
        let number = self.run.load(Ordering::Relaxed);
        self.actor.store(word, Ordering::Release);
        self.run.store((number + 1) | 1, Ordering::Release);
    }

    #[inline(always)]
    fn end(&self) {
        let number = self.run.load(Ordering::Relaxed);
        self.run.store((number + 1) & !1, Ordering::Release);
    }

    /// Whose run was condemned, of those after number `since`.
    #[inline(always)]
    fn condemned_since(&self, since: u64) -> Option<ActorId> {
        (self.condemned.load(Ordering::Acquire) > since)
            .then(|| actor_of(self.condemned_actor.load(Ordering::Relaxed)))
    }

    /// Whether the run that goes on has to end.
    #[inline(always)]
    fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Relaxed) == self.run.load(Ordering::Relaxed)
    }
}

/// No actor: what runs is the core's own.
const NOBODY: u32 = u32::MAX;

thread_local! {
    /// The actor whose handler runs, if a panic would end that and nothing else.
    static GUARDED: Cell<u32> = const { Cell::new(NOBODY) };
}

/// Whether a panic of this thread would end a handler, and nothing else: a panic hook that ends the process may
/// let it pass.
pub fn is_guarded() -> bool {
    GUARDED.get() != NOBODY
}

fn actor_of(word: u32) -> ActorId {
    ActorId {
        index: word as u16,
        generation: (word >> 16) as u16,
    }
}

fn word(actor: ActorId) -> u32 {
    u32::from(actor.index) | u32::from(actor.generation) << 16
}

/// From here to the next call, or the end of what is guarded, it is that actor's handler that runs.
#[inline(always)]
pub(super) fn enter(env: &Env, actor: ActorId) {
    let word = word(actor);
    GUARDED.set(word);
    env.vitals.enter(word);
}

/// The handlers are through: what runs is the core's own.
#[inline(always)]
pub(super) fn leave(env: &Env) {
    GUARDED.set(NOBODY);
    env.vitals.end();
}

/// What unwinds a handler that was condemned.
struct Condemned;

/// Ends the handler that runs, if it was condemned.
#[inline(always)]
pub(super) fn checkpoint(env: &Env) {
    if is_guarded() && env.vitals.is_condemned() {
        end_handler();
    }
}

#[cold]
fn end_handler() -> ! {
    // No panic: nobody has made a mistake that should be told with a backtrace.
    resume_unwind(Box::new(Condemned))
}

/// Runs handlers of actors, each of which says so by [`enter`]. If one fails, what it had in hand is lost, and
/// its state is not to be trusted. A panic of the core's own goes on.
#[inline(always)]
pub(super) fn guarded<R>(
    env: &mut Env,
    handlers: impl FnOnce(&mut Env) -> R,
) -> Result<R, (ActorId, Failure)> {
    let since = env.vitals.run.load(Ordering::Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(|| handlers(env)));
    let last = GUARDED.replace(NOBODY);
    env.vitals.end();
    match (outcome, env.vitals.condemned_since(since)) {
        (Ok(result), None) => Ok(result),
        (Ok(_), Some(actor)) => Err((actor, Failure::Overrun)),
        (Err(payload), _) => ended(last, payload),
    }
}

/// The same of one actor alone.
pub(super) fn guarded_one<R>(
    env: &mut Env,
    actor: ActorId,
    handler: impl FnOnce(&mut Env) -> R,
) -> Result<R, Failure> {
    guarded(env, |env| {
        enter(env, actor);
        handler(env)
    })
    .map_err(|(_, failure)| failure)
}

/// A handler has ended by unwinding.
#[cold]
fn ended<R>(last: u32, payload: Box<dyn Any + Send>) -> Result<R, (ActorId, Failure)> {
    match last {
        NOBODY => resume_unwind(payload),
        last => Err((actor_of(last), failure(&*payload))),
    }
}

/// Runs what an actor does outside of its handlers, where no watchdog looks.
pub(super) fn contained<R>(actor: ActorId, run: impl FnOnce() -> R) -> Result<R, Failure> {
    GUARDED.set(word(actor));
    let outcome = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(NOBODY);
    outcome.map_err(|payload| failure(&*payload))
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
        vitals.enter(word(ACTOR));
        let run = vitals.running().expect("it runs");
        assert_eq!(run.actor, ACTOR);
        assert!(!vitals.is_condemned());
        // The next of the same chain is another run.
        let other = ActorId { index: 4, ..ACTOR };
        vitals.enter(word(other));
        vitals.condemn(run);
        assert!(!vitals.is_condemned(), "too late");
        assert_eq!(vitals.running().map(|run| run.actor), Some(other));
        assert_eq!(vitals.condemned_since(0), Some(ACTOR), "but it is known");
        vitals.condemn(vitals.running().expect("it runs"));
        assert!(vitals.is_condemned());
        vitals.end();
        assert_eq!(vitals.running(), None);
        let since = vitals.run.load(Ordering::Relaxed);
        assert_eq!(vitals.condemned_since(since), None);
    }
}
