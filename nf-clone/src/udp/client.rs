//! A client on a UDP socket: one call after the other, or many in flight.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use thiserror::Error;

use super::{Clock, LARGEST, is_nothing};
use crate::client::{BeginError, Config, Counters, Due, Event, Request, Then};
use crate::message::Outgoing;
use crate::random::Random;
use crate::wire::v1::nack;

/// Whose answers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sources {
    /// Those from the service's address. An appliance in `gateway` mode sends all answers from there.
    #[default]
    Service,
    /// Those from anywhere: behind an appliance in `inline` mode servers answer from their own addresses.
    Any,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A write: never cloned, never sent again unless `idempotent`. The appliance takes none for the
    /// service's address: a write goes to a server, by a client made for that server's address.
    pub write: bool,
    /// Running it twice does no harm, though it is a write.
    pub idempotent: bool,
    /// Forbids cloning of this one.
    pub no_clone: bool,
    /// The caller's own mark; the completion carries it.
    pub token: u64,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The payload.
    pub payload: Vec<u8>,
    /// SID of the server; 65535 when none is named.
    pub sid: u16,
    /// Its LOAD: waiting requests.
    pub load: u16,
    /// 0 when the request was not cloned, 1 when the original's answer was first, 2 when the clone's.
    pub clo: u8,
    /// Time since the request was first sent.
    pub took: Duration,
    /// How often it was sent.
    pub attempts: u32,
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// No answer came, to any attempt.
    #[error("no answer to {attempts} attempts")]
    NoAnswer {
        /// How often it was sent.
        attempts: u32,
    },
    /// The appliance says that no server is live.
    #[error("no server is live; {attempts} attempts")]
    NoServer {
        /// How often it was sent.
        attempts: u32,
    },
    /// The appliance takes no writes for the service: a write goes to the server that replication wants,
    /// by a client made for that server's address.
    #[error("writes go to a server's address, not to the service's")]
    WriteToService,
    /// It could not be begun.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A request that has come to its end.
#[derive(Debug)]
pub struct Completion {
    /// The number that [`Client::send`] gave.
    pub seq: u32,
    /// The caller's mark.
    pub token: u64,
    /// The answer, or [`CallError::NoAnswer`], [`NoServer`](CallError::NoServer) or
    /// [`WriteToService`](CallError::WriteToService).
    pub result: Result<Answer, CallError>,
}

/// A client of one service. It is for one thread; make one for each.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    service: SocketAddr,
    sources: Sources,
    core: crate::client::Client,
    clock: Clock,
    /// What has been sent and may have to be sent again; the core's tokens are places here.
    pending: Vec<Pending>,
    free: Vec<usize>,
    done: VecDeque<Completion>,
    buffer: Vec<u8>,
    packet: Vec<u8>,
    read_timeout: Duration,
}

#[derive(Debug, Default)]
struct Pending {
    payload: Vec<u8>,
    token: u64,
    no_server: bool,
}

impl Client {
    /// A client of the service at `service`: the appliance's address and port, or a server's.
    pub fn new(
        service: impl ToSocketAddrs,
        config: Config,
        sources: Sources,
    ) -> io::Result<Client> {
        let wrong = |error: &str| io::Error::new(io::ErrorKind::InvalidInput, error.to_owned());
        let core = crate::client::Client::new(config, Random::fresh_seed())
            .map_err(|error| wrong(&error.to_string()))?;
        let service = service.to_socket_addrs()?.next();
        let service = service.ok_or_else(|| wrong("the service has no address"))?;
        let any = match service {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any)?;
        if sources == Sources::Service {
            socket.connect(service)?;
        }
        Ok(Client {
            socket,
            service,
            sources,
            core,
            clock: Clock::new(),
            pending: Vec::new(),
            free: Vec::new(),
            done: VecDeque::new(),
            buffer: vec![0; LARGEST],
            packet: Vec::new(),
            read_timeout: Duration::ZERO,
        })
    }

    /// Sends a read and waits for its answer.
    pub fn call(&mut self, payload: &[u8]) -> Result<Answer, CallError> {
        self.call_with(payload, Options::default())
    }

    /// Sends a request and waits for its answer, at most until it is given up: the timeouts of all its
    /// attempts. Other requests in flight go on; their completions are kept for [`wait`](Self::wait).
    pub fn call_with(&mut self, payload: &[u8], options: Options) -> Result<Answer, CallError> {
        let seq = self.send(payload, options)?;
        loop {
            if let Some(at) = self.done.iter().position(|done| done.seq == seq)
                && let Some(completion) = self.done.remove(at)
            {
                return completion.result;
            }
            self.advance(u64::MAX)?;
        }
    }

