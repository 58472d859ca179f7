//! Frames of the clone function's messages, with right checksums: what the benches of the stage receive.

/// Servers of the rack.
pub const SERVERS: u8 = 6;
/// Ordered pairs of servers.
pub const GROUPS: u32 = SERVERS as u32 * (SERVERS as u32 - 1);
/// Frames of a capture file.
pub const FRAMES: u32 = 1024;
/// The epoch that requests get ids of.
pub const EPOCH: u16 = 7;
/// Bytes of a frame's check sequence, which frames here do not have.
pub const FCS: usize = 4;
/// Ethernet, IPv4, UDP.
pub const HEADERS: usize = 42;
/// Bytes of a message's header.
const MESSAGE: usize = 40;
/// The shortest frame of a message, with its check sequence.
pub const SHORTEST: usize = HEADERS + MESSAGE + FCS;
/// Who asks.
pub const CLIENT: [u8; 4] = [10, 80, 1, 2];
/// The address of the service.
pub const VIP: [u8; 4] = [10, 80, 1, 1];
/// The UDP port of the service.
pub const PORT: u16 = 9043;
/// What the busy servers say of the length of their queue.
const BUSY: u16 = 3;

/// The address of a server.
pub fn server(sid: u8) -> [u8; 4] {
    [10, 80, 2, 101 + sid]
}

/// What a port receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests of random groups.
    Requests,
    /// Responses of requests that were not cloned; their servers are busy.
    Responses,
    /// The same, once from each server, and then nothing: from then on all servers are believed busy.
    Busy,
    /// Responses of cloned requests, of which each takes the slot of another.
    First,
    /// Responses of cloned requests, each id once.
    Once,
    /// Two responses of each cloned request, one after the other.
    Pairs,
    /// Datagrams of another service.
    Others,
    /// Nothing.
    Nothing,
}

impl Kind {
    /// How many frames there are before they begin again.
    pub fn frames(self) -> u32 {
        match self {
            Kind::Nothing => 0,
            Kind::Busy => SERVERS.into(),
            _ => FRAMES,
        }
    }

    /// Whether the frames come again and again.
    pub fn repeats(self) -> bool {
        self != Kind::Busy
    }
}

/// The header of a request of this group.
pub fn request(group: u32, number: u32) -> [u8; MESSAGE] {
    message(1, (0, 0), 0xffff, group, 0, 0, number)
}

/// The header of a server's response to the request `id`, which this appliance (1) has stamped.
pub fn response(sid: u8, clo: u8, load: u16, id: u64, number: u32) -> [u8; MESSAGE] {
    message(2, (clo, 1), sid.into(), 0, load, id, number)
}

fn message(
    kind: u8,
    (clo, swid): (u8, u16),
    sid: u16,
    group: u32,
    load: u16,
    id: u64,
    number: u32,
) -> [u8; MESSAGE] {
    let mut header = [0u8; MESSAGE];
    header[..4].copy_from_slice(&[0x4e, 0x43, 0x1a, kind]);
    header[5] = clo;
    header[8..10].copy_from_slice(&swid.to_be_bytes());
    header[10..12].copy_from_slice(&sid.to_be_bytes());
    header[12..16].copy_from_slice(&group.to_be_bytes());
    header[16..18].copy_from_slice(&load.to_be_bytes());
    header[19] = 1;
    header[24..32].copy_from_slice(&id.to_be_bytes());
    header[32..36].copy_from_slice(&0xaau32.to_be_bytes());
    header[36..40].copy_from_slice(&number.to_be_bytes());
    header
}

/// A group for each number, not in step with the servers, so that every pair comes up.
pub fn group(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761) % GROUPS
}

