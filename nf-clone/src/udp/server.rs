//! A server on a UDP socket: one thread receives and queues, several work.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Clock, LARGEST, is_nothing};
use crate::server::{Answering, Config, Counters, Fcfs, Received, Request, load};

/// How often the receiving thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// Settings of a [`Server`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// SID and the rest.
    pub server: Config,
    /// Threads that run the handler, at least 1.
    pub workers: usize,
    /// Most requests that wait for a worker; what comes then is dropped and counted.
    pub queue: usize,
}

impl Settings {
    /// A server with that SID and number of workers, and room for 65,536 waiting requests.
    pub fn new(sid: u16, workers: usize) -> Settings {
        Settings {
            server: Config::new(sid),
            workers,
            queue: 1 << 16,
        }
    }
}

/// A request as the handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// Whether the client says that it writes. Anything else may run twice, here and elsewhere.
    pub is_write: bool,
    /// The client.
    pub from: SocketAddr,
    /// The header.
    pub request: &'a Request,
}

/// What a server has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// By the receiving side.
    pub received: Counters,
    /// Requests answered.
    pub answered: u64,
    /// Requests dropped because the line was full.
    pub overflowed: u64,
    /// Answers that could not be sent: too long, or refused by the kernel.
    pub unsent: u64,
    /// Handlers that panicked; their requests have no answer.
    pub panicked: u64,
}

/// A running server. Dropping it stops it; requests in the line are not answered then.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    line: Mutex<Line>,
    /// Told when a job is there, and when to stop.
    changed: Condvar,
    stopping: AtomicBool,
    draining: AtomicBool,
    received: Mutex<Counters>,
    answered: AtomicU64,
    overflowed: AtomicU64,
    unsent: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Debug)]
struct Line {
    jobs: Fcfs<Job>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Job {
    request: Request,
    payload: Vec<u8>,
}

type Handler = dyn Fn(Call<'_>, &mut Vec<u8>) + Send + Sync;

impl Server {
    /// Starts a server at `address`; port 0 takes any. The handler writes its answer into the (empty)
    /// vector it is handed; it runs on all workers at a time.
    ///
    /// Bind to one address rather than to all: an answer leaves from the address that the kernel picks,
    /// and the appliance knows servers by their addresses.
    pub fn start<H>(
        address: impl ToSocketAddrs,
        settings: Settings,
        handler: H,
    ) -> io::Result<Server>
    where
        H: Fn(Call<'_>, &mut Vec<u8>) + Send + Sync + 'static,
    {
        let wrong = |error: &str| io::Error::new(io::ErrorKind::InvalidInput, error.to_owned());
        if settings.workers == 0 {
            return Err(wrong("workers must be at least 1"));
        }
        let core = crate::server::Server::new(settings.server)
            .map_err(|error| wrong(&error.to_string()))?;
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let line = Line {
            jobs: Fcfs::new(settings.queue),
            spare: Vec::new(),
        };
        let shared = Arc::new(Shared {
            socket,
            line: Mutex::new(line),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            received: Mutex::new(Counters::default()),
            answered: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        });
        let mut server = Server {
            address,
            shared,
            threads: Vec::new(),
        };
        let answering = core.answering();
        let handler: Arc<Handler> = Arc::new(handler);
        for number in 0..settings.workers {
            let (shared, handler) = (server.shared.clone(), handler.clone());
            let work = move || shared.work(&answering, &*handler);
            server.spawn(format!("clone-worker-{number}"), work)?;
        }
        let shared = server.shared.clone();
        server.spawn("clone-receive".to_owned(), move || shared.receive(core))?;
        Ok(server)
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads
            .push(thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it tells the appliance that it wants no further requests. What comes is served
    /// nevertheless.
    pub fn set_draining(&self, draining: bool) {
        self.shared.draining.store(draining, Relaxed);
    }

    /// Requests that wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.line().jobs.len()
    }

    /// What has been counted.
    pub fn totals(&self) -> Totals {
        let shared = &self.shared;
        Totals {
            received: *locked(&shared.received),
            answered: shared.answered.load(Relaxed),
            overflowed: shared.overflowed.load(Relaxed),
            unsent: shared.unsent.load(Relaxed),
            panicked: shared.panicked.load(Relaxed),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        {
            // Under the lock, so that no worker is between looking and waiting.
            let _line = self.shared.line();
            self.shared.stopping.store(true, Relaxed);
        }
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A lock whose holder may have panicked: what it guards is right at every moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        locked(&self.line)
    }

    fn receive(&self, mut core: crate::server::Server) {
        let clock = Clock::new();
        let mut buffer = vec![0; LARGEST];
        while !self.stopping.load(Relaxed) {
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) => {
                    if !is_nothing(&error) {
                        // Nothing that a datagram socket reports lasts, but a loop must not spin on it.
                        thread::sleep(Duration::from_millis(1));
                    }
                    continue;
                }
            };
            let datagram = buffer.get(..len).unwrap_or_default();
            core.set_draining(self.draining.load(Relaxed));
            let waiting = self.line().jobs.len();
            let (job, pong) = match core.receive(clock.now(), from, datagram, waiting) {
                Received::Request { request, payload } => (Some(self.job(request, payload)), None),
                Received::Ping(pong) => (None, Some(pong)),
                Received::Part | Received::CloneDropped | Received::Malformed(_) => (None, None),
            };
            // First: who has an answer finds its request counted.
            *locked(&self.received) = core.counters();
            if let Some(job) = job {
                self.push(job);
            }
            if let Some(pong) = pong {
                self.send(&pong, from);
            }
        }
    }

    fn job(&self, request: Request, payload: &[u8]) -> Job {
        let mut bytes = self.line().spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(payload);
        Job {
            request,
            payload: bytes,
        }
    }

    fn push(&self, job: Job) {
        let mut line = self.line();
        if let Err(job) = line.jobs.push(job) {
            line.spare.push(job.payload);
            self.overflowed.fetch_add(1, Relaxed);
        }
        drop(line);
        self.changed.notify_one();
    }

    fn work(&self, answering: &Answering, handler: &Handler) {
        let (mut answer, mut packet) = (Vec::new(), Vec::new());
        while let Some(job) = self.next_job() {
            let Job { request, payload } = job;
            let call = Call {
                payload: &payload,
                is_write: request.is_write(),
                from: request.from,
                request: &request,
            };
            answer.clear();
            let result = catch_unwind(AssertUnwindSafe(|| handler(call, &mut answer)));
            match result {
                Ok(()) => self.answer(answering, &request, &answer, &mut packet),
                Err(_) => {
                    self.panicked.fetch_add(1, Relaxed);
                }
            }
            self.line().spare.push(payload);
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut line = self.line();
        loop {
            if self.stopping.load(Relaxed) {
                return None;
            }
            if let Some(job) = line.jobs.pop() {
                return Some(job);
            }
            line = self
                .changed
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, by: &Answering, request: &Request, answer: &[u8], packet: &mut Vec<u8>) {
        let waiting = self.line().jobs.len();
        let load = load(waiting, self.draining.load(Relaxed));
        let Ok(message) = by.answer(request, load, answer.len()) else {
            self.unsent.fetch_add(1, Relaxed);
            return;
        };
        // Before it is sent: who has the answer finds it counted.
        self.answered.fetch_add(1, Relaxed);
        for number in 0..message.packets() {
            message.encode(number, answer, packet);
            self.send(packet, request.from);
        }
    }

    fn send(&self, bytes: &[u8], to: SocketAddr) {
        if self.socket.send_to(bytes, to).is_err() {
            self.unsent.fetch_add(1, Relaxed);
        }
    }
}
