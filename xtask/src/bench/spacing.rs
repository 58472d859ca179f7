//! pktgen: how exactly it keeps a rate, and how well its Poisson process is one.
//!
//! Two instruments. pktgen's own record of departures shows single gaps, to the time-stamp counter's
//! step, without slowing the sender down. An appliance at the other end of a memif, whose `capture` notes
//! the times of some packets by a clock of its own, confirms the rate.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::Sluice;

use super::generator::{profile, start};
use super::harness::{Better, Case, Effort, Outcome};
use super::statistics::{
    beyond, distance_at_one_percent, distance_from_exponential, quantile, slope, thin, unround,
};
use super::{MAIN_CORE, Report, WARM_UP, ours};
use crate::programs;

/// Relative error of the rate that may be.
const RATE_LIMIT: f64 = 0.001;
/// Gaps that a test of the distribution looks at, at most.
const SAMPLE: usize = 10_000;
/// How often, and for how long, pktgen's loop is measured.
const LOOKS: usize = 5;
const LOOK: Duration = Duration::from_millis(200);
/// Packets in the bursts whose time is the shortest gap that the test looks at: longer ones, of
/// packets that fell due while another was sent, are rare enough.
const TOGETHER: u16 = 4;

/// Rates from 10 kpps to 5 Mpps, constant and Poisson.
pub fn rate(effort: Effort, report: &mut Report) -> Result<()> {
    programs::build()?;
    let rates = [10_000u32, 100_000, 1_000_000, 5_000_000];
    let turn = Turn::measure()?;
    for rate in rates {
        let mut error = Outcome::new(case(format!("null-{rate}pps-constant"), RATE, LIMIT));
        for run in 0..effort.pairs {
            let departed = Departed::of(rate, "constant", run, effort.window)?;
            error.add(departed.error(rate.into()), RATE_LIMIT);
        }
        report.add(error);
    }
    for rate in rates {
        poisson(rate, &turn, effort, report)?;
    }
    for rate in rates {
        let mut error = Outcome::new(case(format!("memif-{rate}pps-constant"), RATE, LIMIT));
        for _ in 0..effort.pairs {
            let received = received(rate, effort.window)?;
            error.add(difference(received, f64::from(rate)), RATE_LIMIT);
        }
        report.add(error);
    }
    Ok(())
}

const RATE: &str = "relative error of the rate";
const LIMIT: &str = "limit";

fn case(case: String, unit: &'static str, peer_name: impl Into<String>) -> Case {
    Case {
        bench: "pktgen-rate",
        case,
        unit,
        peer_name: peer_name.into(),
        better: Better::Lower,
    }
}

fn poisson(rate: u32, turn: &Turn, effort: Effort, report: &mut Report) -> Result<()> {
    turn.check(rate)?;
    let name = format!("null-{rate}pps-poisson");
    let mut error = Outcome::new(case(name.clone(), RATE, "limit, and three deviations"));
    let mut distance = Outcome::new(case(
        format!("{name}-kolmogorov-smirnov"),
        "largest distance of distributions",
        format!(
            "limit at 1 % significance; gaps of {} ns and more, known to {} ns",
            turn.together_ns, turn.idle_ns
        ),
    ));
    for run in 0..effort.pairs {
        let departed = Departed::of(rate, "poisson", run, effort.window)?;
        // A Poisson process of N packets has by nature a relative error of about 1/sqrt(N) in its
        // rate, so the limit widens by three of those.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let chance = 3.0 / (departed.gaps.len() as f64).sqrt();
        error.add(departed.error(rate.into()), RATE_LIMIT + chance);
        let sample = turn.sample(&departed.gaps);
        ensure!(sample.len() > 100, "{name}: {} gaps to test", sample.len());
        distance.add(
            distance_from_exponential(&sample, f64::from(rate)),
            distance_at_one_percent(sample.len()),
        );
    }
    report.add(error);
    report.add(distance);
    Ok(())
}

