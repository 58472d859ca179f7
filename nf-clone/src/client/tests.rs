//! The client against hand-made answers.

use std::collections::HashSet;
use std::time::Duration;

use super::*;

pub(super) const MS: u64 = 1_000_000;

pub(super) fn config() -> Config {
    Config {
        client_id: 0xaa,
        window_log2: 6,
        ..Config::new(30)
    }
}

pub(super) fn client(config: Config) -> Client {
    Client::new(config, 1).expect("settings that can be")
}

/// The answer of server `sid` to a request, as it comes back through the appliance.
pub(super) fn answer(message: &Outgoing, sid: u16, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Response,
        sid,
        load: 3,
        swid: 1,
        req_id: 0x0001_0000_0000_0007,
        clo: 1,
        ..message.first_header()
    };
    [&header.encode(), payload].concat()
}

/// One packet of a longer answer.
fn part(message: &Outgoing, sid: u16, idx: u8, cnt: u8, payload: &[u8], flags: Flags) -> Vec<u8> {
    let header = Header {
        kind: Kind::Response,
        sid,
        pkt_idx: idx,
        pkt_cnt: cnt,
        flags,
        ..message.first_header()
    };
    [&header.encode(), payload].concat()
}

pub(super) fn begin(client: &mut Client, now: u64) -> (u32, Outgoing) {
    client.begin(now, Request::read(8, 77)).expect("room")
}

#[test]
fn f12_the_first_request_is_the_golden_one() {
    let mut client = client(Config {
        first_seq: 5,
        tables: 2,
        ..config()
    });
    let (seq, message) = begin(&mut client, 0);
    assert_eq!(seq, 5);
    let mut bytes = Vec::new();
    message.encode(0, b"ABCDEFGH", &mut bytes);
    let (header, at) = Header::decode(&bytes).expect("a message");
    let expected = Header {
        client_id: 0xaa,
        client_seq: 5,
        sid: 0xffff,
        grp: header.grp,
        idx: header.idx,
        ..Header::new(Kind::Request)
    };
    assert_eq!((header, &bytes[at..]), (expected, &b"ABCDEFGH"[..]));
}

#[test]
fn f12_groups_and_tables_are_drawn_uniformly() {
    let mut client = client(Config {
        tables: 3,
        ..config()
    });
    let mut groups = [0u32; 30];
    let mut tables = [0u32; 3];
    for n in 0..30_000 {
        let (seq, message) = begin(&mut client, n);
        let header = message.first_header();
        assert_eq!(header.client_seq, n as u32);
        groups[header.grp as usize] += 1;
        tables[usize::from(header.idx)] += 1;
        assert!(client.cancel(seq));
    }
    assert!(groups.iter().all(|n| (850..1150).contains(n)), "{groups:?}");
    assert!(
        tables.iter().all(|n| (9_500..10_500).contains(n)),
        "{tables:?}"
    );
}

#[test]
fn f12_the_first_answer_counts_and_the_second_is_redundant() {
    let mut client = client(config());
    let (seq, message) = begin(&mut client, 1000);
    let first = answer(&message, 3, b"yes");
    assert_eq!(
        client.on_datagram(1500, &first),
        Event::Response(Response {
            seq,
            token: 77,
            sid: 3,
            load: 3,
            clo: 1,
            took: 500,
            attempts: 1,
            payload: b"yes",
        })
    );
    let second = answer(&message, 1, b"yes");
    assert_eq!(
        client.on_datagram(1600, &second),
        Event::Redundant { seq, sid: 1 }
    );
    assert_eq!((client.in_flight(), client.next_time()), (0, None));
    let counters = client.counters();
    assert_eq!(
        (counters.requests, counters.answered, counters.redundant),
        (1, 1, 1)
    );
}

