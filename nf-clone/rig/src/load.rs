//! Clients that ask without a pause, check every answer, and count every request to its end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nf_clone::client::Config;
use nf_clone::udp::{CallError, Client, Completion, Options, Sources};

use crate::bed::{Bed, Mode};
use crate::work;

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Clients, each a thread with a socket.
    pub clients: u64,
    /// Requests that each has in flight.
    pub in_flight: usize,
    /// Bytes of the longest request.
    pub longest: usize,
    /// What a client does between two answers.
    pub pause: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            clients: 2,
            in_flight: 8,
            longest: 1200,
            pause: Duration::ZERO,
        }
    }
}

/// What became of all requests.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests sent for the first time.
    pub sent: u64,
    /// Requests answered, rightly or not.
    pub answered: u64,
    /// Answers that were not the right ones.
    pub wrong: u64,
    /// Requests without an answer, to however many attempts.
    pub lost: u64,
    /// Requests whose caller was told of two ends.
    pub twice: u64,
    /// Requests sent again.
    pub retransmissions: u64,
    /// Second answers that came as far as the client, which kept them from its caller.
    pub redundant: u64,
    /// Datagrams that were no messages for a client, or not for this one.
    pub strange: u64,
    /// Answers to requests that were cloned.
    pub cloned: u64,
    /// Of these, those that the clone's server gave.
    pub by_clone: u64,
    /// Answers by server.
    pub by_sid: BTreeMap<u16, u64>,
    /// The longest time to an answer.
    pub longest: Duration,
}

impl Tally {
    /// Fails unless every request has had its one right answer.
    ///
    /// # Errors
    /// A sentence with all counts.
    pub fn check(&self) -> Result<(), String> {
        let right = self.sent > 0
            && self.answered == self.sent
            && (self.wrong, self.lost, self.twice, self.strange) == (0, 0, 0, 0)
            // Each further attempt may have been cloned, and has an answer of its own.
            && self.redundant <= 2 * self.retransmissions;
        match right {
            true => Ok(()),
            false => Err(format!(
                "not every request had its one right answer: {self:?}"
            )),
        }
    }

