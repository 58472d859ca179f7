//! What the program's commands do.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use nf_core::check::Problems;

use crate::cli::{self, Cli, Command, EchoArgs, OutputArgs, RfcArgs, RunArgs, TrafficArgs};
use crate::departures;
use crate::engine::Engine;
use crate::engine::echo::{EchoHandle, EchoSnapshot};
use crate::live::Watcher;
use crate::profile::stream::Size;
use crate::profile::{Profile, check};
use crate::random::mix;
use crate::report;
use crate::result::RunResult;
use crate::rfc2544::{self, Load, Rfc2544Result, Trial, TrialOutcome};
use crate::rpc::commands as rpc;
use crate::template::Sizes;
use crate::text;
use crate::units::{Rate, Time};
use crate::verdict::Limit;

/// End with this status if more packets were lost than allowed.
const STATUS_LOSS: u8 = 3;

/// End with this status after wrong flags, as the parser does.
const STATUS_FLAGS: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match cli::file::parse() {
        Ok(cli) => cli,
        Err(error) => {
            eprintln!("pktgen: {error}");
            return ExitCode::from(STATUS_FLAGS);
        }
    };
    log(cli.verbose);
    let result = match cli.command {
        Command::Run(args) => run(&args),
        Command::Echo(args) => echo(&args),
        Command::Rfc2544(args) => rfc2544(&args),
        Command::Rpc(args) => rpc::rpc(&args),
        Command::Serve(args) => rpc::serve_command(&args),
        Command::Laedge(args) => rpc::laedge(&args),
        Command::Presets(args) => rpc::presets(&args),
        Command::Check { profile } => check_file(&profile),
        Command::Schema => print(&format!("{:#}\n", crate::profile::schema())),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pktgen", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Man => match cli::manual() {
            Ok(page) => print(&String::from_utf8_lossy(&page)),
            Err(error) => Err(error.to_string()),
        },
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("pktgen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Warnings by default, more on demand, on standard error.
fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn,dpdk=error",
        1 => "info,dpdk=warn",
        _ => "debug",
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .try_init();
}

/// Writes to standard output; a reader that has gone away is no failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, String> {
    nf_core::console::print(text).map(|()| ExitCode::SUCCESS)
}

/// A flag that SIGINT and SIGTERM raise; a second one ends the process.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let (Ok(mut interrupt), Ok(mut terminate)) = (
                    signal(SignalKind::interrupt()),
                    signal(SignalKind::terminate()),
                ) else {
                    return;
                };
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if raised.swap(true, Ordering::Relaxed) {
                        std::process::exit(130);
                    }
                }
            });
        })
        .map_err(|error| error.to_string())?;
    Ok(stop)
}

/// The seed of a run: the one asked for, or a new one that a double can hold, for JSON's sake.
fn seed(profile: &Profile) -> u64 {
    profile.seed.unwrap_or_else(fresh_seed)
}

/// A seed that no other run has had.
pub(crate) fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    mix(now ^ u64::from(std::process::id()) << 32) >> 32
}

/// Opens ports, waits for their links, finds gateways; adds to `notes` what the user should know.
fn open(traffic: &TrafficArgs, notes: &mut Vec<String>) -> Result<Engine, String> {
    let profile = cli::profile(traffic)?;
    let mut engine = Engine::open(profile, traffic.self_test)?;
    let down = engine.wait_for_links();
    if !down.is_empty() {
        notes.push(format!(
            "the link of {} was down when the run began",
            down.join(" and ")
        ));
    }
    engine.resolve_gateways()?;
    Ok(engine)
}

pub(crate) fn write_report(
    output: &OutputArgs,
    page: impl FnOnce() -> String,
) -> Result<(), String> {
    let Some(path) = &output.report else {
        return Ok(());
    };
    std::fs::write(path, page()).map_err(|error| format!("{}: {error}", path.display()))?;
    if !output.quiet {
        eprintln!("pktgen: the report is in {}", path.display());
    }
    Ok(())
}

pub(crate) fn json_text<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_json::to_string(value)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

/// Removes what DPDK leaves in its run-time folder.
pub(crate) fn tidy(engine: Engine) {
    let folder = engine.runtime_folder();
    drop(engine);
    let _ = std::fs::remove_dir_all(folder);
}

