//! The API over real connections, with a fake appliance behind it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::*;

#[derive(Default)]
struct Fake {
    changes: Mutex<Vec<Change>>,
    /// How long every read takes.
    slow: Duration,
    reading: AtomicUsize,
    most_reading: AtomicUsize,
}

impl Backend for Fake {
    fn metrics(&self) -> String {
        "# TYPE sluice_up gauge\nsluice_up 1\n".into()
    }

    fn health(&self) -> (bool, Value) {
        (true, json!({"ok": true, "problems": []}))
    }

    fn read(&self, what: Read) -> Result<Value, ApiError> {
        let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_reading.fetch_max(reading, Ordering::SeqCst);
        std::thread::sleep(self.slow);
        self.reading.fetch_sub(1, Ordering::SeqCst);
        match what {
            Read::Stage(name) if name != "front" => {
                Err(ApiError::unknown("stage", &name, &["front"]))
            }
            Read::Memory => Ok(json!("x".repeat(8 << 20))),
            Read::Config => panic!("on purpose"),
            what => Ok(json!(format!("{what:?}"))),
        }
    }

    fn change(&self, change: Change) -> Result<Value, ApiError> {
        let refuse = matches!(&change, Change::Reload(Some(text)) if text == "bad");
        self.changes.lock().unwrap().push(change);
        match refuse {
            true => Err(ApiError::refused("2 problems").with("problems", json!(["a", "b"]))),
            false => Ok(json!({"done": true})),
        }
    }
}

struct Rig {
    server: Server,
    fake: Arc<Fake>,
    http: SocketAddr,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

fn start(fake: Fake, limits: Limits) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    let config = ServerConfig {
        http: Some((Ipv4Addr::LOCALHOST, 0).into()),
        socket: socket.clone(),
        mode: 0o600,
        group: None,
        limits,
    };
    let fake = Arc::new(fake);
    let server = Server::start(&config, fake.clone()).unwrap();
    let http = server.http().unwrap();
    Rig {
        server,
        fake,
        http,
        socket,
        _folder: folder,
    }
}

fn quick() -> Limits {
    Limits {
        connections: 4,
        patience: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), test)
            .await
            .unwrap()
    });
}

/// Sends one request and reads the answer to the connection's end.
async fn exchange<Io: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut io: Io,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let _ = io.write_all(format!("{head}{body}").as_bytes()).await;
    answer(io).await
}

async fn answer<Io: AsyncReadExt + Unpin>(mut io: Io) -> (u16, String) {
    let mut bytes = Vec::new();
    let _ = io.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    (
        status,
        text.split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default(),
    )
}

impl Rig {
    async fn tcp(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        exchange(
            TcpStream::connect(self.http).await.unwrap(),
            method,
            path,
            body,
        )
        .await
    }

    async fn unix(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        exchange(
            UnixStream::connect(&self.socket).await.unwrap(),
            method,
            path,
            body,
        )
        .await
    }

    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.fake.changes.lock().unwrap())
    }
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_reading_route_answers_through_both_doors() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
            let path = route.path.replace("{name}", "front");
            let wanted = if path == "/api/v1/config" { 500 } else { 200 };
            assert_eq!(rig.tcp("GET", &path, "").await.0, wanted, "{path}");
            assert_eq!(rig.unix("GET", &path, "").await.0, wanted, "{path}");
        }
        let (_, index) = rig.tcp("GET", "/api/v1", "").await;
        assert_eq!(
            object(&index)["routes"].as_array().unwrap().len(),
            ROUTES.len()
        );
        assert_eq!(
            object(&rig.tcp("GET", "/api/v1/stages/front", "").await.1),
            json!("Stage(\"front\")")
        );
        assert_eq!(rig.tcp("HEAD", "/metrics", "").await, (200, String::new()));
    });
}

#[test]
fn changes_go_through_the_socket_only() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        for route in ROUTES.iter().filter(|route| route.door == Door::Socket) {
            let path = route
                .path
                .replace("{name}", "front")
                .replace("{verb}", "list");
            let method = if route.method == Method::Put {
                "PUT"
            } else {
                "POST"
            };
            let (status, body) = rig.tcp(method, &path, "{}").await;
            assert_eq!(status, 403, "{path}");
            assert!(
                object(&body)["error"]
                    .as_str()
                    .unwrap()
                    .contains("control socket")
            );
            assert_eq!(rig.changes(), []);
            let body = if path.ends_with("log") {
                r#"{"level":"debug"}"#
            } else {
                ""
            };
            let (status, _) = rig.unix(method, &path, body).await;
            assert_eq!((status, rig.changes().len()), (200, 1), "{path}");
        }
    });
}

