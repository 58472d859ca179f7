//! What goes through one queue of a port, counted by the core that owns the queue.

use serde::Serialize;

use super::{Block, Counter};

/// The counters of one queue pair of a port. Bytes are the device's to count: adding up lengths would
/// cost more than all the rest of an empty chain.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct PortCounters {
    /// Packets received.
    pub rx_packets: Counter,
    /// Receive bursts with at least one packet.
    pub rx_bursts: Counter,
    /// Packets the port took for sending.
    pub tx_packets: Counter,
    /// Transmit bursts handed to the port.
    pub tx_bursts: Counter,
    /// Packets dropped because the port's transmit ring was full: reason `tx_full`.
    pub tx_full: Counter,
    /// Packets dropped because the port was stopped or gone: reason `port_down`.
    pub port_down: Counter,
}

impl Block for PortCounters {
    type Snapshot = PortSnapshot;

    fn snapshot(&self) -> PortSnapshot {
        PortSnapshot {
            rx_packets: self.rx_packets.get(),
            rx_bursts: self.rx_bursts.get(),
            tx_packets: self.tx_packets.get(),
            tx_bursts: self.tx_bursts.get(),
            tx_full: self.tx_full.get(),
            port_down: self.port_down.get(),
        }
    }
}

/// The numbers of a queue pair, or of several merged; the fields are those of [`PortCounters`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of PortCounters")]
pub struct PortSnapshot {
    pub rx_packets: u64,
    pub rx_bursts: u64,
    pub tx_packets: u64,
    pub tx_bursts: u64,
    pub tx_full: u64,
    pub port_down: u64,
}

impl PortSnapshot {
    /// Adds the numbers of another queue, or of the same before a restart.
    pub fn merge(&mut self, other: &Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bursts += other.rx_bursts;
        self.tx_packets += other.tx_packets;
        self.tx_bursts += other.tx_bursts;
        self.tx_full += other.tx_full;
        self.port_down += other.port_down;
    }

    /// Packets dropped at the port, by reason.
    pub fn dropped(&self) -> [(&'static str, u64); 2] {
        [("tx_full", self.tx_full), ("port_down", self.port_down)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_every_field() {
        let port = PortCounters::default();
        for (counter, n) in [
            (&port.rx_packets, 1),
            (&port.rx_bursts, 3),
            (&port.tx_packets, 4),
            (&port.tx_bursts, 6),
            (&port.tx_full, 7),
            (&port.port_down, 8),
        ] {
            counter.add(n);
        }
        let once = serde_json::to_value(port.snapshot()).unwrap();
        let mut sum = port.snapshot();
        sum.merge(&port.snapshot());
        let twice = serde_json::to_value(&sum).unwrap();
        for (name, value) in once.as_object().unwrap() {
            let value = value.as_u64().unwrap();
            assert_ne!(value, 0, "{name} is not covered");
            assert_eq!(twice[name], value * 2, "{name}");
        }
        assert_eq!(sum.dropped(), [("tx_full", 14), ("port_down", 16)]);
    }
}