    /// Sends a request without waiting, and gives its number. [`wait`](Self::wait) tells of its end, and
    /// sends it again when that is due: call it often enough.
    pub fn send(&mut self, payload: &[u8], options: Options) -> Result<u32, CallError> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.pending.push(Pending::default());
            self.pending.len() - 1
        });
        let request = Request {
            write: options.write,
            idempotent: options.idempotent,
            no_clone: options.no_clone,
            len: payload.len(),
            token: place as u64,
        };
        let (seq, message) = match self.core.begin(self.clock.now(), request) {
            Ok(begun) => begun,
            Err(error) => {
                self.free.push(place);
                return Err(error.into());
            }
        };
        if let Some(pending) = self.pending.get_mut(place) {
            pending.payload.clear();
            pending.payload.extend_from_slice(payload);
            pending.token = options.token;
            pending.no_server = false;
        }
        self.send_message(&message, place);
        Ok(seq)
    }

    /// Waits for the next request to come to its end, at most for `limit`. `None` when none has, and at
    /// once when none is in flight.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<Completion>> {
        let until = self.clock.after(limit);
        loop {
            if let Some(completion) = self.done.pop_front() {
                return Ok(Some(completion));
            }
            if self.core.in_flight() == 0 || !self.advance(until)? {
                return Ok(self.done.pop_front());
            }
        }
    }

    /// Requests sent whose completions have not been taken.
    pub fn in_flight(&self) -> usize {
        self.core.in_flight() + self.done.len()
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// The settings as they are now.
    pub fn config(&self) -> &Config {
        self.core.config()
    }

    /// Where its datagrams come from.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Does what is due, then waits for one datagram until `until` or until something is due. False once
    /// `until` has passed.
    fn advance(&mut self, until: u64) -> io::Result<bool> {
        let now = self.clock.now();
        while let Some(due) = self.core.poll(now) {
            match due {
                Due::Resend { token, message, .. } => self.send_message(&message, token as usize),
                Due::GivenUp {
                    seq,
                    token,
                    attempts,
                } => self.given_up(seq, token as usize, attempts),
            }
        }
        if !self.done.is_empty() {
            return Ok(true);
        }
        if now >= until {
            return Ok(false);
        }
        let next = self.core.next_time().unwrap_or(until).min(until);
        self.receive(next.saturating_sub(now))?;
        Ok(true)
    }

    fn receive(&mut self, limit: u64) -> io::Result<()> {
        // Whole milliseconds, so that the socket's setting rarely has to change.
        let limit = Duration::from_millis(limit.div_ceil(1_000_000).clamp(1, 60_000));
        if limit != self.read_timeout {
            self.socket.set_read_timeout(Some(limit))?;
            self.read_timeout = limit;
        }
        let len = match self.socket.recv(&mut self.buffer) {
            Ok(len) => len,
            // An ICMP message: nobody there, perhaps for a moment. The timeout decides.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if is_nothing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let datagram = self.buffer.get(..len).unwrap_or_default();
        match self.core.on_datagram(self.clock.now(), datagram) {
            Event::Response(response) => {
                let place = response.token as usize;
                let token = self.pending.get(place).map_or(0, |pending| pending.token);
                self.done.push_back(Completion {
                    seq: response.seq,
                    token,
                    result: Ok(Answer {
                        payload: response.payload.to_vec(),
                        sid: response.sid,
                        load: response.load,
                        clo: response.clo,
                        took: Duration::from_nanos(response.took),
                        attempts: response.attempts,
                    }),
                });
                self.free.push(place);
            }
            Event::Refused {
                seq,
                token,
                then: Then::GivenUp,
                ..
            } => self.ended(seq, token as usize, CallError::WriteToService),
            Event::Refused { token, reason, .. } => {
                if let Some(pending) = self.pending.get_mut(token as usize) {
                    pending.no_server = reason == nack::NO_SERVER;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn given_up(&mut self, seq: u32, place: usize, attempts: u32) {
        let no_server = self
            .pending
            .get(place)
            .is_some_and(|pending| pending.no_server);
        let error = if no_server {
            CallError::NoServer { attempts }
        } else {
            CallError::NoAnswer { attempts }
        };
        self.ended(seq, place, error);
    }

    fn ended(&mut self, seq: u32, place: usize, error: CallError) {
        let token = self.pending.get(place).map_or(0, |pending| pending.token);
        self.done.push_back(Completion {
            seq,
            token,
            result: Err(error),
        });
        self.free.push(place);
    }

    /// Sends all packets of a message. One that the kernel does not take is lost, as if on the way.
    fn send_message(&mut self, message: &Outgoing, place: usize) {
        let Some(pending) = self.pending.get(place) else {
            return;
        };
        for number in 0..message.packets() {
            message.encode(number, &pending.payload, &mut self.packet);
            let sent = self.send_packet();
            // A connected socket tells so of what became of an earlier packet, and sends nothing.
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                let _ = self.send_packet();
            }
        }
    }

    fn send_packet(&self) -> io::Result<usize> {
        match self.sources {
            Sources::Service => self.socket.send(&self.packet),
            Sources::Any => self.socket.send_to(&self.packet, self.service),
        }
    }
}
