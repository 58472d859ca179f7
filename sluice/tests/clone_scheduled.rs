//! The clone stage under the scheduler, unchanged: moved to a worker core and back while clients ask.

use std::time::Duration;

use clone_rig::control::{count, lost};
use clone_rig::{Bed, Links, Load, Mode, Plan, Service};
use serde_json::json;
use testkit::{Body, Need, require, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn ip33_the_clone_stage_goes_to_a_worker_and_back_under_load_and_every_answer_is_right() {
    require!(Need::Root, Need::Tun, Need::Cpus(2));
    let bed = Bed::new(Mode::Gateway, Links::Tap, 3).unwrap().scheduled();
    let mut service = Service::start(&bed, &json!({})).unwrap();
    let level = service.sluice.packets_in_use();
    let tally = service.under_load(Plan::default(), to_and_fro).unwrap();
    let sluice = &service.sluice;
    assert!(tally.cloned > 0 && tally.by_clone > 0, "{tally:?}");
    assert_eq!(lost(sluice), 0);
    let [cloned, single, first, uncloned] =
        ["req_cloned", "req_single", "resp_first", "resp_uncloned"]
            .map(|counter| count(sluice, counter));
    assert_eq!(
        tally.sent + tally.retransmissions,
        cloned + single,
        "each request was handled once"
    );
    assert_eq!((first, uncloned), (cloned, single), "each has one answer");
    if tally.retransmissions == 0 {
        assert_eq!(tally.redundant, 0, "no second answer came through");
    }
    let drops = sluice.json("/api/v1/drops");
    let by_chain = |drop: &&serde_json::Value| drop["stage"] == "chain";
    let by_chain: Vec<_> = drops.as_array().unwrap().iter().filter(by_chain).collect();
    let counted = by_chain
        .iter()
        .map(|drop| drop["packets"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), 0, "{by_chain:?}");
    sluice.assert_conserved(level + 8);
}

fn to_and_fro(service: &mut Service<'_>, load: &Load) {
    let sluice = &service.sluice;
    let place = |name: &str| {
        let sched = sluice.json("/api/v1/sched");
        let actors = sched["actors"].as_array().unwrap().clone();
        let actor = actors.into_iter().find(|actor| actor["name"] == name);
        actor.unwrap()["place"]["group"].as_str().map(str::to_owned)
    };
    load.wait_flowing(500, LIMIT).unwrap();
    for round in 0..24 {
        // Each of the two stages alone, and both together.
        let name = ["clone", "route"][round / 2 % 2];
        let (what, there) = [("push", "worker"), ("pull", "fcfs")][(round / 4 + round % 2) % 2];
        let path = format!("/api/v1/sched/{name}/{what}");
        let answer = sluice.request(sluice.control(), "POST", &path, Body::Empty);
        assert_eq!(answer.status, 200, "{}", answer.text());
        wait_for(what, LIMIT, || {
            (place(name).as_deref() == Some(there)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        load.wait_flowing(200, LIMIT).unwrap();
    }
}
