//! Who was the limit? Said in words, from what was counted.
//!
//! A generator that cannot keep up, or that loses what comes back, makes its device under test look bad.
//! So each run is judged: first whether the sending was as asked, then whether the receiving was
//! whole, and only what remains is laid at the door of what lies between.

use serde::Serialize;

/// Who limited a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nobody: sent as asked, all of it received.
    None,
    /// Transmit cores, or the pool of packet buffers: less was sent than asked, or later.
    GeneratorTransmit,
    /// The port, or what it is connected to, took packets more slowly than asked.
    Port,
    /// Receive cores or receive queues: packets came back and were lost here.
    GeneratorReceive,
    /// What lies between: packets were sent in time and did not come back.
    Network,
    /// The user ended the run.
    Interrupted,
}

/// What a verdict is based on.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Packets per second asked for; `None` for as fast as possible.
    pub asked_pps: Option<f64>,
    /// Packets per second sent.
    pub sent_pps: f64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that carry a signature.
    pub tracked: u64,
    /// Tracked packets received, each counted once.
    pub unique: u64,
    /// Packets received in all.
    pub received: u64,
    /// Slots never used, and packets given up.
    pub missed: u64,
    /// Packets that left late.
    pub late: u64,
    /// Slack before a packet counts as late.
    pub late_after_ns: u64,
    /// 99th percentile of how late packets left.
    pub lateness_p99_ns: u64,
    /// 99th percentile of the latency; 0 without.
    pub latency_p99_ns: u64,
    /// Times the port took less than it was given.
    pub refusals: u64,
    /// Times the pool was empty.
    pub pool_empty: u64,
    /// Busiest transmit core's share of time spent sending.
    pub transmit_busy: f64,
    /// Busiest receive core's share of time spent receiving.
    pub receive_busy: f64,
    /// Packets that the ports dropped on receipt: full queues, no buffers.
    pub port_dropped: u64,
    /// Packets that no receive core could follow.
    pub untracked: u64,
    /// Packets with wrong checksums.
    pub broken: u64,
    /// Packets older than the tracking window.
    pub too_late: u64,
    /// Whether the user ended the run.
    pub interrupted: bool,
}

/// A judgement, and its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Who was the limit.
    pub limit: Limit,
    /// The reasons, in whole sentences.
    pub reasons: Vec<String>,
}

/// A shortfall below this is within what a schedule of whole packets can tell.
const RATE_TOLERANCE: f64 = 1e-3;
/// A core that spends more than this of its time working has nothing left.
const BUSY: f64 = 0.95;

fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 0.01 => format!("{p:.4} %"),
        p if p < 10.0 => format!("{p:.2} %"),
        p => format!("{p:.0} %"),
    }
}

