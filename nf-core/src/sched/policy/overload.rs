//! The slow loop, after E3 (Liu et al., USENIX ATC 2019, section 4.4): transit traffic that starves, and
//! actors that have become slower than they used to be.

use super::decision::Rule;
use super::settings::{Settings, Thresholds};
use super::view::{Place, PortView, View};

const MS: u64 = 1_000_000;

/// What one sample weighs in what an actor usually takes.
const USUAL_WEIGHT: f64 = 1.0 / 16.0;

/// A port that receives less than this share of what it could is not full.
const FULL_RATE: f64 = 0.95;

#[derive(Debug, Clone, Copy, Default)]
struct Port {
    received: u64,
    most: f64,
    starving: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Actor {
    usual: Option<f64>,
    slower: u32,
}

/// What was seen in the last samples.
#[derive(Debug, Default)]
pub(super) struct Overload {
    sampled: Option<u64>,
    ports: Vec<Port>,
    actors: Vec<Actor>,
    found: Option<(Rule, [f64; 2])>,
}

impl Overload {
    /// Something is overloaded: the rule, what was measured and the limit. Stands until the next sample.
    pub fn look(
        &mut self,
        view: &View<'_>,
        settings: &Settings,
        thresholds: &Thresholds,
    ) -> Option<(Rule, [f64; 2])> {
        let Some(last) = self.sampled else {
            self.sampled = Some(view.now);
            self.ports = view.ports.iter().map(first_sample).collect();
            return None;
        };
        let past = view.now.saturating_sub(last);
        if past < settings.overload_period_ms * MS {
            return self.found;
        }
        self.sampled = Some(view.now);
        let starved = self.starved(view, settings, past as f64 / 1e9);
        let slower = self.slower(view, settings, thresholds);
        self.found = starved.or(slower);
        self.found
    }

    /// It was acted on: it has to show itself again.
    pub fn served(&mut self) {
        self.found = None;
        self.ports.iter_mut().for_each(|port| port.starving = 0);
        self.actors.iter_mut().for_each(|actor| actor.slower = 0);
    }

    fn starved(
        &mut self,
        view: &View<'_>,
        settings: &Settings,
        seconds: f64,
    ) -> Option<(Rule, [f64; 2])> {
        self.ports.resize_with(view.ports.len(), Port::default);
        let mut worst: Option<u32> = None;
        for (port, seen) in self.ports.iter_mut().zip(view.ports) {
            let rate = seen.received.saturating_sub(port.received) as f64 / seconds;
            port.received = seen.received;
            port.most = port.most.max(rate);
            let capacity = if seen.capacity > 0.0 {
                seen.capacity
            } else {
                port.most
            };
            // A standing queue at full rate is a port that is used well.
            let starves = seen.waiting >= settings.standing_queue && rate < FULL_RATE * capacity;
            port.starving = if starves { port.starving + 1 } else { 0 };
            if port.starving >= settings.overload_samples {
                worst = worst.max(Some(seen.waiting));
            }
        }
        worst.map(|waiting| {
            let values = [f64::from(waiting), f64::from(settings.standing_queue)];
            (Rule::Starvation, values)
        })
    }

    fn slower(
        &mut self,
        view: &View<'_>,
        settings: &Settings,
        thresholds: &Thresholds,
    ) -> Option<(Rule, [f64; 2])> {
        self.actors.resize_with(view.actors.len(), Actor::default);
        let mut found = None;
        for (actor, seen) in self.actors.iter_mut().zip(view.actors) {
            if seen.rate <= 0.0 || seen.service.samples == 0 {
                continue;
            }
            let takes = seen.service.mean;
            let Some(usual) = actor.usual else {
                actor.usual = Some(takes);
                continue;
            };
            let limit = (1.0 + settings.overload_share) * usual;
            actor.slower = if takes > limit { actor.slower + 1 } else { 0 };
            actor.usual = Some(usual + USUAL_WEIGHT * (takes - usual));
            let on_packet_cores = !matches!(seen.place, Place::Worker(_));
            if actor.slower >= settings.overload_samples && on_packet_cores {
                found = found.or(Some((Rule::Overload, [takes, limit])));
            }
        }
        // While latency is so low that the actor would be pulled back at once, slower is still fast
        // enough.
        let low = (1.0 - settings.hysteresis) * thresholds.mean_ns;
        found.filter(|_| view.latency.mean >= low)
    }
}

fn first_sample(seen: &PortView) -> Port {
    Port {
        received: seen.received,
        ..Port::default()
    }
}
