//! IPv6 neighbor discovery (RFC 4861): solicitations and advertisements, of neighbors and routers.
//!
//! [`parse`] accepts a message only if it passes the validation that the RFC asks for; whoever gets
//! one need not look at the packet again.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    Ethernet, Fragment, Layers, MacAddr, Prefix, Verdict, check_transport_checksum, ethernet,
    ethertype, icmpv6,
    icmpv6::{Icmpv6, kind},
    ipv6,
};

/// The hop limit that every message has, so that none comes from beyond the link.
pub const HOP_LIMIT: u8 = 255;

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Kinds of option.
mod option {
    pub const SOURCE_LINK: u8 = 1;
    pub const TARGET_LINK: u8 = 2;
    pub const PREFIX: u8 = 3;
    pub const MTU: u8 = 5;
}

/// Flags of a neighbor advertisement.
mod flag {
    pub const ROUTER: u32 = 1 << 31;
    pub const SOLICITED: u32 = 1 << 30;
    pub const OVERRIDE: u32 = 1 << 29;
}

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who has this address?
    Solicit {
        /// The address asked for.
        target: Ipv6Addr,
        /// Who asks; unspecified when it wants to find out whether the address is free.
        source: Ipv6Addr,
        /// The asker's hardware address, if it says so.
        link: Option<MacAddr>,
    },
    /// This address is here.
    Advert {
        /// The address spoken of.
        target: Ipv6Addr,
        /// Its hardware address; a reply to a solicitation of one node may leave it out.
        link: Option<MacAddr>,
        /// Whether it is a router.
        router: bool,
        /// Whether this answers a solicitation, and so confirms that the address can be reached.
        solicited: bool,
        /// Whether it takes the place of what is known.
        overrides: bool,
    },
    /// Which routers are there?
    RouterSolicit {
        /// Who asks; may be unspecified.
        source: Ipv6Addr,
        /// The asker's hardware address, if it says so.
        link: Option<MacAddr>,
    },
    /// Here is a router.
    RouterAdvert {
        /// Its link-local address.
        source: Ipv6Addr,
        /// Its hardware address, if it says so.
        link: Option<MacAddr>,
        /// The hop limit that hosts shall use; 0 if it does not say.
        hop_limit: u8,
        /// For how many seconds it is a default router; 0: not at all.
        lifetime: u16,
        /// The link's MTU, if it says so.
        mtu: Option<u32>,
    },
}

/// Whether a type of ICMPv6 belongs to neighbor discovery, redirects aside.
#[inline]
pub const fn is_neighbor_discovery(kind: u8) -> bool {
    matches!(
        kind,
        kind::ROUTER_SOLICIT | kind::ROUTER_ADVERT | kind::NEIGHBOR_SOLICIT | kind::NEIGHBOR_ADVERT
    )
}

