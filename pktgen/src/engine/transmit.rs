//! The sending half of a core.
//!
//! A stream's packets are made when their time has come, never before, so nothing waits in a queue
//! of ours with a stale stamp; a port that takes no more leaves its packets with us, and they go
//! out first, with their intended times unchanged.

use std::sync::Arc;

use nf_core::dpdk::{Mempool, TxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::telemetry::Writer;

use super::plan::{Source, StreamPlan};
use crate::departures::Departures;
use crate::pcap;
use crate::profile::FlowOrder;
use crate::profile::stream::Timing;
use crate::random::Random;
use crate::schedule::{Schedule, ScheduleConfig, ScheduleError};
use crate::signature::Signature;
use crate::stats::TransmitCounters;
use crate::template::{Dealer, FCS_BYTES, Template};

/// How long after the end of the run packets that fell due before it may still leave.
const GRACE_NS: u64 = 100_000_000;

/// Which flow comes next, and its next sequence number.
#[derive(Debug)]
struct Flows {
    /// Flow of the template at local position 0, and distance to the next.
    first: u32,
    stride: u32,
    /// Signature word of local position 0 less `first`: run and tracked flow.
    tag: u32,
    position: usize,
    order: FlowOrder,
    random: Random,
    /// Packets sent of each flow of this core.
    sequences: Vec<u64>,
}

impl Flows {
    #[inline(always)]
    fn next(&mut self) -> usize {
        let count = self.sequences.len();
        match self.order {
            _ if count == 1 => 0,
            FlowOrder::RoundRobin => {
                let position = self.position;
                self.position = if position + 1 == count {
                    0
                } else {
                    position + 1
                };
                position
            }
            FlowOrder::Random => self.random.below(count as u64) as usize,
        }
    }
}

/// A template's packets, one after the other.
struct Writing {
    template: Arc<Template>,
    flows: Flows,
    dealer: Dealer,
    /// Index of the next packet's size.
    size: usize,
    /// Whether the payload's filler has to be written into each packet.
    fill: bool,
}

impl Writing {
    /// Makes the next packet in `packet`. `stamp` is its intended time on the clock. The answer is twice
    /// its bytes, plus 1 if it is tracked.
    #[inline(always)]
    fn next(&mut self, packet: &mut Packet, stamp: u64) -> Option<u32> {
        let size = self.template.size(self.size)?;
        let position = self.flows.next();
        let sequence = self.flows.sequences.get_mut(position)?;
        let flow = self.flows.first + position as u32 * self.flows.stride;
        let frame = packet.set_len(size.length, size.room())?;
        if self.fill {
            self.template.write_filler(frame.get_mut(..size.length)?);
        }
        let tag = self.flows.tag + flow;
        self.template
            .write(frame, size, flow, tag, *sequence as u32, stamp);
        *sequence += u64::from(size.tracked);
        self.size = self.dealer.deal();
        Some((size.length as u32 + FCS_BYTES) << 1 | u32::from(size.tracked))
    }
}

/// What is sent next.
enum Feed {
    Template(Writing),
    Replay {
        frames: Arc<Vec<pcap::Frame>>,
        timing: Timing,
        speed: f64,
        repeat: bool,
        position: usize,
        /// Time at which this round of the file began, nanoseconds since the start of the run.
        round_ns: f64,
    },
}

/// One stream on one core.
pub struct StreamSender {
    feed: Feed,
    schedule: Option<Schedule>,
    plan: StreamPlan,
    queue: usize,
    /// Packets that the port did not take yet, and their intended times.
    pending: Batch,
    intended: [u64; Batch::CAPACITY],
    /// Twice their bytes, plus 1 if they are tracked.
    sizes: [u32; Batch::CAPACITY],
    /// The same of all packets, if they are of one size.
    uniform: Option<u32>,
    budget: u64,
    done: bool,
    counters: Writer<TransmitCounters>,
}

/// Packets sent of a tracked flow.
pub type SentFlow = (u32, u64);

impl StreamSender {
    /// The share of `plan` that core number `core` of `cores` sends on the queue at index `queue`.
    #[allow(clippy::too_many_arguments)] // all of them are one core's share of one stream
    pub fn new(
        plan: &StreamPlan,
        core: u32,
        cores: u32,
        queue: usize,
        run: u8,
        seed: u64,
        fill: bool,
        counters: Writer<TransmitCounters>,
    ) -> Result<StreamSender, ScheduleError> {
        // A capture is an order of packets: one core sends all of it.
        let replayed = matches!(plan.source, Source::Replay { .. });
        let (core, cores) = if replayed { (0, 1) } else { (core, cores) };
        let seed = seed ^ u64::from(core) << 32 ^ u64::from(plan.first_flow);
        let share = 1.0 / f64::from(cores);
        let recorded = matches!(
            plan.source,
            Source::Replay {
                timing: Timing::Recorded,
                ..
            }
        );
        let schedule = match plan.pace.rate() {
            Some(rate) if !recorded => Some(Schedule::new(&ScheduleConfig {
                rate: rate * share,
                spacing: plan.spacing,
                ramp: plan.ramp.map(|ramp| crate::schedule::Ramp {
                    from: ramp.from * share,
                    over_ns: ramp.over_ns,
                }),
                phase: f64::from(core) * share,
                seed,
            })?),
            _ => None,
        };
        let feed = match &plan.source {
            Source::Template(template) => {
                let all = template.flows();
                let (first, stride, count, offset) = if all < cores {
                    (0, 1, all, core * all)
                } else {
                    (core, cores, (all - core).div_ceil(cores), 0)
                };
                let mut dealer = plan.sizes.dealer(seed);
                Feed::Template(Writing {
                    template: Arc::clone(template),
                    flows: Flows {
                        first,
                        stride,
                        tag: u32::from(run) << 24 | (plan.first_flow + offset),
                        position: 0,
                        order: plan.flow_order,
                        random: Random::new(seed, 0xf10),
                        sequences: vec![0; count as usize],
                    },
                    size: dealer.deal(),
                    dealer,
                    fill,
                })
            }
            Source::Replay {
                frames,
                timing,
                speed,
                repeat,
            } => Feed::Replay {
                frames: Arc::clone(frames),
                timing: *timing,
                speed: *speed,
                repeat: *repeat,
                position: 0,
                round_ns: 0.0,
            },
        };
        let uniform = match &feed {
            Feed::Template(writing) => match writing.template.sizes() {
                [size] => Some((size.length as u32 + FCS_BYTES) << 1 | u32::from(size.tracked)),
                _ => None,
            },
            Feed::Replay { .. } => None,
        };
        let budget = plan.budget.map_or(u64::MAX, |all| {
            all / u64::from(cores) + u64::from(u64::from(core) < all % u64::from(cores))
        });
        Ok(StreamSender {
            feed,
            schedule,
            plan: plan.clone(),
            queue,
            pending: Batch::new(),
            intended: [0; Batch::CAPACITY],
            sizes: [0; Batch::CAPACITY],
            uniform,
            budget,
            done: false,
            counters,
        })
    }

    /// Intended time of the next packet since the start of the run; `None` if it may go at any time.
    #[inline(always)]
    fn due(&self) -> Option<u64> {
        match (&self.schedule, &self.feed) {
            (Some(schedule), _) => Some(schedule.peek()),
            (
                None,
                Feed::Replay {
                    timing: Timing::Recorded,
                    frames,
                    position,
                    speed,
                    round_ns,
                    ..
                },
            ) => {
                let at = frames
                    .get(*position)
                    .map_or(0.0, |frame| frame.at_ns as f64);
                Some((round_ns + at / speed) as u64)
            }
            _ => None,
        }
    }

    /// Makes the next packet in `packet`, and moves on. `stamp` is its intended time on the clock.
    /// The answer is as that of [`Writing::next`].
    #[inline(always)]
    fn make(&mut self, packet: &mut Packet, stamp: u64) -> Option<u32> {
        match &mut self.feed {
            Feed::Template(writing) => {
                let size = writing.next(packet, stamp)?;
                if let Some(schedule) = &mut self.schedule {
                    schedule.advance(self.plan.pace.weight(size >> 1));
                }
                Some(size)
            }
            Feed::Replay {
                frames,
                repeat,
                position,
                round_ns,
                speed,
                ..
            } => {
                let frame = frames.get(*position)?;
                packet
                    .append(frame.bytes.len())?
                    .copy_from_slice(&frame.bytes);
                let bytes = frame.bytes.len() as u32 + FCS_BYTES;
                if let Some(schedule) = &mut self.schedule {
                    schedule.advance(self.plan.pace.weight(bytes));
                }
                *position += 1;
                if *position == frames.len() {
                    if *repeat {
                        *position = 0;
                        // The gap from the last frame to the first is the mean gap.
                        let last = frame.at_ns as f64;
                        let gap = last / (frames.len().saturating_sub(1)).max(1) as f64;
                        *round_ns += (last + gap.max(1.0)) / *speed;
                    } else {
                        self.done = true;
                    }
                }
                Some(bytes << 1)
            }
        }
    }

    /// Hands `pending` to the port; says whether all of it went.
    #[inline(always)]
    fn flush(&mut self, cx: &mut SendContext<'_>, now: u64) -> bool {
        let (start, late_after) = (cx.start, cx.late_after);
        let Some(port) = cx.queues.get_mut(self.queue) else {
            self.done = true;
            return false;
        };
        let count = self.pending.len();
        let departure = cx.departures.now();
        let sent = port.burst(&mut self.pending);
        if let Some(departure) = departure {
            cx.departures.record(departure.saturating_sub(start), sent);
        }
        if self.schedule.is_some() || matches!(self.feed, Feed::Replay { .. }) {
            for &intended in self.intended.iter().take(sent) {
                let behind = now.saturating_sub(start + intended);
                self.counters.lateness.record(behind);
                if behind > late_after {
                    self.counters.late.add(1);
                }
            }
        }
        let (mut bytes, mut tracked) = (0, 0);
        match self.uniform {
            Some(size) => {
                bytes = sent as u64 * u64::from(size >> 1);
                tracked = sent as u64 * u64::from(size & 1);
            }
            None => {
                for &size in self.sizes.iter().take(sent) {
                    bytes += u64::from(size >> 1);
                    tracked += u64::from(size & 1);
                }
            }
        }
        self.counters.packets.add(sent as u64);
        self.counters.bytes.add(bytes);
        self.counters.tracked.add(tracked);
        if sent < count {
            self.intended.copy_within(sent..count, 0);
            self.sizes.copy_within(sent..count, 0);
            self.counters.refusals.add(1);
            return false;
        }
        true
    }

    /// Sends what is due; says whether there was anything to do.
    #[inline(always)]
    fn poll(&mut self, cx: &mut SendContext<'_>, now: u64) -> bool {
        if self.done && self.pending.is_empty() {
            return false;
        }
        if now >= cx.give_up {
            self.give_up();
            return true;
        }
        if !self.pending.is_empty() {
            return self.flush(cx, now);
        }
        let since = now.saturating_sub(cx.start);
        let most = cx
            .burst
            .min(usize::try_from(self.budget).unwrap_or(usize::MAX));
        match (&self.schedule, &mut self.feed) {
            (None, Feed::Template(writing)) => {
                if since >= cx.length {
                    self.done = true;
                    return false;
                }
                if !self.pending.alloc(cx.pool, most) {
                    self.counters.pool_empty.add(1);
                    return false;
                }
                let stamp = cx.start + since;
                for (packet, size) in self.pending.iter_mut().zip(&mut self.sizes) {
                    let Some(made) = writing.next(packet, stamp) else {
                        self.done = true;
                        break;
                    };
                    *size = made;
                }
                if self.done {
                    // The pool's packets are too small, which opening the ports has ruled out.
                    self.pending.clear();
                    return false;
                }
            }
            _ => self.make_due(cx, since, most),
        }
        let made = self.pending.len();
        if made == 0 {
            return false;
        }
        if self.budget != u64::MAX {
            self.budget -= made as u64;
            self.done |= self.budget == 0;
        }
        if !self.flush(cx, now) {
            self.counters.refused.add(self.pending.len() as u64);
        }
        true
    }

    /// Makes the packets that are due `since` the start, at most `most`.
    #[inline(always)]
    fn make_due(&mut self, cx: &mut SendContext<'_>, since: u64, most: usize) {
        while self.pending.len() < most && !self.done {
            let intended = match self.due() {
                Some(due) if due >= cx.length => {
                    self.done = true;
                    break;
                }
                Some(due) if due > since => break,
                Some(due) => due,
                None if since >= cx.length => {
                    self.done = true;
                    break;
                }
                None => since,
            };
            if cx.spare.is_empty() && !cx.spare.alloc(cx.pool, cx.burst) {
                self.counters.pool_empty.add(1);
                break;
            }
            let Some(mut packet) = cx.spare.pop() else {
                break;
            };
            let Some(made) = self.make(&mut packet, cx.start + intended) else {
                self.done = true;
                break;
            };
            let at = self.pending.len();
            if let (Some(time), Some(size)) = (self.intended.get_mut(at), self.sizes.get_mut(at)) {
                *time = intended;
                *size = made;
            }
            if self.pending.push(packet).is_err() {
                break;
            }
        }
    }

    /// Ends the stream: what the port never took is dropped, and was not sent.
    #[cold]
    fn give_up(&mut self) {
        self.done = true;
        self.counters.dropped.add(self.pending.len() as u64);
        if let Feed::Template(Writing {
            template, flows, ..
        }) = &mut self.feed
        {
            for packet in &self.pending {
                let payload = packet.data().get(template.payload_offset()..);
                let Some(signature) = payload.and_then(Signature::read) else {
                    continue;
                };
                let local = (signature.flow + (flows.tag & !0x00ff_ffff))
                    .wrapping_sub(flows.tag)
                    .wrapping_sub(flows.first)
                    & 0x00ff_ffff;
                if let Some(sequence) = flows.sequences.get_mut((local / flows.stride) as usize) {
                    *sequence = sequence.saturating_sub(1);
                }
            }
        }
        self.pending.clear();
    }

    /// Counts the slots that were due and not used.
    fn count_missed(&mut self, length: u64) {
        if self.done && self.budget == 0 || length == u64::MAX {
            return;
        }
        let mut missed = 0;
        if let (
            Some(schedule),
            Feed::Template(Writing {
                dealer,
                size,
                template,
                ..
            }),
        ) = (&mut self.schedule, &mut self.feed)
        {
            while schedule.peek() < length && missed < self.budget {
                let bytes = template
                    .size(*size)
                    .map_or(0, |size| size.length as u32 + FCS_BYTES);
                schedule.advance(self.plan.pace.weight(bytes));
                *size = dealer.deal();
                missed += 1;
            }
        }
        self.counters.missed.add(missed);
    }

    /// Packets sent of each tracked flow.
    fn sent_flows(&self) -> Vec<SentFlow> {
        let Feed::Template(Writing { flows, .. }) = &self.feed else {
            return Vec::new();
        };
        let base = flows.tag & 0x00ff_ffff;
        flows
            .sequences
            .iter()
            .enumerate()
            .map(|(i, &sent)| (base + flows.first + i as u32 * flows.stride, sent))
            .collect()
    }
}

struct SendContext<'a> {
    queues: &'a mut [TxQueue],
    spare: &'a mut Batch,
    pool: &'a Mempool,
    departures: &'a mut Departures,
    start: u64,
    /// Length of the run, nanoseconds; 2^64 - 1 without one.
    length: u64,
    give_up: u64,
    late_after: u64,
    burst: usize,
}

