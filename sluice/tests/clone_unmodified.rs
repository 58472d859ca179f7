//! Real clients' traffic to real servers that know nothing of cloning: three memcached over UDP and
//! three DNS servers behind one appliance. `SLUICE_REQUESTS` sets how many requests are made.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{
    Memcached, Need, Netns, Process, Sluice, compute_checksums, interface_name, require, wait_for,
};

const LIMIT: Duration = Duration::from_secs(15);

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often it asks again, with a new id.
const TRIES: u32 = 40;

const VIP: [u8; 4] = [10, 78, 0, 100];
const SERVERS: [[u8; 4]; 3] = [[10, 79, 0, 11], [10, 79, 0, 12], [10, 79, 0, 13]];

/// Keys that the servers have; every tenth has a value of several datagrams.
const KEYS: u32 = 100;

/// How many requests a test makes.
fn requests() -> u32 {
    std::env::var("SLUICE_REQUESTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000)
}

/// Clients, an appliance and servers, each in a namespace, joined by links that outlive the appliance.
struct Rack {
    clients: Netns,
    middle: Netns,
    servers: Netns,
    interfaces: [String; 2],
}

impl Rack {
    fn new() -> Rack {
        let rack = Rack {
            clients: Netns::quiet("clients"),
            middle: Netns::quiet("middle"),
            servers: Netns::quiet("servers"),
            interfaces: [interface_name("c"), interface_name("s")],
        };
        let [clients, servers] = &rack.interfaces;
        let addresses = ["10.79.0.11/24", "10.79.0.12/24", "10.79.0.13/24"];
        for (end, interface, addresses) in [
            (&rack.clients, clients, &["10.78.0.2/24"][..]),
            (&rack.servers, servers, &addresses[..]),
        ] {
            end.join((interface, addresses), &rack.middle, (interface, &[]));
            compute_checksums(end, interface);
        }
        rack.servers
            .ip(&["route", "add", "default", "via", "10.79.0.1"]);
        rack
    }

    fn start(&self, services: &Value) -> Sluice<'_> {
        let port = |name: &str, side: &str, interface: &str| {
            json!({
                "name": name, "side": side,
                "device": { "type": "af_packet", "interface": interface },
            })
        };
        let [clients, servers] = &self.interfaces;
        let sids = SERVERS.iter().enumerate().map(|(sid, ip)| {
            let [a, b, c, d] = ip;
            json!({ "sid": sid, "ip": format!("{a}.{b}.{c}.{d}") })
        });
        let config = json!({
            "ports": [port("clients", "client", clients), port("servers", "server", servers)],
            "chain": [
                { "stage": "clone", "config": {
                    "wire": "none", "policy": "netclone+jsq", "vip": ["10.78.0.100"],
                    "servers": sids.collect::<Vec<_>>(), "services": services,
                    "idle_threshold": 2,
                } },
                { "stage": "route", "config": { "addresses": {
                    "clients": ["10.78.0.1/24", "10.78.0.100/24"], "servers": ["10.79.0.1/24"],
                } } },
            ],
        });
        Sluice::builder(config).netns(&self.middle).start()
    }

    fn socket(&self, port: u16) -> UdpSocket {
        self.clients.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(SocketAddr::from((VIP, port))).unwrap();
            socket
        })
    }
}

fn count(sluice: &Sluice<'_>, name: &str) -> u64 {
    let series = format!("sluice_clone_{name}_total");
    sluice.metric(&series).unwrap_or_default() as u64
}

/// What a client saw.
#[derive(Debug, Default)]
struct Tally {
    right: u32,
    wrong: u32,
    lost: u32,
    /// Datagrams to a request that had its whole answer.
    twice: u32,
    again: u32,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self.twice += other.twice;
        self.again += other.again;
    }

    /// Nothing wrong, nothing lost, nothing twice.
    fn assert_perfect(&self, requests: u32) {
        assert_eq!((self.wrong, self.lost, self.twice), (0, 0, 0), "{self:?}");
        assert_eq!(self.right, requests, "{self:?}");
        eprintln!("{self:?}");
    }
}

/// A protocol as a client sees it.
trait Speaks {
    /// The request of that id for item `n`.
    fn request(&self, id: u16, n: u32) -> Vec<u8>;
    /// The id of an answer.
    fn id(&self, datagram: &[u8]) -> Option<u16>;
    /// Which part of the answer to the request for item `n` it is, and how many parts there are.
    fn part(&self, n: u32, datagram: &[u8]) -> Option<(usize, usize)>;
    /// Whether the answer is right.
    fn is_right(&self, id: u16, n: u32, parts: &[Vec<u8>]) -> bool;
}

