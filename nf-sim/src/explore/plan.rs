//! What a seed gives: a rack, and what happens to it.

use serde_json::{Value, json};
use workload::random::Random;
use workload::scheme::Scheme;

use crate::random::stream_of;
use crate::rig::{APPLIANCE, Rig};
use crate::scenario::{Fault, FaultAction, Scenario};

/// How hard a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing that loses a packet, and clients that ask once: every request must be answered all the same.
    Quiet,
    /// Everything, and clients that ask again.
    Loud,
}

/// A rack and its faults.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed it follows from.
    pub seed: u64,
    /// How hard it is.
    pub mode: Mode,
    /// The rack, without faults.
    pub rig: Rig,
    /// What happens, by number.
    pub faults: Vec<Fault>,
}

/// Everything happens before this time, microseconds; clients send as long.
const BUSY_US: u64 = 100_000;

/// Packets that may wait at an appliance: so many that a stall drops none.
const QUEUE: u32 = 1_000_000;

/// Draws from what is possible.
struct Draw {
    random: Random,
    quiet: bool,
    servers: usize,
    clients: usize,
}

impl Draw {
    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.random.below(to - from + 1)
    }

    fn one<T: Copy>(&mut self, of: &[T], otherwise: T) -> T {
        let index = self.random.below(of.len() as u64) as usize;
        of.get(index).copied().unwrap_or(otherwise)
    }

    fn server(&mut self) -> String {
        let server = self.random.below(self.servers as u64);
        Rig::server(server as usize)
    }

    /// A link, by name.
    fn link(&mut self) -> String {
        let at = self.random.below((self.servers + self.clients + 2) as u64) as usize;
        match at {
            0 => "clients-appliance:clients".into(),
            1 => "appliance:servers-servers".into(),
            _ if at < 2 + self.servers => format!("{}-servers", Rig::server(at - 2)),
            _ => format!("{}-clients", Rig::client(at - 2 - self.servers)),
        }
    }

    fn settings(&mut self) -> Value {
        let share = self.one(&[0.001, 0.01, 0.1, 0.3], 0.01);
        // Rarely so late that its slot was used again meanwhile.
        let late = self.one(&[1_000, 20_000, 1_000_000, 50_000_000], 20_000);
        let mut settings = json!({ "delay_ns": 1_000 });
        match self.random.below(if self.quiet { 2 } else { 4 }) {
            0 => settings["duplicate"] = json!(share),
            1 => {
                settings["reorder"] = json!(share);
                settings["reorder_ns"] = json!(late);
            }
            2 => settings["loss"] = json!(share),
            _ => settings["corrupt"] = json!(share),
        }
        settings
    }

    /// An order to the stage `clone`.
    fn order(&mut self, slots_log2: u8, base: &Value) -> Value {
        // Never the last one: an operator who takes all servers away gets no answers.
        let sid = self.random.below(self.servers as u64 - 1);
        let command = |verb: &str, arguments: Value| {
            json!({ "action": "command", "node": APPLIANCE, "stage": "clone", "verb": verb,
                "arguments": arguments })
        };
        match self.random.below(if self.quiet { 4 } else { 5 }) {
            0 => command("drain", json!({ "sid": sid })),
            1 => command("restore", json!({ "sid": sid })),
            2 => {
                let policy = self.one(
                    &["netclone", "netclone+jsq", "jsq", "random", "always"],
                    "netclone",
                );
                command("policy", json!({ "policy": policy }))
            }
            3 => {
                let mut settings = base.clone();
                settings["slots_log2"] = json!(slots_log2 + 1);
                json!({ "action": "reload", "node": APPLIANCE, "stage": "clone", "settings": settings })
            }
            _ => command("remove", json!({ "sid": sid })),
        }
    }

    fn fault(&mut self, rig: &Rig, base: &Value) -> Value {
        let short = self.between(10, 5_000);
        let long = self.between(1_000, 40_000);
        match self.random.below(if self.quiet { 5 } else { 11 }) {
            0 => {
                let node = match self.random.below(2) {
                    0 => self.server(),
                    _ => Rig::client(self.random.below(self.clients as u64) as usize),
                };
                json!({ "action": "stall", "node": node, "for_us": short })
            }
            1 => {
                let core = self.random.below(u64::from(rig.cores));
                json!({ "action": "stall", "node": APPLIANCE, "core": core, "for_us": short })
            }
            2 => {
                let (link, settings) = (self.link(), self.settings());
                json!({ "action": "link_change", "link": link, "settings": settings, "for_us": long })
            }
            3 => {
                let by = self.between(0, 20_000_000_000) as i64 - 10_000_000_000;
                json!({ "action": "clock_step", "node": APPLIANCE, "by_ns": by })
            }
            4 => {
                let slots = rig.clone["slots_log2"].as_u64().unwrap_or(10) as u8;
                self.order(slots, base)
            }
            5 => {
                // No shorter than a program takes to start: ids repeat after a start within 10 ms.
                let gone = self.between(20_000, 60_000);
                json!({ "action": "crash", "node": APPLIANCE, "for_us": gone })
            }
            6 => {
                let server = self.server();
                json!({ "action": "crash", "node": server, "for_us": long })
            }
            7 => {
                let link = self.link();
                json!({ "action": "link_down", "link": link, "for_us": long })
            }
            8 => {
                let (one, other) = (self.server(), self.server());
                json!({ "action": "partition", "nodes": [one, other], "for_us": long })
            }
            9 => {
                let server = self.server();
                let health = self.one(&["hang", "slow:10", "drop:30%", "kill"], "hang");
                json!({ "action": "health", "node": server, "health": health, "for_us": long })
            }
            _ => json!({ "action": "stall", "node": APPLIANCE, "for_us": long }),
        }
    }
}

