//! Trace sessions on the control side: lines collected from the cores, shown packet by packet.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::chain::{TraceEvent, TraceRecord, TraceSession};

/// Most packets of one trace.
const MAX_PACKETS: u32 = 10_000;

/// Lines that wait for the control thread; ten times a second they are taken.
const WAITING_LINES: usize = 16_384;

/// Most lines kept of a trace.
const KEPT_LINES: usize = 200_000;

/// Why a trace did not start.
#[derive(Debug, Error)]
pub enum TraceError {
    /// Too many or no packets.
    #[error("a trace takes 1 to {MAX_PACKETS} packets, not {0}")]
    Count(u32),
    /// The filter does not compile.
    #[error("the filter {filter:?} is not understood: {message}")]
    Filter {
        /// The expression.
        filter: String,
        /// libpcap's words.
        message: String,
    },
}

/// What a trace has collected.
#[derive(Debug, Clone, Serialize)]
pub struct TraceView {
    /// Whether it still waits for packets.
    pub running: bool,
    /// Packets still to be marked.
    pub remaining: u32,
    /// Lines that were lost because nobody took them in time.
    pub lost_lines: u64,
    /// The packets, in the order in which they were marked.
    pub packets: Vec<TracedPacket>,
}

/// One traced packet.
#[derive(Debug, Clone, Serialize)]
pub struct TracedPacket {
    /// Its id in this trace.
    pub id: u32,
    /// When it was received, nanoseconds of the chain's clock.
    pub received_ns: u64,
    /// Port that received it.
    pub port: String,
    /// Its length, bytes.
    pub length: u32,
    /// Its first bytes in hexadecimal.
    pub head: String,
    /// What happened to it, in order.
    pub steps: Vec<TraceStep>,
}

/// One line of a traced packet.
#[derive(Debug, Clone, Serialize)]
pub struct TraceStep {
    /// The stage, `null` for ports and the chain itself.
    pub stage: Option<String>,
    /// Core that handled it.
    pub core: u16,
    /// Nanoseconds since the packet was received.
    pub after_ns: u64,
    /// Which way it went.
    pub direction: &'static str,
    /// What happened: `note`, `forward`, `back`, `emitted`, `held`, `dropped`, `sent`.
    pub event: &'static str,
    /// Drop reason, port, or the stage's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The stage's note as an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<serde_json::Value>,
}

/// The trace of an appliance: at most one runs.
#[derive(Default)]
pub(super) struct Trace {
    session: Option<Arc<TraceSession>>,
    running: bool,
    lines: Vec<TraceRecord>,
    lost: u64,
}

impl Trace {
    pub fn start(
        &mut self,
        count: u32,
        filter: Option<&str>,
    ) -> Result<Arc<TraceSession>, TraceError> {
        if count == 0 || count > MAX_PACKETS {
            return Err(TraceError::Count(count));
        }
        let filter = filter.map(super::reload::compile_filter).transpose()?;
        let session = TraceSession::new(count, filter, WAITING_LINES);
        *self = Trace {
            session: Some(session.clone()),
            running: true,
            lines: Vec::new(),
            lost: 0,
        };
        Ok(session)
    }

    pub fn stop(&mut self) {
        self.running = false;
    }

    /// Takes what the cores have told.
    pub fn collect(&mut self) {
        let Some(session) = &self.session else { return };
        while let Some(line) = session.pop() {
            if self.lines.len() < KEPT_LINES {
                self.lines.push(line);
            } else {
                self.lost += 1;
            }
        }
    }

    pub fn show(&self, stages: &[String], ports: &[String]) -> TraceView {
        let port_name = |port: u16| {
            ports
                .get(usize::from(port))
                .cloned()
                .unwrap_or_else(|| port.to_string())
        };
        let mut packets: BTreeMap<u32, TracedPacket> = BTreeMap::new();
        for line in &self.lines {
            if let TraceEvent::Received { port, len, head } = &line.event {
                let shown = head
                    .get(..(*len as usize).min(head.len()))
                    .unwrap_or_default();
                let packet = TracedPacket {
                    id: line.id,
                    received_ns: line.ns,
                    port: port_name(*port),
                    length: *len,
                    head: shown.iter().map(|byte| format!("{byte:02x}")).collect(),
                    steps: Vec::new(),
                };
                packets.insert(line.id, packet);
                continue;
            }
            let Some(packet) = packets.get_mut(&line.id) else {
                continue;
            };
            let (event, text, note) = match &line.event {
                TraceEvent::Received { .. } => continue,
                TraceEvent::Note(note) => (
                    "note",
                    Some(note.to_string()),
                    serde_json::to_value(note).ok(),
                ),
                TraceEvent::Forward => ("forward", None, None),
                TraceEvent::Back => ("back", None, None),
                TraceEvent::Emitted => ("emitted", None, None),
                TraceEvent::Held => ("held", None, None),
                TraceEvent::Dropped { reason } => ("dropped", Some((*reason).to_owned()), None),
                TraceEvent::Sent { port } => ("sent", Some(port_name(*port)), None),
            };
            packet.steps.push(TraceStep {
                stage: line
                    .stage
                    .and_then(|stage| stages.get(usize::from(stage)).cloned()),
                core: line.core,
                after_ns: line.ns.saturating_sub(packet.received_ns),
                direction: line.direction.as_str(),
                event,
                text,
                note,
            });
        }
        let remaining = self
            .session
            .as_ref()
            .map_or(0, |session| session.remaining());
        TraceView {
            running: self.running && remaining > 0,
            remaining,
            lost_lines: self.lost + self.session.as_ref().map_or(0, |session| session.lost()),
            packets: packets.into_values().collect(),
        }
    }
}
