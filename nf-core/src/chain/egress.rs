//! Where packets leave the chain.

use super::Direction;
use super::cx::Env;
use crate::check::Side;
use crate::packet::{Batch, NO_PORT};

/// Takes the packets that leave a chain.
pub trait Output {
    /// Sends the batch out of a port and leaves it empty: what the port does not take is dropped and
    /// counted.
    fn send(&mut self, env: &mut Env, port: u16, batch: &mut Batch);
}

/// The port that a packet leaves by when no stage chose one: by ingress port and direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressTable {
    by_ingress: Vec<[u16; 2]>,
    /// For packets that no port received.
    originated: [u16; 2],
}

impl EgressTable {
    /// From each port's side and peer (an index, where the config names one).
    ///
    /// A packet that goes towards a port's own side leaves by the port it came in by (it was turned
    /// around); else by its peer, or by the only port of the other side. A port for both sides sends
    /// to its peer, or to itself.
    pub fn new(ports: &[(Side, Option<u16>)]) -> EgressTable {
        let first = |side: Side| {
            let of_side = ports.iter().position(|(other, _)| *other == side);
            of_side
                .or_else(|| ports.iter().position(|(other, _)| *other == Side::Any))
                .map_or(NO_PORT, |n| n as u16)
        };
        let towards = |direction| match direction {
            Direction::ToServer => Side::Server,
            Direction::ToClient => Side::Client,
        };
        let by_ingress = ports.iter().enumerate().map(|(index, (side, peer))| {
            Direction::ALL.map(|direction| match (side, peer) {
                (side, _) if *side == towards(direction) => index as u16,
                (_, Some(peer)) => *peer,
                (Side::Any, None) => index as u16,
                (_, None) => first(towards(direction)),
            })
        });
        EgressTable {
            by_ingress: by_ingress.collect(),
            originated: Direction::ALL.map(|d| first(towards(d))),
        }
    }

    /// The default port for a packet; [`NO_PORT`] when there is none.
    #[inline(always)]
    pub fn port(&self, ingress: u16, direction: Direction) -> u16 {
        match self.by_ingress.get(usize::from(ingress)) {
            Some(row) => row[direction as usize],
            None => self.originated[direction as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn a_pair_of_ports_is_wired_to_each_other() {
        let table = EgressTable::new(&[(Side::Client, None), (Side::Server, None)]);
        assert_eq!((table.port(0, ToServer), table.port(1, ToClient)), (1, 0));
        assert_eq!(
            (table.port(0, ToClient), table.port(1, ToServer)),
            (0, 1),
            "turned around"
        );
        assert_eq!(
            (table.port(NO_PORT, ToServer), table.port(NO_PORT, ToClient)),
            (1, 0)
        );
    }

    #[test]
    fn peers_pair_up_several_ports() {
        let ports = [
            (Side::Client, Some(2)),
            (Side::Client, Some(3)),
            (Side::Server, Some(0)),
            (Side::Server, Some(1)),
        ];
        let table = EgressTable::new(&ports);
        assert_eq!(
            (0..2).map(|p| table.port(p, ToServer)).collect::<Vec<_>>(),
            [2, 3]
        );
        assert_eq!(
            (2..4).map(|p| table.port(p, ToClient)).collect::<Vec<_>>(),
            [0, 1]
        );
    }

    #[test]
    fn one_arm_sends_out_of_the_port_it_came_in_by() {
        let table = EgressTable::new(&[(Side::Any, None)]);
        assert_eq!((table.port(0, ToServer), table.port(0, ToClient)), (0, 0));
    }

    #[test]
    fn a_client_side_alone_has_no_way_to_the_servers() {
        let table = EgressTable::new(&[(Side::Client, None)]);
        assert_eq!(table.port(0, ToServer), NO_PORT);
        assert_eq!(table.port(0, ToClient), 0);
    }
}
