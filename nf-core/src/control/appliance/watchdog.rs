//! The watchdog: a thread off the packet cores that finds handlers which run for too long.
//!
//! It looks at each core a few times within the budget. What counts is the processor time that the core's thread
//! has used since the handler was first seen, so that a handler is not blamed for a thread that the kernel has
//! kept waiting; only one that blocks, and uses none, is judged by the clock, and later. A handler that is over its
//! budget is condemned: it ends at its next checkpoint, or is taken out of service when it returns. One that does neither
//! within a second budget keeps its core, which is reported as lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chain::{Run, Vitals};

/// A handler that uses no processor time is over its budget after so many times that.
const BLOCKED: u32 = 10;

/// A core that is watched.
pub(super) struct Watched {
    /// For people.
    pub name: String,
    pub vitals: Arc<Vitals>,
    /// The operating system's thread id.
    pub tid: i32,
    seen: Option<Seen>,
}

/// A handler that was seen running.
#[derive(Debug, Clone, Copy)]
struct Seen {
    run: Run,
    since: Duration,
    /// Processor time of the thread then.
    cpu: Duration,
    condemned: bool,
    lost: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Condemn(Run),
    /// It was condemned, and goes on.
    Lost(Run),
}

impl Watched {
    pub fn new(name: String, vitals: Arc<Vitals>, tid: i32) -> Watched {
        Watched {
            name,
            vitals,
            tid,
            seen: None,
        }
    }

    /// One look: what runs now, when it is, and how much processor time the thread has used.
    fn look(
        &mut self,
        run: Option<Run>,
        now: Duration,
        cpu: impl FnOnce() -> Duration,
        budget: Duration,
    ) -> Option<Verdict> {
        let Some(run) = run else {
            self.seen = None;
            return None;
        };
        let Some(seen) = self.seen.as_mut().filter(|seen| seen.run == run) else {
            self.seen = Some(Seen {
                run,
                since: now,
                cpu: cpu(),
                condemned: false,
                lost: false,
            });
            return None;
        };
        if seen.lost {
            return None;
        }
        let used = cpu().saturating_sub(seen.cpu);
        let limit = if seen.condemned { 2 * budget } else { budget };
        let over = used >= limit || now.saturating_sub(seen.since) >= BLOCKED * limit;
        if !over {
            return None;
        }
        if seen.condemned {
            seen.lost = true;
            return Some(Verdict::Lost(run));
        }
        seen.condemned = true;
        Some(Verdict::Condemn(run))
    }
}

/// Processor time that a thread of this process has used.
fn cpu_time(tid: i32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"));
    let ns = stat
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// The running watchdog. It ends when this is dropped.
pub(super) struct Watchdog {
    stop: Arc<AtomicBool>,
    lost: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches these cores; a handler may run for `budget`.
    pub fn start(mut cores: Vec<Watched>, budget: Duration) -> std::io::Result<Watchdog> {
        let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let watchdog = (stop.clone(), Arc::clone(&lost));
        let body = move || {
            let (stop, lost): (Arc<AtomicBool>, Arc<Mutex<Vec<String>>>) = watchdog;
            let began = Instant::now();
            while !stop.load(Ordering::Acquire) {
                for core in &mut cores {
                    let (run, tid) = (core.vitals.running(), core.tid);
                    match core.look(run, began.elapsed(), || cpu_time(tid), budget) {
                        None => {}
                        Some(Verdict::Condemn(run)) => {
                            core.vitals.condemn(run);
                            tracing::error!(
                                core = core.name,
                                actor = %run.actor,
                                "a handler is over its budget and has to end"
                            );
                        }
                        Some(Verdict::Lost(run)) => {
                            tracing::error!(
                                core = core.name,
                                actor = %run.actor,
                                "a handler does not end; the core is lost until the next start"
                            );
                            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
                            lost.push(core.name.clone());
                        }
                    }
                }
                std::thread::sleep(budget / 4);
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".into());
        Ok(Watchdog {
            stop,
            lost,
            thread: Some(thread.spawn(body)?),
        })
    }

    /// Cores on which a handler does not end.
    pub fn lost(&self) -> Vec<String> {
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::ActorId;

    const BUDGET: Duration = Duration::from_millis(10);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn run(number: u64) -> Option<Run> {
        let actor = ActorId {
            index: 1,
            generation: 1,
        };
        Some(Run { number, actor })
    }

    fn watched() -> Watched {
        Watched::new("core 0".into(), Arc::default(), 0)
    }

    #[test]
    fn ip44_a_handler_over_its_budget_is_condemned_once_and_then_its_core_is_lost() {
        let mut core = watched();
        let mut at = |now: u64, cpu: u64| core.look(run(3), ms(now), || ms(cpu), BUDGET);
        assert_eq!(at(0, 50), None);
        assert_eq!(at(9, 59), None);
        assert_eq!(at(10, 60), run(3).map(Verdict::Condemn));
        assert_eq!(at(15, 65), None, "once");
        assert_eq!(at(20, 70), run(3).map(Verdict::Lost));
        assert_eq!(at(99, 99), None, "once");
    }

    #[test]
    fn a_thread_that_the_kernel_keeps_waiting_is_not_blamed() {
        let mut core = watched();
        assert_eq!(core.look(run(3), ms(0), || ms(5), BUDGET), None);
        assert_eq!(core.look(run(3), ms(60), || ms(6), BUDGET), None);
        // But one that never comes back is.
        let late = core.look(run(3), ms(100), || ms(6), BUDGET);
        assert_eq!(late, run(3).map(Verdict::Condemn));
    }

    #[test]
    fn many_short_runs_are_not_one_long_one() {
        let mut core = watched();
        for n in 0..100 {
            assert_eq!(
                core.look(run(2 * n + 1), ms(5 * n), || ms(5 * n), BUDGET),
                None
            );
        }
        assert_eq!(core.look(None, ms(500), || ms(500), BUDGET), None);
        assert_eq!(core.look(run(199), ms(510), || ms(510), BUDGET), None);
    }

    #[test]
    fn the_processor_time_of_a_thread_grows_while_it_works() {
        let tid = std::process::id() as i32;
        assert!(cpu_time(tid) > Duration::ZERO);
        assert_eq!(cpu_time(-1), Duration::ZERO);
    }
}
