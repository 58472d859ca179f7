//! Asking for the MAC addresses of the gateways, before anything else is sent.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use nf_core::dpdk::{Port, TxQueue};
use nf_core::packet::{Batch, Packet};
use nf_core::wire::Layers;

use super::Engine;
use super::neighbour::{self, Hosts, Question};

/// Longest wait for a gateway's answer.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(5);

impl Engine {
    /// Asks for the MAC addresses of the streams' gateways.
    pub fn resolve_gateways(&mut self) -> Result<(), String> {
        let mut gateways = Vec::new();
        for (index, stream) in self.profile.streams.iter().enumerate() {
            let port = match &stream.port {
                Some(name) => self.ports.iter().find(|port| port.name() == &**name),
                None => self.ports.first(),
            };
            let question = port.and_then(|port| Question::of(stream, port.mac()));
            gateways.push(match (question, port) {
                (Some(question), Some(port)) => Some(
                    self.ask(port, &question)
                        .ok_or_else(|| no_answer(index, question.gateway, port.name()))?,
                ),
                _ => None,
            });
        }
        self.gateways = gateways;
        Ok(())
    }

    fn ask(&self, port: &Port, question: &Question) -> Option<[u8; 6]> {
        let (mut rx, mut tx) = (port.rx_queue(0)?, port.tx_queue(0)?);
        let streams = self.profile.streams.iter();
        let hosts = Hosts::of(streams, port.mac());
        let deadline = Instant::now() + GATEWAY_PATIENCE;
        let mut next = Instant::now();
        let mut batch = Batch::new();
        let send = |tx: &mut TxQueue, frame: &[u8]| {
            let mut batch = Batch::new();
            if let Some(packet) = Packet::from_bytes(&self.receive_pool, frame) {
                let _ = batch.push(packet);
                tx.burst(&mut batch);
            }
        };
        while Instant::now() < deadline {
            let mut frame = [0; neighbour::ANSWER_BYTES];
            if Instant::now() >= next {
                next = Instant::now() + Duration::from_millis(200);
                let length = question.write(&mut frame)?;
                send(&mut tx, frame.get(..length.max(60))?);
            }
            rx.burst(&mut batch, Batch::CAPACITY);
            for packet in &batch {
                let layers = Layers::parse_lax(packet.data(), packet.len());
                if let Some(mac) = question.answered(packet.data(), &layers) {
                    return Some(mac);
                }
                if let Some(length) = hosts.answer(packet.data(), &layers, &mut frame) {
                    send(&mut tx, frame.get(..length.max(60))?);
                }
            }
            batch.clear();
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }
}

fn no_answer(stream: usize, gateway: IpAddr, port: &str) -> String {
    format!(
        "stream {stream}: the gateway {gateway} did not answer on port `{port}` within {} s; is it \
         there, and is the stream's source address one of its network?",
        GATEWAY_PATIENCE.as_secs()
    )
}
