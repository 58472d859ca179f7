//! DNS over UDP (RFC 1035): which messages may run twice, and which reply belongs to which query.
//!
//! A transaction is known by the 16-bit ID and the question: name, type and class, with the letters
//! of the name in lower case (RFC 5452, 9.1), because servers may give a name back in their own case.
//! The messages themselves are not touched: the case that a client drew at random, EDNS options and
//! signatures arrive as they were sent.
//!
//! | read, may be cloned | once, at any server | write |
//! |---|---|---|
//! | QUERY with one question, no records in answer and authority | AXFR, IXFR; other shapes of QUERY; IQUERY, STATUS | UPDATE, NOTIFY, other opcodes |
//!
//! Not known: whether the servers have the same zone and the same secret for DNS cookies (RFC 7873);
//! they must. A reply without its question (some servers' FORMERR) is nobody's and passes.

use std::hash::Hasher;

use super::matcher::Class;
use super::outstanding::Part;

/// Bytes of the header.
const HEADER: usize = 12;

/// Longest name, bytes with lengths and the root.
const MAX_NAME: usize = 255;

/// IXFR and AXFR.
const TRANSFERS: [u16; 2] = [251, 252];

/// The fields of the header that are looked at.
struct Head {
    id: u16,
    /// QR: it is a reply.
    is_reply: bool,
    opcode: u8,
    /// QDCOUNT, ANCOUNT, NSCOUNT.
    counts: [u16; 3],
}

fn head(message: &[u8]) -> Option<(Head, &[u8])> {
    let (header, rest) = message.split_first_chunk::<HEADER>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let head = Head {
        id: word(0),
        is_reply: header[2] & 0x80 != 0,
        opcode: header[2] >> 3 & 15,
        counts: [word(4), word(6), word(8)],
    };
    Some((head, rest))
}

/// The question's bytes, its name in lower case, go into `id`; its type is returned. Nothing if it
/// is cut off, or if the name is compressed, which the first name of a message cannot be.
fn question(bytes: &[u8], id: &mut impl Hasher) -> Option<u16> {
    let mut name = [0_u8; MAX_NAME + 1];
    let mut at = 0;
    loop {
        let length = *bytes.get(at)?;
        if length > 63 {
            return None;
        }
        let end = at + 1 + usize::from(length);
        let label = bytes.get(at..end)?;
        let room = name.get_mut(at..end).filter(|_| end <= MAX_NAME)?;
        room.copy_from_slice(label);
        at = end;
        if length == 0 {
            break;
        }
    }
    let [a, b, c, d] = *bytes.get(at..)?.first_chunk::<4>()?;
    // A length is below 64 and so no letter.
    let name = name.get_mut(..at)?;
    name.make_ascii_lowercase();
    id.write(name);
    id.write_u16(u16::from_be_bytes([c, d]));
    let kind = u16::from_be_bytes([a, b]);
    id.write_u16(kind);
    Some(kind)
}

/// What a client's message is; ID and question go into `id`.
pub(super) fn request(message: &[u8], id: &mut impl Hasher) -> Class {
    let Some((head, rest)) = head(message) else {
        return Class::Malformed;
    };
    if head.is_reply {
        return Class::Malformed;
    }
    id.write_u16(head.id);
    match head.opcode {
        // QUERY.
        0 => match question(rest, id) {
            Some(kind) if head.counts == [1, 0, 0] && !TRANSFERS.contains(&kind) => Class::Read,
            _ => Class::Once,
        },
        // IQUERY, STATUS.
        1 | 2 => Class::Once,
        _ => {
            question(rest, id);
            Class::Write
        }
    }
}

