//! Servers that misbehave: switches for failure tests.

use std::fmt;
use std::str::FromStr;

use super::Emulator;

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Health {
    /// Well.
    #[default]
    Up,
    /// Well, but it reports that it wants no further requests.
    Draining,
    /// Dead: what it had is lost, and so is all that comes.
    Killed,
    /// It takes requests and answers none, not even a ping.
    Hung,
    /// Its work takes so many times as long.
    Slow(f64),
    /// It loses this share of what comes.
    Drops(f64),
}

impl FromStr for Health {
    type Err = String;

    /// `up`, `drain`, `kill`, `hang`, `slow:10`, `drop:5%`.
    fn from_str(text: &str) -> Result<Health, String> {
        let wrong = || {
            format!(
                "{text:?} is not a server's health; expected up, drain, kill, hang, slow:FACTOR or \
                 drop:SHARE"
            )
        };
        match text.split_once(':') {
            None => match text {
                "up" => Ok(Health::Up),
                "drain" => Ok(Health::Draining),
                "kill" => Ok(Health::Killed),
                "hang" => Ok(Health::Hung),
                _ => Err(wrong()),
            },
            Some(("slow", factor)) => match factor.parse::<f64>() {
                Ok(factor) if (0.001..=1e6).contains(&factor) => Ok(Health::Slow(factor)),
                _ => Err(wrong()),
            },
            Some(("drop", share)) => match crate::distribution::share(share) {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Health::Drops(share)),
                _ => Err(wrong()),
            },
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Up => f.write_str("up"),
            Health::Draining => f.write_str("drain"),
            Health::Killed => f.write_str("kill"),
            Health::Hung => f.write_str("hang"),
            Health::Slow(factor) => write!(f, "slow:{factor}"),
            Health::Drops(share) => write!(f, "drop:{}%", share * 100.0),
        }
    }
}

impl Emulator {
    /// How a server is, by its place in the list.
    pub fn health(&self, server: usize) -> Option<Health> {
        self.hosts.get(server).map(|host| host.health)
    }

    /// Makes a server well or ill. False if there is no such server.
    ///
    /// A server that was killed or hung comes back as a new process: without the requests it had.
    pub fn set_health(&mut self, server: usize, health: Health) -> bool {
        let Some(host) = self.hosts.get_mut(server) else {
            return false;
        };
        let gone = |health| matches!(health, Health::Killed | Health::Hung);
        let fresh = health == Health::Killed || (gone(host.health) && !gone(health));
        if fresh || health == Health::Hung {
            // What is being worked on never ends.
            host.generation = host.generation.wrapping_add(1);
        }
        if fresh {
            while host.line.pop().is_some() {
                host.counters.lost += 1;
            }
            host.counters.lost += u64::from(host.busy);
            host.busy = 0;
        }
        host.core.set_draining(health == Health::Draining);
        host.health = health;
        true
    }
}