/// By how much a rate is off; a billionth at least, since ratios are made of it.
fn difference(achieved: f64, wanted: f64) -> f64 {
    ((achieved - wanted) / wanted).abs().max(1e-9)
}

/// What of a run's packets is known from pktgen's own record.
struct Departed {
    /// Seconds between the packets.
    gaps: Vec<f64>,
}

impl Departed {
    /// Runs pktgen on a port that takes everything and keeps nothing.
    fn of(rate: u32, spacing: &str, run: usize, window: Duration) -> Result<Departed> {
        let streams = stream(&format!("{rate}pps"), spacing);
        let mut profile = profile(json!({ "type": "null" }), &streams, window);
        // Another Poisson process each time, and the same ones the next time.
        profile["seed"] = json!(run + 1);
        let (_, times) = departures(&profile, f64::from(rate) * window.as_secs_f64() * 1.1)?;
        Departed::from(&times)
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
    fn from(times: &[u64]) -> Result<Departed> {
        ensure!(times.len() > 1, "{} packets have left", times.len());
        let gaps = times
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]) as f64 / 1e9);
        Ok(Departed {
            gaps: gaps.collect(),
        })
    }

    /// The error of the rate from the first packet to the last.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn error(&self, wanted: f64) -> f64 {
        difference(
            self.gaps.len() as f64 / self.gaps.iter().sum::<f64>(),
            wanted,
        )
    }
}

/// Runs a profile; gives pktgen's report and when each packet left, nanoseconds since the start.
fn departures(profile: &Value, most: f64) -> Result<(Value, Vec<u64>)> {
    // In memory, lest a disk hold it up.
    let folder = tempfile::Builder::new()
        .prefix("sluice-bench-")
        .tempdir_in("/dev/shm")?;
    let file = folder.path().join("departures");
    let arguments: [OsString; 4] = [
        "--departures".into(),
        file.clone().into(),
        "--departures-count".into(),
        format!("{:.0}", (most + 1000.0).min(1e8)).into(),
    ];
    let answer = start(profile, &arguments)?.finish(Duration::from_secs(120))?;
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    let times = times(&bytes).with_context(|| format!("{} is cut short", file.display()))?;
    Ok((answer, times))
}

/// The numbers of a file of departures.
fn times(bytes: &[u8]) -> Option<Vec<u64>> {
    let (numbers, rest) = bytes.as_chunks();
    rest.is_empty().then(|| {
        numbers
            .iter()
            .map(|number| u64::from_le_bytes(*number))
            .collect()
    })
}

/// What pktgen's loop cannot be better than, on this machine.
struct Turn {
    /// Length of a turn with nothing to send: how exactly a departure is known.
    idle_ns: u64,
    /// Length of a turn that sends a burst of [`TOGETHER`]: no packet leaves sooner after one.
    together_ns: u64,
}

impl Turn {
    /// The least of several looks, since whatever else runs on the processor makes turns longer.
    fn measure() -> Result<Turn> {
        let mut least = Turn {
            idle_ns: u64::MAX,
            together_ns: u64::MAX,
        };
        for _ in 0..LOOKS {
            least.idle_ns = least.idle_ns.min(idle_turn()?);
            least.together_ns = least.together_ns.min(busy_turn()?);
        }
        Ok(least)
    }

    /// Whether gaps at this rate can be told from each other.
    fn check(&self, rate: u32) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a turn")]
        let (turn, gap) = (self.idle_ns as f64, 1e9 / f64::from(rate));
        ensure!(
            turn * 5.0 <= gap,
            "a turn of pktgen's loop takes {turn} ns, too long to judge gaps of {gap:.0} ns; is the \
             machine busy?"
        );
        Ok(())
    }

    /// The gaps that a test of an exponential distribution may look at, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn sample(&self, gaps: &[f64]) -> Vec<f64> {
        let (idle, together) = (self.idle_ns as f64 / 1e9, self.together_ns as f64 / 1e9);
        thin(&beyond(&unround(gaps, idle), together), SAMPLE)
    }
}

