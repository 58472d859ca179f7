//! The interpreter against libpcap's own, and against programs that nobody sane would write.

use proptest::prelude::*;

use super::libpcap::{compile, offline};
use super::*;
use crate::testing::{Frame, hostile, pool};

/// Expressions of every kind that pcap-filter(7) has.
const EXPRESSIONS: &[&str] = &[
    "",
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "vlan",
    "vlan 7",
    "vlan 7 and vlan 8",
    "vlan and udp port 80",
    "host 10.0.0.2",
    "src host 10.0.0.2 and dst host 10.0.1.2",
    "net 10.0.0.0/8",
    "dst net 10.0.1.0 mask 255.255.255.0",
    "port 80",
    "src port 1000",
    "dst port 80 or dst port 443",
    "tcp port 80",
    "udp port 53 and net 10.0.0.0/8",
    "portrange 900-1100",
    "not tcp",
    "ether proto 0x88cc",
    "ether broadcast",
    "ether multicast",
    "ether src 02:00:00:00:00:01",
    "ip host 10.0.0.2",
    "ip6 host fd00::2",
    "ip6 net fd00::/16",
    "ip proto 47",
    "ip6 proto 6",
    "ip[8] < 5",
    "ip[6:2] & 0x1fff != 0",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) != 0",
    "tcp[13] = 16",
    "udp[8:4] = 0x7061796c",
    "ether[0] & 1 != 0",
    "len > 100",
    "less 64",
    "greater 1000",
    "ip and (ip[2:2] - ((ip[0] & 0xf) << 2)) > 20",
    "ip[2:2] * 3 / 2 > 100 and ip[2:2] % 7 = 3",
    "ip[0] ^ 0x45 = 0",
    "ip[ip[9]] > 3",
    "mpls",
    "(udp or tcp) and not (src port 1000 or dst port 1000)",
    "icmp[icmptype] = icmp-echo",
];

/// Pieces of expressions. None can be taken for the name of a host, which would be looked up.
const WORDS: &[&str] = &[
    "ip",
    "ip6",
    "udp",
    "tcp",
    "arp",
    "vlan",
    "ether",
    "port",
    "portrange",
    "host",
    "net",
    "src",
    "dst",
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    "0",
    "1",
    "53",
    "99999999999",
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "fd00::1",
    "fd00::/16",
    "02:00:00:00:00:01",
    "&",
    "|",
    "^",
    "<<",
    "=",
    "!=",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    ":2",
    "len",
    "less",
    "broadcast",
    "proto",
    "1-2",
    "\u{e9}",
];

fn agrees(expression: &str, frame: &[u8], wire_len: u32) {
    let instructions = compile(expression).expect(expression);
    let theirs = offline(&instructions, frame, wire_len);
    let program = Program::verify(instructions).expect(expression);
    let ours = program.run(frame, wire_len);
    assert_eq!(ours, theirs, "{expression:?} on {frame:02x?}");
}

#[test]
fn agrees_with_libpcap_on_frames_of_every_kind() {
    let mut matched = 0;
    for expression in EXPRESSIONS {
        let instructions = compile(expression).expect(expression);
        let program = Program::verify(instructions.clone()).expect(expression);
        let mut hits = 0;
        for frame in hostile::samples(0)
            .into_iter()
            .chain(hostile::truncated(1).step_by(7))
            .chain(hostile::mutated(0, 11, 500))
        {
            let len = frame.len() as u32;
            let (ours, theirs) = (
                program.run(frame.as_slice(), len),
                offline(&instructions, &frame, len),
            );
            assert_eq!(ours, theirs, "{expression:?} on {frame:02x?}");
            hits += usize::from(ours != 0);
        }
        matched += usize::from(hits > 0);
    }
    assert!(matched > EXPRESSIONS.len() * 3 / 4, "{matched} ever match");
}

