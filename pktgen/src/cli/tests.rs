//! What the flags mean, and what is said of wrong ones.

use clap::CommandFactory;
use serde_json::json;

use super::*;
use crate::profile::Profile;
use crate::profile::values::Values;

fn run(args: &[&str]) -> Result<Profile, String> {
    let cli = Cli::try_parse_from([&["pktgen", "run"], args].concat())
        .map_err(|error| error.to_string())?;
    let Command::Run(run) = cli.command else {
        return Err("not run".into());
    };
    profile(&run.traffic)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn flags_make_a_profile() {
    let profile = run(&[
        "--port",
        "tap:pg0",
        "--port",
        "far=null",
        "--rate",
        "1Mpps",
        "--size",
        "imix",
        "--src",
        "10.0.0.1+100",
        "--dst",
        "10.0.1.1",
        "--src-port",
        "1000-1009",
        "--vlan",
        "7",
        "--vlan",
        "8",
        "--spacing",
        "burst:4",
        "--ramp",
        "1kpps,2s",
        "-d",
        "3s",
        "--seed",
        "9",
        "--tx-cores",
        "0,1",
        "--rx-cores",
        "0",
        "--gateway",
        "10.0.0.254",
    ])
    .unwrap();
    assert_eq!(
        (&*profile.ports[0].name, &*profile.ports[1].name),
        ("port0", "far")
    );
    let stream = &profile.streams[0];
    assert_eq!(stream.rate, Rate::Packets(1e6));
    assert_eq!(stream.packet.vlans.len(), 2);
    assert_eq!(stream.packet.vlans[0].tpid, 0x88a8);
    assert_eq!(
        stream.packet.ipv4.as_ref().unwrap().source.sequence.len(),
        100
    );
    assert_eq!(
        stream
            .packet
            .udp
            .as_ref()
            .unwrap()
            .source_port
            .sequence
            .len(),
        10
    );
    assert_eq!(profile.cores.transmit, [0, 1]);
    assert_eq!(profile.duration.unwrap().nanoseconds(), 3_000_000_000);
}

#[test]
fn ipv6_and_other_transports() {
    let profile = run(&[
        "--self-test",
        "--src",
        "2001:2::1+5",
        "--protocol",
        "tcp",
        "--dst-port",
        "443",
    ])
    .unwrap();
    let packet = &profile.streams[0].packet;
    assert!(packet.ipv4.is_none() && packet.ipv6.is_some());
    assert_eq!(
        packet.tcp.as_ref().unwrap().destination_port,
        Values::one(443)
    );
}

#[test]
fn flags_override_every_stream_of_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.json");
    let profile = json!({
        "ports": [{"name": "a", "device": {"type": "null"}}], "duration": "1s",
        "streams": [{"port": "a"}, {"rate": "5kpps", "spacing": "poisson"}]
    });
    std::fs::write(&path, profile.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let profile = run(&[path, "--rate", "7kpps", "-n", "10"]).unwrap();
    assert!(profile.streams.iter().all(|s| s.rate == Rate::Packets(7e3)));
    assert_eq!(profile.streams[1].spacing, Spacing::Poisson);
    assert_eq!((profile.duration, profile.packets), (None, Some(10)));
    // The same profile tests itself, whatever its ports are.
    assert_eq!(
        &*run(&[path, "--self-test"]).unwrap().ports[1].name,
        "right"
    );
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    for (args, expected) in [
        (&["--rate", "fast"][..], "is not a rate"),
        (&["--size", "63"], "frame sizes are 64"),
        (&["--port", "tup:x"], "there is no device `tup:x`"),
        (&["--src", "10.0.0.256"], "IPv4 address"),
        (
            &["--src", "10.0.0.1", "--dst", "::1", "--self-test"],
            "must both be IPv4",
        ),
        (&["--spacing", "burst"], "burst:PACKETS"),
        (&["--ramp", "5s"], "RATE,TIME"),
        (
            &["--protocol", "icmp", "--src-port", "1", "--self-test"],
            "no place in ICMP",
        ),
        (&[], "no port to send on"),
        (&["/nowhere.json"], "cannot be read"),
    ] {
        let error = run(args).unwrap_err();
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn the_manual_covers_every_command() {
    let page = String::from_utf8(manual().unwrap()).unwrap();
    for command in [
        "RUN",
        "ECHO",
        "RFC2544",
        "RPC",
        "SERVE",
        "LAEDGE",
        "PRESETS",
        "CHECK",
        "SCHEMA",
        "COMPLETIONS",
        "MAN",
    ] {
        assert!(
            page.contains(&format!(".SH \"PKTGEN {command}\"")),
            "{command}"
        );
    }
}
