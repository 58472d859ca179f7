//! How much of its time a core, or a group of cores, has worked.

/// The share of time that was spent working, over windows, smoothed.
///
/// A core that polls is always busy for the operating system; only turns that did something count.
#[derive(Debug, Clone, Copy)]
pub struct Utilisation {
    window_ns: u64,
    began: Option<(u64, u64)>,
    share: f64,
    windows: u64,
}

/// What a new window weighs.
const WEIGHT: f64 = 0.25;

impl Utilisation {
    /// Over windows of `window_ns` nanoseconds.
    pub fn new(window_ns: u64) -> Utilisation {
        Utilisation {
            window_ns: window_ns.max(1),
            began: None,
            share: 0.0,
            windows: 0,
        }
    }

    /// At `now`, `busy_ns` nanoseconds of work have been done in all. Both only grow.
    pub fn sample(&mut self, now: u64, busy_ns: u64) {
        let Some((at, busy)) = self.began else {
            self.began = Some((now, busy_ns));
            return;
        };
        let past = now.saturating_sub(at);
        if past < self.window_ns {
            return;
        }
        let share = (busy_ns.saturating_sub(busy) as f64 / past as f64).min(1.0);
        self.windows += 1;
        let weight = WEIGHT.max(1.0 / self.windows as f64);
        self.share += weight * (share - self.share);
        self.began = Some((now, busy_ns));
    }

    /// The share, 0 to 1.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Forgets what was: the core does something else from now on.
    pub fn reset(&mut self) {
        *self = Utilisation::new(self.window_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_windows_count() {
        let mut use_of_core = Utilisation::new(1000);
        use_of_core.sample(0, 0);
        use_of_core.sample(999, 999);
        assert_eq!(use_of_core.share(), 0.0);
        use_of_core.sample(1000, 500);
        assert_eq!(use_of_core.share(), 0.5);
    }

    #[test]
    fn it_follows_a_change_within_some_windows() {
        let mut use_of_core = Utilisation::new(1000);
        let mut busy = 0;
        for window in 0..40u64 {
            use_of_core.sample(window * 1000, busy);
            busy += if window < 20 { 0 } else { 1000 };
            if window == 20 {
                assert_eq!(use_of_core.share(), 0.0);
            }
        }
        assert!(use_of_core.share() > 0.98, "{}", use_of_core.share());
        use_of_core.reset();
        assert_eq!(use_of_core.share(), 0.0);
    }
}
