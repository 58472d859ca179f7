//! Time that a thread has really spent on a processor, from the scheduler's own books: the figure
//! that other work on the machine does not change.

use std::fs;

use anyhow::{Context, Result, bail};

/// A thread of another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    pid: u32,
    tid: u32,
}

impl Thread {
    /// The thread `tid` of the process `pid`.
    pub fn new(pid: u32, tid: u32) -> Thread {
        Thread { pid, tid }
    }

    /// The first thread of `pid` with one of these names (the kernel keeps 15 bytes of them).
    pub fn named(pid: u32, names: &[&str]) -> Result<Thread> {
        let mut seen = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let this = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if names.contains(&this.trim())
                && let Ok(tid) = entry.file_name().to_string_lossy().parse()
            {
                return Ok(Thread { pid, tid });
            }
            seen.push(this.trim().to_owned());
        }
        bail!(
            "process {pid} has no thread {}, only {}",
            names.join(" or "),
            seen.join(", ")
        )
    }

    /// Nanoseconds on a processor since it began.
    pub fn cpu_ns(self) -> Result<u64> {
        self.schedstat(0)
    }

    /// Nanoseconds since it began for which it wanted a processor that another thread had.
    pub fn waited_ns(self) -> Result<u64> {
        self.schedstat(1)
    }

    fn schedstat(self, field: usize) -> Result<u64> {
        let path = format!("/proc/{}/task/{}/schedstat", self.pid, self.tid);
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        text.split_whitespace()
            .nth(field)
            .and_then(|number| number.parse().ok())
            .context(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_that_works_is_charged_and_one_that_sleeps_is_not() {
        let worker = std::thread::Builder::new().name("xtask-worker".to_owned());
        let (begin, wait) = std::sync::mpsc::channel::<()>();
        let handle = worker.spawn(move || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(120) {
                std::hint::spin_loop();
            }
            let _ = wait.recv();
        });
        std::thread::sleep(Duration::from_millis(10));
        let thread = Thread::named(std::process::id(), &["xtask-worker"]).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        let used = thread.cpu_ns().unwrap();
        assert!(thread.waited_ns().is_ok());
        assert!(used > 10_000_000, "{used}");
        std::thread::sleep(Duration::from_millis(100));
        assert!(thread.cpu_ns().unwrap() - used < 20_000_000);
        drop(begin);
        handle.unwrap().join().unwrap();
        assert!(Thread::named(std::process::id(), &["no-such-thread"]).is_err());
    }
}
