//! A real memcached or Redis of one thread, reached over a Unix socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;
use testkit::{Process, wait_for};

use crate::run::output;

/// What is stored under each key.
const VALUE: [u8; 64] = [b'v'; 64];

/// Objects stored with one write.
const AT_ONCE: u64 = 1_000;

/// No answer takes so long.
const LIMIT: Duration = Duration::from_secs(10);

/// Which program it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memcached,
    Redis,
}

/// All of them.
pub const STORES: [Kind; 2] = [Kind::Memcached, Kind::Redis];

impl Kind {
    /// As presets are named.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Memcached => "memcached",
            Kind::Redis => "redis",
        }
    }

    /// Name and version of the program.
    pub fn version(self) -> Result<String> {
        let (program, flag) = match self {
            Kind::Memcached => ("memcached", "-V"),
            Kind::Redis => ("redis-server", "-v"),
        };
        let text = output(Command::new(program).arg(flag))?;
        let version = text
            .split_whitespace()
            .map(|word| word.trim_start_matches("v="))
            .find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()));
        let version = version.with_context(|| format!("{program} {flag}: {text}"))?;
        Ok(format!("{} {version}", self.name()))
    }
}

/// A running store, and a connection to it.
pub struct Store {
    kind: Kind,
    stream: UnixStream,
    answer: Vec<u8>,
    _process: Process,
    _folder: TempDir,
}

impl Store {
    /// Starts it, empty.
    pub fn start(kind: Kind) -> Result<Store> {
        let folder = tempfile::Builder::new().prefix("measure-").tempdir()?;
        let socket = folder.path().join("store");
        let mut command = match kind {
            Kind::Memcached => {
                let mut command = Command::new("memcached");
                // Whoever we are; without it, root is refused.
                command.args(["-u", "root", "-m", "1024", "-t", "1", "-s"]);
                command.arg(&socket);
                command
            }
            Kind::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--port", "0", "--save", "", "--appendonly", "no"]);
                command.arg("--unixsocket").arg(&socket);
                command.current_dir(folder.path());
                command
            }
        };
        let process = Process::spawn(kind.name(), &mut command)?;
        let stream = wait_for(kind.name(), LIMIT, || UnixStream::connect(&socket).ok())
            .map_err(|error| anyhow!("{error}: {}", process.log()))?;
        Ok(Store {
            kind,
            stream,
            answer: Vec::new(),
            _process: process,
            _folder: folder,
        })
    }

    /// Stores the objects 0 to `objects`, and reads some of them.
    pub fn fill(&mut self, objects: u64) -> Result<()> {
        for first in (0..objects).step_by(AT_ONCE as usize) {
            let keys = first..objects.min(first + AT_ONCE);
            let count = keys.end - keys.start;
            let mut text = Vec::new();
            for key in keys {
                let head = match self.kind {
                    Kind::Memcached => format!("set {} 0 0 64\r\n", name(key)),
                    Kind::Redis => format!("*3\r\n$3\r\nSET\r\n$16\r\n{}\r\n$64\r\n", name(key)),
                };
                text.extend_from_slice(head.as_bytes());
                text.extend_from_slice(&VALUE);
                text.extend_from_slice(b"\r\n");
            }
            let told = match self.kind {
                Kind::Memcached => "STORED\r\n",
                Kind::Redis => "+OK\r\n",
            };
            self.stream.set_nonblocking(false)?;
            self.stream.write_all(&text)?;
            self.answer.resize(told.len() * count as usize, 0);
            self.stream.read_exact(&mut self.answer)?;
            if self.answer != told.repeat(count as usize).as_bytes() {
                bail!("{} did not store everything", self.kind.name());
            }
        }
        self.stream.set_nonblocking(true)?;
        let request = self.request(0..2);
        self.exchange(&request, 2)
    }

    /// The bytes that ask for these objects.
    pub fn request(&self, keys: impl Iterator<Item = u64>) -> Vec<u8> {
        let keys: Vec<String> = keys.map(name).collect();
        match (self.kind, keys.as_slice()) {
            (Kind::Memcached, keys) => format!("get {}\r\n", keys.join(" ")),
            (Kind::Redis, [key]) => format!("*2\r\n$3\r\nGET\r\n$16\r\n{key}\r\n"),
            (Kind::Redis, keys) => {
                let keys: String = keys.iter().map(|key| format!("$16\r\n{key}\r\n")).collect();
                let words = keys.len() / "$16\r\n0123456789abcdef\r\n".len() + 1;
                format!("*{words}\r\n$4\r\nMGET\r\n{keys}")
            }
        }
        .into_bytes()
    }

    /// How long the answer with so many objects is.
    fn answer_len(&self, objects: u64) -> usize {
        let (objects, value) = (objects as usize, VALUE.len() + 2);
        match (self.kind, objects) {
            (Kind::Memcached, _) => objects * ("VALUE 0123456789abcdef 0 64\r\n".len() + value) + 5,
            (Kind::Redis, 1) => "$64\r\n".len() + value,
            (Kind::Redis, _) => {
                format!("*{objects}\r\n").len() + objects * ("$64\r\n".len() + value)
            }
        }
    }

    /// Sends a request for so many objects and polls until the whole answer is there.
    pub fn exchange(&mut self, request: &[u8], objects: u64) -> Result<()> {
        let len = self.answer_len(objects);
        self.answer.resize(len, 0);
        self.stream.write_all(request)?;
        let (mut have, begin) = (0, Instant::now());
        while have < len {
            match self.stream.read(&mut self.answer[have..]) {
                Ok(0) => bail!("{} closed the connection", self.kind.name()),
                Ok(more) => have += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if begin.elapsed() > LIMIT {
                        bail!("{} does not answer", self.kind.name());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // The last value, or the end behind it, is where it has to be.
        let end: &[u8] = match self.kind {
            Kind::Memcached => b"v\r\nEND\r\n",
            Kind::Redis => b"v\r\n",
        };
        if !self.answer.ends_with(end) {
            bail!("{} answered something else", self.kind.name());
        }
        Ok(())
    }
}

/// A key of 16 bytes.
fn name(key: u64) -> String {
    format!("key:{key:012}")
}

#[cfg(test)]
mod tests {
    use testkit::{Need, require};

    use super::*;

    #[test]
    fn stores_are_filled_and_asked() {
        require!(Need::Command("memcached"));
        require!(Need::Command("redis-server"));
        for kind in STORES {
            let mut store = Store::start(kind).unwrap();
            store.fill(2_500).unwrap();
            for keys in [0..1, 2_400..2_500] {
                let request = store.request(keys.clone());
                let answer = store.exchange(&request, keys.end - keys.start);
                assert!(answer.is_ok(), "{}: {answer:?}", kind.name());
            }
            // What is not there is found out.
            let request = store.request(2_500..2_501);
            assert!(request.len() > 16);
            assert!(kind.version().unwrap().starts_with(kind.name()));
        }
    }
}
