//! `sluice ctl show`: the parts of the state as tables.

use serde_json::Value;

use super::value;
use crate::cli::Part;
use crate::client::{Endpoint, segment};
use crate::failure::Failure;
use crate::table::Table;
use crate::units::{duration, grouped, nanos, short};

/// The part as it came, and as people read it.
pub fn run(
    endpoint: &Endpoint,
    part: Part,
    only: Option<&str>,
) -> Result<(Value, String), Failure> {
    let path = match part {
        Part::Chain => "/api/v1/chain",
        Part::Ports => "/api/v1/ports",
        Part::Drops => "/api/v1/drops",
        Part::Cores => "/api/v1/cores",
        Part::Memory => "/api/v1/memory",
        Part::Config => "/api/v1/config",
        Part::Version => "/api/v1/version",
        Part::Health => "/healthz",
        Part::Stage => match only {
            Some(name) => return stage(endpoint, name),
            None => return Err(Failure::new("which stage? `sluice ctl show stage NAME`")),
        },
    };
    let mut answer = endpoint.get(path)?;
    if let Some(only) = only {
        keep(&mut answer, only)?;
    }
    let text = match part {
        Part::Chain => chain(&answer),
        Part::Ports if only.is_some() => value::text(&answer[0]),
        Part::Ports => ports(&answer),
        Part::Drops => drops(&answer),
        Part::Cores => cores(&answer),
        Part::Memory => memory(&answer),
        Part::Config => format!("{answer:#}\n"),
        Part::Version => version(&answer),
        Part::Health => health(&answer),
        Part::Stage => value::text(&answer),
    };
    Ok((answer, text))
}

/// One stage.
pub fn stage(endpoint: &Endpoint, name: &str) -> Result<(Value, String), Failure> {
    let answer = endpoint.get(&format!("/api/v1/stages/{}", segment(name)))?;
    let text = value::text(&answer);
    Ok((answer, text))
}

/// Keeps of a list what is called `only`, or is of the stage called so.
fn keep(answer: &mut Value, only: &str) -> Result<(), Failure> {
    let Some(items) = answer.as_array_mut() else {
        return Err(Failure::new("this part has no names to choose from"));
    };
    let name = |item: &Value| {
        let name = item["name"].as_str().or_else(|| item["stage"].as_str());
        name.map(str::to_owned)
            .unwrap_or_else(|| item["core"].to_string())
    };
    let known: Vec<String> = items.iter().map(name).collect();
    items.retain(|item| name(item) == only);
    if items.is_empty() {
        return Err(Failure::new(format!(
            "there is no {only:?}; there is {}",
            known.join(", ")
        )));
    }
    Ok(())
}

fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn count(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".into(), grouped)
}

fn decimal(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".into(), |number| format!("{number:.1}"))
}

/// Sum of the numbers of an object.
fn sum(value: &Value) -> u64 {
    value
        .as_object()
        .into_iter()
        .flat_map(|members| members.values())
        .filter_map(Value::as_u64)
        .sum()
}

fn chain(answer: &Value) -> String {
    let mut table = Table::new(&[
        "stage",
        "kind",
        ">to server",
        ">to client",
        ">back",
        ">made",
        ">dropped",
        ">held",
        ">cycles/pkt",
        ">batch",
    ]);
    for stage in items(answer) {
        table.row([
            word(&stage["name"]),
            word(&stage["kind"]),
            count(&stage["input"]["to_server"]),
            count(&stage["input"]["to_client"]),
            grouped(sum(&stage["back"])),
            grouped(sum(&stage["originated"])),
            grouped(sum(&stage["dropped"])),
            count(&stage["held"]),
            decimal(&stage["cycles_per_packet"]),
            decimal(&stage["mean_batch"]),
        ]);
    }
    match table.is_empty() {
        true => "the chain has no stage: packets go straight from a port to its peer\n".into(),
        false => table.to_string(),
    }
}

fn ports(answer: &Value) -> String {
    let mut table = Table::new(&[
        "port",
        "side",
        "device",
        "state",
        "link",
        ">rx packets",
        ">rx bytes",
        ">tx packets",
        ">tx bytes",
        ">dropped",
        ">missed",
    ]);
    for port in items(answer) {
        let counters = &port["counters"];
        let dropped = ["tx_full", "port_down"]
            .iter()
            .filter_map(|key| counters[*key].as_u64())
            .sum();
        let stats = &port["device_stats"];
        let missed = ["rx_missed", "rx_no_mbuf"]
            .iter()
            .filter_map(|key| stats[*key].as_u64())
            .sum();
        table.row([
            word(&port["name"]),
            word(&port["side"]),
            word(&port["device"]),
            word(&port["state"]),
            link(&port["link"]),
            count(&counters["rx_packets"]),
            count(&stats["rx_bytes"]),
            count(&counters["tx_packets"]),
            count(&stats["tx_bytes"]),
            grouped(dropped),
            grouped(missed),
        ]);
    }
    let mut text = table.to_string();
    for port in items(answer).filter(|port| port["reason"].is_string()) {
        text += &format!("{}: {}\n", word(&port["name"]), word(&port["reason"]));
    }
    text
}

/// `up 10 G`, `up`, `down`.
pub fn link(link: &Value) -> String {
    match (link["up"].as_bool(), link["speed_mbps"].as_u64()) {
        (Some(true), Some(speed)) => format!("up {}", short(speed as f64 * 1e6)),
        (Some(true), None) => "up".into(),
        _ => "down".into(),
    }
}