/// A client that asks, waits, and asks again with a new id; until `requests` are made or `stop` is set.
fn client(speaks: &dyn Speaks, socket: &UdpSocket, requests: u32, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut answered = vec![false; 65_536];
    let mut id = 0_u16;
    let mut buffer = vec![0; 65_536];
    for n in 0..requests {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut done = false;
        for attempt in 0..TRIES {
            tally.again += u32::from(attempt > 0);
            id = id.wrapping_add(1);
            answered[usize::from(id)] = false;
            // Refused while a server or the appliance is away: as if lost.
            let _ = socket.send(&speaks.request(id, n));
            let end = Instant::now() + PATIENCE;
            let mut parts: Vec<Option<Vec<u8>>> = Vec::new();
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                socket
                    .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                    .unwrap();
                let Ok(length) = socket.recv(&mut buffer) else {
                    continue;
                };
                let datagram = &buffer[..length];
                let of = speaks.id(datagram);
                if of != Some(id) {
                    let old = of.is_some_and(|of| answered[usize::from(of)]);
                    tally.twice += u32::from(old);
                    continue;
                }
                let Some((part, all)) = speaks.part(n, datagram) else {
                    eprintln!(
                        "not understood: {:x?}",
                        datagram.get(..40).unwrap_or(datagram)
                    );
                    tally.wrong += 1;
                    continue;
                };
                parts.resize(all, None);
                tally.twice += u32::from(parts[part].is_some());
                parts[part] = Some(datagram.to_vec());
                if parts.iter().all(Option::is_some) {
                    done = true;
                    break;
                }
            }
            if done {
                answered[usize::from(id)] = true;
                let parts: Vec<Vec<u8>> = parts.into_iter().flatten().collect();
                match speaks.is_right(id, n, &parts) {
                    true => tally.right += 1,
                    false => {
                        eprintln!(
                            "wrong answer to {n}: {:?}",
                            String::from_utf8_lossy(&parts[0])
                        );
                        tally.wrong += 1;
                    }
                }
                break;
            }
        }
        tally.lost += u32::from(!done);
    }
    // The slower answers, if they should come.
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while let Ok(length) = socket.recv(&mut buffer) {
        if let Some(of) = speaks.id(&buffer[..length]) {
            tally.twice += u32::from(answered[usize::from(of)]);
        }
    }
    tally
}

/// Three clients at once, and what the test does meanwhile.
fn clients(
    rack: &Rack,
    port: u16,
    speaks: &(dyn Speaks + Sync),
    each: u32,
    meanwhile: impl FnOnce(&AtomicBool),
) -> Tally {
    let stop = AtomicBool::new(false);
    let sockets: Vec<UdpSocket> = (0..3).map(|_| rack.socket(port)).collect();
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let stop = &stop;
        let threads: Vec<_> = sockets
            .iter()
            .map(|socket| scope.spawn(move || client(speaks, socket, each, stop)))
            .collect();
        meanwhile(stop);
        for thread in threads {
            all.add(&thread.join().unwrap());
        }
    });
    all
}

/// memcached's ASCII protocol over UDP.
struct Gets;

fn value(server: usize, n: u32) -> String {
    let length = if n.is_multiple_of(10) { 5000 } else { 40 };
    let mut value = format!("from {server} key{n}: ");
    let pattern = value.clone();
    while value.len() < length {
        value.push_str(&pattern);
    }
    value
}

/// The keys that request `n` is for.
fn keys(n: u32) -> Vec<u32> {
    match n % 7 {
        // Two at once, which have short values.
        5 => vec![n / 7 % 10 * 10 + 3, n / 7 % 9 * 10 + 7],
        _ => vec![n % KEYS],
    }
}

