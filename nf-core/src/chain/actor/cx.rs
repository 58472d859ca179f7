//! What an actor sees of the world while it handles a message.

use super::body::Own;
use super::errand::{Errand, Load};
use super::net::{EncapError, Udp};
use crate::chain::Direction;
use crate::chain::actors::{Mail, Sends};
use crate::chain::cx::Env;
use crate::chain::guard;
use crate::clock::{Clock, TimerId};
use crate::packet::{Label, Meta, NO_PORT, Packet};
use crate::sched::ActorId;
use crate::sched::dmo::{DmoError, ObjectId, Region};
use crate::sched::runtime::Send;

/// A place behind every stage of a chain, on the way to the servers.
const BEHIND_ALL: u8 = u8::MAX;

/// What an actor sees of the world: time, its objects, other actors, packets, timers, counters, and chance. Valid
/// for one call.
pub struct ActorCx<'a> {
    pub(super) env: &'a mut Env,
    pub(super) sends: &'a mut Sends,
    own: &'a mut Own,
}

impl std::fmt::Debug for ActorCx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActorCx")
            .field("actor", &self.own.name)
            .finish_non_exhaustive()
    }
}

impl<'a> ActorCx<'a> {
    pub(super) fn new(env: &'a mut Env, sends: &'a mut Sends, own: &'a mut Own) -> ActorCx<'a> {
        ActorCx { env, sends, own }
    }

    /// Now, nanoseconds of a clock that never goes back. The same for all messages of one turn.
    #[inline]
    pub fn now(&self) -> u64 {
        self.env.now
    }

    /// The actor itself.
    #[inline]
    pub fn id(&self) -> ActorId {
        self.own.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.own.name
    }

    /// Its objects, for the containers of [`dmo`](crate::sched::dmo).
    #[inline]
    pub fn region(&self) -> &Region {
        &self.own.region
    }

    /// The same, to change them.
    #[inline]
    pub fn region_mut(&mut self) -> &mut Region {
        &mut self.own.region
    }

    /// A new object of so many bytes, all zero.
    ///
    /// # Errors
    ///
    /// Those of [`Region::alloc`].
    pub fn dmo_alloc(&mut self, bytes: usize) -> Result<ObjectId, DmoError> {
        self.own.region.alloc(bytes)
    }

    /// Ends an object.
    ///
    /// # Errors
    ///
    /// Those of [`Region::free`].
    pub fn dmo_free(&mut self, object: ObjectId) -> Result<(), DmoError> {
        self.own.region.free(object)
    }

    /// Fills `len` bytes of an object from byte `at` on with a value.
    ///
    /// # Errors
    ///
    /// Those of [`Region::set`].
    pub fn dmo_set(
        &mut self,
        object: ObjectId,
        at: usize,
        value: u8,
        len: usize,
    ) -> Result<(), DmoError> {
        self.own.region.set(object, at, value, len)
    }

    /// Copies `len` bytes from one object, or place in it, to another; they may not overlap.
    ///
    /// # Errors
    ///
    /// Those of [`Region::copy`].
    pub fn dmo_copy(
        &mut self,
        to: (ObjectId, usize),
        from: (ObjectId, usize),
        len: usize,
    ) -> Result<(), DmoError> {
        self.own.region.copy(to.0, to.1, from.0, from.1, len)
    }

    /// The same, where they may overlap.
    ///
    /// # Errors
    ///
    /// Those of [`Region::move_bytes`].
    pub fn dmo_move(
        &mut self,
        to: (ObjectId, usize),
        from: (ObjectId, usize),
        len: usize,
    ) -> Result<(), DmoError> {
        self.own.region.move_bytes(to.0, to.1, from.0, from.1, len)
    }

    /// An object's bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Region::get`].
    #[inline]
    pub fn dmo_get(&self, object: ObjectId) -> Result<&[u8], DmoError> {
        self.own.region.get(object)
    }

    /// An object's bytes, to be written.
    ///
    /// # Errors
    ///
    /// Those of [`Region::get`].
    #[inline]
    pub fn dmo_get_mut(&mut self, object: ObjectId) -> Result<&mut [u8], DmoError> {
        self.own.region.get_mut(object)
    }

    /// Gives an object to another actor, wherever it is, without copying it; `kind` is for that one. It cannot
    /// be used here any more. That it has arrived, or is here again, is
    /// [told](super::Actor::on_given) later. The one allocation of this API.
    ///
    /// # Errors
    ///
    /// Those of [`Region::get`].
    pub fn dmo_migrate(
        &mut self,
        object: ObjectId,
        to: ActorId,
        kind: u32,
    ) -> Result<(), DmoError> {
        let load = Load::Forth(self.own.region.detach(object)?);
        let from = self.own.id;
        let errand = Box::new(Errand { from, kind, load });
        self.sends.push(Send::To(to, Mail::Errand(errand)));
        Ok(())
    }

    /// Sends a packet to an actor as a message, wherever it is. Messages of one actor to another arrive in
    /// order. One that cannot be delivered is dropped, and counted with the chain's reasons.
    pub fn send(&mut self, to: ActorId, kind: u32, key: u64, mut message: Packet) {
        let now = self.env.now;
        let label = message.label_mut();
        *label = Label {
            sent_ns: now,
            key,
            from: self.own.id.to_bits(),
            to: to.to_bits(),
            kind,
            ..*label
        };
        self.lets_go(&message);
        self.sends.push(Send::To(to, Mail::Letter(message)));
    }

    /// Who sent a message; `None` for a packet from the network.
    pub fn sender(&self, message: &Packet) -> Option<ActorId> {
        let label = message.label();
        (label.from != label.to).then(|| ActorId::from_bits(label.from))
    }

    /// An empty packet; `None` (counted) when the pool is exhausted, or the actor holds as many as it may.
    pub fn alloc(&mut self) -> Option<Packet> {
        let packet = self.may_have_more().then(|| Packet::alloc(&self.env.pool));
        let Some(mut packet) = packet.flatten() else {
            self.env.counters.alloc_failed.add(1);
            return None;
        };
        let fresh = Meta::received(self.env.now, NO_PORT, Direction::ToServer);
        packet.reset_meta(fresh);
        packet.meta_mut().position = BEHIND_ALL;
        *packet.label_mut() = Label {
            home: self.own.home,
            ..Label::default()
        };
        self.originates(&packet);
        Some(packet)
    }

    /// A deep copy of a packet that leaves as that one would; `None` as of [`alloc`](ActorCx::alloc).
    pub fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let copy = self
            .may_have_more()
            .then(|| packet.copy(&self.env.pool))
            .flatten();
        let Some(mut copy) = copy else {
            self.env.counters.alloc_failed.add(1);
            return None;
        };
        *copy.label_mut() = *packet.label();
        self.originates(&copy);
        Some(copy)
    }