/// Judges a run.
pub fn judge(facts: &Facts) -> Verdict {
    let mut reasons = Vec::new();
    let mut limit = Limit::None;
    if facts.interrupted {
        limit = Limit::Interrupted;
        reasons.push("The run was ended early.".to_owned());
    }
    let mut found = |new: Limit, reason: String| {
        if limit == Limit::None {
            limit = new;
        }
        reasons.push(reason);
    };

    let short = facts
        .asked_pps
        .map(|asked| 1.0 - facts.sent_pps / asked)
        .filter(|short| *short > RATE_TOLERANCE || facts.missed > 0);
    if let Some(short) = short
        && !facts.interrupted
    {
        let much = format!(
            "{} of the asked rate was not reached ({} slots of the schedule were never used)",
            percent(short.max(0.0)),
            facts.missed
        );
        if facts.pool_empty > 0 {
            found(
                Limit::GeneratorTransmit,
                format!(
                    "{much}, and the generator ran out of packet buffers {} times: raise \
                     mempool.packets.",
                    facts.pool_empty
                ),
            );
        } else if facts.refusals > 0 {
            found(
                Limit::Port,
                format!(
                    "{much}: the port took fewer packets than it was given {} times. The port, or \
                     what receives from it, was the limit; the generator waited for it.",
                    facts.refusals
                ),
            );
        } else if facts.transmit_busy > BUSY {
            found(
                Limit::GeneratorTransmit,
                format!(
                    "{much}: a transmit core was busy {} of the time. The generator was the \
                     limit, not the device under test: add transmit cores.",
                    percent(facts.transmit_busy)
                ),
            );
        } else {
            found(
                Limit::GeneratorTransmit,
                format!(
                    "{much}, though the transmit cores had time to spare: something else ran on \
                     their processors. The generator was the limit."
                ),
            );
        }
    }
    if facts.asked_pps.is_none() && facts.refusals > 0 {
        found(
            Limit::Port,
            format!(
                "Sent as fast as the port took packets: it refused some {} times.",
                facts.refusals
            ),
        );
    } else if facts.asked_pps.is_none() && !facts.interrupted && facts.sent > 0 {
        found(
            Limit::GeneratorTransmit,
            "Sent as fast as the transmit cores could: the port took everything at once.".into(),
        );
    }
    let late = if facts.sent == 0 {
        0.0
    } else {
        facts.late as f64 / facts.sent as f64
    };
    if late > 0.01 {
        let late_after = crate::units::nanoseconds(facts.late_after_ns as f64);
        let mut reason = format!(
            "{} of the packets left more than {late_after} after their intended time (99th \
             percentile {}).",
            percent(late),
            crate::units::nanoseconds(facts.lateness_p99_ns as f64)
        );
        // Latency counts from the intended time, so lateness is part of it.
        if facts.lateness_p99_ns * 2 > facts.latency_p99_ns && facts.latency_p99_ns > 0 {
            reason.push_str(
                " That is most of the measured latency's tail: it says more about the generator, or \
                 the port that it waited for, than about the device under test.",
            );
        }
        found(
            if facts.refusals > 0 {
                Limit::Port
            } else {
                Limit::GeneratorTransmit
            },
            reason,
        );
    }
    let lost = facts.tracked.saturating_sub(facts.unique);
    if facts.port_dropped > 0 {
        found(
            Limit::GeneratorReceive,
            format!(
                "The generator's ports dropped {} received packets (full receive queues or no \
                 buffers): at least so much of the loss is the generator's own. Add receive cores, or \
                 raise rx_descriptors and mempool.packets.",
                facts.port_dropped
            ),
        );
    } else if lost > 0 && facts.receive_busy > BUSY {
        found(
            Limit::GeneratorReceive,
            format!(
                "{lost} packets were lost while a receive core was busy {} of the time: the \
                 generator may have lost them. Add receive cores.",
                percent(facts.receive_busy)
            ),
        );
    }
    if facts.untracked > 0 {
        found(
            Limit::GeneratorReceive,
            format!(
                "{} received packets could not be followed, because their flow's core did not keep \
                 up: they appear as lost.",
                facts.untracked
            ),
        );
    }
    if facts.too_late > 0 {
        found(
            Limit::Network,
            format!(
                "{} packets came later than the tracking window reaches and count as lost; a larger \
                 receive.window tells them apart.",
                facts.too_late
            ),
        );
    }
    if facts.broken > 0 {
        found(
            Limit::Network,
            format!("{} packets came back corrupted.", facts.broken),
        );
    }
    if facts.received == 0 && facts.sent > 0 {
        found(
            Limit::Network,
            "Nothing came back. If nothing was meant to, all is well; else check the path, the \
             destination MAC address (`gateway`), and that the receiving port is in the profile."
                .into(),
        );
    } else if lost > 0 {
        found(
            Limit::Network,
            format!(
                "{lost} packets ({}) were sent and did not come back: with the above set aside, what \
                 lies between sender and receiver lost them.",
                percent(lost as f64 / facts.tracked.max(1) as f64)
            ),
        );
    }
    if reasons.is_empty() {
        reasons.push(if facts.tracked > 0 {
            "Sent as asked, and every tracked packet came back.".into()
        } else {
            "Sent as asked.".into()
        });
    }
    Verdict { limit, reasons }
}

