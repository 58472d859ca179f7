//! A client of NetClone, without its socket: requests are numbered, given a random group and filter table,
//! matched with the first answer, sent again when none comes.
//!
//! The caller keeps a request's payload for as long as it may have to be sent again, sends what it is
//! handed, and calls [`Client::poll`] when [`Client::next_time`] has come. Time is nanoseconds of a clock
//! that never goes back. In the steady state nothing is allocated.
//!
//! The appliance lets through only the faster of two answers, but not always: two requests may meet in a
//! slot of its filter. So the client tells duplicates itself.

mod config;
mod event;
mod window;

#[cfg(test)]
mod appliance_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use config::{Config, ConfigError, MAX_TABLES, fresh_client_id};
pub use event::{BeginError, Counters, Due, Event, Malformed, Request, Response, Then};

use crate::message::Outgoing;
use crate::random::Random;
use crate::reassembly::{Added, Reassembler};
use crate::wire::v1::nack;
use crate::wire::{Flags, Header, Kind, View};
use window::{State, Window};

/// The client.
#[derive(Debug)]
pub struct Client {
    config: Config,
    /// CLIENT_ID before the sequence numbers began again.
    former_id: u32,
    random: Random,
    window: Window,
    /// Requests in flight, by place.
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// When which request is due, one queue for each number of attempts: within one all wait equally long,
    /// so each is in order. What has been answered meanwhile stays until it comes to the front.
    timers: Vec<VecDeque<(u64, u32)>>,
    /// Refused, when, and to be sent again at once.
    at_once: VecDeque<(u64, u32)>,
    answers: Reassembler<AnswerKey>,
    counters: Counters,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    seq: u32,
    request: Request,
    sent: u64,
    /// How often it was sent before the last time.
    level: u32,
    at_once: bool,
}

/// Packets of one answer: from one server, to one attempt; of deterministic answers (DET) all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AnswerKey {
    client_id: u32,
    seq: u32,
    /// SID, REQ_ID, GRP and FLAGS.
    from: Option<(u16, u64, u32, u8)>,
}

impl Client {
    /// A client whose random choices follow from `seed` ([`Random::fresh_seed`] where they need not be
    /// repeated).
    pub fn new(config: Config, seed: u64) -> Result<Client, ConfigError> {
        config.check()?;
        Ok(Client {
            former_id: config.client_id,
            random: Random::new(seed),
            window: Window::new(config.window_log2, config.first_seq),
            flights: Vec::new(),
            free: Vec::new(),
            timers: (0..=config.retries).map(|_| VecDeque::new()).collect(),
            at_once: VecDeque::new(),
            answers: Reassembler::new(config.reassembly),
            counters: Counters::default(),
            config,
        })
    }

