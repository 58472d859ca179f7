//! Clients of an unmodified service: each keeps some requests in flight, asks again with a new id when
//! no answer comes, and counts every request to its end.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bed::Bed;

/// How long a client waits on its socket before it looks at its clock.
const TICK: Duration = Duration::from_millis(5);

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is the right one.
    Right,
    /// The server says that it does not have what was asked for, which all servers were given.
    Missed,
    /// It is none to this request, or made of those of several servers.
    Wrong,
}

/// A protocol as a client sees it.
pub trait Speaks: Send + Sync {
    /// The request of that id for item `n`.
    fn request(&self, id: u16, n: u32) -> Vec<u8>;
    /// The id of an answer.
    fn id(&self, datagram: &[u8]) -> Option<u16>;
    /// Which part of the answer to the request for item `n` it is, and how many parts there are.
    fn part(&self, n: u32, datagram: &[u8]) -> Option<(usize, usize)>;
    /// What the whole answer, a datagram for each part, is worth.
    fn judge(&self, id: u16, n: u32, parts: &[Vec<u8>]) -> Judgement;
}

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Clients, each a thread with a socket.
    pub clients: usize,
    /// Requests that each has in flight.
    pub in_flight: usize,
    /// Requests that each makes; without it they go on until [`Clients::end`].
    pub each: Option<u32>,
    /// How long one waits for an answer.
    pub patience: Duration,
    /// How often one asks, all in all.
    pub tries: u32,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            clients: 3,
            in_flight: 1,
            each: None,
            patience: Duration::from_millis(250),
            tries: 40,
        }
    }
}

/// What became of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent for the first time.
    pub sent: u64,
    /// Requests with the right answer.
    pub right: u64,
    /// Requests answered by a server that does not have what it was given.
    pub missed: u64,
    /// Requests with a wrong answer, and datagrams that make no sense.
    pub wrong: u64,
    /// Requests without an answer, however often sent.
    pub lost: u64,
    /// Datagrams to a request that had its whole answer.
    pub twice: u64,
    /// Requests sent again, each with a new id.
    pub again: u64,
    /// Datagrams to an id that its client had given up.
    pub late: u64,
    /// The longest time from a request's first sending to its answer.
    pub longest: Duration,
}

impl Tally {
    /// Requests that have had an answer, whatever it is worth.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.right + self.missed + self.wrong
    }

    /// Fails unless every request has had its one right answer.
    ///
    /// # Errors
    /// A sentence with all counts.
    pub fn check(&self) -> Result<(), String> {
        let perfect = self.right > 0
            && self.right == self.sent
            && (self.missed, self.wrong, self.lost, self.twice) == (0, 0, 0, 0);
        match perfect {
            true => Ok(()),
            false => Err(format!(
                "not every request had its one right answer: {self:?}"
            )),
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Tally) {
        for (sum, part) in [
            (&mut self.sent, other.sent),
            (&mut self.right, other.right),
            (&mut self.missed, other.missed),
            (&mut self.wrong, other.wrong),
            (&mut self.lost, other.lost),
            (&mut self.twice, other.twice),
            (&mut self.again, other.again),
            (&mut self.late, other.late),
        ] {
            *sum += part;
        }
        self.longest = self.longest.max(other.longest);
    }
}

#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    phase: AtomicUsize,
    answered: AtomicU64,
}

/// Clients that run. Dropping them has them stop.
#[derive(Debug)]
pub struct Clients {
    progress: Arc<Progress>,
    threads: Vec<JoinHandle<Result<Vec<Tally>, String>>>,
}

