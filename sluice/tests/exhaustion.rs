//! A pool without a free packet: counted, and over when packets come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Ends, FrameSocket, Need, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(20);
const PACKETS: u64 = 1024;

/// Two rings keep what they are sent, more than the pool has, so that a TAP has nothing left to
/// receive into; when the rings are closed, it has.
#[test]
fn a_pool_that_runs_dry_is_counted_and_recovers() {
    require!(Need::Root, Need::Tun);
    let ends = Ends::new();
    let port = |name: &str, side: &str, peer: &str, device: Value| {
        json!({
            "name": name, "side": side, "peer": peer, "device": device,
            "rx_descriptors": 64, "tx_descriptors": 64,
        })
    };
    let hoard = json!({ "type": "ring", "slots": 4096 });
    let tap = json!({ "type": "tap", "interface": ends.client_interface });
    let sluice = Sluice::start(json!({
        "mempool": { "packets": PACKETS, "cache": 32 },
        "ports": [
            port("clients", "client", "hoard", tap),
            port("hoard", "server", "hoard-too", hoard.clone()),
            port("hoard-too", "client", "hoard", hoard),
        ],
        "chain": [{ "stage": "pass" }],
    }));
    ends.adopt_client();
    let socket = FrameSocket::open(&ends.clients, &ends.client_interface);
    let stop = AtomicBool::new(false);
    let command = |port: &str, verb: &str| {
        let answer = sluice.post(&format!("/api/v1/ports/{port}/{verb}"), &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let frame = [0xaa; 100];
            while !stop.load(Ordering::Relaxed) {
                // Fails when the TAP's queue is full for seconds; that is not what is tested.
                let _ = socket.send(&frame);
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        // Also when an assertion fails, or the scope would wait for ever.
        let _stop = Stop(&stop);
        for round in 0..2 {
            let before = no_mbuf(&sluice);
            wait_for("a count of missing buffers", LIMIT, || {
                (no_mbuf(&sluice) > before).then_some(())
            })
            .unwrap_or_else(|error| {
                panic!(
                    "round {round}: {error}: {:#} {:#}",
                    sluice.json("/api/v1/memory"),
                    sluice.json("/api/v1/ports")
                )
            });
            assert!(sluice.packets_in_use() > PACKETS / 2);
            let metric = sluice.metric("sluice_port_receive_no_mbuf_total{port=\"clients\"}");
            assert!(metric.is_some_and(|count| count > 0.0), "{metric:?}");
            assert!(
                sluice
                    .json("/api/v1/drops")
                    .to_string()
                    .contains("rx_no_mbuf")
            );

            command("hoard", "down");
            command("hoard-too", "down");
            wait_for("a pool with room", LIMIT, || {
                (sluice.packets_in_use() < PACKETS / 2).then_some(())
            })
            .unwrap();
            // The TAP receives again; where to send it there is no more.
            let before = sluice.port_count("hoard", "port_down");
            wait_for("packets", LIMIT, || {
                (sluice.port_count("hoard", "port_down") > before + 500).then_some(())
            })
            .unwrap();
            assert_eq!(sluice.get("/healthz").status, 200);
            command("hoard", "up");
            command("hoard-too", "up");
        }
    });
    let (status, log) = sluice.stop();
    assert!(status.success() && !log.contains("not given back"), "{log}");
}

/// What the device counted.
fn no_mbuf(sluice: &Sluice<'_>) -> u64 {
    sluice.port("clients")["device_stats"]["rx_no_mbuf"]
        .as_u64()
        .unwrap()
}

/// Ends the sender.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
