//! `nf-sim speed`: how fast the simulator is.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use nf_core::dpdk::Eal;
use serde_json::json;

use super::{SpeedArgs, print};
use crate::kinds::Kinds;
use crate::rig::Rig;
use crate::world::World;

/// The process's resident memory in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn speed(
    args: &SpeedArgs,
    eal: impl FnOnce() -> Result<&'static Eal, String>,
) -> Result<ExitCode, String> {
    let mut rig = Rig::new(args.scheme, 1.0);
    rig.rate = args.load * rig.capacity()?;
    let rig = rig.requests(args.requests);
    let scenario = rig.scenario()?;
    let mut world =
        World::new(scenario, &Arc::new(Kinds::all()), eal()?).map_err(|error| error.to_string())?;
    world.run_until(rig.warm_up_us * 1_000);
    let (delivered, events, memory, buffers) = (
        world.delivered(),
        world.events(),
        resident_kib(),
        world.frame_buffers(),
    );
    let (start, began) = (Instant::now(), world.now());
    world.run_until((rig.warm_up_us + rig.measure_us) * 1_000);
    let seconds = start.elapsed().as_secs_f64();
    let packets = world.delivered() - delivered;
    let told = json!({
        "scheme": args.scheme,
        "load": args.load,
        "seconds": seconds,
        "virtual_seconds": (world.now() - began) as f64 / 1e9,
        "packets": packets,
        "packets_per_second": packets as f64 / seconds,
        "events_per_second": (world.events() - events) as f64 / seconds,
        "resident_growth_kib": resident_kib().saturating_sub(memory),
        "frame_buffers": [buffers, world.frame_buffers()],
        "trace_hash": format!("{:016x}", world.trace_hash()),
    });
    if args.json {
        return print(&format!("{told:#}\n"));
    }
    print(&format!(
        "{:.2} million packets a second on one core ({packets} packets, {seconds:.2} s for {:.2} s of virtual \
         time); memory grew by {} KiB\n",
        packets as f64 / seconds / 1e6,
        (world.now() - began) as f64 / 1e9,
        resident_kib().saturating_sub(memory),
    ))
}