#[test]
fn f12_answers_to_others_and_beyond_the_window_are_unknown() {
    let mut client = client(config());
    let (seq, message) = begin(&mut client, 0);
    let mut other = answer(&message, 1, b"");
    other[35] = 0xab;
    assert_eq!(client.on_datagram(1, &other), Event::Unknown { seq });
    let mut future = answer(&message, 1, b"");
    future[39] = 1;
    assert_eq!(client.on_datagram(1, &future), Event::Unknown { seq: 1 });
    let first = answer(&message, 1, b"");
    assert!(matches!(client.on_datagram(1, &first), Event::Response(_)));
    for _ in 0..64 {
        let (seq, _) = begin(&mut client, 1);
        client.cancel(seq);
    }
    assert_eq!(client.on_datagram(1, &first), Event::Unknown { seq });
    assert_eq!(client.counters().unknown, 3);
}

#[test]
fn f12_as_many_are_in_flight_as_the_window_has_room_for() {
    let mut client = client(config());
    for _ in 0..64 {
        begin(&mut client, 0);
    }
    let full = client.begin(0, Request::read(8, 0));
    assert_eq!(full, Err(BeginError::WindowFull));
    client.cancel(0);
    begin(&mut client, 0);
    assert_eq!(client.in_flight(), 64);
}

#[test]
fn x01_what_is_not_answered_is_sent_again_and_then_given_up() {
    let mut client = client(Config {
        timeout: Duration::from_millis(10),
        ..config()
    });
    let (seq, message) = begin(&mut client, 0);
    let mut groups = HashSet::from([message.first_header().grp]);
    // 10 ms, then twice as long each time.
    for due in [10, 30, 70] {
        assert_eq!(client.next_time(), Some(due * MS));
        assert_eq!(client.poll(due * MS - 1), None);
        let Some(Due::Resend {
            seq: again,
            token: 77,
            message,
        }) = client.poll(due * MS)
        else {
            panic!("not sent again");
        };
        let header = message.first_header();
        assert_eq!((again, header.client_seq, header.req_id), (seq, seq, 0));
        assert_eq!(header.flags, Flags::RETX);
        groups.insert(header.grp);
        assert_eq!(client.poll(due * MS), None);
    }
    assert!(groups.len() > 1, "the group is drawn again each time");
    let given_up = Due::GivenUp {
        seq,
        token: 77,
        attempts: 4,
    };
    assert_eq!(client.poll(150 * MS), Some(given_up));
    assert_eq!((client.next_time(), client.in_flight()), (None, 0));
    let late = answer(&message, 2, b"");
    assert_eq!(
        client.on_datagram(151 * MS, &late),
        Event::Late { seq, sid: 2 }
    );
    let counters = client.counters();
    assert_eq!(
        (counters.retransmissions, counters.given_up, counters.late),
        (3, 1, 1)
    );
}

#[test]
fn x01_an_answer_to_the_first_attempt_counts_after_a_retry() {
    let mut client = client(Config {
        backoff: 1,
        ..config()
    });
    let (seq, message) = begin(&mut client, 0);
    assert!(matches!(client.poll(100 * MS), Some(Due::Resend { .. })));
    assert_eq!(client.next_time(), Some(200 * MS));
    let first = answer(&message, 2, b"");
    let Event::Response(response) = client.on_datagram(101 * MS, &first) else {
        panic!("no answer");
    };
    assert_eq!((response.attempts, response.took), (2, 101 * MS));
    assert_eq!((client.next_time(), client.poll(500 * MS)), (None, None));
    let second = answer(&message, 2, b"");
    assert_eq!(
        client.on_datagram(102 * MS, &second),
        Event::Redundant { seq, sid: 2 }
    );
}

#[test]
fn f12_writes_are_sent_again_only_when_they_may_run_twice() {
    let mut client = client(config());
    let (seq, message) = client.begin(0, Request::write(8, 1)).expect("room");
    assert_eq!(message.first_header().kind, Kind::WriteRequest);
    let given_up = Due::GivenUp {
        seq,
        token: 1,
        attempts: 1,
    };
    assert_eq!(client.poll(100 * MS), Some(given_up));
    let idempotent = Request {
        idempotent: true,
        ..Request::write(8, 2)
    };
    client.begin(0, idempotent).expect("room");
    let Some(Due::Resend { message, .. }) = client.poll(100 * MS) else {
        panic!("not sent again");
    };
    assert_eq!(message.first_header().kind, Kind::WriteRequest);
    assert_eq!(message.first_header().flags, Flags::RETX);
}

