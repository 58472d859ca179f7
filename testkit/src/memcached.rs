//! A real memcached, from the distribution's package.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::netns::Netns;
use crate::process::Process;
use crate::wait::wait_for;

/// A running memcached that speaks TCP and UDP on one address.
#[derive(Debug)]
pub struct Memcached {
    address: SocketAddr,
    process: Process,
}

impl Memcached {
    /// Starts it on `address`, in `netns` or in the current namespace, and waits until it accepts a
    /// connection.
    ///
    /// # Errors
    /// If it does not come up; ask for `Need::Command("memcached")` first.
    pub fn start(netns: Option<&Netns>, address: SocketAddr) -> Result<Memcached, String> {
        let mut command = netns.map_or_else(
            || Command::new("memcached"),
            |netns| netns.command("memcached"),
        );
        let port = address.port().to_string();
        command.args([
            "-u", "nobody", "-m", "64", "-t", "1", "-p", &port, "-U", &port,
        ]);
        command.arg("-l").arg(address.ip().to_string());
        let process =
            Process::spawn("memcached", &mut command).map_err(|error| error.to_string())?;
        let mut memcached = Memcached { address, process };
        let connect =
            || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        wait_for("memcached", Duration::from_secs(10), || {
            if let Some(status) = memcached.process.ended() {
                return Some(Err(format!(
                    "memcached ended ({status}): {}",
                    memcached.process.log()
                )));
            }
            netns
                .map_or_else(connect, |netns| netns.run(connect))
                .then_some(Ok(()))
        })??;
        Ok(memcached)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to kill it or to read its output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, free_port, require};
    use std::io::{BufRead, BufReader, Write};

    #[test]
    fn stores_and_gives_back() {
        require!(Need::Command("memcached"));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let memcached = Memcached::start(None, address).unwrap();
        let mut stream = std::net::TcpStream::connect(memcached.address()).unwrap();
        stream.write_all(b"set k 0 0 2\r\nhi\r\nget k\r\n").unwrap();
        let lines: Vec<String> = BufReader::new(stream)
            .lines()
            .take(3)
            .map(Result::unwrap)
            .collect();
        assert_eq!(lines, ["STORED", "VALUE k 0 2", "hi"]);
    }
}
