//! Capture files for replay: pcap (either byte order, micro- or nanoseconds) and pcapng.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Only Ethernet captures can be
//! replayed. A file is read whole: replay must not wait for a disk.

/// A captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since the first frame; never decreasing.
    pub at_ns: u64,
    /// The captured bytes, from the Ethernet header on, without check sequence.
    pub bytes: Vec<u8>,
}

/// Frames of a capture file, and what had to be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// Frames in the order of the file.
    pub frames: Vec<Frame>,
    /// Frames of which only a part was captured; they are replayed as long as captured.
    pub truncated: u64,
    /// Frames of other link types than Ethernet, left out.
    pub not_ethernet: u64,
    /// Frames with an earlier time than the one before them; replayed without a gap.
    pub back_in_time: u64,
}

/// Why a file cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PcapError {
    /// Neither pcap nor pcapng.
    Unknown,
    /// A length that cannot be, with its offset in the file.
    Malformed(usize),
    /// No Ethernet frame in it.
    Empty,
}

impl std::fmt::Display for PcapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PcapError::Unknown => write!(f, "neither a pcap nor a pcapng file"),
            PcapError::Malformed(at) => write!(f, "malformed at byte {at}"),
            PcapError::Empty => write!(f, "no Ethernet frames"),
        }
    }
}

impl std::error::Error for PcapError {}

const LINK_ETHERNET: u16 = 1;
/// Longest frame accepted: the largest that IP can fill, with headers to spare.
const MAX_FRAME: usize = 65_536 + 256;

/// Reads integers in the file's byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big {
            u16::from_be_bytes(field)
        } else {
            u16::from_le_bytes(field)
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big {
            u32::from_be_bytes(field)
        } else {
            u32::from_le_bytes(field)
        })
    }
}

/// Collects frames and turns absolute times into times since the first.
#[derive(Default)]
struct Collector {
    capture: Capture,
    first_ns: Option<u64>,
    last_ns: u64,
}

impl Collector {
    fn add(&mut self, link: u16, time_ns: Option<u64>, original: u32, bytes: &[u8]) {
        if link != LINK_ETHERNET || bytes.len() < 14 {
            self.capture.not_ethernet += 1;
            return;
        }
        self.capture.truncated += u64::from(original as usize > bytes.len());
        let time_ns = time_ns.unwrap_or(self.last_ns);
        let first = *self.first_ns.get_or_insert(time_ns);
        let since = self.last_ns.max(time_ns);
        self.capture.back_in_time += u64::from(time_ns < self.last_ns);
        self.last_ns = since;
        let frame = Frame {
            at_ns: since.saturating_sub(first),
            bytes: bytes.to_vec(),
        };
        self.capture.frames.push(frame);
    }

    fn finish(self) -> Result<Capture, PcapError> {
        if self.capture.frames.is_empty() {
            Err(PcapError::Empty)
        } else {
            Ok(self.capture)
        }
    }
}

/// Reads a whole capture file. A file that ends within a record is read up to there, as one that is
/// still being written would be.
pub fn read(file: &[u8]) -> Result<Capture, PcapError> {
    let magic: [u8; 4] = file.first_chunk().copied().ok_or(PcapError::Unknown)?;
    match u32::from_be_bytes(magic) {
        0xa1b2_c3d4 => read_pcap(file, Order { big: true }, 1000),
        0xd4c3_b2a1 => read_pcap(file, Order { big: false }, 1000),
        0xa1b2_3c4d => read_pcap(file, Order { big: true }, 1),
        0x4d3c_b2a1 => read_pcap(file, Order { big: false }, 1),
        BLOCK_SECTION => read_pcapng(file),
        _ => Err(PcapError::Unknown),
    }
}

