//! DPDK's own telemetry socket works beside ours, as `dpdk-telemetry.py` uses it.

use std::path::Path;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::{Value, json};
use testkit::{Need, Sluice, require};

/// One answer; messages of the socket keep their bounds.
fn receive(socket: &OwnedFd) -> Value {
    let mut answer = vec![0; 65_536];
    let (length, _) = rustix::net::recv(socket, &mut answer[..], RecvFlags::empty()).unwrap();
    serde_json::from_slice(&answer[..length]).unwrap()
}

fn ask(socket: &OwnedFd, command: &str) -> Value {
    rustix::net::send(socket, command.as_bytes(), SendFlags::empty()).unwrap();
    receive(socket)
}

#[test]
fn it_lists_our_ports_and_their_statistics() {
    require!(Need::Root);
    let port = |name: &str, side: &str| json!({ "name": name, "side": side, "device": { "type": "null" } });
    let name = format!("telemetry-{}", std::process::id());
    let sluice = Sluice::start(json!({
        "name": name,
        "eal": { "dpdk_telemetry": true },
        "ports": [port("a", "client"), port("b", "server")],
        "chain": [],
    }));
    let path = Path::new("/var/run/dpdk")
        .join(&name)
        .join("dpdk_telemetry.v2");
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Recv,
        Some(Duration::from_secs(10)),
    )
    .unwrap();
    rustix::net::connect(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    // It says who it is first.
    let hello = receive(&socket);
    assert!(
        hello["version"].as_str().unwrap().contains("DPDK"),
        "{hello}"
    );
    assert_eq!(hello["pid"], sluice.json("/api/v1/version")["pid"]);

    assert_eq!(
        ask(&socket, "/ethdev/list"),
        json!({ "/ethdev/list": [0, 1] })
    );
    let info = ask(&socket, "/ethdev/info,1");
    assert_eq!(info["/ethdev/info"]["name"], "net_null_b", "{info}");
    let packets = || ask(&socket, "/ethdev/stats,1")["/ethdev/stats"]["opackets"].as_u64();
    let before = packets();
    testkit::wait_for("packets", Duration::from_secs(10), || {
        (packets() > before).then_some(())
    })
    .unwrap();
    drop(socket);
    assert!(sluice.stop().0.success());
    assert!(!path.exists());
}
