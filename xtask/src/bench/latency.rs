//! Round trips between two kernels' stacks through the appliance, against Linux routing between the
//! same namespaces.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use testkit::Netns;

use super::harness::{Better, Case, Effort, Outcome};
use super::{MAIN_CORE, Report, ours};
use crate::programs;
use crate::topology::{CLIENT, Hosts, SERVER, route_config};

/// What joins the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Tap,
    AfPacket,
    AfXdp,
}

impl Port {
    fn name(self) -> &'static str {
        match self {
            Port::Tap => "tap",
            Port::AfPacket => "veth-af_packet",
            Port::AfXdp => "veth-af_xdp",
        }
    }

    fn device(self, interface: &str) -> Value {
        match self {
            Port::Tap => json!({ "type": "tap", "interface": interface }),
            Port::AfPacket => json!({ "type": "af_packet", "interface": interface }),
            Port::AfXdp => json!({ "type": "af_xdp", "interface": interface }),
        }
    }
}

/// Round-trip times of one run, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The median.
    pub p50: f64,
    /// One in a hundred takes longer.
    pub p99: f64,
}

type Measure = fn(&Hosts, Duration) -> Result<Times>;

const MEASURES: [(&str, Measure); 2] = [("udp", udp_echo), ("ping", ping)];

/// The bench `tap`.
pub fn tap(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    compare_port("tap", Port::Tap, effort, report)
}

/// The bench `veth`.
pub fn veth(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    compare_port("veth", Port::AfPacket, effort, report)?;
    compare_port("veth", Port::AfXdp, effort, report)
}

fn compare_port(
    bench: &'static str,
    port: Port,
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let outcome = |measure: &str, percentile: &str| {
        Outcome::new(Case {
            bench,
            case: format!("{}-{measure}-{percentile}", port.name()),
            unit: "us",
            peer_name: "Linux routing".to_owned(),
            better: Better::Lower,
        })
    };
    let mut outcomes = MEASURES.map(|(name, _)| [outcome(name, "p50"), outcome(name, "p99")]);
    for pair in 0..effort.pairs {
        eprintln!(
            "{bench} {}: pair {} of {}",
            port.name(),
            pair + 1,
            effort.pairs
        );
        let (ours, peer) = if pair % 2 == 0 {
            let ours = through_us(port, effort.window)?;
            (ours, through_linux(effort.window)?)
        } else {
            let peer = through_linux(effort.window)?;
            (through_us(port, effort.window)?, peer)
        };
        for ((outcomes, ours), peer) in outcomes.iter_mut().zip(ours).zip(peer) {
            outcomes[0].add(ours.p50, peer.p50);
            outcomes[1].add(ours.p99, peer.p99);
        }
    }
    for outcome in outcomes.into_iter().flatten() {
        report.add(outcome);
    }
    Ok(())
}

fn measure_all(hosts: &Hosts, window: Duration) -> Result<[Times; 2]> {
    // The first packets resolve addresses.
    hosts.reach().map_err(|error| anyhow!(error))?;
    let [(_, udp), (_, ping)] = MEASURES;
    Ok([udp(hosts, window)?, ping(hosts, window)?])
}

fn through_us(port: Port, window: Duration) -> Result<[Times; 2]> {
    let hosts = Hosts::new().map_err(|error| anyhow!(error))?;
    let middle = Netns::new("mid");
    let chain = json!([{ "stage": "route", "config": route_config("a", "b") }]);
    let ends = ["va", "vb"];
    let config = ours::config(&ends.map(|end| port.device(end)), chain);
    if port != Port::Tap {
        hosts.join_by_veth(&middle, ends[0], ends[1]);
    }
    let _sluice = ours::start(config, Some(&middle))?;
    if port == Port::Tap {
        hosts
            .adopt(&middle, ends[0], ends[1])
            .map_err(|error| anyhow!(error))?;
    }
    measure_all(&hosts, window)
}