fn stream(rate: &str, spacing: &str) -> Value {
    json!([{ "size": 64, "rate": rate, "spacing": spacing }])
}

/// Length of a turn without packets. One falls due anywhere within a turn, so the median is half a
/// turn late.
fn idle_turn() -> Result<u64> {
    let profile = profile(
        json!({ "type": "null" }),
        &stream("10kpps", "constant"),
        LOOK,
    );
    let (answer, _) = departures(&profile, 0.0)?;
    let late = answer["sent"]["lateness"]["p50_ns"].as_u64();
    Ok(2 * late.with_context(|| format!("no lateness in {answer}"))?)
}

/// Length of a turn with [`TOGETHER`] packets, nine times of ten: more is asked for than can be sent,
/// so that each turn has as many.
fn busy_turn() -> Result<u64> {
    let mut profile = profile(
        json!({ "type": "null" }),
        &stream("200Mpps", "poisson"),
        LOOK,
    );
    profile["cores"]["burst"] = json!(TOGETHER);
    let (_, times) = departures(&profile, 1e6)?;
    let mut turns: Vec<u64> = times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .filter(|gap| *gap > 0)
        .collect();
    turns.sort_unstable();
    Ok(quantile(&turns, 0.9))
}

/// Packets a second that come out of the other end of a memif, by the clock of the appliance there.
fn received(rate: u32, window: Duration) -> Result<f64> {
    // In memory, lest a disk hold it up.
    let folder = tempfile::Builder::new()
        .prefix("sluice-bench-")
        .tempdir_in("/dev/shm")?;
    let (socket, file) = (folder.path().join("memif.sock"), folder.path().join("seen"));
    let sluice = receiver(&socket, &file)?;
    let device = json!({ "type": "memif", "role": "client", "socket": socket });
    let profile = profile(
        device,
        &stream(&format!("{rate}pps"), "constant"),
        window + WARM_UP,
    );
    start(&profile, &[])?.finish(window + Duration::from_secs(60))?;
    let (status, log) = sluice.stop();
    ensure!(status.success(), "sluice ended with {status}: {log}");
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    let seen = seen(&bytes).with_context(|| format!("{} is cut short", file.display()))?;
    ensure!(seen.len() > 10, "{} packets seen", seen.len());
    Ok(rate_of(&seen))
}

/// An appliance that takes packets from a memif, notes the times of some and drops all, on the
/// processor that pktgen leaves to it.
fn receiver(socket: &Path, file: &Path) -> Result<Sluice<'static>> {
    let devices = [
        json!({ "type": "memif", "role": "server", "socket": socket }),
        // Nothing comes from it: a null port would always have packets.
        json!({ "type": "ring" }),
    ];
    let chain = json!([
        { "stage": "capture", "config": {
            "file": file, "snap_bytes": 64, "max_packets_per_second": 1000
        } },
        { "stage": "acl", "config": { "rules": [], "default": "deny" } },
    ]);
    let mut config = ours::config(&devices, chain);
    config["cores"]["packet"] = json!([MAIN_CORE]);
    // The processor has other work too.
    config["cores"]["idle"] = json!("adaptive");
    ours::start(config, None)
}

/// A packet as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Nanoseconds since 1970.
    at: u64,
    /// Its number among all that pktgen sent.
    sequence: u32,
}