#[test]
fn changes_arrive_with_their_arguments() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        for (method, path, body, change) in [
            ("POST", "/api/v1/reload", "", Change::Reload(None)),
            (
                "POST",
                "/api/v1/reload",
                "{\"name\":1}",
                Change::Reload(Some("{\"name\":1}".into())),
            ),
            (
                "POST",
                "/api/v1/ports/a%20b/down",
                "",
                Change::PortDown("a b".into()),
            ),
            (
                "POST",
                "/api/v1/trace/start",
                "",
                Change::TraceStart {
                    count: 50,
                    filter: None,
                },
            ),
            (
                "POST",
                "/api/v1/trace/start",
                r#"{"count":7,"filter":"udp"}"#,
                Change::TraceStart {
                    count: 7,
                    filter: Some("udp".into()),
                },
            ),
            (
                "POST",
                "/api/v1/stages/front/add",
                r#"{"rule":{"a":1}}"#,
                Change::Stage {
                    name: "front".into(),
                    verb: "add".into(),
                    arguments: json!({"rule": {"a": 1}}),
                },
            ),
            (
                "POST",
                "/api/v1/sched/front@1/push",
                "",
                Change::Push {
                    actor: "front@1".into(),
                    worker: None,
                },
            ),
            (
                "POST",
                "/api/v1/sched/front@1/push",
                r#"{"worker":2}"#,
                Change::Push {
                    actor: "front@1".into(),
                    worker: Some(2),
                },
            ),
            (
                "POST",
                "/api/v1/sched/front/pull",
                "",
                Change::Pull("front".into()),
            ),
            (
                "PUT",
                "/api/v1/log",
                r#"{"level":"debug"}"#,
                Change::LogLevel("debug".into()),
            ),
        ] {
            assert_eq!(rig.unix(method, path, body).await.0, 200, "{path}");
            assert_eq!(rig.changes(), [change]);
        }
    });
}

#[test]
fn wrong_requests_are_told_what_is_right() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        let (status, body) = rig.tcp("GET", "/api/v2/chain", "").await;
        assert_eq!(status, 404);
        assert!(
            object(&body)["known"]
                .as_array()
                .unwrap()
                .contains(&json!("/api/v1/chain"))
        );
        let (status, body) = rig.unix("GET", "/api/v1/stages/back", "").await;
        assert_eq!((status, &object(&body)["known"]), (404, &json!(["front"])));
        let (status, body) = rig.unix("DELETE", "/api/v1/reload", "").await;
        assert_eq!((status, &object(&body)["allowed"]), (405, &json!(["POST"])));
        let (status, body) = rig
            .unix("POST", "/api/v1/trace/start", r#"{"cuont":1}"#)
            .await;
        assert_eq!(status, 400);
        assert!(object(&body)["error"].as_str().unwrap().contains("cuont"));
        assert_eq!(rig.unix("PUT", "/api/v1/log", "[").await.0, 400);
        let (status, body) = rig.unix("POST", "/api/v1/reload", "bad").await;
        assert_eq!(
            (status, &object(&body)["problems"]),
            (422, &json!(["a", "b"]))
        );
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused_without_being_kept() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        let longest = " ".repeat(1 << 20);
        assert_eq!(rig.unix("POST", "/api/v1/reload", &longest).await.0, 200);
        assert_eq!(rig.changes().len(), 1);
        let (status, body) = rig
            .unix("POST", "/api/v1/reload", &format!("{longest} "))
            .await;
        assert_eq!(status, 413);
        assert!(object(&body)["error"].as_str().unwrap().contains("1048576"));
        assert_eq!(rig.changes(), []);
    });
}

