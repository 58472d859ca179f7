//! Every call of the API, with what it refuses.

use super::*;

/// An actor that does one thing, once, and says what came of it.
fn once(does: impl Fn(&mut ActorCx<'_>) -> Vec<String> + Send + Sync + 'static) -> Vec<String> {
    let told: Told<Vec<String>> = Told::default();
    let (does, tells) = (Arc::new(does), told.clone());
    let mut bench = ActorBench::new(0);
    let new = NewActor {
        memory: 8192,
        packets: 4,
        timers: 1,
        ..NewActor::new("once")
    };
    let actor = bench.actors.create(new, move || {
        let (does, tells) = (does.clone(), tells.clone());
        Box::new(Does(move |cx: &mut ActorCx<'_>, message: Packet| {
            tell(&tells, does(cx));
            cx.drop(message, 0);
        }))
    });
    let actor = actor.expect("it");
    bench
        .actors
        .register(actor, &[Match::udp(PORT)])
        .expect("it");
    bench.until("room", |bench| bench.send(0, &request(PORT, 0, 0)));
    bench.until("what it says", |_| !told.lock().expect("told").is_empty());
    bench.end();
    told.lock().expect("told").remove(0)
}

#[test]
fn ip08_the_six_calls_for_objects() {
    let said = once(|cx| {
        let mut said = Vec::new();
        let one = cx.dmo_alloc(8).expect("room");
        let two = cx.dmo_alloc(4).expect("room");
        cx.dmo_get_mut(one)
            .expect("it")
            .copy_from_slice(b"abcdefgh");
        cx.dmo_set(one, 6, b'-', 2).expect("within");
        cx.dmo_copy((two, 0), (one, 1), 4).expect("within");
        cx.dmo_move((one, 1), (one, 0), 5).expect("within");
        cx.dmo_set(one, 8, 0, 0).expect("nothing");
        said.push(format!(
            "{:?} {:?}",
            String::from_utf8_lossy(cx.dmo_get(one).expect("it")),
            String::from_utf8_lossy(cx.dmo_get(two).expect("it"))
        ));
        let mut refused = |what: Result<(), DmoError>| {
            let error = what.expect_err("refused");
            said.push(
                format!("{error:?}")
                    .split([' ', '{'])
                    .next()
                    .unwrap_or("")
                    .to_owned(),
            );
        };
        refused(cx.dmo_set(one, 7, 0, 2));
        refused(cx.dmo_copy((two, 2), (one, 0), 4));
        refused(cx.dmo_copy((one, 1), (one, 0), 4));
        refused(cx.dmo_move((two, usize::MAX), (one, 0), 1));
        refused(cx.dmo_alloc(9000).map(drop));
        cx.dmo_free(two).expect("it");
        refused(cx.dmo_free(two));
        refused(cx.dmo_get(two).map(drop));
        refused(cx.dmo_get_mut(ObjectId::NONE).map(drop));
        refused(cx.dmo_migrate(two, cx.id(), 0));
        said
    });
    let expected = [
        "\"aabcde--\" \"bcde\"",
        "Bounds",
        "Bounds",
        "Overlap",
        "Bounds",
        "Quota",
        "Stale",
        "Stale",
        "NoObject",
        "Stale",
    ];
    assert_eq!(said, expected);
}

#[test]
fn ip48_an_actor_has_no_more_packets_than_its_quota() {
    let said = once(|cx| {
        let mut said = Vec::new();
        // One of four is the message.
        let mut held: Vec<Packet> = std::iter::from_fn(|| cx.alloc()).take(9).collect();
        said.push(format!("{} {}", held.len(), cx.held()));
        let one = held.pop().expect("one");
        cx.drop(one, 0);
        let first = held.pop().expect("one");
        assert!(cx.copy(&first).is_none(), "there is nothing to copy");
        let mut first = first;
        first.append(1).expect("room");
        let copy = cx.copy(&first);
        held.extend(copy);
        held.push(first);
        said.push(format!("{} {}", held.len(), cx.copy(&held[0]).is_none()));
        for packet in held {
            cx.drop(packet, 0);
        }
        said.push(cx.held().to_string());
        let timer = cx.timer(1_000_000_000, 1).expect("one");
        said.push(format!("{:?}", cx.timer(1, 2).is_none()));
        said.push(format!("{} {}", cx.cancel(timer), cx.cancel(timer)));
        let differs = cx.random() != cx.random();
        said.push(format!("{} {differs}", cx.name()));
        said
    });
    assert_eq!(
        said,
        ["3 4", "3 true", "1", "true", "true false", "once true"]
    );
}