/// Opens what is written after a run before it, lest a run be for nothing.
pub(crate) fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(args: &RunArgs) -> Result<ExitCode, String> {
    let stop = stop_flag()?;
    let departures = args
        .departures
        .as_deref()
        .map(|path| create(path).map(|file| (path, file)))
        .transpose()?;
    let mut notes = Vec::new();
    let mut engine = open(&args.traffic, &mut notes)?;
    let mut plan = engine.plan(seed(engine.profile()))?;
    if departures.is_some() {
        plan.departures = args.departures_count as usize;
    }
    notes.append(&mut plan.notes);
    plan.notes = notes;
    let title = engine
        .profile()
        .name
        .as_ref()
        .map_or("pktgen".into(), |name| name.to_string());
    let length = plan.duration_ns.map(|ns| ns as f64 / 1e9);
    let output = &args.output;
    let mut watcher = Watcher::new(title, length, output.quiet, !output.json, stop);
    let outcome = engine.run(&plan, &mut watcher);
    let series = watcher.finish();
    let outcome = outcome?;
    let result = RunResult::new(engine.profile(), &plan, &engine.ports(), &outcome, series);
    tidy(engine);
    if let Some((path, file)) = departures {
        departures::write(&outcome.departures, file)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    write_report(output, || report::run(&result))?;
    print(&if output.json {
        json_text(&result)?
    } else {
        text::run(&result)
    })?;
    let too_much = args
        .max_loss
        .is_some_and(|most| result.loss.loss_ratio > most);
    Ok(if too_much {
        ExitCode::from(STATUS_LOSS)
    } else {
        ExitCode::SUCCESS
    })
}

/// Trials on real ports.
struct LiveTrial<'a> {
    engine: &'a mut Engine,
    seed: u64,
    quiet: bool,
    stop: Arc<AtomicBool>,
}

impl Trial for LiveTrial<'_> {
    fn run(&mut self, purpose: &str, size: u16, load: Load) -> Result<TrialOutcome, String> {
        self.engine.change(|profile| {
            for stream in &mut profile.streams {
                stream.size = Size(Sizes::fixed(size));
                stream.ramp = None;
            }
            // All streams together make the rate.
            let share = 1.0 / profile.streams.len().max(1) as f64;
            let (rate, duration, packets) = match load {
                Load::Rate {
                    packets_per_second,
                    seconds,
                } => (packets_per_second, Some(seconds), None),
                Load::Burst {
                    packets_per_second,
                    frames,
                } => (packets_per_second, None, Some(frames)),
            };
            for stream in &mut profile.streams {
                stream.rate = Rate::Packets(rate * share);
            }
            profile.duration = duration.map(|s| Time(Duration::from_secs_f64(s)));
            profile.packets = packets;
        });
        let plan = self.engine.plan(self.seed)?;
        let length = plan.duration_ns.map(|ns| ns as f64 / 1e9);
        let title = format!("{size} bytes, {purpose}, {}", plan.streams[0].rate);
        if !self.quiet && !std::io::stdout().is_terminal() {
            eprintln!("pktgen: {title}");
        }
        let mut watcher = Watcher::new(title, length, self.quiet, true, Arc::clone(&self.stop));
        let outcome = self.engine.run(&plan, &mut watcher);
        let series = watcher.finish();
        let ports = self.engine.ports();
        let result = RunResult::new(self.engine.profile(), &plan, &ports, &outcome?, series);
        // Packets that left a little late do not spoil a trial; packets that never left do, and packets
        // that were lost here.
        let short = result.sent.rate_error.is_some_and(|error| error < -1e-3);
        let limit = match result.verdict.limit {
            Limit::GeneratorTransmit | Limit::Port if !short => Limit::None,
            limit => limit,
        };
        Ok(TrialOutcome {
            sent: result.sent.tracked_packets,
            received: result.received.unique_packets,
            packets_per_second: result.sent.packets_per_second,
            limit,
            latency: result.latency,
            interrupted: result.interrupted,
        })
    }
}

