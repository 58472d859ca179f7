//! `sluice ctl sched`: where stages run, what was moved why, and moves by hand.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::cli::SchedCommand;
use crate::client::{Endpoint, segment};
use crate::failure::Failure;
use crate::sched::{Actor, Event, Sched, percent, time};
use crate::table::Table;
use crate::units::{grouped, short, utc};

/// How long a move that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often to look for new events.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// The answer as it came, and as people read it.
pub fn run(
    endpoint: &Endpoint,
    command: Option<&SchedCommand>,
) -> Result<(Value, String), Failure> {
    match command {
        None => {
            let (answer, sched) = Sched::get(endpoint)?;
            Ok((answer, status(&sched)))
        }
        Some(SchedCommand::Events { count, .. }) => {
            let (mut answer, sched) = Sched::get(endpoint)?;
            let skip = sched.events.len().saturating_sub(*count);
            let mut list = std::mem::take(&mut answer["events"]);
            if let Some(list) = list.as_array_mut() {
                list.drain(..skip.min(list.len()));
            }
            Ok((list, events(&sched, skip)))
        }
        Some(SchedCommand::Push {
            actor,
            worker,
            wait,
        }) => {
            let body = worker.map_or_else(|| json!({}), |worker| json!({ "worker": worker }));
            let there = |is: &Actor| is.is_away(*worker);
            moved(endpoint, actor, "push", &body, *wait, there)
        }
        Some(SchedCommand::Pull { actor, wait }) => {
            let there = |is: &Actor| is.place.is_some() && !is.is_away(None);
            moved(endpoint, actor, "pull", &json!({}), *wait, there)
        }
    }
}

