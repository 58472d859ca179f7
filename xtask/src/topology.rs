//! Two hosts, each a network namespace, with something between them: what the demo and the
//! latency benchmarks share.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Netns, wait_for};

/// The client host.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 80, 1, 2);
/// Its gateway: the appliance's client side.
pub const CLIENT_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 80, 1, 1);
/// The server host.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 80, 2, 2);
/// Its gateway: the appliance's server side.
pub const SERVER_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 80, 2, 1);

/// The two hosts.
#[derive(Debug)]
pub struct Hosts {
    /// Has [`CLIENT`] once its interface is there.
    pub client: Netns,
    /// Has [`SERVER`] once its interface is there.
    pub server: Netns,
}

impl Hosts {
    /// Two hosts without interfaces.
    pub fn new() -> Result<Hosts, String> {
        Ok(Hosts {
            client: Netns::try_new("client")?,
            server: Netns::try_new("server")?,
        })
    }

    /// Gives the hosts the interfaces that the appliance has made in its namespace.
    pub fn adopt(
        &self,
        appliance: &Netns,
        client_tap: &str,
        server_tap: &str,
    ) -> Result<(), String> {
        let (client, server) = (format!("{CLIENT}/24"), format!("{SERVER}/24"));
        self.client
            .try_adopt_from(appliance, client_tap, &[&client])?;
        self.server
            .try_adopt_from(appliance, server_tap, &[&server])?;
        self.add_routes()
    }

    /// Joins either host to `middle` with a veth pair, whose ends in `middle` have these names.
    pub fn join_by_veth(&self, middle: &Netns, client_end: &str, server_end: &str) {
        self.client.join(
            ("eth0", &[&format!("{CLIENT}/24")]),
            middle,
            (client_end, &[]),
        );
        self.server.join(
            ("eth0", &[&format!("{SERVER}/24")]),
            middle,
            (server_end, &[]),
        );
        // The same for whoever is between them, to be fair: Linux would not need it.
        for host in [&self.client, &self.server] {
            testkit::compute_checksums(host, "eth0");
        }
        self.add_routes().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets the kernel of `middle` route between the hosts, as a yardstick.
    pub fn route_by_linux(
        &self,
        middle: &Netns,
        client_end: &str,
        server_end: &str,
    ) -> Result<(), String> {
        for (end, address) in [(client_end, CLIENT_GATEWAY), (server_end, SERVER_GATEWAY)] {
            middle.try_ip(&["addr", "add", &format!("{address}/24"), "dev", end])?;
        }
        let mut forward = middle.command("sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        match forward.status() {
            Ok(status) if status.success() => Ok(()),
            _ => Err("Linux would not route".to_owned()),
        }
    }

    fn add_routes(&self) -> Result<(), String> {
        for (host, gateway) in [
            (&self.client, CLIENT_GATEWAY),
            (&self.server, SERVER_GATEWAY),
        ] {
            host.try_ip(&["route", "add", "default", "via", &gateway.to_string()])?;
        }
        Ok(())
    }

    /// Waits until the server answers the client's ping.
    pub fn reach(&self) -> Result<(), String> {
        wait_for(
            "an answer to the client's ping",
            Duration::from_secs(10),
            || {
                let mut ping = self.client.command("ping");
                ping.args(["-n", "-q", "-c1", "-W1", &SERVER.to_string()]);
                ping.output()
                    .is_ok_and(|output| output.status.success())
                    .then_some(())
            },
        )
    }
}

/// The settings of a `route` stage between the two hosts' networks, by the names of the two ports.
pub fn route_config(client_port: &str, server_port: &str) -> Value {
    json!({
        "addresses": {
            client_port: [format!("{CLIENT_GATEWAY}/24")],
            server_port: [format!("{SERVER_GATEWAY}/24")],
        },
    })
}
