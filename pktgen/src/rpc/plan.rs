//! What the flags of `pktgen rpc` ask for, checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use workload::Scheme;
use workload::distribution::{Distribution, Unit};
use workload::rpc::{Appliance, ClientConfig, Retry};
use workload::scheme::{Cluster, Route};
use workload::service::ServiceTime;
use workload::statistics::Objective;

use super::read;
use crate::cli::{RpcArgs, ServiceArgs};

/// The longest message, in as many packets as it may have.
const LONGEST_MESSAGE: usize =
    nf_clone::message::MAX_PACKETS * nf_clone::message::DEFAULT_PACKET_PAYLOAD;

/// Where the servers' capacity is known from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Capacity {
    /// Workers over their mean service time.
    Declared(f64),
    /// A closed loop, before everything else.
    Measured,
}

/// What is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    /// These loads.
    Loads(Vec<f64>),
    /// These rates.
    Rates(Vec<f64>),
    /// A closed loop, once.
    Closed,
    /// A search for the knee.
    Search,
}

/// A checked plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The schemes, in their order.
    pub schemes: Vec<Scheme>,
    /// The load points.
    pub points: Points,
    /// Of the servers.
    pub capacity: Capacity,
    /// Requests that all servers work on at a time.
    pub workers: u64,
    /// What a client is like; scheme, rate, seed, index, addresses and start are each run's.
    pub client: ClientConfig,
    /// How many there are.
    pub clients: u32,
    /// Their address.
    pub from: IpAddr,
    /// Source ports of each.
    pub source_ports: u16,
    /// How often each point is run.
    pub repetitions: u32,
    /// What the knee is the best throughput under.
    pub objective: Option<Objective>,
    /// A command to run before each scheme.
    pub prepare: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// The workload in words.
    pub workload: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The service times that the flags describe.
pub fn service(args: &ServiceArgs) -> Result<ServiceTime, String> {
    if !(1e-6..=1e9).contains(&args.time_scale) {
        return Err(format!(
            "--time-scale: expected a divisor such as 100, found {}",
            args.time_scale
        ));
    }
    let distribution = Distribution::parse(&args.service_time, Unit::Time)
        .map_err(|error| format!("--service-time: {error}"))?;
    Ok(ServiceTime::new(distribution, args.jitter).scaled(args.time_scale))
}

/// Each server's workers: one number for all, or one for each.
pub fn workers(args: &ServiceArgs, servers: usize) -> Result<Vec<u32>, String> {
    if args.workers.contains(&0) {
        return Err("--workers: a server has at least one worker".into());
    }
    match args.workers.as_slice() {
        [one] => Ok(vec![*one; servers]),
        each if each.len() == servers => Ok(each.to_vec()),
        each => Err(format!(
            "--workers: one number, or one for each of the {servers} servers; found {}",
            each.len()
        )),
    }
}

fn sizes(flag: &str, text: &str) -> Result<Distribution, String> {
    let distribution =
        Distribution::parse(text, Unit::Bytes).map_err(|error| format!("{flag}: {error}"))?;
    let longest = longest(&distribution);
    if longest > LONGEST_MESSAGE as f64 {
        return Err(format!(
            "{flag}: messages have at most {LONGEST_MESSAGE} bytes, and these up to {longest:.0}; cut \
             them, such as cap({text},{LONGEST_MESSAGE}B)"
        ));
    }
    Ok(distribution)
}

/// The greatest value of a distribution.
fn longest(distribution: &Distribution) -> f64 {
    match distribution {
        Distribution::Constant(value) => *value,
        Distribution::Exponential(_) | Distribution::Methods(_) => f64::INFINITY,
        Distribution::LogNormal { cap, .. } => *cap,
        Distribution::Quantiles(table) => table.cap(),
        Distribution::Mixture(mixture) => mixture
            .parts()
            .iter()
            .map(|(_, part)| longest(part))
            .fold(0.0, f64::max),
        Distribution::Capped(of, cap) => longest(of).min(*cap),
    }
}

