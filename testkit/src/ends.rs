//! The usual test bed: clients in one namespace, servers in another, an appliance in between.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::netns::{Netns, interface_name};
use crate::sluice::Sluice;
use crate::traffic::{Echo, Traffic};

/// Two namespaces in one network, 10.77.0.1/24 for the clients and 10.77.0.2/24 for the servers,
/// which nothing but an appliance joins. IPv6 is off: nothing is sent that a test did not ask for,
/// except ARP.
#[derive(Debug)]
pub struct Ends {
    /// Where clients are.
    pub clients: Netns,
    /// Where servers are.
    pub servers: Netns,
    /// The clients' interface.
    pub client_interface: String,
    /// The servers' interface.
    pub server_interface: String,
}

impl Default for Ends {
    fn default() -> Ends {
        Ends::new()
    }
}

impl Ends {
    /// The clients' address.
    pub const CLIENT: [u8; 4] = [10, 77, 0, 1];
    /// The servers' address.
    pub const SERVER: [u8; 4] = [10, 77, 0, 2];
    /// Where [`Ends::echo`] listens.
    pub const ECHO_PORT: u16 = 7;

    /// Makes the namespaces; their interfaces are still to come.
    ///
    /// # Panics
    /// Without the right to.
    #[must_use]
    pub fn new() -> Ends {
        Ends {
            clients: Netns::quiet("clients"),
            servers: Netns::quiet("servers"),
            client_interface: interface_name("c"),
            server_interface: interface_name("s"),
        }
    }

    /// The port `clients` on a TAP device, whose address stays the same when it is made again, so that
    /// neighbours know it.
    #[must_use]
    pub fn client_tap(&self) -> Value {
        json!({
            "name": "clients", "side": "client",
            "device": { "type": "tap", "interface": self.client_interface, "mac": "02:00:00:77:00:01" },
        })
    }

    /// The port `servers` on a TAP device.
    #[must_use]
    pub fn server_tap(&self) -> Value {
        json!({
            "name": "servers", "side": "server",
            "device": { "type": "tap", "interface": self.server_interface, "mac": "02:00:00:77:00:02" },
        })
    }

    /// Two TAP ports and no stage: a bump in the wire.
    #[must_use]
    pub fn tap_config(&self) -> Value {
        json!({ "ports": [self.client_tap(), self.server_tap()], "chain": [] })
    }

    /// Takes the clients' TAP from the current namespace.
    ///
    /// # Panics
    /// If it does not come.
    pub fn adopt_client(&self) {
        self.clients
            .adopt(&self.client_interface, &["10.77.0.1/24"]);
    }

    /// Takes the servers' TAP from the current namespace.
    ///
    /// # Panics
    /// If it does not come.
    pub fn adopt_server(&self) {
        self.servers
            .adopt(&self.server_interface, &["10.77.0.2/24"]);
    }

    /// Takes both TAPs.
    ///
    /// # Panics
    /// If they do not come.
    pub fn adopt(&self) {
        self.adopt_client();
        self.adopt_server();
    }

    /// Joins either end by a veth pair to `middle`, where the interfaces have the same names as in
    /// the ends, with that MTU. Checksums are computed at once instead of left to a NIC that is not
    /// there.
    ///
    /// # Panics
    /// If that fails.
    pub fn join(&self, middle: &Netns, mtu: u32) {
        let (client, server) = (&self.client_interface, &self.server_interface);
        let ends = [
            (&self.clients, client, "10.77.0.1/24"),
            (&self.servers, server, "10.77.0.2/24"),
        ];
        for (end, interface, address) in ends {
            end.join((interface, &[address]), middle, (interface, &[]));
            crate::compute_checksums(end, interface);
            for netns in [end, middle] {
                netns.ip(&["link", "set", "dev", interface, "mtu", &mtu.to_string()]);
            }
        }
    }

    /// An echo server at the servers' end.
    ///
    /// # Panics
    /// If the address is not there.
    #[must_use]
    pub fn echo(&self) -> Echo {
        Echo::start(
            &self.servers,
            SocketAddr::from((Ends::SERVER, Ends::ECHO_PORT)),
        )
    }