fn drops(answer: &Value) -> String {
    let mut table = Table::new(&["where", "reason", ">packets"]);
    let mut rows: Vec<&Value> = items(answer).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row["packets"].as_u64()));
    for row in rows {
        table.row([
            word(&row["stage"]),
            word(&row["reason"]),
            count(&row["packets"]),
        ]);
    }
    match table.is_empty() {
        true => "nothing has been dropped\n".into(),
        false => table.to_string(),
    }
}

fn cores(answer: &Value) -> String {
    let mut table = Table::new(&[
        ">core",
        ">cpu",
        "state",
        ">busy",
        ">polls",
        ">empty",
        ">full",
        ">to server p50",
        ">p99",
        ">to client p50",
        ">p99",
    ]);
    for core in items(answer) {
        let time = |direction: &str, key: &str| match &core["transit"][direction] {
            transit if transit["packets"].as_u64().unwrap_or(0) > 0 => {
                nanos(transit[key].as_u64().unwrap_or(0))
            }
            _ => "-".into(),
        };
        table.row([
            count(&core["core"]),
            count(&core["cpu"]),
            if core["running"] == true {
                "running"
            } else {
                "ENDED"
            }
            .into(),
            format!(
                "{:.0} %",
                core["busy_share"].as_f64().unwrap_or(0.0) * 100.0
            ),
            count(&core["polls"]),
            count(&core["polls_empty"]),
            count(&core["polls_full"]),
            time("to_server", "p50_ns"),
            time("to_server", "p99_ns"),
            time("to_client", "p50_ns"),
            time("to_client", "p99_ns"),
        ]);
    }
    table.to_string()
}

fn memory(answer: &Value) -> String {
    let packets = answer["packets"].as_u64().unwrap_or(0);
    let in_use = answer["in_use"].as_u64().unwrap_or(0);
    let share = if packets > 0 {
        in_use as f64 / packets as f64 * 100.0
    } else {
        0.0
    };
    let where_ = if answer["hugepages"] == true {
        "huge pages"
    } else {
        "ordinary pages (slow)"
    };
    format!(
        "packets  {} of {} in use ({share:.1} %), in {where_}\n",
        grouped(in_use),
        grouped(packets)
    )
}

fn version(answer: &Value) -> String {
    format!(
        "name    {}\nsluice  {}\ndpdk    {}\nuptime  {}\npid     {}\n",
        word(&answer["name"]),
        word(&answer["version"]),
        word(&answer["dpdk"]),
        duration(answer["uptime_seconds"].as_f64().unwrap_or(0.0)),
        answer["pid"],
    )
}

fn health(answer: &Value) -> String {
    let problems: Vec<String> = items(&answer["problems"]).map(word).collect();
    match problems.as_slice() {
        [] => "all is well\n".into(),
        problems => format!("{}\n", problems.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_chain_with_its_sums() {
        let text = chain(&json!([{
            "name": "front", "kind": "acl", "input": {"to_server": 1234567, "to_client": 5},
            "back": {"to_server": 1, "to_client": 2}, "originated": {"to_server": 0, "to_client": 0},
            "dropped": {"denied": 40, "malformed": 2}, "held": 0, "cycles_per_packet": 41.26,
            "mean_batch": 17.0
        }]));
        let row: Vec<&str> = text
            .lines()
            .nth(1)
            .unwrap()
            .split("  ")
            .filter(|c| !c.is_empty())
            .collect();
        let row: Vec<&str> = row.iter().map(|cell| cell.trim()).collect();
        assert_eq!(
            row,
            [
                "front",
                "acl",
                "1 234 567",
                "5",
                "3",
                "0",
                "42",
                "0",
                "41.3",
                "17.0"
            ]
        );
        assert!(chain(&json!([])).contains("no stage"));
    }

    #[test]
    fn drops_begin_with_the_most() {
        let text = drops(&json!([
            {"stage": "a", "reason": "x", "packets": 1}, {"stage": "b", "reason": "y", "packets": 9},
        ]));
        assert!(
            text.find("b").unwrap() < text.find("a  ").unwrap(),
            "{text}"
        );
        assert_eq!(drops(&json!([])), "nothing has been dropped\n");
    }

    #[test]
    fn links() {
        assert_eq!(
            link(&json!({"up": true, "speed_mbps": 10_000})),
            "up 10.0 G"
        );
        assert_eq!(link(&json!({"up": true, "speed_mbps": null})), "up");
        assert_eq!(link(&json!({"up": false})), "down");
    }

    #[test]
    fn only_what_is_asked_for() {
        let mut list = json!([{"name": "a"}, {"name": "b"}]);
        keep(&mut list, "b").unwrap();
        assert_eq!(list, json!([{"name": "b"}]));
        assert!(
            keep(&mut list, "c")
                .unwrap_err()
                .message()
                .contains("there is b")
        );
        assert!(keep(&mut json!({}), "c").is_err());
    }

    #[test]
    fn nothing_unexpected_breaks_a_table() {
        for odd in [json!(null), json!([1, "x", {}, []]), json!({"a": 1})] {
            for show in [chain, ports, drops, cores, memory, version, health] {
                let _ = show(&odd);
            }
        }
    }
}
