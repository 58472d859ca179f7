//! Real memcached servers, what they are filled with, and its `get` over UDP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use testkit::Memcached;

use super::clients::{Judgement, Speaks};
use crate::bed::Bed;

/// UDP and TCP port of the servers and of their service.
pub const PORT: u16 = 11211;

/// Keys that every server is given; every tenth has a value of several datagrams.
const KEYS: u32 = 100;

/// Bytes of a frame header.
const FRAME: usize = 8;

/// memcached's ASCII protocol over UDP: `get` of one key, of two, and of one that nobody has.
///
/// Each server's values name it, so that answers made of those of two servers are found out.
#[derive(Debug, Clone, Copy)]
pub struct Gets {
    /// How many servers there are.
    pub servers: u8,
}

fn value(sid: u8, key: u32) -> String {
    let length = if key.is_multiple_of(10) { 5000 } else { 40 };
    let pattern = format!("from {sid} key{key}: ");
    pattern.repeat(length / pattern.len() + 1)
}

/// The keys that request `n` is for; empty for the one that nobody has.
fn keys(n: u32) -> Vec<u32> {
    match n % 7 {
        // Two at once, which have short values.
        5 => vec![n / 7 % 10 * 10 + 3, n / 7 % 9 * 10 + 7],
        6 => vec![],
        _ => vec![n % KEYS],
    }
}

impl Speaks for Gets {
    fn request(&self, id: u16, n: u32) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 1, 0, 0]);
        let mut names: Vec<String> = keys(n).iter().map(|key| format!("key{key}")).collect();
        if names.is_empty() {
            names.push("nobody".to_owned());
        }
        bytes.extend(format!("get {}\r\n", names.join(" ")).as_bytes());
        bytes
    }

    fn id(&self, datagram: &[u8]) -> Option<u16> {
        datagram.first_chunk().map(|id| u16::from_be_bytes(*id))
    }

    fn part(&self, n: u32, datagram: &[u8]) -> Option<(usize, usize)> {
        if let [first, second] = keys(n)[..] {
            // A message for each key; the last one ends the answer. Of a key that is missing, nothing.
            let text = String::from_utf8_lossy(datagram.get(FRAME..)?);
            let begins = |key| text.starts_with(&format!("VALUE key{key} "));
            return match &*text {
                "" => Some((0, 2)),
                "END\r\n" => Some((1, 2)),
                _ if begins(first) => Some((0, 2)),
                _ if begins(second) => Some((1, 2)),
                _ => None,
            };
        }
        let word = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
        let (part, all) = (usize::from(word(2)?), usize::from(word(4)?));
        (part < all).then_some((part, all))
    }

    fn judge(&self, _id: u16, n: u32, parts: &[Vec<u8>]) -> Judgement {
        let text: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.get(FRAME..).unwrap_or_default())
            .copied()
            .collect();
        let keys = keys(n);
        let all_of = |sid: u8| -> String {
            let values = keys.iter().map(|key| {
                let value = value(sid, *key);
                format!("VALUE key{key} 0 {}\r\n{value}\r\n", value.len())
            });
            format!("{}END\r\n", values.collect::<String>())
        };
        if (0..self.servers).any(|sid| text == all_of(sid).as_bytes()) {
            Judgement::Right
        } else if text == b"END\r\n" {
            Judgement::Missed
        } else {
            Judgement::Wrong
        }
    }
}

/// One memcached for each server of a bed. Dropping it stops them.
#[derive(Debug)]
pub struct Servers<'a> {
    bed: &'a Bed,
    running: Vec<Memcached>,
}

