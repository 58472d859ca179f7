//! A TCP transfer between the two hosts, through their kernels' stacks, verified by a checksum that
//! either end computes for itself.

use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::interrupt::Interrupt;
use crate::topology::{Hosts, SERVER};

const PORT: u16 = 5001;
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Bytes sent.
    pub bytes: usize,
    /// How long it took, from the connection to the server's verdict.
    pub took: Duration,
    /// What both ends computed.
    pub checksum: u64,
}

/// Sends `bytes` pseudo-random bytes from the client to the server.
pub fn run(hosts: &Hosts, bytes: usize, interrupt: &Interrupt) -> Result<Transfer> {
    let listener = hosts.server.run(|| TcpListener::bind((SERVER, PORT)))?;
    let serving = interrupt.clone();
    let server = thread::spawn(move || serve(&listener, &serving));
    let start = Instant::now();
    let address = (SERVER, PORT).into();
    let stream = hosts
        .client
        .run(|| TcpStream::connect_timeout(&address, PATIENCE))
        .context("the client could not connect")?;
    let sent = send(stream, bytes, interrupt)?;
    let received = server
        .join()
        .map_err(|_| anyhow!("the server panicked"))??;
    if received != (bytes, sent) {
        bail!("{bytes} bytes with checksum {sent:016x} were sent, but {received:x?} arrived");
    }
    Ok(Transfer {
        bytes,
        took: start.elapsed(),
        checksum: sent,
    })
}

fn send(mut stream: TcpStream, bytes: usize, interrupt: &Interrupt) -> Result<u64> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    while left > 0 {
        interrupt.check()?;
        for word in buffer.chunks_exact_mut(8) {
            // xorshift: no two blocks alike, so that nothing can go missing or change places unseen.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let part = &buffer[..left.min(buffer.len())];
        stream.write_all(part).context("the transfer broke off")?;
        hasher.write(part);
        left -= part.len();
    }
    Ok(hasher.finish())
}

fn serve(listener: &TcpListener, interrupt: &Interrupt) -> Result<(usize, u64)> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if start.elapsed() > PATIENCE || interrupt.is_set() => {
                return Err(error).context("nobody connected");
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        interrupt.check()?;
        let length = stream.read(&mut buffer).context("the transfer broke off")?;
        if length == 0 {
            return Ok((total, hasher.finish()));
        }
        hasher.write(&buffer[..length]);
        total += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Need, Netns, require};

    #[test]
    fn both_ends_agree_over_linux_routing() {
        require!(Need::Root);
        let hosts = Hosts::new().unwrap();
        let middle = Netns::new("mid");
        hosts.join_by_veth(&middle, "va", "vb");
        hosts.route_by_linux(&middle, "va", "vb").unwrap();
        let interrupt = Interrupt::install().unwrap();
        let transfer = run(&hosts, 1_000_001, &interrupt).unwrap();
        assert_eq!(transfer.bytes, 1_000_001);
    }
}
