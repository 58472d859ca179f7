//! The command line: what there is, and the texts that teach it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

/// A network-function appliance on plain servers: packets in, a chain of stages, packets out.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_long_help = MAIN_HELP
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const MAIN_HELP: &str = "\
A first appliance, in four steps:

  sluice schema > schema.json     let your editor complete and check the configuration
  sluice check edge.json          every mistake at once, with its place and what is right
  sluice run edge.json            start it (Ctrl-C ends it, SIGHUP reads the file again)
  sluice top                      watch it live, from another terminal

Then change it while it runs:

  sluice ctl show drops                         what is dropped, where, and why
  sluice ctl trace start --count 20             follow the next 20 packets through the chain
  sluice ctl trace show
  sluice ctl reload                             take over the changed file

Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 the command line is
wrong; 3 no appliance answers.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start an appliance
    #[command(after_long_help = RUN_HELP)]
    Run(RunArgs),
    /// Say what is wrong with a configuration, without starting anything
    #[command(after_long_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Print the JSON schema of the configuration
    #[command(after_long_help = SCHEMA_HELP)]
    Schema(SchemaArgs),
    /// List the kinds of stages, with their drop reasons and counters
    Stages(StagesArgs),
    /// Watch a running appliance
    #[command(after_long_help = TOP_HELP)]
    Top(TopArgs),
    /// Look into a running appliance and change it
    #[command(after_long_help = CTL_HELP)]
    Ctl(CtlArgs),
    /// Print completions for a shell
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write one page a command into a folder
    Man {
        /// Write sluice.1, sluice-run.1, ... there
        #[arg(long, value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

const RUN_HELP: &str = "\
It runs in the foreground until SIGINT or SIGTERM; SIGHUP reads the configuration file again, as
`sluice ctl reload` does. Under systemd, use the unit sluice@NAME.service.

It needs rights for what its ports are made of: root has them all, docs/security.md lists the fewest.";

/// `sluice run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
}

const CHECK_HELP: &str = "\
Every mistake is told, each with its place, what was found, and what is allowed. Warnings are what
would run, but probably not as meant; they do not change the exit status.

  sluice check edge.json                  can it run on this machine, as this user?
  sluice check --elsewhere edge.json      is it right, whatever the machine?
  generate | sluice check --elsewhere -   from standard input

Exit status: 0 no error, 1 errors.";

/// `sluice check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file, or `-` for standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: PathBuf,
    /// Do not look at this machine: its processors, huge pages, interfaces, rights
    #[arg(long)]
    pub elsewhere: bool,
    /// Print {"ok", "problems"} as JSON
    #[arg(long)]
    pub json: bool,
}

const SCHEMA_HELP: &str = "\
Save it beside your configurations and name it in each:

  sluice schema > schema.json
  { \"$schema\": \"schema.json\", \"name\": \"edge\", ... }

Editors that know JSON Schema then complete keys, explain them, and mark mistakes.";

/// `sluice schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Print the page about the configuration instead, in Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// `sluice stages`
#[derive(Debug, Args)]
pub struct StagesArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which running appliance is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// The appliance of this name (its socket is /run/sluice/NAME.sock)
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "socket")]
    pub name: Option<String>,
    /// The appliance behind this control socket
    #[arg(long, value_name = "PATH", global = true, env = "SLUICE_SOCKET", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
}

const TOP_HELP: &str = "\
Keys: Tab and Shift-Tab or 1 to 6 change the page, arrows scroll, p pauses, + and - change the
interval, q ends.

  sluice top                                     the only appliance on this machine
  sluice top --name edge
  sluice top --url http://10.0.0.5:9464          one that listens for readers elsewhere
  sluice top --once                              one picture as text, for scripts and reports";

/// `sluice top`
#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    pub target: Target,
    /// The appliance that answers readers at this address
    #[arg(long, conflicts_with_all = ["name", "socket"])]
    pub url: Option<String>,
    /// Seconds between two looks
    #[arg(long, default_value_t = 1.0, value_parser = interval)]
    pub interval: f64,
    /// Print one picture and end
    #[arg(long)]
    pub once: bool,
    /// Print the rates as JSON and end
    #[arg(long)]
    pub json: bool,
    /// Columns of the picture of --once
    #[arg(long, default_value_t = 80, requires = "once", value_parser = clap::value_parser!(u16).range(40..=500))]
    pub width: u16,
    /// The page of the picture of --once
    #[arg(long, default_value = "overview", requires = "once")]
    pub page: PageName,
}

/// The pages of `sluice top`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PageName {
    /// A bit of everything.
    Overview,
    /// The stages.
    Stages,
    /// The ports.
    Ports,
    /// The drops.
    Drops,
    /// The cores.
    Cores,
    /// The scheduler, where there is one.
    Sched,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 60".into()),
    }
}

const CTL_HELP: &str = "\
Which appliance: the only one on this machine, or the one named with --name or --socket.

Looking:
  sluice ctl show chain            stages with their counts; also ports, drops, cores, memory, config
  sluice ctl trace start --count 50 --filter 'udp port 53'
  sluice ctl trace show            the packets followed, stage by stage
  sluice ctl sched                 where stages run, with a scheduler; `sched events`: what was moved why

Changing:
  sluice ctl reload                take over the configuration file, as far as that goes live
  sluice ctl port down clients     take a port out of use; `up` takes it into use again
  sluice ctl sched push acl        move a stage to a worker core; `pull` moves it back
  sluice ctl log debug

