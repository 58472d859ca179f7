//! Strings with a form: addresses, names, modes. A Rust type names the form in its schema with
//! `#[schemars(extend("format" = "mac"))]`; the checker and editors then both know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A form that a string in the configuration can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A name that appears in commands, metrics and file names.
    Identifier,
    /// The name of a Linux network interface.
    Interface,
    /// An Ethernet address.
    Mac,
    /// A PCI address, with or without the domain.
    Pci,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An IPv4 or IPv6 prefix. A bare address is the prefix of full length.
    Prefix,
    /// An IPv4 prefix.
    Ipv4Prefix,
    /// An IPv6 prefix.
    Ipv6Prefix,
    /// A numeric address with a port.
    SocketAddress,
    /// Permissions of a file, in octal.
    Mode,
}

/// Longest identifier, in characters. DPDK's pool names end at 25 and get a prefix and a number.
const IDENTIFIER_LONGEST: usize = 20;

/// Longest interface name: Linux's `IFNAMSIZ` less its final zero.
const INTERFACE_LONGEST: usize = 15;

impl Format {
    const ALL: [Self; 12] = [
        Self::Identifier,
        Self::Interface,
        Self::Mac,
        Self::Pci,
        Self::Ipv4,
        Self::Ipv6,
        Self::Ip,
        Self::Prefix,
        Self::Ipv4Prefix,
        Self::Ipv6Prefix,
        Self::SocketAddress,
        Self::Mode,
    ];

    /// The form that a schema calls `name`; `None` for those that say nothing about a string.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What schemas call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Interface => "interface",
            Self::Mac => "mac",
            Self::Pci => "pci",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Ip => "ip",
            Self::Prefix => "prefix",
            Self::Ipv4Prefix => "ipv4-prefix",
            Self::Ipv6Prefix => "ipv6-prefix",
            Self::SocketAddress => "socket-address",
            Self::Mode => "mode",
        }
    }

    /// What is wrong with `text`, or nothing.
    pub fn check(self, text: &str) -> Result<(), &'static str> {
        let sure = |right: bool, message| if right { Ok(()) } else { Err(message) };
        match self {
            Self::Identifier => identifier(text),
            Self::Interface => interface(text),
            Self::Mac => {
                let mac = parse_mac(text).ok_or("this is not an Ethernet address")?;
                sure(
                    mac != [0; 6],
                    "an Ethernet address of all zeros cannot be used",
                )?;
                sure(
                    mac[0] & 1 == 0,
                    "this is a group address, a port needs one of its own",
                )
            }
            Self::Pci => sure(parse_pci(text).is_some(), "this is not a PCI address"),
            Self::Ipv4 => sure(
                text.parse::<Ipv4Addr>().is_ok(),
                "this is not an IPv4 address",
            ),
            Self::Ipv6 => sure(
                text.parse::<Ipv6Addr>().is_ok(),
                "this is not an IPv6 address",
            ),
            Self::Ip => sure(text.parse::<IpAddr>().is_ok(), "this is not an IP address"),
            Self::Prefix => prefix(text).map(|_| ()),
            Self::Ipv4Prefix => sure(prefix(text)?.is_ipv4(), "this is not an IPv4 prefix"),
            Self::Ipv6Prefix => sure(prefix(text)?.is_ipv6(), "this is not an IPv6 prefix"),
            Self::SocketAddress => sure(
                text.parse::<SocketAddr>().is_ok(),
                "this is not a numeric address with a port",
            ),
            Self::Mode => sure(parse_mode(text).is_some(), "this is not an octal file mode"),
        }
    }

    /// What is allowed, for messages and the page of the configuration.
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Identifier => {
                "a name of 1 to 20 letters a-z A-Z, digits, \"_\" and \"-\", starting with a letter"
            }
            Self::Interface => {
                "an interface name of 1 to 15 bytes without white space, \"/\", \":\" or \",\""
            }
            Self::Mac => "a unicast Ethernet address such as \"02:00:00:00:00:01\"",
            Self::Pci => "a PCI address such as \"0000:01:00.0\"",
            Self::Ipv4 => "an IPv4 address such as \"192.0.2.1\"",
            Self::Ipv6 => "an IPv6 address such as \"2001:db8::1\"",
            Self::Ip => "an IP address such as \"192.0.2.1\" or \"2001:db8::1\"",
            Self::Prefix => "an IP prefix such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
            Self::Ipv4Prefix => "an IPv4 prefix such as \"192.0.2.0/24\"",
            Self::Ipv6Prefix => "an IPv6 prefix such as \"2001:db8::/32\"",
            Self::SocketAddress => {
                "an IP address and a port such as \"127.0.0.1:9464\" or \"[::1]:9464\""
            }
            Self::Mode => {
                "an octal file mode from \"0000\" to \"0777\", as a string such as \"0660\""
            }
        }
    }

    /// The regular expression (ECMA-262) by which an editor checks the form, where one is enough.
    pub fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Self::Identifier => "^[A-Za-z][A-Za-z0-9_-]{0,19}$",
            Self::Interface => "^[^\\s/:,]{1,15}$",
            Self::Mac => "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$",
            Self::Pci => "^([0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{2}:[01][0-9A-Fa-f]\\.[0-7]$",
            Self::Mode => "^0?[0-7]{3}$",
            _ => return None,
        })
    }
}

fn identifier(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the name is empty");
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    {
        return Err("the name has a character that names cannot have");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("the name does not start with a letter");
    }
    if text.len() > IDENTIFIER_LONGEST {
        return Err("the name is too long");
    }
    Ok(())
}

/// The kernel's own rule (`dev_valid_name`), and no comma, which would end the device argument.
fn interface(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("the interface name is empty");
    }
    if text.len() > INTERFACE_LONGEST {
        return Err("the interface name is too long");
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | ',');
    if text == "." || text == ".." || text.contains(forbidden) {
        return Err("the interface name has a character that Linux does not allow");
    }
    Ok(())
}

