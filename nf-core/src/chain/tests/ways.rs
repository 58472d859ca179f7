//! Every way that a packet can go through a chain.

use super::*;

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    let mut bench = Bench::new(vec![pass(), pass(), pass()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"1", b"2"]),
        [(1, b'1'), (1, b'2')]
    );
    assert_eq!(bench.run(1, Direction::ToClient, &[b"3"]), [(0, b'3')]);
    assert_eq!(
        *bench.log.lock().expect("log"),
        ["a", "b", "c", "c", "b", "a"]
    );
    assert_eq!(bench.stage("b").input, [2, 1]);
    bench.assert_conserved();
}

#[test]
fn a_chain_without_stages_forwards_untouched() {
    let mut bench = Bench::new(vec![]);
    assert_eq!(bench.run(0, Direction::ToServer, &[b"x"]), [(1, b'x')]);
    bench.assert_conserved();
}

#[test]
fn drops_are_counted_by_reason() {
    let act: Act = Box::new(|cx, packet| match packet.data()[0] {
        b'1' => {
            cx.drop(packet, 0);
            None
        }
        b'2' => {
            cx.drop(packet, 1);
            None
        }
        b'9' => {
            cx.drop(packet, 99);
            None
        }
        _ => Some(packet),
    });
    let mut bench = Bench::new(vec![act]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"1", b"2", b"2", b"9", b"x"]),
        [(1, b'x')]
    );
    let dropped = bench.stage("a").dropped;
    assert_eq!(
        (
            dropped.get("first"),
            dropped.get("second"),
            dropped.get("other")
        ),
        (1, 2, 1)
    );
    bench.assert_conserved();
}

#[test]
fn an_answer_passes_only_the_stages_nearer_to_the_client() {
    let answer: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToServer && packet.data()[0] == b'q' {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![pass(), answer, pass()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"q", b"x"]),
        [(1, b'x'), (0, b'q')]
    );
    assert_eq!(*bench.log.lock().expect("log"), ["a", "b", "c", "a"]);
    assert_eq!(bench.stage("b").back, [1, 0]);
    assert_eq!(bench.stage("a").input, [2, 1]);
    bench.assert_conserved();
}

#[test]
fn one_becomes_two_and_the_original_leaves_first() {
    let multiply: Act = Box::new(|cx, packet| {
        if let Some(mut copy) = cx.copy(&packet) {
            copy.data_mut()[0] = b'C';
            cx.forward(copy);
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![multiply, pass()]);
    let many: Vec<&[u8]> = vec![b"o"; 64];
    let out = bench.run(0, Direction::ToServer, &many);
    assert_eq!(out.len(), 128, "a burst of 64 emits 128");
    assert!(
        out[..64].iter().all(|&(_, byte)| byte == b'o')
            && out[64..].iter().all(|&(_, byte)| byte == b'C')
    );
    assert_eq!(bench.stage("a").originated, [64, 0]);
    bench.assert_conserved();
}

#[test]
fn held_packets_leave_by_a_timer_in_either_direction() {
    for (token, port) in [(0, 1), (1, 0)] {
        let holder = Arc::new(Mutex::new(Vec::new()));
        let mut bench = Bench::new(vec![pass()]);
        let keep = holder.clone();
        let act: Act = Box::new(move |cx, packet| {
            keep.lock().expect("held").push(packet);
            cx.timer(5_000, token).expect("a free timer");
            None
        });
        let stage = Test {
            name: "b",
            act,
            held: holder,
            log: bench.log.clone(),
        };
        let first = bench.telemetry.stage("a", "test", 0, REASONS, &[]);
        let second = bench.telemetry.stage("b", "test", 0, REASONS, &[]);
        let egress = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        let pass_through = Test {
            name: "a",
            act: pass(),
            held: bench.held.clone(),
            log: bench.log.clone(),
        };
        bench.chain = Chain::new(
            vec![
                ChainStage::new("a", 0, Box::new(pass_through), first, 16),
                ChainStage::new("b", 0, Box::new(stage), second, 16),
            ],
            egress,
        );
        assert!(bench.run(0, Direction::ToServer, &[b"h"]).is_empty());
        assert_eq!(bench.stage("b").held(), 1);
        bench.time.advance(100_000);
        bench.env.tick();
        assert_eq!(bench.chain.expire(&mut bench.env, &mut bench.sink), 1);
        assert_eq!(std::mem::take(&mut bench.sink.0), [(port, b'h')]);
        assert_eq!(bench.stage("b").held(), 0);
        bench.assert_conserved();
    }
}

#[test]
fn a_stage_originates_packets_of_its_own() {
    let originate: Act = Box::new(|cx, packet| {
        let mut own = cx.alloc().expect("a packet");
        own.append(1).expect("room")[0] = b'n';
        cx.emit(Direction::ToClient, own);
        Some(packet)
    });
    let mut bench = Bench::new(vec![pass(), originate]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]),
        [(1, b'x'), (0, b'n')]
    );
    bench.assert_conserved();
}

