//! Between first come, first served and round robin: actors by the tail, cores by their use.

use super::decision::{Action, Decision, Rule};
use super::settings::{Settings, Thresholds};
use super::view::{ActorView, Place, View};

/// Messages that an actor must have handled before others are compared with it: its estimates still
/// jump before.
const JUDGED_AFTER: u64 = 64;

/// Messages that an actor must handle while it stands out by the spread of its service times, to be believed: rare
/// long ones come to every actor that has them at some time, and say nothing of it alone.
const BELIEVED_AFTER: u64 = 16_384;

/// Messages after which an actor whose mean stands out is believed at once.
const MEAN_AFTER: u64 = 8;

/// As many samples an estimate remembers, at most: 2/w - 1 for a weight w of 1/64.
const REMEMBERED: u64 = 127;

/// Since when the actor stands out that does so most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    actor: u16,
    /// Messages that it had handled then.
    since: u64,
}

/// The actor whose service time stands out goes to round robin when the tail is too long, and the one
/// that stands out least comes back when it is short.
pub(super) fn by_tail(
    view: &View<'_>,
    settings: &Settings,
    thresholds: &Thresholds,
    standing: &mut Option<Standing>,
) -> Option<Decision> {
    let tail = view.latency.tail();
    let low = (1.0 - settings.hysteresis) * thresholds.tail_ns;
    if view.latency.samples > 0 && tail > thresholds.tail_ns {
        let actor = stands_out(view, settings, standing)?;
        return Some(Decision {
            action: Action::Downgrade { actor },
            rule: Rule::Tail,
            measured: tail,
            limit: thresholds.tail_ns,
        });
    }
    if tail < low {
        let actor = fits_in(view, settings)?;
        return Some(Decision {
            action: Action::Upgrade { actor },
            rule: Rule::TailLow,
            measured: tail,
            limit: low,
        });
    }
    None
}

fn of_group<'a>(view: &'a View<'a>, place: Place) -> impl Iterator<Item = &'a ActorView> {
    let here = move |actor: &&ActorView| actor.place == place && !actor.in_transition;
    view.actors.iter().filter(here)
}

/// Actors that are alike stand out from each other by chance, too, if they are looked at often enough: then not
/// for long, and not by much.
fn stands_out(
    view: &View<'_>,
    settings: &Settings,
    standing: &mut Option<Standing>,
) -> Option<u16> {
    let before = standing.take();
    let measured = of_group(view, Place::Fcfs).filter(|actor| actor.service.samples > 0);
    let victim = measured.max_by(|a, b| a.dispersion().total_cmp(&b.dispersion()))?;
    let others = of_group(view, Place::Fcfs)
        .filter(|other| other.actor != victim.actor && other.service.samples >= JUDGED_AFTER);
    let least = others.map(ActorView::dispersion).min_by(f64::total_cmp)?;
    let limit = settings.stand_out * least;
    if victim.dispersion() <= limit {
        return None;
    }
    let seen = victim.service.samples;
    let new = Standing {
        actor: victim.actor,
        since: seen,
    };
    let now = before.filter(|before| before.actor == victim.actor);
    let now = now.unwrap_or(new);
    *standing = Some(now);
    // The mean, with three times the error that it may have.
    let error = victim.service.deviation / (seen.clamp(1, REMEMBERED) as f64).sqrt();
    let by_mean = seen >= MEAN_AFTER && victim.service.mean - 3.0 * error > limit;
    (by_mean || seen.saturating_sub(now.since) >= BELIEVED_AFTER).then_some(victim.actor)
}

fn fits_in(view: &View<'_>, settings: &Settings) -> Option<u16> {
    let back =
        of_group(view, Place::Drr).min_by(|a, b| a.dispersion().total_cmp(&b.dispersion()))?;
    let most = of_group(view, Place::Fcfs)
        .filter(|actor| actor.service.samples > 0)
        .map(ActorView::dispersion)
        .max_by(f64::total_cmp);
    let fits = most.is_none_or(|most| back.dispersion() <= settings.stand_out * most);
    fits.then_some(back.actor)
}

/// Whether a core is to change groups.
pub(super) fn cores(view: &View<'_>, settings: &Settings) -> Option<Decision> {
    let (fcfs, drr) = (view.fcfs, view.drr);
    let wanted = view
        .actors
        .iter()
        .filter(|actor| actor.place == Place::Drr)
        .count();
    // Could all but one of its cores carry what a group has to do? Never true for the last one.
    let spares = |cores: u32| (f64::from(cores) - 1.0) / f64::from(cores.max(1));
    let decide = |action, rule, measured, limit| {
        Some(Decision {
            action,
            rule,
            measured,
            limit,
        })
    };
    if wanted > 0 && drr.cores == 0 {
        return match fcfs.cores > 1 {
            true => decide(Action::CoreToDrr, Rule::FirstDrrCore, 0.0, 1.0),
            false => None, // the only core does both in turn
        };
    }
    if wanted == 0 && drr.cores > 0 {
        return decide(Action::CoreToFcfs, Rule::NoDrrActor, 0.0, 1.0);
    }
    let full = settings.group_full;
    if drr.cores > 0 && drr.utilisation >= full && fcfs.utilisation < spares(fcfs.cores) {
        return decide(Action::CoreToDrr, Rule::GroupFull, drr.utilisation, full);
    }
    if fcfs.utilisation >= full && drr.cores > 0 && drr.utilisation < spares(drr.cores) {
        return decide(Action::CoreToFcfs, Rule::GroupFull, fcfs.utilisation, full);
    }
    None
}
