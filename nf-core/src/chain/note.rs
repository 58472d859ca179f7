//! What a stage says of a traced packet: a word and a few named values.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Most named values of a note.
const MAX_VALUES: usize = 5;

/// A typed trace record of a stage: what it saw or decided, and with which values.
///
/// Made only for traced packets, without allocation; printed by the control side as
/// `denied rule=12 source=10.0.0.1`, and as an object in JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Note {
    /// What happened, one or a few words.
    pub what: &'static str,
    values: [Option<(&'static str, NoteValue)>; MAX_VALUES],
}

/// A value of a note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoteValue {
    /// A number.
    Number(u64),
    /// A number in hexadecimal.
    Hex(u64),
    /// A word.
    Word(&'static str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// A MAC address.
    Mac([u8; 6]),
    /// A time, nanoseconds.
    Nanos(u64),
}

impl Note {
    /// A note without values.
    #[inline]
    pub const fn new(what: &'static str) -> Note {
        Note {
            what,
            values: [None; MAX_VALUES],
        }
    }

    /// Adds a named value; beyond five they are left out.
    #[inline]
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<NoteValue>) -> Note {
        if let Some(slot) = self.values.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((name, value.into()));
        }
        self
    }

    /// The named values.
    pub fn values(&self) -> impl Iterator<Item = &(&'static str, NoteValue)> {
        self.values.iter().flatten()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        self.values()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Display for NoteValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoteValue::Number(number) => write!(f, "{number}"),
            NoteValue::Hex(number) => write!(f, "{number:#x}"),
            NoteValue::Word(word) => f.write_str(word),
            NoteValue::V4(address) => write!(f, "{address}"),
            NoteValue::V6(address) => write!(f, "{address}"),
            NoteValue::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            NoteValue::Nanos(ns) => write!(f, "{}.{:03}us", ns / 1000, ns % 1000),
        }
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("what", self.what)?;
        for (name, value) in self.values() {
            match value {
                NoteValue::Number(number) | NoteValue::Nanos(number) => {
                    map.serialize_entry(name, number)?
                }
                _ => map.serialize_entry(name, &value.to_string())?,
            }
        }
        map.end()
    }
}

impl From<u64> for NoteValue {
    fn from(number: u64) -> NoteValue {
        NoteValue::Number(number)
    }
}

impl From<usize> for NoteValue {
    fn from(number: usize) -> NoteValue {
        NoteValue::Number(number as u64)
    }
}

impl From<u32> for NoteValue {
    fn from(number: u32) -> NoteValue {
        NoteValue::Number(u64::from(number))
    }
}

impl From<u8> for NoteValue {
    fn from(number: u8) -> NoteValue {
        NoteValue::Number(u64::from(number))
    }
}

impl From<u16> for NoteValue {
    fn from(number: u16) -> NoteValue {
        NoteValue::Number(u64::from(number))
    }
}

impl From<&'static str> for NoteValue {
    fn from(word: &'static str) -> NoteValue {
        NoteValue::Word(word)
    }
}

impl From<Ipv4Addr> for NoteValue {
    fn from(address: Ipv4Addr) -> NoteValue {
        NoteValue::V4(address)
    }
}

impl From<Ipv6Addr> for NoteValue {
    fn from(address: Ipv6Addr) -> NoteValue {
        NoteValue::V6(address)
    }
}

impl From<std::net::IpAddr> for NoteValue {
    fn from(address: std::net::IpAddr) -> NoteValue {
        match address {
            std::net::IpAddr::V4(address) => NoteValue::V4(address),
            std::net::IpAddr::V6(address) => NoteValue::V6(address),
        }
    }
}

impl From<[u8; 6]> for NoteValue {
    fn from(mac: [u8; 6]) -> NoteValue {
        NoteValue::Mac(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_a_line_and_as_an_object() {
        let note = Note::new("denied")
            .with("rule", 12u64)
            .with("source", Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(note.to_string(), "denied rule=12 source=10.0.0.1");
        assert_eq!(
            serde_json::to_string(&note).expect("serialises"),
            r#"{"what":"denied","rule":12,"source":"10.0.0.1"}"#
        );
    }

    #[test]
    fn values_beyond_five_are_left_out() {
        let note = (0..9u64).fold(Note::new("many"), |note, n| note.with("n", n));
        assert_eq!(note.values().count(), 5);
    }
}