    /// A datagram of `bytes` from the clients to the echo server every `pause`.
    ///
    /// # Panics
    /// If the address is not there.
    #[must_use]
    pub fn traffic(&self, bytes: usize, pause: Duration) -> Traffic {
        Traffic::start(
            &self.clients,
            // Not bound to the interface's address, so that it may go and come back.
            SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::from((Ends::SERVER, Ends::ECHO_PORT)),
            bytes,
            pause,
        )
    }

    /// Pings the servers' address from the clients' end: `count` packets with `bytes` of data.
    ///
    /// # Panics
    /// If not every one is answered.
    pub fn ping(&self, count: u32, bytes: u32) {
        let output = self
            .clients
            .command("ping")
            .args(["-n", "-i", "0.02", "-w", "10", "-M", "do"])
            .args(["-c", &count.to_string(), "-s", &bytes.to_string()])
            .arg("10.77.0.2")
            .output()
            .unwrap_or_else(|error| panic!("ping: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let all = format!("{count} received");
        assert!(
            output.status.success() && text.contains(&all),
            "ping of {bytes} bytes: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Sluice<'_> {
    /// What the API says of the port.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn port(&self, name: &str) -> Value {
        let ports = self.json("/api/v1/ports");
        let found = ports
            .as_array()
            .and_then(|ports| ports.iter().find(|port| port["name"] == name));
        found
            .cloned()
            .unwrap_or_else(|| panic!("no port {name} in {ports}"))
    }

    /// A count of the port, e.g. `rx_packets`.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    pub fn port_count(&self, port: &str, count: &str) -> u64 {
        let port = self.port(port);
        number(&port["counters"][count])
    }

    /// Packets of the pool that are in use.
    #[must_use]
    pub fn packets_in_use(&self) -> u64 {
        number(&self.json("/api/v1/memory")["in_use"])
    }

    /// Packets that came in or were made, less those that went out, were dropped or are held. While
    /// nothing moves, it is 0.
    #[must_use]
    pub fn unaccounted(&self) -> i64 {
        let sum = |values: &Value, keys: &[&str]| -> u64 {
            keys.iter().map(|key| number(&values[key])).sum()
        };
        let (mut came, mut went) = (0, 0);
        for port in list(&self.json("/api/v1/ports")) {
            came += sum(&port["counters"], &["rx_packets"]);
            went += sum(&port["counters"], &["tx_packets", "tx_full", "port_down"]);
        }
        for stage in list(&self.json("/api/v1/chain")) {
            came += sum(&stage["originated"], &["to_server", "to_client"]);
            went += number(&stage["held"]);
        }
        for drop in list(&self.json("/api/v1/drops")) {
            if !drop["stage"].as_str().unwrap_or("").starts_with("port ") {
                went += number(&drop["packets"]);
            }
        }
        i64::try_from(came).unwrap_or(i64::MAX) - i64::try_from(went).unwrap_or(i64::MAX)
    }

    /// Waits until nothing moves any more and every packet is accounted for, and until the pool has
    /// no more than `in_use` packets in use.
    ///
    /// # Panics
    /// If that does not come to pass.
    pub fn assert_conserved(&self, in_use: u64) {
        let mut last = (0, 0);
        let settled = crate::wait_for(
            "every packet accounted for",
            Duration::from_secs(10),
            || {
                last = (self.unaccounted(), self.packets_in_use());
                (last.0 == 0 && last.1 <= in_use).then_some(())
            },
        );
        settled.unwrap_or_else(|error| {
            panic!(
                "{error}: {} packets unaccounted for, {} in use where {in_use} were\n{:#}\n{:#}",
                last.0,
                last.1,
                self.json("/api/v1/ports"),
                self.json("/api/v1/drops"),
            )
        });
    }

    /// Its open file descriptors.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn descriptors(&mut self) -> usize {
        let folder = format!("/proc/{}/fd", self.process().pid());
        std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .count()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A count of the API.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}