/// The packets of a little-endian pcapng file with nanoseconds, as `capture` writes it; `None` if it
/// ends within one.
fn seen(bytes: &[u8]) -> Option<Vec<Seen>> {
    const ENHANCED_PACKET: u32 = 6;
    /// Where the packet is in its block, and pktgen's sequence number in a packet of UDP over IPv4.
    const PACKET: usize = 28;
    const SEQUENCE: usize = 14 + 20 + 8 + 6;
    let (mut rest, mut all) = (bytes, Vec::new());
    while !rest.is_empty() {
        let word = |at: usize| -> Option<[u8; 4]> { rest.get(at..at + 4)?.try_into().ok() };
        let length = usize::try_from(u32::from_le_bytes(word(4)?)).ok()?.max(12);
        if u32::from_le_bytes(word(0)?) == ENHANCED_PACKET {
            let half = |at| Some(u64::from(u32::from_le_bytes(word(at)?)));
            all.push(Seen {
                at: half(12)? << 32 | half(16)?,
                sequence: u32::from_be_bytes(word(PACKET + SEQUENCE)?),
            });
        }
        rest = rest.get(length..)?;
    }
    Some(all)
}

/// Packets a second: the sequence numbers over the times, from a while after the first.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds")]
fn rate_of(seen: &[Seen]) -> f64 {
    let first = seen.first().map_or(0, |packet| packet.at);
    let points: Vec<(f64, f64)> = seen
        .iter()
        .map(|packet| {
            let since = packet.at.saturating_sub(first) as f64 / 1e9;
            (since, f64::from(packet.sequence))
        })
        .filter(|(since, _)| *since >= WARM_UP.as_secs_f64())
        .collect();
    slope(&points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departures_are_numbers() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(times(&bytes), Some(vec![1, 256]));
        assert_eq!(times(&bytes[..9]), None);
    }

    #[test]
    fn the_error_is_over_all_gaps() {
        let departed = Departed::from(&[1000, 1000, 3000, 4002]).unwrap();
        assert_eq!(departed.gaps.len(), 3);
        let error = departed.error(1e6);
        assert!((error - (1.0 - 3000.0 / 3002.0)).abs() < 1e-9, "{error}");
        assert_eq!(departed.error(3e9 / 3002.0), 1e-9);
        assert!(Departed::from(&[1]).is_err());
    }

    #[test]
    fn a_sample_is_what_the_loop_can_show() {
        let turn = Turn {
            idle_ns: 20,
            together_ns: 100,
        };
        let sample = turn.sample(&[0.0, 60e-9, 100e-9, 150e-9, 1e-6]);
        assert_eq!(sample.len(), 2);
        assert!((30e-9..=50e-9).contains(&sample[0]), "{sample:?}");
        assert_eq!(turn.sample(&vec![1e-6; 25_000]).len(), 8334);
        assert!(turn.check(5_000_000).is_ok());
        assert!(turn.check(20_000_000).is_err());
    }

    /// A block of a pcapng file: a packet with this number, at this time.
    fn packet(at: u64, sequence: u32) -> Vec<u8> {
        let mut frame = [0; 60];
        frame[48..52].copy_from_slice(&sequence.to_be_bytes());
        let mut block = Vec::new();
        for word in [6, 92, 0, (at >> 32) as u32, at as u32, 60, 60] {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(&frame);
        block.extend_from_slice(&92u32.to_le_bytes());
        block
    }

    #[test]
    fn packets_of_a_capture() {
        let at = 1_700_000_000_123_456_789;
        let mut file = vec![0; 28];
        file[..8].copy_from_slice(&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0]);
        file.extend(packet(at, 7));
        file.extend(packet(at + 1, 70_000));
        let expected = [(at, 7), (at + 1, 70_000)].map(|(at, sequence)| Seen { at, sequence });
        assert_eq!(seen(&file).unwrap(), expected);
        assert_eq!(seen(&file[..file.len() - 1]), None);
        assert_eq!(seen(&[0; 8]), None, "a block of no length");
    }

    #[test]
    fn the_rate_is_of_numbers_over_times() {
        // One in a hundred packets of 100 kpps is seen; what comes first was waiting.
        let seen: Vec<Seen> = (0..2000u32)
            .map(|n| Seen {
                at: 1_700_000_000_000_000_000 + u64::from(n.max(50)) * 1_000_000,
                sequence: 100 * n,
            })
            .collect();
        assert!((rate_of(&seen) - 100_000.0).abs() < 1e-6);
    }
}
