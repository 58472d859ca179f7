//! IP prefixes and interface addresses, as a config writes them.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A network: an address whose bits after the prefix's length are zero. Written `10.0.0.0/8` or
/// `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// A text or pair that is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// No slash.
    #[error("`{0}` has no prefix length: write ADDRESS/LENGTH, like 10.0.0.0/8 or 2001:db8::/32")]
    NoLength(String),
    /// The part before the slash is not an address.
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    BadAddress(String),
    /// The length is not a number, or too large.
    #[error("`{found}` is not a prefix length: 0 to {max}")]
    BadLength {
        /// What was written.
        found: String,
        /// The largest length allowed for this kind of address.
        max: u8,
    },
    /// The address has bits after the prefix.
    #[error("`{address}/{length}` has host bits set: the network is {network}")]
    HostBits {
        /// The address that was written.
        address: IpAddr,
        /// The length that was written.
        length: u8,
        /// The prefix that holds the address.
        network: Prefix,
    },
}

fn check_length(address: IpAddr, length: u8) -> Result<(), PrefixError> {
    let max = max_length(address);
    match length > max {
        true => Err(PrefixError::BadLength {
            found: length.to_string(),
            max,
        }),
        false => Ok(()),
    }
}

const fn max_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits after `length` cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(
            address.to_bits() & !u32::MAX.checked_shr(length.into()).unwrap_or(0),
        )),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::MAX.checked_shr(length.into()).unwrap_or(0),
        )),
    }
}

fn split(text: &str) -> Result<(IpAddr, u8), PrefixError> {
    let (address, length) = text
        .split_once('/')
        .ok_or_else(|| PrefixError::NoLength(text.to_owned()))?;
    let address =
        IpAddr::from_str(address).map_err(|_| PrefixError::BadAddress(address.to_owned()))?;
    let max = max_length(address);
    let all_digits = length.bytes().all(|c| c.is_ascii_digit());
    match length.parse() {
        Ok(length) if length <= max && all_digits => Ok((address, length)),
        _ => Err(PrefixError::BadLength {
            found: length.to_owned(),
            max,
        }),
    }
}

impl Prefix {
    /// Every IPv4 address.
    pub const ALL_IPV4: Self = Self {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        length: 0,
    };
    /// Every IPv6 address.
    pub const ALL_IPV6: Self = Self {
        address: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        length: 0,
    };

    /// The prefix `address/length`; its host bits must be zero.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        check_length(address, length)?;
        let network = Self::containing(address, length);
        if network.address != address {
            return Err(PrefixError::HostBits {
                address,
                length,
                network,
            });
        }
        Ok(network)
    }

    /// The prefix of `length` bits that holds `address`; a length too large means all bits.
    pub fn containing(address: IpAddr, length: u8) -> Self {
        let length = length.min(max_length(address));
        Self {
            address: masked(address, length),
            length,
        }
    }

    /// The prefix that holds this one address.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            length: max_length(address),
        }
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether this is an IPv4 prefix.
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether `address` is in the prefix. An address of the other version never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && masked(address, self.length) == self.address
    }

    /// The IPv4 mask, like 255.0.0.0 for /8; `None` for IPv6.
    pub fn ipv4_mask(&self) -> Option<Ipv4Addr> {
        let bits = !u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
        self.is_ipv4().then(|| Ipv4Addr::from_bits(bits))
    }

    /// The IPv4 broadcast address; `None` for IPv6, and for /31 and /32, which have none (RFC 3021).
    pub fn ipv4_broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(address) if self.length < 31 => Some(Ipv4Addr::from_bits(
                address.to_bits() | u32::MAX >> self.length,
            )),
            _ => None,
        }
    }
}

/// An address of an interface together with the length of its network's prefix. Written
/// `10.0.0.1/24` or `2001:db8::1/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddr {
    address: IpAddr,
    length: u8,
}

impl InterfaceAddr {
    /// The address `address` in a network of `length` bits.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        check_length(address, length)?;
        Ok(Self { address, length })
    }

    /// The address itself.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The network that the address is in.
    pub fn network(&self) -> Prefix {
        Prefix::containing(self.address, self.length)
    }
}

