//! The clone stage as a wire in one network: no router, the VIP answered for by the stage itself.

use std::time::Duration;

use clone_rig::control::{count, self_test, server, show, state};
use clone_rig::{Bed, Links, Load, Mode, Plan, Servers};
use serde_json::json;
use testkit::{Need, require, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

fn every_answer_is_right(links: Links) {
    let bed = Bed::new(Mode::Inline, links, 3).unwrap();
    let mut sluice = bed.start(&bed.stage(), None).unwrap();
    let mut servers = Servers::start(&bed, 4).unwrap();
    self_test(&sluice).unwrap();
    let level = sluice.packets_in_use();
    let load = Load::start(&bed, Plan::default()).unwrap();
    load.wait_flowing(2_000, LIMIT).unwrap();
    assert!(count(&sluice, "resp_filtered") > 0);
    // Whose MAC address a server has is found out, and found out again.
    assert!(server(&sluice, 0)["mac"].is_string());
    bed.move_servers("02:00:00:86:08:08").unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    wait_for("the new address", LIMIT, || {
        (server(&sluice, 0)["mac"] == "02:00:00:86:08:08").then_some(())
    })
    .unwrap();
    servers.kill(1);
    state(&sluice, 1, "down").unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    servers.start_one(1).unwrap();
    state(&sluice, 1, "up").unwrap();
    load.wait_flowing(500, LIMIT).unwrap();
    let epoch = show(&sluice)["epoch"].clone();
    bed.restart(&mut sluice).unwrap();
    assert_ne!(show(&sluice)["epoch"], epoch);
    load.wait_flowing(1_000, LIMIT).unwrap();
    let tally = load.end().unwrap();
    tally.check().unwrap();
    assert!(tally.cloned > 0 && tally.by_clone > 0, "{tally:?}");
    sluice.assert_conserved(level + 8);
}

#[test]
fn f08_x06_x08_x11_inline_over_tap_every_answer_is_right() {
    require!(Need::Root, Need::Tun);
    every_answer_is_right(Links::Tap);
}

#[test]
fn f08_x06_x08_x11_inline_over_packet_sockets_every_answer_is_right() {
    require!(Need::Root);
    every_answer_is_right(Links::Veth);
}

#[test]
fn f02_f29_inline_the_vip_answers_and_other_traffic_goes_through() {
    require!(Need::Root);
    let bed = Bed::new(Mode::Inline, Links::Veth, 2).unwrap();
    let sluice = bed.start(&bed.stage(), None).unwrap();
    for address in [bed.vip(), bed.server(0)] {
        let output = bed
            .clients
            .command("ping")
            .args(["-n", "-c3", "-i0.05", "-W5", &address.to_string()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(" 3 received"), "{address}: {text}");
    }
    assert!(count(&sluice, "neighbour_answers") > 0);
    let shown = show(&sluice);
    assert_eq!(shown["mode"], json!("inline"));
}
