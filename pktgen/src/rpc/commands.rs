//! The commands `rpc`, `serve`, `laedge` and `presets`.

use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use workload::emulator::LATE_NS;
use workload::presets::{PRESETS, SERVICES, verify};
use workload::report::curves;
use workload::sweep::Point;

use super::plan::Plan;
use super::{Live, coordinate, serve, sweep};
use crate::cli::{LaedgeArgs, PresetsArgs, RpcArgs, ServeArgs};
use crate::commands::{create, fresh_seed, json_text, print, stop_flag, write_report};
use crate::endpoints::place::Place;
use crate::text::grouped;
use crate::units::{nanoseconds, si};

/// The command as it would be written again, with its seed.
fn command_line(seed: u64, has_seed: bool) -> String {
    let mut words: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    words.insert(0, "pktgen".into());
    if !has_seed {
        words.push(format!("--seed {seed}"));
    }
    words.join(" ")
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:/%@[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// `pktgen rpc`.
pub fn rpc(args: &RpcArgs) -> Result<ExitCode, String> {
    let seed = args.load.seed.unwrap_or_else(fresh_seed);
    let plan = Plan::new(args, seed)?;
    let open = |path: &Option<std::path::PathBuf>| path.as_deref().map(create).transpose();
    let (csv, svg) = (open(&args.report.csv)?, open(&args.report.svg)?);
    let stop = stop_flag()?;
    let place = Place::open(&args.place)?;
    let output = &args.output;
    let mut live = Live {
        plan: &plan,
        place: &place,
        stop: Arc::clone(&stop),
        quiet: output.quiet,
    };
    if !output.json {
        print(&format!("{}\n", curves::TEXT_HEAD))?;
    }
    let title = args.report.title.clone().unwrap_or_else(|| {
        let names: Vec<&str> = plan.schemes.iter().map(|scheme| scheme.name()).collect();
        format!("RPC latency and throughput: {}", names.join(", "))
    });
    let command = command_line(seed, args.load.seed.is_some());
    let mut row = |name: &str, point: &Point| {
        if !output.json {
            let _ = print(&format!("{}\n", curves::text_row(name, point)));
        }
    };
    let result = sweep(&plan, &command, &title, &mut live, &mut row)?;
    place.close();
    for (file, path, text) in [
        (csv, &args.report.csv, curves::csv as fn(&_) -> String),
        (svg, &args.report.svg, |sweep| {
            curves::plot_file(sweep, curves::Percentile::P99)
        }),
    ] {
        if let (Some(mut file), Some(path)) = (file, path) {
            std::io::Write::write_all(&mut file, text(&result).as_bytes())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    write_report(output, || curves::html(&result))?;
    print(&if output.json {
        json_text(&result)?
    } else {
        curves::text_summary(&result)
    })
}

/// `pktgen serve`.
pub fn serve_command(args: &ServeArgs) -> Result<ExitCode, String> {
    let stop = stop_flag()?;
    let result = serve(args, args.seed.unwrap_or_else(fresh_seed), &stop)?;
    if args.output.json {
        return print(&json_text(&result)?);
    }
    let mut text = format!(
        "{:>5} {:>7} {:>12} {:>12} {:>10} {:>10} {:>8} {:>8} {:>8}\n",
        "sid", "workers", "requests", "answers", "clones", "dropped", "idle", "busy", "longest"
    );
    for server in &result.servers {
        let counters = &server.counters;
        text += &format!(
            "{:>5} {:>7} {:>12} {:>12} {:>10} {:>10} {:>6.1} % {:>6.1} % {:>8}\n",
            server.sid,
            server.workers,
            grouped(counters.requests),
            grouped(counters.answers),
            grouped(counters.clones),
            grouped(counters.clones_dropped),
            server.idle_share * 100.0,
            server.utilization * 100.0,
            grouped(counters.longest_queue),
        );
    }
    let total = &result.total;
    text += &format!(
        "{} requests in {:.1} s, capacity {}rps; {} lost on purpose, {} for want of room, {} malformed, {} \
         refused by the network{}\nSeed {}\n",
        grouped(total.requests),
        result.seconds,
        si(result.capacity_rps),
        grouped(total.lost),
        grouped(total.queue_full),
        grouped(total.malformed),
        grouped(total.refused),
        result.busy.map_or(String::new(), |busy| format!(
            "\nThe emulator was busy {:.0} % of the time; {:.2} % of the answers left over {} late, at most {}",
            busy * 100.0,
            total.answers_late as f64 / total.answers.max(1) as f64 * 100.0,
            nanoseconds(LATE_NS as f64),
            nanoseconds(total.greatest_lateness_ns as f64)
        )),
        result.seed
    );
    print(&text)
}

/// `pktgen laedge`.
pub fn laedge(args: &LaedgeArgs) -> Result<ExitCode, String> {
    let stop = stop_flag()?;
    let result = coordinate(args, args.seed.unwrap_or_else(fresh_seed), &stop)?;
    if args.output.json {
        return print(&json_text(&result)?);
    }
    let counters = &result.counters;
    print(&format!(
        "{} requests in {:.1} s: {} to two servers, {} to one; {} waited (at most {}), {} dropped for want of \
         room\n{} answers forwarded, {} redundant; {} slots freed without an answer; at most {}pps came in, \
         busy {:.0} % of the time\n",
        grouped(counters.requests),
        result.seconds,
        grouped(counters.cloned),
        grouped(counters.single),
        grouped(counters.queued),
        grouped(counters.longest_queue),
        grouped(counters.queue_full),
        grouped(counters.answers),
        grouped(counters.redundant),
        grouped(counters.timeouts),
        si(result.peak_packets_per_second as f64),
        result.busy * 100.0,
    ))
}

/// What `pktgen presets --json` prints.
#[derive(Serialize)]
struct Presets<'a> {
    kind: &'static str,
    seed: u64,
    samples: u32,
    presets: Vec<(&'a str, &'a str)>,
    checks: Vec<workload::presets::Check>,
}

/// `pktgen presets`.
pub fn presets(args: &PresetsArgs) -> Result<ExitCode, String> {
    let checks = verify(args.samples as usize, args.seed);
    let fleet = PRESETS.iter().map(|preset| (preset.name, preset.summary));
    let services = SERVICES
        .iter()
        .map(|service| (service.name, service.summary));
    let presets: Vec<(&str, &str)> = fleet.chain(services).collect();
    if args.json {
        return print(&json_text(&Presets {
            kind: "presets",
            seed: args.seed,
            samples: args.samples,
            presets,
            checks,
        })?);
    }
    let mut text = String::new();
    for (name, summary) in presets {
        text += &format!("{name:<22} {summary}\n");
        for check in checks.iter().filter(|check| check.preset == name) {
            let number = |value: f64| match check.unit {
                "ns" => nanoseconds(value),
                "bytes" => format!("{value:.0} B"),
                "count" => format!("{value:.0}"),
                _ => format!("{value:.4}"),
            };
            text += &format!(
                "{:<22}   {:<28} published {:>9}  drawn {:>9}  {:+.2} %\n",
                "",
                check.point,
                number(check.published),
                number(check.achieved),
                check.error() * 100.0
            );
        }
    }
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, expected) in [
            ("--rate=50k", "--rate=50k"),
            ("bimodal(90%:25us)", "'bimodal(90%:25us)'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