impl<'a> Servers<'a> {
    /// Starts all of them, and gives each its values.
    ///
    /// # Errors
    /// If one does not come up; ask for `Need::Command("memcached")` first.
    pub fn start(bed: &'a Bed) -> Result<Servers<'a>, String> {
        let mut servers = Servers {
            bed,
            running: Vec::new(),
        };
        for sid in 0..bed.servers() {
            let memcached = servers.spawn(sid)?;
            servers.running.push(memcached);
            servers.fill(sid)?;
        }
        Ok(servers)
    }

    fn address(&self, sid: u8) -> SocketAddr {
        (self.bed.server(sid), PORT).into()
    }

    fn spawn(&self, sid: u8) -> Result<Memcached, String> {
        Memcached::start(Some(&self.bed.hosts), self.address(sid))
            .map_err(|error| format!("server {sid}: {error}"))
    }

    fn of(&mut self, sid: u8) -> Result<&mut Memcached, String> {
        self.running
            .get_mut(usize::from(sid))
            .ok_or_else(|| format!("there is no server {sid}"))
    }

    /// Kills one at once (SIGKILL).
    ///
    /// # Errors
    /// If there is no such server.
    pub fn kill(&mut self, sid: u8) -> Result<(), String> {
        self.of(sid)?.process().kill();
        Ok(())
    }

    /// Starts one again, after its end if it runs: it is empty.
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub fn start_empty(&mut self, sid: u8) -> Result<(), String> {
        self.kill(sid)?;
        let memcached = self.spawn(sid)?;
        *self.of(sid)? = memcached;
        Ok(())
    }

    /// Has one hang (SIGSTOP), or go on (SIGCONT).
    ///
    /// # Errors
    /// If there is no such server.
    pub fn hang(&mut self, sid: u8, hangs: bool) -> Result<(), String> {
        let signal = match hangs {
            true => Signal::STOP,
            false => Signal::CONT,
        };
        self.of(sid)?.process().signal(signal);
        Ok(())
    }

    /// Gives one its values, over TCP and past the appliance.
    ///
    /// # Errors
    /// What it said, or the kernel.
    pub fn fill(&self, sid: u8) -> Result<(), String> {
        let address = self.address(sid);
        self.bed
            .hosts
            .run(|| fill(address, sid))
            .map_err(|error| format!("filling server {sid}: {error}"))
    }
}

fn fill(address: SocketAddr, sid: u8) -> std::io::Result<()> {
    let limit = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    for key in 0..KEYS {
        let value = value(sid, key);
        let set = format!("set key{key} 0 0 {}\r\n{value}\r\n", value.len());
        stream.write_all(set.as_bytes())?;
        let mut stored = [0; 8];
        stream.read_exact(&mut stored)?;
        if &stored != b"STORED\r\n" {
            let told = String::from_utf8_lossy(&stored).into_owned();
            return Err(std::io::Error::other(told));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GETS: Gets = Gets { servers: 3 };

    fn frame(head: [u16; 3], text: &str) -> Vec<u8> {
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend([0, 0]);
        bytes.extend(text.as_bytes());
        bytes
    }

    fn answer(sid: u8, key: u32) -> String {
        let value = value(sid, key);
        format!("VALUE key{key} 0 {}\r\n{value}\r\n", value.len())
    }

    #[test]
    fn an_answer_is_right_missed_or_wrong() {
        let judge = |n, texts: &[String]| {
            let frames: Vec<Vec<u8>> = texts.iter().map(|text| frame([1, 0, 1], text)).collect();
            GETS.judge(1, n, &frames)
        };
        let end = || "END\r\n".to_owned();
        for sid in 0..3 {
            assert_eq!(judge(1, &[answer(sid, 1), end()]), Judgement::Right);
        }
        assert_eq!(judge(1, &[end()]), Judgement::Missed);
        assert_eq!(judge(6, &[end()]), Judgement::Right);
        assert_eq!(judge(1, &[answer(0, 2), end()]), Judgement::Wrong);
        assert_eq!(judge(1, &[answer(3, 1), end()]), Judgement::Wrong);
        let [first, second] = keys(5)[..] else {
            panic!("two keys");
        };
        let both = |one, other| [answer(one, first), answer(other, second), end()];
        assert_eq!(judge(5, &both(1, 1)), Judgement::Right);
        assert_eq!(judge(5, &both(1, 2)), Judgement::Wrong);
        assert_eq!(judge(5, &[String::new(), end()]), Judgement::Missed);
    }

    #[test]
    fn datagrams_say_which_part_they_are() {
        assert_eq!(GETS.part(10, &frame([1, 2, 4], "...")), Some((2, 4)));
        assert_eq!(GETS.part(10, &frame([1, 4, 4], "...")), None);
        assert_eq!(GETS.part(10, &[0, 1, 0]), None);
        let [first, second] = keys(5)[..] else {
            panic!("two keys");
        };
        assert_eq!(
            GETS.part(5, &frame([1, 0, 1], &answer(0, first))),
            Some((0, 2))
        );
        assert_eq!(
            GETS.part(5, &frame([1, 0, 1], &answer(0, second))),
            Some((1, 2))
        );
        assert_eq!(GETS.part(5, &frame([1, 0, 0], "")), Some((0, 2)));
        assert_eq!(GETS.part(5, &frame([1, 0, 1], "END\r\n")), Some((1, 2)));
        assert_eq!(GETS.part(5, &frame([1, 0, 1], &answer(0, 99))), None);
    }
}