#[test]
fn finds_what_it_is_asked_for() {
    let dns = Frame::udp("10.0.0.1:1000", "10.9.0.2:53").build();
    let web = Frame::tcp("10.0.0.1:1000", "10.9.0.2:80").build();
    let filter = Filter::compile("udp port 53 and net 10.0.0.0/8").unwrap();
    assert!(filter.matches_bytes(&dns, dns.len() as u32));
    assert!(!filter.matches_bytes(&web, web.len() as u32));
    assert_eq!(filter.expression(), "udp port 53 and net 10.0.0.0/8");
}

#[test]
fn mistakes_are_told_in_libpcaps_words() {
    let error = Filter::compile("udp prot 53").unwrap_err();
    assert!(error.message.contains("syntax error"), "{error}");
    assert!(error.to_string().contains("\"udp prot 53\""), "{error}");
    let looping = Filter::compile("ip6 protochain 6").unwrap_err();
    assert!(looping.message.contains("protochain"), "{looping}");
    for wrong in [
        "port 99999",
        "net 10.0.0.0/33",
        "(udp",
        "tcp[",
        "udp\0",
        "ip[0",
    ] {
        assert!(Filter::compile(wrong).is_err(), "{wrong:?}");
    }
    let long = Filter::compile(&"a".repeat(LONGEST + 1)).unwrap_err();
    assert!(long.to_string().len() < 200, "{long}");
}

/// Compiling many times must not leak handles or fail.
#[test]
fn deep_and_many_expressions() {
    let deep = format!("{}udp{}", "(".repeat(1000), ")".repeat(1000));
    let _ = Filter::compile(&deep); // its own limit, but no crash
    let many = (0..150).map(|n| format!("port {n}")).collect::<Vec<_>>();
    let start = std::time::Instant::now();
    let filter = Filter::compile(&many.join(" or ")).unwrap();
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    let frame = Frame::udp("10.0.0.1:3000", "10.0.0.2:149").build();
    assert!(filter.matches_bytes(&frame, frame.len() as u32));
    for n in 0..200 {
        assert!(Filter::compile(&format!("udp port {n}")).is_ok());
    }
}

#[test]
fn looks_at_all_segments() {
    let pool = pool(64);
    let frame = Frame::udp("10.0.0.1:1000", "10.0.0.2:53")
        .payload_len(600)
        .build();
    let filters: Vec<_> = ["udp port 53", "udp[500:4] = 0xecedeeef", "len = 642"]
        .iter()
        .map(|expression| Filter::compile(expression).unwrap())
        .collect();
    let wrong = Filter::compile("udp[500:4] = 0xecedeef0").unwrap();
    for cut in [1, 13, 14, 23, 33, 36, 37, 38, 42, 533, 534, 535, 536, 640] {
        let mut packet = Packet::from_bytes(&pool, &frame[..cut]).unwrap();
        let tail = Packet::from_bytes(&pool, &frame[cut..]).unwrap();
        packet.chain(tail.into()).unwrap();
        assert!(!packet.is_contiguous());
        for filter in &filters {
            assert!(filter.matches(&packet), "{filter:?} cut at {cut}");
        }
        assert!(!wrong.matches(&packet), "cut at {cut}");
    }
}

fn instruction(code: u16, k: u32) -> Instruction {
    let (jt, jf) = (0, 0);
    Instruction { code, jt, jf, k }
}