/// An address, a slash and a length; no bit may be set behind the length.
fn prefix(text: &str) -> Result<IpAddr, &'static str> {
    const NOT: &str = "this is not an IP prefix";
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| NOT)?;
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => width,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| NOT)?
        }
        Some(_) => return Err(NOT),
    };
    if length > width {
        return Err("the prefix is longer than the address");
    }
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    if bits.checked_shl(length).unwrap_or(0) != 0 {
        return Err("the prefix has bits set behind its length");
    }
    Ok(address)
}

/// Reads an Ethernet address of six two-digit groups with colons.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut groups = text.split(':');
    for byte in &mut mac {
        let group = groups.next()?;
        if group.len() != 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(group, 16).ok()?;
    }
    groups.next().is_none().then_some(mac)
}

/// Reads a PCI address; gives it in full and in lower case: `0000:01:00.0`.
pub fn parse_pci(text: &str) -> Option<String> {
    let full = match text.bytes().filter(|b| *b == b':').count() {
        1 => format!("0000:{text}"),
        2 => text.to_owned(),
        _ => return None,
    };
    let (rest, function) = full.split_once('.')?;
    let hex = |part: Option<&str>, width: usize, most: u32| {
        part.is_some_and(|digits| {
            digits.len() == width
                && digits.bytes().all(|b| b.is_ascii_hexdigit())
                && u32::from_str_radix(digits, 16).is_ok_and(|n| n <= most)
        })
    };
    let mut parts = rest.split(':');
    let right = hex(parts.next(), 4, 0xffff)
        && hex(parts.next(), 2, 0xff)
        && hex(parts.next(), 2, 0x1f)
        && parts.next().is_none()
        && hex(Some(function), 1, 7);
    right.then(|| full.to_ascii_lowercase())
}

/// Reads a file mode of three octal digits, with or without a zero before them.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = match text.len() {
        4 => text.strip_prefix('0')?,
        _ => text,
    };
    let right = digits.len() == 3 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    right.then(|| u32::from_str_radix(text, 8).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(format: Format, texts: &[&str]) {
        for text in texts {
            assert_eq!(format.check(text), Ok(()), "{format:?} {text:?}");
        }
    }

    fn wrong(format: Format, texts: &[&str]) {
        for text in texts {
            assert!(format.check(text).is_err(), "{format:?} {text:?}");
        }
    }

    #[test]
    fn identifiers() {
        right(
            Format::Identifier,
            &["a", "clients", "A-1_b", "abcdefghijklmnopqrst"],
        );
        wrong(
            Format::Identifier,
            &["", "1a", "-a", "a b", "a/b", "é", "abcdefghijklmnopqrstu"],
        );
    }

    #[test]
    fn interfaces() {
        right(
            Format::Interface,
            &["eth0", "a.b", "123456789012345", "wlan@1"],
        );
        wrong(
            Format::Interface,
            &[
                "",
                ".",
                "..",
                "a b",
                "a/b",
                "a:b",
                "a,b",
                "1234567890123456",
            ],
        );
    }

    #[test]
    fn addresses() {
        right(Format::Mac, &["02:00:00:00:00:01", "fe:DC:ba:98:76:54"]);
        wrong(
            Format::Mac,
            &["", "02-00-00-00-00-01", "2:0:0:0:0:1", "02:00:00:00:00"],
        );
        wrong(
            Format::Mac,
            &[
                "02:00:00:00:00:00:01",
                "00:00:00:00:00:00",
                "01:00:5e:00:00:01",
            ],
        );
        wrong(Format::Mac, &["+2:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"]);
        right(Format::SocketAddress, &["127.0.0.1:9464", "[::1]:1"]);
        wrong(
            Format::SocketAddress,
            &["localhost:9464", "127.0.0.1", ":80", "1.2.3.4:65536"],
        );
        right(Format::Ip, &["192.0.2.1", "::"]);
        wrong(Format::Ip, &["192.0.2", "fe80::1%eth0"]);
    }

    #[test]
    fn prefixes() {
        right(
            Format::Prefix,
            &[
                "0.0.0.0/0",
                "::/0",
                "10.0.0.0/8",
                "2001:db8::/32",
                "10.0.0.1",
            ],
        );
        right(Format::Prefix, &["10.0.0.1/32", "::1/128"]);
        wrong(
            Format::Prefix,
            &[
                "10.0.0.1/8",
                "10.0.0.0/33",
                "::/129",
                "10.0.0.0/",
                "10.0.0.0/+8",
            ],
        );
        wrong(Format::Prefix, &["2001:db8::1/32", "/8", "10.0.0.0/8/8"]);
        wrong(Format::Ipv4Prefix, &["::/0"]);
        wrong(Format::Ipv6Prefix, &["0.0.0.0/0"]);
    }

    #[test]
    fn pci_addresses() {
        assert_eq!(parse_pci("01:00.0").as_deref(), Some("0000:01:00.0"));
        assert_eq!(parse_pci("000A:fF:1f.7").as_deref(), Some("000a:ff:1f.7"));
        for text in [
            "",
            "01:00",
            "1:00.0",
            "01:20.0",
            "01:00.8",
            "0:0:0:0.0",
            "01:00.0.0",
            "é:00.0",
        ] {
            assert_eq!(parse_pci(text), None, "{text:?}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(parse_mode("0660"), Some(0o660));
        assert_eq!(parse_mode("770"), Some(0o770));
        for text in ["", "66", "00660", "0668", "1660", "+660", "rw"] {
            assert_eq!(parse_mode(text), None, "{text:?}");
        }
    }
}
