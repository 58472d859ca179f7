//! What a datagram of an unmodified service is: the registry of the protocols, by name.
//!
//! A matcher looks at bytes from outside and says of a request what may be done with it, and of a
//! reply which part of the answer it is. On the way it gives the hash of the transaction what the
//! protocol offers to tell one from another.

use std::hash::Hasher;

use super::outstanding::Part;
use super::{dns, flow, memcached};

/// What may be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Running it twice is the same as running it once, and there is an answer: it may be cloned.
    Read,
    /// As `Read`, and the answer may be of several datagrams that do not say where it ends.
    ReadMany,
    /// Any one server may run it: it changes nothing, but is not worth or not fit for two.
    Once,
    /// As `Once`, and there may be no answer.
    Quiet,
    /// It changes something, or the matcher does not know: where it goes is the user's decision
    /// (`writes`).
    Write,
    /// Not a request of this protocol. A server will throw it away, as it would without an appliance.
    Malformed,
}

/// A protocol of requests and replies over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// memcached's ASCII, meta and binary commands, each behind the 8-byte frame header.
    Memcached,
    /// DNS over UDP.
    Dns,
    /// Any service whose every request may run twice, one at a time per client port.
    Flow {
        /// Whether an answer may have several datagrams.
        many: bool,
    },
}

/// The names that [`Protocol::by_name`] knows.
pub const NAMES: [&str; 3] = ["memcached", "dns", "flow"];

impl Protocol {
    /// The protocol of a name in the settings; `many` is for [`Protocol::Flow`].
    #[must_use]
    pub fn by_name(name: &str, many: bool) -> Option<Protocol> {
        Some(match name {
            "memcached" => Protocol::Memcached,
            "dns" => Protocol::Dns,
            "flow" => Protocol::Flow { many },
            _ => return None,
        })
    }

    /// Its name in the settings.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Protocol::Memcached => "memcached",
            Protocol::Dns => "dns",
            Protocol::Flow { .. } => "flow",
        }
    }

    /// What a client's datagram is. The transaction's id goes into `id`, unless it is malformed.
    #[inline]
    pub fn request(&self, payload: &[u8], id: &mut impl Hasher) -> Class {
        match self {
            Protocol::Memcached => memcached::request(payload, id),
            Protocol::Dns => dns::request(payload, id),
            Protocol::Flow { many } => flow::request(*many),
        }
    }

    /// What a server's datagram is, and the id of the transaction it belongs to; `None` when it is
    /// no reply of this protocol.
    #[inline]
    pub fn reply(&self, payload: &[u8], id: &mut impl Hasher) -> Option<Part> {
        match self {
            Protocol::Memcached => memcached::reply(payload, id),
            Protocol::Dns => dns::reply(payload, id),
            Protocol::Flow { .. } => Some(flow::reply()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    #[test]
    fn every_name_is_a_protocol_of_that_name() {
        for name in NAMES {
            assert_eq!(Protocol::by_name(name, false).unwrap().name(), name);
        }
        assert_eq!(Protocol::by_name("http", false), None);
    }

    #[test]
    fn every_datagram_of_a_flow_is_a_message() {
        let mut id = DefaultHasher::new();
        for (many, class) in [(false, Class::Read), (true, Class::ReadMany)] {
            let flow = Protocol::by_name("flow", many).unwrap();
            assert_eq!(flow.reply(b"x", &mut id), Some(Part::Whole));
            assert_eq!(flow.request(b"", &mut id), class);
        }
    }

    proptest! {
        /// Bytes from outside: no panic, and the same answer for the same bytes.
        #[test]
        fn b01_any_bytes_are_judged_and_judged_alike(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            which in 0..3_usize,
        ) {
            let protocol = Protocol::by_name(NAMES[which], false).unwrap();
            let judge = || {
                let (mut asked, mut answered) = (DefaultHasher::new(), DefaultHasher::new());
                let class = protocol.request(&bytes, &mut asked);
                let part = protocol.reply(&bytes, &mut answered);
                (class, part, asked.finish(), answered.finish())
            };
            prop_assert_eq!(judge(), judge());
        }
    }
}
