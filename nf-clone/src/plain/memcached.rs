//! memcached over UDP: which commands may run twice, and which reply belongs to which request.
//!
//! Every datagram begins with a frame header of 8 bytes, big-endian (doc/protocol.txt, "UDP
//! protocol"): request id (2), sequence number (2), number of datagrams of the message (2),
//! reserved (2). The server repeats the request id. It refuses requests of several datagrams, and
//! answers in as many as it needs.
//!
//! | read, may be cloned | once, at any server | quiet | write, or not known |
//! |---|---|---|---|
//! | `get`, `gets`; `mg` without flags that change something; `mn`, `me`, `version` | `stats` without argument | `mg` with `q`; binary GetQ, GetKQ | everything else, several commands in a datagram, requests of several datagrams |
//! | binary Get, GetK, No-op, Version | binary Stat without key | | |
//!
//! memcached 1.6 answers a `get` of several keys in as many messages as there are keys, each counting its
//! datagrams anew, and with an empty one of no datagrams (0 of 0) for a key that it does not have; so
//! such an answer does not say where it ends. Whatever has the id of a request is taken for part of its
//! answer.
//!
//! `gat`, `gats`, `touch`, and `mg` with `T`, `N`, `R` or `E` change an item's time or make one.

use std::hash::Hasher;

use super::matcher::Class;
use super::outstanding::Part;

/// Bytes of the frame header.
const FRAME: usize = 8;

/// Bytes of the binary protocol's header.
const BINARY: usize = 24;

/// Longest key, bytes.
const MAX_KEY: usize = 250;

/// Flags of `mg` that only read. `b`: the key is base64. `O` carries a value, the others none.
const READING_FLAGS: &[u8] = b"bcfhklOstv";

/// Of the frame header, big-endian: request id, sequence number, datagrams.
fn frame(payload: &[u8]) -> Option<(u16, u16, u16, &[u8])> {
    let ([a, b, c, d, e, f, _, _], rest) = payload.split_first_chunk::<FRAME>()?;
    Some((
        u16::from_be_bytes([*a, *b]),
        u16::from_be_bytes([*c, *d]),
        u16::from_be_bytes([*e, *f]),
        rest,
    ))
}

/// What a client's datagram is; the request id goes into `id`.
pub(super) fn request(payload: &[u8], id: &mut impl Hasher) -> Class {
    let Some((request, _, datagrams, command)) = frame(payload) else {
        return Class::Malformed;
    };
    id.write_u16(request);
    if command.is_empty() {
        // memcached throws away a datagram without a command.
        return Class::Malformed;
    }
    if datagrams != 1 {
        return Class::Write;
    }
    match command.first() {
        Some(0x80) => binary(command),
        _ => ascii(command),
    }
}

/// What a server's datagram is; the request id goes into `id`.
pub(super) fn reply(payload: &[u8], id: &mut impl Hasher) -> Option<Part> {
    let (request, sequence, datagrams, _) = frame(payload)?;
    id.write_u16(request);
    match (sequence, datagrams) {
        (0, 1) => Some(Part::Whole),
        (0, 2..) => Some(Part::First),
        _ => Some(Part::Later),
    }
}

fn ascii(command: &[u8]) -> Class {
    let Some(line) = command
        .strip_suffix(b"\r\n")
        .or_else(|| command.strip_suffix(b"\n"))
    else {
        return Class::Write;
    };
    // More lines are more commands, or a value to store.
    if line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        return Class::Write;
    }
    let mut words = line.split(|byte| *byte == b' ').filter(|w| !w.is_empty());
    match words.next() {
        Some(b"get" | b"gets") => {
            let mut keys = 0;
            let good = words.all(|key| {
                keys += 1;
                is_key(key)
            });
            match keys {
                1 if good => Class::Read,
                2.. if good => Class::ReadMany,
                _ => Class::Write,
            }
        }
        Some(b"mg") => meta_get(words),
        Some(b"me") if words.next().is_some_and(is_key) => Class::Read,
        Some(b"mn" | b"version") if words.next().is_none() => Class::Read,
        Some(b"stats") if words.next().is_none() => Class::Once,
        _ => Class::Write,
    }
}

