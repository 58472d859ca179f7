//! `sluice ctl trace`: packets followed through the chain.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::packet;
use crate::cli::TraceCommand;
use crate::client::Endpoint;
use crate::failure::Failure;
use crate::units::nanos;

/// How long `--wait` waits for the packets.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long the last packet is given to reach its end.
const SETTLE: Duration = Duration::from_millis(300);

/// The answer as it came, and as people read it.
pub fn run(endpoint: &Endpoint, command: &TraceCommand) -> Result<(Value, String), Failure> {
    match command {
        TraceCommand::Start {
            count,
            filter,
            wait,
        } => {
            let mut body = json!({ "count": count });
            if let Some(filter) = filter {
                body["filter"] = json!(filter);
            }
            let answer = endpoint.change("POST", "/api/v1/trace/start", &body.to_string())?;
            if *wait {
                return wait_for(endpoint);
            }
            let which = filter
                .as_ref()
                .map_or_else(String::new, |filter| format!(" that are {filter:?}"));
            let text = format!(
                "following the next {count} packets{which}; see them with `sluice ctl trace show`\n"
            );
            Ok((answer, text))
        }
        TraceCommand::Show { id } => {
            let mut answer = endpoint.get("/api/v1/trace")?;
            if let (Some(id), Some(packets)) = (id, answer["packets"].as_array_mut()) {
                packets.retain(|packet| packet["id"] == *id);
            }
            let text = show(&answer);
            Ok((answer, text))
        }
        TraceCommand::Stop => {
            let answer = endpoint.change("POST", "/api/v1/trace/stop", "")?;
            Ok((answer, "stopped\n".into()))
        }
    }
}

fn wait_for(endpoint: &Endpoint) -> Result<(Value, String), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_WAIT {
        if endpoint.get("/api/v1/trace")?["running"] != true {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(SETTLE);
    let answer = endpoint.get("/api/v1/trace")?;
    let text = show(&answer);
    Ok((answer, text))
}

/// A head line a packet, and a line below it for every step.
fn show(trace: &Value) -> String {
    let packets = trace["packets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut text = String::new();
    let first = packets
        .first()
        .and_then(|packet| packet["received_ns"].as_u64())
        .unwrap_or(0);
    for packet in packets {
        text += &one(packet, first);
        text.push('\n');
    }
    let remaining = trace["remaining"].as_u64().unwrap_or(0);
    if packets.is_empty() {
        text += "no packet has been followed";
    } else {
        text += &format!("{} packets", packets.len());
    }
    if trace["running"] == true {
        text += &format!("; waiting for {remaining} more");
    }
    if let Some(lost @ 1..) = trace["lost_lines"].as_u64() {
        text += &format!("; {lost} lines lost");
    }
    text.push('\n');
    text
}

fn one(packet: &Value, first: u64) -> String {
    let after = packet["received_ns"]
        .as_u64()
        .unwrap_or(0)
        .saturating_sub(first);
    let length = packet["length"].as_u64().unwrap_or(0);
    let head = bytes(packet["head"].as_str().unwrap_or_default());
    let mut text = format!(
        "packet {}  +{}  port {}  {length} bytes\n  {}\n",
        packet["id"],
        nanos(after),
        packet["port"].as_str().unwrap_or("?"),
        packet::summary(&head, usize::try_from(length).unwrap_or(usize::MAX)),
    );
    let steps = packet["steps"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let place = |step: &Value| step["stage"].as_str().unwrap_or("-").to_owned();
    let width = steps
        .iter()
        .map(|step| place(step).chars().count())
        .max()
        .unwrap_or(0);
    for step in steps {
        let what = match (step["event"].as_str().unwrap_or("?"), step["text"].as_str()) {
            ("note", Some(note)) => note.to_owned(),
            ("dropped", Some(reason)) => format!("DROPPED {reason}"),
            ("sent", Some(port)) => format!("sent by port {port}"),
            ("back", _) => "turned around".into(),
            ("emitted", _) => "made".into(),
            (event, _) => event.to_owned(),
        };
        let arrow = match step["direction"].as_str() {
            Some("to_server") => "→",
            Some("to_client") => "←",
            _ => " ",
        };
        let after = nanos(step["after_ns"].as_u64().unwrap_or(0));
        text += &format!(
            "    {arrow} {:width$}  {:>9}  {what}\n",
            place(step),
            format!("+{after}")
        );
    }
    text
}

/// Bytes from hexadecimal, as far as they go.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map_while(|digit| digit.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_told_stage_by_stage() {
        let trace = json!({
            "running": true, "remaining": 3, "lost_lines": 2,
            "packets": [{
                "id": 1, "received_ns": 5_000, "port": "clients", "length": 60,
                "head": "0200000000020200000000010806",
                "steps": [
                    {"stage": "acl", "core": 0, "after_ns": 310, "direction": "to_server",
                     "event": "note", "text": "matched rule=12"},
                    {"stage": "acl", "core": 0, "after_ns": 310, "direction": "to_server",
                     "event": "dropped", "text": "denied"},
                ],
            }],
        });
        let text = show(&trace);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "packet 1  +0 ns  port clients  60 bytes");
        assert!(
            lines[1].starts_with("  02:00:00:00:00:01 > 02:00:00:00:00:02"),
            "{text}"
        );
        assert_eq!(lines[2], "    → acl    +310 ns  matched rule=12");
        assert_eq!(lines[3], "    → acl    +310 ns  DROPPED denied");
        assert_eq!(lines[5], "1 packets; waiting for 3 more; 2 lines lost");
    }

    #[test]
    fn nothing_yet() {
        let text = show(&json!({"running": true, "remaining": 50, "packets": []}));
        assert_eq!(text, "no packet has been followed; waiting for 50 more\n");
        show(&json!(null));
        show(&json!({"packets": [null, {"steps": [1]}]}));
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(bytes("00ff1"), [0, 255]);
        assert_eq!(bytes("zz"), Vec::<u8>::new());
    }
}