    fn may_have_more(&self) -> bool {
        self.own.held < self.own.packets
    }

    fn originates(&mut self, packet: &Packet) {
        self.own.held += 1;
        let way = packet.meta().direction as usize;
        self.own.counters.originated.add(way, 1);
    }

    fn lets_go(&mut self, packet: &Packet) {
        self.own.held = self.own.held.saturating_sub(1);
        let way = packet.meta().direction as usize;
        self.own.counters.forward.add(way, 1);
    }

    /// Makes a packet writable, as [`Packet::ensure_writable`]. Its label stays.
    #[must_use]
    pub fn ensure_writable(&mut self, packet: &mut Packet) -> bool {
        let label = *packet.label();
        let is_writable = packet.ensure_writable(&self.env.pool);
        *packet.label_mut() = label;
        is_writable
    }

    /// Puts Ethernet, IP and UDP headers, with their checksums, before the payload that the packet is.
    ///
    /// # Errors
    ///
    /// Those of [`Udp::put`].
    pub fn encapsulate(&mut self, packet: &mut Packet, headers: &Udp) -> Result<(), EncapError> {
        headers.put(packet)
    }

    /// Takes Ethernet, IP and UDP headers off; `None`, and nothing changed, if it is no whole datagram.
    pub fn decapsulate(&mut self, packet: &mut Packet) -> Option<Udp> {
        Udp::strip(packet)
    }

    /// Sends a packet out of a port (by its index), past the stages of the chain. Packets that an actor made
    /// leave in the order in which it sent them; those that came from the network by the core that
    /// received them.
    pub fn tx(&mut self, mut packet: Packet, port: u16) {
        self.lets_go(&packet);
        let meta = packet.meta_mut();
        (meta.direction, meta.position) = (Direction::ToServer, BEHIND_ALL);
        meta.egress = port;
        self.out(packet);
    }

    /// Sends a packet from the network back: by the stages that it had passed, and the port it came in by.
    pub fn reply(&mut self, mut packet: Packet) {
        self.own.held = self.own.held.saturating_sub(1);
        let meta = packet.meta_mut();
        let came = meta.direction;
        self.own.counters.back.add(came as usize, 1);
        meta.direction = came.reverse();
        meta.turns = meta.turns.saturating_add(1);
        self.out(packet);
    }

    /// Lets a packet from the network go on, behind the stage that dispatched it.
    pub fn forward(&mut self, packet: Packet) {
        self.lets_go(&packet);
        self.out(packet);
    }

    fn out(&mut self, packet: Packet) {
        let home = packet.label().home;
        self.sends.push(Send::Out(Mail::Packet { home, packet }));
    }

    /// Ends a packet. `reason` is an index into the actor's list of reasons.
    pub fn drop(&mut self, packet: Packet, reason: usize) {
        self.own.held = self.own.held.saturating_sub(1);
        self.own.counters.dropped(reason, 1);
        drop(packet);
    }

    /// Packets that the actor has and has not let go of.
    pub fn held(&self) -> u64 {
        self.own.held
    }

    /// Calls [`Actor::on_timer`](super::Actor::on_timer) with `token` in `after_ns` nanoseconds, or a
    /// little later; `None` when all timers of the actor are in use.
    pub fn timer(&mut self, after_ns: u64, token: u64) -> Option<TimerId> {
        let at = self.env.now.saturating_add(after_ns);
        self.own.timers.insert(at, token).ok()
    }

    /// Cancels a timer; false when it has expired already.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        self.own.timers.cancel(timer).is_some()
    }

    /// To be called now and then by a handler that may take long: ends it, without returning, if it has run
    /// for longer than any may.
    #[inline]
    pub fn checkpoint(&self) {
        guard::checkpoint(self.env);
    }

    /// Keeps the core busy for that long, nanoseconds, with checkpoints. In virtual time it is over at once.
    pub fn spend(&self, ns: u64) {
        if matches!(self.env.clock, Clock::Virtual(_)) {
            return;
        }
        let began = self.env.clock.now();
        while self.env.clock.now().saturating_sub(began) < ns {
            self.checkpoint();
            std::hint::spin_loop();
        }
    }

    /// Adds to one of the actor's own counters, by its index in the actor's list.
    #[inline]
    pub fn count(&mut self, counter: usize, n: u64) {
        self.own.counters.custom.add(counter, n);
    }

    /// A random number; the sequence is the core's.
    pub fn random(&mut self) -> u64 {
        self.env.next_random()
    }
}