#[test]
fn ip48_a_message_beyond_the_quota_is_dropped() {
    let mut bench = ActorBench::new(0);
    let new = NewActor {
        packets: 3,
        ..NewActor::new("keeps")
    };
    let keeps = bench.actors.create(new, || {
        let mut kept = Vec::new();
        Box::new(Does(move |cx: &mut ActorCx<'_>, message: Packet| {
            if words(&message)[0] == 9 {
                kept.drain(..).for_each(|packet| cx.reply(packet));
            }
            kept.push(message);
        }))
    });
    let keeps = keeps.expect("it");
    bench
        .actors
        .register(keeps, &[Match::udp(PORT)])
        .expect("it");
    for n in 0..5 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 0)));
    }
    // What leaks is seen: it holds three, and gets no more.
    bench.until("the quota", |bench| {
        bench.counted("chain").dropped.get("over_quota") == 2
    });
    assert_eq!(bench.counted("keeps").held(), 3);
    bench.end();
}

#[test]
fn ip54_headers_are_put_on_and_taken_off() {
    let pool = crate::testing::pool(63);
    for (from, to) in [("10.0.0.1:5", "10.0.0.2:6"), ("[fd00::1]:5", "[fd00::2]:6")] {
        let frame = Frame::udp(from, to).payload(b"hello").pad_to(80).build();
        let mut packet = Packet::from_bytes(&pool, &frame).expect("a packet");
        let headers = Udp::strip(&mut packet).expect("a datagram");
        assert_eq!(
            (
                headers.source.to_string().as_str(),
                headers.destination.port()
            ),
            (from, 6)
        );
        assert_eq!(packet.data(), b"hello", "without padding");
        headers.put(&mut packet).expect("room");
        let layers = crate::wire::Layers::parse(packet.data()).expect("sound");
        assert_eq!(layers.payload(packet.data()), b"hello");
        assert!(layers.is_ipv6() || crate::wire::ipv4_checksum_ok(packet.data(), &layers));
        assert_eq!(
            crate::wire::check_transport_checksum(packet.data(), &layers),
            crate::wire::Verdict::Good
        );
        assert_eq!(Udp::read(&packet).expect("a datagram").0, headers);
        let back = headers.turned();
        assert_eq!(
            (back.source, back.destination),
            (headers.destination, headers.source)
        );
        // No room left before it.
        let room = packet.headroom();
        assert!(packet.prepend(room).is_some());
        let len = packet.len();
        assert!(matches!(
            headers.put(&mut packet),
            Err(EncapError::NoRoom { room: 0, .. })
        ));
        assert_eq!(packet.len(), len);
        let twin = packet.share(&pool).expect("a packet");
        assert_eq!(headers.put(&mut packet), Err(EncapError::Shared));
        drop(twin);
        let mixed = Udp {
            source: "[::1]:1".parse().expect("it"),
            destination: "1.1.1.1:1".parse().expect("it"),
            ..headers
        };
        assert_eq!(mixed.put(&mut packet), Err(EncapError::Versions));
    }
    let mut ping =
        Packet::from_bytes(&pool, &Frame::ping("10.0.0.1", "10.0.0.2").build()).expect("it");
    assert_eq!(Udp::strip(&mut ping), None);
    drop(ping);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn ip08_an_actors_own_packets_leave_by_the_port_it_says() {
    let mut bench = ActorBench::new(1);
    let actor = bench.actors.create(NewActor::new("tells"), || {
        Box::new(Does(|cx: &mut ActorCx<'_>, mut message: Packet| {
            let number = words(&message)[0];
            let Some(headers) = cx.decapsulate(&mut message) else {
                return cx.drop(message, 0);
            };
            if let Some(mut own) = cx.alloc() {
                own.append(8).expect("room")[..4].copy_from_slice(&number.to_be_bytes());
                cx.encapsulate(&mut own, &headers.turned()).expect("room");
                cx.tx(own, ActorBench::SERVERS);
            }
            cx.encapsulate(&mut message, &headers).expect("room");
            cx.forward(message);
        }))
    });
    let actor = actor.expect("it");
    bench
        .actors
        .register(actor, &[Match::udp(PORT)])
        .expect("it");
    bench.move_to(actor, Side::Worker(None), |_| {});
    for n in 0..50 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 7)));
    }
    let mut got = Vec::new();
    bench.until("both of each", |bench| {
        got.extend(bench.received(1));
        got.len() >= 100
    });
    let got: Vec<_> = got.iter().map(|frame| numbers(frame)).collect();
    let expected: Vec<_> = (0..50).flat_map(|n| [vec![n, 0], vec![n, 7]]).collect();
    assert_eq!(got, expected);
    assert!(bench.received(0).is_empty());
    assert_eq!(bench.counted("tells").held(), 0);
    bench.end();
}