/// The sending half of a core: its share of every stream.
pub struct Transmitter {
    streams: Vec<StreamSender>,
    queues: Vec<TxQueue>,
    /// Answers to neighbours, made by a receive core.
    replies: Vec<(usize, rtrb::Consumer<Packet>)>,
    spare: Batch,
    pool: Mempool,
    departures: Departures,
    late_after: u64,
    length: u64,
    burst: usize,
}

impl Transmitter {
    /// A transmitter of `streams` on `queues`, with packets from `pool`. `length` is that of the run in
    /// nanoseconds.
    #[allow(clippy::too_many_arguments)] // all of them are one core's share of the run
    pub fn new(
        streams: Vec<StreamSender>,
        queues: Vec<TxQueue>,
        replies: Vec<(usize, rtrb::Consumer<Packet>)>,
        pool: Mempool,
        departures: Departures,
        length: Option<u64>,
        late_after: u64,
        burst: usize,
    ) -> Transmitter {
        Transmitter {
            streams,
            queues,
            replies,
            spare: Batch::new(),
            pool,
            departures,
            late_after,
            length: length.unwrap_or(u64::MAX),
            burst,
        }
    }

    /// Sends what is due at `now`, in a run that began at `start`; says whether there was anything.
    #[inline(always)]
    pub fn poll(&mut self, now: u64, start: u64) -> bool {
        let mut cx = SendContext {
            queues: &mut self.queues,
            spare: &mut self.spare,
            pool: &self.pool,
            departures: &mut self.departures,
            start,
            length: self.length,
            give_up: start.saturating_add(self.length).saturating_add(GRACE_NS),
            late_after: self.late_after,
            burst: self.burst,
        };
        let mut busy = false;
        for stream in &mut self.streams {
            busy |= stream.poll(&mut cx, now);
        }
        busy
    }

