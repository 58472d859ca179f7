//! `cargo xtask demo clone`: six emulated servers behind the clone stage; what cloning does to the 99th
//! percentile, and what clients notice when a server is killed.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clone_rig::control::{count, self_test, server, state};
use clone_rig::{Bed, Links, Mode};
use testkit::{Process, Sluice};

use super::{Demo, say};

const SERVERS: u8 = 6;
/// The one that is killed.
const VICTIM: u8 = 5;

/// What the servers do. Slow enough for the emulator, the kernel and two processors: what is shown is the
/// waiting of requests, not of datagrams.
const WORKLOAD: [&str; 4] = ["--workers", "8", "--service-time", "exp(5ms)"];
const SCHEMES: &str = "baseline,c-clone,netclone";
/// Asking two servers each time doubles the load, so beyond half of the capacity C-Clone would only pile up
/// requests.
const LOADS: [&str; 3] = ["10%", "30%", "45%"];
const POINT: &str = "4s";
const SEED: &str = "1";

impl Demo {
    /// Tells the story of the clone stage.
    pub(super) fn tell_clone(&mut self) -> Result<()> {
        self.heading("Six servers, and an appliance in front of them")?;
        let bed = Bed::new(Mode::Gateway, Links::Tap, SERVERS).map_err(|e| anyhow!(e))?;
        say(&format!(
            "client {} ── tap ── [ clone → route ] ── tap ── servers {} to {}\n\
             \x20                       VIP {}\n\
             each server has 8 workers; a request takes 5 ms on average (exponential), and one in a\n\
             hundred 15 times as long, as behind a garbage collection",
            bed.client(),
            bed.server(0),
            bed.server(SERVERS - 1),
            bed.vip(),
        ));
        let stage = bed.stage();
        self.write_config("clone.json", &bed.config(&stage))?;
        let sluice = bed
            .start(&stage, Some(self.programs.join("sluice")))
            .map_err(|error| anyhow!(error))?;
        let _others = self.serve(&bed, 0, VICTIM)?;
        let victim = self.serve(&bed, VICTIM, 1)?;
        self_test(&sluice).map_err(|error| anyhow!(error))?;
        // Until the router knew where they were, they did not answer.
        let found = count(&sluice, "server_down");
        say("the self-test has passed: every server's answers come back through the appliance");
        say("$ sluice ctl clone servers");
        say(&self.ctl(&sluice, &["ctl", "clone", "servers"])?);

        self.sweep(&bed)?;
        self.kill(&bed, &sluice, victim)?;
        self.counters(&sluice, found)
    }

    /// A process that emulates `count` servers from number `first` on.
    fn serve(&self, bed: &Bed, first: u8, count: u8) -> Result<Process> {
        let mut command = bed.hosts.command(self.programs.join("pktgen"));
        command
            .args(["serve", "--servers"])
            .arg(format!("{}+{count}", bed.server(first)))
            .args(["--first-sid", &first.to_string()])
            .args(WORKLOAD);
        Ok(Process::spawn("pktgen serve", &mut command)?)
    }

    fn rpc(&self, bed: &Bed, scheme: &str) -> Command {
        let mut command = bed.clients.command(self.programs.join("pktgen"));
        command
            .args(["rpc", "--vip", &bed.vip().to_string(), "--servers"])
            .arg(format!("{}+{SERVERS}", bed.server(0)))
            .args(["--scheme", scheme, "--seed", SEED, "--quiet"])
            .args(WORKLOAD);
        command
    }

