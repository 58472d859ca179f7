//! Sends every datagram back to where it came from, at once or after a while.

use std::collections::VecDeque;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use workload::{Datagram, Endpoint, Network};

use super::{Kind, Program, first_address};

/// Sends every datagram back to where it came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EchoSettings {
    /// The UDP port; 7 is that of RFC 862.
    pub port: Option<u16>,
    /// Nanoseconds from a datagram's arrival to its answer.
    pub after_ns: u64,
}

/// The program. Buffers of answers that wait are used again.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    after_ns: u64,
    waiting: VecDeque<(u64, SocketAddr, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    answered: u64,
}

/// The port of RFC 862.
const PORT: u16 = 7;

pub(super) fn kind() -> Kind<EchoSettings> {
    Kind {
        name: "echo",
        summary: "sends every datagram back to where it came from",
        check: |_, _, _| {},
        build: |settings, context| {
            let port = settings.port.unwrap_or(PORT);
            Ok(Box::new(Echo {
                address: SocketAddr::new(first_address(context)?, port),
                after_ns: settings.after_ns,
                waiting: VecDeque::new(),
                spare: Vec::new(),
                answered: 0,
            }))
        },
    }
}

impl Endpoint for Echo {
    fn addresses(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn on_datagram(&mut self, now: u64, datagram: Datagram<'_>, network: &mut dyn Network) {
        if self.after_ns == 0 {
            self.answered += u64::from(network.send(self.address, datagram.from, datagram.payload));
            return;
        }
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        payload.extend_from_slice(datagram.payload);
        self.waiting
            .push_back((now.saturating_add(self.after_ns), datagram.from, payload));
    }

    fn on_time(&mut self, now: u64, network: &mut dyn Network) {
        while self.waiting.front().is_some_and(|waiting| waiting.0 <= now) {
            let Some((_, to, payload)) = self.waiting.pop_front() else {
                return;
            };
            self.answered += u64::from(network.send(self.address, to, &payload));
            self.spare.push(payload);
        }
    }

    fn next_time(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.0)
    }
}

impl Program for Echo {
    fn results(&self) -> Value {
        json!({ "answered": self.answered })
    }
}
