//! Packets from a template: header bytes made once, varying fields patched in.
//!
//! A [`Template`] holds a byte image of the headers and the signature, and for every flow the few
//! 16-bit words in which its headers differ, together with the checksum contributions of that flow.
//! Writing a packet is then a short copy, a few stores, and the sum of precomputed numbers with the
//! ones that change per packet (length, sequence number, time stamp): nothing is ever summed over a
//! payload while sending. One's-complement sums do not depend on byte order (RFC 1071), so they are
//! kept in the machine's own.

mod headers;
mod sequence;
mod sizes;

pub use headers::MacDefaults;
pub use sequence::Sequence;
pub use sizes::{Dealer, FCS_BYTES, IMIX, L1_OVERHEAD_BYTES, SizeOrder, Sizes};

use headers::{Headers, Transport, Version};

use crate::profile::packet::{Packet, Payload};
use crate::signature::{MAGIC, SIGNATURE_BYTES};

/// The most flows that one stream can have.
pub const MAX_FLOWS: u64 = 1 << 20;

/// Longest header image, signature included: VLAN tags are the only part without a bound of its own.
const MAX_HEAD: usize = 256;

/// How the values of several varying fields make flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Every combination of values, the first field (from the outside in) changing fastest.
    #[default]
    Product,
    /// All fields advance together, each around its own values.
    Lockstep,
}

