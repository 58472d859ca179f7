//! What a client learns from a datagram, and what the passing of time makes due.

use thiserror::Error;

use crate::message::{Outgoing, TooLong};
use crate::wire::{Kind, WireError};

/// A request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// A write: never cloned, never sent again unless `idempotent`.
    pub write: bool,
    /// Running it twice does no harm, though it is a write.
    pub idempotent: bool,
    /// Forbids cloning of this one.
    pub no_clone: bool,
    /// Bytes of the payload.
    pub len: usize,
    /// The caller's own mark; events about the request carry it.
    pub token: u64,
}

impl Request {
    /// A read with `len` bytes of payload.
    pub fn read(len: usize, token: u64) -> Request {
        Request {
            len,
            token,
            ..Request::default()
        }
    }

    /// A write with `len` bytes of payload.
    pub fn write(len: usize, token: u64) -> Request {
        Request {
            write: true,
            ..Request::read(len, token)
        }
    }
}

/// Why a request was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BeginError {
    /// As many requests are in flight as the window has room for.
    #[error("the window is full: too many requests are in flight")]
    WindowFull,
    /// It needs more than 255 packets.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// The first answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// CLIENT_SEQ of the request.
    pub seq: u32,
    /// The request's mark.
    pub token: u64,
    /// SID of the server that answered.
    pub sid: u16,
    /// LOAD that it reported.
    pub load: u16,
    /// CLO: 0 when the request was not cloned, else which of the two this is.
    pub clo: u8,
    /// Nanoseconds since the request was first sent.
    pub took: u64,
    /// How often it was sent: 1 without retransmission.
    pub attempts: u32,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The first answer to a request.
    Response(Response<'a>),
    /// A packet of a longer answer; others are missing.
    Part {
        /// CLIENT_SEQ of the request.
        seq: u32,
    },
    /// An answer to what has been answered.
    Redundant {
        /// CLIENT_SEQ of the request.
        seq: u32,
        /// The server.
        sid: u16,
    },
    /// An answer to what has been given up.
    Late {
        /// CLIENT_SEQ of the request.
        seq: u32,
        /// The server.
        sid: u16,
    },
    /// An answer to another client, or to a request older than the window.
    Unknown {
        /// CLIENT_SEQ in the message.
        seq: u32,
    },
    /// The appliance has told how many groups and tables it has; later requests obey.
    Configured,
    /// The appliance has refused a request.
    Refused {
        /// CLIENT_SEQ of the request.
        seq: u32,
        /// The request's mark.
        token: u64,
        /// One of [`nack`](crate::wire::v1::nack).
        reason: u16,
        /// What becomes of it.
        then: Then,
    },
    /// Not a message for a client.
    Malformed(Malformed),
}

/// What becomes of a request that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is sent again at once, with another group: [`poll`](super::Client::poll) says so.
    AtOnce,
    /// It waits for its timeout, as if the refusal had not come.
    Waits,
    /// It has been given up: no attempt would fare better.
    GivenUp,
}

/// Why a datagram is no message for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The header is wrong.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Clients do not receive this kind.
    #[error("clients do not receive {0:?}")]
    NotForClients(Kind),
    /// The answer to a read came to a write, or the other way round.
    #[error("the answer's kind is not the request's")]
    WrongKind,
    /// No group, no table, or too many tables.
    #[error("{groups} groups and {tables} tables cannot be")]
    BadConfig {
        /// GRP.
        groups: u32,
        /// IDX.
        tables: u8,
    },
    /// PKT_CNT differs from that of the message's other packets.
    #[error("PKT_CNT changes within a message")]
    CountChanged,
    /// A longer answer than allowed.
    #[error("the answer is too long")]
    TooLong,
}

/// What has to be done because time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send the request again: a new header, the same payload.
    Resend {
        /// CLIENT_SEQ.
        seq: u32,
        /// The request's mark.
        token: u64,
        /// The message.
        message: Outgoing,
    },
    /// The request has been given up.
    GivenUp {
        /// CLIENT_SEQ.
        seq: u32,
        /// The request's mark.
        token: u64,
        /// How often it was sent.
        attempts: u32,
    },
}

/// What a client has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Requests begun, without retransmissions.
    pub requests: u64,
    /// Retransmissions.
    pub retransmissions: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests given up.
    pub given_up: u64,
    /// Packets of answers to what had been answered.
    pub redundant: u64,
    /// Packets of answers to what had been given up.
    pub late: u64,
    /// Answers to others, or to requests older than the window.
    pub unknown: u64,
    /// Requests refused by the appliance.
    pub refused: u64,
    /// Configurations of the appliance that were taken over.
    pub configured: u64,
    /// Datagrams that were no messages for a client.
    pub malformed: u64,
}