#[test]
fn f12_an_answer_of_the_wrong_kind_is_none() {
    let mut client = client(config());
    let (_, message) = client.begin(0, Request::write(8, 1)).expect("room");
    let read = answer(&message, 1, b"");
    assert_eq!(
        client.on_datagram(1, &read),
        Event::Malformed(Malformed::WrongKind)
    );
    let header = Header {
        kind: Kind::WriteResponse,
        sid: 1,
        ..message.first_header()
    };
    assert!(matches!(
        client.on_datagram(1, &header.encode()),
        Event::Response(_)
    ));
}

#[test]
fn f12_no_clone_and_client_ids_are_said_in_the_flags() {
    let mut client = client(Config {
        client_ids: true,
        no_clone: true,
        ..config()
    });
    let (_, message) = begin(&mut client, 0);
    assert_eq!(
        message.first_header().flags,
        Flags::CID.with(Flags::NOCLONE)
    );
    assert_eq!(message.first_header().req_id, 0xaa_0000_0000);
}

#[test]
fn f12_ids_do_not_come_again_when_the_numbers_do() {
    let mut client = client(Config {
        first_seq: u32::MAX,
        client_ids: true,
        ..config()
    });
    let (_, last) = begin(&mut client, 0);
    let (_, first) = begin(&mut client, 0);
    let (last_header, first_header) = (last.first_header(), first.first_header());
    assert_eq!(
        (last_header.client_id, last_header.client_seq),
        (0xaa, u32::MAX)
    );
    assert_eq!(first_header.client_seq, 0);
    assert!(first_header.client_id != 0xaa && first_header.req_id != 0);
    let Some(Due::Resend { message: again, .. }) = client.poll(100 * MS) else {
        panic!("not sent again");
    };
    assert_eq!(again.first_header().client_id, 0xaa);
    let mut of_former = answer(&first, 1, b"");
    of_former[32..36].copy_from_slice(&0xaau32.to_be_bytes());
    assert_eq!(client.on_datagram(1, &of_former), Event::Unknown { seq: 0 });
    for message in [last, first] {
        let bytes = answer(&message, 1, b"");
        assert!(matches!(client.on_datagram(1, &bytes), Event::Response(_)));
    }
}

#[test]
fn f16_long_requests_go_in_packets_of_one_group_and_id() {
    let mut client = client(Config {
        packet_payload: 10,
        ..config()
    });
    let (seq, message) = client.begin(0, Request::read(25, 0)).expect("room");
    assert_eq!(message.packets(), 3);
    let first = message.header(0);
    assert_eq!(first.req_id, u64::from(0xaau32) << 32 | u64::from(seq));
    assert!(first.flags.has(Flags::CID));
    for idx in 1..3 {
        assert_eq!(
            message.header(idx),
            Header {
                pkt_idx: idx,
                ..first
            }
        );
    }
    let too_long = client.begin(0, Request::read(2551, 0));
    assert!(matches!(too_long, Err(BeginError::TooLong(_))));
    assert_eq!(client.in_flight(), 1);
}

#[test]
fn f17_packets_of_two_servers_are_not_mixed() {
    let mut client = client(config());
    let (seq, message) = begin(&mut client, 0);
    let none = Flags::NONE;
    assert_eq!(
        client.on_datagram(1, &part(&message, 1, 0, 2, b"a1", none)),
        Event::Part { seq }
    );
    assert_eq!(
        client.on_datagram(1, &part(&message, 2, 1, 2, b"b2", none)),
        Event::Part { seq }
    );
    let again = part(&message, 1, 0, 2, b"a1", none);
    assert_eq!(
        client.on_datagram(1, &again),
        Event::Redundant { seq, sid: 1 }
    );
    let last = part(&message, 2, 0, 2, b"b1", none);
    let Event::Response(response) = client.on_datagram(9, &last) else {
        panic!("no answer");
    };
    assert_eq!((response.sid, response.payload), (2, &b"b1b2"[..]));
    let late = part(&message, 1, 1, 2, b"a2", none);
    assert_eq!(
        client.on_datagram(10, &late),
        Event::Redundant { seq, sid: 1 }
    );
}

