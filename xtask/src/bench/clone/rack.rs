//! The appliance before a rack of servers, and what it counts while it is watched.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::Sluice;

use super::super::harness::{Better, Case, Outcome};
use super::super::testpmd::Testpmd;
use super::super::{Rate, WARM_UP, ours, stages, traffic};
use super::frames::{CLIENT, EPOCH, Kind, SERVERS, VIP, frame, server};

/// The function of DPDK's pcap driver that fills a burst.
pub const RECEIVE: &str = "eth_pcap_rx_infinite";
/// How far a share may be from what it should be; the counters are not all read at the same time.
const TOLERANCE: f64 = 0.1;

/// Counters of the stage, and what share of the packets received is in them together.
pub type Share = (&'static [&'static str], f64);

/// One class of packets.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its name in tables.
    pub name: &'static str,
    /// What the clients' port receives, and what the servers'.
    pub kinds: [Kind; 2],
    /// What the stage counts of such packets.
    pub counts: &'static [Share],
}

/// A class, and how it is handled.
#[derive(Debug, Clone, Copy)]
pub struct Rack {
    /// What is received.
    pub class: Class,
    /// Bytes of a frame with its check sequence.
    pub bytes: usize,
    /// Whether a `route` stage does the rest, or the stage stands alone.
    pub gateway: bool,
    /// The setting `clone_copy`.
    pub copy: &'static str,
}

impl Rack {
    /// A class at the usual size, behind the stage alone.
    pub fn of(class: Class) -> Rack {
        Rack {
            class,
            bytes: 128,
            gateway: false,
            copy: "auto",
        }
    }

    /// Writes the capture files: of the clients' port, and of the servers'.
    pub fn files(&self, folder: &Path) -> Result<[Option<PathBuf>; 2]> {
        let mut files = [None, None];
        for (side, file) in files.iter_mut().enumerate() {
            let kind = self.class.kinds[side];
            let frames: Vec<Vec<u8>> = (0..kind.frames())
                .filter_map(|number| frame(kind, side, number, self.bytes))
                .collect();
            if !frames.is_empty() {
                let path = folder.join(["a", "b"][side]);
                traffic::write_frames(&path, &frames).context("capture file")?;
                *file = Some(path);
            }
        }
        Ok(files)
    }

    /// The appliance that receives these files.
    pub fn config(&self, folder: &Path, files: &[Option<PathBuf>; 2]) -> Result<Value> {
        let once = folder.join("once");
        let silence: Vec<Vec<u8>> = frame(Kind::Others, 0, 0, 64).into_iter().collect();
        traffic::write_frames(&once, &silence)?;
        let devices: Vec<Value> = files
            .iter()
            .zip(self.class.kinds)
            .map(|(file, kind)| match file {
                Some(file) => json!({ "type": "pcap", "rx_file": file, "loop": kind.repeats() }),
                // One packet, and then silence.
                None => json!({ "type": "pcap", "rx_file": once }),
            })
            .collect();
        let mut config = ours::config(&devices, self.chain(folder));
        if self.bytes > 1518 {
            let room = self.bytes.next_multiple_of(256) + 256;
            config["mempool"] = json!({ "packets": 8192, "cache": 256, "data_room_bytes": room });
            for port in config["ports"].as_array_mut().into_iter().flatten() {
                port["mtu"] = json!(self.bytes - 18);
            }
        }
        Ok(config)
    }

    /// The chain: the stage, and as a gateway a router behind it.
    pub fn chain(&self, folder: &Path) -> Value {
        let servers: Vec<Value> = (0..SERVERS)
            .map(|sid| {
                let mut server = json!({ "sid": sid, "ip": text(server(sid)) });
                if !self.gateway {
                    server["mac"] = json!(mac_text(server_mac(sid)));
                }
                server
            })
            .collect();
        let mut chain = vec![json!({ "stage": "clone", "config": {
            "vip": [text(VIP)],
            "servers": servers,
            "mode": if self.gateway { "gateway" } else { "inline" },
            "clone_copy": self.copy,
            "probe_interval_us": 0,
            "silence_us": 0,
            "epoch_file": folder.join("epoch"),
        } })];
        if self.gateway {
            let mut neighbours: Vec<Value> = (0..SERVERS)
                .map(
                    |sid| json!({ "address": text(server(sid)), "mac": mac_text(server_mac(sid)) }),
                )
                .collect();
            neighbours.push(json!({ "address": text(CLIENT), "mac": "02:00:00:00:00:99" }));
            chain.push(json!({ "stage": "route", "config": {
                "addresses": { "a": [format!("{}/24", text(VIP))], "b": ["10.80.2.1/24"] },
                "neighbours": neighbours,
                "announce": false,
            } }));
        }
        json!(chain)
    }