fn cluster(args: &RpcArgs) -> Result<Cluster, String> {
    let of = |flag: &str, text: &Option<String>, port| {
        text.as_deref()
            .map(|text| read::address(text, port).map_err(|error| format!("{flag}: {error}")))
            .transpose()
    };
    Ok(Cluster {
        service: of("--vip", &args.schemes.vip, nf_clone::wire::DEFAULT_PORT)?,
        coordinator: of(
            "--coordinator",
            &args.schemes.coordinator,
            args.schemes.direct_port,
        )?,
        servers: args
            .schemes
            .servers
            .as_deref()
            .map(|text| {
                read::addresses(text, args.schemes.direct_port)
                    .map_err(|error| format!("--servers: {error}"))
            })
            .transpose()?
            .unwrap_or_default(),
    })
}

/// What is missing, in the words of the flags.
fn check_cluster(cluster: &Cluster, scheme: Scheme) -> Result<(), String> {
    let flag = match scheme.route() {
        Route::Servers => "--servers",
        Route::Coordinator => "--coordinator",
        Route::Service => "--vip",
    };
    cluster
        .targets(scheme)
        .map(drop)
        .map_err(|error| format!("{error}: {flag}"))
}

fn points(args: &RpcArgs) -> Result<Points, String> {
    if args.load.arrival.is_closed() {
        if !args.load.rate.is_empty() || !args.load.load.is_empty() || args.load.find_knee {
            return Err("a closed loop has no rate: --arrival closed:N stands alone".into());
        }
        return Ok(Points::Closed);
    }
    if args.load.find_knee {
        return Ok(Points::Search);
    }
    if !args.load.load.is_empty() {
        return read::loads(&args.load.load)
            .map(Points::Loads)
            .map_err(|error| format!("--load: {error}"));
    }
    let mut rates = args
        .load
        .rate
        .iter()
        .map(|text| read::rate(text).map_err(|error| format!("--rate: {error}")))
        .collect::<Result<Vec<f64>, String>>()?;
    if rates.is_empty() {
        return Err("how much: give --rate, --load, --find-knee or --arrival closed:N".into());
    }
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    Ok(Points::Rates(rates))
}

/// The clients' address: one from which the targets can be reached.
fn from(args: &RpcArgs, target: SocketAddr) -> Result<IpAddr, String> {
    if let Some(from) = args.clients.from {
        return Ok(from);
    }
    if args.place.port.is_some() {
        return Err("--port needs the clients' address: --from".into());
    }
    // The kernel tells which address it would use; nothing is sent.
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    std::net::UdpSocket::bind(any)
        .and_then(|socket| {
            socket.connect(target)?;
            socket.local_addr()
        })
        .map(|address| address.ip())
        .map_err(|error| format!("no way to {target}: {error}; give the clients' address: --from"))
}

