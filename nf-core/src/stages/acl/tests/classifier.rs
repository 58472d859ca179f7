//! The classifier agrees with the plain scan.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::packet::Direction;
use crate::stages::acl::rule::*;
use crate::stages::acl::table::{Fallbacks, Table};
use crate::testing::eal;
use crate::wire::Prefix;

fn any_prefix() -> impl Strategy<Value = Option<Prefix>> {
    // Few different bits, so that rules overlap and packets hit them.
    let v4 = (0u32..16, 24u8..=32).prop_map(|(host, length)| {
        Prefix::containing(
            IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host * 17)),
            length,
        )
    });
    let wide = (any::<u32>(), 0u8..=8).prop_map(|(bits, length)| {
        Prefix::containing(IpAddr::V4(Ipv4Addr::from_bits(bits)), length)
    });
    let v6 = (
        0u128..16,
        prop_oneof![0u8..=8, 30u8..=34, 60u8..=68, 94u8..=98, 120u8..=128],
    )
        .prop_map(|(host, length)| Prefix::containing(IpAddr::V6(address6(host)), length));
    prop_oneof![3 => Just(None), 3 => v4.prop_map(Some), 1 => wide.prop_map(Some), 3 => v6.prop_map(Some)]
}

fn address6(host: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits((0x2001_0db8 << 96) + ((host & 3) << 62) + ((host & 4) << 30) + host)
}

fn any_ports() -> impl Strategy<Value = Option<Ports>> {
    let range = (0u16..20, 0u16..20).prop_map(|(a, b)| {
        Some(Ports {
            from: a.min(b),
            to: a.max(b),
        })
    });
    prop_oneof![2 => Just(None), 2 => range, 1 => (0u16..20).prop_map(|from| Some(Ports { from, to: u16::MAX }))]
}

prop_compose! {
    fn any_rule()(
        source in any_prefix(),
        destination in any_prefix(),
        protocol in prop_oneof![Just(None), (0u8..20).prop_map(|p| Some(Protocol(p)))],
        source_ports in any_ports(),
        destination_ports in any_ports(),
        direction in prop_oneof![Just(RuleDirection::Both), Just(RuleDirection::ToServer), Just(RuleDirection::ToClient)],
    ) -> Rule {
        Rule {
            name: None, action: Action::Allow, direction, source, destination, protocol,
            source_ports, destination_ports, comment: None,
        }
    }
}

prop_compose! {
    fn any_probe()(
        ipv4 in any::<bool>(),
        (from, to) in (0u32..260, 0u32..260),
        protocol in 0u8..20,
        ports in (0u16..24, 0u16..24),
        has_ports in any::<bool>(),
        to_client in any::<bool>(),
    ) -> Probe {
        let address = |n: u32| match ipv4 {
            true => IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)),
            false => IpAddr::V6(address6(n.into())),
        };
        Probe {
            direction: if to_client { Direction::ToClient } else { Direction::ToServer },
            source: address(from),
            destination: address(to),
            protocol,
            ports: has_ports.then_some(ports),
        }
    }
}

const ALLOW: Fallbacks = Fallbacks {
    default: Action::Allow,
    non_ip: Action::Allow,
    malformed: Action::Deny,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn the_classifier_finds_the_first_matching_rule(
        rules in proptest::collection::vec(any_rule(), 0..40),
        probes in proptest::collection::vec(any_probe(), 200),
    ) {
        let table = Table::build(eal(), rules.iter().map(|rule| (rule, 0)), ALLOW).expect("built");
        for probe in &probes {
            let expected = first_match(&rules, probe).map(|index| index + 1);
            prop_assert_eq!(table.lookup(probe), expected, "{:?}", probe);
        }
    }
}