#[test]
fn f17_packets_of_two_attempts_are_not_mixed() {
    let mut client = client(Config {
        groups: 1 << 30,
        ..config()
    });
    let (seq, message) = begin(&mut client, 0);
    let none = Flags::NONE;
    client.on_datagram(1, &part(&message, 1, 0, 2, b"a1", none));
    let Some(Due::Resend { message: again, .. }) = client.poll(100 * MS) else {
        panic!("not sent again");
    };
    let second = part(&again, 1, 1, 2, b"A2", Flags::RETX);
    assert_eq!(client.on_datagram(1, &second), Event::Part { seq });
}

#[test]
fn f17_deterministic_answers_may_be_mixed() {
    let mut client = client(config());
    let (seq, message) = begin(&mut client, 0);
    let first = part(&message, 1, 0, 2, b"a", Flags::DET);
    assert_eq!(client.on_datagram(1, &first), Event::Part { seq });
    let last = part(&message, 2, 1, 2, b"b", Flags::DET);
    let Event::Response(response) = client.on_datagram(1, &last) else {
        panic!("no answer");
    };
    assert_eq!(response.payload, b"ab");
}

#[test]
fn b10_a_count_that_changes_within_an_answer_is_malformed() {
    let mut client = client(config());
    let (_, message) = begin(&mut client, 0);
    client.on_datagram(1, &part(&message, 1, 0, 3, b"a", Flags::NONE));
    let other = part(&message, 1, 1, 2, b"a", Flags::NONE);
    assert_eq!(
        client.on_datagram(1, &other),
        Event::Malformed(Malformed::CountChanged)
    );
}

#[test]
fn b03_what_is_not_for_clients_is_malformed() {
    let mut client = client(config());
    for kind in [Kind::Request, Kind::WriteRequest, Kind::Ping, Kind::Pong] {
        let message = Header::new(kind).encode();
        let event = client.on_datagram(0, &message);
        assert_eq!(event, Event::Malformed(Malformed::NotForClients(kind)));
    }
    assert!(matches!(
        client.on_datagram(0, b"NC"),
        Event::Malformed(Malformed::Wire(_))
    ));
    assert_eq!(client.counters().malformed, 5);
}

#[test]
fn x02_an_answer_that_comes_a_second_late_is_no_answer_to_another_request() {
    let mut client = client(Config {
        timeout: Duration::from_millis(10),
        retries: 0,
        ..config()
    });
    let (seq, message) = begin(&mut client, 0);
    let late = answer(&message, 1, b"old");
    let given_up = Due::GivenUp {
        seq,
        token: 77,
        attempts: 1,
    };
    assert_eq!(client.poll(10 * MS), Some(given_up));
    // Its place is taken by others, then its number's slot in the window.
    for n in 0..200 {
        let (other, message) = begin(&mut client, 1000 * MS + n);
        match client.on_datagram(1000 * MS + n, &late) {
            Event::Late { seq: 0, sid: 1 } => assert!(other < 64),
            event => assert_eq!((event, other >= 64), (Event::Unknown { seq: 0 }, true)),
        }
        let bytes = answer(&message, 2, b"new");
        let Event::Response(response) = client.on_datagram(1000 * MS + n, &bytes) else {
            panic!("no answer");
        };
        assert_eq!((response.seq, response.payload), (other, &b"new"[..]));
    }
}