Commands of stages, by the stage's name in the chain; arguments are KEY=VALUE, or one JSON object:
  sluice ctl acl show
  sluice ctl route add prefix=10.2.0.0/16 via=10.1.0.9
  sluice ctl capture start file=/tmp/x.pcapng max_packets=1000
A stage tells its commands when it is given one that it does not know: `sluice ctl acl help`.";

/// `sluice ctl`
#[derive(Debug, Args)]
pub struct CtlArgs {
    #[command(flatten)]
    pub target: Target,
    /// Print JSON as the appliance sent it
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// The commands of `sluice ctl`.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Show a part of its state
    Show {
        /// Which part
        #[arg(default_value = "chain")]
        what: Part,
        /// Only the stage or port of this name
        only: Option<String>,
    },
    /// Take over the configuration file, or another one
    Reload {
        /// A file to take over instead of the one it was started with; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Take a port into use or out of use
    Port {
        /// Which of the two
        state: UpDown,
        /// The port's name
        port: String,
    },
    /// Follow packets through the chain
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Where stages run, what was moved why, and moves by hand
    #[command(after_long_help = SCHED_HELP)]
    Sched {
        /// What to do; nothing shows every actor with its place and cost
        #[command(subcommand)]
        command: Option<SchedCommand>,
    },
    /// Change the level of its log
    Log {
        /// The least important messages it writes
        #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
        level: String,
    },
    /// A command of a stage whose name is one of the words above
    Stage {
        /// The stage's name
        name: String,
        /// What it shall do
        verb: String,
        /// KEY=VALUE ..., or one JSON object
        arguments: Vec<String>,
    },
    /// A command of a stage: NAME VERB [KEY=VALUE ... | JSON]
    #[command(external_subcommand)]
    Named(Vec<String>),
}

/// What `sluice ctl show` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Chain,
    Ports,
    Drops,
    Cores,
    Memory,
    Config,
    Version,
    Health,
    Stage,
}

/// Of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UpDown {
    Up,
    Down,
}

/// `sluice ctl trace`
#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// Follow the next packets
    Start {
        /// How many
        #[arg(long, short, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
        /// Which, in tcpdump's language: 'tcp port 80 and host 10.0.0.7'
        #[arg(long, short)]
        filter: Option<String>,
        /// Wait until they have come, and show them
        #[arg(long, short)]
        wait: bool,
    },
    /// Show what has been followed so far
    Show {
        /// Only the packet of this number
        #[arg(long)]
        id: Option<u32>,
    },
    /// End it
    Stop,
}

const SCHED_HELP: &str = "\
Every shard of a stage is an actor, called as the stage, and STAGE@CORE where there are several packet
cores. It runs under fcfs (first come, first served, on the packet cores), drr (deficit round robin, on
packet cores of that group) or on a worker core. µ and σ are the mean and the deviation of its service
time; the sojourn has all waiting in it.

  sluice ctl sched                        every actor, every core, and latency against its limits
  sluice ctl sched events --count 50      the last decisions and migrations, with what was measured
  sluice ctl sched events --follow        and those to come
  sluice ctl sched push acl --worker 0    move by hand; the scheduler may move it back later
  sluice ctl sched pull acl --wait";

/// `sluice ctl sched`
#[derive(Debug, Subcommand)]
pub enum SchedCommand {
    /// Show what was decided and moved, with the values that led to it
    Events {
        /// How many of the last ones
        #[arg(long, short, default_value_t = 20, value_parser = count)]
        count: usize,
        /// Go on with those to come; with --json, each is a line
        #[arg(long, short)]
        follow: bool,
    },
    /// Move an actor to a worker core
    Push {
        /// The actor's name
        actor: String,
        /// Which worker, from 0; else the least busy one
        #[arg(long, short)]
        worker: Option<u16>,
        /// Wait until it is there
        #[arg(long)]
        wait: bool,
    },
    /// Move an actor back to the packet cores
    Pull {
        /// The actor's name
        actor: String,
        /// Wait until it is there
        #[arg(long)]
        wait: bool,
    },
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err("a number from 1 to 1000".into()),
    }
}

const COMPLETIONS_HELP: &str = "\
  sluice completions bash > /etc/bash_completion.d/sluice
  sluice completions zsh  > /usr/local/share/zsh/site-functions/_sluice
  sluice completions fish > ~/.config/fish/completions/sluice.fish";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    fn ctl(line: &str) -> CtlCommand {
        let words = ["sluice", "ctl"].into_iter().chain(line.split_whitespace());
        let Command::Ctl(ctl) = Cli::parse_from(words).command else {
            panic!("not ctl")
        };
        ctl.command
    }

    #[test]
    fn an_unknown_word_is_a_stage() {
        let CtlCommand::Named(words) = ctl("acl add source=10.0.0.0/8") else {
            panic!()
        };
        assert_eq!(words, ["acl", "add", "source=10.0.0.0/8"]);
        let CtlCommand::Stage { name, .. } = ctl("stage log list") else {
            panic!()
        };
        assert_eq!(name, "log");
    }

    #[test]
    fn global_options_go_anywhere_before_a_stages_words() {
        let cli = Cli::parse_from(["sluice", "ctl", "trace", "show", "--json", "--name", "edge"]);
        let Command::Ctl(ctl) = cli.command else {
            panic!("not ctl")
        };
        assert!(ctl.json);
        assert_eq!(ctl.target.name.as_deref(), Some("edge"));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "sluice top --interval 0",
            "sluice ctl log loud",
            "sluice ctl trace start --count 0",
            "sluice ctl port sideways x",
            "sluice ctl sched events --count 0",
            "sluice ctl sched push",
            "sluice ctl sched push acl --worker -1",
            "sluice top --name a --url http://x",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
