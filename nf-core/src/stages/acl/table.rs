//! A list of rules as the data path wants it: two classifiers, for IPv4 and for IPv6.
//!
//! A packet's direction, whether it has ports, and its protocol go into the first byte of the key:
//! bit 0 is the direction, bit 1 says that there are ports, and the upper six bits number the
//! protocols that rules name (0 stands for all others). So one classifier serves both directions, and
//! a packet without ports never matches a rule that looks at them.

use std::net::IpAddr;
use std::num::NonZeroU32;

#[cfg(test)]
use super::rule::Probe;
use super::rule::{Action, Ports, Rule};
use crate::dpdk::{Acl, AclField, AclRule, DpdkError, Eal};
use crate::packet::Direction;
use crate::wire::Prefix;

/// Most different protocols that rules may name.
pub const MAX_PROTOCOLS: usize = 62;

const TO_CLIENT: u8 = 1;
const HAS_PORTS: u8 = 2;
const CLASS_MASK: u8 = 0xfc;

/// Bytes of an IPv4 key: flags, source, destination, ports.
pub const KEY4: usize = 16;
/// Bytes of an IPv6 key.
pub const KEY6: usize = 40;

/// What the data path knows of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the packet.
    pub action: Action,
    /// Where its hits are counted.
    pub slot: u32,
}

/// A version of the rules. Built by the control side, then only read.
#[derive(Debug)]
pub struct Table {
    classes: [u8; 256],
    v4: Option<Acl<KEY4>>,
    v6: Option<Acl<KEY6>>,
    /// By rule, in order.
    verdicts: Box<[Verdict]>,
    /// For packets that no rule matches.
    pub default: Action,
    /// For packets that are not IP.
    pub non_ip: Action,
    /// For packets with wrong headers.
    pub malformed: Action,
}

/// What applies where no rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallbacks {
    /// For packets that no rule matches.
    pub default: Action,
    /// For packets that are not IP.
    pub non_ip: Action,
    /// For packets with wrong headers.
    pub malformed: Action,
}

impl Table {
    /// Builds the classifiers for rules, in order, each with the slot of its counter.
    pub fn build<'a>(
        eal: &'static Eal,
        rules: impl IntoIterator<Item = (&'a Rule, u32)>,
        fallbacks: Fallbacks,
    ) -> Result<Table, DpdkError> {
        let rules: Vec<_> = rules.into_iter().collect();
        let mut classes = [0; 256];
        let mut next = 0;
        for protocol in rules.iter().filter_map(|(rule, _)| rule.protocol) {
            let class = &mut classes[usize::from(protocol.0)];
            if *class == 0 && next < MAX_PROTOCOLS as u8 {
                next += 1;
                *class = next << 2;
            }
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, (rule, _)) in rules.iter().enumerate() {
            let Some(result) = u32::try_from(index + 1).ok().and_then(NonZeroU32::new) else {
                break;
            };
            let priority = AclRule::<5>::MAX_PRIORITY - index as i32;
            let flags = flags_of(rule, &classes);
            let (source_ports, destination_ports) =
                (range(rule.source_ports), range(rule.destination_ports));
            if rule.is_for(true) {
                let fields = [
                    flags,
                    word4(rule.source),
                    word4(rule.destination),
                    source_ports,
                    destination_ports,
                ];
                v4.push(AclRule::new(priority, result, fields));
            }
            if rule.is_for(false) {
                let ([a, b, c, d], [e, f, g, h]) = (words6(rule.source), words6(rule.destination));
                let fields = [
                    flags,
                    a,
                    b,
                    c,
                    d,
                    e,
                    f,
                    g,
                    h,
                    source_ports,
                    destination_ports,
                ];
                v6.push(AclRule::new(priority, result, fields));
            }
        }
        let verdicts = rules.iter().map(|(rule, slot)| Verdict {
            action: rule.action,
            slot: *slot,
        });
        Ok(Table {
            classes,
            v4: if v4.is_empty() {
                None
            } else {
                Some(Acl::build(eal, &v4)?)
            },
            v6: if v6.is_empty() {
                None
            } else {
                Some(Acl::build(eal, &v6)?)
            },
            verdicts: verdicts.collect(),
            default: fallbacks.default,
            non_ip: fallbacks.non_ip,
            malformed: fallbacks.malformed,
        })
    }

