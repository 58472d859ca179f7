//! What two protocols have in common: the header of ICMP and ICMPv6 messages, what their errors
//! quote, and the ports of TCP and UDP.

/// Defines the fields that ICMP and ICMPv6 share, for a view of the eight bytes that every message
/// begins with: type, code, checksum and four that depend on the type.
macro_rules! message_fields {
    ($name:ident) => {
        impl<B: ::std::borrow::Borrow<[u8; 8]>> $name<B> {
            /// The message type, as in [`kind`].
            #[inline(always)]
            pub fn kind(&self) -> u8 {
                self.as_bytes()[0]
            }

            /// The code, whose meaning depends on the type.
            #[inline(always)]
            pub fn code(&self) -> u8 {
                self.as_bytes()[1]
            }

            /// The checksum as it stands.
            #[inline(always)]
            pub fn checksum(&self) -> u16 {
                $crate::wire::bytes::u16_at::<2, _>(self.as_bytes())
            }

            /// The four bytes whose meaning depends on the type, as a big-endian number.
            #[inline(always)]
            pub fn rest(&self) -> u32 {
                $crate::wire::bytes::u32_at::<4, _>(self.as_bytes())
            }

            /// An echo's identifier.
            #[inline(always)]
            pub fn identifier(&self) -> u16 {
                $crate::wire::bytes::u16_at::<4, _>(self.as_bytes())
            }

            /// An echo's sequence number.
            #[inline(always)]
            pub fn sequence(&self) -> u16 {
                $crate::wire::bytes::u16_at::<6, _>(self.as_bytes())
            }
        }

        impl<B: ::std::borrow::BorrowMut<[u8; 8]>> $name<B> {
            /// Sets type and code.
            #[inline(always)]
            pub fn set_kind(&mut self, kind: u8, code: u8) {
                self.bytes_mut()[0] = kind;
                self.bytes_mut()[1] = code;
            }

            /// Sets the checksum.
            #[inline(always)]
            pub fn set_checksum(&mut self, checksum: u16) {
                $crate::wire::bytes::set_u16::<2, _>(self.bytes_mut(), checksum);
            }

            /// Sets the four bytes whose meaning depends on the type.
            #[inline(always)]
            pub fn set_rest(&mut self, value: u32) {
                $crate::wire::bytes::set_u32::<4, _>(self.bytes_mut(), value);
            }

            /// Sets an echo's identifier and sequence number.
            #[inline(always)]
            pub fn set_echo(&mut self, identifier: u16, sequence: u16) {
                $crate::wire::bytes::set_u16::<4, _>(self.bytes_mut(), identifier);
                $crate::wire::bytes::set_u16::<6, _>(self.bytes_mut(), sequence);
            }

            /// Applies a change of covered words to the checksum.
            #[inline(always)]
            pub fn update_checksum(&mut self, delta: $crate::wire::checksum::Delta) {
                let checksum = delta.apply(self.checksum());
                self.set_checksum(checksum);
            }
        }
    };
}
pub(super) use message_fields;

/// Copies as much of `packet`, from its IP header on, as an error message may quote: up to `most`
/// bytes, into `out` from `at` on. Returns where the quote ends; `None` if there is no room for its
/// header of `header_len` bytes and eight more.
#[inline]
pub(super) fn quote(
    packet: &[u8],
    header_len: usize,
    most: usize,
    out: &mut [u8],
    at: usize,
) -> Option<usize> {
    let room = out.len().checked_sub(at)?;
    let quote = packet.get(..room.min(most)).unwrap_or(packet);
    if quote.len() < packet.len().min(header_len + 8) {
        return None;
    }
    let end = at + quote.len();
    out.get_mut(at..end)?.copy_from_slice(quote);
    Some(end)
}

/// Defines the ports that TCP and UDP begin with, for a view of `$len` bytes that has a checksum
/// over them.
macro_rules! ports {
    ($name:ident, $len:expr) => {
        impl<B: ::std::borrow::Borrow<[u8; $len]>> $name<B> {
            /// The source port.
            #[inline(always)]
            pub fn source_port(&self) -> u16 {
                $crate::wire::bytes::u16_at::<0, _>(self.as_bytes())
            }

            /// The destination port.
            #[inline(always)]
            pub fn destination_port(&self) -> u16 {
                $crate::wire::bytes::u16_at::<2, _>(self.as_bytes())
            }
        }

        impl<B: ::std::borrow::BorrowMut<[u8; $len]>> $name<B> {
            /// Sets the source port.
            #[inline(always)]
            pub fn set_source_port(&mut self, port: u16) {
                $crate::wire::bytes::set_u16::<0, _>(self.bytes_mut(), port);
            }

            /// Sets the destination port.
            #[inline(always)]
            pub fn set_destination_port(&mut self, port: u16) {
                $crate::wire::bytes::set_u16::<2, _>(self.bytes_mut(), port);
            }

            /// Sets the source port and keeps the checksum right.
            #[inline]
            pub fn rewrite_source_port(&mut self, port: u16) {
                let delta = $crate::wire::checksum::Delta::new().word(self.source_port(), port);
                self.set_source_port(port);
                self.update_checksum(delta);
            }

            /// Sets the destination port and keeps the checksum right.
            #[inline]
            pub fn rewrite_destination_port(&mut self, port: u16) {
                let delta =
                    $crate::wire::checksum::Delta::new().word(self.destination_port(), port);
                self.set_destination_port(port);
                self.update_checksum(delta);
            }
        }
    };
}
pub(super) use ports;
