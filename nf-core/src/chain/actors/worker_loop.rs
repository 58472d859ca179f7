//! The loop of a worker core: runs what the scheduler has put there.

use std::time::Duration;

use super::execute::{Sends, execute};
use super::mail::{ChainWork, account_for_lost};
use crate::chain::core_loop::{Command, CoreControl, IdlePolicy};
use crate::chain::cx::Env;
use crate::chain::trace::Traced;
use crate::sched::runtime::WorkerCore;

/// Empty turns before an adaptive worker sleeps.
const SPIN_TURNS: u32 = 2_000;

/// How long it sleeps at most without being woken, milliseconds.
const SLEEP_MS: u64 = 100;

/// A worker core: the scheduler's end of it, and what a core needs to run stages.
pub struct WorkerLoop {
    control: CoreControl,
    core: WorkerCore<ChainWork>,
    env: Env,
    idle: IdlePolicy,
}

impl std::fmt::Debug for WorkerLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerLoop")
            .field("worker", &self.core.worker())
            .finish_non_exhaustive()
    }
}

impl WorkerLoop {
    /// A worker's loop.
    pub fn new(
        control: CoreControl,
        core: WorkerCore<ChainWork>,
        env: Env,
        idle: IdlePolicy,
    ) -> WorkerLoop {
        WorkerLoop {
            control,
            core,
            env,
            idle,
        }
    }

    /// Runs until it is stopped.
    pub fn run(mut self) {
        let mut sends = Sends::new();
        let mut turns_empty = 0u32;
        self.core.awakens();
        self.core.refresh();
        loop {
            if self.control.changed() && self.turn_of_control() {
                return;
            }
            let before = self.env.stamp();
            let now = self.env.tick();
            self.env.counters.loops.add(1);
            let job = self.core.begin(now);
            account_for_lost(&mut self.env, &mut self.core);
            let Some(mut job) = job else {
                turns_empty = turns_empty.saturating_add(1);
                if self.idle == IdlePolicy::Adaptive && turns_empty > SPIN_TURNS {
                    self.env.counters.sleeps.add(1);
                    self.core.sleep(Duration::from_millis(SLEEP_MS));
                } else {
                    std::hint::spin_loop();
                }
                let idle = self.env.stamp().wrapping_sub(before);
                self.env.counters.idle_cycles.add(idle);
                continue;
            };
            turns_empty = 0;
            execute(&mut self.env, &mut job, &mut sends);
            // From the end of the shard's last step: its own time, and not the loop's.
            self.env.lap();
            let end = self.env.stamp_ns();
            // Everything an actor sends here goes home; nothing leaves by a worker.
            self.core.finish(job, end, sends.drain(..), &mut drop);
            let busy = self.env.stamp().wrapping_sub(before);
            self.env.counters.busy_cycles.add(busy);
        }
    }

    /// Takes over what was published and what is in the inbox. True when the loop shall end.
    #[cold]
    fn turn_of_control(&mut self) -> bool {
        self.env.counters.refreshes.add(1);
        self.core.refresh();
        while let Some(command) = self.control.command() {
            self.env.counters.inbox.add(1);
            if let Command::Trace(session) = command {
                let core = self.env.core as u16;
                self.env.traced = session.map(|session| Traced::new(session, core));
            }
        }
        self.control.is_stopped()
    }
}
