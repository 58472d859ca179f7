//! One turn of managing.

use super::cooldown::{CoolDowns, Way};
use super::decision::{Action, Decision, Rule};
use super::overload::Overload;
use super::settings::{Settings, Thresholds};
use super::view::{ActorView, View};
use super::{groups, side};

const MS: u64 = 1_000_000;

/// Who is moved when. See the [module](super).
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    thresholds: Thresholds,
    /// When the last move between groups or sides was decided.
    judged_since: Option<u64>,
    core_moved: Option<u64>,
    downs: CoolDowns,
    overload: Overload,
    alarmed: Vec<u16>,
    standing: Option<groups::Standing>,
}

impl Policy {
    /// A policy that has decided nothing yet.
    pub fn new(settings: Settings, thresholds: Thresholds) -> Policy {
        Policy {
            settings,
            thresholds,
            judged_since: None,
            core_moved: None,
            downs: CoolDowns::default(),
            overload: Overload::default(),
            alarmed: Vec::new(),
            standing: None,
        }
    }

    /// The parameters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The thresholds.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Other parameters from now on. What is being damped stays damped.
    pub fn set(&mut self, settings: Settings, thresholds: Thresholds) {
        self.settings = settings;
        self.thresholds = thresholds;
    }

    /// Decides. At most one actor changes groups, one changes sides, and one core changes groups in a
    /// step; after a decision that [resets latency](Decision::resets_latency), the next view's latency must
    /// count only what came after it.
    pub fn step(&mut self, view: &View<'_>) -> Vec<Decision> {
        let mut decisions = self.alarms(view);
        let judged = self.may_judge(view);
        let regroup = (judged && self.settings.grouping)
            .then(|| groups::by_tail(view, &self.settings, &self.thresholds, &mut self.standing))
            .flatten();
        let migration = self.migration(view, judged && regroup.is_none());
        for decision in regroup.into_iter().chain(migration) {
            self.judged_since = Some(view.now);
            decisions.push(decision);
        }
        decisions.extend(self.scaling(view));
        decisions
    }

    /// Enough has been seen since the last move.
    fn may_judge(&mut self, view: &View<'_>) -> bool {
        let since = *self.judged_since.get_or_insert(view.now);
        let past = view.now.saturating_sub(since);
        let settings = &self.settings;
        let seen = view.latency.samples >= settings.hold_off_samples;
        (seen && past >= settings.hold_off_ms * MS) || past >= settings.hold_off_at_most_ms * MS
    }

    /// A request of a full mailbox comes first, then latency, then overload, then room.
    fn migration(&mut self, view: &View<'_>, judged: bool) -> Option<Decision> {
        let settings = &self.settings;
        let overload = self.overload.look(view, settings, &self.thresholds);
        if !settings.migration || view.migrating || !view.workers.iter().any(|w| w.alive) {
            return None;
        }
        let downs = &self.downs;
        let by_mean = || judged.then(|| side::by_mean(view, &self.thresholds, downs))?;
        let by_overload = || {
            let (rule, values) = overload?;
            side::push_heaviest(view, downs, rule, values)
        };
        let pull = || judged.then(|| side::pull(view, settings, &self.thresholds, downs))?;
        let decision = side::by_mailbox(view, settings, downs)
            .or_else(by_mean)
            .or_else(by_overload)
            .or_else(pull)?;
        let (actor, way) = match decision.action {
            Action::Push { actor, .. } => (actor, Way::ToWorker),
            Action::Pull { actor } => (actor, Way::ToPacket),
            _ => return None,
        };
        self.downs.moved(actor, way, view.now, &self.settings);
        self.overload.served();
        Some(decision)
    }

    fn scaling(&mut self, view: &View<'_>) -> Option<Decision> {
        let period = self.settings.scaling_period_ms * MS;
        let recent = |at: u64| view.now.saturating_sub(at) < period;
        if self.core_moved.is_some_and(recent) {
            return None;
        }
        let decision = groups::cores(view, &self.settings)?;
        self.core_moved = Some(view.now);
        Some(decision)
    }

    /// Actors that one core cannot carry, each told once until it is better.
    fn alarms(&mut self, view: &View<'_>) -> Vec<Decision> {
        let limit = self.settings.one_core_alarm;
        let known = std::mem::take(&mut self.alarmed);
        let better = (1.0 - self.settings.hysteresis) * limit;
        let over = |actor: &&ActorView| {
            let limit = if known.contains(&actor.actor) {
                better
            } else {
                limit
            };
            actor.exclusive && actor.load() > limit
        };
        let all: Vec<&ActorView> = view.actors.iter().filter(over).collect();
        self.alarmed = all.iter().map(|actor| actor.actor).collect();
        let new = all.iter().filter(|actor| !known.contains(&actor.actor));
        new.map(|actor| Decision {
            action: Action::Alarm { actor: actor.actor },
            rule: Rule::OneCore,
            measured: actor.load(),
            limit,
        })
        .collect()
    }
}