    /// The first byte of a packet's key.
    #[inline(always)]
    pub fn flags(&self, direction: Direction, protocol: u8, has_ports: bool) -> u8 {
        let direction = match direction {
            Direction::ToServer => 0,
            Direction::ToClient => TO_CLIENT,
        };
        let ports = if has_ports { HAS_PORTS } else { 0 };
        self.classes[usize::from(protocol)] | direction | ports
    }

    /// For each key the number of the first rule that matches, from 1; 0 for none.
    #[inline]
    pub fn classify4(&self, keys: &[[u8; KEY4]], results: &mut [u32]) {
        match &self.v4 {
            Some(acl) => acl.classify(keys, results),
            None => results.fill(0),
        }
    }

    /// The same for IPv6.
    #[inline]
    pub fn classify6(&self, keys: &[[u8; KEY6]], results: &mut [u32]) {
        match &self.v6 {
            Some(acl) => acl.classify(keys, results),
            None => results.fill(0),
        }
    }

    /// The rule of that number, from 1.
    #[inline(always)]
    pub fn verdict(&self, number: u32) -> Option<Verdict> {
        self.verdicts
            .get((number as usize).wrapping_sub(1))
            .copied()
    }

    /// The number of the first rule that matches, from 1.
    #[cfg(test)]
    pub fn lookup(&self, probe: &Probe) -> Option<usize> {
        let flags = self.flags(probe.direction, probe.protocol, probe.ports.is_some());
        let (from, to) = probe.ports.unwrap_or_default();
        let mut result = [0];
        match (probe.source, probe.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let key = key4(flags, &source.octets(), &destination.octets(), from, to);
                self.classify4(&[key], &mut result);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let key = key6(flags, &source.octets(), &destination.octets(), from, to);
                self.classify6(&[key], &mut result);
            }
            _ => return None,
        }
        (result[0] != 0).then_some(result[0] as usize)
    }
}

/// The key of an IPv4 packet.
#[inline(always)]
pub fn key4(flags: u8, source: &[u8; 4], destination: &[u8; 4], from: u16, to: u16) -> [u8; KEY4] {
    let mut key = [0; KEY4];
    key[0] = flags;
    key[4..8].copy_from_slice(source);
    key[8..12].copy_from_slice(destination);
    key[12..14].copy_from_slice(&from.to_be_bytes());
    key[14..16].copy_from_slice(&to.to_be_bytes());
    key
}

/// The key of an IPv6 packet.
#[inline(always)]
pub fn key6(
    flags: u8,
    source: &[u8; 16],
    destination: &[u8; 16],
    from: u16,
    to: u16,
) -> [u8; KEY6] {
    let mut key = [0; KEY6];
    key[0] = flags;
    key[4..20].copy_from_slice(source);
    key[20..36].copy_from_slice(destination);
    key[36..38].copy_from_slice(&from.to_be_bytes());
    key[38..40].copy_from_slice(&to.to_be_bytes());
    key
}

fn flags_of(rule: &Rule, classes: &[u8; 256]) -> AclField {
    let (mut value, mut mask) = (0, 0);
    if let Some(protocol) = rule.protocol {
        value |= classes[usize::from(protocol.0)];
        mask |= CLASS_MASK;
    }
    if let Some(direction) = rule.direction.only() {
        mask |= TO_CLIENT;
        value |= match direction {
            Direction::ToServer => 0,
            Direction::ToClient => TO_CLIENT,
        };
    }
    if rule.needs_ports() {
        value |= HAS_PORTS;
        mask |= HAS_PORTS;
    }
    AclField::Bits { value, mask }
}

fn range(ports: Option<Ports>) -> AclField {
    let Ports { from, to } = ports.unwrap_or(Ports {
        from: 0,
        to: u16::MAX,
    });
    AclField::Range { from, to }
}

fn word4(prefix: Option<Prefix>) -> AclField {
    match prefix.map(|prefix| (prefix.address(), prefix.length())) {
        Some((IpAddr::V4(address), length)) => AclField::Prefix {
            value: address.to_bits(),
            length,
        },
        _ => AclField::Prefix {
            value: 0,
            length: 0,
        },
    }
}

fn words6(prefix: Option<Prefix>) -> [AclField; 4] {
    let (bits, length) = match prefix.map(|prefix| (prefix.address(), prefix.length())) {
        Some((IpAddr::V6(address), length)) => (address.to_bits(), length),
        _ => (0, 0),
    };
    [0u8, 32, 64, 96].map(|at| AclField::Prefix {
        value: (bits >> (96 - u32::from(at))) as u32,
        length: length.saturating_sub(at).min(32),
    })
}