/// Asks for a move, and waits until it is done, if that is wanted.
fn moved(
    endpoint: &Endpoint,
    name: &str,
    verb: &str,
    body: &Value,
    wait: bool,
    there: impl Fn(&Actor) -> bool,
) -> Result<(Value, String), Failure> {
    let before = match wait {
        true => next_number(&Sched::get(endpoint)?.1),
        false => 0,
    };
    let path = format!("/api/v1/sched/{}/{verb}", segment(name));
    let answer = endpoint.change("POST", &path, &body.to_string())?;
    if !wait {
        return Ok((answer, format!("{name}: asked to move\n")));
    }
    let start = Instant::now();
    loop {
        let (_, sched) = Sched::get(endpoint)?;
        if let Some(actor) = sched.actor(name).filter(|actor| there(actor)) {
            let mut answer = answer;
            answer["place"] = serde_json::to_value(&actor.place)?;
            return Ok((answer, format!("{name}: {}\n", actor.place_text())));
        }
        let given_up = sched.events.iter().find(|event| {
            let ours = event.number >= before && event.name.as_deref() == Some(name);
            ours && event.ended == "rolled_back"
        });
        if let Some(event) = given_up {
            return Err(Failure::new(event.text()));
        }
        if start.elapsed() >= PATIENCE {
            return Err(Failure::new(format!(
                "{name} has not moved within {} s; `sluice ctl sched events` tells what was done",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The number that the next event gets.
fn next_number(sched: &Sched) -> u64 {
    sched.events.last().map_or(0, |event| event.number + 1)
}

/// Prints the last `count` events, and then each as it comes, until somebody ends it.
pub fn follow(endpoint: &Endpoint, count: usize, as_json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut next = None;
    loop {
        let (answer, sched) = Sched::get(endpoint)?;
        let skip = unseen(&sched, &mut next, count);
        if as_json {
            for event in answer["events"].as_array().into_iter().flatten().skip(skip) {
                writeln!(out, "{event}")?;
            }
        } else {
            for event in sched.events.iter().skip(skip) {
                writeln!(out, "{}", line(&sched, event))?;
            }
        }
        out.flush()?;
        std::thread::sleep(FOLLOW_EVERY);
    }
}

/// How many of the events have been seen; notes that all have been, now.
fn unseen(sched: &Sched, next: &mut Option<u64>, count: usize) -> usize {
    let end = next_number(sched);
    let skip = match *next {
        // Of another process, whose numbers begin anew.
        Some(next) if next > end => 0,
        Some(next) => sched
            .events
            .iter()
            .take_while(|event| event.number < next)
            .count(),
        None => sched.events.len().saturating_sub(count),
    };
    *next = Some(end);
    skip
}

fn status(sched: &Sched) -> String {
    let mut actors = Table::new(&[
        "actor",
        "place",
        "pinned",
        ">service µ",
        ">σ",
        ">sojourn µ+3σ",
        ">rate",
        ">load",
        ">waiting",
        ">lost",
    ]);
    for actor in &sched.actors {
        let measured = |ns: f64| match actor.messages {
            0 => "-".into(),
            _ => time(ns),
        };
        actors.row([
            actor.name.clone(),
            actor.place_text(),
            match actor.pin.as_str() {
                "packet" | "worker" => actor.pin.clone(),
                _ => "-".into(),
            },
            measured(actor.service.mean),
            measured(actor.service.deviation),
            measured(actor.sojourn.tail()),
            format!("{}/s", short(actor.rate)),
            percent(actor.load),
            grouped(actor.waiting),
            grouped(actor.lost()),
        ]);
    }
    let mut text = match actors.is_empty() {
        true => "the chain has no stage: there is nothing to move\n".into(),
        false => actors.to_string(),
    };
    let mut cores = Table::new(&["core", ">cpu", "group", ">busy", ">actors"]);
    for (core, group) in sched.packet_cores.iter().enumerate() {
        cores.row([format!("packet {core}"), "-".into(), group.clone()]);
    }
    for worker in &sched.workers {
        cores.row([
            format!("worker {}", worker.worker),
            worker.cpu.to_string(),
            "worker".into(),
            percent(worker.busy_share),
            worker.actors.to_string(),
        ]);
    }
    text += &format!("\n{cores}");
    let [mean, tail] = sched.latency_text();
    text += &format!(
        "\nlatency under first come, first served: {mean}, {tail}; {} operations since the last change\n",
        grouped(sched.latency.samples)
    );
    text
}

fn events(sched: &Sched, skip: usize) -> String {
    let lines = sched.events.iter().skip(skip);
    let text: String = lines
        .map(|event| format!("{}\n", line(sched, event)))
        .collect();
    match text.is_empty() {
        true => "the scheduler has not moved anything\n".into(),
        false => text,
    }
}

/// An event on a line, with the time of day as the log has it.
fn line(sched: &Sched, event: &Event) -> String {
    let ago = Duration::from_nanos(sched.now_ns.saturating_sub(event.at));
    let at = SystemTime::now().checked_sub(ago);
    let stamp = at.map_or_else(|| "-".into(), utc);
    match event.phases_text() {
        phases if phases.is_empty() => format!("{stamp}  {}", event.text()),
        phases => format!("{stamp}  {} ({phases})", event.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::tests::answer;

    fn sched() -> Sched {
        serde_json::from_value(answer()).unwrap()
    }

    #[test]
    fn ip58_the_status_shows_actors_cores_and_limits() {
        let text = status(&sched());
        let expected = "\
actor    place         pinned  service µ        σ  sojourn µ+3σ      rate  load  waiting  lost
capture  fcfs          packet     120 ns    14 ns       1.80 µs  1.20 M/s  14 %        0     0
front    worker 0      -         4.80 µs  2.10 µs       42.0 µs   121 k/s  58 %        3     7
route    moving: gone  -          310 ns    20 ns       1.74 µs  1.20 M/s  37 %       41     0

core      cpu  group   busy  actors
packet 0    -  fcfs
packet 1    -  drr
worker 0    4  worker  58 %       1

latency under first come, first served: mean 2.40 µs (at most 50.0 µs), tail 5.10 µs (at most 200 µs); \
4 000 operations since the last change
";
        assert_eq!(text, expected, "\n{text}");
        let empty = status(&Sched::default());
        assert!(empty.contains("no stage"), "{empty}");
    }

    #[test]
    fn ip58_events_are_lines_with_their_time() {
        let text = events(&sched(), 1);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("20") && lines[0].contains("Z  front moved to worker 0 in"));
        assert!(lines[0].ends_with("(prepare 4.00 µs, ready 150 µs, gone 1.00 ms, clean 46.0 µs)"));
        assert!(events(&Sched::default(), 0).contains("not moved anything"));
    }

    #[test]
    fn whoever_follows_sees_each_event_once() {
        let mut sched = sched();
        let mut next = None;
        assert_eq!(unseen(&sched, &mut next, 2), 1, "the last two of three");
        assert_eq!(unseen(&sched, &mut next, 2), 3);
        sched.events.remove(0);
        sched.events.push(Event {
            number: 10,
            ..Event::default()
        });
        assert_eq!(unseen(&sched, &mut next, 2), 2, "only the new one");
        // The appliance was started anew: all is new.
        sched.events.truncate(1);
        sched.events[0].number = 0;
        assert_eq!(unseen(&sched, &mut next, 2), 0);
    }
}