impl Clients {
    /// Starts them.
    ///
    /// # Errors
    /// If a socket cannot be had.
    pub fn start(
        bed: &Bed,
        port: u16,
        speaks: Arc<dyn Speaks>,
        plan: Plan,
    ) -> Result<Clients, String> {
        let mut clients = Clients {
            progress: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..plan.clients {
            let socket = Clients::socket(bed, port)
                .and_then(|socket| {
                    socket.set_read_timeout(Some(TICK))?;
                    Ok(socket)
                })
                .map_err(|error| format!("client {number}: {error}"))?;
            let mut asking = Asking {
                speaks: speaks.clone(),
                socket,
                plan,
                progress: clients.progress.clone(),
                next: 0,
                ids: 0,
                in_flight: HashMap::new(),
                ended: vec![Ended::Never; 1 << 16],
                tallies: vec![Tally::default()],
            };
            let thread = std::thread::spawn(move || asking.run());
            clients.threads.push(thread);
        }
        Ok(clients)
    }

    /// A socket of a client, connected to a service of the bed's.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn socket(bed: &Bed, port: u16) -> std::io::Result<UdpSocket> {
        bed.clients.run(|| {
            let socket = UdpSocket::bind((bed.client(), 0))?;
            socket.connect(SocketAddr::from((bed.vip(), port)))?;
            Ok(socket)
        })
    }

    /// Answers so far.
    pub fn answered(&self) -> u64 {
        self.progress.answered.load(Relaxed)
    }

    /// Whether all have made their requests.
    pub fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// From now on counts are those of this phase; the first is 0.
    pub fn enter(&self, phase: usize) {
        self.progress.phase.store(phase, Relaxed);
    }

    /// Waits for the end of all requests that are to be made, and gives the counts of each phase.
    ///
    /// # Errors
    /// What a socket said that is no loss.
    pub fn finish(mut self) -> Result<Vec<Tally>, String> {
        let mut phases: Vec<Tally> = Vec::new();
        for thread in std::mem::take(&mut self.threads) {
            let one = thread
                .join()
                .map_err(|_| "a client panicked".to_owned())??;
            phases.resize(phases.len().max(one.len()), Tally::default());
            for (sum, part) in phases.iter_mut().zip(&one) {
                sum.add(part);
            }
        }
        Ok(phases)
    }

    /// Makes no further requests, waits for the end of those in flight, and gives the counts of each
    /// phase.
    ///
    /// # Errors
    /// As [`Clients::finish`].
    pub fn end(self) -> Result<Vec<Tally>, String> {
        self.progress.stop.store(true, Relaxed);
        self.finish()
    }

    /// [`Clients::end`], with all phases in one.
    ///
    /// # Errors
    /// As [`Clients::finish`].
    pub fn end_all(self) -> Result<Tally, String> {
        self.end().map(|phases| sum(&phases))
    }

    /// [`Clients::finish`], with all phases in one.
    ///
    /// # Errors
    /// As [`Clients::finish`].
    pub fn finish_all(self) -> Result<Tally, String> {
        self.finish().map(|phases| sum(&phases))
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.progress.stop.store(true, Relaxed);
    }
}

fn sum(phases: &[Tally]) -> Tally {
    let mut all = Tally::default();
    phases.iter().for_each(|phase| all.add(phase));
    all
}

/// How the last request of an id ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It has not, or there was none.
    Never,
    Answered,
    GivenUp,
}

/// A request that waits for its answer.
struct Flight {
    n: u32,
    /// Sendings so far.
    tries: u32,
    first_sent: Instant,
    sent: Instant,
    parts: Vec<Option<Vec<u8>>>,
}

struct Asking {
    speaks: Arc<dyn Speaks>,
    socket: UdpSocket,
    plan: Plan,
    progress: Arc<Progress>,
    /// Number of the next request.
    next: u32,
    /// The id that was taken last.
    ids: u16,
    in_flight: HashMap<u16, Flight>,
    /// By id.
    ended: Vec<Ended>,
    tallies: Vec<Tally>,
}

impl Asking {
    fn run(&mut self) -> Result<Vec<Tally>, String> {
        let mut buffer = vec![0; 1 << 16];
        let mut looked = Instant::now();
        loop {
            let is_last = self.progress.stop.load(Relaxed)
                || self.plan.each.is_some_and(|each| self.next >= each);
            if is_last && self.in_flight.is_empty() {
                break;
            }
            if !is_last && self.in_flight.len() < self.plan.in_flight {
                self.tally().sent += 1;
                let now = Instant::now();
                let (n, parts) = (self.next, Vec::new());
                self.next += 1;
                self.send(Flight {
                    n,
                    tries: 0,
                    first_sent: now,
                    sent: now,
                    parts,
                });
                continue;
            }
            if let Some(length) = self.receive(&mut buffer)? {
                self.take(&buffer[..length]);
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                self.give_up();
            }
        }
        // The slower answers, if they should come.
        let end = Instant::now() + self.plan.patience;
        while Instant::now() < end {
            if let Some(length) = self.receive(&mut buffer)? {
                self.take(&buffer[..length]);
            }
        }
        Ok(std::mem::take(&mut self.tallies))
    }

