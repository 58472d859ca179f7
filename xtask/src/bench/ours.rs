//! The appliance as a contender: built for release with DPDK linked in, started with a config, and
//! watched over its HTTP API.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use testkit::{Netns, Sluice};

use super::cpu::Thread;
use super::{MAIN_CORE, PACKET_CORE, Rate, WARM_UP, favour};
use crate::programs;

/// A config with these ports (named `a`, `b`, ...; the first is the clients' side) and chain, polling
/// on the packet core, with testpmd's pool, descriptors and burst.
pub fn config(devices: &[Value], chain: Value) -> Value {
    let names = ["a", "b", "c", "d"];
    let ports: Vec<Value> = devices
        .iter()
        .zip(names)
        .enumerate()
        .map(|(number, (device, name))| {
            let side = if number == 0 { "client" } else { "server" };
            json!({ "name": name, "side": side, "device": device })
        })
        .collect();
    json!({
        "eal": { "memory_mb": 256, "hugepages": "required", "dpdk_telemetry": false },
        "cores": { "packet": [PACKET_CORE], "control": MAIN_CORE, "idle": "poll", "burst": 32 },
        "mempool": { "packets": 16384, "cache": 256 },
        "ports": ports,
        "chain": chain,
        "log": { "level": "warn" },
    })
}

/// Starts the release build.
pub fn start(config: Value, netns: Option<&Netns>) -> Result<Sluice<'_>> {
    let mut builder = Sluice::builder(config)
        .program(programs::path("sluice")?)
        .under(&favour());
    if let Some(netns) = netns {
        builder = builder.netns(netns);
    }
    builder.try_start().map_err(|error| anyhow!(error))
}

/// What all ports together have sent.
pub fn sent(sluice: &Sluice<'_>) -> Result<u64> {
    let ports = sluice.json("/api/v1/ports");
    count(&ports, None, "tx_packets").with_context(|| format!("no `tx_packets` in {ports}"))
}

/// What the port `name` has received.
pub fn received(sluice: &Sluice<'_>, name: &str) -> Result<u64> {
    let ports = sluice.json("/api/v1/ports");
    count(&ports, Some(name), "rx_packets")
        .with_context(|| format!("no `rx_packets` of port {name} in {ports}"))
}

/// What all ports together have received.
pub fn all_received(sluice: &Sluice<'_>) -> Result<u64> {
    let ports = sluice.json("/api/v1/ports");
    count(&ports, None, "rx_packets").with_context(|| format!("no `rx_packets` in {ports}"))
}

/// The first packet core's thread.
pub fn packet_thread(sluice: &mut Sluice<'_>) -> Result<Thread> {
    let cores = sluice.json("/api/v1/cores");
    let tid = find(&cores, "tid")
        .and_then(Value::as_u64)
        .and_then(|tid| u32::try_from(tid).ok());
    let tid = tid.with_context(|| format!("no `tid` in {cores}"))?;
    Ok(Thread::new(sluice.process().pid(), tid))
}

/// The threads of all packet cores.
pub fn packet_threads(sluice: &mut Sluice<'_>) -> Result<Vec<Thread>> {
    let cores = sluice.json("/api/v1/cores");
    let pid = sluice.process().pid();
    let list = cores
        .as_array()
        .with_context(|| format!("no list: {cores}"))?;
    list.iter()
        .map(|core| {
            let tid = core["tid"].as_u64().and_then(|tid| u32::try_from(tid).ok());
            let tid = tid.with_context(|| format!("no `tid` in {core}"))?;
            Ok(Thread::new(pid, tid))
        })
        .collect()
}

/// How fast it sends, over `window`.
pub fn rate(sluice: &mut Sluice<'_>, window: Duration) -> Result<Rate> {
    let thread = packet_thread(sluice)?;
    thread::sleep(WARM_UP);
    let (start, cpu, first) = (Instant::now(), thread.cpu_ns()?, sent(sluice)?);
    thread::sleep(window);
    let (wall, cpu_end, last) = (start.elapsed(), thread.cpu_ns()?, sent(sluice)?);
    Rate::new(last - first, cpu_end - cpu, wall)
}

/// Starts it with `config`, watches it for `window`, stops it.
pub fn measure(config: &Value, window: Duration) -> Result<Rate> {
    rate(&mut start(config.clone(), None)?, window)
}

/// The sum of the ports' counters called `key`: of one port, or of all.
fn count(ports: &Value, name: Option<&str>, key: &str) -> Option<u64> {
    let ports = ports
        .as_array()
        .or_else(|| ports.get("ports")?.as_array())?;
    let mut chosen = ports
        .iter()
        .filter(|port| name.is_none_or(|name| port["name"] == name))
        .map(|port| port["counters"][key].as_u64())
        .peekable();
    chosen.peek()?;
    chosen.sum()
}

/// The first member called `key`, however deep.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| find(item, key)),
        Value::Object(members) => members
            .get(key)
            .or_else(|| members.values().find_map(|member| find(member, key))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_one_port_and_of_all() {
        let ports = json!([
            { "name": "a", "counters": { "tx_packets": 2 }, "device_stats": { "tx_packets": 9 } },
            { "name": "b", "counters": { "tx_packets": 3 } },
        ]);
        assert_eq!(count(&ports, None, "tx_packets"), Some(5));
        assert_eq!(count(&ports, Some("b"), "tx_packets"), Some(3));
        assert_eq!(count(&ports, Some("c"), "tx_packets"), None);
        assert_eq!(count(&ports, None, "rx_packets"), None);
        assert_eq!(find(&json!([{"a": {"tid": 7}}]), "tid"), Some(&json!(7)));
    }
}