/// The message in a whole, contiguous frame. `None` if there is none, or if it must be discarded:
/// hop limit below 255, wrong checksum or code, a target that is a group, options without length
/// (RFC 4861, sections 6.1 and 7.1).
pub fn parse(frame: &[u8], layers: &Layers) -> Option<Message> {
    let header = layers.ipv6(frame)?;
    let message = layers.icmpv6(frame)?;
    let (source, destination) = (header.source(), header.destination());
    if !is_neighbor_discovery(message.kind())
        || message.code() != 0
        || header.hop_limit() != HOP_LIMIT
        || layers.fragment() != Fragment::None
        || check_transport_checksum(frame, layers) != Verdict::Good
    {
        return None;
    }
    let body = layers.payload(frame);
    match message.kind() {
        kind::NEIGHBOR_SOLICIT => {
            let (target, options) = body.split_first_chunk::<16>()?;
            let target = Ipv6Addr::from(*target);
            let link = Options::read(options)?.source_link;
            let probe_is_right = link.is_none() && destination == ipv6::solicited_node(target);
            if target.is_multicast() || source.is_unspecified() && !probe_is_right {
                return None;
            }
            Some(Message::Solicit {
                target,
                source,
                link,
            })
        }
        kind::NEIGHBOR_ADVERT => {
            let (target, options) = body.split_first_chunk::<16>()?;
            let target = Ipv6Addr::from(*target);
            let link = Options::read(options)?.target_link;
            let flags = message.rest();
            let solicited = flags & flag::SOLICITED != 0;
            if target.is_multicast() || solicited && destination.is_multicast() {
                return None;
            }
            Some(Message::Advert {
                target,
                link,
                router: flags & flag::ROUTER != 0,
                solicited,
                overrides: flags & flag::OVERRIDE != 0,
            })
        }
        kind::ROUTER_SOLICIT => {
            let link = Options::read(body)?.source_link;
            if source.is_unspecified() && link.is_some() {
                return None;
            }
            Some(Message::RouterSolicit { source, link })
        }
        _ => {
            // Reachable time and retransmission timer stand before the options.
            let (_, options) = body.split_first_chunk::<8>()?;
            let options = Options::read(options)?;
            if !source.is_unicast_link_local() {
                return None;
            }
            Some(Message::RouterAdvert {
                source,
                link: options.source_link,
                hop_limit: (message.rest() >> 24) as u8,
                lifetime: message.rest() as u16,
                mtu: options.mtu,
            })
        }
    }
}

/// The options that matter here. Of several of a kind the last counts.
#[derive(Default)]
struct Options {
    source_link: Option<MacAddr>,
    target_link: Option<MacAddr>,
    mtu: Option<u32>,
}

impl Options {
    /// `None` if an option has no length or is longer than what remains.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut options = Self::default();
        while let [kind, units, ..] = *bytes {
            let length = usize::from(units) * 8;
            let option = bytes.get(..length).filter(|option| !option.is_empty())?;
            let [_, _, a, b, c, d, e, f] = *option.first_chunk()?;
            match (kind, units) {
                (option::SOURCE_LINK, 1) => options.source_link = Some(MacAddr([a, b, c, d, e, f])),
                (option::TARGET_LINK, 1) => options.target_link = Some(MacAddr([a, b, c, d, e, f])),
                (option::MTU, 1) => options.mtu = Some(u32::from_be_bytes([c, d, e, f])),
                _ => {}
            }
            bytes = bytes.get(length..)?;
        }
        bytes.is_empty().then_some(options)
    }
}

/// A writer of messages behind the ICMPv6 header.
struct Body<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Body<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn put_link(&mut self, kind: u8, mac: MacAddr) -> Option<()> {
        self.put(&[kind, 1])?;
        self.put(&mac.0)
    }
}

/// Starts a message whose link header ends at `at`.
fn begin(out: &mut [u8], at: usize, kind: u8, rest: u32) -> Option<Body<'_>> {
    let message = at + ipv6::HEADER_LEN;
    let mut header = Icmpv6::new_mut(out.get_mut(message..)?)?;
    header.set_kind(kind, 0);
    header.set_rest(rest);
    Some(Body {
        out,
        at: message + icmpv6::HEADER_LEN,
    })
}

/// The solicitation for `target`, as a whole untagged frame at the start of `out`, from `mac` and
/// `source`. It goes to the target's group, or to the one station `to` whose known address is to be
/// confirmed. With an unspecified source it asks whether the address is free (RFC 4862, section
/// 5.4.2). Returns its length, `None` without room.
pub fn write_solicit(
    out: &mut [u8],
    to: Option<MacAddr>,
    mac: MacAddr,
    source: Ipv6Addr,
    target: Ipv6Addr,
) -> Option<usize> {
    let (link, destination) = match to {
        Some(to) => (to, target),
        None => {
            let group = ipv6::solicited_node(target);
            (MacAddr::for_ipv6_multicast(group), group)
        }
    };
    let at = ethernet::write(out, link, mac, ethertype::IPV6)?;
    let mut body = begin(out, at, kind::NEIGHBOR_SOLICIT, 0)?;
    body.put(&target.octets())?;
    if !source.is_unspecified() {
        body.put_link(option::SOURCE_LINK, mac)?;
    }
    let end = body.at;
    icmpv6::finish(out, at, end, source, destination, HOP_LIMIT)
}

