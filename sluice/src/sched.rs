//! The scheduler of an appliance as its API tells of it, in words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Endpoint;
use crate::failure::Failure;
use crate::units::{grouped, nanos};

/// A weighted mean and a standard deviation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimate {
    pub mean: f64,
    pub deviation: f64,
    pub samples: u64,
}

impl Estimate {
    /// Mean and three deviations.
    pub fn tail(&self) -> f64 {
        self.mean + 3.0 * self.deviation
    }
}

/// Latencies that are too much, nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    pub mean_ns: f64,
    pub tail_ns: f64,
}

/// Where an actor runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// `fcfs`, `drr` or `worker`.
    pub group: String,
    /// Which worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<u16>,
}

/// A shard of a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    pub name: String,
    /// `None` while it moves.
    pub place: Option<Place>,
    /// It panicked, ran for too long, or was deleted.
    pub out_of_service: bool,
    /// `free`, `packet` or `worker`.
    pub pin: String,
    /// Of its migration.
    pub phase: Option<String>,
    /// Nanoseconds.
    pub service: Estimate,
    /// Nanoseconds.
    pub sojourn: Estimate,
    /// Messages a second.
    pub rate: f64,
    /// Share of a core.
    pub load: f64,
    pub waiting: u64,
    pub messages: u64,
    /// Messages that ended before it, by kind.
    pub losses: Vec<u64>,
    /// The same a second; for whoever compares two looks.
    #[serde(skip_deserializing)]
    pub lost_rate: f64,
}

/// A worker core.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    pub worker: u64,
    pub cpu: u64,
    pub busy_share: f64,
    pub actors: u64,
}

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    pub number: u64,
    /// `decided`, `migrated` or `failed`.
    pub event: String,
    /// When, on the clock of [`Sched::now_ns`].
    pub at: u64,
    pub name: Option<String>,
    pub action: String,
    pub worker: Option<u16>,
    pub rule: String,
    pub measured: f64,
    pub limit: f64,
    /// `push` or `pull`, and to or from which worker.
    pub way: BTreeMap<String, u16>,
    /// `done` or `rolled_back`.
    pub ended: String,
    pub phases_ns: Vec<u64>,
    /// `overrun`, `deleted`, or an object with what was said when it panicked or gave up.
    pub failure: Value,
}

/// `/api/v1/sched`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sched {
    pub now_ns: u64,
    pub latency: Estimate,
    pub thresholds: Thresholds,
    /// The group of each.
    pub packet_cores: Vec<String>,
    pub workers: Vec<Worker>,
    pub actors: Vec<Actor>,
    /// Oldest first.
    pub events: Vec<Event>,
}

impl Sched {
    /// Asks; as it came, and taken apart.
    pub fn get(endpoint: &Endpoint) -> Result<(Value, Sched), Failure> {
        let answer = endpoint.get("/api/v1/sched")?;
        match serde_json::from_value::<Option<Sched>>(answer.clone())? {
            Some(sched) => Ok((answer, sched)),
            None => Err(Failure::new(
                "the appliance runs without a scheduler; add \"scheduler\": {} to its configuration",
            )),
        }
    }

    /// The actor of that name.
    pub fn actor(&self, name: &str) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.name == name)
    }

    /// What happened, the newest first; of warnings about an actor only its last.
    pub fn latest(&self) -> Vec<&Event> {
        let mut warned = BTreeSet::new();
        let mut latest: Vec<&Event> = self.events.iter().rev().collect();
        latest.retain(|event| !event.is_alarm() || warned.insert(&event.name));
        latest
    }

    /// Latency against its limits, in two sentences.
    pub fn latency_text(&self) -> [String; 2] {
        let text = |what: &str, is: f64, limit: f64| {
            format!("{what} {} (at most {})", time(is), time(limit))
        };
        [
            text("mean", self.latency.mean, self.thresholds.mean_ns),
            text("tail", self.latency.tail(), self.thresholds.tail_ns),
        ]
    }
}

/// Nanoseconds as people read them.
pub fn time(ns: f64) -> String {
    nanos(ns.max(0.0) as u64)
}

/// A share as people read it.
pub fn percent(share: f64) -> String {
    match share {
        0.0 => "0 %".into(),
        share if share < 0.0995 => format!("{:.1} %", share * 100.0),
        share => format!("{:.0} %", share * 100.0),
    }
}

impl Actor {
    /// `fcfs`, `drr`, `worker 0`, `moving: gone`, `out of service`.
    pub fn place_text(&self) -> String {
        if self.out_of_service {
            return "out of service".into();
        }
        match (&self.place, &self.phase) {
            (Some(Place { group, core: None }), _) => group.clone(),
            (
                Some(Place {
                    group,
                    core: Some(core),
                }),
                _,
            ) => format!("{group} {core}"),
            (None, Some(phase)) => format!("moving: {phase}"),
            (None, None) => "moving".into(),
        }
    }

    /// Whether it is on a worker; on that one, if one is said.
    pub fn is_away(&self, wanted: Option<u16>) -> bool {
        let core = self.place.as_ref().and_then(|place| place.core);
        core.is_some_and(|core| wanted.is_none_or(|wanted| wanted == core))
    }

