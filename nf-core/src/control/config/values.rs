//! Strings with a meaning: a value of one of these types has been read and is well-formed.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::check::{Format, parse_mac, parse_mode, parse_pci};

/// The schema of a string of this form.
fn schema_of(format: Format) -> Schema {
    let mut schema = json_schema!({ "type": "string", "format": format.name() });
    if let Some(pattern) = format.pattern() {
        schema.insert("pattern".to_owned(), pattern.into());
    }
    schema
}

/// Reads a string and checks its form.
fn read<'de, D: Deserializer<'de>>(format: Format, deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    format.check(&text).map_err(|message| {
        de::Error::custom(format_args!("{message}; allowed is {}", format.allowed()))
    })?;
    Ok(text)
}

/// The schema of a type that is written as a string of this form.
macro_rules! text_schema {
    ($name:ident, $format:expr) => {
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema_of($format)
            }
        }
    };
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $format:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read($format, deserializer).map(Self)
            }
        }

        text_schema!($name, $format);
    };
}

text_type! {
    /// A name that appears in commands, metrics and file names: 1 to 20 ASCII letters, digits, `_`
    /// and `-`, the first a letter.
    Identifier, Format::Identifier
}

text_type! {
    /// The name of a Linux network interface, at most 15 bytes.
    Interface, Format::Interface
}

impl Identifier {
    /// For names in the program's own text; it must be well-formed.
    pub(super) fn from_static(text: &'static str) -> Self {
        debug_assert!(Format::Identifier.check(text).is_ok());
        Self(text.to_owned())
    }
}

/// A PCI address, in full and in lower case: `0000:01:00.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress(String);

impl PciAddress {
    /// As DPDK wants it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An Ethernet address of one station (unicast, not zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The six bytes in the order they are sent.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

/// Permissions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// The permission bits, as for `chmod`.
    pub fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits & 0o7777)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

macro_rules! parsed_type {
    ($name:ident, $format:expr, $parse:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = read($format, deserializer)?;
                $parse(&text)
                    .map(Self)
                    .ok_or_else(|| de::Error::custom($format.allowed()))
            }
        }

        text_schema!($name, $format);
    };
}

parsed_type!(PciAddress, Format::Pci, parse_pci);
parsed_type!(MacAddress, Format::Mac, parse_mac);
parsed_type!(FileMode, Format::Mode, parse_mode);

/// A word that others must not read: shown as `***` wherever the configuration is shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The word itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // memif's own limit, ETH_MEMIF_SECRET_SIZE less the final zero.
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 23, "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn values_read_and_show_themselves() {
        let mac: MacAddress = from_value(json!("02:00:00:00:00:Ab")).unwrap();
        assert_eq!(mac.octets(), [2, 0, 0, 0, 0, 0xab]);
        assert_eq!(to_value(mac).unwrap(), json!("02:00:00:00:00:ab"));
        let mode: FileMode = from_value(json!("660")).unwrap();
        assert_eq!((mode.bits(), mode.to_string().as_str()), (0o660, "0660"));
        let pci: PciAddress = from_value(json!("01:00.0")).unwrap();
        assert_eq!(pci.as_str(), "0000:01:00.0");
        let name: Identifier = from_value(json!("edge")).unwrap();
        assert_eq!(&*name, "edge");
    }

    #[test]
    fn malformed_values_are_refused() {
        assert!(from_value::<MacAddress>(json!("ff:ff:ff:ff:ff:ff")).is_err());
        assert!(from_value::<Identifier>(json!("a b")).is_err());
        assert!(from_value::<FileMode>(json!(660)).is_err());
    }

    #[test]
    fn a_secret_stays_one() {
        let secret: Secret = from_value(json!("sesame")).unwrap();
        assert_eq!(secret.reveal(), "sesame");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(to_value(&secret).unwrap(), json!("***"));
    }
}
