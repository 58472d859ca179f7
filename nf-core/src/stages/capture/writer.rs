//! The thread that takes what the cores have captured and writes it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::output::{Output, Written};
use super::pcapng::{Interface, PacketHead, Section, put_packet, put_start, put_statistics};
use super::ring::{Outlet, Record};
use super::session::Session;
use crate::clock::{Clock, WallClock};

/// How long the thread sleeps when there is nothing to write.
const PAUSE: Duration = Duration::from_millis(1);

/// How often it looks whether a pipe has got a reader.
const KNOCK_EVERY: Duration = Duration::from_millis(50);

/// How often the relation of the clocks is measured anew.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// Bytes that are collected before they are written.
const CHUNK: usize = 256 * 1024;

/// How long a pipe's reader may take for the end of a capture.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread is asked to do.
pub(super) enum Order {
    /// Take what this core captures.
    Ring(usize, Outlet),
    /// Begin.
    Start(Box<Job>),
    /// End, and say so.
    Stop(SyncSender<()>),
    /// End for good.
    Quit,
}

/// A capture to be written.
pub(super) struct Job {
    pub session: Arc<Session>,
    pub output: Output,
    pub max_packets: Option<u64>,
    pub max_bytes: Option<u64>,
    pub max_time: Option<Duration>,
}

/// What a capture is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// None was started.
    #[default]
    Idle,
    /// It runs.
    Capturing,
    /// It would, but nobody reads the pipe.
    WaitingForReader,
    /// It has ended by command or by a limit.
    Finished,
    /// It has ended by an error.
    Failed,
}

impl State {
    /// Whether there is more to come.
    pub fn is_running(self) -> bool {
        matches!(self, State::Capturing | State::WaitingForReader)
    }
}

/// What the control side shows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    pub state: State,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the packets are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files written.
    pub files: u64,
}

/// A [`Report`] that the thread keeps up to date.
pub(super) type SharedReport = Arc<Mutex<Report>>;

