//! The client against what the appliance itself says.

use super::tests::{MS, begin, client, config};
use super::*;

/// CFG or NACK with a number of groups and tables, a generation, a reason.
fn from_appliance(kind: Kind, of: &Outgoing, what: (u32, u8, u16), reason: u16) -> [u8; 40] {
    let (grp, idx, cfg_gen) = what;
    Header {
        kind,
        grp,
        idx,
        cfg_gen,
        load: reason,
        ..of.first_header()
    }
    .encode()
}

#[test]
fn f12_the_appliance_changes_groups_and_tables() {
    let mut client = client(config());
    let (_, message) = begin(&mut client, 0);
    let news = from_appliance(Kind::Config, &message, (1, 1, 9), 0);
    assert_eq!(client.on_datagram(1, &news), Event::Configured);
    let older = from_appliance(Kind::Config, &message, (12, 2, 8), 0);
    assert_eq!(client.on_datagram(1, &older), Event::Configured);
    for _ in 0..30 {
        let header = begin(&mut client, 1).1.first_header();
        assert_eq!((header.grp, header.idx, header.cfg_gen), (0, 0, 9));
    }
    for (groups, tables) in [(0, 2), (6, 0), (6, 17)] {
        let wrong = from_appliance(Kind::Config, &message, (groups, tables, 10), 0);
        let expected = Event::Malformed(Malformed::BadConfig { groups, tables });
        assert_eq!(client.on_datagram(1, &wrong), expected);
    }
    assert_eq!(client.counters().configured, 1);
}

#[test]
fn f12_a_refused_request_is_sent_again_with_a_group_that_is() {
    let mut client = client(config());
    let (seq, message) = begin(&mut client, 0);
    let refusal = from_appliance(Kind::Nack, &message, (1, 2, 9), nack::BAD_GROUP);
    let refused = |then| Event::Refused {
        seq,
        token: 77,
        reason: nack::BAD_GROUP,
        then,
    };
    assert_eq!(client.on_datagram(1, &refusal), refused(Then::AtOnce));
    assert_eq!(client.on_datagram(1, &refusal), refused(Then::AtOnce));
    assert_eq!(client.next_time(), Some(1));
    let Some(Due::Resend { message, .. }) = client.poll(1) else {
        panic!("not sent again");
    };
    assert_eq!(
        (message.first_header().grp, message.first_header().cfg_gen),
        (0, 9)
    );
    // Once, though the refusal came twice.
    assert_eq!(client.poll(1), None);
    for _ in 0..2 {
        client.on_datagram(1, &refusal);
        assert!(matches!(client.poll(1), Some(Due::Resend { .. })));
    }
    assert_eq!(client.on_datagram(1, &refusal), refused(Then::Waits));
    assert_eq!(client.poll(1), None);
    assert_eq!(client.in_flight(), 1);
    let others = [&refusal[..36], &[9, 9, 9, 9]].concat();
    assert_eq!(
        client.on_datagram(1, &others),
        Event::Unknown { seq: 0x0909_0909 }
    );
}

#[test]
fn f12_without_servers_a_request_waits_for_its_timeout() {
    let mut client = client(config());
    let (_, message) = begin(&mut client, 0);
    let refusal = from_appliance(Kind::Nack, &message, (30, 2, 0), nack::NO_SERVER);
    let event = client.on_datagram(1, &refusal);
    assert!(matches!(
        event,
        Event::Refused {
            then: Then::Waits,
            reason: nack::NO_SERVER,
            ..
        }
    ));
    assert_eq!(client.next_time(), Some(100 * MS));
}

#[test]
fn f12_without_any_group_a_refusal_is_one_still() {
    let mut client = client(config());
    let (_, message) = begin(&mut client, 0);
    let refusal = from_appliance(Kind::Nack, &message, (0, 2, 7), nack::NO_SERVER);
    let event = client.on_datagram(1, &refusal);
    assert!(matches!(
        event,
        Event::Refused {
            then: Then::Waits,
            ..
        }
    ));
    assert_eq!((client.config().groups, client.config().cfg_gen), (30, 0));
}

#[test]
fn f12_a_write_to_the_wrong_address_is_given_up_at_once() {
    let mut client = client(config());
    let request = Request {
        idempotent: true,
        ..Request::write(8, 3)
    };
    let (seq, message) = client.begin(0, request).expect("room");
    let reason = nack::WRITE_TO_VIP;
    let refusal = from_appliance(Kind::Nack, &message, (30, 2, 0), reason);
    let refused = Event::Refused {
        seq,
        token: 3,
        reason,
        then: Then::GivenUp,
    };
    assert_eq!(client.on_datagram(1, &refusal), refused);
    assert_eq!((client.in_flight(), client.next_time()), (0, None));
    assert_eq!(client.counters().given_up, 1);
}
