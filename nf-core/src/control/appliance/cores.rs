//! The packet cores as the control side sees them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chain::{Chain, Command, CoreHandle, Direction, TraceSession};
use crate::dpdk::LcoreThread;
use crate::telemetry::{CoreSnapshot, HistogramSnapshot, Telemetry};

/// A running packet core.
pub(super) struct Core {
    pub index: usize,
    pub handle: CoreHandle,
    pub cpu: usize,
    pub tid: i32,
    thread: Option<LcoreThread<Chain>>,
    last: CoreSnapshot,
    /// Busy share over the last sampling interval, 0 to 1.
    pub busy_share: f64,
    /// Transit times of the last sampling interval, by direction.
    pub transit: [HistogramSnapshot; 2],
}

/// All packet cores.
#[derive(Default)]
pub(super) struct Cores {
    pub list: Vec<Core>,
}

impl Cores {
    pub fn add(&mut self, handle: CoreHandle, thread: LcoreThread<Chain>) {
        self.list.push(Core {
            index: self.list.len(),
            handle,
            cpu: thread.cpu,
            tid: thread.tid,
            thread: Some(thread),
            last: CoreSnapshot::default(),
            busy_share: 0.0,
            transit: Default::default(),
        });
    }

    /// Cores whose loops have ended, which they do only by a panic.
    pub fn dead(&self) -> Vec<usize> {
        let ended = |core: &&Core| core.thread.as_ref().is_none_or(LcoreThread::is_finished);
        self.list
            .iter()
            .filter(ended)
            .map(|core| core.index)
            .collect()
    }

    /// Puts a command into a core's inbox; false when it is full.
    pub fn send(&self, core: usize, command: Command) -> bool {
        self.list
            .get(core)
            .is_some_and(|core| core.handle.send(command).is_ok())
    }

    pub fn trace(&self, session: Option<&Arc<TraceSession>>) {
        for core in &self.list {
            if core.handle.send(Command::Trace(session.cloned())).is_err() {
                tracing::warn!(
                    core = core.index,
                    "the core's inbox is full: it does not trace"
                );
            }
        }
    }

    /// Takes rates since the last call.
    pub fn sample(&mut self, telemetry: &Telemetry) {
        let mut snapshots = telemetry.snapshot().cores;
        for core in &mut self.list {
            let Some(now) = snapshots.remove(&core.index) else {
                continue;
            };
            let busy = now.busy_cycles.saturating_sub(core.last.busy_cycles);
            let idle = now.idle_cycles.saturating_sub(core.last.idle_cycles);
            core.busy_share = if busy + idle == 0 {
                0.0
            } else {
                busy as f64 / (busy + idle) as f64
            };
            for direction in Direction::ALL {
                let d = direction as usize;
                core.transit[d] = now.transit[d].since(&core.last.transit[d]);
            }
            core.last = now;
        }
    }

    /// Stops all loops and waits for them; gives their chains, whose stages may hold packets.
    pub fn stop(&mut self, patience: Duration) -> Vec<Chain> {
        for core in &self.list {
            core.handle.stop();
        }
        let mut chains = Vec::new();
        for core in &mut self.list {
            let Some(thread) = core.thread.take() else {
                continue;
            };
            chains.extend(join_in_time(
                thread,
                patience,
                &format!("core {}", core.index),
            ));
            while core.handle.retired().is_some() {}
        }
        chains
    }
}

/// Waits for a thread's end, but not for ever; gives what it left.
pub(super) fn join_in_time<T: Send + 'static>(
    thread: LcoreThread<T>,
    patience: Duration,
    name: &str,
) -> Option<T> {
    let deadline = Instant::now() + patience;
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    if !thread.is_finished() {
        tracing::error!("{name} does not stop; leaving it behind");
        return None;
    }
    let left = thread.join();
    if left.is_none() {
        tracing::error!("{name} ended by a panic");
    }
    left
}