/// The same hosts joined by the kernel's own forwarding.
pub fn through_linux(window: Duration) -> Result<[Times; 2]> {
    let hosts = Hosts::new().map_err(|error| anyhow!(error))?;
    let middle = Netns::new("mid");
    hosts.join_by_veth(&middle, "va", "vb");
    hosts
        .route_by_linux(&middle, "va", "vb")
        .map_err(|error| anyhow!(error))?;
    measure_all(&hosts, window)
}

/// Keeps the calling thread off the packet core.
fn stay_on_main_core() {
    let mut set = CpuSet::new();
    set.set(MAIN_CORE);
    let _ = sched_setaffinity(None, &set);
}

/// Datagrams to an echo server and back, one at a time.
fn udp_echo(hosts: &Hosts, window: Duration) -> Result<Times> {
    const PORT: u16 = 7007;
    let server = hosts.server.run(|| UdpSocket::bind((SERVER, PORT)))?;
    server.set_read_timeout(Some(Duration::from_millis(50)))?;
    let client = hosts.client.run(|| UdpSocket::bind((CLIENT, 0)))?;
    client.set_read_timeout(Some(Duration::from_millis(200)))?;
    client.connect(SocketAddr::from((SERVER, PORT)))?;
    let stop = Arc::new(AtomicBool::new(false));
    let echo = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            stay_on_main_core();
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = server.recv_from(&mut buffer) {
                    let _ = server.send_to(&buffer[..length], from);
                }
            }
        })
    };
    let asker = thread::spawn(move || {
        stay_on_main_core();
        let (start, mut times, mut lost) = (Instant::now(), Vec::new(), 0u32);
        let mut buffer = [0; 64];
        while start.elapsed() < window {
            let sent = Instant::now();
            if client.send(&[7; 18]).is_ok() && client.recv(&mut buffer).is_ok() {
                times.push(sent.elapsed().as_secs_f64() * 1e6);
            } else {
                lost += 1;
            }
        }
        (times, lost)
    });
    let (times, lost) = asker.join().map_err(|_| anyhow!("the client panicked"))?;
    stop.store(true, Ordering::Relaxed);
    let _ = echo.join();
    if lost > 0 {
        eprintln!("note: {lost} datagrams were lost");
    }
    percentiles(times)
}

/// `ping -A`: the next request when the answer has come.
fn ping(hosts: &Hosts, window: Duration) -> Result<Times> {
    let seconds = window.as_secs().max(1).to_string();
    let output = hosts
        .client
        .command("taskset")
        .args([
            "-c",
            &MAIN_CORE.to_string(),
            "ping",
            "-n",
            "-A",
            "-w",
            &seconds,
        ])
        .arg(SERVER.to_string())
        .output()?;
    percentiles(ping_times(&String::from_utf8_lossy(&output.stdout)))
}

fn ping_times(output: &str) -> Vec<f64> {
    output
        .lines()
        .filter_map(|line| {
            line.split_once("time=")?
                .1
                .split(' ')
                .next()?
                .parse::<f64>()
                .ok()
        })
        .map(|milliseconds| milliseconds * 1e3)
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index into a list of samples"
)]
fn percentiles(mut times: Vec<f64>) -> Result<Times> {
    if times.is_empty() {
        bail!("nothing came back");
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Ok(Times {
        p50: at(0.50),
        p99: at(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let times = percentiles((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((times.p50, times.p99), (50.0, 99.0));
        assert!(percentiles(Vec::new()).is_err());
    }

    #[test]
    fn ping_prints_milliseconds() {
        let output = "PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.\n\
            64 bytes from 10.0.2.2: icmp_seq=1 ttl=63 time=0.043 ms\n\n\
            64 bytes from 10.0.2.2: icmp_seq=2 ttl=63 time=1.50 ms\n";
        assert_eq!(ping_times(output), [43.0, 1500.0]);
    }
}
