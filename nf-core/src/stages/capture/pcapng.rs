//! Blocks of the pcapng format (draft-ietf-opsawg-pcapng), little-endian, appended to a buffer.

use crate::packet::Direction;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;

/// Who captured, for the section's header.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub hardware: String,
    pub os: String,
    pub application: String,
}

impl Section {
    /// This machine and program.
    pub fn of_this_machine() -> Section {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let hardware = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map(|(_, name)| name.trim().to_owned())
            .unwrap_or_default();
        Section {
            hardware,
            os: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            application: concat!("Sluice ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// An interface that packets came in by.
#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub name: String,
    pub description: String,
    pub mac: Option<[u8; 6]>,
}

/// A packet, but for its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketHead {
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// Length of the whole packet.
    pub original: u32,
    pub direction: Direction,
    pub number: u64,
    /// Trace id, 0 for none.
    pub trace: u32,
}

/// What an interface saw during a capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Packets that passed.
    pub received: u64,
    /// Packets that passed the filter.
    pub accepted: u64,
    /// Packets that were wanted and not captured.
    pub dropped: u64,
}

/// Appends one block: its type, `body`, and its length at both ends.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put32(out, kind);
    put32(out, 0);
    body(out);
    let length = (out.len() - start + 4) as u32;
    put32(out, length);
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A 64-bit time as two halves, the high one first.
fn put_time(out: &mut Vec<u8>, ns: u64) {
    put32(out, (ns >> 32) as u32);
    put32(out, ns as u32);
}

fn pad(out: &mut Vec<u8>, written: usize) {
    out.extend_from_slice(&[0; 3][..written.wrapping_neg() % 4]);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value
        .get(..value.len().min(usize::from(u16::MAX)))
        .unwrap_or_default();
    put16(out, code);
    put16(out, value.len() as u16);
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        option(out, code, value.as_bytes());
    }
}

fn end_of_options(out: &mut Vec<u8>) {
    put32(out, u32::from(END_OF_OPTIONS));
}

/// What a file or a pipe begins with: the section's header and its interfaces.
pub(super) fn put_start(
    out: &mut Vec<u8>,
    section: &Section,
    interfaces: &[Interface],
    snap_bytes: u32,
    filter: Option<&str>,
) {
    block(out, SECTION_HEADER, |out| {
        put32(out, BYTE_ORDER);
        put16(out, 1);
        put16(out, 0);
        out.extend_from_slice(&u64::MAX.to_le_bytes()); // length of the section: not known
        text(out, 2, &section.hardware);
        text(out, 3, &section.os);
        text(out, 4, &section.application);
        end_of_options(out);
    });
    for interface in interfaces {
        block(out, INTERFACE, |out| {
            put16(out, ETHERNET);
            put16(out, 0);
            put32(out, snap_bytes);
            text(out, 2, &interface.name);
            text(out, 3, &interface.description);
            if let Some(mac) = interface.mac {
                option(out, 6, &mac);
            }
            option(out, 9, &[9]); // times in units of 10^-9 s
            if let Some(filter) = filter {
                let mut value = vec![0]; // a string in libpcap's language follows
                value.extend_from_slice(filter.as_bytes());
                option(out, 11, &value);
            }
            end_of_options(out);
        });
    }
}

/// Appends a packet. `data` is what was captured of it, in two pieces.
pub(super) fn put_packet(out: &mut Vec<u8>, head: &PacketHead, data: [&[u8]; 2]) {
    block(out, ENHANCED_PACKET, |out| {
        let captured = data[0].len() + data[1].len();
        put32(out, head.interface);
        put_time(out, head.unix_ns);
        put32(out, captured as u32);
        put32(out, head.original);
        out.extend_from_slice(data[0]);
        out.extend_from_slice(data[1]);
        pad(out, captured);
        let direction: u32 = match head.direction {
            Direction::ToServer => 1, // inbound
            Direction::ToClient => 2, // outbound
        };
        option(out, 2, &direction.to_le_bytes());
        option(out, 5, &head.number.to_le_bytes());
        if head.trace != 0 {
            option(out, COMMENT, format!("trace {}", head.trace).as_bytes());
        }
        end_of_options(out);
    });
}

/// Appends the statistics of an interface from `start` to `end`, nanoseconds since 1970.
pub(super) fn put_statistics(
    out: &mut Vec<u8>,
    interface: u32,
    start: u64,
    end: u64,
    seen: &Statistics,
) {
    block(out, STATISTICS, |out| {
        put32(out, interface);
        put_time(out, end);
        for (code, ns) in [(2, start), (3, end)] {
            put16(out, code);
            put16(out, 8);
            put_time(out, ns);
        }
        let delivered = seen.accepted.saturating_sub(seen.dropped);
        for (code, count) in [
            (4, seen.received),
            (5, seen.dropped),
            (6, seen.accepted),
            (8, delivered),
        ] {
            option(out, code, &count.to_le_bytes());
        }
        end_of_options(out);
    });
}