impl Speaks for Gets {
    fn request(&self, id: u16, n: u32) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 1, 0, 0]);
        let keys: String = keys(n).iter().map(|key| format!(" key{key}")).collect();
        let command = match n % 7 {
            6 => "get nobody\r\n".to_owned(),
            _ => format!("get{keys}\r\n"),
        };
        bytes.extend(command.as_bytes());
        bytes
    }

    fn id(&self, datagram: &[u8]) -> Option<u16> {
        datagram.first_chunk().map(|id| u16::from_be_bytes(*id))
    }

    fn part(&self, n: u32, datagram: &[u8]) -> Option<(usize, usize)> {
        if n % 7 == 5 {
            // A message for each key.
            let text = String::from_utf8_lossy(&datagram[8..]);
            let part = keys(n)
                .iter()
                .position(|key| text.starts_with(&format!("VALUE key{key} ")));
            return Some((part?, 2));
        }
        let word = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let (part, all) = (usize::from(word(2)?), usize::from(word(4)?));
        (part < all).then_some((part, all))
    }

    fn is_right(&self, _id: u16, n: u32, parts: &[Vec<u8>]) -> bool {
        let text: Vec<u8> = parts.iter().flat_map(|part| &part[8..]).copied().collect();
        if n % 7 == 6 {
            return text == b"END\r\n";
        }
        // All of one server.
        (0..SERVERS.len()).any(|server| {
            let values = keys(n).into_iter().map(|key| {
                let value = value(server, key);
                format!("VALUE key{key} 0 {}\r\n{value}\r\n", value.len())
            });
            text == format!("{}END\r\n", values.collect::<String>()).as_bytes()
        })
    }
}

fn start_memcached(rack: &Rack) -> Vec<Memcached> {
    let start = |(server, ip): (usize, &[u8; 4])| {
        let address = SocketAddr::from((*ip, 11211));
        let memcached = Memcached::start(Some(&rack.servers), address).unwrap();
        fill(rack, server);
        memcached
    };
    SERVERS.iter().enumerate().map(start).collect()
}

/// Gives a server its values, its own way.
fn fill(rack: &Rack, server: usize) {
    let address = SocketAddr::from((SERVERS[server], 11211));
    let mut stream = rack.servers.run(|| TcpStream::connect(address)).unwrap();
    for n in 0..KEYS {
        let value = value(server, n);
        let set = format!("set key{n} 0 0 {}\r\n{value}\r\n", value.len());
        stream.write_all(set.as_bytes()).unwrap();
        let mut stored = [0; 8];
        stream.read_exact(&mut stored).unwrap();
        assert_eq!(&stored, b"STORED\r\n");
    }
}

fn memcached_service() -> Value {
    json!([{ "port": 11211, "protocol": "memcached" }])
}

/// Waits until the appliance answers for the service, so that neighbours are known.
fn warm_up(rack: &Rack, port: u16, speaks: &(dyn Speaks + Sync)) {
    let tally = clients(rack, port, speaks, 50, |_| {});
    assert_eq!(tally.lost, 0, "{tally:?}");
}

#[test]
fn f08_f14_f17_memcached_gets_are_answered_once_and_right() {
    require!(Need::Root, Need::Command("memcached"));
    let rack = Rack::new();
    let _servers = start_memcached(&rack);
    let sluice = rack.start(&memcached_service());
    let level = sluice.packets_in_use();
    warm_up(&rack, 11211, &Gets);
    let each = requests() / 3;
    let tally = clients(&rack, 11211, &Gets, each, |_| {});
    tally.assert_perfect(each * 3);
    assert!(count(&sluice, "plain_cloned") > u64::from(each) / 4);
    assert!(count(&sluice, "plain_slower") > u64::from(each) / 8);
    assert!(count(&sluice, "plain_further") > 0);

    // A write is not spread over servers that do not tell each other.
    let socket = rack.socket(11211);
    let mut set = vec![0, 9, 0, 0, 0, 1, 0, 0];
    set.extend(b"set key1 0 0 1\r\nx\r\n");
    socket.send(&set).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
    assert_eq!(count(&sluice, "plain_write_refused"), 1);
    clients(&rack, 11211, &Gets, 100, |_| {}).assert_perfect(300);
    sluice.assert_conserved(level);
}

