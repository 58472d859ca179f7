//! A core's loop: sends what is due, takes what has come, and accounts for its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nf_core::clock::Clock;
use nf_core::telemetry::Writer;

use super::receive::Receiver;
use super::transmit::{SentFlow, Transmitter};
use crate::stats::WorkCounters;
use crate::tracker::Flow;

/// What the control thread tells the cores of a run.
#[derive(Debug, Default)]
pub struct Signals {
    /// Time at which the run starts, on the process's clock; 0 while it is not known.
    pub start: AtomicU64,
    /// The transmitters stop at once.
    pub stop_sending: AtomicBool,
    /// The cores end.
    pub stop: AtomicBool,
    /// How many transmitters have sent everything.
    pub done: AtomicU64,
}

/// What a core brings home.
#[derive(Debug, Default)]
pub struct Harvest {
    /// When its last packet left, nanoseconds since the start.
    pub last_sent_ns: u64,
    /// When it had nothing left to send, nanoseconds since the start.
    pub ended_ns: u64,
    /// Packets sent of its tracked flows.
    pub sent: Vec<SentFlow>,
    /// When its packets left, nanoseconds since the start, as many as were to be recorded.
    pub departures: Vec<u64>,
    /// The flows that it followed.
    pub flows: Vec<(u32, Flow)>,
}

/// One core.
pub struct Worker {
    /// Its sending half, if it sends.
    pub transmitter: Option<Transmitter>,
    /// Its receiving half, if it receives.
    pub receiver: Option<Receiver>,
    /// Where its time goes.
    pub work: Writer<WorkCounters>,
    /// The process's clock.
    pub clock: Clock,
    /// What it is told.
    pub signals: Arc<Signals>,
    /// Sleeps when there is time to.
    pub adaptive: bool,
}

/// Turns of the loop between looks at what is rare.
const RARE: u32 = 64;
/// A sleep may last this much longer than asked for.
const OVERSLEEP_NS: u64 = 80_000;
/// Longest sleep: what comes meanwhile waits in the port's queue.
const LONGEST_SLEEP_NS: u64 = 200_000;

impl Worker {
    /// Runs until told to stop.
    pub fn run(mut self) -> Harvest {
        let clock = self.clock.clone();
        let read = || clock.now();
        let signals = Arc::clone(&self.signals);
        let mut start = 0;
        let mut turn = 0u32;
        let mut sending = self.transmitter.is_some();
        let mut last = clock.cycles();
        let (mut last_sent_ns, mut ended_ns) = (0, 0);
        loop {
            if start == 0 {
                start = signals.start.load(Ordering::Acquire);
            }
            let mut busy = false;
            // The end of the last turn is the beginning of this one: one reading a turn.
            let now = clock.at_cycles(last);
            if let Some(transmitter) = &mut self.transmitter
                && sending
                && start != 0
                && now >= start
            {
                busy = transmitter.poll(now, start);
                if busy {
                    last_sent_ns = now - start;
                }
            }
            let middle = clock.cycles();
            if busy {
                self.work.transmit.add(middle.wrapping_sub(last));
            }
            let mut received = false;
            if let Some(receiver) = &mut self.receiver {
                received = receiver.poll(&read);
            }
            let end = if self.receiver.is_some() {
                clock.cycles()
            } else {
                middle
            };
            if received {
                self.work.receive.add(end.wrapping_sub(middle));
            }
            if start != 0 && (sending || self.transmitter.is_none()) {
                self.work.total.add(end.wrapping_sub(last));
            }
            last = end;

            turn = turn.wrapping_add(1);
            // Not in every idle turn of a polling core: a packet that falls due waits for its end.
            let idle = self.adaptive && !(busy || received);
            if turn.is_multiple_of(RARE) || idle {
                if signals.stop.load(Ordering::Relaxed) {
                    break;
                }
                if let Some(transmitter) = &mut self.transmitter {
                    transmitter.answer();
                    if sending && signals.stop_sending.load(Ordering::Relaxed) {
                        transmitter.stop(now, if start == 0 { now } else { start });
                    }
                    if sending && transmitter.is_done() {
                        sending = false;
                        ended_ns = now.saturating_sub(start);
                        signals.done.fetch_add(1, Ordering::Release);
                    }
                }
                if idle {
                    self.rest(start, now);
                    last = clock.cycles();
                }
            }
        }
        let (sent, departures) = self
            .transmitter
            .map(Transmitter::finish)
            .unwrap_or_default();
        Harvest {
            last_sent_ns,
            ended_ns,
            sent,
            departures,
            flows: self.receiver.map(Receiver::finish).unwrap_or_default(),
        }
    }

    /// Sleeps if the next packet is far enough away.
    #[cold]
    fn rest(&self, start: u64, now: u64) {
        let mut time = LONGEST_SLEEP_NS;
        if let Some(transmitter) = &self.transmitter
            && start != 0
            && !transmitter.is_done()
        {
            let due = transmitter
                .next_due()
                .map_or(0, |due| start.saturating_add(due));
            time = time.min(due.saturating_sub(now + OVERSLEEP_NS));
        }
        if time > 0 {
            std::thread::sleep(Duration::from_nanos(time.min(LONGEST_SLEEP_NS)));
        }
    }
}
