//! A capture file of UDP packets to many addresses, which ports of kind `pcap` (ours) and `net_pcap`
//! (testpmd's) give again and again: the same traffic for both.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

/// Writes `packets` frames of 60 bytes (64 on a wire) for the station `mac`, from one host to addresses that
/// `destination` gives.
pub fn write(
    path: &Path,
    packets: u32,
    mac: [u8; 6],
    source: Ipv4Addr,
    destination: impl Fn(u32) -> Ipv4Addr,
) -> Result<()> {
    let frames: Vec<_> = (0..packets)
        .map(|number| frame(mac, source, destination(number), number))
        .collect();
    write_frames(path, &frames)
}

/// Writes a capture file of whole frames.
pub fn write_frames(path: &Path, frames: &[impl AsRef<[u8]>]) -> Result<()> {
    // Magic of the classic format with microseconds, version 2.4, no limit, Ethernet.
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for frame in frames {
        let frame = frame.as_ref();
        let length = u32::try_from(frame.len())?;
        for word in [0, 0, length, length] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(frame);
    }
    fs::write(path, file)?;
    Ok(())
}

/// An Ethernet frame with IPv4 and UDP, right checksum of the IPv4 header, none of UDP.
fn frame(mac: [u8; 6], source: Ipv4Addr, destination: Ipv4Addr, number: u32) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 2]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip = &mut frame[14..34];
    ip[..4].copy_from_slice(&[0x45, 0, 0, 46]);
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..16].copy_from_slice(&source.octets());
    ip[16..20].copy_from_slice(&destination.octets());
    let mut sum = 0u32;
    for pair in ip.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap_or(0);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let port = 1024 + (number % 60_000) as u16;
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..38].copy_from_slice(&9u16.to_be_bytes());
    frame[38..40].copy_from_slice(&26u16.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_sums_to_all_ones() {
        let frame = frame(
            [2; 6],
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 1, 2, 3),
            7,
        );
        let sum: u32 = frame[14..34]
            .chunks_exact(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn a_file_has_a_record_for_each_packet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pcap");
        write(&path, 3, [2; 6], Ipv4Addr::LOCALHOST, |_| {
            Ipv4Addr::LOCALHOST
        })
        .unwrap();
        assert_eq!(fs::metadata(path).unwrap().len(), 24 + 3 * (16 + 60));
    }
}
