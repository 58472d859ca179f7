//! The golden vectors in `tests/golden`: the bytes of a cloned request and its two responses, as the wire
//! format, as a file of packets, and as the Wireshark dissector sees them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use nf_clone::wire::{Flags, Header, Kind, compat28};
use testkit::Need;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Frame n, from 1: hexadecimal digits, and lines of explanation that begin with `#`.
fn vector(n: usize) -> Vec<u8> {
    let text = fs::read_to_string(folder().join(format!("v{n}.hex"))).expect("a golden vector");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u8> = lines.flat_map(str::bytes).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(byte).collect()
}

fn vectors() -> Vec<Vec<u8>> {
    (1..=6).map(vector).collect()
}

/// What each has to be: kind, CLO, SID, SWID, REQ_ID, LOAD.
fn expected() -> [Header; 6] {
    let from_client = Header {
        idx: 1,
        grp: 7,
        client_id: 0xaa,
        client_seq: 5,
        ..Header::new(Kind::Request)
    };
    let original = Header {
        clo: 1,
        sid: 3,
        swid: 1,
        req_id: 0x0001_0000_0000_0007,
        ..from_client
    };
    let clone = Header { clo: 2, ..original };
    let kind = Kind::Response;
    let first = Header { kind, ..clone };
    let second = Header {
        kind,
        sid: 1,
        load: 4,
        ..original
    };
    [from_client, original, clone, first, first, second]
}

#[test]
fn f01_the_golden_vectors_are_what_the_format_says() {
    let ends = [
        ("10.0.0.11:50000", "10.0.0.100:9043"),
        ("10.0.0.11:50000", "10.0.1.102:9043"),
        ("10.0.0.11:50000", "10.0.1.104:9043"),
        ("10.0.1.104:9043", "10.0.0.11:50000"),
        ("10.0.0.100:9043", "10.0.0.11:50000"),
        ("10.0.1.102:9043", "10.0.0.11:50000"),
    ];
    for ((bytes, header), (from, to)) in vectors().iter().zip(expected()).zip(ends) {
        assert_eq!(bytes.len(), 90);
        let packet = SlicedPacket::from_ethernet(bytes).expect("a frame");
        let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else {
            panic!("not IPv4");
        };
        let ip = ip.header().to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        let Some(TransportSlice::Udp(udp)) = &packet.transport else {
            panic!("not UDP");
        };
        let udp_header = udp.to_header();
        let checksum = udp_header.calc_checksum_ipv4(&ip, udp.payload());
        assert_eq!(checksum, Ok(udp_header.checksum));
        let end = |address: [u8; 4], port| format!("{}:{port}", std::net::Ipv4Addr::from(address));
        assert_eq!(end(ip.source, udp_header.source_port), from);
        assert_eq!(end(ip.destination, udp_header.destination_port), to);

        assert_eq!(Header::decode(udp.payload()), Ok((header, 40)));
        assert_eq!(udp.payload(), [&header.encode()[..], b"ABCDEFGH"].concat());
    }
}

