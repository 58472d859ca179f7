//! A server of NetClone, without its socket and its workers: which requests are taken, which are dropped
//! without a word, and what an answer echoes and reports.
//!
//! The caller holds the waiting line ([`Fcfs`] does for most) and says how long it is; so one thread may
//! hold thousands of servers, and workers may be threads. [`Server`] belongs to who receives;
//! [`Answering`] is small and copied to each worker.
//!
//! A clone (CLO 2) that finds others waiting is dropped: its original is served elsewhere, and the
//! appliance's belief that this server is idle was wrong. Nothing else is ever dropped.

mod fcfs;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use thiserror::Error;

pub use fcfs::{Fcfs, load};

use crate::message::{DEFAULT_PACKET_PAYLOAD, Outgoing, TooLong};
use crate::reassembly::{Added, Limits, Reassembler};
use crate::wire::{Flags, HEADER_LEN, Header, Kind, NO_SERVER, View, WireError};

/// Settings of a [`Server`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// SID, below 0xFFFF, as the appliance knows this server.
    pub sid: u16,
    /// Whether clones that find others waiting are dropped. Off only to measure what that is worth.
    pub drop_clones: bool,
    /// Payload bytes in a packet of an answer, at least 1.
    pub packet_payload: usize,
    /// Packet i of an answer names filter table i, for appliances that filter packet by packet. They do
    /// so only with `deterministic`.
    pub ordered: bool,
    /// Every replica's answers have the same bytes (flag DET): packets of two servers may be mixed.
    pub deterministic: bool,
    /// Requests of several packets that are put together at a time.
    pub reassembly: Limits,
}

impl Config {
    /// The settings of a server with that SID.
    pub fn new(sid: u16) -> Config {
        Config {
            sid,
            drop_clones: true,
            packet_payload: DEFAULT_PACKET_PAYLOAD,
            ordered: false,
            deterministic: false,
            reassembly: Limits::default(),
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConfigError(pub &'static str);

/// A request, without its payload: all that its answer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Where the answer goes.
    pub from: SocketAddr,
    /// The header, of the first packet when there are several.
    pub header: Header,
}

impl Request {
    /// Whether it is a write.
    pub fn is_write(&self) -> bool {
        self.header.kind == Kind::WriteRequest
    }
}

/// What a datagram was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// A request, complete, to be put into the waiting line.
    Request {
        /// What its answer needs.
        request: Request,
        /// Its payload.
        payload: &'a [u8],
    },
    /// A packet of a longer request; others are missing.
    Part,
    /// A clone that found others waiting. Nobody is told.
    CloneDropped,
    /// The appliance asks whether the server is there: these bytes go back to who sent it.
    Ping([u8; HEADER_LEN]),
    /// Not a message for a server.
    Malformed(Malformed),
}

/// Why a datagram is no message for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The header is wrong.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Servers do not receive this kind.
    #[error("servers do not receive {0:?}")]
    NotForServers(Kind),
    /// A cloned request without REQ_ID: its answers could not be told from others'.
    #[error("a cloned request without REQ_ID")]
    NoId,
    /// A message of several packets, without an id of the client: its packets have nothing in common.
    #[error("several packets without the flag CID")]
    SeveralWithoutClientId,
    /// PKT_CNT differs from that of the message's other packets.
    #[error("PKT_CNT changes within a message")]
    CountChanged,
    /// A longer request than allowed.
    #[error("the request is too long")]
    TooLong,
}

/// What a server has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Reads taken, clones included.
    pub reads: u64,
    /// Of these: clones.
    pub clones: u64,
    /// Writes taken.
    pub writes: u64,
    /// Clones dropped because others were waiting.
    pub clones_dropped: u64,
    /// Pings answered.
    pub pings: u64,
    /// Packets that came a second time.
    pub repeated: u64,
    /// Requests of which not all packets came in time.
    pub incomplete: u64,
    /// Datagrams that were no messages for a server.
    pub malformed: u64,
}

/// The receiving side of a server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    draining: bool,
    requests: Reassembler<RequestKey>,
    counters: Counters,
}

/// Packets of one request: from one client, of one attempt. The two copies of a request differ by CLO;
/// an attempt's packets have the same group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RequestKey {
    from: SocketAddr,
    client: (u32, u32),
    attempt: (u64, u32, u8),
    clo: u8,
}

