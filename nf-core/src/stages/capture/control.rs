//! The control side of `capture`: starts and ends captures, and says how they go.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config::CaptureConfig;
use super::output::Output;
use super::pcapng::Interface;
use super::ring::ring;
use super::session::Session;
use super::shard::{COUNTERS, CaptureShard, Current};
use super::writer::{Job, Order, Report, SharedReport, State, Writer, with};
use crate::chain::{
    BuildContext, BuildError, CommandError, ReloadError, Stage, StageControl, StageType,
    read_reloaded,
};
use crate::check::{CheckContext, JsonPath, Problems, read_settings};
use crate::clock::Clock;
use crate::publish::Publisher;
use crate::telemetry::CounterDesc;

const VERBS: &[&str] = &["start", "stop", "status"];

/// How long a command waits for the cores to have seen that a capture ends.
const CORES_PATIENCE: Duration = Duration::from_millis(50);

/// How long it waits for the end of the file.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// The kind `capture`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CaptureKind;

impl StageType for CaptureKind {
    const NAME: &'static str = "capture";
    const SUMMARY: &'static str =
        "writes packets to a pcapng file, or to a named pipe for Wireshark";
    const COUNTERS: &'static [CounterDesc] = COUNTERS;
    type Settings = CaptureConfig;

    fn check(config: &CaptureConfig, path: &JsonPath, _: &CheckContext, problems: &mut Problems) {
        config.check(path, problems);
    }

    fn build(
        config: CaptureConfig,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        let mut interfaces: Vec<Interface> = context
            .ports
            .iter()
            .map(|port| Interface {
                name: port.name.clone(),
                description: format!("port {} before stage {}", port.name, context.name),
                mac: Some(port.mac),
            })
            .collect();
        interfaces.push(Interface {
            name: "sluice".into(),
            description: "packets made by stages".into(),
            mac: None,
        });
        let report = SharedReport::default();
        let (orders, receiver) = channel();
        let writer = Writer::new(
            receiver,
            report.clone(),
            context.clock.clone(),
            interfaces,
            context.cores,
        );
        let thread = std::thread::Builder::new()
            .name(format!("cap-{}", context.name).chars().take(15).collect())
            .spawn(move || writer.run())
            .map_err(|error| BuildError(format!("no thread to write captures: {error}")))?;
        let mut control = CaptureControl {
            publisher: Publisher::new(&context.hub, None),
            cores: context.cores,
            ports: context.ports.len(),
            clock: context.clock.clone(),
            sessions: 0,
            session: None,
            by_command: false,
            report,
            orders,
            thread: Some(thread),
            config,
        };
        if control.config.starts() {
            control
                .start(control.config.clone(), false)
                .map_err(BuildError)?;
        }
        Ok(Box::new(control))
    }
}

