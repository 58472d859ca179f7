//! Every key of the JSON output, every key of a profile, and every example stands as documented.

use serde_json::Value;

use super::tests::{example, rfc_example};

const PAGE: &str = include_str!("../../../docs/pktgen.md");

fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                paths(value, &at, found);
            }
        }
        Value::Array(items) => match items.first() {
            Some(item) => paths(item, &format!("{at}[]"), found),
            None => found.push(format!("{at}[]")),
        },
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn every_key_of_the_json_output_is_documented() {
    let mut run = example();
    run.sent.lateness = None;
    let mut found = Vec::new();
    paths(&serde_json::to_value(run).unwrap(), "", &mut found);
    let mut rfc = rfc_example();
    for size in &mut rfc.sizes {
        // Its keys are those of a run's.
        size.latency = None;
    }
    paths(&serde_json::to_value(rfc).unwrap(), "", &mut found);
    paths(
        &serde_json::to_value(crate::engine::echo::EchoSnapshot::default()).unwrap(),
        "",
        &mut found,
    );
    assert!(found.len() > 90);
    let missing: Vec<&String> = found
        .iter()
        .filter(|path| !PAGE.contains(&format!("`{path}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/pktgen.md: {missing:?}");
}

#[test]
fn every_key_of_a_profile_is_documented() {
    fn keys(schema: &Value, found: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
    }
    let schema = crate::profile::schema();
    let mut found = Vec::new();
    keys(&schema, &mut found);
    let own = [
        "Cores", "Receive", "Stream", "Packet", "Ethernet", "Vlan", "Ipv4", "Ipv6", "Udp", "Tcp",
        "Icmp", "Burst", "Ramp", "Replay",
    ];
    for name in own {
        let section = &schema["$defs"][name];
        assert!(section.is_object(), "{name}");
        keys(section, &mut found);
    }
    let missing: Vec<&String> = found
        .iter()
        .filter(|key| {
            let known = [format!("`{key}`"), format!(".{key}`"), format!("\"{key}\"")];
            *key != "$schema" && !known.iter().any(|known| PAGE.contains(known))
        })
        .collect();
    assert!(missing.is_empty(), "not in docs/pktgen.md: {missing:?}");
}

#[test]
fn the_example_profiles_are_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/pktgen");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let profile = crate::profile::load(&path).unwrap_or_else(|p| panic!("{path:?}: {p:?}"));
        let mut problems = nf_core::check::Problems::new();
        crate::profile::check(&profile, &mut problems);
        for (index, stream) in profile.streams.iter().enumerate() {
            crate::engine::plan::check_stream(index, stream, &mut problems);
        }
        assert!(
            problems.is_empty(),
            "{path:?}: {}",
            crate::cli::told(&problems)
        );
        seen += 1;
    }
    assert!(seen >= 6);
}

#[test]
fn the_profile_on_the_page_is_right() {
    let start = PAGE.find("```json\n").unwrap() + 8;
    let text = &PAGE[start..start + PAGE[start..].find("```").unwrap()];
    let mut problems = nf_core::check::Problems::new();
    let value: Value = serde_json::from_str(text).unwrap();
    let profile = crate::profile::parse(&value, &mut problems);
    crate::profile::check(&profile, &mut problems);
    assert!(problems.is_empty(), "{}", crate::cli::told(&problems));
    assert_eq!(
        profile.streams[0]
            .packet
            .ipv4
            .as_ref()
            .unwrap()
            .source
            .sequence
            .len(),
        200
    );
}
