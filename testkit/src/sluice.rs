//! An appliance under test: `sluice run` with a config of the test's making.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Body, Endpoint, Response};
use crate::need::free_port;
use crate::netns::Netns;
use crate::process::{Process, cargo_binary};
use crate::wait::wait_for;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// How to start the appliance; [`Sluice::start`] does for most tests.
#[derive(Debug)]
pub struct SluiceBuilder<'a> {
    config: Value,
    netns: Option<&'a Netns>,
    program: Option<PathBuf>,
    under: Vec<String>,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    patience: Duration,
    unhealthy_too: bool,
}

impl<'a> SluiceBuilder<'a> {
    /// Runs it inside `netns`; HTTP requests then go there too.
    #[must_use]
    pub fn netns(mut self, netns: &'a Netns) -> Self {
        self.netns = Some(netns);
        self
    }

    /// Uses another program than the one cargo built beside the test.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Starts it by another program, such as `["nice", "-n", "-20"]` or valgrind with its options. That
    /// program must become it rather than start it, for [`Process::pid`] to be its own.
    #[must_use]
    pub fn under(mut self, words: &[impl AsRef<str>]) -> Self {
        self.under = words.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Adds an argument after `run CONFIG`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// How long it may take to become healthy (20 s).
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Waits for any answer of `/healthz`, also for 503: for an appliance that starts with a port
    /// whose other end is not there yet.
    #[must_use]
    pub fn unhealthy_too(mut self) -> Self {
        self.unhealthy_too = true;
        self
    }

    /// Starts it and waits until `/healthz` answers 200.
    ///
    /// # Errors
    /// A sentence with its output, if it ends or is not healthy in time.
    pub fn try_start(self) -> Result<Sluice<'a>, String> {
        let folder = tempfile::Builder::new()
            .prefix("sluice-test-")
            .tempdir()
            .map_err(|error| format!("no temporary folder: {error}"))?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let socket = folder.path().join("control.sock");
        let config = complete(self.config, http, &socket);
        let http = config["telemetry"]["http"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(http);
        let socket = config["control"]["socket"]
            .as_str()
            .map_or(socket, PathBuf::from);
        let file = folder.path().join("config.json");
        std::fs::write(&file, format!("{config:#}"))
            .map_err(|error| format!("{}: {error}", file.display()))?;

        let program = self.program.unwrap_or_else(|| cargo_binary("sluice"));
        let mut words = self.under.iter().map(PathBuf::from).chain([program]);
        let first = words.next().unwrap_or_default();
        let mut command = match self.netns {
            Some(netns) => netns.command(&first),
            None => Command::new(&first),
        };
        command.args(words);
        command.arg("run").arg(&file).args(&self.args);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        let process = Process::spawn("sluice", &mut command).map_err(|error| error.to_string())?;
        let mut sluice = Sluice {
            process,
            http: Endpoint::Tcp(http),
            control: Endpoint::Unix(socket),
            file,
            netns: self.netns,
            command,
            patience: self.patience,
            unhealthy_too: self.unhealthy_too,
            folder,
        };
        sluice.wait_until_healthy()?;
        Ok(sluice)
    }

    /// As [`SluiceBuilder::try_start`].
    ///
    /// # Panics
    /// If it does not become healthy.
    #[must_use]
    pub fn start(self) -> Sluice<'a> {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A running appliance. Dropping it stops it.
#[derive(Debug)]
pub struct Sluice<'a> {
    process: Process,
    http: Endpoint,
    control: Endpoint,
    file: PathBuf,
    netns: Option<&'a Netns>,
    command: Command,
    patience: Duration,
    unhealthy_too: bool,
    folder: tempfile::TempDir,
}

impl<'a> Sluice<'a> {
    /// Starts the program that cargo built beside the test with `config`, to which [`complete`] adds
    /// what is missing, and waits until it is healthy.
    ///
    /// # Panics
    /// If it does not become healthy.
    #[must_use]
    pub fn start(config: Value) -> Sluice<'a> {
        Sluice::builder(config).start()
    }