#[test]
fn the_verifier_refuses_what_could_go_wrong() {
    let ret = instruction(0x06, 1);
    let cases = [
        (vec![], ProgramError::Empty),
        (vec![instruction(0x00, 1)], ProgramError::NoReturn),
        (vec![instruction(0x03, 16), ret], ProgramError::Scratch(0)),
        (vec![instruction(0x60, 16), ret], ProgramError::Scratch(0)),
        (vec![instruction(0x34, 0), ret], ProgramError::Division(0)),
        (vec![instruction(0x94, 0), ret], ProgramError::Division(0)),
        (vec![instruction(0x05, 1), ret], ProgramError::Jump(0)),
        (
            vec![instruction(0x05, u32::MAX), ret],
            ProgramError::Jump(0),
        ),
        (
            vec![
                Instruction {
                    code: 0x15,
                    jt: 0,
                    jf: 1,
                    k: 0,
                },
                ret,
            ],
            ProgramError::Jump(0),
        ),
        (
            vec![ret, instruction(0xffff, 0), ret],
            ProgramError::Unknown {
                at: 1,
                code: 0xffff,
            },
        ),
        (
            vec![ret; LONGEST_PROGRAM + 1],
            ProgramError::TooLong(LONGEST_PROGRAM + 1),
        ),
    ];
    for (program, error) in cases {
        assert_eq!(Program::verify(program), Err(error));
    }
    assert!(Program::verify(vec![ret; LONGEST_PROGRAM]).is_ok());
}

const LONGEST_PROGRAM: usize = 65_536;

/// Every code that there is.
const CODES: &[u16] = &[
    0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x60, 0x01, 0x81, 0x61, 0xb1, 0x02, 0x03, 0x04,
    0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c, 0x84,
    0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07,
    0x87,
];

/// Instructions of which most make sense. Shifts by more than 31 are left out: C leaves open what
/// they do.
fn sensible() -> impl Strategy<Value = Instruction> {
    let k = prop_oneof![0u32..20, 0u32..128, any::<u32>()];
    (prop::sample::select(CODES), 0u8..4, 0u8..4, k).prop_map(|(code, jt, jf, k)| {
        let k = match code {
            0x60..=0x61 | 0x02 | 0x03 => k % 16,
            0x64 | 0x74 => k % 32,
            0x34 | 0x94 => k.max(1),
            0x05 => k % 4,
            _ => k,
        };
        Instruction { code, jt, jf, k }
    })
}

/// Fills all scratch memory (libpcap's starts with whatever was on the stack), runs `body`, and
/// returns A.
fn program(body: Vec<Instruction>) -> Vec<Instruction> {
    let fill = (0..16).map(|n| instruction(0x02, n));
    // Jumps at the end may skip up to three.
    fill.chain(body).chain([instruction(0x16, 0); 5]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sensible_programs_do_what_libpcap_does(
        body in prop::collection::vec(sensible(), 1..40),
        frame in prop::collection::vec(any::<u8>(), 1..150),
        more in 0u32..100,
    ) {
        let instructions = program(body);
        let wire_len = frame.len() as u32 + more;
        let ours = Program::verify(instructions.clone()).expect("sensible");
        prop_assert_eq!(ours.run(frame.as_slice(), wire_len), offline(&instructions, &frame, wire_len));
    }

    #[test]
    fn no_program_panics(
        raw in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any::<u32>()), 0..20),
        frame in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let raw = raw.into_iter().map(|(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
        if let Ok(program) = Program::verify(raw) {
            program.run(frame.as_slice(), u32::MAX);
        }
    }

    #[test]
    fn expressions_on_random_frames(
        expression in prop::sample::select(EXPRESSIONS),
        ethertype in prop::sample::select(&[0x0800u16, 0x86dd, 0x0806, 0x8100, 0x8847, 0x0026][..]),
        rest in prop::collection::vec(any::<u8>(), 0..120),
        more in 0u32..1500,
    ) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(rest);
        // Often a header that begins well, so that the program gets far.
        if let Some(byte) = frame.get_mut(14) {
            *byte = match ethertype { 0x0800 => 0x45, 0x86dd => 0x60, _ => *byte };
        }
        agrees(expression, &frame, frame.len() as u32 + more);
    }

    #[test]
    fn no_expression_panics(words in prop::collection::vec(prop::sample::select(WORDS), 0..20)) {
        let _ = Filter::compile(&words.join(" "));
    }
}
