//! Clients and servers over loopback: directly, and through a small relay that sends every request to two
//! servers and lets both answers through, as an appliance without a filter would.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nf_clone::client::Config;
use nf_clone::udp::{Answer, CallError, Client, Options, Server, Settings, Sources};
use nf_clone::wire::v1::{field, nack};
use nf_clone::wire::{Header, Kind, View};
use testkit::wait_for;

const V4: &str = "127.0.0.1:0";
const SHORT: Duration = Duration::from_millis(20);
/// Longer than any machine is slow.
const LONG: Duration = Duration::from_secs(20);

fn capitals(sid: u16) -> Server {
    start(V4, Settings::new(sid, 2))
}

fn start(address: &str, settings: Settings) -> Server {
    let server = Server::start(address, settings, |call, answer| {
        answer.extend(call.payload.to_ascii_uppercase());
    });
    server.expect("a server on loopback")
}

/// A client that waits long, and so sends nothing twice.
fn patient(service: SocketAddr) -> Client {
    let config = Config {
        timeout: LONG,
        ..Config::new(6)
    };
    Client::new(service, config, Sources::Service).expect("a socket on loopback")
}

fn hasty(service: SocketAddr) -> Client {
    let config = Config {
        timeout: SHORT,
        retries: 2,
        backoff: 1,
        ..Config::new(6)
    };
    Client::new(service, config, Sources::Service).expect("a socket on loopback")
}