    /// The settings as they are now: the appliance may have changed the numbers of groups and tables, and
    /// CLIENT_ID changes when all sequence numbers have been used.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// Begins a request. All packets of the message have to be sent to the service's address now.
    pub fn begin(&mut self, now: u64, request: Request) -> Result<(u32, Outgoing), BeginError> {
        let seq = self.window.peek().ok_or(BeginError::WindowFull)?;
        let message = self.message(seq, self.config.client_id, request, false)?;
        let flight = Flight {
            seq,
            request,
            sent: now,
            level: 0,
            at_once: false,
        };
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(free) = self.flights.get_mut(place as usize) {
                    *free = flight;
                }
                place
            }
            None => {
                self.flights.push(flight);
                self.flights.len() as u32 - 1
            }
        };
        if self.window.push(place) {
            // With the flag CID an id must never come again, and late answers must not be taken for new.
            self.former_id = self.config.client_id;
            self.config.client_id = (self.random.next_u64() as u32).max(1);
        }
        self.wait(now, seq, 0);
        self.counters.requests += 1;
        Ok((seq, message))
    }

    /// Takes a datagram that came from the service's address.
    pub fn on_datagram<'a>(&'a mut self, now: u64, datagram: &'a [u8]) -> Event<'a> {
        let view = match View::new(datagram) {
            Ok(view) => view,
            Err(error) => return self.malformed(error.into()),
        };
        match view.kind() {
            Kind::Response | Kind::WriteResponse => {
                let payload = datagram.get(view.header_len()..).unwrap_or_default();
                self.on_answer(now, &view.header(), payload)
            }
            Kind::Config | Kind::Nack => self.on_appliance(now, &view.header()),
            kind => self.malformed(Malformed::NotForClients(kind)),
        }
    }

    /// What is due at `now`, one after the other until `None`.
    pub fn poll(&mut self, now: u64) -> Option<Due> {
        while let Some((_, seq)) = self.at_once.pop_front() {
            if let Some((place, flight)) = self.flying(seq) {
                return Some(self.resend(now, place, flight));
            }
        }
        for level in 0..self.timers.len() {
            self.skip_answered(level);
            let Some(&(deadline, seq)) = self.timers.get(level).and_then(|timer| timer.front())
            else {
                continue;
            };
            if deadline > now {
                continue;
            }
            if let Some(timer) = self.timers.get_mut(level) {
                timer.pop_front();
            }
            let Some((place, flight)) = self.flying(seq) else {
                continue;
            };
            return Some(if self.may_resend(&flight) {
                self.resend(now, place, flight)
            } else {
                self.give_up(place, flight)
            });
        }
        self.answers.expire(now);
        None
    }

    /// When [`poll`](Self::poll) has to be called next; `None` while nothing is in flight.
    pub fn next_time(&self) -> Option<u64> {
        let fronts = self.timers.iter().filter_map(|timer| timer.front());
        let fronts = fronts.chain(self.at_once.front());
        fronts.map(|(time, _)| *time).min()
    }

    /// Gives a request up before its time. False when it is not in flight.
    pub fn cancel(&mut self, seq: u32) -> bool {
        let flying = self.flying(seq);
        if let Some((place, flight)) = flying {
            self.give_up(place, flight);
            self.skip_all_answered();
        }
        flying.is_some()
    }

    fn message(
        &mut self,
        seq: u32,
        client_id: u32,
        request: Request,
        again: bool,
    ) -> Result<Outgoing, BeginError> {
        let kind = if request.write {
            Kind::WriteRequest
        } else {
            Kind::Request
        };
        let mut header = Header {
            grp: self.random.below(self.config.groups),
            idx: self.random.below(self.config.tables.into()) as u8,
            cfg_gen: self.config.cfg_gen,
            client_id,
            client_seq: seq,
            ..Header::new(kind)
        };
        let len = request.len;
        let several = len > self.config.packet_payload;
        for (flag, is_set) in [
            (Flags::CID, self.config.client_ids || several),
            (Flags::NOCLONE, self.config.no_clone || request.no_clone),
            (Flags::RETX, again),
        ] {
            if is_set {
                header.flags = header.flags.with(flag);
            }
        }
        if header.flags.has(Flags::CID) {
            header.req_id = u64::from(client_id) << 32 | u64::from(seq);
        }
        let message = Outgoing::new(header, len, self.config.packet_payload, false)?;
        Ok(message)
    }

    fn on_answer<'a>(&'a mut self, now: u64, header: &Header, payload: &'a [u8]) -> Event<'a> {
        let (seq, sid) = (header.client_seq, header.sid);
        let place = match self.state(header.client_id, seq) {
            State::Outside => {
                self.counters.unknown += 1;
                return Event::Unknown { seq };
            }
            State::Answered => {
                self.counters.redundant += 1;
                return Event::Redundant { seq, sid };
            }
            State::GivenUp => {
                self.counters.late += 1;
                return Event::Late { seq, sid };
            }
            State::Flying(place) => place,
        };
        let Some(&flight) = self.flights.get(place as usize) else {
            return Event::Unknown { seq };
        };
        if flight.request.write != (header.kind == Kind::WriteResponse) {
            return self.malformed(Malformed::WrongKind);
        }
        if header.pkt_cnt > 1 {
            let from = (sid, header.req_id, header.grp, header.flags.0);
            let key = AnswerKey {
                client_id: header.client_id,
                seq,
                from: (!header.flags.has(Flags::DET)).then_some(from),
            };
            let (idx, cnt) = (header.pkt_idx, header.pkt_cnt);
            match self.answers.add(now, key, idx, cnt, payload) {
                Added::Complete(_) => {}
                Added::Waiting => return Event::Part { seq },
                Added::Repeated => {
                    self.counters.redundant += 1;
                    return Event::Redundant { seq, sid };
                }
                Added::CountChanged => return self.malformed(Malformed::CountChanged),
                Added::TooLong => return self.malformed(Malformed::TooLong),
            }
        }
        self.window.answered(seq);
        self.free.push(place);
        self.counters.answered += 1;
        self.skip_all_answered();
        Event::Response(Response {
            seq,
            token: flight.request.token,
            sid,
            load: header.load,
            clo: header.clo,
            took: now.saturating_sub(flight.sent),
            attempts: flight.level + 1,
            payload: if header.pkt_cnt > 1 {
                self.answers.last()
            } else {
                payload
            },
        })
    }

    fn on_appliance(&mut self, now: u64, header: &Header) -> Event<'static> {
        let (seq, groups, tables) = (header.client_seq, header.grp, header.idx);
        let place = match self.state(header.client_id, seq) {
            State::Flying(place) => Some(place),
            _ => None,
        };
        let is_nack = header.kind == Kind::Nack;
        let is_ours = [0, self.config.client_id, self.former_id].contains(&header.client_id);
        let is_known = if is_nack { place.is_some() } else { is_ours };
        if !is_known {
            self.counters.unknown += 1;
            return Event::Unknown { seq };
        }
        let is_possible = groups > 0 && (1..=MAX_TABLES).contains(&tables);
        // Without servers there are no groups to be told.
        let needs_none = is_nack && header.load == nack::NO_SERVER;
        if !(is_possible || needs_none) {
            return self.malformed(Malformed::BadConfig { groups, tables });
        }
        // An older configuration may arrive after a newer one; a refusal is right whatever it says.
        let age = header.cfg_gen.wrapping_sub(self.config.cfg_gen) as i16;
        if is_possible && (is_nack || self.config.cfg_gen == 0 || age >= 0) {
            self.config.groups = groups;
            self.config.tables = tables;
            self.config.cfg_gen = header.cfg_gen;
            self.counters.configured += 1;
        }
        match place {
            Some(place) if is_nack => self.on_refusal(now, seq, place, header.load),
            _ => Event::Configured,
        }
    }

    fn on_refusal(&mut self, now: u64, seq: u32, place: u32, reason: u16) -> Event<'static> {
        let Some(flight) = self.flights.get_mut(place as usize) else {
            return Event::Unknown { seq };
        };
        self.counters.refused += 1;
        // Another group or table helps where these were wrong; where no server is live, only time does.
        let then = match reason {
            nack::BAD_GROUP | nack::BAD_TABLE if flight.level < self.config.retries => Then::AtOnce,
            nack::WRITE_TO_VIP => Then::GivenUp,
            _ => Then::Waits,
        };
        if then == Then::AtOnce && !flight.at_once {
            flight.at_once = true;
            self.at_once.push_back((now, seq));
        }
        let flight = *flight;
        if then == Then::GivenUp {
            self.give_up(place, flight);
            self.skip_all_answered();
        }
        Event::Refused {
            seq,
            token: flight.request.token,
            reason,
            then,
        }
    }

    fn may_resend(&self, flight: &Flight) -> bool {
        flight.level < self.config.retries && (!flight.request.write || flight.request.idempotent)
    }

    fn resend(&mut self, now: u64, place: u32, flight: Flight) -> Due {
        let (seq, token) = (flight.seq, flight.request.token);
        let Ok(message) = self.message(seq, self.id_of(seq), flight.request, true) else {
            return self.give_up(place, flight);
        };
        let level = flight.level + 1;
        if let Some(flight) = self.flights.get_mut(place as usize) {
            flight.level = level;
            flight.at_once = false;
        }
        self.wait(now, seq, level);
        self.counters.retransmissions += 1;
        Due::Resend {
            seq,
            token,
            message,
        }
    }

    fn give_up(&mut self, place: u32, flight: Flight) -> Due {
        self.window.given_up(flight.seq);
        self.free.push(place);
        self.counters.given_up += 1;
        Due::GivenUp {
            seq: flight.seq,
            token: flight.request.token,
            attempts: flight.level + 1,
        }
    }

    /// Has the request wait for its answer.
    fn wait(&mut self, now: u64, seq: u32, level: u32) {
        let factor = u64::from(self.config.backoff).saturating_pow(level);
        let timeout = self.config.timeout.as_nanos().min(u64::MAX.into()) as u64;
        let deadline = now.saturating_add(timeout.saturating_mul(factor));
        if let Some(timer) = self.timers.get_mut(level as usize) {
            timer.push_back((deadline, seq));
        }
    }

    fn skip_all_answered(&mut self) {
        for level in 0..self.timers.len() {
            self.skip_answered(level);
        }
    }

    /// Takes from the front of a queue what waits no longer.
    fn skip_answered(&mut self, level: usize) {
        let Some(timer) = self.timers.get_mut(level) else {
            return;
        };
        while let Some(&(_, seq)) = timer.front() {
            let place = match self.window.state(seq) {
                State::Flying(place) => place,
                _ => u32::MAX,
            };
            let flight = self.flights.get(place as usize);
            if flight.is_some_and(|flight| flight.level as usize == level) {
                return;
            }
            timer.pop_front();
        }
    }

    fn id_of(&self, seq: u32) -> u32 {
        if self.window.is_before_wrap(seq) {
            self.former_id
        } else {
            self.config.client_id
        }
    }

    fn state(&self, client_id: u32, seq: u32) -> State {
        match self.window.state(seq) {
            state if client_id == self.id_of(seq) => state,
            _ => State::Outside,
        }
    }

    fn flying(&self, seq: u32) -> Option<(u32, Flight)> {
        match self.window.state(seq) {
            State::Flying(place) => Some((place, *self.flights.get(place as usize)?)),
            _ => None,
        }
    }

    fn malformed(&mut self, why: Malformed) -> Event<'static> {
        self.counters.malformed += 1;
        Event::Malformed(why)
    }
}
