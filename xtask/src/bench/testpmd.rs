//! `dpdk-testpmd`, DPDK's own forwarder, which we are measured against.

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use testkit::{Netns, Process, wait_for};

use super::cpu::Thread;
use super::{MAIN_CORE, PACKET_CORE, Rate, WARM_UP, favour};

/// How to start it.
#[derive(Debug, Clone)]
pub struct Testpmd {
    /// `--vdev` arguments, one a port.
    pub vdevs: Vec<String>,
    /// `--forward-mode`.
    pub mode: &'static str,
    /// What starts the forwarding: `start`, or `start tx_first N` to seed rings.
    pub start: String,
    /// More arguments for DPDK.
    pub eal: Vec<String>,
    /// More arguments after `--`.
    pub args: Vec<String>,
    /// The processor of its forwarding thread.
    pub core: usize,
}

impl Testpmd {
    /// Two ports, one forwarding core, the same pool, descriptors and burst as ours.
    pub fn new(vdevs: &[&str], mode: &'static str) -> Testpmd {
        Testpmd {
            vdevs: vdevs.iter().map(|vdev| (*vdev).to_owned()).collect(),
            mode,
            start: "start".to_owned(),
            eal: Vec::new(),
            args: Vec::new(),
            core: PACKET_CORE,
        }
    }

    /// Starts it, by default outside of any namespace, and waits until it forwards.
    pub fn spawn(&self, netns: Option<&Netns>) -> Result<Running> {
        // Line-buffered, because its answers go to a file.
        let mut command = netns.map_or_else(|| Command::new("env"), |netns| netns.command("env"));
        command
            .args(favour())
            .args(["stdbuf", "-oL", "dpdk-testpmd", "-l"]);
        command.arg(format!("{MAIN_CORE},{PACKET_CORE}"));
        // Its main thread does not forward; it reads our commands.
        let main = if self.core == MAIN_CORE {
            PACKET_CORE
        } else {
            MAIN_CORE
        };
        command.args(["--main-lcore", &main.to_string()]);
        command.args([
            "--in-memory",
            "--no-pci",
            "--iova-mode=va",
            "--no-telemetry",
        ]);
        command.args(&self.eal);
        for vdev in &self.vdevs {
            command.args(["--vdev", vdev]);
        }
        command.args([
            "--",
            "-i",
            "--nb-cores=1",
            "--burst=32",
            "--rxd=1024",
            "--txd=1024",
        ]);
        command.args(["--total-num-mbufs=16384", "--mbcache=256"]);
        command
            .arg(format!("--forward-mode={}", self.mode))
            .args(&self.args);
        command.stdin(Stdio::piped());
        let mut process = Process::spawn("dpdk-testpmd", &mut command)?;
        let stdin = process.stdin().context("testpmd has no standard input")?;
        let mut running = Running {
            process,
            stdin,
            core: self.core,
        };
        running.wait_for("testpmd> ")?;
        running.tell(&self.start)?;
        running.wait_for("packet forwarding")?;
        Ok(running)
    }

    /// Starts it, watches it for `window`, stops it.
    pub fn measure(&self, window: Duration) -> Result<Rate> {
        let mut running = self.spawn(None)?;
        running.rate(window)
    }
}

/// A testpmd that forwards.
#[derive(Debug)]
pub struct Running {
    process: Process,
    stdin: ChildStdin,
    core: usize,
}

/// A port's packets since it came up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

impl Running {
    fn tell(&mut self, line: &str) -> Result<()> {
        writeln!(self.stdin, "{line}").with_context(|| {
            format!(
                "testpmd no longer listens; its output:\n{}",
                self.process.log()
            )
        })
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        self.process
            .wait_for_log(text, Duration::from_secs(20))
            .map_err(|error| anyhow!(error))
    }

    /// Asks for the counters of one port.
    pub fn port_counts(&mut self, port: usize) -> Result<Counts> {
        let counts = self.counts()?;
        counts
            .get(port)
            .copied()
            .with_context(|| format!("testpmd has no port {port}"))
    }

    /// Asks for the counters of all ports.
    pub fn counts(&mut self) -> Result<Vec<Counts>> {
        let before = self.process.log().len();
        self.tell("show port stats all")?;
        wait_for("testpmd's statistics", Duration::from_secs(5), || {
            let log = self.process.log();
            let answer = log.get(before..)?;
            // The prompt comes after the last port.
            let end = answer.rfind("testpmd> ")?;
            parse_counts(&answer[..end])
        })
        .map_err(|error| anyhow!(error))
    }

    /// What all ports together have sent.
    fn sent(&mut self) -> Result<u64> {
        Ok(self.counts()?.iter().map(|counts| counts.sent).sum())
    }

    /// The thread that forwards. Releases of DPDK name it differently.
    pub fn thread(&self) -> Result<Thread> {
        let names = ["rte-worker", "lcore-worker", "dpdk-worker"];
        let names = names.map(|name| format!("{name}-{}", self.core));
        Thread::named(self.process.pid(), &names.each_ref().map(String::as_str))
    }

    /// How fast it sends, over `window`.
    pub fn rate(&mut self, window: Duration) -> Result<Rate> {
        let thread = self.thread()?;
        thread::sleep(WARM_UP);
        let (start, cpu, first) = (Instant::now(), thread.cpu_ns()?, self.sent()?);
        thread::sleep(window);
        // In the same order, so that what the asking costs is the same at both ends.
        let (wall, cpu_end, last) = (start.elapsed(), thread.cpu_ns()?, self.sent()?);
        Rate::new(last - first, cpu_end - cpu, wall)
    }
}

fn parse_counts(answer: &str) -> Option<Vec<Counts>> {
    let mut ports: Vec<Counts> = Vec::new();
    for line in answer.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("RX-packets:") => {
                ports.push(Counts {
                    received: words.next()?.parse().ok()?,
                    sent: 0,
                });
            }
            Some("TX-packets:") => ports.last_mut()?.sent = words.next()?.parse().ok()?,
            _ => {}
        }
    }
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_each_port() {
        let answer = "show port stats all\n\n  ### NIC statistics for port 0  ###\n\
            \x20 RX-packets: 10 RX-missed: 0          RX-bytes:  0\n  RX-errors: 0\n\
            \x20 TX-packets: 11 TX-errors: 0          TX-bytes:  0\n\
            \x20 RX-packets: 20 RX-missed: 0          RX-bytes:  0\n\
            \x20 TX-packets: 22 TX-errors: 0          TX-bytes:  0\n";
        let ports = parse_counts(answer).unwrap();
        assert_eq!(
            ports[0],
            Counts {
                received: 10,
                sent: 11
            }
        );
        assert_eq!(
            ports[1],
            Counts {
                received: 20,
                sent: 22
            }
        );
        assert_eq!(parse_counts("testpmd>"), None);
    }
}
