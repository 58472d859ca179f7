//! Where endpoints run: over the kernel's sockets, or over a DPDK port.

use std::net::SocketAddr;

use nf_core::dpdk::LcoreThread;
use nf_core::wire::MacAddr;
use workload::Endpoint;

use super::port::{PortTransport, Route};
use super::sockets::Sockets;
use super::{Ticker, Transport, drive};
use crate::cli::{self, PlaceArgs, TrafficArgs};
use crate::engine::Engine;

/// A way to carry datagrams.
pub enum Place {
    /// The kernel's sockets.
    Kernel,
    /// A DPDK port.
    Port {
        /// The machine.
        engine: Box<Engine>,
        /// Where frames go.
        route: Route,
    },
}

impl Place {
    /// Opens what the flags name.
    pub fn open(args: &PlaceArgs) -> Result<Place, String> {
        let Some(port) = &args.port else {
            return Ok(Place::Kernel);
        };
        let route = match (&args.next_hop, args.gateway) {
            (Some(mac), _) => Route::Fixed(
                mac.parse::<MacAddr>()
                    .map_err(|error| format!("--next-hop: {error}"))?,
            ),
            (None, Some(gateway)) => Route::Gateway(gateway),
            (None, None) => Route::Direct,
        };
        let traffic = TrafficArgs {
            port: vec![port.clone()],
            tx_cores: args.core.into_iter().collect(),
            rx_cores: args.core.into_iter().collect(),
            memory: args.memory,
            ..TrafficArgs::default()
        };
        let engine = Engine::open(cli::profile(&traffic)?, false)?;
        if !engine.wait_for_links().is_empty() {
            tracing::warn!("the link of {port} is down");
        }
        Ok(Place::Port {
            engine: Box::new(engine),
            route,
        })
    }

    /// Gives back what was opened.
    pub fn close(self) {
        if let Place::Port { engine, .. } = self {
            crate::commands::tidy(*engine);
        }
    }

    /// Whether several transports may be bound at a time.
    pub fn is_shared(&self) -> bool {
        matches!(self, Place::Kernel)
    }

    /// A transport with these addresses, which has found its way to the `targets`. Over sockets, port 0 takes
    /// a free one.
    pub fn bind(&self, addresses: &[SocketAddr], targets: &[SocketAddr]) -> Result<Bound, String> {
        match self {
            Place::Kernel => {
                let sockets = Sockets::bind(addresses)?;
                Ok(Bound {
                    addresses: sockets.addresses(),
                    transport: Box::new(sockets),
                    lcore: None,
                })
            }
            Place::Port { engine, route } => {
                let mut port = PortTransport::new(engine.queues()?, addresses, *route);
                port.resolve(targets)?;
                Ok(Bound {
                    addresses: addresses.to_vec(),
                    transport: Box::new(port),
                    lcore: Some(engine.lcore()),
                })
            }
        }
    }
}

/// A transport, and the addresses that it has.
pub struct Bound {
    /// In the order they were asked for.
    pub addresses: Vec<SocketAddr>,
    transport: Box<dyn Transport + Send>,
    /// DPDK's environment and the processor to run on, where a port is used.
    lcore: Option<(&'static nf_core::dpdk::Eal, usize)>,
}

impl Bound {
    /// Runs an endpoint here until `go_on` says no, and gives it back, with the share of the time that it was
    /// busy.
    pub fn run<E: Endpoint + Send + 'static>(
        mut self,
        mut endpoint: E,
        ticker: Ticker,
        go_on: impl FnMut(&mut E, u64) -> bool + Send + 'static,
    ) -> Result<(E, f64), String> {
        let Some((eal, cpu)) = self.lcore else {
            let busy = drive(&mut *self.transport, &mut endpoint, ticker, go_on)?;
            return Ok((endpoint, busy));
        };
        // Ports are quick only on threads that DPDK knows.
        LcoreThread::spawn(eal, &format!("endpoint-{cpu}"), cpu, move || {
            drive(&mut *self.transport, &mut endpoint, ticker, go_on).map(|busy| (endpoint, busy))
        })
        .map_err(|error| error.to_string())?
        .join()
        .unwrap_or_else(|| Err("the thread of the port has panicked".into()))
    }
}