    /// The peer receives what we do; where a side of ours is silent, both of its ports have the other's.
    pub fn peer(&self, files: &[Option<PathBuf>; 2], mode: &'static str) -> Testpmd {
        let lasting = |side: usize| {
            let file = files[side].as_deref();
            file.filter(|_| self.class.kinds[side].repeats())
        };
        let files: Vec<&Path> = (0..2)
            .filter_map(|side| lasting(side).or(lasting(1 - side)))
            .collect();
        testpmd(&files, mode)
    }

    /// Packets received by processor time.
    pub fn received(&self, folder: &Path, config: &Value, window: Duration) -> Result<Rate> {
        begin(folder)?;
        received(config, window, self.class.counts)
    }

    /// Instructions of the packet thread for each packet received, the driver's included.
    pub fn instructions(
        &self,
        folder: &Path,
        config: Value,
        window: Duration,
        case: String,
    ) -> Result<Outcome> {
        begin(folder)?;
        instructions(config, window, case)
    }
}

/// testpmd with these capture files for ever.
pub fn testpmd(files: &[&Path], mode: &'static str) -> Testpmd {
    let vdevs: Vec<String> = files
        .iter()
        .enumerate()
        .map(|(port, file)| format!("net_pcap{port},rx_pcap={},infinite_rx=1", file.display()))
        .collect();
    let vdevs: Vec<&str> = vdevs.iter().map(String::as_str).collect();
    Testpmd::new(&vdevs, mode)
}

/// Each start takes the next epoch, and the responses are of this one.
pub fn begin(folder: &Path) -> Result<()> {
    fs::write(folder.join("epoch"), format!("{}\n", EPOCH - 1))?;
    Ok(())
}

/// Packets received by processor time. They must be what they are meant to be: a rate of something else
/// would mean nothing.
pub fn received(config: &Value, window: Duration, counts: &[Share]) -> Result<Rate> {
    let mut sluice = ours::start(config.clone(), None)?;
    let thread = ours::packet_thread(&mut sluice)?;
    thread::sleep(WARM_UP);
    let before = counted(&sluice, counts)?;
    let (start, cpu, first) = (
        Instant::now(),
        thread.cpu_ns()?,
        ours::all_received(&sluice)?,
    );
    thread::sleep(window);
    let (wall, cpu_end, last) = (
        start.elapsed(),
        thread.cpu_ns()?,
        ours::all_received(&sluice)?,
    );
    let packets = last - first;
    for ((counters, share), (after, before)) in counts
        .iter()
        .zip(counted(&sluice, counts)?.iter().zip(before))
    {
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds fit a double")]
        let is = (after - before) as f64 / packets as f64;
        ensure!(
            (is - share).abs() < TOLERANCE,
            "a share of {is:.3} of the packets is in {}, and not {share:.3}",
            counters.join(" and ")
        );
    }
    Rate::new(packets, cpu_end - cpu, wall)
}

/// The sums of the counters of each share, of the stage `clone`.
fn counted(sluice: &Sluice<'_>, counts: &[Share]) -> Result<Vec<u64>> {
    let stage = sluice.json("/api/v1/stages/clone");
    let value = |counter: &&str| {
        let count = stage["counters"][*counter].as_u64();
        count.with_context(|| format!("no counter {counter} in {stage}"))
    };
    counts
        .iter()
        .map(|(counters, _)| counters.iter().map(value).sum())
        .collect()
}

/// Instructions of the packet thread for each packet received.
pub fn instructions(config: Value, window: Duration, case: String) -> Result<Outcome> {
    let count = stages::count_instructions(config, RECEIVE, window)?;
    let mut outcome = Outcome::new(Case {
        bench: "clone",
        case,
        unit: "instructions per packet received",
        peer_name: "none".to_owned(),
        better: Better::Lower,
    });
    outcome.add(count, f64::NAN);
    Ok(outcome)
}

/// An address in text.
pub fn text(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

fn server_mac(sid: u8) -> [u8; 6] {
    [2, 0, 0, 0, 2, sid]
}

/// A server's MAC address in text.
pub fn server_mac_text(sid: u8) -> String {
    mac_text(server_mac(sid))
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
