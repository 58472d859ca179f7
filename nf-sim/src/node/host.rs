//! A machine that runs a program: its processor, its clock, and its lives.
//!
//! The processor takes in one packet after the other, each at a cost, and hands the datagram to the program
//! when that is paid. Sending costs as well, on the same processor or on one of its own. What costs nothing
//! takes no event.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde::Serialize;
use workload::{Datagram, Network};

use super::stack::{PORT, Stack};
use super::{Identity, StackCounters};
use crate::engine::{Fabric, FrameId, What};
use crate::program::Program;
use crate::scenario::HostSpec;
use nf_core::wire::MacAddr;

/// What a host has done, in all its lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HostCounters {
    /// Packets dropped because too many waited to be received.
    pub receive_full: u64,
    /// Datagrams refused because too many waited to be sent.
    pub send_full: u64,
    /// Frames that arrived while it was down.
    pub while_down: u64,
    /// Nanoseconds for which its processor (that of receiving, if there are two) was busy.
    pub busy_ns: u64,
    /// Most packets that waited to be received.
    pub most_waiting: u64,
}

/// A machine that runs a program.
pub struct Host {
    /// Who it is.
    pub identity: Identity,
    /// Its description.
    pub spec: HostSpec,
    /// What it has done.
    pub counters: HostCounters,
    mac: MacAddr,
    running: Option<Running>,
    past: Vec<(Box<dyn Program>, StackCounters)>,
    stalled_until: u64,
}

/// A host that is up.
struct Running {
    program: Box<dyn Program>,
    stack: Stack,
    queue: VecDeque<FrameId>,
    /// The processor takes in the first frame of the queue.
    busy: bool,
    receive_free_at: u64,
    send_free_at: u64,
    /// When the next timer event is; `u64::MAX` for none.
    timer_at: u64,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("stack", &self.stack)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.spec.name)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// Where the program's datagrams go.
struct Outlet<'a> {
    stack: &'a mut Stack,
    fabric: &'a mut Fabric,
    counters: &'a mut HostCounters,
    cost_ns: u64,
    queue: u32,
    free_at: &'a mut u64,
}

impl Network for Outlet<'_> {
    #[inline]
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let now = self.fabric.now;
        if self.cost_ns == 0 {
            return self.stack.send(self.fabric, now, from, to, payload);
        }
        let starts = now.max(*self.free_at);
        if (starts - now) / self.cost_ns >= u64::from(self.queue) {
            self.counters.send_full += 1;
            return false;
        }
        *self.free_at = starts + self.cost_ns;
        self.stack
            .send(self.fabric, *self.free_at, from, to, payload)
    }
}

impl Host {
    /// A host that is down.
    pub fn new(node: u32, mac: MacAddr, spec: HostSpec) -> Host {
        Host {
            identity: Identity { node, life: 0 },
            spec,
            counters: HostCounters::default(),
            mac,
            running: None,
            past: Vec::new(),
            stalled_until: 0,
        }
    }

    /// Starts it with a program.
    pub fn start(&mut self, program: Box<dyn Program>, fabric: &mut Fabric) {
        let stack = Stack::new(
            self.identity.node,
            self.mac,
            &self.spec,
            program.addresses(),
        );
        self.running = Some(Running {
            program,
            stack,
            queue: VecDeque::new(),
            busy: false,
            receive_free_at: 0,
            send_free_at: 0,
            timer_at: u64::MAX,
        });
        self.arm(fabric);
    }