fn read_pcap(file: &[u8], order: Order, scale: u64) -> Result<Capture, PcapError> {
    let link = order
        .u32(file, 20)
        .ok_or(PcapError::Malformed(file.len()))? as u16;
    let mut collector = Collector::default();
    let mut at = 24;
    while let (Some(seconds), Some(fraction), Some(captured), Some(original)) = (
        order.u32(file, at),
        order.u32(file, at + 4),
        order.u32(file, at + 8),
        order.u32(file, at + 12),
    ) {
        let length = captured as usize;
        if length > MAX_FRAME {
            return Err(PcapError::Malformed(at));
        }
        let Some(bytes) = file.get(at + 16..at + 16 + length) else {
            break;
        };
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * scale;
        collector.add(link, Some(time), original, bytes);
        at += 16 + length;
    }
    collector.finish()
}

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_PACKET_OBSOLETE: u32 = 2;
const BLOCK_PACKET_SIMPLE: u32 = 3;
const BLOCK_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const OPTION_END: u16 = 0;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// What a pcapng file says about an interface.
#[derive(Clone, Copy)]
struct Interface {
    link: u16,
    snap: u32,
    resolution: u8,
}

impl Interface {
    /// Turns the interface's time units into nanoseconds.
    fn nanoseconds(self, time: u64) -> u64 {
        let time = u128::from(time) * 1_000_000_000;
        let units = match self.resolution {
            power if power & 0x80 != 0 => 1u128.checked_shl(u32::from(power & 0x7f)),
            power => 10u128.checked_pow(u32::from(power)),
        };
        units.map_or(0, |units| time / units.max(1)) as u64
    }
}

fn read_pcapng(file: &[u8]) -> Result<Capture, PcapError> {
    let mut collector = Collector::default();
    let mut order = Order { big: false };
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut at = 0;
    while at + 12 <= file.len() {
        if order.u32(file, at) == Some(BLOCK_SECTION) {
            // A section states its byte order itself, and starts its interfaces anew.
            order = match file.get(at + 8..at + 12) {
                Some(magic) if magic == BYTE_ORDER_MAGIC.to_be_bytes() => Order { big: true },
                Some(magic) if magic == BYTE_ORDER_MAGIC.to_le_bytes() => Order { big: false },
                _ => return Err(PcapError::Malformed(at + 8)),
            };
            interfaces.clear();
        }
        let (Some(kind), Some(length)) = (order.u32(file, at), order.u32(file, at + 4)) else {
            break;
        };
        let length = length as usize;
        if length < 12 || !length.is_multiple_of(4) {
            return Err(PcapError::Malformed(at + 4));
        }
        let Some(body) = file.get(at + 8..at + length - 4) else {
            break;
        };
        block(kind, body, order, &mut interfaces, &mut collector)
            .ok_or(PcapError::Malformed(at))?;
        at += length;
    }
    collector.finish()
}

fn block(
    kind: u32,
    body: &[u8],
    order: Order,
    interfaces: &mut Vec<Interface>,
    collector: &mut Collector,
) -> Option<()> {
    match kind {
        BLOCK_INTERFACE => {
            interfaces.push(Interface {
                link: order.u16(body, 0)?,
                snap: order.u32(body, 4)?,
                resolution: time_resolution(body.get(8..)?, order).unwrap_or(6),
            });
        }
        BLOCK_PACKET | BLOCK_PACKET_OBSOLETE => {
            let index = if kind == BLOCK_PACKET {
                order.u32(body, 0)?
            } else {
                u32::from(order.u16(body, 0)?)
            };
            let interface = *interfaces.get(index as usize)?;
            let time = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
            let captured = order.u32(body, 12)? as usize;
            let bytes = body.get(20..20usize.checked_add(captured)?)?;
            let time = interface.nanoseconds(time);
            collector.add(interface.link, Some(time), order.u32(body, 16)?, bytes);
        }
        BLOCK_PACKET_SIMPLE => {
            let interface = *interfaces.first()?;
            let original = order.u32(body, 0)?;
            let room = body.len() - 4;
            let mut captured = (original as usize).min(room);
            if interface.snap > 0 {
                captured = captured.min(interface.snap as usize);
            }
            collector.add(interface.link, None, original, body.get(4..4 + captured)?);
        }
        // Name resolution, statistics, sections' heads and custom blocks say nothing about frames.
        _ => {}
    }
    Some(())
}