impl Plan {
    /// Checks the flags.
    pub fn new(args: &RpcArgs, seed: u64) -> Result<Plan, String> {
        let cluster = cluster(args)?;
        let mut schemes: Vec<Scheme> = Vec::new();
        for scheme in &args.schemes.scheme {
            check_cluster(&cluster, *scheme)?;
            if !schemes.contains(scheme) {
                schemes.push(*scheme);
            }
        }
        let first = schemes.first().copied().ok_or("--scheme: at least one")?;
        let service = service(&args.service)?;
        let workers = if cluster.servers.is_empty() {
            args.service.workers.clone()
        } else {
            workers(&args.service, cluster.servers.len())?
        };
        let workers: u64 = workers.iter().copied().map(u64::from).sum();
        let points = points(args)?;
        let capacity = match args.load.capacity.as_str() {
            "declared" => Capacity::Declared(service.capacity(workers)),
            "measured" => Capacity::Measured,
            text => Capacity::Declared(
                read::rate(text).map_err(|error| format!("--capacity: {error}"))?,
            ),
        };
        let needs_capacity = matches!(points, Points::Loads(_) | Points::Search);
        if needs_capacity && args.load.capacity == "declared" && cluster.servers.is_empty() {
            return Err("shares of the capacity: name the --servers, or give --capacity".into());
        }
        for (flag, count) in [
            ("--clients", args.clients.clients),
            ("--repetitions", args.load.repetitions),
            ("--source-ports", args.clients.source_ports.into()),
        ] {
            if count == 0 {
                return Err(format!("{flag}: at least 1"));
            }
        }
        if args.load.duration.nanoseconds() == 0 {
            return Err("--duration: more than 0".into());
        }
        let target = cluster.targets(first).map(|targets| match targets {
            workload::scheme::Targets::One(address) => Some(address),
            workload::scheme::Targets::Servers(servers) => servers.first().copied(),
        })?;
        let from = from(args, target.ok_or("--servers: at least one")?)?;
        let servers = cluster.servers.len() as u32;
        let mut client = ClientConfig::new(first, cluster, service, 0.0);
        let groups = args
            .schemes
            .groups
            .unwrap_or_else(|| nf_clone::client::Config::groups_of(servers));
        if groups == 0 && schemes.iter().any(|s| s.route() == Route::Service) {
            return Err(
                "how many groups the appliance has: give --groups, or name the --servers (at least \
                 two) and there are n(n-1)"
                    .into(),
            );
        }
        client.appliance = Appliance {
            groups: groups.max(1),
            tables: args.schemes.tables,
        };
        client.arrival = args.load.arrival;
        client.warm_up_ns = args.load.warm_up.nanoseconds();
        client.duration_ns = args.load.duration.nanoseconds();
        client.settle_ns = args.load.settle.nanoseconds();
        client.draw = args.requests.draw;
        client.request_bytes = sizes("--request-size", &args.requests.request_size)?;
        client.response_bytes = sizes("--response-size", &args.requests.response_size)?;
        client.writes =
            read::share(&args.requests.writes).map_err(|error| format!("--writes: {error}"))?;
        match args.schemes.hedge_after.strip_prefix('p') {
            Some(percent) => {
                let share = read::share(&format!("{percent}%"));
                let share = share.ok().filter(|share| (0.01..1.0).contains(share));
                client.hedge_quantile = Some(share.ok_or_else(|| hedge_after(args))?);
            }
            None => {
                let time = args.schemes.hedge_after.parse::<crate::units::Time>();
                client.hedge_after_ns = time.map_err(|_| hedge_after(args))?.nanoseconds();
            }
        }
        client.retry = args.clients.timeout.map(|timeout| Retry {
            timeout: timeout.0.max(Duration::from_nanos(1)),
            retries: args.clients.retries,
        });
        let plan = Plan {
            workload: in_words(args, &client, workers),
            schemes,
            points,
            capacity,
            workers,
            clients: args.clients.clients,
            from,
            source_ports: args.clients.source_ports,
            repetitions: args.load.repetitions,
            objective: args
                .load
                .objective
                .map(|time| Objective::p99(time.nanoseconds() as f64)),
            prepare: args.schemes.prepare.clone(),
            seed,
            notes: Vec::new(),
            client,
        };
        plan.try_client()?;
        Ok(plan)
    }

    /// Makes a client, to hear what is wrong before anything starts.
    fn try_client(&self) -> Result<(), String> {
        let mut config = self.client.clone();
        config.sources = vec![SocketAddr::new(self.from, 1)];
        config.rate = 1.0;
        workload::rpc::Client::new(config).map(drop)
    }
}

fn hedge_after(args: &RpcArgs) -> String {
    format!(
        "--hedge-after: expected a time such as 1ms, or a percentile of the latency such as p95, found {:?}",
        args.schemes.hedge_after
    )
}

