//! The settings that the first eight bytes of a script choose: always valid ones.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nf_clone::stage::CloneKind;
use nf_core::chain::{BuildContext, BuildError, StageControl, StageKind, TraceSession};
use nf_core::check::{CheckContext, JsonPath, Problems};
use nf_core::dpdk::Mempool;
use nf_core::telemetry::CounterDesc;
use nf_core::testing::{BenchOptions, StageBench, pool};
use nf_core::wire::MacAddr;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

/// The servers' numbers; the fourth is the largest that there is.
pub const SIDS: [u8; 4] = [0, 1, 2, 255];

/// Packets in a pool.
pub const PACKETS: u32 = 255;

/// MAC addresses of the appliance's ports.
pub const OUR_MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 1, 0]), MacAddr([2, 0, 0, 0, 1, 1])];

/// What messages look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    V1,
    Compat28,
    Memcached,
    Dns,
    Flow,
}

/// How a script's appliance is set, and how it is watched.
#[derive(Debug, Clone, Copy)]
pub struct Rack {
    head: [u8; 8],
    pub wire: Wire,
    pub inline: bool,
    pub ipv6: bool,
    pub cores: usize,
    /// One frame at a time, through the common case and through the way of all packets: both must do the
    /// same.
    pub twins: bool,
    /// Otherwise, so many frames at a time.
    pub burst: usize,
}

impl Rack {
    pub fn new(head: [u8; 8]) -> Rack {
        let [first, .., watched, _, _, _, _] = head;
        let wire = match first % 8 {
            0..=3 => Wire::V1,
            4 => Wire::Compat28,
            5 => Wire::Memcached,
            6 => Wire::Dns,
            _ => Wire::Flow,
        };
        let twins = watched & 1 == 0;
        Rack {
            head,
            wire,
            inline: first & 8 != 0,
            ipv6: first & 16 != 0,
            cores: 1 + usize::from(first & 64 != 0 && !twins),
            twins,
            burst: usize::from(watched >> 1 & 7) * 2 + 1,
        }
    }

    /// The same appliance with settings of these bytes, as far as they may change while it runs.
    pub fn reloaded(&self, bytes: [u8; 3]) -> Rack {
        let mut head = self.head;
        // Who shares what is known stays.
        head[1] = bytes[0] & 0x7f | head[1] & 0x80;
        head[2] = bytes[1];
        head[4] = bytes[2];
        Rack { head, ..*self }
    }

    /// UDP port of the service on the VIP.
    pub fn port(&self) -> u16 {
        match self.wire {
            Wire::V1 | Wire::Compat28 => 9043,
            Wire::Memcached => 11211,
            Wire::Dns => 53,
            Wire::Flow => 7000,
        }
    }

    /// UDP port of the servers.
    pub fn server_port(&self) -> u16 {
        match self.head[5] & 4 != 0 && self.is_plain() {
            true => self.port() + 1,
            false => self.port(),
        }
    }

    /// Whether that is a UDP port of the service.
    pub fn is_service(&self, port: u16) -> bool {
        port == self.port() || self.head[0] & 32 != 0 && [53, 80].contains(&port)
    }

    pub fn is_plain(&self) -> bool {
        !matches!(self.wire, Wire::V1 | Wire::Compat28)
    }

    /// Whether damaged messages are neither looked for nor dropped.
    pub fn drops_bad_input(&self) -> bool {
        self.head[2] & 2 == 0
    }

    pub fn vip(&self) -> IpAddr {
        self.address([10, 0, 0, 100], 0)
    }

    /// Client 0 to 3.
    pub fn client(&self, n: u8) -> IpAddr {
        self.address([10, 0, 0, 11 + n % 4], 0)
    }

    /// The server in that place.
    pub fn server(&self, place: usize) -> IpAddr {
        self.address([10, 0, 1, 101 + place as u8], 1)
    }

    fn address(&self, four: [u8; 4], net: u16) -> IpAddr {
        match self.ipv6 {
            true => IpAddr::V6(Ipv6Addr::new(0xfd00, net, 0, 0, 0, 0, 0, four[3].into())),
            false => IpAddr::V4(Ipv4Addr::from(four)),
        }
    }

