//! Actors that are moved while they work, by handoff and by copy.

use super::*;
use crate::sched::dmo::map::DmoMap;
use crate::sched::policy::Place;
use crate::sched::runtime::{Ended, Event};

const TICK: u64 = 5;

/// Counts in a map of objects, by the message's second number, and answers with the sum of all; a timer
/// counts too. What it knows besides is written down when it goes.
struct Counts {
    sum: u32,
    ticks: u32,
    /// Lost whenever it is made anew.
    since_made: u32,
    told: Told<[u32; 3]>,
}

impl Counts {
    fn map(cx: &ActorCx<'_>) -> DmoMap<u32, u32> {
        let region = cx.region();
        let map: ObjectId = region.read_value(region.root(), 0).expect("its root");
        DmoMap::open(region, map).expect("a map")
    }
}

impl Actor for Counts {
    fn init(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let map = DmoMap::<u32, u32>::new(cx.region_mut(), [1, 2])?.id();
        let root = cx.dmo_alloc(16)?;
        cx.region_mut().write_value(root, 0, &map)?;
        cx.timer(1_000_000, TICK);
        cx.region_mut().set_root(root)
    }

    fn exec(&mut self, cx: &mut ActorCx<'_>, mut message: Packet) {
        let map = Counts::map(cx);
        let key = words(&message)[0] % 100;
        let region = cx.region_mut();
        let counted = map
            .update(region, &key, |count| count + 1)
            .expect("its own");
        if counted.is_none() {
            map.insert(region, key, 1).expect("room");
        }
        self.sum += 1;
        self.since_made += 1;
        answer(&mut message, self.sum);
        cx.reply(message);
    }

    fn on_timer(&mut self, cx: &mut ActorCx<'_>, token: u64) {
        assert_eq!(token, TICK);
        self.ticks += 1;
        cx.timer(1_000_000, TICK).expect("one");
    }

    fn on_suspend(&mut self, region: &mut Region) -> Result<(), DmoError> {
        let root = region.root();
        region.write_value(root, 8, &self.sum)?;
        region.write_value(root, 12, &self.ticks)
    }

    fn on_resume(&mut self, cx: &mut ActorCx<'_>) -> Result<(), DmoError> {
        let root = cx.region().root();
        self.sum = cx.region().read_value(root, 8)?;
        self.ticks = cx.region().read_value(root, 12)?;
        // What is in the map is what came in.
        let mut counted = 0;
        let map = Counts::map(cx);
        map.for_each(cx.region(), |_, count| counted += count)?;
        assert_eq!(counted, self.sum);
        tell(&self.told, [self.sum, self.ticks, self.since_made]);
        Ok(())
    }
}

fn moves_under_load(transfer: Transfer) {
    const MOVES: usize = 40;
    let mut bench = ActorBench::new(2);
    let told: Told<[u32; 3]> = Told::default();
    let tells = told.clone();
    let new = NewActor {
        transfer,
        mailbox: 4096,
        ..NewActor::new("counts")
    };
    let make = move || -> Box<dyn Actor> {
        Box::new(Counts {
            sum: 0,
            ticks: 0,
            since_made: 0,
            told: tells.clone(),
        })
    };
    let actor = bench.actors.create(new, make).expect("it");
    bench
        .actors
        .register(actor, &[Match::udp(PORT)])
        .expect("it");
    let (mut sent, mut got) = (0_u32, Vec::new());
    let mut load = |bench: &mut ActorBench| {
        got.extend(bench.received(0).iter().map(|frame| numbers(frame)));
        while (sent as usize) < got.len() + 128 && bench.send(0, &request(PORT, sent, 0)) {
            sent += 1;
        }
        got.len()
    };
    let mut ticks = 0;
    for n in 0..MOVES {
        let side = match n % 3 {
            0 => Side::Worker(Some((n % 2) as u16)),
            1 => Side::Packet,
            _ => Side::Worker(None),
        };
        if n % 3 == 2 {
            // From worker to worker there is no way but by the packet cores: it is there now.
            assert!(matches!(bench.place(actor), Some(Place::Fcfs)));
        }
        bench.move_to(actor, side, |bench| {
            load(bench);
        });
        let enough = load(&mut bench) + 100;
        bench.until("traffic", |bench| load(bench) >= enough);
        if n % 3 == 2 {
            bench.move_to(actor, Side::Packet, |bench| {
                load(bench);
            });
        }
        // Its timer goes on wherever it is.
        if n % 10 == 9 {
            let sides = told.lock().expect("told").len();
            bench.until("time", |bench| {
                load(bench);
                let told = told.lock().expect("told");
                let now = told.last().map_or(0, |told| told[1]);
                told.len() >= sides && now > ticks
            });
            ticks = told.lock().expect("told").last().map_or(0, |told| told[1]);
        }
    }
    bench.until("the rest", |bench| {
        got.extend(bench.received(0).iter().map(|frame| numbers(frame)));
        got.len() == sent as usize
    });
    // None lost, none twice, none out of order, and one state all the time.
    let expected: Vec<_> = (0..sent).map(|n| vec![n, n + 1]).collect();
    assert!(got == expected, "{} of {sent}", got.len());
    let told = told.lock().expect("told").clone();
    assert!(told.len() >= MOVES, "{}", told.len());
    for [sum, _, since_made] in told {
        let expected = match transfer {
            Transfer::Handoff => sum,
            Transfer::Copy => 0,
        };
        assert_eq!(since_made, expected, "made anew only as a copy");
    }
    assert_eq!(bench.counted("chain").dropped.sum(), 0);
    bench.end();
}

