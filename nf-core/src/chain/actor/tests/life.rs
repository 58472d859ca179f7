//! How actors come, work together, and go.

use super::*;
use crate::sched::policy::{Pin, Place};

/// Sends typed messages on: a question to the other actor, an answer back to the network.
const QUESTION: u32 = 1;

struct Front(ActorId);

impl Actor for Front {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        match message.label().kind {
            Label::NETWORK => {
                assert_eq!(cx.sender(&message), None);
                cx.send(self.0, QUESTION, u64::from(words(&message)[0]), message);
            }
            _ => cx.reply(message),
        }
    }
}

#[derive(Default)]
struct Back {
    initialised: u32,
}

impl Actor for Back {
    fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        self.initialised += 1;
        let root = cx.dmo_alloc(4)?;
        cx.region_mut().set_root(root)
    }

    fn exec(&mut self, cx: &mut ActorCx<'_>, mut message: Packet) {
        assert_eq!(self.initialised, 1);
        let label = *message.label();
        assert_eq!(label.kind, QUESTION);
        assert_eq!(label.key, u64::from(words(&message)[0]));
        let from = cx.sender(&message).expect("an actor");
        let root = cx.region().root();
        let bytes = cx.dmo_get_mut(root).expect("its own");
        let count = u32::from_le_bytes(bytes.try_into().expect("four")) + 1;
        bytes.copy_from_slice(&count.to_le_bytes());
        answer(&mut message, count);
        cx.count(0, 1);
        cx.send(from, QUESTION + 1, 0, message);
    }
}

const COUNTERS: &[crate::telemetry::CounterDesc] = &[crate::telemetry::CounterDesc {
    name: "asked",
    help: "Questions.",
}];

#[test]
fn ip01_actors_are_initialised_and_send_typed_messages() {
    let mut bench = ActorBench::new(1);
    let back = NewActor {
        counters: COUNTERS,
        ..NewActor::new("back")
    };
    let back = bench
        .actors
        .create(back, || Box::<Back>::default())
        .expect("it");
    let front = bench
        .actors
        .create(NewActor::new("front"), move || Box::new(Front(back)))
        .expect("it");
    bench
        .actors
        .register(front, &[Match::udp(PORT)])
        .expect("it");
    assert_eq!(bench.actors.find("back"), Some(back));
    for n in 0..100 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 0)));
    }
    let mut got = Vec::new();
    bench.until("the answers", |bench| {
        got.extend(bench.received(0));
        got.len() >= 100
    });
    // In order, by the port they came in by, and each counted once.
    let got: Vec<_> = got.iter().map(|frame| numbers(frame)).collect();
    assert_eq!(got, (0..100).map(|n| [n, n + 1]).collect::<Vec<_>>());
    assert!(bench.received(1).is_empty());
    let counted = bench.counted("back");
    assert_eq!(counted.custom.get("asked"), 100);
    assert_eq!((counted.held(), bench.counted("front").held()), (0, 0));
    bench.end();
}

#[test]
fn ip02_a_full_mailbox_drops_and_counts() {
    let mut bench = ActorBench::new(1);
    let slow = NewActor {
        mailbox: 4,
        hold_back: 4,
        ..NewActor::new("slow")
    };
    let slow = bench.actors.create(slow, || {
        Box::new(Does(|cx: &mut ActorCx<'_>, message: Packet| {
            cx.spend(100_000);
            cx.reply(message);
        }))
    });
    let slow = slow.expect("it");
    bench
        .actors
        .register(slow, &[Match::udp(PORT)])
        .expect("it");
    bench.move_to(slow, Side::Worker(None), |_| {});
    for n in 0..1000 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 0)));
    }
    let mut got = Vec::new();
    bench.until("all of them", |bench| {
        got.extend(bench.received(0));
        got.len() as u64 + bench.counted("chain").dropped.sum() == 1000
    });
    let dropped = bench.counted("chain").dropped;
    assert!(dropped.get("mailbox_full") > 0, "{dropped:?}");
    assert_eq!(dropped.get("mailbox_full"), dropped.sum());
    // What came through is in order.
    let order: Vec<u32> = got.iter().map(|frame| numbers(frame)[0]).collect();
    assert!(order.is_sorted());
    bench.end();
}

/// Replies with a word of its own.
fn echo(word: u32) -> impl Fn() -> Box<dyn Actor> {
    move || {
        Box::new(Does(move |cx: &mut ActorCx<'_>, mut message: Packet| {
            answer(&mut message, word);
            cx.reply(message);
        }))
    }
}

#[test]
fn ip06_a_stale_id_reaches_nobody() {
    // The dispatch stage, the sender, and one more.
    let mut bench = ActorBench::with(1, 3);
    let old = bench
        .actors
        .create(NewActor::new("echo"), echo(1))
        .expect("it");
    let front = bench
        .actors
        .create(NewActor::new("front"), move || Box::new(Front(old)))
        .expect("it");
    bench
        .actors
        .register(front, &[Match::udp(PORT)])
        .expect("it");
    assert!(matches!(
        bench.actors.create(NewActor::new("more"), echo(2)),
        Err(ActorError::Full(_))
    ));
    for at_worker in [false, true] {
        let id = bench.actors.find("echo").expect("it");
        if at_worker {
            bench.move_to(id, Side::Worker(None), |_| {});
            bench.move_to(id, Side::Packet, |_| {});
            bench.move_to(id, Side::Worker(Some(0)), |_| {});
        }
        bench.actors.delete(id).expect("it");
        let mut new = None;
        bench.until("its place", |bench| {
            new = bench.actors.create(NewActor::new("echo"), echo(2)).ok();
            new.is_some()
        });
        let new = new.expect("it");
        assert_eq!(new.index, id.index);
        assert_ne!(new.generation, id.generation);
        assert!(bench.actors.status(id).is_err());
        assert!(matches!(
            bench.actors.migrate(id, Side::Packet),
            Err(ActorError::Unknown(_))
        ));
        // The first one's id, which the other actor still has.
        let gone = bench.counted("chain").dropped.get("actor_gone");
        bench.until("room", |bench| bench.send(0, &request(PORT, 1, 0)));
        bench.until("the end of it", |bench| {
            bench.counted("chain").dropped.get("actor_gone") == gone + 1
        });
        bench
            .actors
            .register(new, &[Match::udp(PORT + 1)])
            .expect("it");
        bench.until("room", |bench| bench.send(0, &request(PORT + 1, 1, 0)));
        let mut got = Vec::new();
        bench.until("an answer", |bench| {
            got.extend(bench.received(0));
            !got.is_empty()
        });
        assert_eq!(numbers(&got[0]), [1, 2]);
    }
    bench.end();
}

