//! Child processes that end with their guard and whose output is kept for the failure message.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_for;

/// A running child. Dropping it asks it to stop, and kills it after a moment.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    // Removed with the guard.
    _folder: tempfile::TempDir,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, in a process group of its own (so that Ctrl-C reaches only us, and the
    /// guards clean up), with both of its outputs going to a file; see [`Process::log`]. Its input is
    /// as `command` says.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(name: &str, command: &mut Command) -> io::Result<Process> {
        let folder = tempfile::Builder::new().prefix("testkit-").tempdir()?;
        let log = folder.path().join("log");
        let file = File::create(&log)?;
        let child = command
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file))
            .process_group(0)
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy().into_owned();
                io::Error::new(
                    error.kind(),
                    format!("`{program}` could not be started: {error}"),
                )
            })?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log,
            _folder: folder,
            status: None,
        })
    }

    /// The process id. Behind `ip netns exec` it is that of the program itself, which `ip` becomes.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The pipe to its standard input, if `command` asked for one; only once.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// All that it has written so far, to either output.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// A sentence, if it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.ended())
    }

    /// Asks it to stop with SIGTERM and waits.
    ///
    /// # Errors
    /// A sentence, if it has not ended within `limit`; it still runs then.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Kills it with SIGKILL and waits: no clean-up on its side.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
    }

    /// Waits until `text` stands in its log.
    ///
    /// # Errors
    /// A sentence with the log, if it ends before or takes longer than `limit`.
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<(), String> {
        let what = format!("`{text}` in the output of {}", self.name);
        let found = wait_for(&what, limit, || {
            if self.log().contains(text) {
                return Some(Ok(()));
            }
            self.ended()
                .map(|status| Err(format!("{} ended: {status}", self.name)))
        });
        match found {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(format!("{error}; its output:\n{}", self.log())),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() && self.terminate(Duration::from_secs(5)).is_err() {
            self.kill();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- output of {} ({:?}):", self.name, self.status);
            for line in tail.iter().rev() {
                eprintln!("    {line}");
            }
        }
    }
}

/// The program `name` of this workspace, in the folder where cargo put the running test or command.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn cargo_binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_else(|error| panic!("no path to myself: {error}"));
    // A test is in target/PROFILE/deps, a program in target/PROFILE.
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path: &PathBuf| Path::is_file(path))
        .unwrap_or_else(|| panic!("{name} is not built: run `cargo build -p {name}` first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_and_the_child_ends_with_its_guard() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exec sleep 60"]);
        let mut process = Process::spawn("sh", &mut command).unwrap();
        process.wait_for_log("err", Duration::from_secs(5)).unwrap();
        assert!(process.log().contains("out"));
        assert!(process.ended().is_none());
        let folder = PathBuf::from(format!("/proc/{}", process.pid()));
        drop(process);
        assert!(!folder.exists());
    }

    #[test]
    fn a_child_that_ends_early_is_reported_with_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo I am broken; exit 3"]);
        let mut process = Process::spawn("sh", &mut command).unwrap();
        let error = process
            .wait_for_log("ready", Duration::from_secs(5))
            .unwrap_err();
        assert!(
            error.contains("I am broken") && error.contains('3'),
            "{error}"
        );
    }
}
