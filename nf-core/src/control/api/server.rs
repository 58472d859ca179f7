//! The listeners: connections, their limits, and the end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::{PATIENCE, Peer, Shared, router};
use super::patient::Patient;
use super::socket::{self, SocketFile};
use super::{Backend, Door, SocketError};
use crate::control::config::Config;

/// How long open connections may go on when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a client that is one too many is given to read why.
const REFUSAL: Duration = Duration::from_secs(1);

const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 49\r\n\r\n\
    {\"error\":\"too many connections; try again later\"}";

/// What clients may use at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of each listener at a time.
    pub connections: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// For a request's head, its body, a read's answer, and each step of taking an answer.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            body: 1 << 20,
            head: 16 << 10,
            patience: PATIENCE,
        }
    }
}

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address for reading; port 0 takes any free one.
    pub http: Option<SocketAddr>,
    /// Path of the control socket.
    pub socket: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// The group it belongs to, by name or number, if not the process's own.
    pub group: Option<String>,
    /// What clients may use.
    pub limits: Limits,
}

impl ServerConfig {
    /// What a configuration says, with the usual limits.
    pub fn new(config: &Config) -> ServerConfig {
        ServerConfig {
            http: config.telemetry.http,
            socket: config.control.socket_path(&config.name),
            mode: config.control.mode.bits(),
            group: config.control.group.clone(),
            limits: Limits::default(),
        }
    }
}

/// The API cannot be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address for reading cannot be had.
    #[error(
        "{address} (`telemetry.http`) cannot be listened on: {error}; another appliance may use it"
    )]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The control socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// A running API server. Its tasks belong to the runtime it was started in.
#[derive(Debug)]
pub struct Server {
    http: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    file: SocketFile,
}

impl Server {
    /// Listens and serves. Has to be called within a tokio runtime.
    pub fn start(config: &ServerConfig, backend: Arc<dyn Backend>) -> Result<Server, ServeError> {
        let (stop, stopped) = watch::channel(false);
        let shared = Shared::new(backend, config.limits);
        let (unix, file) = socket::listen(&config.socket, config.mode, config.group.as_deref())?;
        let mut listeners = JoinSet::new();
        let mut http = None;
        if let Some(address) = config.http {
            let failed = |error| ServeError::Http { address, error };
            let listener = std::net::TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            http = Some(listener.local_addr().map_err(failed)?);
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            let door = Entrance::new(router(&shared, Door::Both), config.limits, &stopped);
            listeners.spawn(door.run(listener));
        }
        let door = Entrance::new(router(&shared, Door::Socket), config.limits, &stopped);
        listeners.spawn(door.run(unix));
        Ok(Server {
            http,
            stop,
            listeners,
            file,
        })
    }

    /// The address for reading, with its real port.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Accepts nothing more, gives requests under way a moment to end, and removes the socket.
    pub async fn stop(mut self) {
        drop(self.file);
        let _ = self.stop.send(true);
        while self.listeners.join_next().await.is_some() {}
    }
}

/// Something that accepts connections.
trait Listener: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<(Self::Io, Peer)> {
        let (io, address) = TcpListener::accept(self).await?;
        // Answers are written whole: waiting for more to send would only delay their end.
        let _ = io.set_nodelay(true);
        Ok((io, Peer(address.to_string())))
    }
}

impl Listener for UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<(Self::Io, Peer)> {
        let (io, _) = UnixListener::accept(self).await?;
        let peer = io.peer_cred().map_or_else(
            |_| "unknown".to_owned(),
            |peer| format!("uid {} pid {}", peer.uid(), peer.pid().unwrap_or(0)),
        );
        Ok((io, Peer(peer)))
    }
}

/// One listener's side.
struct Entrance {
    router: Router,
    limits: Limits,
    stopped: watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl Entrance {
    fn new(router: Router, limits: Limits, stopped: &watch::Receiver<bool>) -> Entrance {
        let places = Arc::new(Semaphore::new(limits.connections));
        Entrance {
            router,
            limits,
            stopped: stopped.clone(),
            places,
        }
    }

    async fn run<L: Listener>(self, listener: L) {
        let mut stopped = self.stopped.clone();
        let refusals = Arc::new(Semaphore::new(self.limits.connections));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = ended(&mut stopped) => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((io, peer)) => match self.places.clone().try_acquire_owned() {
                        Ok(place) => {
                            let served = self.serve(io, peer);
                            connections.spawn(async move { (served.await, drop(place)).0 });
                        }
                        // Beyond that many refusals at a time, a closed connection has to do.
                        Err(_) => if let Ok(place) = refusals.clone().try_acquire_owned() {
                            connections.spawn(async move { (refuse(io).await, drop(place)).0 });
                        },
                    },
                    // Out of descriptors, most likely: it would fail again at once.
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the API could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }

    /// Serves one connection to its end.
    fn serve<Io>(&self, io: Io, peer: Peer) -> impl Future<Output = ()> + Send + 'static
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone().layer(axum::Extension(peer));
        let (limits, mut stopped) = (self.limits, self.stopped.clone());
        async move {
            let io = TokioIo::new(Patient::new(io, limits.patience));
            let service = TowerToHyperService::new(router);
            let mut connection = std::pin::pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits.patience)
                    .max_buf_size(limits.head)
                    .serve_connection(io, service)
            );
            // What goes wrong on a connection is its client's affair.
            tokio::select! {
                _ = &mut connection => return,
                () = ended(&mut stopped) => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }
}

/// Comes back when the server stops.
async fn ended(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Says why, and waits for the client to have read it: closing at once would lose it.
async fn refuse<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) {
    let farewell = async {
        io.write_all(REFUSED).await?;
        io.shutdown().await?;
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSAL, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_well_formed() {
        let text = std::str::from_utf8(REFUSED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