#[test]
fn ip08_what_cannot_be_done_with_an_actor_is_said() {
    let bench = ActorBench::new(1);
    let create = |new: NewActor| bench.actors.create(new, echo(0));
    let pinned = |name: &str, pin| NewActor {
        pin,
        ..NewActor::new(name)
    };
    let here = create(pinned("here", Pin::Packet)).expect("it");
    let there = create(pinned("there", Pin::Worker)).expect("it");
    assert!(matches!(
        create(NewActor::new("here")),
        Err(ActorError::Exists(_))
    ));
    let homeless = NewActor {
        home: 1,
        ..NewActor::new("homeless")
    };
    assert!(matches!(
        create(homeless),
        Err(ActorError::NoCore { core: 1, cores: 1 })
    ));
    let mut bench = bench;
    bench.until("the worker", |bench| {
        bench.place(there) == Some(Place::Worker(0))
    });
    let moved = |id, side| bench.actors.migrate(id, side);
    let told = |error: Result<(), ActorError>| error.expect_err("refused").to_string();
    assert_eq!(
        told(moved(here, Side::Worker(None))),
        "\"here\" is pinned to the packet cores"
    );
    assert_eq!(
        told(moved(there, Side::Packet)),
        "\"there\" is pinned to the worker cores"
    );
    let free = bench.actors.create(NewActor::new("free"), echo(0));
    let free = free.expect("it");
    assert_eq!(
        told(bench.actors.migrate(free, Side::Worker(Some(1)))),
        "there is no worker 1; there are 1, counted from 0"
    );
    let nobody = ActorId {
        index: 40,
        generation: 1,
    };
    assert!(bench.actors.register(nobody, &[]).is_err());
    assert!(bench.actors.delete(nobody).is_err());
    bench.end();
    let alone = ActorBench::new(0);
    assert!(matches!(
        alone
            .actors
            .create(pinned("there", Pin::Worker), || echo(0)()),
        Err(ActorError::NoWorker { workers: 0, .. })
    ));
    alone.end();
}

#[test]
fn ip45_an_actor_that_panics_or_gives_up_takes_nobody_with_it() {
    let mut bench = ActorBench::new(1);
    let bad = bench.actors.create(NewActor::new("bad"), || {
        Box::new(Does(|cx: &mut ActorCx<'_>, message: Packet| {
            if words(&message)[0] == 3 {
                panic!("on purpose");
            }
            cx.reply(message);
        }))
    });
    let bad = bad.expect("it");
    let good = bench
        .actors
        .create(NewActor::new("good"), echo(9))
        .expect("it");
    /// Has no memory for its state.
    struct Hungry;
    impl Actor for Hungry {
        fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
            cx.dmo_alloc(2 << 20).map(drop)
        }
        fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
            cx.reply(message);
        }
    }
    let hungry = bench
        .actors
        .create(NewActor::new("hungry"), || Box::new(Hungry));
    let hungry = hungry.expect("it");
    bench.actors.register(bad, &[Match::udp(PORT)]).expect("it");
    bench
        .actors
        .register(good, &[Match::udp(PORT + 1)])
        .expect("it");
    for n in 0..5 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 0)));
    }
    bench.until("the ends", |bench| {
        bench.place(bad).is_none() && bench.place(hungry).is_none()
    });
    bench.until("room", |bench| bench.send(0, &request(PORT + 1, 0, 0)));
    let mut got = Vec::new();
    bench.until("the answers", |bench| {
        got.extend(bench.received(0));
        got.iter().any(|frame| numbers(frame) == [0, 9])
    });
    // What would be for the one that is no more passes.
    let other = request(PORT, 8, 8);
    bench.until("room", |bench| bench.send(0, &other));
    let mut passed = Vec::new();
    bench.until("the other side", |bench| {
        passed.extend(bench.received(1));
        passed.contains(&other)
    });
    assert!(bench.counted("chain").custom.get("bypassed") > 0);
    let mut failures = Vec::new();
    bench.until("both events", |bench| {
        while let Some(event) = bench.take_event() {
            if let crate::sched::runtime::Event::Failed { name, failure, .. } = event {
                failures.push((name.to_string(), failure));
            }
        }
        failures.len() >= 2
    });
    let of = |name: &str| {
        let found = failures.iter().find(|(failed, _)| failed == name);
        found.map(|(_, failure)| format!("{failure:?}"))
    };
    assert_eq!(of("bad").as_deref(), Some("Panic(\"on purpose\")"));
    let hungry = of("hungry").expect("it gave up");
    assert!(
        hungry.starts_with("GaveUp(") && hungry.contains("quota"),
        "{hungry}"
    );
    bench.end();
}