#[test]
fn slow_clients_lose_their_connection() {
    run(async {
        let rig = start(Fake::default(), quick());
        let begun = Instant::now();
        // Nothing at all, half a head, half a body.
        let silent = TcpStream::connect(rig.http).await.unwrap();
        let mut half_head = TcpStream::connect(rig.http).await.unwrap();
        half_head.write_all(b"GET /metr").await.unwrap();
        let mut half_body = UnixStream::connect(&rig.socket).await.unwrap();
        half_body
            .write_all(b"POST /api/v1/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab")
            .await
            .unwrap();
        assert_eq!(answer(silent).await.0, 0);
        answer(half_head).await;
        assert_eq!(answer(half_body).await.0, 408);
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(rig.changes(), []);
    });
}

#[test]
fn a_client_that_reads_nothing_loses_its_connection() {
    run(async {
        let rig = start(
            Fake::default(),
            Limits {
                connections: 1,
                ..quick()
            },
        );
        let mut greedy = TcpStream::connect(rig.http).await.unwrap();
        greedy
            .write_all(b"GET /api/v1/memory HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(
            rig.tcp("GET", "/healthz", "").await.0,
            503,
            "its place is taken"
        );
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(
            rig.tcp("GET", "/healthz", "").await.0,
            200,
            "its place is free again"
        );
        drop(greedy);
    });
}

#[test]
fn connections_beyond_the_limit_are_refused_politely_and_the_others_served() {
    run(async {
        let rig = start(
            Fake::default(),
            Limits {
                patience: Duration::from_secs(9),
                ..quick()
            },
        );
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(TcpStream::connect(rig.http).await.unwrap());
        }
        let (status, body) = rig.tcp("GET", "/healthz", "").await;
        assert_eq!(status, 503);
        assert!(
            object(&body)["error"]
                .as_str()
                .unwrap()
                .contains("too many connections")
        );
        assert_eq!(
            rig.unix("GET", "/healthz", "").await.0,
            200,
            "the other door has its own places"
        );
        for io in open {
            assert_eq!(exchange(io, "GET", "/healthz", "").await.0, 200);
        }
        assert_eq!(rig.tcp("GET", "/healthz", "").await.0, 200);
    });
}

#[test]
fn what_takes_long_holds_up_neither_metrics_nor_health() {
    run(async {
        let fake = Fake {
            slow: Duration::from_millis(1500),
            ..Fake::default()
        };
        let rig = start(
            fake,
            Limits {
                patience: Duration::from_millis(400),
                ..Limits::default()
            },
        );
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let io = TcpStream::connect(rig.http).await.unwrap();
            waiting.spawn(async move { exchange(io, "GET", "/api/v1/chain", "").await });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        assert_eq!(rig.tcp("GET", "/healthz", "").await.0, 200);
        assert!(
            begun.elapsed() < Duration::from_millis(200),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(rig.tcp("GET", "/metrics", "").await.0, 200);
        assert!(
            begun.elapsed() < Duration::from_millis(300),
            "{:?}",
            begun.elapsed()
        );
        while let Some(answer) = waiting.join_next().await {
            let (status, body) = answer.unwrap();
            assert_eq!(status, 503, "{body}");
        }
        assert!(rig.fake.most_reading.load(Ordering::SeqCst) <= 8);
    });
}

#[test]
fn stopping_ends_connections_and_removes_the_socket() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        let idle = TcpStream::connect(rig.http).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begun = Instant::now();
        rig.server.stop().await;
        assert!(
            begun.elapsed() < Duration::from_millis(500),
            "{:?}",
            begun.elapsed()
        );
        assert!(!rig.socket.exists());
        answer(idle).await;
        assert!(TcpStream::connect(rig.http).await.is_err());
    });
}

#[test]
fn an_address_in_use_is_named() {
    run(async {
        let rig = start(Fake::default(), Limits::default());
        let config = ServerConfig {
            http: Some(rig.http),
            socket: rig.socket.with_extension("other"),
            mode: 0o600,
            group: None,
            limits: Limits::default(),
        };
        let error = Server::start(&config, Arc::new(Fake::default()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&rig.http.to_string()) && error.contains("telemetry.http"),
            "{error}"
        );
        assert!(!config.socket.exists());
    });
}

#[test]
fn the_page_of_the_api_has_exactly_these_routes() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let page = std::fs::read_to_string(page).expect("docs/api.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<String> = ROUTES
        .iter()
        .map(|route| {
            let method = serde_json::to_value(route.method).unwrap();
            format!("{} {}", method.as_str().unwrap_or_default(), route.path)
        })
        .collect();
    assert_eq!(documented, there);
}
