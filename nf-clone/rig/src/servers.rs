//! The servers of a bed, each on a kernel UDP socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nf_clone::udp::{Server, Settings, Totals};
use serde_json::Value;
use testkit::Sluice;

use crate::bed::Bed;
use crate::control::self_test;
use crate::load::{Load, Plan, Tally};
use crate::work;

/// One of so many requests takes [`SLOW`] longer.
const SLOW_EVERY: u64 = 50;
const SLOW: Duration = Duration::from_millis(2);

/// The servers. Dropping it stops them.
#[derive(Debug)]
pub struct Servers<'a> {
    bed: &'a Bed,
    workers: usize,
    running: BTreeMap<u8, Server>,
    asked: Arc<AtomicU64>,
}

impl<'a> Servers<'a> {
    /// Starts all of the bed's, with that many workers each.
    ///
    /// # Errors
    /// If a socket cannot be had.
    pub fn start(bed: &'a Bed, workers: usize) -> Result<Servers<'a>, String> {
        let mut servers = Servers::none(bed, workers);
        for sid in 0..bed.servers() {
            servers.start_one(sid)?;
        }
        Ok(servers)
    }

    /// None of them yet.
    pub fn none(bed: &'a Bed, workers: usize) -> Servers<'a> {
        Servers {
            bed,
            workers,
            running: BTreeMap::new(),
            asked: Arc::default(),
        }
    }

    /// Starts one, if it does not run.
    ///
    /// # Errors
    /// If its socket cannot be had.
    pub fn start_one(&mut self, sid: u8) -> Result<(), String> {
        if self.running.contains_key(&sid) {
            return Ok(());
        }
        let settings = Settings::new(sid.into(), self.workers);
        let address = (self.bed.server(sid), Bed::PORT);
        let asked = self.asked.clone();
        let server = self.bed.hosts.run(|| {
            Server::start(address, settings, move |call, answer| {
                if asked.fetch_add(1, Relaxed).is_multiple_of(SLOW_EVERY) {
                    std::thread::sleep(SLOW);
                }
                work::answer(call.payload, answer);
            })
        });
        let server = server.map_err(|error| format!("server {sid}: {error}"))?;
        self.running.insert(sid, server);
        Ok(())
    }

    /// Stops one at once: what it has not answered, it never will.
    pub fn kill(&mut self, sid: u8) {
        self.running.remove(&sid);
    }

    /// What one has counted, if it runs.
    pub fn totals(&self, sid: u8) -> Option<Totals> {
        self.running.get(&sid).map(Server::totals)
    }

    /// Whether one tells the appliance that it wants no further requests.
    pub fn set_draining(&self, sid: u8, draining: bool) {
        if let Some(server) = self.running.get(&sid) {
            server.set_draining(draining);
        }
    }
}

/// An appliance with its servers, which has passed its self-test.
#[derive(Debug)]
pub struct Service<'a> {
    /// Where both are.
    pub bed: &'a Bed,
    /// The appliance.
    pub sluice: Sluice<'a>,
    /// The servers, with four workers each.
    pub servers: Servers<'a>,
}

impl<'a> Service<'a> {
    /// Starts both, with these settings of the stage besides those of the bed.
    ///
    /// # Errors
    /// Whatever did not come up.
    pub fn start(bed: &'a Bed, settings: &Value) -> Result<Service<'a>, String> {
        let mut stage = bed.stage();
        for (key, value) in settings.as_object().into_iter().flatten() {
            stage[key] = value.clone();
        }
        let sluice = bed.start(&stage, None)?;
        let servers = Servers::start(bed, 4)?;
        self_test(&sluice)?;
        Ok(Service {
            bed,
            sluice,
            servers,
        })
    }

    /// Has clients ask while `meanwhile` happens, and fails unless every request has had its one right
    /// answer.
    ///
    /// # Errors
    /// What [`Tally::check`] says, or why clients could not ask.
    pub fn under_load(
        &mut self,
        plan: Plan,
        meanwhile: impl FnOnce(&mut Service<'a>, &Load),
    ) -> Result<Tally, String> {
        let load = Load::start(self.bed, plan)?;
        meanwhile(self, &load);
        let tally = load.end()?;
        tally.check()?;
        Ok(tally)
    }
}