/// A thread with a socket, until its guard is dropped.
struct Actor {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Actor {
    fn new(
        mut on_datagram: impl FnMut(&UdpSocket, &mut [u8], SocketAddr) + Send + 'static,
    ) -> Actor {
        let socket = UdpSocket::bind(V4).expect("a socket on loopback");
        socket.set_read_timeout(Some(SHORT)).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !stopped.load(Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    on_datagram(&socket, &mut buffer[..len], from);
                }
            }
        });
        Actor {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends every request to both servers and every answer to its client; counts the answers. What `lose`
/// says so of is lost.
fn relay(
    servers: [SocketAddr; 2],
    mut lose: impl FnMut(&View<'_>) -> bool + Send + 'static,
) -> (Actor, Arc<AtomicU64>) {
    let answers = Arc::new(AtomicU64::new(0));
    let counted = answers.clone();
    let mut clients = HashMap::new();
    let mut next_id = 0x0001_0000_0000_0001u64;
    let actor = Actor::new(move |socket, bytes, from| {
        let view = View::new(bytes).expect("a message");
        let (kind, client, cid) = (view.kind(), view.client_id(), view.flags().0 & 1 == 1);
        if lose(&view) {
            return;
        }
        if !kind.is_to_server() {
            counted.fetch_add(1, Relaxed);
            let _ = socket.send_to(bytes, clients[&client]);
            return;
        }
        clients.insert(client, from);
        if !cid {
            bytes[field::REQ_ID..][..8].copy_from_slice(&next_id.to_be_bytes());
            next_id += 1;
        }
        for (clo, server) in (1..).zip(servers) {
            bytes[field::CLO] = clo;
            let _ = socket.send_to(bytes, server);
        }
    });
    (actor, answers)
}

#[test]
fn f11_f12_calls_are_answered_over_both_families() {
    for address in [V4, "[::1]:0"] {
        let server = start(address, Settings::new(4, 2));
        let mut client = patient(server.address());
        for text in ["hello", "", "again"] {
            let answer = client.call(text.as_bytes()).expect("an answer");
            assert_eq!(answer.payload, text.to_uppercase().as_bytes());
            assert_eq!((answer.sid, answer.clo, answer.attempts), (4, 0, 1));
        }
        let write = Options {
            write: true,
            ..Options::default()
        };
        let answer = client.call_with(b"w", write).expect("an answer");
        assert_eq!(answer.payload, b"W");
        let totals = server.totals();
        assert_eq!((totals.received.reads, totals.received.writes), (3, 1));
        assert_eq!(totals.answered, 4);
    }
}

#[test]
fn f16_f17_long_messages_go_both_ways() {
    let server = capitals(1);
    let mut client = patient(server.address());
    let payload: Vec<u8> = (0..40_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let answer = client.call(&payload).expect("an answer");
    assert!(answer.payload == payload.to_ascii_uppercase());
    let Err(CallError::Begin(error)) = client.call(&vec![0; 400_000]) else {
        panic!("more than 255 packets");
    };
    assert!(error.to_string().contains("255 packets"), "{error}");
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn f12_of_two_answers_one_counts() {
    let all_served = |sid| {
        let mut settings = Settings::new(sid, 2);
        settings.server.drop_clones = false;
        start(V4, settings)
    };
    let servers = [all_served(0), all_served(1)];
    let (relay, answers) = relay([0, 1].map(|n: usize| servers[n].address()), |_| false);
    let mut client = patient(relay.address);
    for token in 0..200u64 {
        let options = Options {
            token,
            ..Options::default()
        };
        client.send(&token.to_be_bytes(), options).expect("room");
        if token % 20 == 19 {
            let mut seen = Vec::new();
            while let Some(completion) = client.wait(LONG).expect("a socket") {
                let answer = completion.result.expect("an answer");
                assert_eq!(
                    answer.payload,
                    completion.token.to_be_bytes().to_ascii_uppercase()
                );
                assert!(answer.clo == 1 + answer.sid as u8);
                seen.push(completion.token);
            }
            seen.sort_unstable();
            assert_eq!(seen, (token - 19..=token).collect::<Vec<_>>());
        }
    }
    let all = || (answers.load(Relaxed) == 400).then_some(());
    wait_for("both answers to each request", LONG, all).expect("400 answers");
    client.call(b"last").expect("an answer");
    let counters = client.counters();
    assert_eq!((counters.requests, counters.answered), (201, 201));
    assert!((200..=201).contains(&counters.redundant), "{counters:?}");
    assert_eq!(
        counters.retransmissions + counters.malformed + counters.unknown,
        0
    );
}

#[test]
fn f17_long_answers_of_two_servers_are_not_mixed() {
    let server = |sid: u16| {
        let mut settings = Settings::new(sid, 2);
        settings.server.drop_clones = false;
        let answer = move |_: nf_clone::udp::Call<'_>, answer: &mut Vec<u8>| {
            answer.extend(std::iter::repeat_n(sid as u8, 10_000));
        };
        Server::start(V4, settings, answer).expect("a server on loopback")
    };
    let servers = [server(0), server(1)];
    let (relay, _) = relay([0, 1].map(|n: usize| servers[n].address()), |_| false);
    let mut client = patient(relay.address);
    for _ in 0..50 {
        let answer = client.call(b"which").expect("an answer");
        assert!(answer.payload == vec![answer.sid as u8; 10_000]);
    }
}

#[test]
fn x01_lost_requests_and_answers_are_sent_again() {
    let servers = [capitals(0), capitals(1)];
    // Of each request the first attempt is lost, and of the second both answers.
    let seen = Mutex::new(HashMap::<u32, u32>::new());
    let lose = move |view: &View<'_>| {
        let mut seen = seen.lock().expect("a lock");
        let attempts = seen.entry(view.client_seq()).or_default();
        *attempts += u32::from(view.kind().is_to_server());
        match view.kind() {
            Kind::Request => *attempts == 1,
            _ => *attempts == 2,
        }
    };
    let (relay, _) = relay([0, 1].map(|n: usize| servers[n].address()), lose);
    let config = Config {
        timeout: SHORT,
        retries: 30,
        backoff: 1,
        ..Config::new(6)
    };
    let mut client = Client::new(relay.address, config, Sources::Service).expect("a socket");
    for _ in 0..5 {
        let answer = client.call(b"x").expect("an answer");
        assert!(answer.attempts >= 3 && answer.payload == b"X");
    }
    assert!(client.counters().retransmissions >= 10);
}

#[test]
fn f12_without_a_server_calls_end() {
    // A port where nobody is: the kernel says so, which must not end the client.
    let nobody = UdpSocket::bind(V4).expect("a socket").local_addr();
    let mut client = hasty(nobody.expect("an address"));
    let result = client.call(b"x");
    assert!(
        matches!(result, Err(CallError::NoAnswer { attempts: 3 })),
        "{result:?}"
    );
    let write = Options {
        write: true,
        token: 9,
        ..Options::default()
    };
    client.send(b"x", write).expect("room");
    let completion = client.wait(LONG).expect("a socket").expect("its end");
    assert_eq!(completion.token, 9);
    let result = completion.result;
    assert!(
        matches!(result, Err(CallError::NoAnswer { attempts: 1 })),
        "{result:?}"
    );
    assert!(client.wait(LONG).expect("a socket").is_none());
}

#[test]
fn f12_a_server_that_comes_later_gets_the_next_request() {
    // The kernel tells of the first, which found nobody, when the second is sent, and sends nothing then.
    let socket = UdpSocket::bind("127.0.0.77:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    drop(socket);
    let mut client = patient(address);
    client.send(b"nobody", Options::default()).expect("room");
    let _server = start(&address.to_string(), Settings::new(1, 1));
    let answer = client.call(b"somebody").expect("an answer");
    assert_eq!(
        (answer.attempts, &answer.payload[..]),
        (1, &b"SOMEBODY"[..])
    );
}

#[test]
fn f12_refusals_are_told() {
    let appliance = Actor::new(|socket, bytes, from| {
        let (header, _) = Header::decode(bytes).expect("a message");
        let refusal = Header {
            kind: Kind::Nack,
            load: match header.kind {
                Kind::Request => nack::NO_SERVER,
                _ => nack::WRITE_TO_VIP,
            },
            grp: 6,
            idx: 2,
            ..header
        };
        let _ = socket.send_to(&refusal.encode(), from);
    });
    let mut client = hasty(appliance.address);
    let result = client.call(b"x");
    assert!(
        matches!(result, Err(CallError::NoServer { attempts: 3 })),
        "{result:?}"
    );
    let write = Options {
        write: true,
        idempotent: true,
        ..Options::default()
    };
    let result = patient(appliance.address).call_with(b"x", write);
    assert!(
        matches!(result, Err(CallError::WriteToService)),
        "{result:?}"
    );
}

#[test]
fn f12_answers_from_servers_own_addresses_are_taken_where_wanted() {
    let own = UdpSocket::bind(V4).expect("a socket");
    let service = Actor::new(move |_, bytes, from| {
        let (header, _) = Header::decode(bytes).expect("a message");
        let kind = Kind::Response;
        let _ = own.send_to(&Header { kind, ..header }.encode(), from);
    });
    let config = Config {
        timeout: LONG,
        ..Config::new(6)
    };
    let mut client = Client::new(service.address, config, Sources::Any).expect("a socket");
    client.call(b"x").expect("an answer");
    let mut client = hasty(service.address);
    assert!(client.call(b"x").is_err());
}

/// A server with one worker, which waits for a word before each answer.
fn held() -> (Server, mpsc::Sender<()>) {
    let (word, words) = mpsc::channel::<()>();
    let words = Mutex::new(words);
    let server = Server::start(V4, Settings::new(1, 1), move |call, answer| {
        let _ = words.lock().expect("a lock").recv_timeout(LONG);
        answer.extend_from_slice(call.payload);
    });
    (server.expect("a server on loopback"), word)
}

/// What the appliance sends on.
fn forwarded(clo: u8, seq: u32) -> [u8; 40] {
    Header {
        clo,
        swid: 1,
        sid: 9,
        req_id: 1 << 48 | u64::from(seq),
        client_id: 7,
        client_seq: seq,
        ..Header::new(Kind::Request)
    }
    .encode()
}

#[test]
fn f11_late_clones_are_dropped_and_load_is_reported() {
    let (server, word) = held();
    let socket = UdpSocket::bind(V4).expect("a socket");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    let send = |clo, seq| {
        let sent = socket.send_to(&forwarded(clo, seq), server.address());
        sent.expect("loopback takes it");
    };
    let waiting =
        |n| wait_for("the line", LONG, || (server.waiting() == n).then_some(())).expect("a length");
    let read = || server.totals().received.reads;
    // The worker is busy, but nothing waits: the server is idle, and takes a clone.
    send(1, 0);
    wait_for("the first", LONG, || (read() == 1).then_some(())).expect("taken");
    waiting(0);
    send(2, 1);
    waiting(1);
    // Now something waits: clones are dropped, originals and others are not.
    send(2, 2);
    send(1, 3);
    waiting(2);
    send(0, 4);
    waiting(3);
    assert_eq!(server.totals().received.clones_dropped, 1);
    let mut loads = Vec::new();
    for expected in [0, 1, 3, 4] {
        word.send(()).expect("a worker");
        let mut buffer = [0; 100];
        let len = socket.recv(&mut buffer).expect("an answer");
        let (header, _) = Header::decode(&buffer[..len]).expect("a message");
        assert_eq!(
            (header.client_seq, header.sid, header.swid),
            (expected, 1, 1)
        );
        loads.push(header.load);
    }
    // Before the worker takes its next request.
    assert_eq!(loads, [3, 2, 1, 0]);
}

#[test]
fn f11_pings_are_answered_while_workers_are_busy() {
    let (server, _word) = held();
    let socket = UdpSocket::bind(V4).expect("a socket");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    let ping = |draining| {
        server.set_draining(draining);
        let ping = Header::new(Kind::Ping).encode();
        socket.send_to(&ping, server.address()).expect("loopback");
        let mut buffer = [0; 100];
        let len = socket.recv(&mut buffer).expect("an answer");
        Header::decode(&buffer[..len]).expect("a message").0
    };
    socket
        .send_to(&forwarded(0, 0), server.address())
        .expect("loopback");
    let pong = ping(false);
    assert_eq!((pong.kind, pong.sid), (Kind::Pong, 1));
    assert_eq!(ping(true).load, 0xffff);
    assert_ne!(ping(false).load, 0xffff);
}

#[test]
fn f11_a_handler_that_panics_costs_its_request_only() {
    let server = Server::start(V4, Settings::new(1, 1), |call, answer| {
        assert_ne!(call.payload, b"bad");
        answer.extend_from_slice(call.payload);
    });
    let server = server.expect("a server on loopback");
    assert!(hasty(server.address()).call(b"bad").is_err());
    let mut client = patient(server.address());
    assert_eq!(client.call(b"good").expect("an answer").payload, b"good");
    assert_eq!(server.totals().panicked, 3);
}

#[test]
fn f11_a_full_line_drops_what_comes() {
    let mut settings = Settings::new(1, 1);
    settings.queue = 0;
    let server = start(V4, settings);
    assert!(hasty(server.address()).call(b"x").is_err());
    let dropped = || (server.totals().overflowed == 3).then_some(());
    wait_for("three drops", LONG, dropped).expect("counted");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let start = |settings| Server::start(V4, settings, |_, _| {});
    assert!(start(Settings::new(1, 0)).is_err());
    assert!(start(Settings::new(0xffff, 1)).is_err());
    assert!(Client::new(V4, Config::new(0), Sources::Service).is_err());
    assert!(Client::new("127.0.0.1", Config::new(6), Sources::Service).is_err());
}

#[test]
fn the_examples_work() {
    use std::process::Command;
    use testkit::{Process, cargo_binary};

    let mut command = Command::new(cargo_binary("examples/clone_server"));
    let mut server = Process::spawn("clone_server", command.args(["127.0.0.1:0", "5", "2"]));
    let server = server.as_mut().expect("the example server");
    server
        .wait_for_log("listens at ", LONG)
        .expect("an address");
    let log = server.log();
    let address = log
        .split("listens at ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let output = Command::new(cargo_binary("examples/clone_client"))
        .args([address.expect("an address"), "1", "one", "two"])
        .output()
        .expect("the example client");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("ONE from server 5 in ") && text.contains("1: TWO in "),
        "{text}"
    );
}

#[test]
fn answers_can_be_compared() {
    let server = capitals(3);
    let answer: Answer = patient(server.address()).call(b"x").expect("an answer");
    assert_eq!(answer, answer.clone());
    assert!(answer.took > Duration::ZERO);
}
