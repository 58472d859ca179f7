//! Which packets are whose.

use super::super::rules::Rules;
use super::*;
use crate::packet::{Direction, Meta};
use crate::testing::pool;
use crate::wire::vlan;

#[test]
fn ip07_the_first_rule_that_matches_wins() {
    let pool = pool(63);
    let actor = |index| ActorId {
        index,
        generation: 0,
    };
    let destination = |address: &str| Match {
        destination: Some(address.parse().expect("an address")),
        ..Match::default()
    };
    let rules = [
        Match {
            port: Some(3),
            ..Match::default()
        },
        Match {
            vlan: Some(7),
            ..Match::udp(53)
        },
        Match {
            magic: Some(Magic {
                at: 2,
                bytes: b"RTA".to_vec(),
            }),
            ..Match::udp(5000)
        },
        Match::udp(5000),
        destination("fd00::2"),
        destination("10.0.0.9"),
        Match {
            protocol: Some(1),
            ..Match::default()
        },
    ];
    let rules = Rules(
        (0u16..)
            .zip(rules)
            .map(|(n, rule)| (rule, actor(n)))
            .collect(),
    );
    let whose = |frame: &[u8], port: u16| {
        let mut packet = Packet::from_bytes(&pool, frame).expect("a packet");
        packet.reset_meta(Meta::received(0, port, Direction::ToServer));
        rules.actor(&packet).map(|actor| actor.index)
    };
    let udp = |to: &str| Frame::udp("10.0.0.1:1", to);
    assert_eq!(whose(&udp("10.0.0.2:9").build(), 3), Some(0));
    assert_eq!(whose(&udp("10.0.0.2:9").build(), 0), None);
    assert_eq!(whose(&udp("10.0.0.2:53").build(), 0), None, "no VLAN");
    assert_eq!(whose(&udp("10.0.0.2:53").vlan(7).build(), 0), Some(1));
    assert_eq!(whose(&udp("10.0.0.2:53").vlan(8).build(), 0), None);
    let with = |payload: &[u8]| udp("10.0.0.2:5000").payload(payload).build();
    assert_eq!(whose(&with(b"..RTA!"), 0), Some(2));
    assert_eq!(whose(&with(b"RTA..."), 0), Some(3));
    assert_eq!(whose(&with(b"..R"), 0), Some(3), "too short");
    let six = Frame::udp("[fd00::1]:1", "[fd00::2]:9").build();
    assert_eq!(whose(&six, 0), Some(4));
    assert_eq!(
        whose(&Frame::tcp("10.0.0.1:1", "10.0.0.9:5000").build(), 0),
        Some(5)
    );
    assert_eq!(
        whose(&Frame::ping("10.0.0.1", "10.0.0.2").build(), 0),
        Some(6)
    );
    // A later fragment has no ports, and no frame at all has nothing.
    let later = udp("10.0.0.2:5000").payload(&[0; 64]).fragment(100).build();
    assert_eq!(whose(&later, 0), None);
    assert_eq!(whose(&[1, 2, 3], 0), None);
    assert_eq!(whose(&[1, 2, 3], 3), Some(0));
    // A tag that the port took off is no longer in the frame.
    let mut tagged = udp("10.0.0.2:53").vlan(7).build();
    assert!(vlan::pop(&mut tagged).is_some());
    assert_eq!(whose(&tagged[4..], 0), None);
    drop(rules);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn ip07_transit_traffic_passes_untouched() {
    let mut bench = ActorBench::new(1);
    let sink = bench.actors.create(NewActor::new("sink"), || {
        Box::new(Does(|cx: &mut ActorCx<'_>, message: Packet| {
            cx.drop(message, 0);
        }))
    });
    let sink = sink.expect("it");
    bench
        .actors
        .register(sink, &[Match::udp(PORT)])
        .expect("it");
    let mut expected = Vec::new();
    for n in 0..300 {
        let frame = match n % 3 {
            0 => Frame::tcp("10.0.0.1:1", "10.0.0.2:7000")
                .payload(&[n as u8])
                .build(),
            1 => request(PORT, n, 0),
            _ => request(PORT + 1, n, 0),
        };
        bench.until("room", |bench| bench.send(0, &frame));
        if n % 3 != 1 {
            expected.push(frame);
        }
    }
    let mut got = Vec::new();
    bench.until("the rest", |bench| {
        got.extend(bench.received(1));
        got.len() >= expected.len()
    });
    assert!(got == expected, "every byte, in order");
    bench.until("the actor", |bench| {
        bench.counted("sink").dropped.sum() == 100
    });
    assert_eq!(bench.counted("sink").input, [100, 0]);
    // Without rules it all passes.
    bench.actors.delete(sink).expect("it");
    bench.until("the way", |bench| {
        bench.send(0, &request(PORT, 1, 1));
        !bench.received(1).is_empty()
    });
    bench.end();
}
