//! Waiting for something to become true, with a limit and a name for the failure.

use std::thread;
use std::time::{Duration, Instant};

/// Polls `probe` every few milliseconds until it gives something.
///
/// # Errors
/// A sentence that names `what`, after `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            return Err(format!("{what}: not within {limit:?}"));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_or_the_name_of_what_did_not_come() {
        let mut calls = 0;
        let value = wait_for("three", Duration::from_secs(5), || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!(value, Ok(3));
        let error = wait_for("a pig that flies", Duration::from_millis(5), || None::<()>);
        assert!(error.unwrap_err().starts_with("a pig that flies"));
    }
}
