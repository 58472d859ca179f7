//! What a trace tells of a packet.

use std::sync::OnceLock;

use super::*;

#[test]
fn a_trace_tells_what_every_stage_did_and_why_it_ended() {
    let decide: Act = Box::new(|cx, packet| {
        cx.note(&packet, || {
            Note::new("saw").with("byte", u64::from(packet.data()[0]))
        });
        match packet.data()[0] {
            b'd' => {
                cx.drop(packet, 1);
                None
            }
            b'b' => {
                cx.back(packet);
                None
            }
            b'h' => {
                std::mem::forget(packet); // held, as far as the chain can tell
                None
            }
            _ => Some(packet),
        }
    });
    let mut bench = Bench::new(vec![pass(), decide]);
    let filter: TraceFilter = Arc::new(|packet: &Packet| packet.data() != b"n");
    let session = TraceSession::new(3, Some(filter), 100);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    bench.run(0, Direction::ToServer, &[b"n", b"d", b"b", b"f", b"z"]);
    assert_eq!(session.remaining(), 0);
    let records: Vec<TraceRecord> = std::iter::from_fn(|| session.pop()).collect();
    let of = |id| {
        let lines = records.iter().filter(|record| record.id == id);
        lines
            .map(|record| (record.stage, record.event))
            .collect::<Vec<_>>()
    };
    let received = |record: &(Option<u8>, TraceEvent)| {
        matches!(
            record.1,
            TraceEvent::Received {
                port: 0,
                len: 1,
                ..
            }
        )
    };
    let dropped = of(1);
    assert!(received(&dropped[0]), "{dropped:?}");
    assert_eq!(dropped[1], (Some(0), TraceEvent::Forward));
    assert!(
        matches!(dropped[2], (Some(1), TraceEvent::Note(note)) if note.to_string() == "saw byte=100")
    );
    assert_eq!(
        dropped[3],
        (Some(1), TraceEvent::Dropped { reason: "second" })
    );
    assert_eq!(dropped.len(), 4, "the reason is the last line");
    let back = of(2);
    assert_eq!(
        back[3..],
        [
            (Some(1), TraceEvent::Back),
            (Some(0), TraceEvent::Forward),
            (None, TraceEvent::Sent { port: 0 }),
        ]
    );
    assert_eq!(of(3).last(), Some(&(None, TraceEvent::Sent { port: 1 })));
    assert!(of(4).is_empty(), "three were asked for");

    bench
        .chain
        .trace(&mut bench.env, Some(TraceSession::new(1, None, 100)));
    let session = TraceSession::new(1, None, 100);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    bench.run(0, Direction::ToServer, &[b"h"]);
    let last = std::iter::from_fn(|| session.pop())
        .last()
        .expect("records");
    assert_eq!((last.stage, last.event), (Some(1), TraceEvent::Held));
}

#[test]
fn a_trace_that_nobody_reads_loses_lines_and_not_packets() {
    let mut bench = Bench::new(vec![pass()]);
    let session = TraceSession::new(50, None, 10);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    assert_eq!(
        bench.run(0, Direction::ToServer, &[&b"x"[..]; 50]).len(),
        50
    );
    assert_eq!(session.lost(), 150 - 10);
    bench.time.advance(1);
    bench.run(0, Direction::ToServer, &[b"x"]);
    bench.time.advance(2_000_000_000);
    bench.run(0, Direction::ToServer, &[b"x"]);
    assert!(
        bench.env.traced.is_none(),
        "a finished trace costs nothing any more"
    );
    bench.assert_conserved();
}

#[test]
fn times_go_on_from_stage_to_stage() {
    let time = Arc::new(OnceLock::<VirtualClock>::new());
    let slow = |ns| -> Act {
        let time = time.clone();
        Box::new(move |cx, packet| {
            cx.note(&packet, || Note::new("saw"));
            time.get().expect("the bench's clock").advance(ns);
            Some(packet)
        })
    };
    let mut bench = Bench::new(vec![slow(30), slow(500)]);
    time.set(bench.time.clone()).expect("set once");
    bench.time.advance(1_000);
    let session = TraceSession::new(1, None, 100);
    bench.chain.trace(&mut bench.env, Some(session.clone()));
    bench.run(0, Direction::ToServer, &[b"x"]);
    let times: Vec<_> = std::iter::from_fn(|| session.pop())
        .map(|record| (record.stage, record.ns))
        .collect();
    let at = |stage, ns: u64| (stage, 1_000 + ns);
    assert_eq!(
        times,
        [
            at(None, 0),
            at(Some(0), 0),
            at(Some(0), 30),
            at(Some(1), 30),
            at(Some(1), 530),
            at(None, 530),
        ]
    );
}