    /// It dies. What it has measured is kept, what it knew is not.
    pub fn crash(&mut self, fabric: &mut Fabric) {
        self.identity.life += 1;
        if let Some(mut running) = self.running.take() {
            for frame in running.queue.drain(..) {
                fabric.frames.free(frame);
            }
            running.stack.end(fabric);
            self.past.push((running.program, running.stack.counters));
        }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// It does nothing until then.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// The programs of all its lives, the running one last.
    pub fn programs(&self) -> impl Iterator<Item = &dyn Program> {
        let running = self.running.iter().map(|running| &*running.program);
        self.past
            .iter()
            .map(|(program, _)| &**program)
            .chain(running)
    }

    /// The running program.
    pub fn program_mut(&mut self) -> Option<&mut dyn Program> {
        self.running.as_mut().map(|running| &mut *running.program)
    }

    /// What its stack has done in each life.
    pub fn stacks(&self) -> impl Iterator<Item = StackCounters> {
        let running = self.running.iter().map(|running| running.stack.counters);
        self.past
            .iter()
            .map(|(_, counters)| *counters)
            .chain(running)
    }

    /// A frame has arrived.
    #[inline]
    pub fn arrive(&mut self, frame: FrameId, fabric: &mut Fabric) {
        let Some(running) = &mut self.running else {
            self.counters.while_down += 1;
            return fabric.frames.free(frame);
        };
        if !running.stack.takes(fabric.frames.bytes(frame)) {
            return fabric.frames.free(frame);
        }
        let cost = self.spec.receive.cost_ns;
        if cost == 0 && !running.busy && self.stalled_until <= fabric.now {
            return self.take_in(frame, fabric);
        }
        if running.queue.len() >= self.spec.receive.queue as usize {
            self.counters.receive_full += 1;
            return fabric.frames.free(frame);
        }
        running.queue.push_back(frame);
        self.counters.most_waiting = self.counters.most_waiting.max(running.queue.len() as u64);
        if !running.busy {
            self.begin(fabric);
        }
    }

    /// The processor begins with the first frame that waits.
    fn begin(&mut self, fabric: &mut Fabric) {
        let Some(running) = &mut self.running else {
            return;
        };
        running.busy = !running.queue.is_empty();
        if !running.busy {
            return;
        }
        let free = match self.spec.one_processor {
            true => running.receive_free_at.max(running.send_free_at),
            false => running.receive_free_at,
        };
        let starts = fabric.now.max(free).max(self.stalled_until);
        let cost = self.spec.receive.cost_ns;
        self.counters.busy_ns += cost;
        running.receive_free_at = starts + cost;
        if self.spec.one_processor {
            running.send_free_at = running.receive_free_at;
        }
        let Identity { node, life } = self.identity;
        fabric
            .events
            .push(running.receive_free_at, What::Received, node, life, PORT, 0);
    }

    /// The processor has taken in the first frame that waits.
    pub fn received(&mut self, fabric: &mut Fabric) {
        let Identity { node, life } = self.identity;
        if self.stalled_until > fabric.now {
            return fabric
                .events
                .push(self.stalled_until, What::Received, node, life, PORT, 0);
        }
        let Some(running) = &mut self.running else {
            return;
        };
        if let Some(frame) = running.queue.pop_front() {
            self.take_in(frame, fabric);
        }
        self.begin(fabric);
    }

    /// Hands the datagram in a frame to the program.
    #[inline]
    fn take_in(&mut self, frame: FrameId, fabric: &mut Fabric) {
        let bytes = fabric.frames.take(frame);
        if let Some(running) = &mut self.running
            && let Some(received) = running.stack.receive(&bytes, fabric)
            && let Some(payload) = bytes.get(received.payload)
        {
            let (from, to) = (received.from, received.to);
            let datagram = Datagram { from, to, payload };
            self.call(fabric, |program, now, network| {
                program.on_datagram(now, datagram, network);
            });
        }
        fabric.frames.put(frame, bytes);
        fabric.frames.free(frame);
    }

    /// A timer event of the program.
    pub fn timer(&mut self, fabric: &mut Fabric) {
        let Some(running) = &mut self.running else {
            return;
        };
        if running.timer_at != fabric.now {
            return; // a sooner one has taken its place
        }
        running.timer_at = u64::MAX;
        if self.stalled_until > fabric.now {
            return self.arm(fabric);
        }
        let now = fabric.now.saturating_add(self.spec.clock_offset_ns);
        match running.program.next_time() {
            Some(due) if due <= now => self.call(fabric, |program, now, network| {
                program.on_time(now, network);
            }),
            _ => self.arm(fabric),
        }
    }

    /// Calls the program, and sees to its next time.
    #[inline]
    fn call(
        &mut self,
        fabric: &mut Fabric,
        call: impl FnOnce(&mut dyn Program, u64, &mut dyn Network),
    ) {
        let Some(running) = &mut self.running else {
            return;
        };
        let now = fabric.now.saturating_add(self.spec.clock_offset_ns);
        let mut outlet = Outlet {
            stack: &mut running.stack,
            fabric,
            counters: &mut self.counters,
            cost_ns: self.spec.send.cost_ns,
            queue: self.spec.send.queue,
            free_at: &mut running.send_free_at,
        };
        call(&mut *running.program, now, &mut outlet);
        self.arm(fabric);
    }

    /// Sees to it that there is an event when the program's time comes.
    #[inline]
    fn arm(&mut self, fabric: &mut Fabric) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Some(next) = running.program.next_time() else {
            return;
        };
        let due = next.saturating_sub(self.spec.clock_offset_ns);
        let due = due.max(fabric.now).max(self.stalled_until);
        if due < running.timer_at {
            running.timer_at = due;
            let Identity { node, life } = self.identity;
            fabric.events.push(due, What::Timer, node, life, PORT, 0);
        }
    }
}