    /// The same in steps.
    #[must_use]
    pub fn builder(config: Value) -> SluiceBuilder<'a> {
        SluiceBuilder {
            config,
            netns: None,
            program: None,
            under: Vec::new(),
            args: Vec::new(),
            environment: Vec::new(),
            patience: Duration::from_secs(20),
            unhealthy_too: false,
        }
    }

    fn wait_until_healthy(&mut self) -> Result<(), String> {
        let healthy = wait_for("a healthy sluice", self.patience, || {
            if let Some(status) = self.process.ended() {
                return Some(Err(format!("sluice ended: {status}")));
            }
            let answer = self.try_request(&self.http, "GET", "/healthz", Body::Empty);
            answer
                .is_ok_and(|answer| self.unhealthy_too || answer.status == 200)
                .then_some(Ok(()))
        });
        match healthy {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => {
                Err(format!("{error}; its output:\n{}", self.process.log()))
            }
        }
    }

    /// Starts it again with the same command and files after it has ended, and waits until it is
    /// healthy. One that still runs is killed first, without a chance to clean up.
    ///
    /// # Panics
    /// If it does not become healthy.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process =
            Process::spawn("sluice", &mut self.command).unwrap_or_else(|error| panic!("{error}"));
        self.wait_until_healthy()
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The process, to signal it or to read its output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where reads are answered.
    #[must_use]
    pub fn http(&self) -> &Endpoint {
        &self.http
    }

    /// Where changes are made.
    #[must_use]
    pub fn control(&self) -> &Endpoint {
        &self.control
    }

    /// The config file it was started with.
    #[must_use]
    pub fn config_file(&self) -> &Path {
        &self.file
    }

    /// A folder of its own, removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Reads `path` over HTTP.
    ///
    /// # Panics
    /// If no answer comes.
    #[must_use]
    pub fn get(&self, path: &str) -> Response {
        self.request(&self.http, "GET", path, Body::Empty)
    }

    /// Reads `path` over HTTP as JSON.
    ///
    /// # Panics
    /// If no answer comes, or not 200 with JSON.
    #[must_use]
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()
    }

    /// The value of one metric, named as in the exposition with its labels in any order:
    /// `sluice_port_rx_packets_total{port="a"}`. Labels that are not named may have any value; the values
    /// of all series that match are added. `None` if no series matches.
    ///
    /// # Panics
    /// If no answer comes.
    #[must_use]
    pub fn metric(&self, series: &str) -> Option<f64> {
        sum_series(&self.get("/metrics").text(), series)
    }

    /// Posts to the control socket.
    ///
    /// # Panics
    /// If no answer comes.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request(&self.control, "POST", path, Body::Json(body))
    }

    /// Sends any request to either endpoint.
    ///
    /// # Panics
    /// If no answer comes.
    #[must_use]
    pub fn request(&self, to: &Endpoint, method: &str, path: &str, body: Body<'_>) -> Response {
        self.try_request(to, method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Sluice::request`].
    ///
    /// # Errors
    /// What the connection said.
    pub fn try_request(
        &self,
        to: &Endpoint,
        method: &str,
        path: &str,
        body: Body<'_>,
    ) -> std::io::Result<Response> {
        match (self.netns, to) {
            (Some(netns), Endpoint::Tcp(_)) => netns.run(|| http::request(to, method, path, body)),
            _ => http::request(to, method, path, body),
        }
    }

    /// Stops it with SIGTERM and gives its exit status and output.
    ///
    /// # Panics
    /// If it has not ended after 10 s.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let status = self
            .process
            .terminate(Duration::from_secs(10))
            .unwrap_or_else(|error| panic!("{error}"));
        (status, self.process.log())
    }
}

/// Adds to a test's config what every test would repeat, without touching what it says: a name, one
/// packet core on the last processor that sleeps when idle, little memory, the given HTTP address and control socket.
#[must_use]
pub fn complete(mut config: Value, http: SocketAddr, socket: &Path) -> Value {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let defaults = json!({
        "name": format!("test-{}-{number}", std::process::id()),
        "eal": { "memory_mb": 128, "dpdk_telemetry": false },
        "cores": { "packet": [processors - 1], "idle": "adaptive" },
        "mempool": { "packets": 8192 },
        "telemetry": { "http": http.to_string() },
        "control": { "socket": socket.display().to_string() },
    });
    fill(&mut config, &defaults);
    config
}

/// Deep defaults: a key that is there stays as it is.
fn fill(value: &mut Value, defaults: &Value) {
    if let (Value::Object(value), Value::Object(defaults)) = (value, defaults) {
        for (key, default) in defaults {
            match value.get_mut(key) {
                Some(there) => fill(there, default),
                None => {
                    value.insert(key.clone(), default.clone());
                }
            }
        }
    }
}

fn sum_series(exposition: &str, series: &str) -> Option<f64> {
    let (name, labels) = split_series(series);
    let mut sum = None;
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let Some((left, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (this, there) = split_series(left);
        if this == name
            && labels.iter().all(|label| there.contains(label))
            && let Ok(value) = value.parse::<f64>()
        {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    sum
}

fn split_series(series: &str) -> (&str, Vec<&str>) {
    let Some((name, rest)) = series.split_once('{') else {
        return (series, Vec::new());
    };
    let labels = rest
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty());
    (name, labels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_says_stays() {
        let socket = Path::new("/tmp/s");
        let http = SocketAddr::from(([127, 0, 0, 1], 1));
        let config = complete(
            json!({"name": "mine", "cores": {"idle": "poll"}, "chain": []}),
            http,
            socket,
        );
        assert_eq!(config["name"], "mine");
        assert_eq!(config["cores"]["idle"], "poll");
        assert!(config["cores"]["packet"].is_array());
        assert_eq!(config["control"]["socket"], "/tmp/s");
        assert_eq!(config["telemetry"]["http"], "127.0.0.1:1");
    }

    #[test]
    fn series_are_matched_by_their_labels() {
        let text = "# HELP a b\na{port=\"x\",core=\"1\"} 2\na{core=\"2\",port=\"x\"} 3\nab 9\n";
        assert_eq!(sum_series(text, "a{port=\"x\"}"), Some(5.0));
        assert_eq!(sum_series(text, "a{core=\"2\"}"), Some(3.0));
        assert_eq!(sum_series(text, "a{core=\"3\"}"), None);
        assert_eq!(sum_series(text, "ab"), Some(9.0));
    }
}