/// Why a template cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// Two things that exclude each other.
    Conflict(&'static str),
    /// A value outside its range: field, what is allowed.
    Range(&'static str, &'static str),
    /// A frame size that the headers do not fit into.
    Size {
        /// The size asked for.
        size: u16,
        /// The smallest possible.
        least: usize,
    },
    /// More flows than the fields can tell apart, or than are supported.
    Flows {
        /// Flows asked for, or resulting from the ranges.
        asked: u64,
        /// Flows that the ranges give.
        distinct: u64,
    },
    /// A payload pattern that is not hexadecimal.
    Pattern,
    /// A prefix that is not hexadecimal, or an odd number of bytes.
    Prefix,
    /// More header bytes than supported.
    Headers(usize),
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TemplateError::Conflict(what) => write!(f, "{what} exclude each other"),
            TemplateError::Range(what, allowed) => write!(f, "{what} must be {allowed}"),
            TemplateError::Size { size, least } => {
                write!(
                    f,
                    "a frame of {size} bytes is too short for its headers; at least {least}"
                )
            }
            TemplateError::Flows { asked, distinct } if *asked > MAX_FLOWS => write!(
                f,
                "{asked} flows; at most {MAX_FLOWS} are supported, `flows` can limit the \
                 {distinct} that the ranges give"
            ),
            TemplateError::Flows { asked, distinct } => {
                write!(
                    f,
                    "{asked} flows asked for, but the ranges give only {distinct}"
                )
            }
            TemplateError::Pattern => {
                write!(
                    f,
                    "the payload pattern must be an even number of hexadecimal digits"
                )
            }
            TemplateError::Prefix => {
                write!(
                    f,
                    "the prefix must be an even number of bytes in hexadecimal digits"
                )
            }
            TemplateError::Headers(bytes) => {
                write!(
                    f,
                    "{bytes} bytes of headers; at most {} are supported",
                    MAX_HEAD
                )
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// One frame size, with everything about it that a packet needs.
#[derive(Debug, Clone)]
pub struct SizeInfo {
    /// Bytes handed to the port: the frame size without its check sequence.
    pub length: usize,
    /// Whether the frame has room for a signature.
    pub tracked: bool,
    /// Headers with this size's lengths, signature with zeros where it varies, and filler, up to a
    /// multiple of [`BLOCK`].
    image: Vec<u8>,
    /// Checksum contribution of the IP header's length.
    ip_sum: u32,
    /// Checksum contribution of length, magic and filler to the transport checksum.
    l4_sum: u32,
}

/// A frame's head is copied in blocks of this many bytes: a cache line.
const BLOCK: usize = 64;

impl SizeInfo {
    /// Bytes that [`Template::write`] needs at the start of a frame, which may be more than its
    /// length.
    #[inline(always)]
    pub fn room(&self) -> usize {
        self.image.len()
    }
}

/// A compiled packet description. See the module's description.
#[derive(Debug, Clone)]
pub struct Template {
    headers: Headers,
    payload: Payload,
    pattern: Vec<u8>,
    /// Behind the headers and the prefix: where the signature goes.
    payload_offset: usize,
    /// Offset of the IPv4 checksum, if flows differ in it.
    ip_check: Option<usize>,
    l4_check: Option<usize>,
    /// Offsets of the 16-bit words that differ between flows.
    words: Vec<usize>,
    /// For every flow: IP sum, transport sum, then the words.
    rows: Vec<u16>,
    flows: u32,
    sizes: Vec<SizeInfo>,
}

impl Template {
    /// Compiles `packet` for the given frame sizes. `flows` limits the number of flows that the
    /// ranges give; `seed` fixes the order of shuffled ranges.
    pub fn compile(
        packet: &Packet,
        sizes: &[u16],
        flows: Option<u64>,
        combine: Combine,
        macs: &MacDefaults,
        seed: u64,
    ) -> Result<Template, TemplateError> {
        let mut headers = headers::build(packet, macs)?;
        let prefix = packet.prefix_bytes().ok_or(TemplateError::Prefix)?;
        headers.image.extend_from_slice(&prefix);
        let payload_offset = headers.image.len();
        if payload_offset + SIGNATURE_BYTES > MAX_HEAD {
            return Err(TemplateError::Headers(payload_offset));
        }
        let pattern = packet.payload.pattern().ok_or(TemplateError::Pattern)?;
        let l4_check = match headers.transport {
            Transport::Udp { checksum: true } => Some(headers.l4 + 6),
            Transport::Tcp => Some(headers.l4 + 16),
            Transport::Icmp | Transport::Icmpv6 => Some(headers.l4 + 2),
            Transport::Udp { checksum: false } | Transport::None => None,
        };
        let mut template = Template {
            payload: packet.payload.clone(),
            pattern,
            payload_offset,
            ip_check: None,
            l4_check,
            words: Vec::new(),
            rows: Vec::new(),
            flows: 1,
            sizes: Vec::new(),
            headers,
        };
        template.compile_flows(flows, combine, seed)?;
        for &size in sizes {
            let info = template.size_info(size)?;
            template.sizes.push(info);
        }
        Ok(template)
    }

    /// The most flows that the ranges can tell apart.
    fn distinct(&self, combine: Combine) -> u64 {
        let lengths = self.headers.places.iter().map(|place| place.values.len());
        match combine {
            Combine::Product => lengths.fold(1, u64::saturating_mul),
            Combine::Lockstep => lengths.fold(1, lcm),
        }
    }

    fn compile_flows(
        &mut self,
        flows: Option<u64>,
        combine: Combine,
        seed: u64,
    ) -> Result<(), TemplateError> {
        let distinct = self.distinct(combine);
        let asked = flows.unwrap_or(distinct);
        if asked == 0 || asked > distinct || asked > MAX_FLOWS {
            return Err(TemplateError::Flows { asked, distinct });
        }
        self.flows = asked as u32;

        // Words in which any two flows differ; a /16 behind a fixed prefix costs one, not two.
        let mut scratch = self.headers.image.clone();
        let first = scratch.clone();
        let mut varies = vec![false; scratch.len() / 2 + 1];
        for flow in 0..asked {
            self.set_flow(&mut scratch, flow, combine, seed);
            if flow == 0 {
                self.headers.image.copy_from_slice(&scratch);
            }
            for place in &self.headers.places {
                for word in place.offset / 2..(place.offset + place.bytes).div_ceil(2) {
                    varies[word] |= scratch[word * 2..][..2] != first[word * 2..][..2];
                }
            }
        }
        self.words = (0..varies.len())
            .filter(|&w| varies[w])
            .map(|w| w * 2)
            .collect();
        let ip_header = self.headers.l3..self.headers.l3 + 20;
        if self.headers.version == Version::V4 && self.words.iter().any(|w| ip_header.contains(w)) {
            self.ip_check = Some(self.headers.l3 + 10);
        }
        let width = self.words.len() + 2;
        self.rows = Vec::with_capacity(width * asked as usize);
        for flow in 0..asked {
            self.set_flow(&mut scratch, flow, combine, seed);
            self.rows.push(self.header_sum(&scratch));
            self.rows.push(self.transport_sum(&scratch));
            for &offset in &self.words {
                self.rows
                    .push(u16::from_ne_bytes([scratch[offset], scratch[offset + 1]]));
            }
        }
        Ok(())
    }

    /// Writes the header fields of `flow` into `image`.
    fn set_flow(&self, image: &mut [u8], flow: u64, combine: Combine, seed: u64) {
        let mut rest = flow;
        for (i, place) in self.headers.places.iter().enumerate() {
            let digit = match combine {
                Combine::Product => {
                    let digit = rest % place.values.len();
                    rest /= place.values.len();
                    digit
                }
                Combine::Lockstep => flow % place.values.len(),
            };
            // Fields of the same range must not shuffle in step.
            place.write(
                image,
                place.values.value(digit, seed ^ (i as u64 + 1) << 56),
            );
        }
    }

    /// Sum over the IPv4 header without its length, in which the checksum still is zero.
    fn header_sum(&self, image: &[u8]) -> u16 {
        match self.headers.version {
            Version::V4 => fold(sum(&image[self.headers.l3..self.headers.l3 + 20])),
            _ => 0,
        }
    }

    /// Sum over pseudo header and transport header without lengths and checksum.
    fn transport_sum(&self, image: &[u8]) -> u16 {
        let mut total = sum(&image[self.headers.l4..]);
        if !matches!(self.headers.transport, Transport::Icmp) {
            let addresses = match self.headers.version {
                Version::V4 => &image[self.headers.l3 + 12..self.headers.l3 + 20],
                Version::V6 => &image[self.headers.l3 + 8..self.headers.l3 + 40],
                Version::None => &[],
            };
            total += sum(addresses) + sum(&[0, self.headers.protocol]);
        }
        fold(total)
    }

    fn size_info(&self, size: u16) -> Result<SizeInfo, TemplateError> {
        let headers = self.payload_offset;
        let fcs = FCS_BYTES as usize;
        let length = usize::from(size).saturating_sub(fcs);
        if length < headers {
            return Err(TemplateError::Size {
                size,
                least: headers + fcs,
            });
        }
        let tracked = length >= headers + SIGNATURE_BYTES;
        let ip_length = match self.headers.version {
            Version::V6 => length - self.headers.l3 - 40,
            _ => length - self.headers.l3,
        } as u16;
        let l4_length = (length - self.headers.l4) as u16;
        let length_sum = match self.headers.transport {
            // Once in the pseudo header, once in the header.
            Transport::Udp { .. } => 2 * u32::from(l4_length.to_be()),
            Transport::Tcp | Transport::Icmpv6 => u32::from(l4_length.to_be()),
            Transport::Icmp | Transport::None => 0,
        };
        let filler_from = if tracked {
            headers + SIGNATURE_BYTES
        } else {
            headers
        };
        let filler: Vec<u8> = (filler_from..length).map(|i| self.filler(i)).collect();
        let mut payload_sum = u64::from(fold(sum(&filler)));
        if tracked {
            payload_sum += u64::from(MAGIC.to_be());
        }
        let l3 = self.headers.l3;
        let head = if tracked {
            headers + SIGNATURE_BYTES
        } else {
            headers
        };
        let filler = (headers..head.next_multiple_of(BLOCK)).map(|i| self.filler(i));
        let mut image: Vec<u8> = self.headers.image.iter().copied().chain(filler).collect();
        if tracked {
            image[headers..head].fill(0);
            image[headers..headers + 2].copy_from_slice(&MAGIC.to_be_bytes());
        }
        match self.headers.version {
            Version::V4 => {
                put16(&mut image, l3 + 2, ip_length.to_be());
                let check = !fold(sum(&image[l3..l3 + 20]));
                put16(&mut image, l3 + 10, check);
            }
            Version::V6 => put16(&mut image, l3 + 4, ip_length.to_be()),
            Version::None => {}
        }
        if matches!(self.headers.transport, Transport::Udp { .. }) {
            put16(&mut image, self.headers.l4 + 4, l4_length.to_be());
        }
        Ok(SizeInfo {
            length,
            tracked,
            image,
            ip_sum: u32::from(ip_length.to_be()),
            l4_sum: u32::from(fold(payload_sum + u64::from(length_sum))),
        })
    }

    /// The filler byte at `offset` of the frame.
    pub fn filler(&self, offset: usize) -> u8 {
        self.payload.byte(offset, &self.pattern)
    }

    /// What fills the payload.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Number of flows.
    pub fn flows(&self) -> u32 {
        self.flows
    }

    /// What is known of the size at `index` of those compiled.
    pub fn size(&self, index: usize) -> Option<&SizeInfo> {
        self.sizes.get(index)
    }

    /// All sizes compiled.
    pub fn sizes(&self) -> &[SizeInfo] {
        &self.sizes
    }

    /// Where the signature is: at the start of the transport payload, behind the prefix.
    pub fn payload_offset(&self) -> usize {
        self.payload_offset
    }

    /// Smallest frame size (with check sequence) that has room for a signature.
    pub fn least_tracked_size(&self) -> usize {
        self.payload_offset + SIGNATURE_BYTES + FCS_BYTES as usize
    }

    /// Writes the filler behind headers and signature into `frame`, which starts at the frame's
    /// first byte.
    pub fn write_filler(&self, frame: &mut [u8]) {
        for (offset, byte) in frame.iter_mut().enumerate().skip(self.payload_offset) {
            *byte = self.filler(offset);
        }
    }

    /// Writes headers, and the signature where it fits, to the start of `frame`, which is the size's
    /// [`room`](SizeInfo::room) long or longer and whose filler is already there. `tag` is the
    /// signature's run and flow word; it, `sequence` and `stamp` are ignored for untracked sizes. A
    /// shorter frame or an unknown flow writes nothing, and the answer is `false`.
    #[inline(always)]
    pub fn write(
        &self,
        frame: &mut [u8],
        size: &SizeInfo,
        flow: u32,
        tag: u32,
        sequence: u32,
        stamp: u64,
    ) -> bool {
        let width = self.words.len() + 2;
        let start = flow as usize * width;
        let (Some([ip_sum, l4_sum, words @ ..]), Some(frame)) = (
            self.rows.get(start..start + width),
            frame.get_mut(..size.room()),
        ) else {
            return false;
        };
        let (to, from) = (
            frame.as_chunks_mut::<BLOCK>().0,
            size.image.as_chunks::<BLOCK>().0,
        );
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
        for (&offset, &word) in self.words.iter().zip(words) {
            put16(frame, offset, word);
        }
        if let Some(offset) = self.ip_check {
            put16(
                frame,
                offset,
                !fold(u64::from(*ip_sum) + u64::from(size.ip_sum)),
            );
        }
        let mut total = u64::from(*l4_sum) + u64::from(size.l4_sum);
        if size.tracked {
            let (tag, sequence, stamp) = (tag.to_be(), sequence.to_be(), stamp.to_be());
            let field = frame.get_mut(self.payload_offset + 2..);
            if let Some(field) = field.and_then(|field| field.first_chunk_mut::<16>()) {
                field[..4].copy_from_slice(&tag.to_ne_bytes());
                field[4..8].copy_from_slice(&sequence.to_ne_bytes());
                field[8..].copy_from_slice(&stamp.to_ne_bytes());
            }
            total += u64::from(tag) + u64::from(sequence);
            total += (stamp & 0xffff_ffff) + (stamp >> 32);
        }
        if let Some(offset) = self.l4_check {
            let check = !fold(total);
            // UDP has no way to say 0 but 0xFFFF (RFC 768); to the others both mean the same, but
            // receivers differ, so they get what a full computation gives.
            let udp = matches!(self.headers.transport, Transport::Udp { .. });
            put16(
                frame,
                offset,
                if check == 0 && udp { 0xffff } else { check },
            );
        }
        true
    }
}

#[inline(always)]
fn put16(frame: &mut [u8], offset: usize, word: u16) {
    if let Some(field) = frame.get_mut(offset..offset + 2) {
        field.copy_from_slice(&word.to_ne_bytes());
    }
}

/// One's-complement sum of 16-bit words in the machine's order, an odd last byte padded with zero;
/// not folded.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(2);
    let odd = match words.remainder() {
        [byte] => u64::from(u16::from_ne_bytes([*byte, 0])),
        _ => 0,
    };
    odd + words
        .map(|w| u64::from(u16::from_ne_bytes([w[0], w[1]])))
        .sum::<u64>()
}

/// Folds a sum to 16 bits with end-around carry.
#[inline(always)]
fn fold(total: u64) -> u16 {
    let total = (total & 0xffff_ffff) + (total >> 32);
    let total = (total & 0xffff) + (total >> 16);
    let total = (total & 0xffff) + (total >> 16);
    ((total & 0xffff) + (total >> 16)) as u16
}

fn lcm(a: u64, b: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.max(1)
    };
    (a / gcd(a, b)).saturating_mul(b)
}

#[cfg(test)]
mod tests;
