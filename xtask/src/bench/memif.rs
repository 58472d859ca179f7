//! Two processes joined by shared memory, a core each: two appliances against two testpmds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use testkit::wait_for;

use super::cpu::Thread;
use super::harness::{Better, Case, Effort, compare};
use super::testpmd::Testpmd;
use super::{MAIN_CORE, PACKET_CORE, Rate, Report, WARM_UP, ours};
use crate::programs;

/// Each process has an endless source and sink on one side and the memif on the other, so that packets
/// cross the memif in both directions at once. Counted is what has crossed, in either direction, by the
/// mean processor time of the two packet threads.
pub fn memif(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let case = Case {
        bench: "memif",
        case: "memif-64B-both-ways".to_owned(),
        unit: "cpu-Mpps",
        peer_name: "two testpmd io".to_owned(),
        better: Better::Higher,
    };
    let outcome = compare(
        &case,
        effort.pairs,
        || two_of_ours(effort.window),
        || two_testpmds(effort.window),
    )?;
    report.add(outcome);
    Ok(())
}

/// `crossed` counts packets over both directions, `threads` are the two packet threads.
fn rate_of(
    mut crossed: impl FnMut() -> Result<u64>,
    threads: [Thread; 2],
    window: Duration,
) -> Result<Rate> {
    let cpu = || -> Result<u64> { Ok((threads[0].cpu_ns()? + threads[1].cpu_ns()?) / 2) };
    thread::sleep(WARM_UP);
    let (start, before, first) = (Instant::now(), cpu()?, crossed()?);
    thread::sleep(window);
    let (wall, after, last) = (start.elapsed(), cpu()?, crossed()?);
    Rate::new(last - first, after - before, wall)
}

pub fn two_testpmds(window: Duration) -> Result<Rate> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("memif.sock");
    let testpmd = |number: usize, role: &str, core| {
        let null = format!("net_null{number},size=64");
        let memif = format!(
            "net_memif{number},role={role},id=0,socket={},socket-abstract=no,rsize=10",
            socket.display()
        );
        Testpmd {
            core,
            ..Testpmd::new(&[&null, &memif], "io")
        }
    };
    let mut server = testpmd(0, "server", PACKET_CORE).spawn(None)?;
    let mut client = testpmd(1, "client", MAIN_CORE).spawn(None)?;
    let threads = [server.thread()?, client.thread()?];
    // Port 1 is the memif: what it has received has crossed.
    let mut crossed = move || -> Result<u64> {
        Ok(server.port_counts(1)?.received + client.port_counts(1)?.received)
    };
    wait_for(
        "packets over testpmd's memif",
        Duration::from_secs(10),
        || crossed().ok().filter(|count| *count > 0),
    )
    .map_err(|error| anyhow!(error))?;
    rate_of(crossed, threads, window)
}

fn two_of_ours(window: Duration) -> Result<Rate> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("memif.sock");
    let config = |role: &str, core: usize| -> Value {
        let devices = [
            json!({ "type": "null", "packet_bytes": 64 }),
            json!({ "type": "memif", "role": role, "socket": socket }),
        ];
        let mut config = ours::config(&devices, json!([]));
        config["cores"]["packet"] = json!([core]);
        config
    };
    let mut server = ours::start(config("server", PACKET_CORE), None)?;
    let mut client = ours::start(config("client", MAIN_CORE), None)?;
    let threads = [
        ours::packet_thread(&mut server)?,
        ours::packet_thread(&mut client)?,
    ];
    let crossed =
        || -> Result<u64> { Ok(ours::received(&server, "b")? + ours::received(&client, "b")?) };
    wait_for("packets over our memif", Duration::from_secs(10), || {
        crossed().ok().filter(|count| *count > 0)
    })
    .map_err(|error| anyhow!(error))?;
    rate_of(crossed, threads, window)
}
