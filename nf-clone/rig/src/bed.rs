//! Where everything stands: clients in one namespace, servers in another, an appliance in a third.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{Netns, Sluice};

/// How the appliance stands between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a router: clients in 10.86.1.0/24, servers in 10.86.2.0/24, the VIP in neither.
    Gateway,
    /// As a router of IPv6: fd86:1::/64 and fd86:2::/64.
    Gateway6,
    /// As a wire: all in 10.86.1.0/24.
    Inline,
}

/// What the appliance's ports are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// TAP interfaces, which come and go with the appliance.
    Tap,
    /// Ends of veth pairs by AF_PACKET, which stay.
    Veth,
}

/// The namespaces and the plan of addresses.
#[derive(Debug)]
pub struct Bed {
    mode: Mode,
    links: Links,
    servers: u8,
    scheduled: bool,
    /// Where clients are.
    pub clients: Netns,
    /// Where servers are.
    pub hosts: Netns,
    /// Where the appliance is.
    pub middle: Netns,
}

/// The interface of either end, and its peer's at the appliance.
const CLIENTS: &str = "clients";
const SERVERS: &str = "servers";

impl Bed {
    /// UDP (and TCP) port of the service.
    pub const PORT: u16 = 9043;
    /// Makes the namespaces for that many servers, with SIDs from 0.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn new(mode: Mode, links: Links, servers: u8) -> Result<Bed, String> {
        let quiet = |label| -> Result<Netns, String> {
            let netns = Netns::try_new(label)?;
            if mode == Mode::Gateway6 {
                return Ok(netns);
            }
            for scope in ["all", "default"] {
                let path = format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6");
                netns
                    .run(|| std::fs::write(&path, "1"))
                    .map_err(|error| format!("{path}: {error}"))?;
            }
            Ok(netns)
        };
        let bed = Bed {
            mode,
            links,
            servers,
            scheduled: false,
            clients: quiet("clients")?,
            hosts: quiet("servers")?,
            middle: quiet("appliance")?,
        };
        if links == Links::Veth {
            let ends = [
                (&bed.clients, CLIENTS, bed.client_networks()),
                (&bed.hosts, SERVERS, bed.server_networks()),
            ];
            for (end, interface, networks) in ends {
                let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
                end.join((interface, &networks), &bed.middle, (interface, &[]));
                testkit::compute_checksums(end, interface);
            }
            bed.add_routes()?;
        }
        Ok(bed)
    }

    /// How the appliance stands.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How many servers there are at the start.
    pub fn servers(&self) -> u8 {
        self.servers
    }

    /// The service's address.
    pub fn service(&self) -> SocketAddr {
        (self.vip(), Bed::PORT).into()
    }

    /// The service's IP address.
    pub fn vip(&self) -> IpAddr {
        match self.mode {
            Mode::Gateway => Ipv4Addr::new(10, 86, 0, 100).into(),
            Mode::Gateway6 => self.six(9, 100),
            Mode::Inline => Ipv4Addr::new(10, 86, 1, 100).into(),
        }
    }

    /// The clients' address.
    pub fn client(&self) -> IpAddr {
        match self.mode {
            Mode::Gateway6 => self.six(1, 1),
            _ => Ipv4Addr::new(10, 86, 1, 1).into(),
        }
    }

    /// A server's address.
    pub fn server(&self, sid: u8) -> IpAddr {
        let host = 101_u8.wrapping_add(sid);
        match self.mode {
            Mode::Gateway => Ipv4Addr::new(10, 86, 2, host).into(),
            Mode::Gateway6 => self.six(2, host.into()),
            Mode::Inline => Ipv4Addr::new(10, 86, 1, host).into(),
        }
    }

    /// The appliance's addresses towards clients and servers, as a router.
    fn gateways(&self) -> [IpAddr; 2] {
        match self.mode {
            Mode::Gateway6 => [self.six(1, 254), self.six(2, 254)],
            _ => [[10, 86, 1, 254].into(), [10, 86, 2, 254].into()],
        }
    }

    fn six(&self, network: u16, host: u16) -> IpAddr {
        Ipv6Addr::new(0xfd86, network, 0, 0, 0, 0, 0, host).into()
    }

    /// An address in its network, and as the only one of its network.
    fn networks(&self, address: IpAddr) -> [String; 2] {
        let (network, host) = match self.mode {
            Mode::Gateway6 => (64, 128),
            _ => (24, 32),
        };
        [format!("{address}/{network}"), format!("{address}/{host}")]
    }

    fn client_networks(&self) -> Vec<String> {
        let [network, _] = self.networks(self.client());
        vec![network]
    }

    /// Also of servers that are still to come.
    fn server_networks(&self) -> Vec<String> {
        (0..=self.servers)
            .map(|sid| {
                let [network, _] = self.networks(self.server(sid));
                network
            })
            .collect()
    }

    fn add_routes(&self) -> Result<(), String> {
        if self.mode != Mode::Inline {
            for (netns, gateway) in [&self.clients, &self.hosts]
                .into_iter()
                .zip(self.gateways())
            {
                let gateway = gateway.to_string();
                let mut words = vec!["route", "replace", "default", "via", &gateway];
                if self.mode == Mode::Gateway6 {
                    words.insert(0, "-6");
                }
                netns.try_ip(&words)?;
            }
        }
        Ok(())
    }

    /// The settings of the stage.
    pub fn stage(&self) -> Value {
        let servers: Vec<Value> = (0..self.servers)
            .map(|sid| json!({ "sid": sid, "ip": self.server(sid) }))
            .collect();
        json!({
            "vip": [self.vip()],
            "mode": match self.mode {
                Mode::Gateway | Mode::Gateway6 => "gateway",
                Mode::Inline => "inline",
            },
            "servers": servers,
        })
    }

    /// A configuration of the appliance, with these settings of the stage. Ports are asked to compute
    /// checksums if the stage leaves them to ports.
    pub fn config(&self, stage: &Value) -> Value {
        let port = |name: &str, side: &str, mac: &str| {
            let device = match self.links {
                Links::Tap => json!({ "type": "tap", "interface": name, "mac": mac }),
                Links::Veth => json!({ "type": "af_packet", "interface": name }),
            };
            let checksum = stage["udp_csum"] == "offload";
            json!({ "name": name, "side": side, "device": device, "offloads": { "checksum": checksum } })
        };
        let mut chain = vec![json!({ "stage": "clone", "config": stage })];
        if self.mode != Mode::Inline {
            let [[clients, _], [servers, _]] = self.gateways().map(|own| self.networks(own));
            let [_, vip] = self.networks(self.vip());
            chain.push(json!({ "stage": "route", "config": {
                "addresses": {
                    CLIENTS: [clients, vip],
                    SERVERS: [servers],
                },
                // Servers move here more often than elsewhere.
                "timers": { "retry_ms": 200, "refresh_s": 1, "unreachable_ms": 500 },
            } }));
        }
        let mut config = json!({
            "ports": [
                port(CLIENTS, "client", "02:00:00:86:00:01"),
                port(SERVERS, "server", "02:00:00:86:00:02"),
            ],
            "chain": chain,
        });
        if self.scheduled {
            config["cores"] =
                json!({ "packet": [1], "workers": [0], "control": 0, "idle": "adaptive" });
            // Nothing is decided by itself.
            config["scheduler"] = json!({
                "slo_mean_us": 1e6, "slo_tail_us": 1e6, "policy": { "migration": false },
            });
        }
        config
    }

    /// The same with a scheduler and a worker core; stages are moved by order alone.
    pub fn scheduled(mut self) -> Bed {
        self.scheduled = true;
        self
    }

    /// Starts the appliance with these settings of the stage; `program` if it is not the one that cargo
    /// built beside the caller.
    ///
    /// # Errors
    /// If it does not become healthy.
    pub fn start(&self, stage: &Value, program: Option<PathBuf>) -> Result<Sluice<'_>, String> {
        let mut builder = Sluice::builder(self.config(stage)).netns(&self.middle);
        if let Some(program) = program {
            builder = builder.program(program);
        }
        let sluice = builder.try_start()?;
        self.adopt()?;
        Ok(sluice)
    }

    /// Kills the appliance without a chance to clean up, and starts it again.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restart(&self, sluice: &mut Sluice<'_>) -> Result<(), String> {
        sluice.start_again();
        self.adopt()
    }

    /// Gives the servers' interface another MAC address, as if they had moved.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn move_servers(&self, mac: &str) -> Result<(), String> {
        self.hosts
            .try_ip(&["link", "set", "dev", SERVERS, "address", mac])
            .map(|_| ())
    }

    /// Hands the interfaces of a fresh appliance to the two ends.
    fn adopt(&self) -> Result<(), String> {
        if self.links == Links::Veth {
            return Ok(());
        }
        let ends = [
            (&self.clients, CLIENTS, self.client_networks()),
            (&self.hosts, SERVERS, self.server_networks()),
        ];
        for (end, interface, networks) in ends {
            let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            end.try_adopt_from(&self.middle, interface, &networks)?;
        }
        self.add_routes()
    }
}