    fn add(&mut self, other: &Tally) {
        for (sum, part) in [
            (&mut self.sent, other.sent),
            (&mut self.answered, other.answered),
            (&mut self.wrong, other.wrong),
            (&mut self.lost, other.lost),
            (&mut self.twice, other.twice),
            (&mut self.retransmissions, other.retransmissions),
            (&mut self.redundant, other.redundant),
            (&mut self.strange, other.strange),
            (&mut self.cloned, other.cloned),
            (&mut self.by_clone, other.by_clone),
        ] {
            *sum += part;
        }
        for (sid, count) in &other.by_sid {
            *self.by_sid.entry(*sid).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }
}

#[derive(Debug, Default)]
struct Progress {
    stop: AtomicBool,
    answered: AtomicU64,
}

/// Clients that run.
#[derive(Debug)]
pub struct Load {
    progress: Arc<Progress>,
    threads: Vec<JoinHandle<Result<Tally, String>>>,
}

impl Load {
    /// Starts them.
    ///
    /// # Errors
    /// If a socket cannot be had.
    pub fn start(bed: &Bed, plan: Plan) -> Result<Load, String> {
        let sources = match bed.mode() {
            Mode::Gateway | Mode::Gateway6 => Sources::Service,
            Mode::Inline => Sources::Any,
        };
        let config = Config {
            // Together half a minute: longer than an appliance needs to start again.
            timeout: Duration::from_millis(50),
            retries: 9,
            ..Config::new(Config::groups_of(bed.servers().into()))
        };
        let mut load = Load {
            progress: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..plan.clients {
            let config = Config {
                client_id: nf_clone::client::fresh_client_id(),
                ..config.clone()
            };
            let client = bed
                .clients
                .run(|| Client::new(bed.service(), config, sources))
                .map_err(|error| format!("client {number}: {error}"))?;
            let mut asking = Asking {
                client,
                number,
                plan,
                progress: load.progress.clone(),
                ended: HashSet::new(),
                tally: Tally::default(),
            };
            load.threads.push(std::thread::spawn(move || asking.run()));
        }
        Ok(load)
    }

    /// Answers so far.
    pub fn answered(&self) -> u64 {
        self.progress.answered.load(Relaxed)
    }

    /// Whether the clients have ended, which by themselves they only do when a socket fails.
    pub fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until `more` answers have come from now on.
    ///
    /// # Errors
    /// A sentence, if they have not within `limit`.
    pub fn wait_flowing(&self, more: u64, limit: Duration) -> Result<(), String> {
        let target = self.answered() + more;
        let seen = testkit::wait_for("answers", limit, || {
            if self.answered() >= target {
                return Some(Ok(()));
            }
            self.is_done().then(|| Err("clients have ended".to_owned()))
        });
        seen.and_then(|seen| seen)
            .map_err(|error| format!("{error}: {} of {target}", self.answered()))
    }

    /// Begins no further requests, waits for the end of those in flight, and counts.
    ///
    /// # Errors
    /// What a socket said.
    pub fn end(mut self) -> Result<Tally, String> {
        self.progress.stop.store(true, Relaxed);
        let mut tally = Tally::default();
        for thread in self.threads.drain(..) {
            let one = thread
                .join()
                .map_err(|_| "a client panicked".to_owned())??;
            tally.add(&one);
        }
        Ok(tally)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.progress.stop.store(true, Relaxed);
    }
}

struct Asking {
    client: Client,
    number: u64,
    plan: Plan,
    progress: Arc<Progress>,
    /// Tokens of the requests whose caller has been told of their end.
    ended: HashSet<u64>,
    tally: Tally,
}

impl Asking {
    fn run(&mut self) -> Result<Tally, String> {
        let mut token = 0;
        loop {
            let is_last = self.progress.stop.load(Relaxed);
            if is_last && self.client.in_flight() == 0 {
                break;
            }
            if !is_last && self.client.in_flight() < self.plan.in_flight {
                self.ask(token)?;
                token += 1;
                continue;
            }
            self.take(Duration::from_millis(20))?;
            if !self.plan.pause.is_zero() {
                std::thread::sleep(self.plan.pause);
            }
        }
        let counters = self.client.counters();
        self.tally.sent = token;
        self.tally.retransmissions = counters.retransmissions;
        self.tally.redundant = counters.redundant + counters.late;
        self.tally.strange = counters.malformed + counters.unknown;
        Ok(self.tally.clone())
    }

    fn ask(&mut self, token: u64) -> Result<(), String> {
        let payload = work::request(self.number, token, self.plan.longest);
        let options = Options {
            token,
            ..Options::default()
        };
        self.client
            .send(&payload, options)
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    fn take(&mut self, limit: Duration) -> Result<(), String> {
        let until = Instant::now() + limit;
        while let Some(completion) = self.client.wait(limit).map_err(|error| error.to_string())? {
            self.completed(completion)?;
            if self.client.in_flight() < self.plan.in_flight || Instant::now() >= until {
                break;
            }
        }
        Ok(())
    }

    fn completed(&mut self, completion: Completion) -> Result<(), String> {
        if !self.ended.insert(completion.token) {
            self.tally.twice += 1;
        }
        match completion.result {
            Ok(answer) => {
                let mut right = Vec::new();
                let asked = work::request(self.number, completion.token, self.plan.longest);
                work::answer(&asked, &mut right);
                self.tally.answered += 1;
                self.tally.wrong += u64::from(answer.payload != right);
                self.tally.cloned += u64::from(answer.clo > 0);
                self.tally.by_clone += u64::from(answer.clo == 2);
                *self.tally.by_sid.entry(answer.sid).or_default() += 1;
                self.tally.longest = self.tally.longest.max(answer.took);
                self.progress.answered.fetch_add(1, Relaxed);
            }
            Err(CallError::NoAnswer { .. } | CallError::NoServer { .. }) => self.tally.lost += 1,
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}
