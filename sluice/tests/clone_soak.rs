//! A short soak of the clone stage; `cargo xtask soak clone` runs long ones.

use clone_rig::soak::{Options, Outcome, run};
use clone_rig::{Links, Mode};
use testkit::{Need, require};

fn soak(mode: Mode, links: Links, requests: u64) -> Outcome {
    let options = Options {
        requests,
        servers: 4,
        clients: 2,
        in_flight: 8,
        mode,
        links,
        disturbed: true,
        program: None,
    };
    let mut story = String::new();
    let outcome = run(&options, &mut |line| {
        story += &format!("{line}\n");
        Ok(())
    });
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}\n{story}"));
    if let Err(error) = outcome.tally.check() {
        panic!("{error}\n{story}");
    }
    assert!(outcome.tally.sent >= requests, "{:?}", outcome.tally);
    outcome
}

#[test]
fn f21_f22_x06_x08_x09_nothing_is_lost_behind_a_gateway_whatever_happens() {
    require!(Need::Root, Need::Tun);
    let outcome = soak(Mode::Gateway, Links::Tap, 20_000);
    assert!(outcome.tally.cloned > 0, "{:?}", outcome.tally);
}

#[test]
fn f21_f22_x06_x08_x09_nothing_is_lost_behind_a_wire_whatever_happens() {
    require!(Need::Root, Need::Tun);
    let outcome = soak(Mode::Inline, Links::Veth, 20_000);
    assert!(outcome.tally.cloned > 0, "{:?}", outcome.tally);
}

#[test]
fn f19_f21_f22_x06_x08_nothing_is_lost_over_ipv6_whatever_happens() {
    require!(Need::Root, Need::Tun);
    let outcome = soak(Mode::Gateway6, Links::Tap, 20_000);
    assert!(outcome.tally.cloned > 0, "{:?}", outcome.tally);
}
