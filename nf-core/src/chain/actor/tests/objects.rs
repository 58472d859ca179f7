//! Objects of several actors.

use super::*;
use crate::sched::policy::Pin;

/// Keeps what it is given; tells what became of it.
struct Keeper(Told<String>);

impl Actor for Keeper {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        // Somebody else's id, out of a message.
        let id = words(&message);
        let id = ObjectId::from_bits(u64::from(id[0]) << 32 | u64::from(id[1]));
        let refused = matches!(cx.dmo_get(id), Err(DmoError::Foreign { .. }));
        tell(&self.0, format!("{refused} {}", cx.region().violations()));
        cx.drop(message, 0);
    }

    fn on_object(&mut self, cx: &mut ActorCx<'_>, _from: ActorId, object: ObjectId, kind: u32) {
        let bytes = cx.dmo_get(object).expect("its own").to_vec();
        let id = object.actor() == cx.id();
        tell(&self.0, format!("got {kind} {id} {}", bytes.len()));
        assert!(bytes.iter().all(|byte| *byte == 0x5a));
    }
}

/// Makes an object for each message, of so many bytes as it says, and gives it away.
struct Giver(ActorId, Told<String>);

impl Actor for Giver {
    fn exec(&mut self, cx: &mut ActorCx<'_>, message: Packet) {
        let [kind, len] = words(&message)[..] else {
            return cx.drop(message, 0);
        };
        let object = cx.dmo_alloc(len as usize).expect("room");
        cx.dmo_set(object, 0, 0x5a, len as usize).expect("within");
        cx.dmo_migrate(object, self.0, kind).expect("its own");
        let gone = matches!(cx.dmo_get(object), Err(DmoError::Moving));
        assert!(gone, "nobody has it now");
        cx.drop(message, 0);
    }

    fn on_given(&mut self, cx: &mut ActorCx<'_>, old: ObjectId, new: Result<ObjectId, DmoError>) {
        let said = match new {
            Ok(new) => format!(
                "gave {} {}",
                new.actor() == self.0,
                cx.dmo_get(old).is_err()
            ),
            Err(error) => {
                let len = cx.dmo_get(old).expect("here again").len();
                cx.dmo_free(old).expect("its own");
                let why = format!("{error:?}");
                format!("back {len} {}", why.split(' ').next().unwrap_or(""))
            }
        };
        tell(&self.1, said);
    }
}

fn said(told: &Told<String>) -> Vec<String> {
    told.lock().expect("told").clone()
}

#[test]
fn ip39_one_object_goes_to_a_pinned_actor_and_comes_back_if_it_cannot() {
    let mut bench = ActorBench::new(1);
    let (keeps, gives): (Told<String>, Told<String>) = Default::default();
    let new = NewActor {
        pin: Pin::Worker,
        memory: 100_000,
        ..NewActor::new("keeper")
    };
    let told = keeps.clone();
    let keeper = bench
        .actors
        .create(new, move || Box::new(Keeper(told.clone())))
        .expect("it");
    let told = gives.clone();
    let giver = bench
        .actors
        .create(NewActor::new("giver"), move || {
            Box::new(Giver(keeper, told.clone()))
        })
        .expect("it");
    bench
        .actors
        .register(giver, &[Match::udp(PORT)])
        .expect("it");
    bench.until("the worker", |bench| bench.place(keeper).is_some());
    let ask = |bench: &mut ActorBench, kind: u32, len: u32, count: usize| {
        bench.until("room", |bench| bench.send(0, &request(PORT, kind, len)));
        bench.until("the news", |_| said(&gives).len() == count);
    };
    ask(&mut bench, 7, 60_000, 1);
    assert_eq!(said(&gives), ["gave true true"]);
    // It is told after the giver may have heard.
    bench.until("the object", |_| said(&keeps) == ["got 7 true 60000"]);
    // There is no room for a second one.
    ask(&mut bench, 8, 60_000, 2);
    assert_eq!(said(&gives)[1], "back 60000 Quota");
    bench.move_to(giver, Side::Worker(None), |_| {});
    ask(&mut bench, 9, 100, 3);
    assert_eq!(said(&gives)[2], "gave true true");
    // Nobody is there any more.
    bench.actors.delete(keeper).expect("it");
    bench.until("the end", |bench| bench.place(keeper).is_none());
    ask(&mut bench, 10, 300, 4);
    assert_eq!(said(&gives)[3], "back 300 Remote");
    bench.end();
}

#[test]
fn ip37_an_object_of_another_actor_is_refused_and_counted() {
    let mut bench = ActorBench::new(0);
    let keeps: Told<String> = Told::default();
    let told = keeps.clone();
    let keeper = bench
        .actors
        .create(NewActor::new("keeper"), move || {
            Box::new(Keeper(told.clone()))
        })
        .expect("it");
    bench
        .actors
        .register(keeper, &[Match::udp(PORT)])
        .expect("it");
    let other = ActorId {
        index: keeper.index + 1,
        generation: 0,
    };
    let mut region = Region::new(other, 4096);
    let id = region.alloc(8).expect("room").to_bits();
    let frame = request(PORT, (id >> 32) as u32, id as u32);
    for n in 1..3 {
        bench.until("room", |bench| bench.send(0, &frame));
        bench.until("the news", |_| said(&keeps).len() == n);
    }
    assert_eq!(said(&keeps), ["true 1", "true 2"]);
    bench.end();
}

#[test]
fn ip47_memory_beyond_the_quota_fails_cleanly() {
    let mut bench = ActorBench::new(0);
    let told: Told<String> = Told::default();
    let tells = told.clone();
    let new = NewActor {
        memory: 64 * 1024,
        ..NewActor::new("hungry")
    };
    let hungry = bench.actors.create(new, move || {
        let told = tells.clone();
        let mut objects = Vec::new();
        Box::new(Does(move |cx: &mut ActorCx<'_>, message: Packet| {
            match cx.dmo_alloc(words(&message)[1] as usize) {
                Ok(object) => objects.push(object),
                Err(error) => {
                    let is_quota = matches!(error, DmoError::Quota { .. });
                    let used = cx.region().used() <= cx.region().quota();
                    tell(&told, format!("{is_quota} {used} {}", objects.len()));
                    let last = objects.pop().expect("one");
                    cx.dmo_free(last).expect("it");
                }
            }
            cx.reply(message);
        }))
    });
    let hungry = hungry.expect("it");
    bench
        .actors
        .register(hungry, &[Match::udp(PORT)])
        .expect("it");
    let mut got = 0;
    for n in 0..40 {
        bench.until("room", |bench| bench.send(0, &request(PORT, n, 4000)));
    }
    bench.until("the answers", |bench| {
        got += bench.received(0).len();
        got == 40
    });
    let said = said(&told);
    assert!(said.len() > 5, "{said:?}");
    assert!(
        said.iter().all(|said| said.starts_with("true true 1")),
        "{said:?}"
    );
    bench.end();
}