fn in_words(args: &RpcArgs, client: &ClientConfig, workers: u64) -> String {
    format!(
        "{} servers with {workers} workers, service times {}, drawn {}; arrivals {}; requests of {} and \
         responses of {}",
        client.cluster.servers.len(),
        client.service,
        args.requests.draw.name(),
        args.load.arrival,
        client.request_bytes.text(Unit::Bytes),
        client.response_bytes.text(Unit::Bytes),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    pub fn args(flags: &str) -> Result<RpcArgs, String> {
        let line = format!("pktgen rpc {flags}");
        let cli =
            Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Rpc(args) => Ok(args),
            _ => Err("not rpc".into()),
        }
    }

    fn plan(flags: &str) -> Result<Plan, String> {
        Plan::new(&args(flags)?, 1)
    }

    #[test]
    fn f25_flags_make_a_plan() {
        let plan = plan(
            "--servers 127.0.1.101+6 --vip 127.0.0.9 --coordinator 127.0.0.8 \
             --scheme M0,c-clone,laedge,M4 --load 10%,90% --service-time exp(25us) --objective 200us \
             --timeout 5ms --retries 2 --writes 5% --repetitions 3",
        )
        .unwrap();
        assert_eq!(plan.schemes.len(), 4);
        assert_eq!(plan.points, Points::Loads(vec![0.1, 0.9]));
        let Capacity::Declared(capacity) = plan.capacity else {
            panic!("declared");
        };
        assert!((capacity / 3.158e6 - 1.0).abs() < 1e-3, "{capacity}");
        assert_eq!(plan.client.cluster.service.unwrap().port(), 9043);
        assert_eq!(plan.client.cluster.coordinator.unwrap().port(), 9044);
        assert_eq!(plan.client.appliance.groups, 30);
        assert_eq!(plan.client.retry.unwrap().retries, 2);
        assert_eq!(plan.from, "127.0.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn f25_mistakes_name_their_flag() {
        let servers = "--servers 127.0.1.101+6";
        for (flags, expected) in [
            ("--rate 10k".to_owned(), "--servers"),
            (format!("{servers} --scheme M4 --rate 10k"), "--vip"),
            (format!("{servers} --scheme M2 --rate 10k"), "--coordinator"),
            (
                format!("{servers} --scheme M77 --rate 10k"),
                "there is no scheme",
            ),
            (servers.to_owned(), "--rate, --load"),
            (format!("{servers} --rate fast"), "--rate:"),
            (format!("{servers} --load much"), "--load:"),
            (
                format!("{servers} --rate 1k --service-time exp(25)"),
                "--service-time:",
            ),
            (format!("{servers} --rate 1k --jitter x"), "jitter"),
            (format!("{servers} --rate 1k --workers 1,2"), "--workers:"),
            (format!("{servers} --rate 1k --workers 0"), "--workers:"),
            (
                format!("{servers} --rate 1k --request-size fleet-size-req"),
                "--request-size:",
            ),
            (format!("{servers} --rate 1k --writes 200%"), "--writes:"),
            (format!("{servers} --rate 1k --clients 0"), "--clients"),
            (
                format!("{servers} --rate 1k --arrival closed:5"),
                "closed loop",
            ),
            (
                format!("{servers} --rate 1k --arrival often"),
                "way to arrive",
            ),
            (format!("{servers} --find-knee"), "--objective"),
            (
                format!("{servers} --rate 1k --hedge-after p100"),
                "--hedge-after:",
            ),
            (
                format!("{servers} --rate 1k --hedge-after soon"),
                "--hedge-after:",
            ),
            (format!("{servers} --rate 1k --port ring"), "--from"),
            (
                format!("{servers} --rate 1k --time-scale 0"),
                "--time-scale",
            ),
            (
                format!("{servers} --rate 1k --tables 17 --vip 127.0.0.1 --scheme M4"),
                "tables",
            ),
            ("--vip 127.0.0.1 --scheme M4 --rate 1k".into(), "--groups"),
            (
                "--vip 127.0.0.1 --scheme M4 --groups 6 --load 50%".into(),
                "--capacity",
            ),
            ("--servers 10.0.0.x --rate 1k".into(), "--servers:"),
        ] {
            let error = plan(&flags).unwrap_err();
            assert!(error.contains(expected), "{flags}: {error}");
        }
    }

    #[test]
    fn closed_loops_searches_and_other_servers() {
        let servers = "--servers 127.0.1.101+2";
        let closed = plan(&format!("{servers} --arrival closed:8")).unwrap();
        assert_eq!(closed.points, Points::Closed);
        let search = plan(&format!(
            "{servers} --find-knee --objective 1ms --capacity measured --workers 15,8"
        ))
        .unwrap();
        assert_eq!(
            (search.points, search.capacity),
            (Points::Search, Capacity::Measured)
        );
        assert_eq!(search.workers, 23);
        let given = plan(&format!("{servers} --load 50% --capacity 200k")).unwrap();
        assert_eq!(given.capacity, Capacity::Declared(2e5));
        let hedge = plan(&format!(
            "{servers} --rate 1k --scheme hedge --hedge-after p95"
        ))
        .unwrap();
        assert_eq!(hedge.client.hedge_quantile, Some(0.95));
    }
}
