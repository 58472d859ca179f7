//! Flipping bits.

use super::chance::Chance;
use super::config::{Corrupt, CorruptPlace};
use crate::packet::Packet;
use crate::wire::Layers;
use crate::wire::ethernet::HEADER_LEN;

/// Ethernet addresses, bytes: always left alone, so that a corrupted frame still arrives.
const ADDRESSES: usize = 12;

/// Flips bits of a packet, in whatever segment they are. False, with nothing changed, when there is
/// nothing to flip or the packet's buffers are shared: copy it first.
pub(super) fn corrupt(packet: &mut Packet, corrupt: &Corrupt, chance: &mut Chance) -> bool {
    let (start, len) = match corrupt.place {
        CorruptPlace::Anywhere => (ADDRESSES, packet.len().saturating_sub(ADDRESSES)),
        CorruptPlace::Payload => payload(packet),
    };
    let bits = len as u64 * 8;
    if bits == 0 || !packet.is_exclusive() {
        return false;
    }
    // Computed behind this, a checksum would be right.
    packet.settle_checksums();
    let mut flipped = [u64::MAX; 64];
    let wanted = u64::from(corrupt.bits).min(bits).min(64) as usize;
    for n in 0..wanted {
        let mut bit = chance.below(bits);
        // Another one if it was flipped already: there are enough.
        while flipped[..n].contains(&bit) {
            bit = (bit + 1) % bits;
        }
        flipped[n] = bit;
        if let Some(byte) = packet.byte_mut(start + (bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
    }
    true
}

/// Whether there is anything to flip, shared or not.
pub(super) fn has_bits(packet: &Packet, place: CorruptPlace) -> bool {
    match place {
        CorruptPlace::Anywhere => packet.len() > ADDRESSES,
        CorruptPlace::Payload => payload(packet).1 > 0,
    }
}

/// Where the data begins behind the last header that is known, and its length.
fn payload(packet: &Packet) -> (usize, usize) {
    let layers = Layers::parse_lax(packet.data(), packet.len());
    let start = match layers.payload_at() {
        // Nothing was understood.
        0 => return (HEADER_LEN, packet.len().saturating_sub(HEADER_LEN)),
        start => start,
    };
    // Without the padding of short frames.
    let room = packet.len().saturating_sub(start);
    (start, layers.payload_len().min(room))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, pool};

    fn setting(bits: u8, place: CorruptPlace) -> Corrupt {
        Corrupt {
            probability: 1.0,
            bits,
            place,
        }
    }

    /// Offsets of changed bytes, and how many bits changed.
    fn changes(before: &[u8], packet: &Packet) -> (Vec<usize>, u32) {
        let mut after = vec![0; before.len()];
        packet.copy_out(0, &mut after);
        let pairs = || before.iter().zip(&after).enumerate();
        let at = pairs().filter(|(_, (a, b))| a != b).map(|(n, _)| n);
        (
            at.collect(),
            pairs().map(|(_, (a, b))| (a ^ b).count_ones()).sum(),
        )
    }

    #[test]
    fn flips_as_many_bits_as_asked_in_the_data_only() {
        let pool = pool(64);
        let frame = Frame::udp("10.0.0.1:1", "10.0.0.2:2")
            .payload(b"eight...")
            .pad_to(60)
            .build();
        let mut chance = Chance::new(1, 0, 0);
        let mut seen = [false; 8];
        for bits in (1..=64).chain([64; 20]) {
            let mut packet = Packet::from_bytes(&pool, &frame).unwrap();
            assert!(corrupt(
                &mut packet,
                &setting(bits, CorruptPlace::Payload),
                &mut chance
            ));
            let (at, count) = changes(&frame, &packet);
            assert_eq!(count, u32::from(bits));
            assert!(at.iter().all(|at| (42..50).contains(at)), "{at:?}");
            at.iter().for_each(|at| seen[at - 42] = true);
        }
        assert_eq!(seen, [true; 8]);
    }

    #[test]
    fn reaches_every_segment_and_leaves_the_addresses() {
        let pool = pool(64);
        let frame = Frame::udp("10.0.0.1:1", "10.0.0.2:2")
            .payload_len(5000)
            .build();
        let mut chance = Chance::new(1, 0, 0);
        let (mut first, mut last) = (usize::MAX, 0);
        for _ in 0..2000 {
            let mut packet = Packet::from_bytes(&pool, &frame).unwrap();
            assert!(packet.segment_count() > 2);
            assert!(corrupt(
                &mut packet,
                &setting(1, CorruptPlace::Anywhere),
                &mut chance
            ));
            let (at, _) = changes(&frame, &packet);
            first = first.min(at[0]);
            last = last.max(at[0]);
        }
        assert!(
            (ADDRESSES..100).contains(&first) && last > 4950,
            "{first} to {last}"
        );
    }

    #[test]
    fn leaves_alone_what_has_no_data_or_is_shared() {
        let pool = pool(64);
        let mut chance = Chance::new(1, 0, 0);
        let anywhere = setting(1, CorruptPlace::Anywhere);
        let empty = Frame::udp("10.0.0.1:1", "10.0.0.2:2").build();
        let mut packet = Packet::from_bytes(&pool, &empty).unwrap();
        assert!(!corrupt(
            &mut packet,
            &setting(1, CorruptPlace::Payload),
            &mut chance
        ));
        for short in [&b""[..], b"a", &[0; 12]] {
            let mut packet = Packet::from_bytes(&pool, short).unwrap();
            assert!(!corrupt(&mut packet, &anywhere, &mut chance));
            assert!(!has_bits(&packet, CorruptPlace::Anywhere));
        }
        // A private first segment with a shared tail.
        let body = Packet::from_bytes(&pool, &[7; 100]).unwrap();
        let mut packet = Packet::from_bytes(&pool, &[0; 14]).unwrap();
        packet.chain(body.share(&pool).unwrap().into()).unwrap();
        assert!(packet.is_writable() && !packet.is_exclusive());
        assert!(!corrupt(&mut packet, &anywhere, &mut chance));
        assert!(body.data().iter().all(|byte| *byte == 7));
    }
}
