//! Which service of `wire: none` a datagram belongs to, by addresses and ports.

use std::net::IpAddr;

use super::config::{CloneConfig, ServerConfig};
use super::services::MAX_SERVICES;
use crate::plain::Service;

/// A service and its ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub service: Service,
    pub port: u16,
    pub server_port: u16,
}

/// A server's place in a service, and where it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    address: u128,
    port: u16,
    service: u8,
    sid: u8,
}

/// The services and their servers, to look up.
#[derive(Debug)]
pub(crate) struct Directory {
    services: Box<[Listed]>,
    /// By address and port.
    places: Box<[Place]>,
}

/// An address as one number, those of IPv4 in their IPv6 form.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl Directory {
    /// The services of these settings; `known` are the servers and those that have just left, whose
    /// answers still belong to the service.
    pub fn new(config: &CloneConfig, known: &[ServerConfig]) -> Directory {
        let mut places: Vec<Place> = Vec::new();
        let mut services = Vec::new();
        for (n, service) in config.services.iter().take(MAX_SERVICES).enumerate() {
            let members = service.members(config);
            let stays = |server: &&ServerConfig| config.servers.contains(server);
            let (here, left): (Vec<_>, Vec<_>) = known.iter().partition(stays);
            let here = here.into_iter().filter(|server| members.has(server.sid));
            for server in here.chain(left) {
                let place = Place {
                    address: number(server.ip),
                    port: service.server_port(),
                    service: n as u8,
                    sid: server.sid,
                };
                let taken =
                    |other: &Place| (other.address, other.port) == (place.address, place.port);
                if !places.iter().any(taken) {
                    places.push(place);
                }
            }
            services.push(Listed {
                service: service.service(config),
                port: service.port,
                server_port: service.server_port(),
            });
        }
        places.sort_unstable_by_key(|place| (place.address, place.port));
        Directory {
            services: services.into(),
            places: places.into(),
        }
    }

    /// The service of that number.
    #[inline(always)]
    pub fn get(&self, number: u8) -> Option<&Listed> {
        self.services.get(usize::from(number))
    }

    /// The service with that port.
    #[inline(always)]
    pub fn by_port(&self, port: u16) -> Option<u8> {
        let at = self
            .services
            .iter()
            .position(|listed| listed.port == port)?;
        Some(at as u8)
    }

    /// The service and server that send from there.
    #[inline(always)]
    pub fn by_server(&self, address: IpAddr, port: u16) -> Option<(u8, u8)> {
        let own = |listed: &Listed| listed.server_port == port;
        if !self.services.iter().any(own) {
            return None;
        }
        let key = (number(address), port);
        let at = self
            .places
            .binary_search_by_key(&key, |place| (place.address, place.port))
            .ok()?;
        let place = self.places.get(at)?;
        Some((place.service, place.sid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_are_found_by_port_and_servers_by_address_and_port() {
        let config: CloneConfig = serde_json::from_value(json!({
            "wire": "none",
            "vip": ["10.0.0.1"],
            "servers": [
                { "sid": 7, "ip": "10.0.1.7" },
                { "sid": 3, "ip": "10.0.1.3" },
            ],
            "services": [
                { "port": 11211, "protocol": "memcached" },
                { "port": 53, "protocol": "dns", "servers": [3], "server_port": 5353 },
            ],
        }))
        .unwrap();
        let left = ServerConfig {
            sid: 9,
            ip: "10.0.1.9".parse().unwrap(),
            ..config.servers[0].clone()
        };
        let known: Vec<_> = config.servers.iter().cloned().chain([left]).collect();
        let directory = Directory::new(&config, &known);
        assert_eq!(
            [11211, 53, 5353, 0].map(|port| directory.by_port(port)),
            [Some(0), Some(1), None, None]
        );
        let at = |ip: [u8; 4], port| directory.by_server(IpAddr::V4(ip.into()), port);
        assert_eq!(at([10, 0, 1, 7], 11211), Some((0, 7)));
        assert_eq!(at([10, 0, 1, 3], 11211), Some((0, 3)));
        assert_eq!(at([10, 0, 1, 3], 5353), Some((1, 3)));
        // Not of that service; not a server; another port; one that has left.
        assert_eq!(at([10, 0, 1, 7], 5353), None);
        assert_eq!(at([10, 0, 1, 8], 11211), None);
        assert_eq!(at([10, 0, 1, 3], 53), None);
        assert_eq!(at([10, 0, 1, 9], 11211), Some((0, 9)));
        let listed = directory.get(1).unwrap();
        assert_eq!((listed.port, listed.server_port), (53, 5353));
        assert!(!listed.service.members.has(7) && listed.service.members.has(3));
        assert!(directory.get(2).is_none());
    }
}