/// What a server's message is; ID and question go into `id`.
pub(super) fn reply(message: &[u8], id: &mut impl Hasher) -> Option<Part> {
    let (head, rest) = head(message)?;
    if !head.is_reply || head.counts[0] != 1 {
        return None;
    }
    id.write_u16(head.id);
    question(rest, id)?;
    Some(Part::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    fn message(id: u16, flags: u16, counts: [u16; 4], tail: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [id, flags].iter().chain(&counts) {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(tail);
        bytes
    }

    fn asked(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes
    }

    fn class(message: &[u8]) -> Class {
        request(message, &mut DefaultHasher::new())
    }

    fn id_of_request(message: &[u8]) -> u64 {
        let mut id = DefaultHasher::new();
        request(message, &mut id);
        id.finish()
    }

    fn id_of_reply(message: &[u8]) -> Option<u64> {
        let mut id = DefaultHasher::new();
        reply(message, &mut id).map(|_| id.finish())
    }

    const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

    #[test]
    fn queries_may_be_cloned_with_and_without_edns() {
        for kind in [1, 2, 5, 6, 15, 16, 28, 33, 65, 255] {
            let question = asked("www.example.org", kind);
            assert_eq!(
                class(&message(1, 0x0100, [1, 0, 0, 0], &question)),
                Class::Read
            );
            let edns = [&question[..], &OPT].concat();
            assert_eq!(class(&message(1, 0x0120, [1, 0, 0, 1], &edns)), Class::Read);
        }
        assert_eq!(
            class(&message(1, 0, [1, 0, 0, 0], &asked("", 2))),
            Class::Read
        );
    }

    #[test]
    fn transfers_and_odd_shapes_go_to_one_server() {
        let question = asked("example.org", 1);
        for kind in TRANSFERS {
            let transfer = message(1, 0, [1, 0, 0, 0], &asked("example.org", kind));
            assert_eq!(class(&transfer), Class::Once);
        }
        for counts in [[0, 0, 0, 0], [2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]] {
            assert_eq!(class(&message(1, 0, counts, &question)), Class::Once);
        }
        for opcode in [1, 2] {
            let flags = opcode << 11;
            assert_eq!(
                class(&message(1, flags, [1, 0, 0, 0], &question)),
                Class::Once
            );
        }
    }

    #[test]
    fn updates_notifications_and_unknown_opcodes_are_writes() {
        for opcode in 3..16 {
            let bytes = message(1, opcode << 11, [1, 0, 0, 0], &asked("example.org", 6));
            assert_eq!(class(&bytes), Class::Write, "{opcode}");
        }
    }

    #[test]
    fn a_reply_is_matched_by_id_and_question_whatever_the_case() {
        let query = message(77, 0x0100, [1, 0, 0, 0], &asked("wWw.ExAmPle.org", 1));
        let answer = |id, name, kind| {
            let mut tail = asked(name, kind);
            tail.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
            id_of_reply(&message(id, 0x8180, [1, 1, 0, 0], &tail))
        };
        let id = Some(id_of_request(&query));
        assert_eq!(answer(77, "www.example.org", 1), id);
        assert_eq!(answer(77, "wWw.ExAmPle.org", 1), id);
        assert_ne!(answer(78, "www.example.org", 1), id);
        assert_ne!(answer(77, "www.example.com", 1), id);
        assert_ne!(answer(77, "www.example.org", 28), id);
        // The same letters, cut into other labels.
        assert_ne!(answer(77, "ww.wexample.org", 1), id);
    }

    #[test]
    fn b03_direction_and_type_must_agree() {
        let question = asked("example.org", 1);
        assert_eq!(
            class(&message(1, 0x8180, [1, 0, 0, 0], &question)),
            Class::Malformed
        );
        assert_eq!(
            id_of_reply(&message(1, 0x0100, [1, 0, 0, 0], &question)),
            None
        );
        assert_eq!(id_of_reply(&message(1, 0x8181, [0, 0, 0, 0], &[])), None);
    }

    #[test]
    fn b01_cut_and_lying_messages_are_survived() {
        let whole = message(1, 0, [1, 0, 0, 0], &asked("www.example.org", 1));
        for length in 0..HEADER {
            assert_eq!(class(&whole[..length]), Class::Malformed);
        }
        for length in HEADER..whole.len() {
            assert_eq!(class(&whole[..length]), Class::Once, "{length}");
        }
        for name in [
            vec![0xc0, 12],
            vec![0x40, 1],
            vec![63],
            [
                vec![63; 64],
                vec![63; 64],
                vec![63; 64],
                vec![63; 64],
                vec![0],
            ]
            .concat(),
            [vec![1; 254], vec![0]].concat(),
        ] {
            let bytes = [&name[..], &[0, 1, 0, 1]].concat();
            let bytes = message(1, 0, [1, 0, 0, 0], &bytes);
            let longest = name.len() == 255;
            let expected = if longest { Class::Read } else { Class::Once };
            assert_eq!(class(&bytes), expected, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_query_finds_its_reply(
            id: u16,
            labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,20}", 0..6),
            kind in 1..250_u16,
        ) {
            let name = labels.join(".");
            let query = message(id, 0x0100, [1, 0, 0, 0], &asked(&name, kind));
            prop_assert_eq!(class(&query), Class::Read);
            let reply = message(id, 0x8180, [1, 0, 0, 0], &asked(&name.to_uppercase(), kind));
            prop_assert_eq!(id_of_reply(&reply), Some(id_of_request(&query)));
        }
    }
}