    /// Sends the answers that wait; called now and then.
    pub fn answer(&mut self) {
        let mut batch = Batch::new();
        for (queue, replies) in &mut self.replies {
            while let Ok(packet) = replies.pop() {
                let _ = batch.push(packet);
                if let Some(queue) = self.queues.get_mut(*queue) {
                    queue.burst(&mut batch);
                }
                // A neighbour asks again if the port was full.
                batch.clear();
            }
        }
    }

    /// Ends all streams at `now` of a run that began at `start`.
    pub fn stop(&mut self, now: u64, start: u64) {
        self.length = self.length.min(now.saturating_sub(start));
        for stream in &mut self.streams {
            stream.give_up();
        }
    }

    /// Whether everything has been sent.
    pub fn is_done(&self) -> bool {
        self.streams
            .iter()
            .all(|stream| stream.done && stream.pending.is_empty())
    }

    /// When the next packet is due, nanoseconds since the start of the run; `None` if at once.
    pub fn next_due(&self) -> Option<u64> {
        let mut earliest = u64::MAX;
        for stream in self.streams.iter().filter(|stream| !stream.done) {
            earliest = earliest.min(stream.due()?);
        }
        Some(earliest)
    }

    /// Counts the slots that were never used, and gives the packets sent of each tracked flow and the
    /// departures.
    pub fn finish(mut self) -> (Vec<SentFlow>, Vec<u64>) {
        let length = self.length;
        let mut sent = Vec::new();
        for stream in &mut self.streams {
            stream.count_missed(length);
            sent.extend(stream.sent_flows());
        }
        (sent, self.departures.into_times())
    }
}