impl Verdict {
    /// One sentence that names the limit.
    pub fn headline(&self) -> &'static str {
        match self.limit {
            Limit::None => "No limit was reached.",
            Limit::GeneratorTransmit => "The generator's sending was the limit.",
            Limit::Port => "The sending port, or what it is connected to, was the limit.",
            Limit::GeneratorReceive => "The generator's receiving was the limit.",
            Limit::Network => "What lies between sender and receiver was the limit.",
            Limit::Interrupted => "The run was ended early.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            asked_pps: Some(1e6),
            sent_pps: 1e6,
            sent: 1_000_000,
            tracked: 1_000_000,
            unique: 1_000_000,
            received: 1_000_000,
            late_after_ns: 10_000,
            lateness_p99_ns: 800,
            latency_p99_ns: 20_000,
            transmit_busy: 0.4,
            receive_busy: 0.4,
            ..Facts::default()
        }
    }

    #[test]
    fn each_limit_is_told_apart() {
        let check = |change: &dyn Fn(&mut Facts), limit, words: &str| {
            let mut facts = good();
            change(&mut facts);
            let verdict = judge(&facts);
            assert_eq!(verdict.limit, limit, "{verdict:?}");
            assert!(
                verdict.reasons.join(" ").contains(words),
                "{words}: {verdict:?}"
            );
        };
        check(&|_| {}, Limit::None, "every tracked packet came back");
        let slow = |f: &mut Facts| (f.sent_pps, f.missed) = (0.5e6, 500_000);
        check(
            &|f| {
                slow(f);
                f.transmit_busy = 0.99
            },
            Limit::GeneratorTransmit,
            "not the device",
        );
        check(
            &|f| {
                slow(f);
                f.refusals = 9
            },
            Limit::Port,
            "the port took fewer",
        );
        check(
            &|f| {
                slow(f);
                f.pool_empty = 9
            },
            Limit::GeneratorTransmit,
            "packet buffers",
        );
        check(&slow, Limit::GeneratorTransmit, "something else ran");
        check(
            &|f| f.late = 50_000,
            Limit::GeneratorTransmit,
            "left more than 10.0 µs after",
        );
        check(
            &|f| {
                f.late = 50_000;
                f.lateness_p99_ns = 15_000
            },
            Limit::GeneratorTransmit,
            "most of the measured latency's tail",
        );
        check(
            &|f| f.unique = 999_000,
            Limit::Network,
            "1000 packets (0.10 %)",
        );
        check(
            &|f| {
                f.unique = 999_000;
                f.port_dropped = 1000
            },
            Limit::GeneratorReceive,
            "rx_descriptors",
        );
        check(
            &|f| {
                f.unique = 999_000;
                f.receive_busy = 0.98
            },
            Limit::GeneratorReceive,
            "Add receive cores",
        );
        check(
            &|f| f.untracked = 4,
            Limit::GeneratorReceive,
            "could not be followed",
        );
        check(&|f| f.broken = 4, Limit::Network, "corrupted");
        check(&|f| f.too_late = 4, Limit::Network, "receive.window");
        check(
            &|f| (f.received, f.unique) = (0, 0),
            Limit::Network,
            "Nothing came back",
        );
        check(&|f| f.interrupted = true, Limit::Interrupted, "ended early");
        let max = |f: &mut Facts| f.asked_pps = None;
        check(
            &max,
            Limit::GeneratorTransmit,
            "as fast as the transmit cores could",
        );
        check(
            &|f| {
                max(f);
                f.refusals = 3
            },
            Limit::Port,
            "refused some 3 times",
        );
    }
}