    /// Messages that ended before it.
    pub fn lost(&self) -> u64 {
        self.losses.iter().sum()
    }
}

impl Event {
    /// What happened, and why.
    pub fn text(&self) -> String {
        match self.event.as_str() {
            "decided" => format!("{}: {}", self.what(), self.why()),
            "migrated" => self.migrated(),
            "failed" => self.failed(),
            other => other.to_owned(),
        }
    }

    /// Whether nothing was moved, but somebody should do something.
    pub fn is_alarm(&self) -> bool {
        self.action == "alarm"
    }

    fn what(&self) -> String {
        let name = self.name.as_deref().unwrap_or("?");
        match (self.action.as_str(), self.worker) {
            ("downgrade", _) => format!("{name} to round robin"),
            ("upgrade", _) => format!("{name} to first come, first served"),
            ("push", Some(worker)) => format!("{name} to worker {worker}"),
            ("pull", _) => format!("{name} to the packet cores"),
            ("core_to_drr", _) => "a packet core to round robin".into(),
            ("core_to_fcfs", _) => "a packet core to first come, first served".into(),
            ("alarm", _) => format!("{name} should be split"),
            (action, _) => format!("{name}: {action}"),
        }
    }

    fn why(&self) -> String {
        let of = |format: fn(f64) -> String| (format(self.measured), format(self.limit));
        let count = |value: f64| grouped(value.max(0.0) as u64);
        let (times, counts, shares) = (of(time), of(count), of(percent));
        let over = |what: &str, (is, limit): (String, String)| format!("{what} {is}, over {limit}");
        let under =
            |what: &str, (is, limit): (String, String)| format!("{what} {is}, under {limit}");
        match self.rule.as_str() {
            "tail" => over("tail latency", times),
            "tail_low" => under("tail latency", times),
            "mean" => over("mean latency", times),
            "mean_low" => under("mean latency", times),
            "mailbox" => over("messages waiting", counts),
            "starvation" => over("packets waiting at a port", counts),
            "overload" => over("slower than usual,", times),
            "first_drr_core" => "actors under round robin have no core".into(),
            "no_drr_actor" => "no actor is under round robin".into(),
            "group_full" => over("its group is busy,", shares),
            "one_core" => over("load of one core", shares),
            rule => format!("{rule} {}, limit {}", self.measured, self.limit),
        }
    }

    fn migrated(&self) -> String {
        let name = self.name.as_deref().unwrap_or("?");
        let to = match self.way.iter().next() {
            Some((way, worker)) if way == "push" => format!("to worker {worker}"),
            Some((way, worker)) if way == "pull" => format!("back from worker {worker}"),
            _ => String::new(),
        };
        let took = nanos(self.phases_ns.iter().sum());
        match self.ended.as_str() {
            "done" => format!("{name} moved {to} in {took}"),
            _ => format!("{name} not moved {to}: given up after {took}"),
        }
    }

    fn failed(&self) -> String {
        let name = self.name.as_deref().unwrap_or("?");
        let why = match (&self.failure["panic"], self.failure.as_str()) {
            (Value::String(said), _) => format!("it panicked: {said}"),
            (_, None) if self.failure["gave_up"].is_string() => {
                let said = self.failure["gave_up"].as_str().unwrap_or_default();
                format!("it gave up: {said}")
            }
            (_, Some("overrun")) => "it ran for too long".into(),
            (_, Some("deleted")) => "somebody deleted it".into(),
            (_, why) => why.unwrap_or("?").to_owned(),
        };
        format!("{name} taken out of service: {why}")
    }

    /// Whether something went wrong.
    pub fn is_bad(&self) -> bool {
        self.is_alarm() || self.event == "failed" || self.ended == "rolled_back"
    }

