//! Ten million packets of garbage, and truncated versions of every header at every length: nothing
//! panics, everything gives a reason.

use std::collections::BTreeSet;

use nf_core::wire::{Layers, Malformed, Transport};

use crate::seeds::seeds;

/// A small, fast generator (xorshift64*); its seed makes a run repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 32) as usize % limit.max(1)
    }
}

/// Writes a damaged copy of a seed to `out` and returns its length.
fn garbage(random: &mut Random, seeds: &[(String, Vec<u8>)], out: &mut [u8; 2048]) -> usize {
    let seed = &seeds[random.below(seeds.len())].1;
    let mut length = seed.len();
    out[..length].copy_from_slice(seed);
    let dice = random.next();
    if dice & 3 == 0 {
        length = random.below(length + 1);
    } else if dice & 0x1c == 0 {
        // Padding, or a longer packet than its headers say.
        length = (length + random.below(64)).min(out.len());
    }
    if length == 0 {
        return 0;
    }
    for _ in 0..dice >> 8 & 3 {
        // Mostly where headers are.
        let at = random.below(length.min(100));
        out[at] = match random.next() & 3 {
            0 => [0, 1, 0x7f, 0x80, 0xff, 4, 6, 44][random.below(8)],
            1 => out[at] ^ 1 << random.below(8),
            _ => random.next() as u8,
        };
    }
    if dice >> 16 & 31 == 0 {
        for byte in &mut out[..length] {
            *byte = random.next() as u8;
        }
    }
    length
}

#[test]
fn ten_million_packets_of_garbage() {
    const PACKETS: u64 = 10_000_000;
    let seed = 0x5107_ce00_u64;
    let seeds = seeds();
    let mut random = Random(seed);
    let mut buffer = [0; 2048];
    let mut reasons = [0u64; Malformed::ALL.len()];
    let mut sound = 0u64;
    for i in 0..PACKETS {
        let length = garbage(&mut random, &seeds, &mut buffer);
        let frame = &mut buffer[..length];
        let layers = Layers::parse_lax(frame, length);
        match layers.problem() {
            None => sound += 1,
            Some(problem) => reasons[problem.index()] += 1,
        }
        // Everything that is done to packets, each on its share of them.
        match i & 15 {
            0 => crate::targets::layers(frame),
            1 => crate::targets::rewrites(frame),
            2 => crate::targets::replies(frame),
            _ => crate::touch(frame, &layers),
        }
    }
    assert_eq!(sound + reasons.iter().sum::<u64>(), PACKETS);
    assert!(sound > PACKETS / 10, "{sound}");
    for (problem, count) in Malformed::ALL.iter().zip(reasons) {
        assert!(count > 0, "no packet with {problem}");
    }
}

#[test]
fn every_header_cut_at_every_length() {
    for (name, frame) in seeds() {
        let whole = Layers::parse_lax(&frame, frame.len());
        // Of other kinds of packet nobody knows the length.
        let end = match whole.ip_version() != 0 || whole.is_arp() {
            true => whole.end(),
            false => 14,
        };
        for length in 0..frame.len() {
            let cut = &frame[..length];
            for target in crate::targets::TARGETS {
                target.1(cut);
            }
            if length < end {
                let problem = Layers::parse(cut).expect_err(&name);
                assert!(!problem.as_str().is_empty());
            }
        }
    }
}

#[test]
fn seeds_cover_every_kind_and_problem() {
    let (mut problems, mut transports) = (BTreeSet::new(), BTreeSet::new());
    for (_, frame) in seeds() {
        let layers = Layers::parse_lax(&frame, frame.len());
        problems.extend(layers.problem().map(Malformed::as_str));
        transports.insert(layers.transport() as u8);
    }
    assert_eq!(problems.len(), Malformed::ALL.len());
    assert_eq!(transports.len(), Transport::Icmpv6 as usize + 1);
}
