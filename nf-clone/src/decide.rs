//! Where a request goes: to one server, or to two.

/// What decides besides the state of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Clone when both candidates are idle.
    pub clones: bool,
    /// Clone whatever the candidates' state is.
    pub always: bool,
    /// Where a request is not cloned, it goes to the candidate with the shorter queue (RackSched).
    pub shortest_queue: bool,
    /// A server with at most so many waiting requests is idle.
    pub idle_threshold: u16,
}

/// What is known of the two candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loads {
    /// Waiting requests of the first.
    pub first: u16,
    /// Waiting requests of the second.
    pub second: u16,
    /// How much the first can take, relative to others; 1 if nobody said.
    pub first_weight: u16,
    /// How much the second can take.
    pub second_weight: u16,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// To the first candidate.
    First,
    /// To the second, whose queue is shorter.
    Second,
    /// To both.
    Both,
}

/// Decides on a request. `may_clone` says that nothing else forbids it: the request allows it, there are
/// two different live candidates. `probe` is asked when the second candidate would be taken for its shorter
/// queue; when it says so, the first is taken all the same, so that one believed busy is heard of again.
#[inline(always)]
pub fn choose(
    policy: &Policy,
    loads: &Loads,
    may_clone: bool,
    has_second: bool,
    probe: impl FnOnce() -> bool,
) -> Choice {
    let idle = |load: u16| load <= policy.idle_threshold;
    let wants = policy.always || (policy.clones && idle(loads.first) && idle(loads.second));
    if may_clone && wants {
        return Choice::Both;
    }
    if policy.shortest_queue && has_second && loads.second_is_shorter() && !probe() {
        return Choice::Second;
    }
    Choice::First
}

impl Loads {
    /// Strictly shorter, by weight: of equals, the first is taken.
    #[inline(always)]
    fn second_is_shorter(&self) -> bool {
        u32::from(self.first) * u32::from(self.second_weight)
            > u32::from(self.second) * u32::from(self.first_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETCLONE: Policy = Policy {
        clones: true,
        always: false,
        shortest_queue: false,
        idle_threshold: 0,
    };
    const WITH_QUEUES: Policy = Policy {
        shortest_queue: true,
        ..NETCLONE
    };
    const RACKSCHED: Policy = Policy {
        clones: false,
        ..WITH_QUEUES
    };

    fn loads(first: u16, second: u16) -> Loads {
        Loads {
            first,
            second,
            first_weight: 1,
            second_weight: 1,
        }
    }

    fn chosen(policy: &Policy, first: u16, second: u16) -> Choice {
        choose(policy, &loads(first, second), true, true, || false)
    }

    #[test]
    fn f04_clones_only_when_both_candidates_are_idle() {
        for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0xfffe), (5, 3)] {
            for may_clone in [false, true] {
                let choice = choose(&NETCLONE, &loads(first, second), may_clone, true, || false);
                let both = may_clone && first == 0 && second == 0;
                assert_eq!(choice == Choice::Both, both, "{first} {second} {may_clone}");
                assert_ne!(choice, Choice::Second, "only queues lead to the second");
            }
        }
    }

    #[test]
    fn f13_the_shorter_queue_and_of_equals_the_first() {
        for first in 0..6 {
            for second in 0..6 {
                let shorter = match first > second {
                    true => Choice::Second,
                    false => Choice::First,
                };
                assert_eq!(chosen(&RACKSCHED, first, second), shorter);
                let both = first == 0 && second == 0;
                let expected = if both { Choice::Both } else { shorter };
                assert_eq!(chosen(&WITH_QUEUES, first, second), expected);
            }
        }
    }

    #[test]
    fn f13_a_probe_hears_of_a_server_believed_busy() {
        let probed = choose(&RACKSCHED, &loads(9, 0), true, true, || true);
        assert_eq!(probed, Choice::First);
    }

    #[test]
    fn without_a_second_candidate_there_is_the_first() {
        let alone = choose(&WITH_QUEUES, &loads(9, 0), false, false, || false);
        assert_eq!(alone, Choice::First);
    }

    #[test]
    fn f25_always_and_never() {
        let always = Policy {
            always: true,
            ..NETCLONE
        };
        let random = Policy {
            clones: false,
            ..NETCLONE
        };
        assert_eq!(chosen(&always, 7, 9), Choice::Both);
        assert_eq!(chosen(&random, 0, 0), Choice::First);
        assert_eq!(chosen(&random, 9, 0), Choice::First);
    }

    #[test]
    fn weights_scale_queues() {
        // 10 waiting for a server of weight 2 are fewer than 6 for one of weight 1.
        let weighted = Loads {
            first: 6,
            second: 10,
            first_weight: 1,
            second_weight: 2,
        };
        assert_eq!(
            choose(&RACKSCHED, &weighted, true, true, || false),
            Choice::Second
        );
    }

    #[test]
    fn the_threshold_says_what_is_idle() {
        let relaxed = Policy {
            idle_threshold: 2,
            ..NETCLONE
        };
        assert_eq!(chosen(&relaxed, 2, 1), Choice::Both);
        assert_eq!(chosen(&relaxed, 3, 0), Choice::First);
    }

    #[test]
    fn the_worked_example_of_the_paper() {
        // NetClone 3.3: server 2 is busy. Group (3, 1) is cloned; group (3, 2) is not, and goes to 3.
        let load = |server: u16| u16::from(server == 2);
        let of = |first, second| chosen(&NETCLONE, load(first), load(second));
        assert_eq!(of(3, 1), Choice::Both);
        assert_eq!(of(3, 2), Choice::First);
    }
}