    /// How long each phase of a migration took; nothing for a decision.
    pub fn phases_text(&self) -> String {
        let names = ["prepare", "ready", "gone", "clean"];
        let phases = names.iter().zip(&self.phases_ns);
        let texts: Vec<String> = phases
            .map(|(name, ns)| format!("{name} {}", nanos(*ns)))
            .collect();
        texts.join(", ")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// An answer with three actors, one of them on a worker and one on its way, and three events.
    pub fn answer() -> Value {
        let estimate = |mean: f64, deviation: f64| json!({"mean": mean, "deviation": deviation, "samples": 4000});
        json!({
            "now_ns": 75_000_000_000u64,
            "latency": estimate(2_400.0, 900.0),
            "thresholds": {"mean_ns": 50_000.0, "tail_ns": 200_000.0},
            "packet_cores": ["fcfs", "drr"],
            "workers": [{"worker": 0, "cpu": 4, "tid": 7, "busy_share": 0.58, "actors": 1}],
            "actors": [
                {"id": {"index": 0, "generation": 0}, "name": "capture", "place": {"group": "fcfs"},
                 "pin": "packet", "service": estimate(120.0, 14.0), "sojourn": estimate(900.0, 300.0),
                 "message_bytes": 512.0, "rate": 1_200_000.0, "load": 0.144, "waiting": 0,
                 "mailbox": 1024, "hold_back": 8192, "messages": 9_000_000, "busy_ns": 5,
                 "losses": [0, 0, 0, 0]},
                {"id": {"index": 1, "generation": 0}, "name": "front",
                 "place": {"group": "worker", "core": 0}, "pin": "free",
                 "service": estimate(4_800.0, 2_100.0), "sojourn": estimate(21_000.0, 7_000.0),
                 "rate": 121_000.0, "load": 0.58, "waiting": 3, "messages": 12, "losses": [2, 0, 5, 0]},
                {"id": {"index": 2, "generation": 0}, "name": "route", "place": null, "phase": "gone",
                 "pin": "free", "service": estimate(310.0, 20.0), "sojourn": estimate(1_500.0, 80.0),
                 "rate": 1_200_000.0, "load": 0.37, "waiting": 41, "messages": 9_000_000, "losses": [0, 0, 0, 0]},
            ],
            "events": [
                {"number": 7, "event": "decided", "at": 12_000_000_000u64, "action": "push", "actor": 1,
                 "worker": 0, "rule": "mean", "measured": 61_234.0, "limit": 50_000.0, "name": "front"},
                {"number": 8, "event": "migrated", "at": 12_001_200_000u64, "name": "front",
                 "way": {"push": 0}, "ended": "done", "phases_ns": [4_000, 150_000, 1_000_000, 46_000]},
                {"number": 9, "event": "decided", "at": 74_500_000_000u64, "action": "core_to_drr",
                 "rule": "group_full", "measured": 0.97, "limit": 0.95},
            ],
        })
    }

    #[test]
    fn ip58_events_tell_what_was_measured_and_the_limit() {
        let sched: Sched = serde_json::from_value(answer()).unwrap();
        let texts: Vec<String> = sched.events.iter().map(Event::text).collect();
        assert_eq!(
            texts,
            [
                "front to worker 0: mean latency 61.2 µs, over 50.0 µs",
                "front moved to worker 0 in 1.20 ms",
                "a packet core to round robin: its group is busy, 97 %, over 95 %",
            ]
        );
        assert_eq!(
            sched.events[1].phases_text(),
            "prepare 4.00 µs, ready 150 µs, gone 1.00 ms, clean 46.0 µs"
        );
        let event = |value: Value| serde_json::from_value::<Event>(value).unwrap().text();
        let back = json!({"event": "migrated", "name": "acl", "way": {"pull": 1}, "ended": "rolled_back",
            "phases_ns": [100_000_000, 0, 0, 0]});
        assert_eq!(
            event(back),
            "acl not moved back from worker 1: given up after 100 ms"
        );
        for (failure, text) in [
            (
                json!({"panic": "no room"}),
                "acl taken out of service: it panicked: no room",
            ),
            (
                json!("overrun"),
                "acl taken out of service: it ran for too long",
            ),
            (
                json!("deleted"),
                "acl taken out of service: somebody deleted it",
            ),
        ] {
            let failed = json!({"event": "failed", "name": "acl", "failure": failure});
            assert_eq!(event(failed), text);
        }
        for rule in [
            "tail",
            "tail_low",
            "mean",
            "mean_low",
            "mailbox",
            "starvation",
            "overload",
            "first_drr_core",
            "no_drr_actor",
            "group_full",
            "one_core",
            "one of tomorrow",
        ] {
            for action in [
                "downgrade",
                "upgrade",
                "pull",
                "core_to_fcfs",
                "alarm",
                "new",
            ] {
                let text = event(
                    json!({"event": "decided", "action": action, "rule": rule, "name": "acl"}),
                );
                assert!(text.len() > 10 && text.contains(": "), "{text}");
            }
        }
    }

    #[test]
    fn warnings_do_not_hide_what_was_moved() {
        let mut sched: Sched = serde_json::from_value(answer()).unwrap();
        for number in 10..30 {
            let name = ["front", "route"][number as usize % 2];
            sched.events.push(Event {
                number,
                event: "decided".into(),
                action: "alarm".into(),
                name: Some(name.into()),
                ..Event::default()
            });
        }
        let numbers: Vec<u64> = sched.latest().iter().map(|event| event.number).collect();
        assert_eq!(numbers, [29, 28, 9, 8, 7]);
    }

    #[test]
    fn places() {
        let sched: Sched = serde_json::from_value(answer()).unwrap();
        let places: Vec<String> = sched.actors.iter().map(Actor::place_text).collect();
        assert_eq!(places, ["fcfs", "worker 0", "moving: gone"]);
        let front = sched.actor("front").unwrap();
        assert!(front.is_away(None) && front.is_away(Some(0)) && !front.is_away(Some(1)));
        assert!(!sched.actors[0].is_away(None));
        let broken = Actor {
            out_of_service: true,
            ..Actor::default()
        };
        assert_eq!(broken.place_text(), "out of service");
        assert_eq!(front.lost(), 7);
    }

    #[test]
    fn shares() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.004, "0.4 %"),
            (0.58, "58 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
