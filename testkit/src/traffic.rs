//! UDP traffic of the kernel's stack: an echo server at one end, a steady sender at the other.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::netns::Netns;
use crate::wait::wait_for;

/// How long a thread waits for a datagram before it looks whether it shall end.
const TURN: Duration = Duration::from_millis(50);

/// Sends every datagram back to where it came from.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Listens on `address` in `netns`.
    ///
    /// # Panics
    /// If the address cannot be bound.
    #[must_use]
    pub fn start(netns: &Netns, address: SocketAddr) -> Echo {
        let socket = bind(netns, address);
        let stop = Arc::new(AtomicBool::new(false));
        let ask = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !ask.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Echo {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn bind(netns: &Netns, address: SocketAddr) -> UdpSocket {
    netns
        .run(|| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind(address)?;
            socket.set_read_timeout(Some(TURN))?;
            socket.set_write_timeout(Some(TURN))?;
            Ok(socket)
        })
        .unwrap_or_else(|error| panic!("{address} in {}: {error}", netns.name()))
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    returned: AtomicU64,
    damaged: AtomicU64,
    /// No more is sent.
    last: AtomicBool,
    stop: AtomicBool,
}

/// Datagrams to an [`Echo`], at a steady pace until dropped. What the kernel refuses (no route while
/// an interface is away) is left out, not an error.
#[derive(Debug)]
pub struct Traffic {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Sends `bytes` (at least 8) from `local` in `netns` to `echo` every `pause`.
    ///
    /// # Panics
    /// If the address cannot be bound.
    #[must_use]
    pub fn start(
        netns: &Netns,
        local: SocketAddr,
        echo: SocketAddr,
        bytes: usize,
        pause: Duration,
    ) -> Traffic {
        let socket = bind(netns, local);
        let receiver = socket
            .try_clone()
            .unwrap_or_else(|error| panic!("a second descriptor: {error}"));
        let counts = Arc::new(Counts::default());
        let (there, back) = (counts.clone(), counts.clone());
        let sending = std::thread::spawn(move || {
            let mut datagram: Vec<u8> = (0..bytes.max(8)).map(|n| n as u8).collect();
            while !there.stop.load(Ordering::Relaxed) && !there.last.load(Ordering::Relaxed) {
                let number = there.sent.load(Ordering::Relaxed);
                datagram[..8].copy_from_slice(&number.to_be_bytes());
                if socket.send_to(&datagram, echo).is_ok() {
                    there.sent.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(pause);
            }
        });
        let receiving = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !back.stop.load(Ordering::Relaxed) {
                let Ok(length) = receiver.recv(&mut buffer) else {
                    continue;
                };
                let sound = length == bytes.max(8) && (8..length).all(|n| buffer[n] == n as u8);
                let count = if sound { &back.returned } else { &back.damaged };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Traffic {
            counts,
            threads: vec![sending, receiving],
        }
    }

    /// Datagrams sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Datagrams that came back as they were.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.counts.returned.load(Ordering::Relaxed)
    }

    /// Datagrams that came back changed.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.counts.damaged.load(Ordering::Relaxed)
    }

    /// Sends no more from now on; what is on its way may still come back.
    pub fn end(&mut self) {
        self.counts.last.store(true, Ordering::Relaxed);
        // The sending thread is the first.
        if self.threads.len() == 2 {
            let _ = self.threads.remove(0).join();
        }
    }

    /// Waits until `more` datagrams have come back from now on.
    ///
    /// # Errors
    /// A sentence, if they have not within `limit`.
    pub fn wait_flowing(&self, more: u64, limit: Duration) -> Result<(), String> {
        let target = self.returned() + more;
        wait_for("traffic", limit, || {
            (self.returned() >= target).then_some(())
        })
        .map_err(|error| {
            format!(
                "{error} ({} sent, {} returned, {more} more wanted)",
                self.sent(),
                self.returned()
            )
        })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, require};

    #[test]
    fn what_is_sent_comes_back() {
        require!(Need::Root);
        let (a, b) = (Netns::new("ta"), Netns::new("tb"));
        a.join(("v0", &["10.9.1.1/24"]), &b, ("v0", &["10.9.1.2/24"]));
        let there = SocketAddr::from(([10, 9, 1, 2], 7));
        let _echo = Echo::start(&b, there);
        let here = SocketAddr::from(([10, 9, 1, 1], 0));
        let traffic = Traffic::start(&a, here, there, 100, Duration::from_millis(1));
        traffic.wait_flowing(20, Duration::from_secs(5)).unwrap();
        assert!(traffic.sent() >= traffic.returned());
        assert_eq!(traffic.damaged(), 0);
        let mut traffic = traffic;
        traffic.end();
        let sent = traffic.sent();
        wait_for("the rest", Duration::from_secs(5), || {
            (traffic.returned() == sent).then_some(())
        })
        .unwrap();
        assert_eq!(traffic.sent(), sent, "nothing more is sent");
    }
}