    pub fn client_mac(n: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, n % 4])
    }

    pub fn server_mac(place: usize) -> MacAddr {
        MacAddr([2, 0, 0, 0, 2, place as u8])
    }

    /// The stage's settings, with the servers of these places.
    pub fn settings(&self, places: &[usize]) -> Value {
        let [first, second, third, watched, fourth, fifth, _, _] = self.head;
        let servers: Vec<Value> = places
            .iter()
            .map(|&place| self.server_setting(place))
            .collect();
        let filter_mode = (second >> 3 & 3) % 3;
        let policies = ["netclone", "netclone+jsq", "jsq", "random", "always"];
        let copies = ["auto", "auto", "full", "split"];
        let probes = [0.0, 0.02, 0.5, 1.0];
        let mut config = json!({
            "policy": policies[usize::from(second & 7) % 5],
            "vip": [self.address([10, 0, 0, 100], 0)],
            "mode": if self.inline { "inline" } else { "gateway" },
            "servers": servers,
            "filter": second >> 3 & 3 != 3,
            "verify_checksums": third & 1 == 0,
            "bad_input": if self.drops_bad_input() { "drop" } else { "pass" },
            "fragments": if third & 4 == 0 { "pass" } else { "drop" },
            "clone_copy": copies[usize::from(third >> 3 & 3)],
            "msg_table_log2": 4,
            "clone_copy_max": if third & 0x80 == 0 { 2048 } else { 64 },
            "idle_threshold": fourth & 3,
            "jsq_probe": probes[usize::from(fourth >> 2 & 3)],
            "clone_budget_pps": if watched & 32 == 0 { 0 } else { 1000 },
        });
        let mut set = |key: &str, value: Value| config[key] = value;
        match self.wire {
            Wire::V1 | Wire::Compat28 => {
                let is_winner = filter_mode == 2;
                set(
                    "filter_mode",
                    json!(["single", "ordered", "winner"][usize::from(filter_mode)]),
                );
                set("tables", json!(if second & 64 == 0 { 2 } else { 1 }));
                set("slots_log2", json!(if is_winner { 16 } else { 10 }));
                set(
                    "slot_index",
                    json!(if second & 32 == 0 { "dense" } else { "hash" }),
                );
                set("msg_table_log2", json!(4));
                set(
                    "state_max_age_us",
                    json!(if fifth & 16 == 0 { 0 } else { 2000 }),
                );
                set(
                    "state_scope",
                    json!(if second & 0x80 == 0 {
                        "shared"
                    } else {
                        "per-core"
                    }),
                );
                set(
                    "on_server_fail",
                    json!(if watched & 64 == 0 { "remap" } else { "shrink" }),
                );
                set(
                    "probe_interval_us",
                    json!(if watched & 16 == 0 { 0 } else { 5000 }),
                );
                if self.wire == Wire::Compat28 {
                    set("wire", json!("compat28"));
                }
                if first & 32 != 0 {
                    set("l4_ports", json!([9043, 53, 80]));
                }
                if first & 0x80 != 0 {
                    set("vip", json!([]));
                } else if third >> 5 & 3 != 0 {
                    set("rewrite_resp_src", json!(third & 32 != 0));
                }
                if watched & 0x80 != 0
                    && let [first, second, .., last] = places
                {
                    let pairs = [[first, second], [last, first], [second, last]];
                    let sids = pairs.map(|pair| pair.map(|&place| SIDS[place]));
                    set("groups", json!(sids));
                }
            }
            Wire::Memcached | Wire::Dns | Wire::Flow => {
                let name = match self.wire {
                    Wire::Memcached => "memcached",
                    Wire::Dns => "dns",
                    _ => "flow",
                };
                let writes = [
                    json!("drop"),
                    json!("pass"),
                    json!({ "server": SIDS[places[0]] }),
                ];
                let service = json!({
                    "port": self.port(),
                    "protocol": name,
                    "server_port": self.server_port(),
                    "writes": writes[usize::from(fifth & 3) % 3],
                    "many_datagrams": fifth & 8 != 0 && self.wire == Wire::Flow,
                });
                set("wire", json!("none"));
                set("services", json!([service]));
                set("requests_log2", json!(6));
                set("answer_timeout_us", json!(2000));
                set("forget_us", json!(10_000));
            }
        }
        config
    }

    fn server_setting(&self, place: usize) -> Value {
        let fourth = self.head[4];
        let mut server = json!({ "sid": SIDS[place], "ip": self.server(place) });
        if self.inline && (fourth & 16 == 0 || place == 0) {
            server["mac"] = json!(Rack::server_mac(place).to_string());
        }
        if self.inline && fourth & 32 != 0 && place % 2 == 1 {
            server["vlan"] = json!(100 + place);
        }
        if fourth & 64 != 0 {
            server["weight"] = json!(1 + 3 * place);
        }
        server
    }

    /// A bench with that pool; one of twins goes by the way of all packets, which tracing forces.
    pub fn bench(&self, pool: Mempool, is_slow: bool) -> StageBench {
        let mut options = BenchOptions {
            cores: self.cores,
            pool: Some(pool),
            ..BenchOptions::default()
        };
        for (port, mac) in options.ports.iter_mut().zip(OUR_MACS) {
            port.mac = mac.0;
        }
        // Settings are checked the first time that they come.
        let is_new = CHECKED.with_borrow_mut(|checked| checked.insert(self.head));
        let kind = Alone { is_new };
        let mut bench = StageBench::with(&kind, self.settings(&[0, 1, 2, 3]), options);
        if is_slow {
            bench.trace_into(TraceSession::new(u32::MAX, None, 1));
        }
        bench
    }
}

/// The kind of the stage, checked as if there were a router behind it even where there is none: its tables
/// take longer to make than a whole script.
struct Alone {
    is_new: bool,
}

impl StageKind for Alone {
    fn name(&self) -> &'static str {
        CloneKind.name()
    }

    fn summary(&self) -> &'static str {
        CloneKind.summary()
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        CloneKind.schema(generator)
    }

    fn check(
        &self,
        config: &Value,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        if !self.is_new {
            return;
        }
        let chain = vec!["clone".to_owned(), "route".to_owned()];
        let context = CheckContext {
            chain,
            ..context.clone()
        };
        CloneKind.check(config, path, &context, problems);
    }

    fn counters(&self) -> &'static [CounterDesc] {
        CloneKind.counters()
    }

    fn reasons(&self) -> &'static [&'static str] {
        CloneKind.reasons()
    }

    fn build(
        &self,
        config: &Value,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        CloneKind.build(config, context)
    }
}

thread_local! {
    static CHECKED: RefCell<HashSet<[u8; 8]>> = RefCell::new(HashSet::new());
    static POOLS: RefCell<Vec<Mempool>> = const { RefCell::new(Vec::new()) };
}

/// The thread's pool of that number.
pub fn own_pool(number: usize) -> Mempool {
    POOLS.with_borrow_mut(|pools| {
        while pools.len() <= number {
            pools.push(pool(PACKETS));
        }
        pools[number].clone()
    })
}