fn rfc2544(args: &RfcArgs) -> Result<ExitCode, String> {
    let stop = stop_flag()?;
    let mut notes = Vec::new();
    let sizes = if args.sizes.is_empty() {
        rfc2544::FRAME_SIZES.to_vec()
    } else {
        args.sizes.clone()
    };
    // The ports are opened for the largest frame.
    let mut traffic = args.traffic.clone();
    traffic.size = Some(
        sizes
            .iter()
            .map(u16::to_string)
            .collect::<Vec<_>>()
            .join(","),
    );
    cli::profile(&traffic)?;
    let mut engine = open(&traffic, &mut notes)?;
    if engine
        .profile()
        .streams
        .iter()
        .any(|stream| stream.replay.is_some())
    {
        return Err("RFC 2544 needs packets that can be followed: a replay has none".into());
    }
    let seed = seed(engine.profile());
    let untracked = engine.plan(seed)?.notes;
    notes.extend(untracked);
    let port = engine.ports().first().and_then(|port| port.link.speed_mbps);
    let given = engine.profile().line_rates.values().next().copied();
    let line_rate = match given {
        Some(Rate::Bits(rate, _)) => Some(rate),
        _ => port.map(|mbps| f64::from(mbps) * 1e6),
    };
    let Rate::Packets(max_packets_per_second) = args.max_rate else {
        return Err("--max-rate is in packets per second, such as 20Mpps".into());
    };
    let settings = rfc2544::Settings {
        sizes,
        loss_limit: args.loss_limit,
        trial_seconds: args.trial.0.as_secs_f64(),
        latency_seconds: args.latency_trial.0.as_secs_f64(),
        resolution: args.resolution,
        max_packets_per_second,
        line_rate,
        bursts: args.bursts,
        burst_seconds: args.burst_time.0.as_secs_f64(),
        ..rfc2544::Settings::default()
    };
    let settings = if args.no_loss_curve {
        rfc2544::Settings {
            loss_steps: Vec::new(),
            ..settings
        }
    } else {
        settings
    };
    let name = engine
        .profile()
        .name
        .as_ref()
        .map_or("pktgen".into(), |name| name.to_string());
    let output = &args.output;
    if !output.json {
        print(&format!("{}\n", text::ROW_HEAD))?;
    }
    let mut trial = LiveTrial {
        engine: &mut engine,
        seed,
        quiet: output.quiet || output.json,
        stop,
    };
    let (results, interrupted) = rfc2544::measure(&settings, &mut trial, |result| {
        if !output.json {
            let _ = print(&format!("{}\n", text::row(result)));
        }
    })?;
    tidy(engine);
    let result = Rfc2544Result {
        kind: "rfc2544",
        version: env!("CARGO_PKG_VERSION"),
        name,
        seed,
        settings,
        interrupted,
        notes,
        sizes: results,
    };
    write_report(output, || report::rfc2544(&result))?;
    print(&if output.json {
        json_text(&result)?
    } else {
        text::rfc2544(&result)
    })
}

fn echo(args: &EchoArgs) -> Result<ExitCode, String> {
    let stop = stop_flag()?;
    let traffic = TrafficArgs {
        profile: args.profile.clone(),
        port: args.port.clone(),
        tx_cores: args.cores.clone(),
        rx_cores: args.cores.clone(),
        memory: args.memory,
        ..TrafficArgs::default()
    };
    let engine = Engine::open(cli::profile(&traffic)?, false)?;
    let handle = EchoHandle::start(&engine, &args.address, args.adaptive)?;
    let begin = Instant::now();
    let end = args.duration.map(|time| begin + time.0);
    let mut before = EchoSnapshot::default();
    let mut next = begin + Duration::from_secs(1);
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| Instant::now() < end) {
        std::thread::sleep(Duration::from_millis(20));
        if Instant::now() >= next {
            next += Duration::from_secs(1);
            let now = handle.snapshot();
            if !args.output.quiet && now != before {
                eprintln!(
                    "{:6.1} s  received {}pps  returned {} in all",
                    begin.elapsed().as_secs_f64(),
                    crate::units::si((now.received - before.received) as f64),
                    text::grouped(now.returned)
                );
            }
            before = now;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let total = handle.stop();
    tidy(engine);
    if args.output.json {
        let mut value = serde_json::to_value(total).map_err(|error| error.to_string())?;
        if let Some(object) = value.as_object_mut() {
            object.insert("kind".into(), "echo".into());
            object.insert("seconds".into(), seconds.into());
        }
        print(&json_text(&value)?)
    } else {
        print(&format!(
            "Returned {} of {} packets in {seconds:.1} s; {} dropped by the port, {} left alone, {} \
             neighbour requests answered\n",
            text::grouped(total.returned),
            text::grouped(total.received),
            text::grouped(total.dropped),
            text::grouped(total.ignored),
            text::grouped(total.neighbours)
        ))
    }
}

fn check_file(path: &std::path::Path) -> Result<ExitCode, String> {
    let mut problems = Problems::new();
    match crate::profile::load(path) {
        Ok(profile) => {
            check(&profile, &mut problems);
            if !problems.has_errors() {
                // What the templates say about headers and sizes needs no port either.
                for (index, stream) in profile.streams.iter().enumerate() {
                    crate::engine::plan::check_stream(index, stream, &mut problems);
                }
            }
        }
        Err(found) => problems = found,
    }
    if problems.is_empty() {
        return print(&format!("{} is fine\n", path.display()));
    }
    print(&(cli::told(&problems) + "\n"))?;
    Ok(if problems.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
