//! The stage `clone`, class by class: what a request, its clone, a response and a filtered response cost.
//!
//! Both sides receive the same capture files for ever, from memory, frames of 128 bytes; a rate is of
//! packets *received* by the processor time of the packet thread, because a request may leave twice and a
//! response not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::harness::{Better, Case, Effort, Outcome, compare};
use super::testpmd::Testpmd;
use super::{Rate, Report, WARM_UP, ours, stages};
use crate::programs;

/// Servers of the rack.
const SERVERS: u8 = 6;
/// Frames of a capture file.
const FRAMES: u32 = 1024;
/// Bytes of a frame without its check sequence.
const FRAME: usize = 124;
/// The epoch that requests get ids of.
const EPOCH: u16 = 7;
/// The addresses that DPDK's pcap driver gives its first two ports.
const OURS: [[u8; 6]; 2] = [
    [2, b'p', b'c', b'a', b'p', 0],
    [2, b'p', b'c', b'a', b'p', 1],
];
const CLIENT: [u8; 4] = [10, 80, 1, 2];
const VIP: [u8; 4] = [10, 80, 1, 1];
const PORT: u16 = 9043;
/// The function of DPDK's pcap driver that fills a burst.
const RECEIVE: &str = "eth_pcap_rx_infinite";

fn server(sid: u8) -> [u8; 4] {
    [10, 80, 2, 101 + sid]
}

fn server_mac(sid: u8) -> [u8; 6] {
    [2, 0, 0, 0, 2, sid]
}

/// What a port receives.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Requests of random groups.
    Requests,
    /// Responses of requests that were not cloned; their servers are busy.
    Responses,
    /// Responses of cloned requests, of which each takes the slot of another.
    First,
    /// Two responses of each cloned request, one after the other.
    Pairs,
    /// Datagrams of another service.
    Others,
    /// Nothing.
    Nothing,
}

/// One row of the table.
struct Row {
    name: &'static str,
    kinds: [Kind; 2],
    /// Whether a `route` stage does the rest, or the stage stands alone.
    gateway: bool,
}

const ROWS: &[Row] = &[
    Row {
        name: "pcap-128B-mix-not-cloned",
        kinds: [Kind::Requests, Kind::Responses],
        gateway: false,
    },
    Row {
        name: "pcap-128B-request-cloned",
        kinds: [Kind::Requests, Kind::Nothing],
        gateway: false,
    },
    Row {
        name: "pcap-128B-response-uncloned",
        kinds: [Kind::Nothing, Kind::Responses],
        gateway: false,
    },
    Row {
        name: "pcap-128B-response-first",
        kinds: [Kind::Nothing, Kind::First],
        gateway: false,
    },
    Row {
        name: "pcap-128B-response-pairs",
        kinds: [Kind::Nothing, Kind::Pairs],
        gateway: false,
    },
    Row {
        name: "pcap-128B-passthrough",
        kinds: [Kind::Others, Kind::Others],
        gateway: false,
    },
    Row {
        name: "pcap-128B-mix-not-cloned-gateway",
        kinds: [Kind::Requests, Kind::Responses],
        gateway: true,
    },
];

/// All classes, each beside testpmd's `5tswap` of the same frames.
pub fn clone(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    for row in ROWS {
        let folder = tempfile::tempdir()?;
        let files = row.files(folder.path())?;
        let config = row.config(folder.path(), &files)?;
        let mode = "5tswap";
        let case = Case {
            bench: "clone",
            case: row.name.to_owned(),
            unit: "cpu-Mpps received",
            peer_name: format!("testpmd {mode}"),
            better: Better::Higher,
        };
        let peer = row.peer(&files, mode);
        let outcome = compare(
            &case,
            effort.pairs,
            || {
                // Each start takes the next epoch, and the responses are of this one.
                fs::write(folder.path().join("epoch"), format!("{}\n", EPOCH - 1))?;
                received(&config, effort)
            },
            || peer.measure(effort.window),
        )?;
        report.add(outcome);
        report.add(row.instructions(folder.path(), config, effort)?);
    }
    Ok(())
}

/// Packets received by processor time.
fn received(config: &Value, effort: Effort) -> Result<Rate> {
    let mut sluice = ours::start(config.clone(), None)?;
    let thread = ours::packet_thread(&mut sluice)?;
    let count = |sluice: &testkit::Sluice<'_>| -> Result<u64> {
        Ok(ours::received(sluice, "a")? + ours::received(sluice, "b")?)
    };
    thread::sleep(WARM_UP);
    let (start, cpu, first) = (Instant::now(), thread.cpu_ns()?, count(&sluice)?);
    thread::sleep(effort.window);
    let (wall, cpu_end, last) = (start.elapsed(), thread.cpu_ns()?, count(&sluice)?);
    Rate::new(last - first, cpu_end - cpu, wall)
}

impl Row {
    fn files(&self, folder: &Path) -> Result<[Option<PathBuf>; 2]> {
        let mut files = [None, None];
        for (side, file) in files.iter_mut().enumerate() {
            let frames: Vec<Vec<u8>> = (0..FRAMES)
                .filter_map(|number| frame(self.kinds[side], side, number))
                .collect();
            if !frames.is_empty() {
                let path = folder.join(["a", "b"][side]);
                super::traffic::write_frames(&path, &frames).context("capture file")?;
                *file = Some(path);
            }
        }
        Ok(files)
    }

    /// Instructions of the packet thread for each packet received, the driver's included.
    fn instructions(&self, folder: &Path, config: Value, effort: Effort) -> Result<Outcome> {
        fs::write(folder.join("epoch"), format!("{}\n", EPOCH - 1))?;
        let count = stages::count_instructions(config, RECEIVE, effort.window)?;
        let mut outcome = Outcome::new(Case {
            bench: "clone",
            case: self.name.to_owned(),
            unit: "instructions per packet received",
            peer_name: "none".to_owned(),
            better: Better::Lower,
        });
        outcome.add(count, f64::NAN);
        Ok(outcome)
    }