/// A file of packets, 10 microseconds apart.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    // Magic, version 2.4, no zone, no accuracy, longest packet, Ethernet.
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (frame, n) in frames.iter().zip(0u32..) {
        let len = frame.len() as u32;
        for word in [1_700_000_000, 10 * n, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

#[test]
fn f01_the_file_of_packets_is_up_to_date() {
    let generated = pcap(&vectors());
    let file = folder().join("netclone.pcap");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write(&file, &generated).expect("a file to write");
    }
    assert!(
        fs::read(&file).is_ok_and(|committed| committed == generated),
        "netclone.pcap is not the golden vectors; SLUICE_BLESS=1 cargo test -p nf-clone --test golden \
         writes it anew"
    );
}

/// What tshark says of frames: the fields, one vector a frame.
fn dissect(frames: &[Vec<u8>], options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("frames.pcap");
    fs::write(&file, pcap(frames)).expect("a file to write");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("wireshark/netclone.lua");
    let mut command = Command::new("tshark");
    command
        .arg("-X")
        .arg(format!("lua_script:{}", script.display()));
    // Nothing of the user's own settings. Two passes, as Wireshark's window does.
    command
        .env("HOME", folder.path())
        .env_remove("XDG_CONFIG_HOME");
    command.args(["-n", "-2", "-T", "fields", "-E", "occurrence=f"]);
    command.args(options).arg("-r").arg(&file);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("Lua: "), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = text.lines().map(row).collect();
    assert_eq!(rows.len(), frames.len(), "{text}{said}");
    rows
}

#[test]
fn f01_the_dissector_sees_the_golden_vectors() {
    testkit::require!(Need::Command("tshark"));
    let frames = vectors();
    let fields = [
        "_ws.col.Protocol",
        "netclone.type",
        "netclone.clo",
        "netclone.idx",
        "netclone.swid",
        "netclone.sid",
        "netclone.grp",
        "netclone.load",
        "netclone.req_id",
        "netclone.req_id.epoch",
        "netclone.req_id.seq",
        "netclone.client_id",
        "netclone.client_seq",
        "netclone.payload",
        "netclone.flags",
        "netclone.pkt_cnt",
        "_ws.expert.message",
    ];
    let checks = [
        "-o",
        "udp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ];
    let rows = dissect(&frames, &checks, &fields);
    for (row, header) in rows.iter().zip(expected()) {
        let is_numbered = header.req_id != 0;
        let when = |text: &str| {
            if is_numbered {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let wanted = [
            "NetClone".to_owned(),
            (header.kind as u8).to_string(),
            header.clo.to_string(),
            header.idx.to_string(),
            header.swid.to_string(),
            header.sid.to_string(),
            header.grp.to_string(),
            header.load.to_string(),
            format!("0x{:016x}", header.req_id),
            when("1"),
            when("7"),
            "0x000000aa".to_owned(),
            "5".to_owned(),
            "4142434445464748".to_owned(),
            "0x00".to_owned(),
            "1".to_owned(),
            String::new(),
        ];
        assert_eq!(row[..], wanted);
    }
    let matches = [
        "netclone.response_in",
        "netclone.response_to",
        "netclone.time",
        "_ws.col.Info",
    ];
    let rows = dissect(&frames, &[], &matches);
    let column = |n: usize| rows.iter().map(|row| row[n].as_str()).collect::<Vec<_>>();
    assert_eq!(column(0), ["5", "6", "4", "", "", ""]);
    assert_eq!(column(1), ["", "", "", "3", "1", "2"]);
    assert_eq!(
        column(2),
        ["", "", "", "0.000010000", "0.000040000", "0.000040000"]
    );
    assert_eq!(column(3)[1], "REQ client aa seq 5 GRP 7 CLO 1");
    assert_eq!(column(3)[5], "RESP client aa seq 5 SID 1 LOAD 4 CLO 1");
}

const CLIENT: [u8; 4] = [10, 0, 0, 11];
const SERVICE: [u8; 4] = [10, 0, 0, 100];

/// A datagram to or from port 9043 of the service, or any other.
fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = if from >= 50_000 {
        (CLIENT, SERVICE)
    } else {
        (SERVICE, CLIENT)
    };
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(source, destination, 64)
        .udp(from, to);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).expect("a frame");
    frame
}

#[test]
fn f01_the_dissector_says_what_is_malformed() {
    testkit::require!(Need::Command("tshark"));
    let with = |at: usize, byte: u8| {
        let mut bytes = expected()[0].encode();
        bytes[at] = byte;
        udp(50_000, 9043, &bytes)
    };
    let answer = expected()[5].encode();
    let no_id = Header {
        req_id: 0,
        ..expected()[5]
    };
    let cases = [
        (udp(50_000, 9043, b"NC"), "Shorter than the header"),
        (with(0, 0), "MAGIC is not 0x4e43"),
        (with(2, 0x2a), "Version is not 1"),
        (
            with(2, 0x19),
            "Header length below 10 words or beyond the message",
        ),
        (
            with(2, 0x1b),
            "Header length below 10 words or beyond the message",
        ),
        (with(3, 9), "TYPE is not known"),
        (with(3, 2), "TYPE does not agree with the port"),
        (
            udp(9043, 50_000, &expected()[0].encode()),
            "TYPE does not agree with the port",
        ),
        (with(4, 0x80), "Reserved bits are set"),
        (
            with(4, 0x01),
            "Cloned, or with the flag CID, but REQ_ID is 0",
        ),
        (with(5, 3), "CLO is over 2"),
        (with(7, 1), "Reserved bits are set"),
        (with(19, 0), "PKT_CNT is 0, or PKT_IDX not below it"),
        (with(18, 1), "PKT_CNT is 0, or PKT_IDX not below it"),
        (with(22, 1), "Reserved bits are set"),
        (
            udp(9043, 50_000, &no_id.encode()),
            "Cloned, or with the flag CID, but REQ_ID is 0",
        ),
        (with(39, 6), "No answer in this capture"),
        (udp(50_001, 9043, &expected()[0].encode()), ""),
        (udp(9043, 50_002, &answer), ""),
    ];
    let mut frames: Vec<Vec<u8>> = cases.iter().map(|(frame, _)| frame.clone()).collect();
    // The last but one is answered, twice.
    let back = udp(9043, 50_001, &answer);
    frames.extend([back.clone(), back]);
    let rows = dissect(
        &frames,
        &[],
        &["_ws.expert.message", "netclone.response_to"],
    );
    for (row, (_, message)) in rows.iter().zip(&cases) {
        assert_eq!(row[0], *message);
    }
    assert_eq!(rows[19], ["", "18"]);
    assert_eq!(rows[20], ["The request has been answered already", "18"]);
}

#[test]
fn f01_the_dissector_sees_flags_extra_words_and_what_the_appliance_says() {
    testkit::require!(Need::Command("tshark"));
    let mut long = Header {
        flags: Flags::CID.with(Flags::RETX),
        req_id: 0x0000_00aa_0000_0005,
        pkt_cnt: 3,
        ..expected()[0]
    }
    .encode()
    .to_vec();
    long[2] = 0x1b;
    long.extend([0xee; 4]);
    long.extend(b"rest");
    let refusal = Header {
        kind: Kind::Nack,
        grp: 12,
        idx: 4,
        load: 2,
        cfg_gen: 3,
        ..expected()[0]
    };
    let frames = [
        udp(50_000, 9043, &long),
        udp(9043, 50_000, &refusal.encode()),
    ];
    let fields = [
        "netclone.flags.cid",
        "netclone.flags.noclone",
        "netclone.flags.retx",
        "netclone.extra",
        "netclone.payload",
        "netclone.req_id.epoch",
        "netclone.nack.reason",
        "netclone.cfg.groups",
        "netclone.cfg.tables",
        "netclone.cfg_gen",
        "_ws.col.Info",
    ];
    let rows = dissect(&frames, &[], &fields);
    let info = "REQ client aa seq 5 GRP 7 packet 1 of 3";
    let wanted = [
        "1", "0", "1", "eeeeeeee", "72657374", "", "", "", "", "0", info,
    ];
    assert_eq!(rows[0], wanted);
    assert_eq!(rows[1][6..10], ["2", "12", "4", "3"]);
}

#[test]
fn f28_the_dissector_sees_the_short_header_where_told() {
    testkit::require!(Need::Command("tshark"));
    let header = compat28::Header {
        kind: Kind::Response,
        seq: 77,
        grp: 30,
        sid: 5,
        load: 9,
        clo: 2,
        idx: 1,
    };
    let mut odd = header.encode();
    odd[3] = 9;
    let frames = [
        udp(1000, 50_000, &[&header.encode()[..], b"data"].concat()),
        udp(1000, 50_000, &odd),
        udp(1000, 50_000, &odd[..20]),
        udp(50_000, 9050, &expected()[0].encode()),
    ];
    let fields = [
        "netclone28.op",
        "netclone28.seq",
        "netclone28.grp",
        "netclone28.sid",
        "netclone28.load",
        "netclone28.clo",
        "netclone28.idx",
        "netclone28.payload",
        "_ws.expert.message",
    ];
    let options = [
        "-o",
        "netclone.compat28_ports:1000-1015",
        "-o",
        "netclone.ports:9043,9050",
    ];
    let rows = dissect(&frames, &options, &fields);
    assert_eq!(
        rows[0],
        ["1", "77", "30", "5", "9", "2", "1", "64617461", ""]
    );
    assert_eq!(rows[1][8], "OP is not known");
    assert_eq!(rows[2][8], "Shorter than the header");
    let rows = dissect(&frames, &options, &["netclone.client_seq"]);
    assert_eq!(rows[3], ["5"]);
}

#[test]
fn f01_over_tcp_messages_are_seen_where_a_segment_begins_with_one() {
    testkit::require!(Need::Command("tshark"));
    let segment = |payload: &[u8]| {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(CLIENT, SERVICE, 64)
            .tcp(50_000, 9043, 1, 1000);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).expect("a frame");
        frame
    };
    let frames = [segment(&expected()[0].encode()), segment(&[7; 60])];
    let rows = dissect(&frames, &[], &["netclone.client_seq", "_ws.expert.group"]);
    assert_eq!(rows[0][0], "5");
    assert_eq!(rows[1][0], "");
}
