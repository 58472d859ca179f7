//! What comes in: classes of messages, how long each takes, and which actors get them.

use workload::random::Random;

/// How long a message takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Service {
    /// Always the same, microseconds.
    Fixed(f64),
    /// Exponentially distributed with this mean, microseconds.
    Exponential(f64),
}

impl Service {
    /// The mean, microseconds.
    pub fn mean_us(self) -> f64 {
        match self {
            Service::Fixed(us) | Service::Exponential(us) => us,
        }
    }

    /// The time of one message, nanoseconds; at least one.
    pub fn draw(self, random: &mut Random) -> u64 {
        let us = match self {
            Service::Fixed(us) => us,
            Service::Exponential(mean) => mean * random.exponential(),
        };
        ((us * 1e3).round() as u64).max(1)
    }
}

/// Messages of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Class {
    /// What it is called.
    pub name: &'static str,
    /// Its share of all messages.
    pub share: f64,
    /// How long one takes.
    pub service: Service,
    /// Actors that get this class and no other, if each has one class.
    pub actors: usize,
}

impl Class {
    /// A class with a fixed time, for one actor.
    pub const fn fixed(name: &'static str, share: f64, us: f64) -> Class {
        Class {
            name,
            share,
            service: Service::Fixed(us),
            actors: 1,
        }
    }
}

/// Which actors get which classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Each actor gets one class.
    PerActor,
    /// Each actor gets all of them.
    Mixed,
}

/// Classes and actors.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// Its classes, the short one first.
    pub classes: Vec<Class>,
    /// Who gets them.
    pub mapping: Mapping,
}

impl Workload {
    /// With one class for each actor.
    pub fn per_actor(name: &'static str, classes: &[Class]) -> Workload {
        Workload {
            name,
            classes: classes.to_vec(),
            mapping: Mapping::PerActor,
        }
    }

    /// The same with all classes at each actor.
    #[must_use]
    pub fn mixed(self) -> Workload {
        Workload {
            mapping: Mapping::Mixed,
            ..self
        }
    }

    /// Two classes of fixed times, each of an actor of its own.
    pub fn two(name: &'static str, long_share: f64, [short, long]: [f64; 2]) -> Workload {
        let classes = [
            Class::fixed("short", 1.0 - long_share, short),
            Class::fixed("long", long_share, long),
        ];
        Workload::per_actor(name, &classes)
    }

    /// Four actors whose times are exponentially distributed, with a mean of 32 µs.
    pub fn alike() -> Workload {
        let class = Class {
            name: "all",
            share: 1.0,
            service: Service::Exponential(32.0),
            actors: 4,
        };
        Workload::per_actor("4 actors, Exp(32 us)", &[class])
    }

    /// Mean time of a message, microseconds.
    pub fn mean_us(&self) -> f64 {
        let part = |class: &Class| class.share * class.service.mean_us();
        self.classes.iter().map(part).sum()
    }

    /// How many actors there are.
    pub fn actors(&self) -> usize {
        self.classes.iter().map(|class| class.actors).sum()
    }

    /// The actors that get a class: the first and how many.
    fn of_class(&self, class: usize) -> (usize, usize) {
        match self.mapping {
            Mapping::Mixed => (0, self.actors()),
            Mapping::PerActor => {
                let before = self.classes.iter().take(class);
                let own = self.classes.get(class).map_or(0, |class| class.actors);
                (before.map(|class| class.actors).sum(), own)
            }
        }
    }

    /// A message: its class, its actor, and how long it takes, nanoseconds.
    pub fn draw(&self, random: &mut Random) -> (usize, usize, u64) {
        let mut at = random.unit();
        let mut class = 0;
        for (n, one) in self.classes.iter().enumerate() {
            class = n;
            at -= one.share;
            if at <= 0.0 {
                break;
            }
        }
        let (first, count) = self.of_class(class);
        let actor = first + random.below(count as u64) as usize;
        let service = self.classes.get(class).map(|class| class.service);
        let service = service.unwrap_or(Service::Fixed(0.0)).draw(random);
        (class, actor, service)
    }
}

/// The workloads of requests that schedulers of this field are compared with: those of Perséphone (Demoulin et
/// al., SOSP 2021), after its public experiments.
pub fn mixes() -> Vec<Workload> {
    let fixed = Class::fixed;
    vec![
        Workload::per_actor(
            "TPC-C",
            &[
                fixed("Payment", 0.44, 5.7),
                fixed("OrderStatus", 0.04, 6.0),
                fixed("NewOrder", 0.44, 20.0),
                fixed("Delivery", 0.04, 88.0),
                fixed("StockLevel", 0.04, 100.0),
            ],
        ),
        Workload::per_actor(
            "RocksDB",
            &[fixed("GET", 0.5, 2.0), fixed("SCAN", 0.5, 1050.0)],
        ),
        Workload::two("High bimodal", 0.5, [1.0, 100.0]),
        Workload::two("90/10 bimodal", 0.1, [0.5, 5.5]),
        Workload::two("Extreme bimodal", 0.005, [0.5, 500.0]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_the_shares_and_times_of_its_classes() {
        for workload in mixes().into_iter().chain([Workload::alike()]) {
            let shares: f64 = workload.classes.iter().map(|class| class.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{}", workload.name);
            let mut random = Random::new(1, 1);
            let (mut total, mut counts) = (0.0, vec![0.0; workload.classes.len()]);
            const DRAWS: u64 = 200_000;
            for _ in 0..DRAWS {
                let (class, actor, service) = workload.draw(&mut random);
                let (first, count) = workload.of_class(class);
                assert!((first..first + count).contains(&actor));
                total += service as f64 / 1e3;
                counts[class] += 1.0;
            }
            let mean = total / DRAWS as f64;
            assert!((mean / workload.mean_us() - 1.0).abs() < 0.03, "{mean}");
            for (count, class) in counts.iter().zip(&workload.classes) {
                assert!((count / DRAWS as f64 - class.share).abs() < 0.01);
            }
        }
    }

    #[test]
    fn a_mixed_actor_gets_every_class() {
        let mixed = Workload::two("x", 0.5, [1.0, 2.0]).mixed();
        let mut random = Random::new(1, 1);
        let mut seen = [[false; 2]; 2];
        for _ in 0..1000 {
            let (class, actor, _) = mixed.draw(&mut random);
            seen[class][actor] = true;
        }
        assert_eq!(seen, [[true; 2]; 2]);
    }
}