/// One server is killed, one hangs, one is drained, the appliance is killed and started again, all while
/// clients ask.
#[test]
fn f08_f21_f22_x06_x08_memcached_clients_get_their_answers_while_servers_and_the_appliance_fail() {
    require!(Need::Root, Need::Command("memcached"));
    let rack = Rack::new();
    let mut servers = start_memcached(&rack);
    let mut sluice = rack.start(&memcached_service());
    warm_up(&rack, 11211, &Gets);
    let pause = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
    let tally = clients(&rack, 11211, &Gets, u32::MAX, |stop| {
        let state = |sluice: &Sluice<'_>, sid: usize, wanted: &str| {
            wait_for(&format!("server {sid} to be {wanted}"), LIMIT, || {
                let shown = sluice
                    .post("/api/v1/stages/clone/servers", &json!(null))
                    .json();
                (shown["servers"][sid]["state"] == wanted).then_some(())
            })
            .unwrap();
        };
        let command = |sluice: &Sluice<'_>, verb: &str, sid: usize| {
            let path = format!("/api/v1/stages/clone/{verb}");
            let done = sluice.post(&path, &json!({ "sid": sid }));
            assert_eq!(done.status, 200, "{}", done.text());
        };
        pause(300);
        servers[0].process().kill();
        state(&sluice, 0, "down");
        pause(300);
        // A server that comes back empty would answer misses: not before it has its values.
        command(&sluice, "drain", 0);
        servers[0] = Memcached::start(Some(&rack.servers), servers[0].address()).unwrap();
        fill(&rack, 0);
        command(&sluice, "restore", 0);
        state(&sluice, 0, "up");
        servers[1].process().signal(Signal::STOP);
        state(&sluice, 1, "down");
        pause(300);
        servers[1].process().signal(Signal::CONT);
        state(&sluice, 1, "up");
        command(&sluice, "drain", 2);
        state(&sluice, 2, "drained");
        pause(300);
        command(&sluice, "restore", 2);
        pause(300);
        sluice.start_again();
        pause(500);
        stop.store(true, Ordering::Relaxed);
    });
    let made = tally.right + tally.wrong + tally.lost;
    assert!(made > 1000, "{tally:?}");
    tally.assert_perfect(made);
}

/// DNS queries with random-looking case.
struct Queries;

fn name(n: u32) -> String {
    format!("host{}.example", n % KEYS)
}

/// The name with some letters in upper case, by the id.
fn spelt(id: u16, n: u32) -> String {
    let letter = |(at, letter): (usize, char)| match id >> (at % 16) & 1 {
        1 => letter.to_ascii_uppercase(),
        _ => letter,
    };
    name(n).chars().enumerate().map(letter).collect()
}

fn question(id: u16, n: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in spelt(id, n).split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

impl Speaks for Queries {
    fn request(&self, id: u16, n: u32) -> Vec<u8> {
        let words = [id, 0x0100, 1, 0, 0, 1];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(question(id, n));
        // EDNS, 1232 bytes.
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    fn id(&self, datagram: &[u8]) -> Option<u16> {
        datagram.first_chunk().map(|id| u16::from_be_bytes(*id))
    }

    fn part(&self, _n: u32, _datagram: &[u8]) -> Option<(usize, usize)> {
        Some((0, 1))
    }

    fn is_right(&self, id: u16, n: u32, parts: &[Vec<u8>]) -> bool {
        let answer = &parts[0];
        let question = question(id, n);
        let host = (n % KEYS) as u8;
        // A reply without error, its question in our own spelling, and one address.
        answer[2] & 0x80 != 0
            && answer[3] & 15 == 0
            && answer.get(12..12 + question.len()) == Some(&question[..])
            && answer.windows(4).any(|window| window == [10, 99, 0, host])
    }
}

fn start_dns(rack: &Rack) -> Vec<Process> {
    let start = |ip: &[u8; 4]| {
        let [a, b, c, d] = ip;
        let mut command: Command = rack.servers.command("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--bind-interfaces",
                "--user=root",
                "--pid-file=",
                "--log-facility=-",
            ])
            .arg(format!("--listen-address={a}.{b}.{c}.{d}"))
            .args(["--except-interface=lo", "--local-ttl=60"]);
        for n in 0..KEYS {
            command.arg(format!("--host-record={},10.99.0.{n}", name(n)));
        }
        Process::spawn("dnsmasq", &mut command).unwrap()
    };
    SERVERS.iter().map(start).collect()
}

#[test]
fn f08_x06_dns_queries_are_answered_once_and_right_also_when_a_server_dies() {
    require!(Need::Root, Need::Command("dnsmasq"));
    let rack = Rack::new();
    let mut servers = start_dns(&rack);
    let sluice = rack.start(&json!([{ "port": 53, "protocol": "dns" }]));
    warm_up(&rack, 53, &Queries);
    let each = requests() / 6;
    clients(&rack, 53, &Queries, each, |_| {}).assert_perfect(each * 3);
    assert!(count(&sluice, "plain_cloned") > u64::from(each) / 4);
    assert!(count(&sluice, "plain_slower") > u64::from(each) / 8);
    let tally = clients(&rack, 53, &Queries, u32::MAX, |stop| {
        std::thread::sleep(Duration::from_millis(300));
        servers[1].kill();
        wait_for("the dead server to be found", LIMIT, || {
            (count(&sluice, "server_down") > 0).then_some(())
        })
        .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
    });
    let made = tally.right + tally.wrong + tally.lost;
    tally.assert_perfect(made);
}