#[test]
fn f12_memory_does_not_grow_with_requests() {
    let mut client = client(config());
    for now in 0..10_000u64 {
        let (_, message) = begin(&mut client, now);
        let bytes = answer(&message, 1, b"");
        if now % 3 > 0 {
            assert!(matches!(
                client.on_datagram(now, &bytes),
                Event::Response(_)
            ));
        } else {
            client.cancel(message.first_header().client_seq);
        }
    }
    assert_eq!((client.flights.len(), client.in_flight()), (1, 0));
    assert!(client.timers.iter().all(|timer| timer.capacity() < 100));
}

#[test]
fn f12_the_same_seed_makes_the_same_requests() {
    let run = |seed| {
        let mut client = Client::new(config(), seed).expect("settings that can be");
        (0..40)
            .map(|n| begin(&mut client, n).1.first_header().encode())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

proptest::proptest! {
    #[test]
    fn f12_no_datagrams_are_too_odd(datagrams: Vec<Vec<u8>>, fields: [u8; 37]) {
        let mut client = client(config());
        let (_, message) = begin(&mut client, 0);
        for datagram in &datagrams {
            client.on_datagram(1, datagram);
        }
        let whole = [&message.first_header().encode()[..3], &fields].concat();
        for kind in 1..=8 {
            let mut datagram = whole.clone();
            datagram[3] = kind;
            client.on_datagram(1, &datagram);
        }
        while client.poll(u64::MAX).is_some() {}
        proptest::prop_assert_eq!(client.in_flight(), 0);
    }

    /// Requests, answers that come as often and in such an order as they like, and time, against a model.
    #[test]
    fn x02_answers_in_any_number_and_order_count_once(
        steps in proptest::collection::vec((0u8..8, proptest::prelude::any::<u16>()), 1..400),
    ) {
        let mut client = client(Config { timeout: Duration::from_nanos(1000), ..config() });
        let mut sent: Vec<Outgoing> = Vec::new();
        // What is to be: 0 in flight, 1 answered, 2 given up.
        let mut model: Vec<u8> = Vec::new();
        let mut now = 0;
        for (what, which) in steps {
            now += u64::from(which % 200);
            match what {
                0..=2 => match client.begin(now, Request::read(8, 77)) {
                    Ok((seq, message)) => {
                        proptest::prop_assert_eq!(seq as usize, model.len());
                        sent.push(message);
                        model.push(0);
                    }
                    Err(error) => {
                        proptest::prop_assert_eq!(error, BeginError::WindowFull);
                        proptest::prop_assert_eq!(model[model.len() - 64], 0);
                    }
                },
                3..=6 if !sent.is_empty() => {
                    let seq = which as usize % sent.len();
                    let bytes = answer(&sent[seq], which % 2, b"yes");
                    let event = client.on_datagram(now, &bytes);
                    let is_right = match (model.len() - seq > 64, model[seq]) {
                        (true, _) => matches!(event, Event::Unknown { .. }),
                        (_, 0) => matches!(event, Event::Response(_)),
                        (_, 1) => matches!(event, Event::Redundant { .. }),
                        _ => matches!(event, Event::Late { .. }),
                    };
                    proptest::prop_assert!(is_right, "{:?}, model {}", event, model[seq]);
                    if model[seq] == 0 {
                        model[seq] = 1;
                    }
                }
                _ => while let Some(due) = client.poll(now) {
                    match due {
                        Due::Resend { seq, .. } => proptest::prop_assert_eq!(model[seq as usize], 0),
                        Due::GivenUp { seq, .. } => {
                            proptest::prop_assert_eq!(model[seq as usize], 0);
                            model[seq as usize] = 2;
                        }
                    }
                },
            }
            let flying = model.iter().filter(|state| **state == 0).count();
            proptest::prop_assert_eq!(client.in_flight(), flying);
            proptest::prop_assert_eq!(client.next_time().is_some(), flying > 0);
        }
        while client.next_time().is_some() {
            now = client.next_time().unwrap_or(now).max(now);
            while client.poll(now).is_some() {}
        }
        let counters = client.counters();
        proptest::prop_assert_eq!(counters.requests, counters.answered + counters.given_up);
    }
}