/// The interface's `if_tsresol` option, if it has one.
fn time_resolution(options: &[u8], order: Order) -> Option<u8> {
    let mut at = 0;
    loop {
        let code = order.u16(options, at)?;
        let length = usize::from(order.u16(options, at + 2)?);
        match code {
            OPTION_END => return None,
            OPTION_TIME_RESOLUTION => return options.get(at + 4).copied(),
            _ => at += 4 + length.next_multiple_of(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(fill: u8, length: usize) -> Vec<u8> {
        vec![fill; length]
    }

    fn pcap(big: bool, magic: u32, link: u32, frames: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
        let n32 = |v: u32| {
            if big {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        };
        let mut file = Vec::new();
        for word in [magic, 0x0004_0002, 0, 0, 65535, link] {
            file.extend(n32(word));
        }
        for (seconds, fraction, original, bytes) in frames {
            for word in [*seconds, *fraction, bytes.len() as u32, *original] {
                file.extend(n32(word));
            }
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn all_four_kinds_of_pcap() {
        for (big, magic, scale) in [
            (true, 0xa1b2_c3d4, 1000),
            (false, 0xa1b2_c3d4, 1000),
            (true, 0xa1b2_3c4d, 1),
            (false, 0xa1b2_3c4d, 1),
        ] {
            let frames = [
                (100, 999_000, 60, frame(1, 60)),
                (101, 1_000, 1500, frame(2, 100)),
            ];
            let capture = read(&pcap(big, magic, 1, &frames)).unwrap();
            assert_eq!(
                capture.frames[0],
                Frame {
                    at_ns: 0,
                    bytes: frame(1, 60)
                }
            );
            assert_eq!(capture.frames[1].at_ns, 1_000_000_000 - 998_000 * scale);
            assert_eq!(capture.truncated, 1);
        }
    }

    #[test]
    fn times_that_go_back_do_not() {
        let frames = [
            (5, 0, 60, frame(1, 60)),
            (4, 0, 60, frame(2, 60)),
            (6, 0, 60, frame(3, 60)),
        ];
        let capture = read(&pcap(false, 0xa1b2_c3d4, 1, &frames)).unwrap();
        let times: Vec<u64> = capture.frames.iter().map(|f| f.at_ns).collect();
        assert_eq!(
            (times, capture.back_in_time),
            (vec![0, 0, 1_000_000_000], 1)
        );
    }

    #[test]
    fn a_file_cut_short_is_read_up_to_there() {
        let frames = [(1, 0, 60, frame(1, 60)), (1, 1, 60, frame(2, 60))];
        let file = pcap(false, 0xa1b2_c3d4, 1, &frames);
        assert_eq!(read(&file[..file.len() - 1]).unwrap().frames.len(), 1);
    }

    #[test]
    fn what_cannot_be_replayed_says_why() {
        assert_eq!(read(b""), Err(PcapError::Unknown));
        assert_eq!(read(b"GIF89a"), Err(PcapError::Unknown));
        assert_eq!(
            read(&pcap(false, 0xa1b2_c3d4, 1, &[])),
            Err(PcapError::Empty)
        );
        let radio = pcap(false, 0xa1b2_c3d4, 127, &[(1, 0, 60, frame(1, 60))]);
        assert_eq!(read(&radio), Err(PcapError::Empty));
        let mut huge = pcap(false, 0xa1b2_c3d4, 1, &[(1, 0, 60, frame(1, 60))]);
        huge[24 + 8..24 + 12].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        assert_eq!(read(&huge), Err(PcapError::Malformed(24)));
    }

    fn ng_block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
        let n32 = |v: u32| {
            if big {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        };
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = body.len() as u32 + 12;
        [&n32(kind)[..], &n32(length), &body, &n32(length)].concat()
    }

    fn pcapng(big: bool, resolution: Option<u8>, times: &[u64]) -> Vec<u8> {
        let n16 = |v: u16| {
            if big {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        };
        let n32 = |v: u32| {
            if big {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        };
        let version = [&n16(1)[..], &n16(0), &[0xff; 8]].concat();
        let head = [&n32(BYTE_ORDER_MAGIC)[..], &version].concat();
        let mut interface = [&n16(1)[..], &n16(0), &n32(0)].concat();
        if let Some(resolution) = resolution {
            // A name first, so that the options have to be walked.
            interface.extend([&n16(2)[..], &n16(3), b"eth\0"].concat());
            interface.extend([&n16(9)[..], &n16(1), &[resolution, 0, 0, 0], &n32(0)].concat());
        }
        let mut file = ng_block(big, BLOCK_SECTION, &head);
        file.extend(ng_block(big, BLOCK_INTERFACE, &interface));
        file.extend(ng_block(big, 0x0bad, b"some custom block"));
        for (i, &time) in times.iter().enumerate() {
            let bytes = frame(i as u8, 61);
            let words = [0, (time >> 32) as u32, time as u32, 61, 61];
            let body = words
                .iter()
                .flat_map(|&w| n32(w))
                .chain(bytes)
                .collect::<Vec<u8>>();
            file.extend(ng_block(big, BLOCK_PACKET, &body));
        }
        file
    }

    #[test]
    fn pcapng_of_either_order_and_any_resolution() {
        for big in [true, false] {
            for (resolution, unit) in [(None, 1000), (Some(9), 1), (Some(6), 1000)] {
                let file = pcapng(big, resolution, &[1 << 40, (1 << 40) + 5]);
                let capture = read(&file).unwrap();
                assert_eq!(capture.frames.len(), 2);
                assert_eq!(
                    capture.frames[1],
                    Frame {
                        at_ns: 5 * unit,
                        bytes: frame(1, 61)
                    }
                );
            }
        }
        // Resolution of 2^-10 s.
        let capture = read(&pcapng(false, Some(0x8a), &[0, 1024])).unwrap();
        assert_eq!(capture.frames[1].at_ns, 1_000_000_000);
    }

    #[test]
    fn pcapng_simple_packets_and_several_sections() {
        let mut file = pcapng(false, None, &[7]);
        let simple = [&60u32.to_le_bytes()[..], &frame(9, 60)].concat();
        file.extend(ng_block(false, BLOCK_PACKET_SIMPLE, &simple));
        file.extend(pcapng(true, Some(9), &[7_500]));
        let capture = read(&file).unwrap();
        assert_eq!(capture.frames.len(), 3);
        assert_eq!(capture.frames[1].bytes, frame(9, 60));
        assert_eq!(capture.frames[2].at_ns, 500);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            mut bytes in proptest::collection::vec(any::<u8>(), 4..300), kind in 0usize..5,
        ) {
            let magics = [
                [0xa1, 0xb2, 0xc3, 0xd4], [0xd4, 0xc3, 0xb2, 0xa1], [0x4d, 0x3c, 0xb2, 0xa1],
                [0x0a, 0x0d, 0x0d, 0x0a], [0, 0, 0, 0],
            ];
            bytes[..4].copy_from_slice(&magics[kind]);
            let _ = read(&bytes);
        }

        #[test]
        fn damaged_files_never_panic(
            big: bool, position in any::<proptest::sample::Index>(), byte: u8,
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut file = pcapng(big, Some(9), &[1, 2, 3]);
            let at = position.index(file.len());
            file[at] = byte;
            let _ = read(&file);
            let _ = read(&file[..cut.index(file.len())]);
        }
    }
}
