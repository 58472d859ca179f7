//! Several endpoints that share one transport.

use std::collections::HashMap;
use std::net::SocketAddr;

use workload::{Datagram, Endpoint, Network};

/// Endpoints, each with its own addresses.
#[derive(Debug)]
pub struct Group<E> {
    members: Vec<E>,
    owners: HashMap<SocketAddr, usize>,
}

impl<E: Endpoint> Group<E> {
    /// These together.
    pub fn new(members: Vec<E>) -> Group<E> {
        let owners = members
            .iter()
            .enumerate()
            .flat_map(|(index, member)| {
                member
                    .addresses()
                    .into_iter()
                    .map(move |address| (address, index))
            })
            .collect();
        Group { members, owners }
    }

    /// The endpoints.
    pub fn members(&self) -> &[E] {
        &self.members
    }

    /// The endpoints, each for itself again.
    pub fn into_members(self) -> Vec<E> {
        self.members
    }
}

impl<E: Endpoint> Endpoint for Group<E> {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().flat_map(Endpoint::addresses).collect()
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network) {
        let owner = self.owners.get(&datagram.to);
        if let Some(member) = owner.and_then(|owner| self.members.get_mut(*owner)) {
            member.on_datagram(now, datagram, network);
        }
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        for member in &mut self.members {
            if member.next_time().is_some_and(|at| at <= now) {
                member.on_time(now, network);
            }
        }
    }

    fn next_time(&self) -> Option<u64> {
        self.members.iter().filter_map(Endpoint::next_time).min()
    }
}
