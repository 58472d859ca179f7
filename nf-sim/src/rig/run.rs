//! One run of a rack, and what came of it.

use std::any::Any;
use std::sync::Arc;

use nf_core::dpdk::Eal;
use nf_core::telemetry::StageSnapshot;
use workload::emulator::{Emulator, ServerCounters};
use workload::laedge::{Laedge, LaedgeCounters};
use workload::rpc::{Client, Measured};

use super::{APPLIANCE, Rig};
use crate::kinds::Kinds;
use crate::node::Host;
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What the clients measured, together.
    pub measured: Measured,
    /// What the servers counted, together, in all their lives.
    pub servers: ServerCounters,
    /// What the coordinator counted.
    pub coordinator: Option<LaedgeCounters>,
    /// What the stage `clone` counted.
    pub clone: StageSnapshot,
    /// The share of the time for which the clients' receivers were busy.
    pub client_busy: f64,
    /// Packets that clients dropped because too many waited to be received.
    pub client_drops: u64,
    /// Hash of everything that happened.
    pub trace_hash: u64,
    /// Frames that reached a host or an appliance.
    pub delivered: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

/// The programs of a host that are of this type, of all its lives.
pub(crate) fn programs<T: 'static>(host: &Host) -> impl Iterator<Item = &T> {
    host.programs()
        .filter_map(|program| (program as &dyn Any).downcast_ref())
}

/// What the servers of a world have counted, together.
pub(crate) fn servers(world: &World) -> ServerCounters {
    let mut total = ServerCounters::default();
    for emulator in world.hosts().flat_map(programs::<Emulator>) {
        total.add(&emulator.total());
    }
    total
}

/// What the clients of a world have measured, together.
pub(crate) fn measured(world: &World) -> Measured {
    let mut total = Measured::default();
    for client in world.hosts().flat_map(programs::<Client>) {
        total.add(&client.measured());
    }
    total
}

/// What the stage `clone` of the appliance has counted.
pub(crate) fn clone_counters(world: &World) -> StageSnapshot {
    let snapshot = world
        .appliance(APPLIANCE)
        .map(|appliance| appliance.snapshot());
    let stage = snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.stage("clone"));
    stage.map(|stage| stage.total.clone()).unwrap_or_default()
}

/// Runs a rack to its end.
pub fn run(rig: &Rig, kinds: &Arc<Kinds>, eal: &'static Eal) -> Result<Run, String> {
    let mut world = World::new(rig.scenario()?, kinds, eal).map_err(|error| error.to_string())?;
    world.run();
    let measured = measured(&world);
    let servers = servers(&world);
    let coordinator = world
        .hosts()
        .flat_map(programs::<Laedge>)
        .map(Laedge::counters)
        .next();
    let clients = || {
        world
            .hosts()
            .filter(|host| programs::<Client>(host).next().is_some())
    };
    let busy_ns: u64 = clients().map(|host| host.counters.busy_ns).sum();
    let client_drops = clients().map(|host| host.counters.receive_full).sum();
    let client_time = clients().count() as u64 * world.now();
    let clone = clone_counters(&world);
    let (trace_hash, delivered) = (world.trace_hash(), world.delivered());
    Ok(Run {
        measured,
        servers,
        coordinator,
        clone,
        client_busy: busy_ns as f64 / client_time.max(1) as f64,
        client_drops,
        trace_hash,
        delivered,
        violations: world.finish().violations,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use workload::scheme::Scheme;

    use super::*;
    use crate::scenario::Steering;
    use crate::testing::{eal, kinds};

    fn at(scheme: Scheme, load: f64) -> Rig {
        let mut rig = Rig::new(scheme, 1.0);
        rig.rate = load * rig.capacity().unwrap();
        rig.requests(20_000)
    }

    fn run_of(rig: &Rig) -> Run {
        let run = run(rig, &kinds(), eal()).unwrap();
        assert_eq!(run.violations, [""; 0]);
        run
    }

    #[test]
    fn f25_every_scheme_answers_every_request_once() {
        for scheme in Scheme::ALL {
            let run = run_of(&at(scheme, 0.2));
            let counts = run.measured.counts;
            assert!(counts.offered > 19_000, "{scheme}: {counts:?}");
            assert_eq!(counts.lost(), 0, "{scheme}: {counts:?}");
            let cloned =
                run.servers.requests as f64 / (run.servers.requests - run.servers.clones) as f64;
            match scheme {
                Scheme::NetClone | Scheme::NetCloneRackSched | Scheme::AlwaysClone => {
                    assert!(cloned > 1.8, "{scheme}: {cloned}");
                    assert_eq!(counts.redundant, 0, "{scheme}: {counts:?}");
                }
                Scheme::NetCloneNoFilter | Scheme::CClone => {
                    assert!(
                        counts.redundant > counts.completed * 9 / 10,
                        "{scheme}: {counts:?}"
                    );
                }
                Scheme::Baseline | Scheme::RackSched => assert_eq!(cloned, 1.0, "{scheme}"),
                _ => {}
            }
        }
    }

    #[test]
    fn f23_answers_that_meet_on_different_cores_are_filtered() {
        for steering in [Steering::FiveTuple, Steering::Client] {
            let mut rig = at(Scheme::NetClone, 0.3);
            rig.cores = 4;
            rig.steering = steering;
            let run = run_of(&rig);
            let filtered = run.clone.custom.get("resp_filtered");
            assert!(filtered > 15_000, "{steering:?}: {filtered}");
            assert_eq!(run.measured.counts.redundant, 0);
            assert_eq!(run.measured.counts.lost(), 0);
        }
    }

    #[test]
    fn f25_the_same_run_twice() {
        let mut rig = at(Scheme::NetClone, 0.5);
        rig.server_links = json!({ "loss": 0.001, "duplicate": 0.001, "reorder": 0.01 });
        assert_eq!(run_of(&rig).trace_hash, run_of(&rig).trace_hash);
        rig.seed = 2;
        let other = run_of(&rig).trace_hash;
        rig.seed = 1;
        assert_ne!(run_of(&rig).trace_hash, other);
    }
}
