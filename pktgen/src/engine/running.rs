//! A run that goes on: watched from the control thread until all is sent and the rest is back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nf_core::clock::Clock;
use nf_core::dpdk::LcoreThread;
use nf_core::telemetry::View;

use super::worker::{Harvest, Signals};
use super::{Observer, Progress};
use crate::profile::Profile;
use crate::stats::{
    ReceiveCounters, ReceiveSnapshot, TransmitCounters, TransmitSnapshot, WorkCounters,
};

/// Where the cores count.
#[derive(Default)]
pub(super) struct Views {
    /// Stream, its counters on one core.
    pub(super) transmit: Vec<(usize, View<TransmitCounters>)>,
    pub(super) receive: Vec<View<ReceiveCounters>>,
    pub(super) work: Vec<(usize, View<WorkCounters>)>,
}

/// A run whose cores have started.
pub(super) struct Running {
    pub(super) signals: Arc<Signals>,
    pub(super) threads: Vec<LcoreThread<Harvest>>,
    pub(super) views: Views,
    pub(super) streams: usize,
    pub(super) transmitters: u64,
}

impl Running {
    fn progress(&self, elapsed_s: f64) -> Progress {
        let mut streams = vec![TransmitSnapshot::default(); self.streams];
        let mut sent = TransmitSnapshot::default();
        for (stream, view) in &self.views.transmit {
            let snapshot = view.snapshot();
            sent.add(&snapshot);
            if let Some(stream) = streams.get_mut(*stream) {
                stream.add(&snapshot);
            }
        }
        let mut received = ReceiveSnapshot::default();
        for view in &self.views.receive {
            received.add(&view.snapshot());
        }
        let work = self
            .views
            .work
            .iter()
            .map(|(cpu, view)| (*cpu, view.snapshot()));
        Progress {
            elapsed_s,
            sent,
            streams,
            received,
            work: work.collect(),
        }
    }

    /// Gives the start, watches until all is sent and the rest has settled, and stops the cores.
    pub(super) fn watch(
        &mut self,
        clock: &Clock,
        observer: &mut dyn Observer,
        profile: &Profile,
    ) -> (Progress, Vec<Harvest>, bool) {
        // Every core has the same start, a little ahead, so that none begins late.
        let start = clock.now() + 5_000_000;
        self.signals.start.store(start, Ordering::Release);
        let elapsed = || clock.now().saturating_sub(start) as f64 / 1e9;
        let interval = observer.interval();
        let mut next = Instant::now() + interval;
        let mut interrupted = false;
        while self.signals.done.load(Ordering::Acquire) < self.transmitters {
            let pause = next.saturating_duration_since(Instant::now());
            std::thread::sleep(pause.min(Duration::from_millis(2)));
            if Instant::now() >= next {
                next += interval;
                if !observer.progress(&self.progress(elapsed())) && !interrupted {
                    interrupted = true;
                    self.signals.stop_sending.store(true, Ordering::Relaxed);
                }
            }
        }
        let seconds = elapsed();
        // What is still under way may take its time, but once everything is back there is nothing to
        // wait for.
        let settled = Instant::now() + profile.receive.settle.0;
        while Instant::now() < settled {
            let progress = self.progress(seconds);
            let back = progress.received.unique + progress.received.too_late;
            if progress.sent.tracked > 0
                && progress.sent.tracked == progress.sent.packets
                && back >= progress.sent.tracked
            {
                // A little longer, for duplicates.
                std::thread::sleep(Duration::from_millis(20).min(profile.receive.settle.0));
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signals.stop.store(true, Ordering::Relaxed);
        let harvests = self
            .threads
            .drain(..)
            .filter_map(LcoreThread::join)
            .collect();
        let progress = self.progress(seconds);
        observer.progress(&progress);
        (progress, harvests, interrupted)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signals.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