    fn sweep(&mut self, bed: &Bed) -> Result<()> {
        self.heading("The 99th percentile of three schemes, live")?;
        let report = self.folder.join("clone.html");
        let mut command = self.rpc(bed, SCHEMES);
        command
            .args(["--load", &LOADS.join(","), "--duration", POINT])
            .args(["--title", "Cloning requests: the demo", "--report"])
            .arg(&report);
        say(&format!(
            "$ pktgen rpc --vip {} --servers {}+{SERVERS} --scheme {SCHEMES} --load {}\n\
             baseline: the client asks one server; c-clone: two, always; netclone: the appliance decides\n",
            bed.vip(),
            bed.server(0),
            LOADS.join(","),
        ));
        print!("   {:12}", "load");
        for load in LOADS {
            print!("{load:>12}");
        }
        let mut pktgen = Process::spawn("pktgen rpc", &mut command)?;
        let mut table = Table::default();
        let mut last = String::new();
        while pktgen.ended().is_none() {
            self.interrupt.check()?;
            table.read(&pktgen.log(), |row| show(row, &mut last));
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = self.interrupt.wait(&mut pktgen, Duration::from_secs(1))?;
        table.read(&log, |row| show(row, &mut last));
        println!("\n");
        let gains: Vec<&str> = log
            .lines()
            .filter(|line| line.starts_with("Gain") || line.starts_with("Note"))
            .collect();
        say(&gains.join("\n"));
        say(&format!("the plot: {}", report.display()));
        Ok(())
    }

    fn kill(&mut self, bed: &Bed, sluice: &Sluice<'_>, mut victim: Process) -> Result<()> {
        self.heading("A server is killed under load")?;
        let mut command = self.rpc(bed, "netclone");
        command.args(["--load", "30%", "--duration", "6s", "--settle", "2s"]);
        command.args(["--timeout", "300ms", "--retries", "4"]);
        let mut pktgen = Process::spawn("pktgen rpc", &mut command)?;
        self.pause(Duration::from_secs(3))?;
        let killed = Instant::now();
        victim.kill();
        while server(sluice, VICTIM)["state"] != "down" {
            self.interrupt.check()?;
            if killed.elapsed() > Duration::from_secs(10) {
                bail!("the appliance did not notice");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        say(&format!(
            "server {VICTIM} killed (SIGKILL); {:.0?} later nothing goes there any more:",
            killed.elapsed()
        ));
        say("$ sluice ctl clone servers");
        say(&self.ctl(sluice, &["ctl", "clone", "servers"])?);
        self.pause(Duration::from_secs(1))?;
        let _again = self.serve(bed, VICTIM, 1)?;
        state(sluice, VICTIM, "up").map_err(|error| anyhow!(error))?;
        say("started again, it is found and gets its share");
        let log = self.interrupt.wait(&mut pktgen, Duration::from_secs(30))?;
        let mut seen = None;
        Table::default().read(&log, |row| seen = Some((row.of("p99"), row.of("lost"))));
        let Some((p99, lost)) = seen else {
            bail!("pktgen told nothing:\n{log}");
        };
        say(&format!(
            "the clients' view of all that: {lost} of the requests lost, p99 {p99}"
        ));
        Ok(())
    }

    fn counters(&mut self, sluice: &Sluice<'_>, found: u64) -> Result<()> {
        self.heading("What the appliance counted")?;
        for (counter, what) in [
            ("req_total", "requests"),
            ("req_cloned", "of these cloned"),
            (
                "resp_filtered",
                "slower answers that ended in the appliance",
            ),
            (
                "slot_overwrite",
                "collisions in the filter, each of which lets one through",
            ),
        ] {
            say(&format!("{:10} {what}", count(sluice, counter)));
        }
        say(&format!(
            "{:10} times that a server was found to be down",
            count(sluice, "server_down").saturating_sub(found)
        ));
        Ok(())
    }

    fn pause(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.interrupt.check()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where to go from here.
    pub(super) fn farewell_clone(&self, took: Duration) {
        println!("\nDone in {took:.0?}; namespaces, interfaces and processes are gone again.\n");
        println!("Where to go next:");
        for (what, command) in [
            (
                "the report with the plot, for a browser",
                self.folder.join("clone.html").display().to_string(),
            ),
            (
                "the config of the demo, to play with",
                self.folder.join("clone.json").display().to_string(),
            ),
            (
                "what is promised, and when it hurts",
                "docs/nf-clone.md".to_owned(),
            ),
            (
                "clients and servers of your own",
                "docs/netclone-wire.md".to_owned(),
            ),
            (
                "a million requests while everything fails",
                "cargo xtask soak clone".to_owned(),
            ),
        ] {
            println!("   {what:42} {command}");
        }
    }
}

/// Shows a cell of the table as soon as it is known.
fn show(row: &Row<'_>, last: &mut String) {
    let name = row.of("scheme");
    if *last != name {
        print!("\n   {name:12}");
        *last = name;
    }
    print!("{:>12}", row.of("p99"));
    let _ = std::io::stdout().flush();
}

/// The table that `pktgen rpc` prints, row by row as it appears.
#[derive(Debug, Default)]
struct Table {
    rows: usize,
}

/// A row, and the head that says where its columns are.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    head: &'a str,
    line: &'a str,
}

impl Table {
    /// Takes what has been printed so far, and tells of the rows that are new.
    fn read(&mut self, text: &str, mut tell: impl FnMut(&Row<'_>)) {
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .skip_while(|line| !line.starts_with("scheme"));
        let Some(head) = lines.next() else { return };
        let is_row = |line: &&str| line.chars().count() == head.chars().count();
        for line in lines.filter(is_row).skip(self.rows) {
            self.rows += 1;
            tell(&Row { head, line });
        }
    }
}

impl Row<'_> {
    /// What stands in a column. The first is aligned left, the others right under their names.
    fn of(&self, column: &str) -> String {
        let Some(at) = self.head.find(column) else {
            return String::new();
        };
        if at == 0 {
            let name = self.line.split_whitespace().next();
            return name.unwrap_or_default().to_owned();
        }
        // The head is ASCII; a row may have a µ.
        let end = at + column.len();
        let before = self.head.get(..at).unwrap_or_default().trim_end().len();
        let cell: String = self
            .line
            .chars()
            .skip(before)
            .take(end.saturating_sub(before))
            .collect();
        cell.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let row = |cells: [&str; 6]| {
            let [name, load, offered, p50, p99, lost] = cells;
            format!("{name:<20} {load:>6} {offered:>12} {p50:>9} {p99:>20} {lost:>9}\n")
        };
        [
            "pktgen says something\n".to_owned(),
            row(["scheme", "load", "offered", "p50", "p99", "lost"]),
            row([
                "baseline",
                "10 %",
                "842 rps",
                "3.6 ms",
                "35.2 ms ± 1.0",
                "0 %",
            ]),
            row(["c-clone", "10 %", "842 rps", "810 µs", "12.0 ms", "0.1 %"]),
        ]
        .concat()
    }

    #[test]
    fn rows_are_told_once_and_whole() {
        let (mut table, mut told) = (Table::default(), Vec::new());
        let whole = text();
        for end in 0..=whole.len() {
            let Some(text) = whole.get(..end) else {
                continue;
            };
            table.read(text, |row| {
                told.push((row.of("scheme"), row.of("p99"), row.of("lost")));
            });
        }
        let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let right = [
            row("baseline", "35.2 ms ± 1.0", "0 %"),
            row("c-clone", "12.0 ms", "0.1 %"),
        ];
        assert_eq!(told, right);
    }
}