/// `address/length` as text, in serde and in a JSON schema.
macro_rules! as_text {
    ($name:ident, $description:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.address, self.length)
            }
        }

        impl FromStr for $name {
            type Err = PrefixError;

            fn from_str(text: &str) -> Result<Self, PrefixError> {
                let (address, length) = split(text)?;
                Self::new(address, length)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$"
                })
            }
        }
    };
}

as_text!(
    Prefix,
    "An IPv4 or IPv6 network, for example 10.0.0.0/8 or 2001:db8::/32."
);
as_text!(
    InterfaceAddr,
    "An address and its network's prefix length, for example 10.0.0.1/24 or 2001:db8::1/64."
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn text_round_trip() {
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.2.3/32",
            "::/0",
            "2001:db8::/32",
            "::1/128",
        ] {
            assert_eq!(prefix(text).to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::from_str::<Prefix>(&json).unwrap(), prefix(text));
            assert_eq!(serde_json::to_string(&prefix(text)).unwrap(), json);
        }
        let interface: InterfaceAddr = "10.0.0.1/24".parse().unwrap();
        assert_eq!(interface.to_string(), "10.0.0.1/24");
        assert_eq!(interface.network(), prefix("10.0.0.0/24"));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, message) in [
            (
                "10.0.0.0",
                "`10.0.0.0` has no prefix length: write ADDRESS/LENGTH, like 10.0.0.0/8 or \
                 2001:db8::/32",
            ),
            ("10.0.0/8", "`10.0.0` is not an IPv4 or IPv6 address"),
            ("10.0.0.0/33", "`33` is not a prefix length: 0 to 32"),
            ("::/129", "`129` is not a prefix length: 0 to 128"),
            ("::/+1", "`+1` is not a prefix length: 0 to 128"),
            ("10.0.0.0/", "`` is not a prefix length: 0 to 32"),
            (
                "10.0.0.1/8",
                "`10.0.0.1/8` has host bits set: the network is 10.0.0.0/8",
            ),
            (
                "2001:db8::1/64",
                "`2001:db8::1/64` has host bits set: the network is 2001:db8::/64",
            ),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap_err().to_string(), message);
        }
        assert!("10.0.0.1/33".parse::<InterfaceAddr>().is_err());
    }

    #[test]
    fn membership() {
        assert!(prefix("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/8").contains("11.0.0.0".parse().unwrap()));
        assert!(!Prefix::ALL_IPV4.contains("::1".parse().unwrap()));
        assert!(Prefix::ALL_IPV6.contains("::1".parse().unwrap()));
        assert!(prefix("2001:db8::/33").contains("2001:db8:7fff::1".parse().unwrap()));
        assert!(!prefix("2001:db8::/33").contains("2001:db8:8000::1".parse().unwrap()));
        assert_eq!(
            prefix("10.0.0.0/8").ipv4_broadcast(),
            Some(Ipv4Addr::new(10, 255, 255, 255))
        );
        assert_eq!(Prefix::ALL_IPV4.ipv4_broadcast(), Some(Ipv4Addr::BROADCAST));
        assert_eq!(prefix("10.0.0.0/31").ipv4_broadcast(), None);
        assert_eq!(
            prefix("10.0.0.0/9").ipv4_mask(),
            Some(Ipv4Addr::new(255, 128, 0, 0))
        );
        assert_eq!(Prefix::ALL_IPV4.ipv4_mask(), Some(Ipv4Addr::UNSPECIFIED));
        assert_eq!(Prefix::ALL_IPV6.ipv4_mask(), None);
    }

    proptest! {
        #[test]
        fn contains_is_equality_of_leading_bits(a in any::<u128>(), b in any::<u128>(), n in 0u8..=128) {
            let (a, b) = (Ipv6Addr::from_bits(a), Ipv6Addr::from_bits(b ^ (a & !0xff)));
            let network = Prefix::containing(a.into(), n);
            let same = (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(n);
            prop_assert_eq!(network.contains(b.into()), same);
            prop_assert_eq!(network.to_string().parse::<Prefix>().unwrap(), network);
        }
    }
}