/// One frame of a port's file, `bytes` long with its check sequence; the port `side` is 0 at the clients'
/// side.
pub fn frame(kind: Kind, side: usize, number: u32, bytes: usize) -> Option<Vec<u8>> {
    let sid = (number % u32::from(SERVERS)) as u8;
    let client = (CLIENT, 1024 + (number % 50_000) as u16);
    // Ids beside each other lie in slots beside each other. The second half of the slots' users comes
    // when the first has left its ids there.
    let id = |number: u32| u64::from(EPOCH) << 48 | u64::from(number);
    let half = FRAMES / 2;
    let header = match kind {
        Kind::Nothing => return None,
        Kind::Others => [0x55; MESSAGE],
        Kind::Requests => request(group(number), number),
        Kind::Responses | Kind::Busy => response(sid, 0, BUSY, id(number + 1), number),
        Kind::First if number < half => response(sid, 1, 0, id(number + 1), number),
        Kind::First => response(sid, 1, 0, id(number - half + 1 + (1 << 17)), number),
        Kind::Once => response(sid, 1, 0, id(number + 1), number),
        Kind::Pairs => response(sid, 1, 0, id(number / 2 + 1), number),
    };
    let least = match kind {
        Kind::Others => 0,
        _ => MESSAGE,
    };
    let mut body = vec![0x55; bytes.saturating_sub(HEADERS + FCS).max(least)];
    let shown = body.len().min(MESSAGE);
    body[..shown].copy_from_slice(&header[..shown]);
    Some(match kind {
        Kind::Others => datagram(side, client, (server(sid), 5000), &body),
        Kind::Requests => datagram(side, client, (VIP, PORT), &body),
        _ => datagram(side, (server(sid), PORT), client, &body),
    })
}

/// A frame with right checksums, to the station that DPDK's pcap driver makes of its port `side`.
pub fn datagram(
    side: usize,
    (source, source_port): ([u8; 4], u16),
    (destination, destination_port): ([u8; 4], u16),
    body: &[u8],
) -> Vec<u8> {
    let mut frame = vec![0; HEADERS];
    frame[..6].copy_from_slice(&[2, b'p', b'c', b'a', b'p', side as u8]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    let udp_len = (8 + body.len()) as u16;
    let ip = &mut frame[14..34];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&destination);
    let header_sum = checksum(&[ip]);
    ip[10..12].copy_from_slice(&header_sum.to_be_bytes());
    let udp = &mut frame[34..HEADERS];
    udp[..2].copy_from_slice(&source_port.to_be_bytes());
    udp[2..4].copy_from_slice(&destination_port.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    let pseudo = [0, 17, udp_len.to_be_bytes()[0], udp_len.to_be_bytes()[1]];
    let sum = match checksum(&[&source, &destination, &pseudo, udp, body]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// The Internet checksum (RFC 1071) of parts, of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_right_checksums_and_the_length_that_is_told() {
        for kind in [
            Kind::Requests,
            Kind::Responses,
            Kind::Busy,
            Kind::First,
            Kind::Once,
            Kind::Pairs,
            Kind::Others,
        ] {
            for bytes in [SHORTEST, 128, 129, 9000] {
                for number in [0, 1, 700] {
                    let frame = frame(kind, 0, number, bytes).expect("a frame");
                    assert_eq!(frame.len(), bytes - FCS);
                    assert_eq!(checksum(&[&frame[14..34]]), 0);
                    let length = (frame.len() - 34) as u16;
                    let pseudo = [0, 17, length.to_be_bytes()[0], length.to_be_bytes()[1]];
                    assert_eq!(checksum(&[&frame[26..34], &pseudo, &frame[34..]]), 0);
                }
            }
        }
        assert!(frame(Kind::Nothing, 0, 0, 128).is_none());
    }

    #[test]
    fn a_message_is_never_cut_and_other_datagrams_may_be_short() {
        let short = |kind| frame(kind, 0, 0, 64).expect("a frame").len() + FCS;
        assert_eq!((short(Kind::Requests), short(Kind::Others)), (SHORTEST, 64));
    }
}
