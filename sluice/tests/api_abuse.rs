//! Nobody who talks to the API can take a packet from the appliance, or hold up those who behave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Body, Endpoint, Need, Sluice, require, wait_for};

/// Packets that go round between two ring ports for ever: each that is lost is missed.
const ROUND: u64 = 2 * 64;

fn start() -> Sluice<'static> {
    let port = |name: &str, side: &str| json!({"name": name, "side": side, "device": {"type": "ring", "seed_packets": 64}});
    Sluice::start(json!({
        "ports": [port("clients", "client"), port("servers", "server")],
        "chain": [{"stage": "pass", "name": "one"}],
    }))
}

fn address(sluice: &Sluice<'_>) -> SocketAddr {
    match sluice.http() {
        Endpoint::Tcp(address) => *address,
        Endpoint::Unix(_) => panic!("the reading door is TCP"),
    }
}

fn socket<'a>(sluice: &'a Sluice<'_>) -> &'a Path {
    match sluice.control() {
        Endpoint::Unix(path) => path,
        Endpoint::Tcp(_) => panic!("the changing door is a Unix socket"),
    }
}

fn passed(sluice: &Sluice<'_>) -> u64 {
    let chain = sluice.json("/api/v1/chain");
    let input = &chain[0]["input"];
    input["to_server"].as_u64().unwrap() + input["to_client"].as_u64().unwrap()
}

/// Packets flow, none was dropped, and all are still there.
fn assert_whole(sluice: &Sluice<'_>, after: &str) {
    let before = passed(sluice);
    wait_for("packets that flow", Duration::from_secs(5), || {
        (passed(sluice) > before + 10_000).then_some(())
    })
    .unwrap_or_else(|error| panic!("after {after}: {error}"));
    assert_eq!(sluice.json("/api/v1/drops"), json!([]), "after {after}");
    let in_use = sluice.json("/api/v1/memory")["in_use"].as_u64().unwrap();
    assert_eq!(in_use, ROUND, "packets in use after {after}");
    assert_eq!(sluice.get("/healthz").status, 200, "after {after}");
}

/// What comes back, as far as something does.
fn read_all(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

#[test]
fn unknown_paths_and_nonsense() {
    require!(Need::HugePages(70));
    let sluice = start();
    assert_whole(&sluice, "the start");
    for path in [
        "/x",
        "/api/v1/stages",
        "/api/v1/chain/",
        "/api/v1/stages/none",
        "//",
        "/metrics/x",
        "/%00",
    ] {
        let answer = sluice.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    for number in 1..300 {
        assert_eq!(
            sluice.get(&format!("/{}", "a".repeat(number * 10))).status,
            404
        );
    }
    for method in ["DELETE", "PATCH", "POST", "BREW"] {
        let answer = sluice.request(sluice.http(), method, "/api/v1/chain", Body::Empty);
        assert_eq!(answer.status, 405, "{method}");
    }
    for nonsense in [
        b"\x00\x01\x02\x03\xff\xff\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/v1/reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[b'A'; 100_000],
    ] {
        for _ in 0..20 {
            let mut stream = connect(address(&sluice));
            let _ = stream.write_all(nonsense);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answer = read_all(stream);
            assert!(!answer.contains(" 200 "), "{answer}");
        }
    }
    assert_whole(&sluice, "nonsense");
}

#[test]
fn large_and_deep_bodies() {
    require!(Need::HugePages(70));
    let sluice = start();
    let change =
        |path: &str, body: &[u8]| sluice.request(sluice.control(), "POST", path, Body::Bytes(body));
    let large = vec![b'x'; (1 << 20) + 1];
    for path in [
        "/api/v1/reload",
        "/api/v1/check",
        "/api/v1/trace/start",
        "/api/v1/stages/one/go",
    ] {
        assert_eq!(change(path, &large).status, 413, "{path}");
    }
    let longest = &large[..1 << 20];
    let deep = "[".repeat(1 << 20);
    let wide = format!("{{\"ports\":[{}1]}}", "1,".repeat(500_000));
    for body in [
        longest,
        deep.as_bytes(),
        wide.as_bytes(),
        b"\xff\xfe",
        b"null",
        b"{",
    ] {
        let begun = Instant::now();
        let answer = change("/api/v1/reload", body);
        let status = answer.status;
        assert!(
            status == 422 || status == 400,
            "{status}: {:.300}",
            answer.text()
        );
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
    }
    let good: Value =
        serde_json::from_str(&std::fs::read_to_string(sluice.config_file()).unwrap()).unwrap();
    let check = sluice.post("/api/v1/check", &good);
    assert_eq!(
        (check.status, &check.json()["ok"]),
        (200, &json!(true)),
        "{}",
        check.text()
    );
    assert_whole(&sluice, "large bodies");
}

#[test]
fn slow_clients_and_a_thousand_connections() {
    require!(Need::HugePages(70));
    let sluice = start();
    let (http, control) = (address(&sluice), socket(&sluice).to_owned());
    let begun = Instant::now();

    // Half heads and half bodies on both doors, a byte now and then.
    let mut slow: Vec<TcpStream> = (0..100).map(|_| connect(http)).collect();
    let mut half_bodies: Vec<UnixStream> = (0..100)
        .map(|_| {
            let mut stream = UnixStream::connect(&control).unwrap();
            let head = b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    // A thousand more that only wait: those beyond 256 are told to come later.
    let crowd: Vec<TcpStream> = (0..1000).map(|_| connect(http)).collect();
    let mut refused = 0;
    for stream in &crowd {
        stream
            .set_read_timeout(Some(Duration::from_millis(if refused == 0 {
                10
            } else {
                50
            })))
            .unwrap();
        let mut first = [0; 64];
        if let Ok(count @ 1..) = (&*stream).read(&mut first) {
            assert!(first[..count].starts_with(b"HTTP/1.1 503"), "{first:?}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused} refused with a word");
    // The other door has places left all the time.
    let answer = sluice.request(sluice.control(), "GET", "/healthz", Body::Empty);
    assert_eq!(answer.status, 200);
    drop(crowd);
    while begun.elapsed() < Duration::from_secs(12) {
        slow.iter_mut().for_each(|stream| drop(stream.write(b"G")));
        half_bodies
            .iter_mut()
            .for_each(|stream| drop(stream.write(b"x")));
        let answer = sluice.request(sluice.control(), "GET", "/api/v1/chain", Body::Empty);
        assert_eq!(answer.status, 200);
        std::thread::sleep(Duration::from_millis(500));
    }
    // By now all of them have been let go.
    for stream in slow {
        let text = read_all(stream);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 503"),
            "{text}"
        );
    }
    for stream in half_bodies {
        stream
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        let text = read_all(stream);
        assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    }
    assert_whole(&sluice, "slow clients");
    let (status, log) = sluice.stop();
    assert!(status.success(), "{log}");
    assert!(!control.exists(), "the socket is removed");
}

#[test]
fn a_storm_of_scrapes() {
    require!(Need::HugePages(70));
    let sluice = start();
    let http = address(&sluice);
    let until = Instant::now() + Duration::from_secs(5);
    let scrapes: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(move || {
                    let mut scrapes = 0;
                    while Instant::now() < until {
                        let answer = testkit::http::request(
                            &Endpoint::Tcp(http),
                            "GET",
                            "/metrics",
                            Body::Empty,
                        );
                        assert_eq!(answer.unwrap().status, 200);
                        scrapes += 1;
                    }
                    scrapes
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(scrapes > 100, "{scrapes}");
    assert_whole(&sluice, "a storm of scrapes");
}
