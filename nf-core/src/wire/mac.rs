//! Ethernet hardware addresses.

use std::{borrow::Cow, fmt, net::Ipv6Addr, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 48-bit Ethernet address, in transmission order. Written `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// A text that is not an Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: six hexadecimal bytes with colons, like 02:00:00:00:00:01")]
pub struct MacAddrError(String);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff, everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 00:00:00:00:00:00, nobody; what an ARP request has as its target.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is set: multicast or broadcast.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is the broadcast address.
    #[inline]
    pub const fn is_broadcast(self) -> bool {
        u64_of(self) == u64_of(Self::BROADCAST)
    }

    /// Whether the address is one station's: neither a group's nor all zero.
    #[inline]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && u64_of(self) != 0
    }

    /// Whether the address was assigned locally rather than by its maker (IEEE 802, U/L bit).
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// The group address that IPv6 multicast to `address` is sent to (RFC 2464, section 7).
    pub const fn for_ipv6_multicast(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        Self([0x33, 0x33, octets[12], octets[13], octets[14], octets[15]])
    }
}

const fn u64_of(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| MacAddrError(text.to_owned()))?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(MacAddrError(text.to_owned())),
        }
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> Self {
        mac.0
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for MacAddr {
    fn schema_name() -> Cow<'static, str> {
        "MacAddr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An Ethernet address, for example 02:00:00:00:00:01.",
            "pattern": "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let mac: MacAddr = "02:00:0A:ff:00:01".parse().unwrap();
        assert_eq!(mac, MacAddr([2, 0, 10, 255, 0, 1]));
        assert_eq!(mac.to_string(), "02:00:0a:ff:00:01");
        assert_eq!(
            serde_json::to_string(&mac).unwrap(),
            "\"02:00:0a:ff:00:01\""
        );
        assert_eq!(
            serde_json::from_str::<MacAddr>("\"02:00:0a:ff:00:01\"").unwrap(),
            mac
        );
    }

    #[test]
    fn wrong_texts_are_refused_and_quoted() {
        for wrong in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "02-00-00-00-00-01",
            "02:00:00:00:00:+1",
            "02:00:00:00:00:01 ",
        ] {
            let error = wrong.parse::<MacAddr>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{wrong}` is not a MAC address")),
                "{error}"
            );
        }
        assert!(serde_json::from_str::<MacAddr>("\"x\"").is_err());
        assert!(serde_json::from_str::<MacAddr>("7").is_err());
    }

    #[test]
    fn kinds_of_address() {
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
        assert!(!MacAddr::ZERO.is_unicast());
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        assert!(mac.is_unicast() && mac.is_local() && !mac.is_broadcast());
        assert_eq!(
            MacAddr::for_ipv6_multicast("ff02::1:ff00:1234".parse().unwrap()),
            MacAddr([0x33, 0x33, 0xff, 0, 0x12, 0x34])
        );
    }
}
