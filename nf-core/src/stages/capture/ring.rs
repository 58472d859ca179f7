//! Captured packets between a core and the writer: records in a bounded ring of bytes.
//!
//! A record is a head of fixed length and the captured bytes. The core puts a record in only if all
//! of it fits; the writer takes one out only when all of it is there.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::packet::{Direction, Packet};

/// Bytes of a record's head.
const HEAD: usize = 40;

/// What is known of a captured packet besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The session it was captured for.
    pub session: u32,
    /// Captured bytes.
    pub captured: u32,
    /// Bytes of the whole packet.
    pub original: u32,
    /// Trace id, 0 for none.
    pub trace: u32,
    /// When it passed, nanoseconds of the chain's clock.
    pub ns: u64,
    /// Its number among the packets that this core has captured.
    pub number: u64,
    /// The port it came in by.
    pub port: u16,
    /// Which way it went.
    pub direction: Direction,
}

impl Record {
    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0..4].copy_from_slice(&self.session.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.captured.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.original.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.trace.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.port.to_le_bytes());
        bytes[34] = self.direction as u8;
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD]) -> Record {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| bytes[at + n]));
        Record {
            session: word(0),
            captured: word(4),
            original: word(8),
            trace: word(12),
            ns: long(16),
            number: long(24),
            port: u16::from_le_bytes([bytes[32], bytes[33]]),
            direction: match bytes[34] {
                0 => Direction::ToServer,
                _ => Direction::ToClient,
            },
        }
    }
}

/// The core's end.
#[derive(Debug)]
pub(super) struct Inlet(Producer<u8>);

/// The writer's end.
#[derive(Debug)]
pub(super) struct Outlet(Consumer<u8>);

/// A ring of so many bytes.
pub(super) fn ring(bytes: usize) -> (Inlet, Outlet) {
    let (inlet, outlet) = RingBuffer::new(bytes);
    (Inlet(inlet), Outlet(outlet))
}

impl Inlet {
    /// Puts a packet's first `record.captured` bytes in. False, with nothing put in, when there is
    /// not enough room.
    #[inline]
    pub fn put(&mut self, record: Record, packet: &Packet) -> bool {
        let needed = HEAD + record.captured as usize;
        if self.0.cached_slots() < needed && self.0.slots() < needed {
            return false;
        }
        // Room for all of it was there, so that none of these can fail.
        let mut put = self.0.push_entire_slice(&record.to_bytes()).is_ok();
        let mut rest = record.captured as usize;
        for segment in packet.segments() {
            let piece = segment.get(..rest.min(segment.len())).unwrap_or_default();
            put &= self.0.push_entire_slice(piece).is_ok();
            rest -= piece.len();
            if rest == 0 {
                break;
            }
        }
        put
    }
}

impl Outlet {
    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.0.slots()
    }

    /// The next record's head, if all of the record is there.
    pub fn peek(&mut self) -> Option<Record> {
        let mut head = [0; HEAD];
        let chunk = self.0.read_chunk(HEAD).ok()?;
        let (first, second) = chunk.as_slices();
        for (to, from) in head.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
        let record = Record::from_bytes(&head);
        let whole = HEAD + record.captured as usize;
        (self.0.slots() >= whole).then_some(record)
    }

    /// Takes the record out whose head was [peeked](Self::peek) at, giving its bytes to `with`.
    /// Returns how many bytes of the ring are free again.
    pub fn take(&mut self, record: &Record, with: impl FnOnce([&[u8]; 2])) -> usize {
        let whole = HEAD + record.captured as usize;
        let Ok(chunk) = self.0.read_chunk(whole) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        let pieces = match first.get(HEAD..) {
            Some(rest) => [rest, second],
            None => [second.get(HEAD - first.len()..).unwrap_or_default(), &[]],
        };
        with(pieces);
        chunk.commit_all();
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pool;

    fn record(captured: usize, number: u64) -> Record {
        Record {
            session: 3,
            captured: captured as u32,
            original: captured as u32 + 5,
            trace: 9,
            ns: u64::MAX - number,
            number,
            port: 0xfffe,
            direction: if number.is_multiple_of(2) {
                Direction::ToServer
            } else {
                Direction::ToClient
            },
        }
    }

    #[test]
    fn records_come_out_as_they_went_in_wherever_the_ring_ends() {
        let pool = pool(16);
        let (mut inlet, mut outlet) = ring(1000);
        for number in 0..2000u64 {
            let len = (number as usize * 7) % 300;
            let bytes: Vec<u8> = (0..len).map(|n| (n as u64 + number) as u8).collect();
            let mut packet = Packet::from_bytes(&pool, &bytes[..len / 3]).unwrap();
            packet
                .chain(Packet::from_bytes(&pool, &bytes[len / 3..]).unwrap().into())
                .unwrap();
            assert_eq!(outlet.peek(), None);
            assert!(inlet.put(record(len, number), &packet));
            let head = outlet.peek().unwrap();
            assert_eq!(head, record(len, number));
            let mut seen = Vec::new();
            outlet.take(&head, |pieces| seen = pieces.concat());
            assert_eq!(seen, bytes);
        }
        assert_eq!(outlet.waiting(), 0);
    }

    #[test]
    fn a_full_ring_takes_nothing_and_recovers() {
        let pool = pool(16);
        let packet = Packet::from_bytes(&pool, &[1; 60]).unwrap();
        let (mut inlet, mut outlet) = ring(250);
        let put = (0..5)
            .filter(|n| inlet.put(record(60, *n), &packet))
            .count();
        assert_eq!(put, 2);
        for number in 0..2 {
            let head = outlet.peek().unwrap();
            assert_eq!(head.number, number);
            outlet.take(&head, |_| ());
        }
        assert_eq!(outlet.peek(), None);
        assert!(inlet.put(record(60, 7), &packet));
    }

    /// Only the first bytes of a packet are wanted.
    #[test]
    fn snaps() {
        let pool = pool(16);
        let mut packet = Packet::from_bytes(&pool, b"abcdef").unwrap();
        packet
            .chain(Packet::from_bytes(&pool, b"ghi").unwrap().into())
            .unwrap();
        let (mut inlet, mut outlet) = ring(1000);
        for captured in [0, 3, 6, 7, 9] {
            assert!(inlet.put(record(captured, 0), &packet));
            let head = outlet.peek().unwrap();
            outlet.take(&head, |pieces| {
                assert_eq!(pieces.concat(), &b"abcdefghi"[..captured])
            });
        }
    }
}
