//! What is fuzzed: one function a target, each over arbitrary bytes, each with the properties that
//! must hold whatever the bytes are. The tests of `nf-clone` replay the corpora through them.
//!
//! `cargo xtask fuzz` looks for more. What it finds becomes a file of the target's corpus, next to the
//! seeds, which `WRITE_CORPUS=1 cargo test -p nf-clone --test fuzz_corpus` writes.

pub mod process;

use std::hash::{DefaultHasher, Hasher};

use nf_clone::groups::ServerSet;
use nf_clone::plain::{
    Answer, Asking, Class, Client, Decision, Limits, NAMES, Plain, Protocol, Rules, Service,
    Ticket, Writes,
};
use nf_clone::wire::{compat28, v1};

/// A target: a function over arbitrary bytes.
pub type Target = fn(&[u8]);

/// Every target with the name of its binary and of its corpus, and how many times as long as the first it
/// takes, about.
pub const TARGETS: [(&str, Target, u64); 4] = [
    ("headers", headers, 1),
    ("matchers", matchers, 1),
    ("decisions", decisions, 1),
    ("process", process::process, 200),
];

/// Reads `data` as a header of either format; what is read and written again is read the same.
pub fn headers(data: &[u8]) {
    if let Ok((header, length)) = v1::Header::decode(data) {
        assert!(length <= data.len());
        let again = v1::Header::decode(&header.encode());
        assert_eq!(again.map(|(again, _)| again), Ok(header));
    }
    if let Ok(header) = compat28::Header::decode(data) {
        assert_eq!(compat28::Header::decode(&header.encode()), Ok(header));
    }
}

/// Reads `data`, after one byte that names the protocol, as a request and as a reply.
pub fn matchers(data: &[u8]) {
    let Some((which, message)) = data.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let Some(protocol) = Protocol::by_name(name, which & 0x80 != 0) else {
        return;
    };
    let judged = || {
        let (mut asked, mut answered) = (DefaultHasher::new(), DefaultHasher::new());
        let class = protocol.request(message, &mut asked);
        let part = protocol.reply(message, &mut answered);
        (class, part, asked.finish(), answered.finish())
    };
    let (class, ..) = judged();
    assert_eq!(judged(), judged());
    let reads = matches!(class, Class::Read | Class::ReadMany);
    match protocol {
        // No store, however it is disguised, is a read.
        Protocol::Memcached if reads && message.get(8) != Some(&0x80) => {
            let text = message[8..].trim_ascii_start();
            assert!(
                [&b"get"[..], b"m", b"version"]
                    .iter()
                    .any(|word| text.starts_with(word))
            );
            assert!(
                !text.starts_with(b"ms") && !text.starts_with(b"md") && !text.starts_with(b"ma")
            );
            let lines = text.split(|byte| *byte == b'\n').count();
            assert_eq!(lines, 2, "one line and its end");
        }
        // A query without answers.
        Protocol::Dns if reads => assert_eq!(
            (message[2] & 0xf8, &message[4..10]),
            (0, &[0, 1, 0, 0, 0, 0][..])
        ),
        _ => {}
    }
}

/// Takes `data` for what happens to a few transactions of one client, four bytes an event.
pub fn decisions(data: &[u8]) {
    const IDS: usize = 4;
    let limits = Limits {
        slots_log2: 3,
        answer_timeout: 1_000,
        forget: 10_000,
        trial_interval: 100,
    };
    let plain = Plain::new(&limits, [1, 2]);
    let mut rules = Rules::new(0, Protocol::Memcached);
    rules.idle_threshold = 3;
    rules.writes = Writes::Server(1);
    let service = Service {
        rules,
        members: (0..5).collect(),
    };
    let mut down = ServerSet::EMPTY;
    let (mut now, mut cursor) = (0_u64, 0);
    let mut ticket: Option<Ticket> = None;
    let mut heard: [Option<u8>; IDS] = [None; IDS];
    for event in data.chunks_exact(4) {
        let [what, id, who, wait] = *event else {
            continue;
        };
        now += u64::from(wait) * 8;
        let at = usize::from(id) % IDS;
        let server = who % 5;
        let client = Client::new([192, 0, 2, 1].into(), 1000);
        let framed = |text: &[u8], part: [u8; 2]| {
            let mut bytes = vec![0, at as u8, 0, part[0], 0, part[1], 0, 0];
            bytes.extend(text);
            bytes
        };
        match what % 8 {
            0..=2 => {
                let text: &[u8] = match id >> 4 {
                    0 => b"set a 0 0 1\r\nx\r\n",
                    1 => b"mg a v q\r\n",
                    2..6 => b"get a b\r\n",
                    6..12 => b"get a\r\n",
                    _ => b"get b\r\n",
                };
                let request = plain.read_request(&service, &client, &framed(text, [0, 1]));
                let mut live: ServerSet = (0..5).collect();
                down.iter().for_each(|server| live.remove(server));
                let standing = service.standing(&live, &down);
                let asking = Asking {
                    service: &service,
                    standing: &standing,
                    candidates: standing
                        .candidates(u64::from(who).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                    may_clone: what & 0x80 == 0,
                };
                match plain.on_request(now, &request, &asking) {
                    Decision::Clone {
                        first,
                        second,
                        ticket: new,
                    } => {
                        assert_ne!(first, second);
                        assert!(service.members.has(first) && service.members.has(second));
                        ticket = Some(new);
                    }
                    Decision::Single(server, _) => assert!(service.members.has(server)),
                    other => panic!("{other:?}"),
                }
                heard[at] = None;
            }
            3..=5 => {
                let part = [[0, 1], [0, 3], [1, 3], [0, 0]][usize::from(who >> 6)];
                let reply = plain.read_reply(&service, &client, &framed(b"END\r\n", part));
                let Some(reply) = reply else {
                    continue;
                };
                if let Answer::Forward(_) = plain.on_reply(now, &reply, server) {
                    // Since the last request, from one server only.
                    assert_eq!(*heard[at].get_or_insert(server), server);
                }
            }
            6 => {
                let _ = plain.sweep(now, &mut cursor, usize::from(who) % 9);
            }
            _ => match who & 0x80 {
                0 => ticket.iter().for_each(|ticket| plain.retract(ticket)),
                _ if down.has(server) => down.remove(server),
                _ => down.insert(server),
            },
        }
        for server in 0..5 {
            assert!(plain.loads().outstanding(server) <= 8 * 8);
        }
    }
    // In the end nothing is left, and nobody is believed busy.
    let _ = plain.sweep(now + limits.forget, &mut cursor, plain.table().slots());
    assert_eq!(plain.table().occupied(), 0);
    for server in 0..=255 {
        assert_eq!(plain.loads().outstanding(server), 0);
    }
}
