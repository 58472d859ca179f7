//! What can be wrong with a packet's headers.

use std::fmt;

/// Why a packet could not be parsed to its end. Each has one word, which is the drop reason in
/// counters, traces and documents alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// The frame ends inside its link or network header, or before its IP length says.
    Truncated,
    /// The IP version is not the one that the Ethernet type announced.
    BadVersion,
    /// The IPv4 header length is below 20 bytes.
    BadHeaderLength,
    /// The IPv4 total length is below that of its header.
    BadTotalLength,
    /// More IPv6 extension headers than [`MAX_EXTENSIONS`](super::MAX_EXTENSIONS).
    TooManyExtensions,
    /// An IPv6 extension header is longer than the packet.
    BadExtension,
    /// IPv6 hop-by-hop options anywhere but directly after the fixed header (RFC 8200, section
    /// 4.1).
    MisplacedHopByHop,
    /// The packet ends inside its transport header.
    TransportTruncated,
    /// The UDP length is below 8 bytes or more than the IP packet holds.
    BadUdpLength,
    /// The TCP header length is below 20 bytes.
    BadTcpHeaderLength,
}

impl Malformed {
    /// All of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::BadVersion,
        Self::BadHeaderLength,
        Self::BadTotalLength,
        Self::TooManyExtensions,
        Self::BadExtension,
        Self::MisplacedHopByHop,
        Self::TransportTruncated,
        Self::BadUdpLength,
        Self::BadTcpHeaderLength,
    ];

    /// All their words, in the order of [`index`](Self::index): for a stage's table of reasons.
    pub const REASONS: [&'static str; Self::ALL.len()] = {
        let mut reasons = [""; Self::ALL.len()];
        let mut i = 0;
        while i < reasons.len() {
            reasons[i] = Self::ALL[i].as_str();
            i += 1;
        }
        reasons
    };

    /// The place in [`ALL`](Self::ALL) and [`REASONS`](Self::REASONS).
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word, in snake_case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadVersion => "bad_version",
            Self::BadHeaderLength => "bad_header_length",
            Self::BadTotalLength => "bad_total_length",
            Self::TooManyExtensions => "too_many_extensions",
            Self::BadExtension => "bad_extension",
            Self::MisplacedHopByHop => "misplaced_hop_by_hop",
            Self::TransportTruncated => "transport_truncated",
            Self::BadUdpLength => "bad_udp_length",
            Self::BadTcpHeaderLength => "bad_tcp_header_length",
        }
    }

    /// Whether only the transport header is wrong: a router forwards such a packet all the same.
    #[inline(always)]
    pub const fn is_transport(self) -> bool {
        matches!(
            self,
            Self::TransportTruncated | Self::BadUdpLength | Self::BadTcpHeaderLength
        )
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_agree() {
        for (i, problem) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(problem.index(), i);
            assert_eq!(Malformed::REASONS[i], problem.as_str());
            assert!(
                problem
                    .as_str()
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c == b'_')
            );
        }
        assert_eq!(size_of::<Option<Malformed>>(), 1);
    }
}
