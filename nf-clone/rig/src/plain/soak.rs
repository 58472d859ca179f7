//! Many requests to three real memcached while servers are killed, hang, are drained and come back empty,
//! and the appliance is killed and started again. What became of the requests is counted for each of
//! these on its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Sluice;

use super::clients::{Clients, Plan, Tally};
use super::memcached::{self, Gets, Servers};
use crate::bed::{Bed, Links, Mode};
use crate::control::{command, count, server, state};

/// Without an answer for so long, something is stuck.
const STALL: Duration = Duration::from_secs(60);

/// A server that hangs does so for longer than the appliance knows of requests (`forget_us`, 2 s).
const HANG: Duration = Duration::from_millis(2500);

/// What a soak takes.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests, at least: they go on until everything has happened.
    pub requests: u64,
    /// How many requests there are, and how long one waits.
    pub plan: Plan,
    /// What the appliance's ports are.
    pub links: Links,
    /// Whether anything happens but requests.
    pub disturbed: bool,
    /// The program `sluice`, if not the one beside the caller.
    pub program: Option<PathBuf>,
}

/// What came of one part of it.
#[derive(Debug, Clone)]
pub struct Phase {
    /// What had happened.
    pub what: &'static str,
    /// Whether a miss is the right answer of a server that has come back empty.
    pub may_miss: bool,
    /// What became of the requests meanwhile.
    pub tally: Tally,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// One after the other.
    pub phases: Vec<Phase>,
    /// How long all took.
    pub took: Duration,
    /// Of the appliance's last life: requests that went to two servers.
    pub cloned: u64,
    /// Of the appliance's last life: datagrams of slower servers, which it kept.
    pub slower: u64,
}

impl Outcome {
    /// All phases together.
    #[must_use]
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.phases.iter().for_each(|phase| all.add(&phase.tally));
        all
    }

    /// A line for each phase and one for all.
    #[must_use]
    pub fn table(&self) -> String {
        let line = |what: &str, tally: &Tally| {
            format!(
                "{what:36} {:>8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8.1?}\n",
                tally.sent,
                tally.right,
                tally.missed,
                tally.wrong,
                tally.lost,
                tally.twice,
                tally.again,
                tally.late,
                tally.longest,
            )
        };
        let mut table = format!(
            "{:36} {:>8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8}\n",
            "", "sent", "right", "missed", "wrong", "lost", "twice", "again", "late", "longest",
        );
        for phase in &self.phases {
            table += &line(phase.what, &phase.tally);
        }
        table + &line("all", &self.all())
    }

    /// Fails unless every request has had its one right answer; a miss is one only while a server is
    /// empty.
    ///
    /// # Errors
    /// A sentence for each phase in which that was not so.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        for Phase {
            what,
            may_miss,
            tally,
        } in &self.phases
        {
            let missed = if *may_miss { 0 } else { tally.missed };
            if (missed, tally.wrong, tally.lost, tally.twice) != (0, 0, 0, 0) {
                faults.push(format!("{what}: {tally:?}"));
            }
        }
        // Requests are counted where they begin and where they end.
        let all = self.all();
        if all.right == 0 || all.sent != all.answered() {
            faults.push(format!("not every request was answered: {all:?}"));
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("\n")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Kill(u8),
    Refill(u8),
    Hang(u8),
    GoOn(u8),
    Drain(u8),
    Restore(u8),
    RestartAppliance,
    RestartApplianceWhileHanging(u8),
    Empty(u8),
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Step::Kill(_) => "server killed",
            Step::Refill(_) => "server started, filled, restored",
            Step::Hang(_) => "server hangs (SIGSTOP)",
            Step::GoOn(_) => "server goes on (SIGCONT)",
            Step::Drain(_) => "server drained",
            Step::Restore(_) => "server restored",
            Step::RestartAppliance => "appliance killed, started again",
            Step::RestartApplianceWhileHanging(_) => "the same while a server hangs",
            Step::Empty(_) => "server back empty, and not drained",
        }
    }
}

/// What happens, after which part of all requests (thousandths).
const STORY: [(u64, Step); 11] = [
    (100, Step::Kill(0)),
    (200, Step::Refill(0)),
    (300, Step::Hang(1)),
    (400, Step::GoOn(1)),
    (500, Step::Drain(2)),
    (600, Step::Restore(2)),
    (650, Step::RestartAppliance),
    (750, Step::RestartApplianceWhileHanging(1)),
    (800, Step::GoOn(1)),
    (850, Step::Empty(0)),
    (900, Step::Refill(0)),
];