#[test]
fn an_exhausted_pool_is_counted_and_the_original_still_goes() {
    let copy: Act = Box::new(|cx, packet| {
        if let Some(copy) = cx.copy(&packet) {
            cx.forward(copy);
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![copy]);
    let hoard: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(&bench.pool))
        .take(2046)
        .collect();
    assert_eq!(bench.run(0, Direction::ToServer, &[b"x"]), [(1, b'x')]);
    assert_eq!(bench.telemetry.snapshot().cores[&0].alloc_failed, 1);
    drop(hoard);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]).len(),
        2,
        "recovered"
    );
    bench.assert_conserved();
}

#[test]
fn stages_choose_egress_ports_packet_by_packet() {
    let spread: Act = Box::new(|_, mut packet| {
        packet.meta_mut().egress = u16::from(packet.data()[0] % 3);
        Some(packet)
    });
    let mut bench = Bench::new(vec![spread]);
    let out = bench.run(
        0,
        Direction::ToServer,
        &[b"0", b"1", b"2", b"3", b"4", b"5"],
    );
    let of = |port| {
        out.iter()
            .filter(|sent| sent.0 == port)
            .map(|sent| sent.1)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (of(0), of(1), of(2)),
        (vec![b'0', b'3'], vec![b'1', b'4'], vec![b'2', b'5'])
    );
    bench.assert_conserved();
}

#[test]
fn packets_that_go_nowhere_are_counted_as_no_egress() {
    let mut bench = Bench::new(vec![pass()]);
    bench
        .chain
        .set_egress(EgressTable::new(&[(Side::Client, None)]));
    assert!(bench.run(0, Direction::ToServer, &[b"x", b"y"]).is_empty());
    assert_eq!(bench.stage("chain").dropped.get("no_egress"), 2);
    bench.assert_conserved();
}

#[test]
fn two_stages_that_bounce_a_packet_do_not_hang_the_core() {
    let bounce = || -> Act {
        Box::new(|cx, packet| {
            cx.back(packet);
            None
        })
    };
    let mut bench = Bench::new(vec![bounce(), bounce()]);
    assert_eq!(
        bench.run(0, Direction::ToServer, &[b"x"]),
        [(0, b'x')],
        "turned once"
    );
    let inner: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToServer {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let outer: Act = Box::new(|cx, packet| {
        if cx.direction() == Direction::ToClient {
            cx.back(packet);
            return None;
        }
        Some(packet)
    });
    let mut looping = Bench::new(vec![outer, inner]);
    assert!(looping.run(0, Direction::ToServer, &[b"x"]).is_empty());
    assert_eq!(looping.stage("chain").dropped.get("loop"), 1);
    bench.assert_conserved();
    looping.assert_conserved();
}

#[test]
fn a_stage_that_emits_without_end_is_bounded() {
    let flood: Act = Box::new(|cx, packet| {
        for _ in 0..100 {
            if let Some(copy) = cx.copy(&packet) {
                cx.forward(copy);
            }
        }
        Some(packet)
    });
    let mut bench = Bench::new(vec![flood]);
    let out = bench.run(0, Direction::ToServer, &[&b"x"[..]; 15]);
    assert_eq!(out.len(), 15 * 101);
    bench.assert_conserved();
}

#[test]
fn the_same_seed_gives_the_same_random_numbers() {
    let draw = || {
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let into = drawn.clone();
        let act: Act = Box::new(move |cx, packet| {
            into.lock().expect("drawn").push(cx.random());
            Some(packet)
        });
        let mut bench = Bench::new(vec![act]);
        bench.run(0, Direction::ToServer, &[&b"x"[..]; 8]);
        bench.assert_conserved();
        Arc::try_unwrap(drawn)
            .expect("sole owner")
            .into_inner()
            .expect("drawn")
    };
    let (first, second) = (draw(), draw());
    assert_eq!(first, second);
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]));
}
