//! Prefixes and their next hops, handed to the cores in versions.
//!
//! A table of DPDK's takes tens of megabytes, so a change does not build a new one. There are two of
//! each IP version: the cores look into one, the control side changes the other, publishes it, and
//! catches up with the first when the last core has let go of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dpdk::{DpdkError, Eal, Fib4, Fib6};
use crate::wire::Prefix;

/// A table of one IP version.
pub trait Lpm: Sized {
    /// An empty table.
    fn create(eal: &'static Eal, prefixes: u32) -> Result<Self, DpdkError>;
    /// Sets a prefix's next hop, or removes the prefix.
    fn change(&mut self, prefix: Prefix, hop: Option<u16>) -> Result<(), DpdkError>;
}

impl Lpm for Fib4 {
    fn create(eal: &'static Eal, prefixes: u32) -> Result<Fib4, DpdkError> {
        Fib4::create(eal, prefixes)
    }

    fn change(&mut self, prefix: Prefix, hop: Option<u16>) -> Result<(), DpdkError> {
        match (prefix.address(), hop) {
            (IpAddr::V4(address), Some(hop)) => self.set(address, prefix.length(), hop),
            (IpAddr::V4(address), None) => self.remove(address, prefix.length()),
            _ => Ok(()),
        }
    }
}

impl Lpm for Fib6 {
    fn create(eal: &'static Eal, prefixes: u32) -> Result<Fib6, DpdkError> {
        Fib6::create(eal, prefixes)
    }

    fn change(&mut self, prefix: Prefix, hop: Option<u16>) -> Result<(), DpdkError> {
        match (prefix.address(), hop) {
            (IpAddr::V6(address), Some(hop)) => self.set(address, prefix.length(), hop),
            (IpAddr::V6(address), None) => self.remove(address, prefix.length()),
            _ => Ok(()),
        }
    }
}

/// What became of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The active table has them all.
    Done,
    /// A core still looks into the other table: try again later.
    Busy,
}

/// The two tables of an IP version.
#[derive(Debug)]
pub struct Pair<T> {
    eal: &'static Eal,
    prefixes: u32,
    /// What the active table holds.
    content: BTreeMap<Prefix, u16>,
    active: Option<Arc<T>>,
    spare: Option<Arc<T>>,
    /// What the spare table lacks of `content`.
    lag: BTreeMap<Prefix, Option<u16>>,
    /// What neither table has yet.
    pending: BTreeMap<Prefix, Option<u16>>,
}

impl<T: Lpm> Pair<T> {
    /// No tables yet: they are made when there is something to put into them.
    pub fn new(eal: &'static Eal, prefixes: u32) -> Pair<T> {
        Pair {
            eal,
            prefixes,
            content: BTreeMap::new(),
            active: None,
            spare: None,
            lag: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// What the active table holds.
    pub fn content(&self) -> impl Iterator<Item = (Prefix, u16)> + '_ {
        self.content.iter().map(|(prefix, hop)| (*prefix, *hop))
    }

    /// The table that the cores are to look into.
    pub fn active(&self) -> Option<Arc<T>> {
        self.active.clone()
    }

    /// Sets a prefix's next hop, or removes the prefix, at the next flush.
    pub fn change(&mut self, prefix: Prefix, hop: Option<u16>) {
        if self.content.get(&prefix).copied() == hop {
            self.pending.remove(&prefix);
        } else {
            self.pending.insert(prefix, hop);
        }
    }

    /// Forgets changes that no table has yet.
    pub fn cancel(&mut self) {
        self.pending.clear();
    }

    /// Puts the changes into the table that no core looks into, which becomes the active one. After
    /// an error the active table is what it was, and the changes are forgotten.
    pub fn flush(&mut self) -> Result<Flushed, DpdkError> {
        if self.pending.is_empty() {
            return Ok(Flushed::Done);
        }
        let after = self.content.len() + self.pending.values().filter(|hop| hop.is_some()).count();
        if after > self.prefixes as usize {
            let replaced = self
                .pending
                .iter()
                .filter(|(prefix, _)| self.content.contains_key(*prefix))
                .count();
            if after - replaced > self.prefixes as usize {
                self.pending.clear();
                return Err(DpdkError {
                    call: "the table of routes",
                    errno: libc::ENOSPC,
                });
            }
        }
        let had_spare = self.spare.is_some();
        let mut result = self.change_spare();
        if result.is_err() && had_spare {
            // DPDK 22.11 reserves room for every IPv6 prefix it adds and does not give all of it
            // back when the prefix goes, so a table can be full of nothing. A fresh one is not.
            self.spare = None;
            result = self.change_spare();
        }
        if result.is_err() {
            // It holds half of the changes now.
            self.spare = None;
            self.pending.clear();
        }
        result
    }

    fn change_spare(&mut self) -> Result<Flushed, DpdkError> {
        let spare = match &mut self.spare {
            Some(spare) => spare,
            none => {
                let mut table = T::create(self.eal, self.prefixes)?;
                for (prefix, hop) in &self.content {
                    table.change(*prefix, Some(*hop))?;
                }
                self.lag.clear();
                none.insert(Arc::new(table))
            }
        };
        // Versions that cores may still see hold the table too.
        let Some(table) = Arc::get_mut(spare) else {
            return Ok(Flushed::Busy);
        };
        // What goes first, so that a full table has room for what comes.
        for changes in [&self.lag, &self.pending] {
            for (prefix, _) in changes.iter().filter(|(_, hop)| hop.is_none()) {
                table.change(*prefix, None)?;
            }
            for (prefix, hop) in changes.iter().filter(|(_, hop)| hop.is_some()) {
                table.change(*prefix, *hop)?;
            }
        }
        for (prefix, hop) in &self.pending {
            match hop {
                Some(hop) => self.content.insert(*prefix, *hop),
                None => self.content.remove(prefix),
            };
        }
        self.lag = std::mem::take(&mut self.pending);
        std::mem::swap(&mut self.active, &mut self.spare);
        Ok(Flushed::Done)
    }
}