/// Runs a soak. `say` is told what happens, about once a second, and may end it by an error.
///
/// # Errors
/// Whatever went wrong besides answers, which [`Outcome::check`] judges.
pub fn run(
    options: &Options,
    say: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Outcome, String> {
    let bed = Bed::new(Mode::Gateway, options.links, 3)?;
    let settings = super::settings(&bed, memcached::PORT, "memcached");
    // With it come the interfaces, if they are TAP.
    let mut sluice = bed.start(&settings, options.program.clone())?;
    let mut servers = Servers::start(&bed)?;
    let speaks = Arc::new(Gets {
        servers: bed.servers(),
    });
    let start = Instant::now();
    let clients = Clients::start(&bed, memcached::PORT, speaks, options.plan)?;
    let mut scene = Scene {
        bed: &bed,
        sluice: &mut sluice,
        servers: &mut servers,
        clients: &clients,
        patience: options.plan.patience,
    };
    let mut phases = vec![("nothing has happened", false)];
    if options.disturbed {
        for (part, step) in STORY {
            reach(&clients, options.requests * part / 1000, say)?;
            scene.prepare(step)?;
            clients.enter(phases.len());
            phases.push((step.what(), matches!(step, Step::Empty(_))));
            say(&format!(
                "{:9} answers: {}",
                clients.answered(),
                step.what()
            ))?;
            let text = scene.happen(step)?;
            say(&format!("{:9} answers: {text}", clients.answered()))?;
        }
    }
    reach(&clients, options.requests, say)?;
    let tallies = clients.end()?;
    let took = start.elapsed();
    let phases = phases.into_iter().enumerate();
    Ok(Outcome {
        phases: phases
            .map(|(at, (what, may_miss))| Phase {
                what,
                may_miss,
                tally: tallies.get(at).copied().unwrap_or_default(),
            })
            .collect(),
        took,
        cloned: count(&sluice, "plain_cloned"),
        slower: count(&sluice, "plain_slower"),
    })
}

/// Waits until that many answers are there.
fn reach(
    clients: &Clients,
    target: u64,
    say: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let (mut last, mut moved, mut told) = (clients.answered(), Instant::now(), Instant::now());
    while clients.answered() < target && !clients.is_done() {
        std::thread::sleep(Duration::from_millis(20));
        let now = clients.answered();
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > STALL {
            return Err(format!("no answer for {STALL:?}, {now} so far"));
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            say(&format!("{now:9} answers"))?;
        }
    }
    Ok(())
}

struct Scene<'a, 'b> {
    bed: &'a Bed,
    sluice: &'b mut Sluice<'a>,
    servers: &'b mut Servers<'a>,
    clients: &'b Clients,
    patience: Duration,
}

impl Scene<'_, '_> {
    /// What has to be done while counts are still those of the phase before.
    fn prepare(&mut self, step: Step) -> Result<(), String> {
        if let Step::Refill(sid) = step {
            // Before it is filled it would answer misses.
            self.drain(sid)?;
            std::thread::sleep(2 * self.patience);
        }
        Ok(())
    }

    fn happen(&mut self, step: Step) -> Result<String, String> {
        match step {
            Step::Kill(sid) => {
                self.servers.kill(sid)?;
                self.state(sid, "down")?;
                Ok(format!("server {sid} found to be down"))
            }
            Step::Refill(sid) => {
                self.servers.start_empty(sid)?;
                self.servers.fill(sid)?;
                self.restore(sid)?;
                Ok(format!("server {sid} is up"))
            }
            Step::Hang(sid) => {
                self.servers.hang(sid, true)?;
                self.state(sid, "down")?;
                std::thread::sleep(HANG);
                Ok(format!("server {sid} found to be down, {HANG:?} ago"))
            }
            Step::GoOn(sid) => {
                self.servers.hang(sid, false)?;
                self.state(sid, "up")?;
                Ok(format!("server {sid} is up"))
            }
            Step::Drain(sid) => {
                self.drain(sid)?;
                Ok(format!("server {sid} is drained"))
            }
            Step::Restore(sid) => {
                self.restore(sid)?;
                Ok(format!("server {sid} is up"))
            }
            Step::RestartAppliance => {
                self.bed.restart(self.sluice)?;
                Ok("appliance is back".to_owned())
            }
            Step::RestartApplianceWhileHanging(sid) => {
                self.servers.hang(sid, true)?;
                std::thread::sleep(self.patience);
                self.bed.restart(self.sluice)?;
                self.state(sid, "down")?;
                Ok(format!(
                    "appliance is back, and server {sid} found to be down"
                ))
            }
            Step::Empty(sid) => {
                self.servers.kill(sid)?;
                self.state(sid, "down")?;
                self.servers.start_empty(sid)?;
                self.state(sid, "up")?;
                self.flows(1000)?;
                Ok(format!("server {sid} is up, and empty"))
            }
        }
    }

    fn drain(&self, sid: u8) -> Result<(), String> {
        command(self.sluice, "drain", &json!({ "sid": sid }))?;
        // One that is dead is shown as that.
        match server(self.sluice, sid)["state"] == "down" {
            true => Ok(()),
            false => self.state(sid, "drained"),
        }
    }

    fn restore(&self, sid: u8) -> Result<(), String> {
        command(self.sluice, "restore", &json!({ "sid": sid }))?;
        self.state(sid, "up")
    }

    fn state(&self, sid: u8, wanted: &str) -> Result<(), String> {
        state(self.sluice, sid, wanted)
    }

    fn flows(&self, more: u64) -> Result<(), String> {
        let target = self.clients.answered() + more;
        reach(self.clients, target, &mut |_| Ok(()))
    }
}