/// `mg <key> <flags>*`: a read if every flag only asks for something.
fn meta_get<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Class {
    if !words.next().is_some_and(is_key) {
        return Class::Write;
    }
    let mut quiet = false;
    for flag in words {
        match flag {
            [b'q'] => quiet = true,
            [b'O', token @ ..] if !token.is_empty() => {}
            [b'O', ..] => return Class::Write,
            [flag] if READING_FLAGS.contains(flag) => {}
            _ => return Class::Write,
        }
    }
    if quiet { Class::Quiet } else { Class::Read }
}

fn is_key(word: &[u8]) -> bool {
    word.len() <= MAX_KEY && word.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// The binary protocol: magic, opcode, key length (2), extras length, data type, vbucket (2), body
/// length (4), opaque (4), CAS (8), big-endian; then extras, key, value.
fn binary(command: &[u8]) -> Class {
    let Some((header, body)) = command.split_first_chunk::<BINARY>() else {
        return Class::Write;
    };
    let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras = header[4];
    let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    // Other lengths are several commands, half of one, or a value.
    if length != body.len() || length != key || extras != 0 {
        return Class::Write;
    }
    let keyed = (1..=MAX_KEY).contains(&key);
    match header[1] {
        0x00 | 0x0c if keyed => Class::Read,
        0x09 | 0x0d if keyed => Class::Quiet,
        0x0a | 0x0b if key == 0 => Class::Read,
        0x10 if key == 0 => Class::Once,
        _ => Class::Write,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::DefaultHasher;

    fn framed(head: [u16; 3], command: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend([0, 0]);
        bytes.extend(command);
        bytes
    }

    fn class(command: &[u8]) -> Class {
        request(&framed([7, 0, 1], command), &mut DefaultHasher::new())
    }

    fn binary_command(opcode: u8, key: &[u8], extras: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, opcode];
        bytes.extend((key.len() as u16).to_be_bytes());
        bytes.extend([extras.len() as u8, 0, 0, 0]);
        let length = key.len() + extras.len() + value.len();
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend([0xaa; 12]);
        bytes.extend([extras, key, value].concat());
        bytes
    }

    #[test]
    fn reads_may_be_cloned() {
        for command in [
            "get a\r\n",
            "get a\n",
            " get a \r\n",
            "mg key\r\n",
            "mg key v t f c k s h l O1234\r\n",
            "mg a2V5 b k v\r\n",
            "me key\r\n",
            "mn\r\n",
            "version\r\n",
        ] {
            assert_eq!(class(command.as_bytes()), Class::Read, "{command:?}");
        }
        let long = format!("get {}\r\n", "k".repeat(250));
        assert_eq!(class(long.as_bytes()), Class::Read);
        for opcode in [0x00, 0x0c] {
            assert_eq!(
                class(&binary_command(opcode, b"key", b"", b"")),
                Class::Read
            );
        }
        for opcode in [0x0a, 0x0b] {
            assert_eq!(class(&binary_command(opcode, b"", b"", b"")), Class::Read);
        }
    }

    #[test]
    fn reads_of_several_keys_have_answers_without_an_end() {
        for command in ["get a b\r\n", "gets a bc d\r\n", "get a a\n"] {
            assert_eq!(class(command.as_bytes()), Class::ReadMany, "{command:?}");
        }
    }

    #[test]
    fn what_may_be_silent_is_not_cloned() {
        assert_eq!(class(b"mg key v q\r\n"), Class::Quiet);
        assert_eq!(class(&binary_command(0x09, b"key", b"", b"")), Class::Quiet);
        assert_eq!(class(&binary_command(0x0d, b"key", b"", b"")), Class::Quiet);
        assert_eq!(class(b"stats\r\n"), Class::Once);
        assert_eq!(class(&binary_command(0x10, b"", b"", b"")), Class::Once);
    }

    #[test]
    fn writes_and_what_is_not_known_are_writes() {
        for command in [
            "set a 0 0 1\r\nx\r\n",
            "set a 0 0 1 noreply\r\nx\r\n",
            "add a 0 0 1\r\nx\r\n",
            "cas a 0 0 1 5\r\nx\r\n",
            "delete a\r\n",
            "incr a 1\r\n",
            "decr a 1\r\n",
            "touch a 10\r\n",
            "gat 10 a\r\n",
            "gats 10 a\r\n",
            "flush_all\r\n",
            "verbosity 1\r\n",
            "stats reset\r\n",
            "ms a 1\r\nx\r\n",
            "md a\r\n",
            "ma a\r\n",
            "mg a T30\r\n",
            "mg a N30 v\r\n",
            "mg a R30 v\r\n",
            "mg a E99\r\n",
            "mg a v v30\r\n",
            "mg a O\r\n",
            "mg\r\n",
            "GET a\r\n",
            "getx a\r\n",
            "get\r\n",
            "get a",
            "get a\r",
            "get a\r\nget b\r\n",
            "get a\nset b 0 0 1\r\nx\r\n",
            "get a\0b\r\n",
            "get a\tb\r\n",
            "mn now\r\n",
            "\r\n",
            "shutdown\r\n",
        ] {
            assert_eq!(class(command.as_bytes()), Class::Write, "{command:?}");
        }
        let long = format!("get {}\r\n", "k".repeat(251));
        assert_eq!(class(long.as_bytes()), Class::Write);
        for opcode in (0..=255_u8).filter(|o| ![0, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x10].contains(o)) {
            assert_eq!(
                class(&binary_command(opcode, b"key", b"", b"")),
                Class::Write,
                "{opcode:#x}"
            );
        }
    }

    #[test]
    fn binary_commands_with_lengths_that_do_not_add_up_are_writes() {
        let get = binary_command(0, b"key", b"", b"");
        assert_eq!(class(&get[..get.len() - 1]), Class::Write);
        assert_eq!(class(&[&get[..], &get[..]].concat()), Class::Write);
        assert_eq!(class(&get[..BINARY - 1]), Class::Write);
        assert_eq!(
            class(&binary_command(0, b"key", b"1234", b"")),
            Class::Write
        );
        assert_eq!(class(&binary_command(0, b"key", b"", b"v")), Class::Write);
        assert_eq!(class(&binary_command(0, b"", b"", b"")), Class::Write);
        assert_eq!(
            class(&binary_command(0, &[b'k'; 251], b"", b"")),
            Class::Write
        );
        assert_eq!(class(&binary_command(0x0a, b"k", b"", b"")), Class::Write);
        // A key's length beyond the datagram.
        let mut lies = get.clone();
        lies[2] = 0xff;
        assert_eq!(class(&lies), Class::Write);
        lies[8] = 0xff;
        assert_eq!(class(&lies), Class::Write);
    }

    #[test]
    fn b01_short_datagrams_are_malformed() {
        let whole = framed([7, 0, 1], b"get a\r\n");
        for length in 0..=FRAME {
            assert_eq!(
                request(&whole[..length], &mut DefaultHasher::new()),
                Class::Malformed
            );
        }
        for length in 0..FRAME {
            assert_eq!(reply(&whole[..length], &mut DefaultHasher::new()), None);
        }
    }

    #[test]
    fn requests_of_several_datagrams_are_not_cloned() {
        for datagrams in [0, 2, 0xffff] {
            let bytes = framed([7, 0, datagrams], b"get a\r\n");
            assert_eq!(request(&bytes, &mut DefaultHasher::new()), Class::Write);
        }
    }

    #[test]
    fn b10_replies_say_which_part_they_are_and_impossible_numbers_are_some_part() {
        for (sequence, datagrams, part) in [
            (0, 1, Some(Part::Whole)),
            (0, 2, Some(Part::First)),
            (1, 2, Some(Part::Later)),
            (65534, 65535, Some(Part::Later)),
            // The real thing sends this for a key that it does not have.
            (0, 0, Some(Part::Later)),
            (1, 1, Some(Part::Later)),
            (5, 3, Some(Part::Later)),
            (65535, 65535, Some(Part::Later)),
        ] {
            let bytes = framed([7, sequence, datagrams], b"END\r\n");
            assert_eq!(reply(&bytes, &mut DefaultHasher::new()), part);
        }
    }

    #[test]
    fn the_request_id_is_what_tells_transactions_apart() {
        let id = |request: u16| {
            let mut asked = DefaultHasher::new();
            super::request(&framed([request, 0, 1], b"get a\r\n"), &mut asked);
            let mut answered = DefaultHasher::new();
            reply(&framed([request, 3, 9], b"VALUE"), &mut answered);
            assert_eq!(asked.finish(), answered.finish());
            asked.finish()
        };
        assert_ne!(id(1), id(2));
        assert_ne!(id(0), id(256));
    }
}
