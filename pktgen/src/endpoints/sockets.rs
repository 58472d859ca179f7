//! Datagrams over the kernel's UDP sockets: no privileges, no DPDK.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use workload::Network;

use super::{Inbox, Transport};

/// Bytes asked for in each socket's buffers; the kernel may give fewer.
const BUFFER_BYTES: usize = 8 << 20;

/// Sockets looked at in one call.
const READY_AT_ONCE: usize = 64;

/// Datagrams taken from one socket before the next one is looked at.
const AT_ONCE: usize = 64;

/// Non-blocking sockets, and what waits for them.
pub struct Sockets {
    sockets: Vec<(SocketAddr, UdpSocket)>,
    by_address: HashMap<SocketAddr, usize>,
    epoll: OwnedFd,
    scratch: Vec<u8>,
}

impl Sockets {
    /// Sockets at these addresses; port 0 takes a free one.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Sockets, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| format!("epoll: {error}"))?;
        let mut sockets = Vec::new();
        let mut by_address = HashMap::new();
        for (index, asked) in addresses.iter().enumerate() {
            let wrong = |error: std::io::Error| format!("{asked}: {error}");
            let socket = UdpSocket::bind(asked).map_err(wrong)?;
            socket.set_nonblocking(true).map_err(wrong)?;
            enlarge(&socket);
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)
                .map_err(|error| format!("epoll: {error}"))?;
            let address = socket.local_addr().map_err(wrong)?;
            by_address.insert(address, index);
            sockets.push((address, socket));
        }
        Ok(Sockets {
            sockets,
            by_address,
            epoll,
            scratch: vec![0; 65_536],
        })
    }

    /// Their addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }
}

/// Bursts should find room. More than the system's limit needs privileges, and is not needed.
fn enlarge(socket: &UdpSocket) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, BUFFER_BYTES));
    let _ = sockopt::set_socket_send_buffer_size(socket, BUFFER_BYTES);
}

impl Network for Sockets {
    fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let socket = self
            .by_address
            .get(&from)
            .and_then(|index| self.sockets.get(*index));
        socket.is_some_and(|(_, socket)| socket.send_to(payload, to).is_ok())
    }
}

impl Transport for Sockets {
    fn receive(&mut self, inbox: &mut Inbox, wait: Duration) -> Result<(), String> {
        let timeout = Timespec {
            tv_sec: wait.as_secs() as _,
            tv_nsec: wait.subsec_nanos().into(),
        };
        let mut room = [const { MaybeUninit::uninit() }; READY_AT_ONCE];
        let ready: &[epoll::Event] = match epoll::wait(&self.epoll, &mut room, Some(&timeout)) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => &[],
            Err(error) => return Err(format!("epoll: {error}")),
        };
        for event in ready {
            let Some((to, socket)) = self.sockets.get(event.data.u64() as usize) else {
                continue;
            };
            for _ in 0..AT_ONCE {
                match socket.recv_from(&mut self.scratch) {
                    Ok((length, from)) => {
                        inbox.push(from, *to, self.scratch.get(..length).unwrap_or_default());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A datagram of ours found nobody listening: it is lost, and that is all.
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::ConnectionRefused
                                | ErrorKind::Interrupted
                                | ErrorKind::HostUnreachable
                                | ErrorKind::NetworkUnreachable
                        ) => {}
                    Err(error) => return Err(format!("{to}: {error}")),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn datagrams_come_with_the_address_they_went_to() {
        let mut one = Sockets::bind(&[local(0); 3]).unwrap();
        let mut two = Sockets::bind(&[local(0)]).unwrap();
        let (from, to) = (two.addresses()[0], one.addresses());
        for (index, to) in to.iter().enumerate() {
            assert!(two.send(from, *to, &[index as u8; 10]));
        }
        assert!(!two.send(to[0], to[1], b"not mine"));
        let mut inbox = Inbox::default();
        while inbox.len() < 3 {
            one.receive(&mut inbox, Duration::from_secs(5)).unwrap();
        }
        let mut found: Vec<_> = inbox.iter().map(|d| (d.payload[0], d.from, d.to)).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [(0, from, to[0]), (1, from, to[1]), (2, from, to[2])]
        );
        inbox.clear();
        one.receive(&mut inbox, Duration::ZERO).unwrap();
        assert!(inbox.is_empty());
    }

    #[test]
    fn nobody_listening_is_no_error() {
        let gone = Sockets::bind(&[local(0)]).unwrap().addresses()[0];
        let mut one = Sockets::bind(&[local(0)]).unwrap();
        let from = one.addresses()[0];
        let mut inbox = Inbox::default();
        for _ in 0..3 {
            one.send(from, gone, b"anybody?");
            one.receive(&mut inbox, Duration::from_millis(1)).unwrap();
        }
        assert!(inbox.is_empty());
    }

    #[test]
    fn an_address_in_use_is_named() {
        let one = Sockets::bind(&[local(0)]).unwrap();
        let error = Sockets::bind(&one.addresses()).err().unwrap();
        assert!(error.contains(&one.addresses()[0].to_string()), "{error}");
    }
}