#[test]
fn ip33_ip40_actors_move_under_load_by_handoff() {
    moves_under_load(Transfer::Handoff);
}

#[test]
fn ip33_ip40_actors_move_under_load_by_copy() {
    moves_under_load(Transfer::Copy);
}

/// Does not leave at one of its moves, and says so.
struct Stays(Told<&'static str>, usize);

impl Actor for Stays {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        cx.reply(message);
    }

    fn on_suspend(&mut self, _: &mut Region) -> Result<(), DmoError> {
        let so_far = self.0.lock().expect("told").len();
        match so_far / 2 == self.1 {
            true => {
                tell(&self.0, "refused");
                Err(DmoError::Full)
            }
            false => {
                tell(&self.0, "suspended");
                Ok(())
            }
        }
    }

    fn on_resume(&mut self, _: &mut ActorCx<'_>) -> Result<(), DmoError> {
        tell(&self.0, "resumed");
        Ok(())
    }
}

fn stays(at: usize, transfer: Transfer) {
    let mut bench = ActorBench::new(1);
    let told: Told<&'static str> = Told::default();
    let tells = told.clone();
    let new = NewActor {
        transfer,
        ..NewActor::new("stays")
    };
    let stays = bench
        .actors
        .create(new, move || Box::new(Stays(tells.clone(), at)))
        .expect("it");
    bench
        .actors
        .register(stays, &[Match::udp(PORT)])
        .expect("it");
    let ask = |bench: &mut ActorBench| {
        bench.until("room", |bench| bench.send(0, &request(PORT, 0, 0)));
        let mut got = 0;
        bench.until("an answer", |bench| {
            got += bench.received(0).len();
            got > 0
        });
    };
    ask(&mut bench);
    for n in 0..=at {
        let before = bench.place(stays);
        let side = match n % 2 {
            0 => Side::Worker(None),
            _ => Side::Packet,
        };
        bench.actors.migrate(stays, side).expect("asked");
        let mut ended = None;
        bench.until("the end of the move", |bench| {
            ask(bench);
            if let Some(Event::Migrated { ended: how, .. }) = bench.take_event() {
                ended = Some(how);
            }
            ended.is_some()
        });
        ask(&mut bench);
        if n < at {
            assert_eq!(ended, Some(Ended::Done));
        } else {
            assert_eq!(ended, Some(Ended::RolledBack));
            assert_eq!(bench.place(stays), before);
        }
        bench.until("all of it", |_| {
            told.lock().expect("told").len() == 2 * n + 2
        });
    }
    let told = told.lock().expect("told").clone();
    assert_eq!(told[2 * at..], ["refused", "resumed"]);
    bench.end();
}

#[test]
fn ip34_an_actor_that_cannot_leave_stays_and_works() {
    for transfer in [Transfer::Handoff, Transfer::Copy] {
        stays(0, transfer);
        stays(1, transfer);
    }
}

/// Panics when it is to leave, the second time.
struct Clings(Told<()>);

impl Actor for Clings {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        cx.reply(message);
    }

    fn on_suspend(&mut self, _: &mut Region) -> Result<(), DmoError> {
        tell(&self.0, ());
        assert!(self.0.lock().expect("told").len() < 2, "not from here");
        Ok(())
    }
}

#[test]
fn ip45_an_actor_that_panics_when_it_leaves_takes_nobody_with_it() {
    let mut bench = ActorBench::new(1);
    let told: Told<()> = Told::default();
    let tells = told.clone();
    let clings = bench
        .actors
        .create(NewActor::new("clings"), move || {
            Box::new(Clings(tells.clone()))
        })
        .expect("it");
    bench
        .actors
        .register(clings, &[Match::udp(PORT)])
        .expect("it");
    bench.until("an answer", |bench| {
        bench.send(0, &request(PORT, 0, 0));
        !bench.received(0).is_empty()
    });
    bench.move_to(clings, Side::Worker(None), |_| {});
    bench.actors.migrate(clings, Side::Packet).expect("asked");
    let mut failure = None;
    bench.until("the failure", |bench| {
        bench.send(0, &request(PORT, 0, 0));
        bench.received(0);
        if let Some(Event::Failed { failure: how, .. }) = bench.take_event() {
            failure = Some(format!("{how:?}"));
        }
        failure.is_some()
    });
    assert_eq!(failure.as_deref(), Some("Panic(\"not from here\")"));
    // Its packets pass, and its worker works.
    bench.until("the other side", |bench| {
        bench.send(0, &request(PORT, 0, 0));
        !bench.received(1).is_empty()
    });
    let other = bench.actors.create(NewActor::new("other"), || {
        Box::new(Does(|cx: &mut ActorCx<'_>, message: Packet| {
            cx.reply(message)
        }))
    });
    bench.move_to(other.expect("it"), Side::Worker(None), |_| {});
    bench.end();
}