    fn tally(&mut self) -> &mut Tally {
        let phase = self.progress.phase.load(Relaxed);
        if self.tallies.len() <= phase {
            self.tallies.resize(phase + 1, Tally::default());
        }
        &mut self.tallies[phase]
    }

    /// A datagram, if there is one within [`TICK`].
    fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        use std::io::ErrorKind;
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                        // Told by ICMP, while a server or the appliance is away: as if lost.
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn send(&mut self, mut flight: Flight) {
        let id = loop {
            self.ids = self.ids.wrapping_add(1);
            if !self.in_flight.contains_key(&self.ids) {
                break self.ids;
            }
        };
        self.ended[usize::from(id)] = Ended::Never;
        flight.tries += 1;
        flight.sent = Instant::now();
        flight.parts.clear();
        // What the kernel refuses while a link is away is as good as lost.
        let _ = self.socket.send(&self.speaks.request(id, flight.n));
        self.in_flight.insert(id, flight);
    }

    /// Asks once more for what has not been answered in time, under a new id.
    fn give_up(&mut self) {
        let patience = self.plan.patience;
        let late: Vec<u16> = self
            .in_flight
            .iter()
            .filter(|(_, flight)| flight.sent.elapsed() >= patience)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.ended[usize::from(id)] = Ended::GivenUp;
            let Some(flight) = self.in_flight.remove(&id) else {
                continue;
            };
            if flight.tries >= self.plan.tries {
                self.tally().lost += 1;
                continue;
            }
            self.tally().again += 1;
            self.send(flight);
        }
    }

    fn take(&mut self, datagram: &[u8]) {
        let Some(id) = self.speaks.id(datagram) else {
            self.tally().wrong += 1;
            return;
        };
        let Some(flight) = self.in_flight.get_mut(&id) else {
            match self.ended[usize::from(id)] {
                Ended::GivenUp => self.tally().late += 1,
                // Nobody asked.
                Ended::Never => self.tally().wrong += 1,
                Ended::Answered => self.tally().twice += 1,
            }
            return;
        };
        let Some((part, all)) = self.speaks.part(flight.n, datagram) else {
            let shown = String::from_utf8_lossy(datagram.get(..40).unwrap_or(datagram));
            eprintln!("no answer to request {}: {shown:?}", flight.n);
            self.tally().wrong += 1;
            return;
        };
        flight.parts.resize(all.max(part + 1), None);
        let again = flight.parts[part].replace(datagram.to_vec()).is_some();
        let whole = flight.parts.iter().all(Option::is_some);
        if again {
            self.tally().twice += 1;
        }
        if whole && let Some(flight) = self.in_flight.remove(&id) {
            self.complete(id, flight);
        }
    }

    fn complete(&mut self, id: u16, flight: Flight) {
        self.ended[usize::from(id)] = Ended::Answered;
        self.progress.answered.fetch_add(1, Relaxed);
        let parts: Vec<Vec<u8>> = flight.parts.into_iter().flatten().collect();
        let judgement = self.speaks.judge(id, flight.n, &parts);
        let took = flight.first_sent.elapsed();
        let tally = self.tally();
        tally.longest = tally.longest.max(took);
        match judgement {
            Judgement::Right => tally.right += 1,
            Judgement::Missed => tally.missed += 1,
            Judgement::Wrong => {
                tally.wrong += 1;
                let shown = String::from_utf8_lossy(&parts[0]);
                eprintln!("wrong answer to request {}: {shown:?}", flight.n);
            }
        }
    }
}