/// The advertisement that answers the solicitation `frame`, with its tags: its target is at `mac`.
/// The caller knows that the target is its own address, and says whether it is a `router`. Who asked
/// from no address is answered through all nodes (RFC 4861, section 7.2.4). Returns its length;
/// `None` without room, or if `frame` is no valid solicitation.
pub fn write_advert(
    frame: &[u8],
    layers: &Layers,
    mac: MacAddr,
    router: bool,
    out: &mut [u8],
) -> Option<usize> {
    let Some(Message::Solicit {
        target,
        source,
        link,
    }) = parse(frame, layers)
    else {
        return None;
    };
    let mut flags = flag::OVERRIDE | if router { flag::ROUTER } else { 0 };
    let (to, destination) = if source.is_unspecified() {
        (MacAddr::for_ipv6_multicast(ALL_NODES), ALL_NODES)
    } else {
        flags |= flag::SOLICITED;
        (link.unwrap_or(Ethernet::new(frame)?.source()), source)
    };
    if source.is_multicast() || !source.is_unspecified() && !to.is_unicast() {
        return None;
    }
    let at = ethernet::write_answer(frame, layers, to, mac, out)?;
    finish_advert(out, at, flags, target, mac, destination)
}

/// The unsolicited advertisement to all nodes that `address` is at `mac`, as a whole untagged frame
/// (RFC 4861, section 7.2.6). Returns its length, `None` without room.
pub fn write_announcement(
    out: &mut [u8],
    mac: MacAddr,
    address: Ipv6Addr,
    router: bool,
) -> Option<usize> {
    let flags = flag::OVERRIDE | if router { flag::ROUTER } else { 0 };
    let to = MacAddr::for_ipv6_multicast(ALL_NODES);
    let at = ethernet::write(out, to, mac, ethertype::IPV6)?;
    finish_advert(out, at, flags, address, mac, ALL_NODES)
}

fn finish_advert(
    out: &mut [u8],
    at: usize,
    flags: u32,
    target: Ipv6Addr,
    mac: MacAddr,
    destination: Ipv6Addr,
) -> Option<usize> {
    let mut body = begin(out, at, kind::NEIGHBOR_ADVERT, flags)?;
    body.put(&target.octets())?;
    body.put_link(option::TARGET_LINK, mac)?;
    let end = body.at;
    icmpv6::finish(out, at, end, target, destination, HOP_LIMIT)
}

/// What a router says of itself and its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvert<'a> {
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its link-local address, which the message is from.
    pub source: Ipv6Addr,
    /// The hop limit that hosts shall use; 0 to leave it to them.
    pub hop_limit: u8,
    /// For how many seconds it is a default router; 0: not at all.
    pub lifetime: u16,
    /// The link's MTU, if it is to be said.
    pub mtu: Option<u32>,
    /// IPv6 prefixes that are on the link and from which hosts may make addresses, each with its
    /// lifetime in seconds.
    pub prefixes: &'a [(Prefix, u32)],
}