    /// The peer receives what we do; where a side of ours is silent, both of its ports have the other's.
    fn peer(&self, files: &[Option<PathBuf>; 2], mode: &'static str) -> Testpmd {
        let of = |side: usize| files[side].as_ref().or(files[1 - side].as_ref());
        let vdevs: Vec<String> = (0..2)
            .filter_map(|side| {
                let file = of(side)?;
                Some(format!(
                    "net_pcap{side},rx_pcap={},infinite_rx=1",
                    file.display()
                ))
            })
            .collect();
        let vdevs: Vec<&str> = vdevs.iter().map(String::as_str).collect();
        Testpmd::new(&vdevs, mode)
    }

    fn config(&self, folder: &Path, files: &[Option<PathBuf>; 2]) -> Result<Value> {
        let once = folder.join("once");
        let silence: Vec<Vec<u8>> = frame(Kind::Others, 0, 0).into_iter().collect();
        super::traffic::write_frames(&once, &silence)?;
        let devices = files.each_ref().map(|file| match file {
            Some(file) => json!({ "type": "pcap", "rx_file": file, "loop": true }),
            // One packet, and then silence.
            None => json!({ "type": "pcap", "rx_file": once }),
        });
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
        Ok(ours::config(&devices, json!(chain)))
    }
}

fn text(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// One frame of a port's file.
fn frame(kind: Kind, side: usize, number: u32) -> Option<Vec<u8>> {
    let sid = (number % u32::from(SERVERS)) as u8;
    let client_port = 1024 + (number % 50_000) as u16;
    let groups = u32::from(SERVERS) * (u32::from(SERVERS) - 1);
    // Ids beside each other lie in slots beside each other. The second half of the slots' users comes
    // when the first has left its ids there.
    let id = |number: u32| u64::from(EPOCH) << 48 | u64::from(number);
    let half = FRAMES / 2;
    let (request, clo, load, id) = match kind {
        Kind::Nothing => return None,
        Kind::Others => {
            let destination = server(sid);
            let body = [0x55; FRAME - 42];
            return Some(datagram(
                side,
                (CLIENT, client_port),
                (destination, 5000),
                &body,
            ));
        }
        Kind::Requests => (true, 0, 0, 0),
        Kind::Responses => (false, 0, 3, id(number + 1)),
        Kind::First if number < half => (false, 1, 0, id(number + 1)),
        Kind::First => (false, 1, 0, id(number - half + 1 + (1 << 17))),
        Kind::Pairs => (false, 1, 0, id(number / 2 + 1)),
    };
    let mut body = [0u8; FRAME - 42];
    body[..4].copy_from_slice(&[0x4e, 0x43, 0x1a, if request { 1 } else { 2 }]);
    body[5] = clo;
    if !request {
        body[8..10].copy_from_slice(&1u16.to_be_bytes());
    }
    let shown = if request { 0xffff } else { u16::from(sid) };
    body[10..12].copy_from_slice(&shown.to_be_bytes());
    // Not in step with the servers, so that every pair comes up.
    let group = number.wrapping_mul(2_654_435_761) % groups;
    body[12..16].copy_from_slice(&group.to_be_bytes());
    body[16..18].copy_from_slice(&u16::to_be_bytes(load));
    body[19] = 1;
    body[24..32].copy_from_slice(&u64::to_be_bytes(id));
    body[32..36].copy_from_slice(&0xaau32.to_be_bytes());
    body[36..40].copy_from_slice(&number.to_be_bytes());
    Some(match request {
        true => datagram(side, (CLIENT, client_port), (VIP, PORT), &body),
        false => datagram(side, (server(sid), PORT), (CLIENT, client_port), &body),
    })
}

/// A frame with right checksums, to the station that the port is.
fn datagram(
    side: usize,
    (source, source_port): ([u8; 4], u16),
    (destination, destination_port): ([u8; 4], u16),
    body: &[u8],
) -> Vec<u8> {
    let mut frame = vec![0; 42];
    frame[..6].copy_from_slice(&OURS[side]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let udp_len = (8 + body.len()) as u16;
    let ip = &mut frame[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&destination);
    let header_sum = checksum(&[ip]);
    ip[10..12].copy_from_slice(&header_sum.to_be_bytes());
    let udp = &mut frame[34..42];
    udp[..2].copy_from_slice(&source_port.to_be_bytes());
    udp[2..4].copy_from_slice(&destination_port.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    let pseudo = [0, 17, udp_len.to_be_bytes()[0], udp_len.to_be_bytes()[1]];
    let sum = match checksum(&[&source, &destination, &pseudo, udp, body]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// The Internet checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks_exact(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_right_checksums_and_the_length_that_is_told() {
        for kind in [
            Kind::Requests,
            Kind::Responses,
            Kind::First,
            Kind::Pairs,
            Kind::Others,
        ] {
            for number in [0, 1, 700] {
                let frame = frame(kind, 0, number).expect("a frame");
                assert_eq!(frame.len(), FRAME);
                assert_eq!(checksum(&[&frame[14..34]]), 0);
                let length = (frame.len() - 34) as u16;
                let pseudo = [0, 17, length.to_be_bytes()[0], length.to_be_bytes()[1]];
                assert_eq!(checksum(&[&frame[26..34], &pseudo, &frame[34..]]), 0);
            }
        }
        assert!(frame(Kind::Nothing, 0, 0).is_none());
    }
}