impl Plan {
    /// What this seed gives.
    pub fn new(seed: u64) -> Plan {
        let mut draw = Draw {
            random: stream_of(seed, "explore"),
            quiet: false,
            servers: 2,
            clients: 2,
        };
        draw.quiet = draw.random.chance(0.4);
        draw.servers = draw.between(2, 6) as usize;
        let scheme = draw.one(
            &[
                Scheme::NetClone,
                Scheme::NetCloneRackSched,
                Scheme::AlwaysClone,
            ],
            Scheme::NetClone,
        );
        let mut rig = Rig::new(scheme, 1.0);
        let workers = draw.one(&[1, 2, 4, 15], 15);
        rig.workers = vec![workers; draw.servers];
        rig.clients = draw.clients;
        rig.cores = draw.between(1, 4) as u16;
        rig.tables = draw.between(1, 4) as u8;
        rig.packet_ns = draw.one(&[0, 100, 300], 0);
        rig.seed = seed;
        let slots = draw.one(&[10u8, 12, 17], 17);
        rig.clone = json!({
            "slots_log2": slots,
            "slot_index": draw.one(&["dense", "hash"], "dense"),
            "clone_copy": draw.one(&["full", "split", "auto"], "auto"),
            "jsq_probe": 0.02,
        });
        let load = draw.one(&[0.05, 0.2, 0.5], 0.2);
        // What a faulty rack cannot serve at once it must be able to serve later.
        rig.rate = (rig.capacity().unwrap_or(1e5) * load).min(300_000.0);
        rig.warm_up_us = 0;
        rig.measure_us = BUSY_US;
        // A server that hung is down for a second, and for two when it does so again.
        rig.settle_us = 8_000_000;
        let mode = match draw.quiet {
            true => Mode::Quiet,
            false => Mode::Loud,
        };
        if mode == Mode::Loud {
            // 5 ms and twice as long each time: ten seconds in all, which is beyond the end.
            rig.timeout_us = 5_000;
            rig.retries = 10;
        }
        let base = rig
            .scenario()
            .ok()
            .and_then(|scenario| Some(scenario.appliances.first()?.chain.first()?.config.clone()))
            .unwrap_or_default();
        let count = draw.between(1, 6);
        let mut faults: Vec<Fault> = (0..count)
            .filter_map(|_| {
                let at_us = draw.between(1_000, BUSY_US);
                let what: FaultAction = serde_json::from_value(draw.fault(&rig, &base)).ok()?;
                Some(Fault { at_us, what })
            })
            .collect();
        faults.sort_by_key(|fault| fault.at_us);
        Plan {
            seed,
            mode,
            rig,
            faults,
        }
    }

    /// The world, with only these of its faults (all for `None`).
    pub fn scenario(&self, keep: Option<&[usize]>) -> Result<Scenario, String> {
        let mut rig = self.rig.clone();
        rig.faults = match keep {
            None => self.faults.clone(),
            Some(keep) => keep
                .iter()
                .filter_map(|&index| self.faults.get(index).cloned())
                .collect(),
        };
        let mut scenario = rig.scenario()?;
        scenario.name = format!("explore {}", self.seed);
        for appliance in &mut scenario.appliances {
            appliance.queue = QUEUE;
            // Clocks have nothing in common.
            appliance.clock_offset_ns = self.seed.wrapping_mul(0x9e37_79b9) % 1_000_000_000_000;
        }
        Ok(scenario)
    }

    /// What a failure would want to know of it, in a line.
    pub fn words(&self) -> String {
        format!(
            "{} on {} servers of {} workers, {} cores, {} tables of 2^{} slots, {:.0} requests a second, {:?}",
            self.rig.scheme,
            self.rig.workers.len(),
            self.rig.workers.first().copied().unwrap_or(0),
            self.rig.cores,
            self.rig.tables,
            self.rig.clone["slots_log2"],
            self.rig.rate,
            self.mode,
        )
    }
}
