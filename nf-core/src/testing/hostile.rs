//! Frames as no well-behaved host sends them: what every stage must survive.

use super::Frame;
use crate::wire::{MacAddr, ethertype};

/// One good frame of every kind that the parser knows: IPv4 and IPv6, UDP, TCP, ICMP, options,
/// extension headers, fragments, one and two tags, ARP, unknown types, jumbo, no payload.
pub fn samples(port: u16) -> Vec<Vec<u8>> {
    let (v4, v6) = (
        ("10.0.0.2:1000", "10.0.1.2:80"),
        ("[fd00::2]:1000", "[fd00:1::2]:80"),
    );
    let mut frames = Vec::new();
    for (source, destination) in [v4, v6] {
        let udp = || {
            Frame::udp(source, destination)
                .at(port)
                .payload(b"payload!")
        };
        let tcp = || {
            Frame::tcp(source, destination)
                .at(port)
                .payload(b"payload!")
        };
        frames.extend([
            udp(),
            tcp(),
            udp().payload(b""),
            tcp().payload(b""),
            udp().ttl(1),
            udp().ttl(0),
            udp().vlan(7),
            tcp().vlan(7).vlan(8),
            udp().fragment(0x2000),
            udp().fragment(0x2004),
            udp().fragment(0x0004),
            tcp().fragment(0x0001),
            udp().payload_len(8900),
            tcp().payload_len(1400),
        ]);
    }
    frames.extend([
        Frame::ping("10.0.0.2", "10.0.1.2").at(port),
        Frame::ping("fd00::2", "fd00:1::2").at(port),
        Frame::udp(v4.0, v4.1)
            .at(port)
            .options(&[0x83, 7, 4, 10, 0, 0, 9, 0]),
        Frame::udp(v4.0, v4.1).at(port).options(&[1; 40]),
        Frame::tcp(v6.0, v6.1)
            .at(port)
            .extension(0, &[0, 1, 4, 0, 0, 0, 0]),
        Frame::tcp(v6.0, v6.1)
            .at(port)
            .extension(43, &[0, 0, 1, 0, 0, 0, 0]),
        Frame::tcp(v6.0, v6.1)
            .at(port)
            .extension(60, &[0, 1, 4, 0, 0, 0, 0])
            .extension(60, &[1; 15]),
        Frame::ip("10.0.0.2", "10.0.1.2", 47)
            .at(port)
            .payload(b"GRE"),
        Frame::ip("fd00::2", "fd00:1::2", 59).at(port),
    ]);
    let mut frames: Vec<Vec<u8>> = frames.iter().map(Frame::build).collect();
    let mut arp = vec![0; 42];
    let (from, sender, target) = (Frame::host_mac(port), [10, 0, 0, 2], [10, 0, 0, 1]);
    let (sender, target) = (sender.into(), target.into());
    crate::wire::arp::write_request(&mut arp, MacAddr::BROADCAST, from, sender, target);
    frames.push(arp);
    let mut solicit = vec![0; 86];
    let (source, target) = ("fd00::2".parse(), "fd00::1".parse());
    if let (Ok(source), Ok(target)) = (source, target) {
        crate::wire::neighbor::write_solicit(&mut solicit, None, from, source, target);
    }
    frames.push(solicit);
    for kind in [
        ethertype::VLAN,
        ethertype::QINQ,
        0x88cc,
        0x8847,
        0x0026,
        0xffff,
    ] {
        let mut frame = vec![0x5a; 60];
        frame[..6].copy_from_slice(&Frame::port_mac(port).0);
        frame[6..12].copy_from_slice(&Frame::host_mac(port).0);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        frames.push(frame);
    }
    frames
}

/// Every [sample](samples) cut off at every length up to 200 bytes, also at none.
pub fn truncated(port: u16) -> impl Iterator<Item = Vec<u8>> {
    samples(port)
        .into_iter()
        .flat_map(|frame| (0..=frame.len().min(200)).map(move |len| frame[..len].to_vec()))
}

/// Samples with `flips` bytes replaced at random, from a seed: headers that contradict themselves.
pub fn mutated(port: u16, seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let samples = samples(port);
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(move |_| {
        let mut frame = samples[next() as usize % samples.len()].clone();
        for _ in 0..1 + next() % 4 {
            // Mostly in the headers, after the MAC addresses.
            let at = 12 + next() as usize % 64;
            if let Some(byte) = frame.get_mut(at) {
                *byte = next() as u8;
            }
        }
        if next() % 4 == 0 {
            let len = next() as usize % (frame.len() + 1);
            frame.truncate(len);
        }
        frame
    })
}