impl Server {
    /// A server that nobody has asked yet.
    pub fn new(config: Config) -> Result<Server, ConfigError> {
        if config.sid == NO_SERVER {
            return Err(ConfigError("sid must be below 65535"));
        }
        if config.packet_payload == 0 {
            return Err(ConfigError("packet_payload must be at least 1"));
        }
        Ok(Server {
            config,
            draining: false,
            requests: Reassembler::new(config.reassembly),
            counters: Counters::default(),
        })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What workers need to answer.
    pub fn answering(&self) -> Answering {
        Answering {
            config: self.config,
        }
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        Counters {
            incomplete: self.requests.forgotten(),
            ..self.counters
        }
    }

    /// Whether the server wants no further requests. It says so in every PONG, and its callers should in
    /// every answer; what comes nevertheless is served.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether the server wants no further requests.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// LOAD with that many requests waiting.
    pub fn load(&self, waiting: usize) -> u16 {
        load(waiting, self.draining)
    }

    /// Takes a datagram at `now` (nanoseconds of a clock that never goes back), while `waiting` requests
    /// are in the line.
    pub fn receive<'a>(
        &'a mut self,
        now: u64,
        from: SocketAddr,
        datagram: &'a [u8],
        waiting: usize,
    ) -> Received<'a> {
        let view = match View::new(datagram) {
            Ok(view) => view,
            Err(error) => return self.malformed(error.into()),
        };
        let header = view.header();
        match header.kind {
            Kind::Request | Kind::WriteRequest => {}
            Kind::Ping => {
                self.counters.pings += 1;
                let pong = Header {
                    kind: Kind::Pong,
                    sid: self.config.sid,
                    load: self.load(waiting),
                    ..header
                };
                return Received::Ping(pong.encode());
            }
            kind => return self.malformed(Malformed::NotForServers(kind)),
        }
        if header.clo > 0 && header.req_id == 0 {
            return self.malformed(Malformed::NoId);
        }
        let payload = datagram.get(view.header_len()..).unwrap_or_default();
        if header.pkt_cnt > 1 {
            if !header.flags.has(Flags::CID) {
                return self.malformed(Malformed::SeveralWithoutClientId);
            }
            let key = RequestKey {
                from,
                client: (header.client_id, header.client_seq),
                attempt: (header.req_id, header.grp, header.flags.0),
                clo: header.clo,
            };
            let (idx, cnt) = (header.pkt_idx, header.pkt_cnt);
            match self.requests.add(now, key, idx, cnt, payload) {
                Added::Complete(_) => {}
                Added::Waiting => return Received::Part,
                Added::Repeated => {
                    self.counters.repeated += 1;
                    return Received::Part;
                }
                Added::CountChanged => return self.malformed(Malformed::CountChanged),
                Added::TooLong => return self.malformed(Malformed::TooLong),
            }
        }
        if header.clo == 2 && waiting > 0 && self.config.drop_clones {
            self.counters.clones_dropped += 1;
            return Received::CloneDropped;
        }
        match header.kind {
            Kind::WriteRequest => self.counters.writes += 1,
            _ => self.counters.reads += 1,
        }
        self.counters.clones += u64::from(header.clo == 2);
        let (pkt_idx, payload) = match header.pkt_cnt {
            0 | 1 => (header.pkt_idx, payload),
            _ => (0, self.requests.last()),
        };
        let header = Header { pkt_idx, ..header };
        Received::Request {
            request: Request { from, header },
            payload,
        }
    }

    fn malformed(&mut self, why: Malformed) -> Received<'static> {
        self.counters.malformed += 1;
        Received::Malformed(why)
    }
}

/// The answering side of a server: the echo rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answering {
    config: Config,
}

impl Answering {
    /// The answer to a request, with `len` bytes of payload, when the server's LOAD is `load`
    /// ([`load`](fn@load), before the worker takes its next request).
    ///
    /// Echoed: REQ_ID, GRP, CLO, IDX, SWID, CFG_GEN, FLAGS, CLIENT_ID and CLIENT_SEQ. The server's own: SID
    /// (which names another server in a request) and LOAD. An error when it needs more than 255 packets.
    pub fn answer(&self, request: &Request, load: u16, len: usize) -> Result<Outgoing, TooLong> {
        let asked = &request.header;
        let header = Header {
            kind: if request.is_write() {
                Kind::WriteResponse
            } else {
                Kind::Response
            },
            flags: if self.config.deterministic {
                asked.flags.with(Flags::DET)
            } else {
                asked.flags
            },
            sid: self.config.sid,
            load,
            ..*asked
        };
        let several = len > self.config.packet_payload;
        let ordered = self.config.ordered && self.config.deterministic && several;
        Outgoing::new(header, len, self.config.packet_payload, ordered)
    }
}