impl RouterAdvert<'_> {
    /// Writes the advertisement to all nodes, as a whole untagged frame (RFC 4861, section 4.2).
    /// Returns its length; `None` without room or with an IPv4 prefix.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let to = MacAddr::for_ipv6_multicast(ALL_NODES);
        let at = ethernet::write(out, to, self.mac, ethertype::IPV6)?;
        let rest = u32::from(self.hop_limit) << 24 | u32::from(self.lifetime);
        let mut body = begin(out, at, kind::ROUTER_ADVERT, rest)?;
        // Reachable time and retransmission timer: not said.
        body.put(&[0; 8])?;
        body.put_link(option::SOURCE_LINK, self.mac)?;
        if let Some(mtu) = self.mtu {
            body.put(&[option::MTU, 1, 0, 0])?;
            body.put(&mtu.to_be_bytes())?;
        }
        for (prefix, lifetime) in self.prefixes {
            let IpAddr::V6(address) = prefix.address() else {
                return None;
            };
            // On the link, and good for addresses that hosts make themselves.
            body.put(&[option::PREFIX, 4, prefix.length(), 0xc0])?;
            body.put(&lifetime.to_be_bytes())?;
            body.put(&lifetime.to_be_bytes())?;
            body.put(&[0; 4])?;
            body.put(&address.octets())?;
        }
        let end = body.at;
        icmpv6::finish(out, at, end, self.source, ALL_NODES, HOP_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fill_transport_checksum;

    const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x12, 0x3456);
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    /// The solicitation of THERE, OTHER for OWN.
    #[rustfmt::skip]
    const SOLICIT: [u8; 86] = [
        0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 2, 0x86, 0xdd,
        0x60, 0, 0, 0, 0, 32, 58, 255,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x12, 0x34, 0x56,
        135, 0, 0x11, 0xc9, 0, 0, 0, 0,
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
        1, 1, 2, 0, 0, 0, 0, 2,
    ];

    fn read(frame: &[u8]) -> Option<Message> {
        parse(frame, &Layers::parse(frame).unwrap())
    }

    #[test]
    fn solicitation() {
        let mut out = [0xee; 100];
        assert_eq!(write_solicit(&mut out, None, THERE, OTHER, OWN), Some(86));
        assert_eq!(out[..86], SOLICIT);
        let solicit = Message::Solicit {
            target: OWN,
            source: OTHER,
            link: Some(THERE),
        };
        assert_eq!(read(&out[..86]), Some(solicit));
        for room in 0..86 {
            assert_eq!(
                write_solicit(&mut out[..room], None, THERE, OTHER, OWN),
                None
            );
        }

        assert_eq!(
            write_solicit(&mut out, Some(HERE), THERE, OTHER, OWN),
            Some(86)
        );
        assert_eq!((&out[..6], &out[38..54]), (&HERE.0[..], &OWN.octets()[..]));
        assert_eq!(read(&out[..86]), Some(solicit));

        let nobody = Ipv6Addr::UNSPECIFIED;
        assert_eq!(write_solicit(&mut out, None, THERE, nobody, OWN), Some(78));
        let probe = Message::Solicit {
            target: OWN,
            source: nobody,
            link: None,
        };
        assert_eq!(read(&out[..78]), Some(probe));
    }

    #[test]
    fn advertisement() {
        let tagged = [&SOLICIT[..12], &[0x81, 0, 0, 9], &SOLICIT[12..]].concat();
        let layers = Layers::parse(&tagged).unwrap();
        let mut out = [0xee; 100];
        assert_eq!(
            write_advert(&tagged, &layers, HERE, true, &mut out),
            Some(90)
        );
        let answer = Layers::parse(&out[..90]).unwrap();
        assert_eq!(answer.outer_tag(), layers.outer_tag());
        assert_eq!(out[..12], [THERE.0, HERE.0].concat()[..]);
        let header = answer.ipv6(&out).unwrap();
        assert_eq!((header.source(), header.destination()), (OWN, OTHER));
        let advert = Message::Advert {
            target: OWN,
            link: Some(HERE),
            router: true,
            solicited: true,
            overrides: true,
        };
        assert_eq!(parse(&out[..90], &answer), Some(advert));
        for room in 0..90 {
            assert_eq!(
                write_advert(&tagged, &layers, HERE, true, &mut out[..room]),
                None
            );
        }
    }

    #[test]
    fn a_probe_is_answered_through_all_nodes() {
        let mut probe = [0; 78];
        write_solicit(&mut probe, None, THERE, Ipv6Addr::UNSPECIFIED, OWN).unwrap();
        let layers = Layers::parse(&probe).unwrap();
        let mut out = [0; 100];
        assert_eq!(
            write_advert(&probe, &layers, HERE, false, &mut out),
            Some(86)
        );
        assert_eq!(out[..6], [0x33, 0x33, 0, 0, 0, 1]);
        let mut announcement = [0; 100];
        assert_eq!(
            write_announcement(&mut announcement, HERE, OWN, false),
            Some(86)
        );
        assert_eq!(out, announcement);
        let advert = Message::Advert {
            target: OWN,
            link: Some(HERE),
            router: false,
            solicited: false,
            overrides: true,
        };
        assert_eq!(read(&out[..86]), Some(advert));
    }

    #[test]
    fn what_must_be_discarded() {
        let accepted = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = SOLICIT.to_vec();
            edit(&mut frame);
            let layers = Layers::parse(&frame).unwrap();
            fill_transport_checksum(&mut frame, &layers);
            parse(&frame, &layers).is_some()
        };
        assert!(accepted(&|_| ()));
        assert!(!accepted(&|frame| frame[21] = 254), "from beyond the link");
        assert!(!accepted(&|frame| frame[55] = 1), "a code");
        assert!(!accepted(&|frame| frame[54] = 128), "an echo");
        assert!(!accepted(&|frame| frame[62] = 0xff), "for a group");
        assert!(
            !accepted(&|frame| frame[79] = 0),
            "an option without length"
        );
        assert!(!accepted(&|frame| frame[79] = 2), "an option too long");
        assert!(
            !accepted(&|frame| frame[22..38].fill(0)),
            "a probe with a link address"
        );
        assert!(!accepted(&|frame| frame[19] = 23), "too short");
        assert!(!accepted(&|frame| frame[19] = 25), "half an option");
        assert!(accepted(&|frame| frame[19] = 24), "no option");
        assert!(accepted(&|frame| frame[78] = 14), "an unknown option");
        assert!(!accepted(&|frame| {
            // Solicited, but to all.
            frame[54] = 136;
            frame[58] = 0x40;
        }));
        let mut wrong = SOLICIT;
        wrong[56] ^= 1;
        assert_eq!(read(&wrong), None, "wrong checksum");
    }

    #[test]
    fn routers() {
        let prefix = "2001:db8::/64".parse().unwrap();
        let advert = RouterAdvert {
            mac: HERE,
            source: OWN,
            hop_limit: 64,
            lifetime: 1800,
            mtu: Some(1400),
            prefixes: &[(prefix, 3600)],
        };
        let mut out = [0xee; 200];
        let length = advert.write(&mut out).unwrap();
        assert_eq!(length, 14 + 40 + 16 + 8 + 8 + 32);
        let parsed = Message::RouterAdvert {
            source: OWN,
            link: Some(HERE),
            hop_limit: 64,
            lifetime: 1800,
            mtu: Some(1400),
        };
        assert_eq!(read(&out[..length]), Some(parsed));
        for room in 0..length {
            assert_eq!(advert.write(&mut out[..room]), None);
        }
        let advert = RouterAdvert {
            source: Ipv6Addr::LOCALHOST,
            ..advert
        };
        let length = advert.write(&mut out).unwrap();
        assert_eq!(read(&out[..length]), None, "not from a link-local address");
        let prefixes = [("10.0.0.0/8".parse().unwrap(), 1)];
        assert_eq!(
            RouterAdvert {
                prefixes: &prefixes,
                ..advert
            }
            .write(&mut out),
            None
        );

        // A router solicitation is a header and options.
        let mut frame = [&SOLICIT[..62], &SOLICIT[78..]].concat();
        frame[19] = 16;
        frame[54] = 133;
        let layers = Layers::parse(&frame).unwrap();
        fill_transport_checksum(&mut frame, &layers);
        let solicit = Message::RouterSolicit {
            source: OTHER,
            link: Some(THERE),
        };
        assert_eq!(parse(&frame, &layers), Some(solicit));
    }
}