/// Looks at the report or changes it.
pub(super) fn with<R>(report: &SharedReport, look: impl FnOnce(&mut Report) -> R) -> R {
    look(&mut report.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The thread's state.
pub(super) struct Writer {
    orders: Receiver<Order>,
    report: SharedReport,
    clock: Clock,
    section: Section,
    /// One for each port, and one for packets that no port received.
    interfaces: Vec<Interface>,
    rings: Vec<Option<Outlet>>,
    job: Option<Running>,
}

/// A capture that is being written.
struct Running {
    job: Job,
    wall: WallClock,
    wall_read: Instant,
    started: Instant,
    /// When the current file began, nanoseconds since 1970.
    file_start: u64,
    /// Not written yet.
    buffer: Vec<u8>,
    knocked: Option<Instant>,
    packets: u64,
    file_packets: u64,
    bytes: u64,
    files: u64,
}

/// Why a capture ends.
enum End {
    Limit(&'static str),
    Command,
    Error(String),
}

impl Writer {
    pub fn new(
        orders: Receiver<Order>,
        report: SharedReport,
        clock: Clock,
        interfaces: Vec<Interface>,
        cores: usize,
    ) -> Writer {
        Writer {
            orders,
            report,
            clock,
            section: Section::of_this_machine(),
            interfaces,
            rings: (0..cores).map(|_| None).collect(),
            job: None,
        }
    }

    /// Runs until it is told to quit, or nobody is left to tell it.
    pub fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let order = match self.job {
                None => self
                    .orders
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => self.orders.recv_timeout(pause),
            };
            match order {
                Ok(Order::Ring(core, outlet)) => {
                    if let Some(slot) = self.rings.get_mut(core) {
                        *slot = Some(outlet);
                    }
                }
                Ok(Order::Start(job)) => self.start(*job),
                Ok(Order::Stop(done)) => {
                    self.end(End::Command);
                    let _ = done.send(());
                }
                Ok(Order::Quit) | Err(RecvTimeoutError::Disconnected) => {
                    return self.end(End::Command);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            pause = match self.turn() {
                Ok(true) => Duration::ZERO,
                Ok(false) => PAUSE,
                Err(end) => {
                    self.end(end);
                    PAUSE
                }
            };
        }
    }

    fn start(&mut self, job: Job) {
        self.end(End::Command);
        // The cores may have begun already.
        discard(&mut self.rings, Some(job.session.id));
        let now = Instant::now();
        let mut running = Running {
            wall: self.clock.wall_clock(),
            wall_read: now,
            started: now,
            file_start: 0,
            buffer: Vec::with_capacity(2 * CHUNK),
            knocked: None,
            packets: 0,
            file_packets: 0,
            bytes: 0,
            files: 0,
            job,
        };
        if running.job.output.is_open() {
            running.begin(&self.clock, &self.section, &self.interfaces);
        }
        with(&self.report, |report| *report = running.report());
        self.job = Some(running);
    }

    /// One round. True when there was something to write.
    fn turn(&mut self) -> Result<bool, End> {
        let Writer {
            report,
            clock,
            section,
            interfaces,
            rings,
            job,
            ..
        } = self;
        let Some(running) = job else { return Ok(false) };
        if running.wall_read.elapsed() >= CLOCK_EVERY {
            running.wall = clock.wall_clock();
            running.wall_read = Instant::now();
        }
        if !running.job.output.is_open() && !running.knock(rings)? {
            return running.check_time().map(|()| false);
        }
        if running.file_start == 0 {
            running.begin(clock, section, interfaces);
        }
        let mut any = false;
        // What was in the rings when the round began, oldest first; what comes meanwhile is next
        // round's.
        let mut left: Vec<usize> = rings
            .iter()
            .map(|ring| ring.as_ref().map_or(0, Outlet::waiting))
            .collect();
        let mut result = Ok(());
        while result.is_ok() && running.buffer.len() < CHUNK {
            let Some((core, record)) = oldest(rings, &left) else {
                break;
            };
            any = true;
            let Some(Some(ring)) = rings.get_mut(core) else {
                break;
            };
            let taken = if record.session == running.job.session.id {
                result = running.make_room(&record, clock, section, interfaces);
                match result {
                    Ok(()) => running.take(ring, &record),
                    Err(_) => 0,
                }
            } else {
                ring.take(&record, |_| ())
            };
            if let Some(left) = left.get_mut(core) {
                *left = left.saturating_sub(taken);
            }
        }
        let flushed = running.flush();
        with(report, |report| *report = running.report());
        result.and(flushed)?;
        running.check_time()?;
        // A reader that is slow is not waited for without a pause.
        Ok(any && running.buffer.is_empty())
    }

    /// Writes what is left, the statistics, and closes.
    fn end(&mut self, end: End) {
        if let Some(running) = &self.job {
            running.job.session.set_wanted(false);
        }
        let mut end = match end {
            End::Command => self.drain().err().unwrap_or(End::Command),
            end => end,
        };
        let Some(mut running) = self.job.take() else {
            return;
        };
        if !matches!(end, End::Error(_)) && running.file_start != 0 {
            running.finish_file(&self.clock);
            if let Err(error) = running.flush_patiently() {
                end = error;
            }
        }
        if let Output::Pipe(pipe) = &mut running.job.output {
            pipe.hang_up();
        }
        discard(&mut self.rings, None);
        let mut last = running.report();
        (last.state, last.reason) = match end {
            End::Limit(limit) => (State::Finished, Some(limit.to_owned())),
            End::Command => (State::Finished, None),
            End::Error(error) => {
                tracing::error!(error, "the capture has ended");
                (State::Failed, Some(error))
            }
        };
        with(&self.report, |report| *report = last);
    }

    /// Writes all that the cores have captured until now.
    fn drain(&mut self) -> Result<(), End> {
        let until = Instant::now() + PATIENCE;
        while self.has_more() && Instant::now() < until {
            if !self.turn()? {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    fn has_more(&mut self) -> bool {
        let is_open = |running: &Running| running.job.output.is_open();
        self.job.as_ref().is_some_and(is_open)
            && self
                .rings
                .iter_mut()
                .flatten()
                .any(|ring| ring.peek().is_some())
    }
}

/// The ring whose next record is the oldest, among those with something left to take.
fn oldest(rings: &mut [Option<Outlet>], left: &[usize]) -> Option<(usize, Record)> {
    rings
        .iter_mut()
        .zip(left)
        .enumerate()
        .filter(|(_, (_, left))| **left > 0)
        .filter_map(|(core, (ring, _))| Some((core, ring.as_mut()?.peek()?)))
        .min_by_key(|(_, record)| record.ns)
}

/// Throws away what is in the rings now, up to the first record of the session to `keep`.
fn discard(rings: &mut [Option<Outlet>], keep: Option<u32>) {
    for ring in rings.iter_mut().flatten() {
        let mut bytes = ring.waiting();
        while let Some(record) = ring.peek().filter(|_| bytes > 0) {
            if keep == Some(record.session) {
                break;
            }
            bytes = bytes.saturating_sub(ring.take(&record, |_| ()));
        }
    }
}

impl Running {
    fn report(&self) -> Report {
        Report {
            state: match self.job.output.is_open() {
                true => State::Capturing,
                false => State::WaitingForReader,
            },
            reason: None,
            path: Some(self.job.output.path().display().to_string()),
            packets: self.packets,
            bytes: self.bytes,
            files: self.files,
        }
    }

    /// Starts a file, or a stream for a new reader.
    fn begin(&mut self, clock: &Clock, section: &Section, interfaces: &[Interface]) {
        let session = &self.job.session;
        let filter = session.filter.as_ref().map(|filter| filter.expression());
        put_start(&mut self.buffer, section, interfaces, session.snap, filter);
        self.file_start = self.wall.unix_ns(clock.now()).max(1);
        self.file_packets = 0;
        self.files += 1;
        session.set_wanted(true);
    }

    /// Looks whether the pipe has a reader. What was captured for the one before is thrown away.
    fn knock(&mut self, rings: &mut [Option<Outlet>]) -> Result<bool, End> {
        if self.knocked.is_some_and(|at| at.elapsed() < KNOCK_EVERY) {
            return Ok(false);
        }
        self.knocked = Some(Instant::now());
        let Output::Pipe(pipe) = &mut self.job.output else {
            return Ok(true);
        };
        let connected = pipe.connect().map_err(End::Error)?;
        if connected {
            discard(rings, None);
            self.buffer.clear();
            self.file_start = 0;
        }
        Ok(connected)
    }

    /// Goes on in another file, if this record needs one; ends the capture, if it may not be
    /// written at all.
    fn make_room(
        &mut self,
        record: &Record,
        clock: &Clock,
        section: &Section,
        interfaces: &[Interface],
    ) -> Result<(), End> {
        // More than any block's head and options.
        const AROUND: usize = 128;
        let size = record.captured as usize + AROUND;
        if self.job.max_packets.is_some_and(|max| self.packets >= max) {
            return Err(End::Limit("max_packets"));
        }
        let reserve = size + self.statistics_bytes();
        let bytes = self.bytes + self.buffer.len() as u64 + reserve as u64;
        if self.job.max_bytes.is_some_and(|max| bytes > max) {
            return Err(End::Limit("max_bytes"));
        }
        let Output::Files(files) = &self.job.output else {
            return Ok(());
        };
        if self.file_packets == 0 || !files.is_full(self.buffer.len(), reserve) {
            return Ok(());
        }
        self.finish_file(clock);
        self.flush_patiently()?;
        if let Output::Files(files) = &mut self.job.output {
            files.next().map_err(End::Error)?;
        }
        self.begin(clock, section, interfaces);
        Ok(())
    }

    /// Bytes of the statistics at the end of a file.
    fn statistics_bytes(&self) -> usize {
        const EACH: usize = 24 + 2 * 12 + 4 * 12 + 4;
        self.job.session.statistics().len() * EACH
    }

    /// Moves a record from its ring to the buffer; returns the bytes of the ring.
    fn take(&mut self, ring: &mut Outlet, record: &Record) -> usize {
        let head = PacketHead {
            interface: self.job.session.interface(record.port),
            unix_ns: self.wall.unix_ns(record.ns),
            original: record.original,
            direction: record.direction,
            number: record.number,
            trace: record.trace,
        };
        let buffer = &mut self.buffer;
        let taken = ring.take(record, |data| put_packet(buffer, &head, data));
        self.packets += 1;
        self.file_packets += 1;
        if self.job.max_packets == Some(self.packets) {
            // The cores need not go on; that it ends is seen at the next record or turn.
            self.job.session.set_wanted(false);
        }
        taken
    }

    fn check_time(&mut self) -> Result<(), End> {
        if self.job.max_packets.is_some_and(|max| self.packets >= max) && self.buffer.is_empty() {
            return Err(End::Limit("max_packets"));
        }
        match self.job.max_time {
            Some(max) if self.started.elapsed() >= max => Err(End::Limit("max_seconds")),
            _ => Ok(()),
        }
    }

    /// Writes the buffer, as far as goes without waiting.
    fn flush(&mut self) -> Result<(), End> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.job.output.write(&self.buffer) {
            Ok(Written::Some(bytes)) => {
                self.buffer.drain(..bytes);
                self.bytes += bytes as u64;
            }
            Ok(Written::ReaderGone) => {
                self.job.session.set_wanted(false);
                self.buffer.clear();
            }
            Err(error) => {
                self.buffer.clear();
                let path = self.job.output.path().display();
                return Err(End::Error(format!("cannot write {path}: {error}")));
            }
        }
        Ok(())
    }

    /// Writes the buffer, waiting a little for a pipe's reader.
    fn flush_patiently(&mut self) -> Result<(), End> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.flush()?;
            if self.buffer.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts the statistics at the end of a file.
    fn finish_file(&mut self, clock: &Clock) {
        let end = self.wall.unix_ns(clock.now());
        for (interface, seen) in self.job.session.statistics().iter().enumerate() {
            let interface = interface as u32;
            put_statistics(&mut self.buffer, interface, self.file_start, end, seen);
        }
    }
}
