//! Between packet cores and worker cores: who is pushed, where to, and who is pulled back.

use super::cooldown::CoolDowns;
use super::decision::{Action, Decision, Rule};
use super::settings::{Settings, Thresholds};
use super::view::{ActorView, Pin, Place, View};

/// What a worker may be used, at most, to be chosen because a neighbour is there.
const NEAR_LIMIT: f64 = 0.9;

/// Packet-side actors that may go to a worker now.
fn can_go<'a>(view: &'a View<'a>, downs: &'a CoolDowns) -> impl Iterator<Item = &'a ActorView> {
    view.actors.iter().filter(|actor| {
        matches!(actor.place, Place::Fcfs | Place::Drr)
            && actor.pin != Pin::Packet
            && !actor.in_transition
            && downs.is_over(actor.actor, view.now)
    })
}

/// The worker for an actor: where its neighbour in the chain is, or the least used.
fn worker_for(view: &View<'_>, actor: &ActorView) -> Option<u16> {
    let near = actor.near.filter(|worker| {
        let worker = view.workers.get(usize::from(*worker));
        worker.is_some_and(|w| w.alive && w.utilisation + actor.load() <= NEAR_LIMIT)
    });
    let alive = view.workers.iter().enumerate().filter(|(_, w)| w.alive);
    let least = alive.min_by(|(_, a), (_, b)| a.utilisation.total_cmp(&b.utilisation));
    near.or(least.map(|(index, _)| index as u16))
}

fn push(view: &View<'_>, actor: &ActorView, rule: Rule, values: [f64; 2]) -> Option<Decision> {
    let [measured, limit] = values;
    Some(Decision {
        action: Action::Push {
            actor: actor.actor,
            worker: worker_for(view, actor)?,
        },
        rule,
        measured,
        limit,
    })
}

/// Pushes the actor that uses most of the packet cores, for a rule that names no actor.
pub(super) fn push_heaviest(
    view: &View<'_>,
    downs: &CoolDowns,
    rule: Rule,
    values: [f64; 2],
) -> Option<Decision> {
    let works = |actor: &&ActorView| actor.load() > 0.0;
    let heaviest = can_go(view, downs)
        .filter(works)
        .max_by(|a, b| a.load().total_cmp(&b.load()))?;
    push(view, heaviest, rule, values)
}

/// An actor under round robin cannot keep up with its mailbox.
pub(super) fn by_mailbox(
    view: &View<'_>,
    settings: &Settings,
    downs: &CoolDowns,
) -> Option<Decision> {
    let limit = |actor: &ActorView| settings.mailbox_share * f64::from(actor.mailbox);
    let fullest = can_go(view, downs)
        .filter(|actor| actor.place == Place::Drr && f64::from(actor.waiting) > limit(actor))
        .max_by_key(|actor| actor.waiting)?;
    let values = [f64::from(fullest.waiting), limit(fullest)];
    push(view, fullest, Rule::Mailbox, values)
}

/// The packet cores are too slow in the mean.
pub(super) fn by_mean(
    view: &View<'_>,
    thresholds: &Thresholds,
    downs: &CoolDowns,
) -> Option<Decision> {
    let values = [view.latency.mean, thresholds.mean_ns];
    let over = view.latency.samples > 0 && values[0] > values[1];
    over.then(|| push_heaviest(view, downs, Rule::Mean, values))?
}

/// There is room on the packet cores for the lightest actor of the workers.
pub(super) fn pull(
    view: &View<'_>,
    settings: &Settings,
    thresholds: &Thresholds,
    downs: &CoolDowns,
) -> Option<Decision> {
    let low = (1.0 - settings.hysteresis) * thresholds.mean_ns;
    if view.latency.mean >= low || view.fcfs.cores == 0 {
        return None;
    }
    let lightest = view
        .actors
        .iter()
        .filter(|actor| {
            matches!(actor.place, Place::Worker(_))
                && actor.pin != Pin::Worker
                && !actor.in_transition
                && downs.is_over(actor.actor, view.now)
        })
        .min_by(|a, b| a.load().total_cmp(&b.load()))?;
    let predicted = view.fcfs.utilisation + lightest.load() / f64::from(view.fcfs.cores);
    // One that runs on one core at a time has no more than that, however many are idle.
    let alone = if lightest.exclusive {
        lightest.load()
    } else {
        0.0
    };
    let predicted = predicted.max(alone);
    (predicted < settings.pull_headroom).then_some(Decision {
        action: Action::Pull {
            actor: lightest.actor,
        },
        rule: Rule::MeanLow,
        measured: view.latency.mean,
        limit: low,
    })
}
