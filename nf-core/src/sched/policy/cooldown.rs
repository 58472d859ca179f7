//! How long an actor stays where it was moved to.

use std::collections::HashMap;

use super::settings::Settings;

const MS: u64 = 1_000_000;

/// So many cool-downs after a move, the move back no longer counts as bouncing.
const FORGOTTEN_AFTER: u64 = 3;

/// Which way an actor went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToWorker,
    ToPacket,
}

#[derive(Debug, Clone, Copy)]
struct Moved {
    way: Way,
    at: u64,
    length: u64,
}

/// The cool-downs of all actors.
#[derive(Debug, Default)]
pub(super) struct CoolDowns(HashMap<u16, Moved>);

impl CoolDowns {
    /// Whether the actor may be moved.
    pub fn is_over(&self, actor: u16, now: u64) -> bool {
        let moved = self.0.get(&actor);
        moved.is_none_or(|moved| now >= moved.at.saturating_add(moved.length))
    }

    /// The actor is moved now.
    pub fn moved(&mut self, actor: u16, way: Way, now: u64, settings: &Settings) {
        let shortest = settings.cool_down_ms * MS;
        let longest = (settings.cool_down_at_most_ms * MS).max(shortest);
        let bounces = |last: &&Moved| {
            last.way != way && now.saturating_sub(last.at) < last.length * FORGOTTEN_AFTER
        };
        let last = self.0.get(&actor).filter(bounces);
        let length = last.map_or(shortest, |last| last.length.saturating_mul(2).min(longest));
        let at = now;
        self.0.insert(actor, Moved { way, at, length });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip18_an_actor_that_bounces_stays_longer_each_time() {
        let settings = Settings::default();
        let mut downs = CoolDowns::default();
        let (mut now, mut lengths) = (0, Vec::new());
        for n in 0..10 {
            assert!(downs.is_over(7, now));
            let way = [Way::ToWorker, Way::ToPacket][n % 2];
            downs.moved(7, way, now, &settings);
            let began = now;
            while !downs.is_over(7, now) {
                now += MS;
            }
            lengths.push((now - began) / MS);
        }
        assert_eq!(
            lengths,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
        );
        // Long afterwards it counts as new.
        now += 40_000 * MS;
        downs.moved(7, Way::ToWorker, now, &settings);
        assert!(downs.is_over(7, now + 100 * MS));
        assert!(downs.is_over(8, now), "others are free");
    }
}
