//! The credit of one actor.

/// How far a message that took longer than expected can put an actor into debt, in quanta.
const DEEPEST_DEBT: f64 = 8.0;

/// What an actor may use of the processor before it is another's turn, in nanoseconds.
///
/// The listing in iPipe adds to the deficit and never takes from it, which makes the discipline plain
/// round robin, by messages and not by time: short actors lose what they were to gain. Here a message
/// costs its expected time when it is taken, and what it took in truth is settled afterwards.
/// Touched only by the core that holds the actor's turn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Account {
    deficit: f64,
}

impl Account {
    /// A turn begins, with messages waiting: a quantum is added, up to what lets one message run and
    /// keeps one quantum besides. An actor that has nothing to do earns nothing.
    #[inline]
    pub fn begin_turn(&mut self, quantum: f64, expected: f64) {
        let most = (2.0 * quantum).max(expected + quantum);
        self.deficit = (self.deficit + quantum).min(most);
    }

    /// Whether the next message, expected to take that long, may run in this turn.
    #[inline]
    pub fn affords(&self, expected: f64) -> bool {
        self.deficit > expected
    }

    /// A message is taken, and paid for as expected.
    #[inline]
    pub fn charge(&mut self, expected: f64) {
        self.deficit -= expected;
    }

    /// It took that long in truth. Debt is limited, so that one outlier does not lock its actor out for
    /// ever.
    #[inline]
    pub fn settle(&mut self, expected: f64, actual: f64, quantum: f64) {
        let deficit = self.deficit - (actual - expected);
        self.deficit = deficit.max(-DEEPEST_DEBT * quantum);
    }

    /// Nothing waits any more: credit and debt lapse.
    #[inline]
    pub fn lapse(&mut self) {
        self.deficit = 0.0;
    }

    /// What is left, nanoseconds; negative for debt.
    pub fn deficit(&self) -> f64 {
        self.deficit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip20_credit_is_spent_capped_and_lapses() {
        let mut account = Account::default();
        account.begin_turn(100.0, 10.0);
        account.charge(10.0);
        assert_eq!(account.deficit(), 90.0);
        for _ in 0..100 {
            account.begin_turn(100.0, 10.0);
        }
        assert_eq!(account.deficit(), 200.0, "two quanta for a cheap actor");
        for _ in 0..100 {
            account.begin_turn(100.0, 1000.0);
        }
        assert_eq!(
            account.deficit(),
            1100.0,
            "a message and a quantum for a dear one"
        );
        account.lapse();
        assert_eq!(account.deficit(), 0.0);
    }

    #[test]
    fn ip21_a_dear_actor_waits_for_as_many_rounds_as_it_costs_quanta() {
        let (quantum, expected) = (100.0, 1000.0);
        let mut account = Account::default();
        let mut ran = Vec::new();
        for round in 0..1000 {
            account.begin_turn(quantum, expected);
            if account.affords(expected) {
                account.charge(expected);
                account.settle(expected, expected, quantum);
                ran.push(round);
            }
        }
        let apart = ran.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.clone().all(|rounds| rounds == 10), "{ran:?}");
    }

    #[test]
    fn a_wrong_expectation_is_settled_and_debt_has_an_end() {
        let mut account = Account::default();
        account.begin_turn(100.0, 10.0);
        account.charge(10.0);
        account.settle(10.0, 50.0, 100.0);
        assert_eq!(account.deficit(), 50.0);
        account.charge(10.0);
        account.settle(10.0, 1e9, 100.0);
        assert_eq!(account.deficit(), -800.0);
        account.lapse();
        assert_eq!(account.deficit(), 0.0);
    }

    /// Two actors that always have something to do share the time as their quanta say.
    #[test]
    fn ip19_shares_of_time_are_those_of_the_quanta() {
        for (cost, quantum) in [
            ([7.0, 130.0], [50.0, 50.0]),
            ([20.0, 20.0], [30.0, 90.0]),
            ([400.0, 3.0], [25.0, 100.0]),
        ] {
            let mut accounts = [Account::default(); 2];
            let mut spent = [0.0; 2];
            for _ in 0..200_000 {
                for actor in 0..2 {
                    accounts[actor].begin_turn(quantum[actor], cost[actor]);
                    while accounts[actor].affords(cost[actor]) {
                        accounts[actor].charge(cost[actor]);
                        accounts[actor].settle(cost[actor], cost[actor], quantum[actor]);
                        spent[actor] += cost[actor];
                    }
                }
            }
            let share = spent[0] / (spent[0] + spent[1]);
            let due = quantum[0] / (quantum[0] + quantum[1]);
            assert!((share - due).abs() < 0.05 * due, "{share} of {due}");
        }
    }
}
