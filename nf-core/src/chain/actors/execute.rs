//! Running an actor for the scheduler, on whichever core.

use super::mail::{Body, ChainWork, Mail};
use crate::chain::Direction;
use crate::chain::actor::ActorBody;
use crate::chain::chain::ChainReason;
use crate::chain::cx::Env;
use crate::chain::guard::guarded_one;
use crate::chain::shard::ChainStage;
use crate::packet::{Batch, Packet};
use crate::sched::runtime::{Job, Running, Send};
use crate::sched::{ActorId, Failure, Loss};

/// What an execution sends; kept by the loop, so that nothing is allocated.
pub(in crate::chain) type Sends = Vec<Send<Mail>>;

/// Executes a job with a core's environment; what comes out of it is in `sends` afterwards.
pub(in crate::chain) fn execute(env: &mut Env, job: &mut Job<ChainWork>, sends: &mut Sends) {
    let (Running::Exclusive(body), Some(actor)) = (&mut job.running, job.actor) else {
        return job.messages.clear(); // there are no others
    };
    match &mut **body {
        Body::Stage(stage) => {
            let mut mails = job.messages.drain(..);
            match guarded_one(env, actor, |env| run_stage(env, stage, &mut mails, sends)) {
                Ok(()) => job.wakes = stage.wakes_ns(),
                Err(failure) => {
                    for mail in mails {
                        forgo(env, mail, Some(actor), sends);
                    }
                    // What it had emitted goes on; what was in its hands is lost with it.
                    collect(env, stage, None, sends);
                    job.failed = Some(failure);
                }
            }
        }
        Body::Actor(own) => {
            let mut mails = job.messages.drain(..);
            let outcome = guarded_one(env, actor, |env| run_actor(env, own, &mut mails, sends));
            match outcome.and_then(|outcome| outcome) {
                Ok(()) => job.wakes = own.wakes_ns(),
                Err(failure) => {
                    for mail in mails {
                        forgo(env, mail, Some(actor), sends);
                    }
                    job.failed = Some(failure);
                }
            }
        }
    }
}

/// A message that its actor cannot handle.
fn forgo(env: &mut Env, mail: Mail, to: Option<ActorId>, sends: &mut Sends) {
    match mail {
        Mail::Errand(errand) => {
            let back = errand.is_lost(to, Loss::Gone);
            sends.extend(back.map(|(to, errand)| Send::To(to, Mail::Errand(errand))));
        }
        mail => {
            if let Some(packet) = mail.into_packet() {
                let direction = packet.meta().direction;
                env.drop_by_chain(packet, direction, ChainReason::ActorGone);
            }
        }
    }
}

fn run_actor(
    env: &mut Env,
    own: &mut ActorBody,
    mails: impl Iterator<Item = Mail>,
    sends: &mut Sends,
) -> Result<(), Failure> {
    own.begin(env, sends)?;
    own.expire(env, sends);
    for mail in mails {
        match mail {
            Mail::Letter(packet) => own.exec(env, packet, sends),
            Mail::Errand(errand) => own.errand(env, errand, sends),
            Mail::Packet { .. } => forgo(env, mail, None, sends),
            Mail::Tick | Mail::Undelivered(_) => {}
        }
    }
    own.end(env);
    Ok(())
}

/// Runs what was sent to a shard: timers that are due, then packets, in batches of one direction.
pub(super) fn run_stage(
    env: &mut Env,
    stage: &mut ChainStage,
    mails: impl Iterator<Item = Mail>,
    sends: &mut Sends,
) {
    stage.refresh_if_changed();
    while let Some(token) = stage.take_expired(env.now) {
        stage.call(env, |shard, cx| shard.on_timer(cx, token));
        collect(env, stage, None, sends);
    }
    let mut batch = Batch::new();
    let mut direction = Direction::ToServer;
    for mail in mails {
        let packet = match mail {
            Mail::Packet { packet, .. } => packet,
            Mail::Undelivered(count) => {
                stage.undelivered += count;
                continue;
            }
            Mail::Tick => continue,
            // Nobody has the id of a stage.
            Mail::Letter(_) | Mail::Errand(_) => {
                forgo(env, mail, None, sends);
                continue;
            }
        };
        let way = packet.meta().direction;
        if !batch.is_empty() && (way != direction || batch.is_full()) {
            run_batch(env, stage, direction, &mut batch, sends);
        }
        direction = way;
        if let Err(packet) = batch.push(packet) {
            drop(packet); // cannot be: it was emptied when it was full
        }
    }
    if !batch.is_empty() {
        run_batch(env, stage, direction, &mut batch, sends);
    }
}

fn run_batch(
    env: &mut Env,
    stage: &mut ChainStage,
    direction: Direction,
    batch: &mut Batch,
    sends: &mut Sends,
) {
    match env.traced.is_some() {
        true => stage.process_traced(env, direction, batch),
        false => stage.process(env, direction, batch),
    };
    collect(env, stage, Some((direction, batch)), sends);
}

/// What stayed in the batch goes on from the stage's place; then what it emitted. As when it runs inline.
fn collect(
    env: &mut Env,
    stage: &ChainStage,
    batch: Option<(Direction, &mut Batch)>,
    sends: &mut Sends,
) {
    let home = stage.home.core as u16;
    let mut send = |packet: Packet| sends.push(Send::Out(Mail::Packet { home, packet }));
    if let Some((direction, batch)) = batch {
        for mut packet in batch.drain() {
            let meta = packet.meta_mut();
            (meta.position, meta.direction) = (stage.home.position, direction);
            send(packet);
        }
    }
    env.pending.drain(..).for_each(&mut send);
    let posted = env.posted.drain(..);
    sends.extend(posted.map(|(to, packet)| Send::To(to, Mail::Letter(packet))));
}