struct CaptureControl {
    config: CaptureConfig,
    cores: usize,
    ports: usize,
    clock: Clock,
    publisher: Publisher<Current>,
    sessions: u32,
    /// The last one, also after its end.
    session: Option<Arc<Session>>,
    /// It was started by a command, not by the settings.
    by_command: bool,
    report: SharedReport,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl CaptureControl {
    fn is_running(&self) -> bool {
        with(&self.report, |report| report.state.is_running())
    }

    fn start(&mut self, config: CaptureConfig, by_command: bool) -> Result<(), String> {
        self.sessions = self.sessions.wrapping_add(1);
        let session = Session::new(
            self.sessions,
            &config,
            self.cores,
            self.ports,
            self.clock.now(),
        );
        let session = Arc::new(session.map_err(|error| error.to_string())?);
        let output = Output::open(&config)?;
        with(&self.report, |report| {
            *report = Report {
                state: match output.is_open() {
                    true => State::Capturing,
                    false => State::WaitingForReader,
                },
                path: Some(output.path().display().to_string()),
                ..Report::default()
            };
        });
        let job = Job {
            session: session.clone(),
            output,
            max_packets: config.max_packets,
            max_bytes: config.max_bytes,
            max_time: config.max_seconds.map(|s| Duration::from_secs(s.into())),
        };
        session.set_wanted(job.output.is_open());
        self.orders
            .send(Order::Start(Box::new(job)))
            .map_err(|_| "the thread that writes captures is gone".to_owned())?;
        self.publisher.publish(Some(session.clone()));
        self.session = Some(session);
        self.by_command = by_command;
        Ok(())
    }

    /// Ends the capture: the cores first, so that all they have captured is written.
    fn end(&mut self, wait: bool) {
        if let Some(session) = &self.session {
            session.set_wanted(false);
        }
        if self.publisher.with_newest(Option::is_some) {
            self.publisher.publish(None);
        }
        if wait {
            // A core that does not turn has nothing more to give.
            let _ = self.publisher.wait_adopted(CORES_PATIENCE);
        }
        let (done, finished) = sync_channel(1);
        if self.orders.send(Order::Stop(done)).is_ok() {
            let _ = finished.recv_timeout(WRITER_PATIENCE);
        }
    }

    /// The settings with those of a command over them.
    fn settings(&self, arguments: &Value) -> Result<CaptureConfig, String> {
        let mut document = json!(self.config);
        let empty = Map::new();
        let arguments = match arguments {
            Value::Null => &empty,
            Value::Object(arguments) => arguments,
            _ => return Err("arguments have names, such as file=/tmp/x.pcapng".into()),
        };
        let Some(members) = document.as_object_mut() else {
            return Err("there are no settings".into());
        };
        for key in ["enabled", "buffer_bytes"] {
            if arguments.contains_key(key) {
                return Err(format!("{key:?} is a setting of the configuration only"));
            }
        }
        // Where to is one choice.
        if arguments.contains_key("file") || arguments.contains_key("pipe") {
            for key in ["file", "pipe", "max_file_bytes", "files"] {
                members.shift_remove(key);
            }
        }
        for (key, value) in arguments {
            if value.is_null() {
                members.shift_remove(key);
            } else {
                members.insert(key.clone(), value.clone());
            }
        }
        members.insert("enabled".into(), true.into());
        read_settings(&document, CaptureConfig::check)
    }

    fn quit(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.end(false);
            let _ = self.orders.send(Order::Quit);
            let _ = thread.join();
        }
    }
}

impl StageControl for CaptureControl {
    fn shard(&mut self, core: usize) -> Box<dyn Stage> {
        let (inlet, outlet) = ring(self.config.buffer_bytes as usize);
        // Should the thread be gone, the ring fills up and packets are counted as missed.
        let _ = self.orders.send(Order::Ring(core, outlet));
        Box::new(CaptureShard::new(self.publisher.reader(), inlet))
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let config: CaptureConfig = read_reloaded(config)?;
        let resized = config.buffer_bytes != self.config.buffer_bytes;
        ReloadError::unless_fixed(&[("buffer_bytes", resized)])?;
        if config == self.config {
            return Ok(());
        }
        // What somebody started by hand goes on.
        if !(self.by_command && self.is_running()) {
            if self.is_running() {
                self.end(true);
            }
            if config.starts()
                && let Err(error) = self.start(config.clone(), false)
            {
                if self.config.starts() {
                    let _ = self.start(self.config.clone(), false);
                }
                return Err(ReloadError::Refused(error));
            }
        }
        self.config = config;
        Ok(())
    }

    fn command(&mut self, verb: &str, arguments: &Value) -> Result<Value, CommandError> {
        match verb {
            "start" => {
                if self.is_running() {
                    return Err(CommandError::Failed(
                        "a capture is running; stop it first".into(),
                    ));
                }
                let config = self.settings(arguments).map_err(CommandError::Arguments)?;
                self.start(config, true).map_err(CommandError::Failed)?;
            }
            "stop" => {
                if !self.is_running() {
                    return Err(CommandError::Failed("no capture is running".into()));
                }
                self.end(true);
            }
            "status" => {}
            _ => return Err(CommandError::unknown(verb, VERBS)),
        }
        Ok(self.status())
    }

    fn status(&self) -> Value {
        let report = with(&self.report, |report| report.clone());
        let mut status = json!(report);
        if let (Some(session), Some(members)) = (&self.session, status.as_object_mut()) {
            let (missed, limited) = session.lost();
            members.insert("missed".into(), missed.into());
            members.insert("limited".into(), limited.into());
            if let Some(filter) = &session.filter {
                members.insert("filter".into(), filter.expression().into());
            }
        }
        status
    }

    fn tick(&mut self) {
        // A capture that has ended by itself costs the cores nothing any more.
        if !self.is_running() && self.publisher.with_newest(Option::is_some) {
            self.publisher.publish(None);
        }
    }

    fn stop(&mut self) {
        self.quit();
    }
}

impl Drop for CaptureControl {
    fn drop(&mut self) {
        self.quit();
    }
}
