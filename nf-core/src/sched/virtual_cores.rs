//! Cores in virtual time: the scheduler as it is, driven by events instead of threads.
//!
//! For tests, and for the simulator's figures. An execution takes as long as whoever executes says; what it
//! sends takes effect when it is over. Equal inputs give equal outcomes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::actor::{Loss, Work};
use super::policy::Policy;
use super::runtime::{Config, Job, Manager, PacketCore, Scheduler, Send, WorkerCore};
use crate::publish::{Hub, Watch};

/// What executes jobs, and sees what leaves.
pub trait Execute<W: Work> {
    /// Executes a job that begins at `now`; empties its messages, and puts what they send into `sends`. Returns how
    /// long it takes, nanoseconds.
    fn execute(&mut self, job: &mut Job<W>, sends: &mut Vec<Send<W::Message>>, now: u64) -> u64;

    /// A message leaves the box at `now`.
    fn leaves(&mut self, message: W::Message, now: u64);

    /// A message for an actor ended at `now` without being executed.
    fn lost(&mut self, _message: W::Message, _loss: Loss, _now: u64) {}
}

struct Execution<W: Work> {
    /// Which of the ends is its own.
    number: u64,
    job: Job<W>,
    sends: Vec<Send<W::Message>>,
}

/// All cores of a scheduler, and what time it is for them.
pub struct VirtualCores<W: Work> {
    /// The scheduler, to register actors with.
    pub scheduler: Scheduler<W>,
    /// What decides.
    pub manager: Manager<W>,
    packet: Vec<PacketCore<W>>,
    workers: Vec<WorkerCore<W>>,
    /// By core; workers after packet cores.
    running: Vec<Option<Execution<W>>>,
    /// Until when a core does nothing, although it is not executing.
    stalled: Vec<u64>,
    /// When executions end.
    ends: BinaryHeap<Reverse<(u64, u64, usize)>>,
    said: u64,
    first_idle: usize,
    now: u64,
    watch: Watch,
    /// Executions begun.
    pub jobs: u64,
}

impl<W: Work> VirtualCores<W> {
    /// Cores of a scheduler of that size, at time 0.
    pub fn new(config: Config, policy: Policy) -> VirtualCores<W> {
        let hub = Hub::new();
        let watch = hub.watch();
        let (scheduler, packet, workers) = Scheduler::new(config, &hub);
        let cores = packet.len() + workers.len();
        VirtualCores {
            manager: Manager::new(&scheduler, policy),
            scheduler,
            packet,
            workers,
            running: (0..cores).map(|_| None).collect(),
            stalled: vec![0; cores],
            ends: BinaryHeap::new(),
            said: 0,
            first_idle: 0,
            now: 0,
            watch,
            jobs: 0,
        }
    }

    /// Now, nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Packet core 0, which manages.
    pub fn core(&self, core: usize) -> &PacketCore<W> {
        &self.packet[core]
    }

    /// A core does nothing for a while, once it is through with what it executes. Workers count on from
    /// the packet cores.
    pub fn stall(&mut self, core: usize, for_ns: u64) {
        self.stalled[core] = self.now + for_ns;
        self.said += 1;
        self.ends
            .push(Reverse((self.now + for_ns, self.said, core)));
    }

    /// A message comes in at a packet core. Gives it back when there is no room.
    pub fn arrive(
        &mut self,
        core: usize,
        message: W::Message,
        execute: &mut impl Execute<W>,
    ) -> Result<(), W::Message> {
        self.packet[core].put(message)?;
        self.start_idle(execute);
        self.tell_lost(execute);
        Ok(())
    }

    /// Lets everything happen up to `until`.
    pub fn run_until(&mut self, until: u64, execute: &mut impl Execute<W>) {
        loop {
            let end = self.ends.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            // The manager runs on core 0, between two of its jobs.
            let manages = match self.running[0] {
                None => self.manager.next_ns().max(self.stalled[0]).max(self.now),
                Some(_) => u64::MAX,
            };
            let next = end.min(manages);
            if next > until {
                self.now = self.now.max(until);
                return;
            }
            self.now = self.now.max(next);
            if end <= manages {
                if let Some(Reverse((_, number, core))) = self.ends.pop() {
                    self.end(core, number, execute);
                }
            } else {
                self.manage();
            }
            self.start_idle(execute);
            self.tell_lost(execute);
        }
    }

    fn tell_lost(&mut self, execute: &mut impl Execute<W>) {
        let now = self.now;
        for core in &mut self.packet {
            core.take_lost()
                .for_each(|(_, loss, message)| execute.lost(message, loss, now));
        }
        for worker in &mut self.workers {
            let lost = worker.take_lost();
            lost.for_each(|(_, loss, message)| execute.lost(message, loss, now));
        }
    }

    fn refresh(&mut self) {
        if self.watch.changed() {
            self.packet.iter_mut().for_each(PacketCore::refresh);
            self.workers.iter_mut().for_each(WorkerCore::refresh);
        }
    }

    fn manage(&mut self) {
        self.refresh();
        self.manager.step(&mut self.packet[0], &[], self.now);
    }

    fn end(&mut self, core: usize, number: u64, execute: &mut impl Execute<W>) {
        let own = |execution: &mut Execution<W>| execution.number == number;
        let Some(Execution { job, sends, .. }) = self.running[core].take_if(own) else {
            return; // the end of a stall
        };
        let now = self.now;
        match core.checked_sub(self.packet.len()) {
            None => {
                let mut out = |message| execute.leaves(message, now);
                self.packet[core].finish(job, now, sends, &mut out);
                if core == 0 {
                    self.manage();
                }
            }
            Some(worker) => {
                let mut out = |message| execute.leaves(message, now);
                self.workers[worker].finish(job, now, sends, &mut out);
            }
        }
    }

    /// Cores without work look for some, until none finds any.
    fn start_idle(&mut self, execute: &mut impl Execute<W>) {
        self.refresh();
        let (packet, cores) = (self.packet.len(), self.running.len());
        let now = self.now;
        loop {
            let mut found = false;
            for step in 0..cores {
                // Workers come last: what packet cores send them in this round is there by then.
                let core = match step < packet {
                    true => (self.first_idle + step) % packet,
                    false => step,
                };
                if self.running[core].is_some() || self.stalled[core] > now {
                    continue;
                }
                let job = match core.checked_sub(self.packet.len()) {
                    None => {
                        let packet_core = &mut self.packet[core];
                        packet_core.take_returned(&mut |message| execute.leaves(message, now));
                        packet_core.begin(now)
                    }
                    Some(worker) => self.workers[worker].begin(now),
                };
                let Some(mut job) = job else {
                    continue;
                };
                found = true;
                self.jobs += 1;
                let mut sends = Vec::new();
                let takes = execute.execute(&mut job, &mut sends, now);
                self.said += 1;
                let number = self.said;
                self.running[core] = Some(Execution { number, job, sends });
                self.ends.push(Reverse((now + takes, self.said, core)));
            }
            // The next time another core is asked first: none is privileged.
            self.first_idle = (self.first_idle + 1) % packet;
            if !found {
                return;
            }
        }
    }
}
