//! A program on a host, without its sockets: datagrams and time go in, datagrams come out.
//!
//! What implements [`Endpoint`] runs on kernel sockets and on the ports of the load generator, and in the
//! simulated rack, without a change.

use std::net::SocketAddr;

/// A datagram that has arrived. Valid for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of the endpoint's addresses it came to.
    pub to: SocketAddr,
    /// The UDP payload.
    pub payload: &'a [u8],
}

/// Where an endpoint's datagrams go.
pub trait Network {
    /// Sends one datagram from one of the endpoint's addresses. False when it could not be taken (a full
    /// queue, no buffer): it is lost then, as if the network had lost it.
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool;
}

/// A program on a host.
///
/// Time is nanoseconds of a clock that never goes back; its zero has no meaning.
pub trait Endpoint {
    /// The addresses at which it receives. Asked once, before anything else.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// A datagram has arrived.
    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network);

    /// The time [`next_time`](Self::next_time) named has come, or passed.
    fn on_time(&mut self, now: u64, network: &mut dyn Network);

    /// When [`on_time`](Self::on_time) has to be called next; `None` while there is nothing to wait for.
    /// Asked again after every call.
    fn next_time(&self) -> Option<u64>;
}
