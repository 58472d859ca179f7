//! Packet filters in tcpdump's language (pcap-filter(7)): libpcap compiles an expression, an
//! interpreter of our own executes the program.
//!
//! Libpcap runs on the control side only. What it makes is verified once ([`Program::verify`]);
//! executing it cannot fail, loop, or read outside a packet, whatever packet or program it is.

mod libpcap;
mod program;
#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

pub use self::program::{Bytes, Instruction, Program, ProgramError};
use crate::check::{JsonPath, Problems};
use crate::packet::Packet;

/// Longest expression that is compiled, bytes: libpcap's compiler takes time that grows faster than
/// the square of the length, half a minute for 10 KiB.
const LONGEST: usize = 2048;

/// Why an expression is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the filter {expression:?} is not understood: {message}")]
pub struct FilterError {
    /// The expression.
    pub expression: String,
    /// What is wrong with it; libpcap's words where they are.
    pub message: String,
}

/// A compiled filter for Ethernet frames.
///
/// It looks at a packet as it lies in memory: a VLAN tag that the port stripped is not seen. All
/// segments of a packet are looked at.
#[derive(Clone)]
pub struct Filter {
    expression: String,
    program: Program,
}

/// Checks an expression in the settings, at `path`; `example` is one that would be right there.
pub fn check_filter(expression: &str, path: &JsonPath, example: &str, problems: &mut Problems) {
    if let Err(error) = Filter::compile(expression) {
        problems
            .error(
                path,
                format!("the filter is not understood: {}", error.message),
            )
            .found(format_args!("{:?}", error.expression))
            .allowed(format_args!(
                "an expression in tcpdump's language such as {example:?}"
            ));
    }
}

impl Filter {
    /// Compiles an expression such as `udp port 53 and net 10.0.0.0/8`. The empty one matches
    /// every packet.
    ///
    /// Names of hosts in it are resolved now, which may take as long as the resolver does.
    ///
    /// # Errors
    /// What is wrong, in libpcap's words.
    pub fn compile(expression: &str) -> Result<Filter, FilterError> {
        let error = |message: String| FilterError {
            expression: expression.to_owned(),
            message,
        };
        if expression.len() > LONGEST {
            return Err(FilterError {
                expression: expression.chars().take(60).collect::<String>() + "...",
                message: format!("it is longer than {LONGEST} bytes"),
            });
        }
        let instructions = libpcap::compile(expression).map_err(error)?;
        let program = Program::verify(instructions).map_err(|why| error(why.to_string()))?;
        Ok(Filter {
            expression: expression.to_owned(),
            program,
        })
    }

    /// The expression it was compiled from.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a packet matches.
    #[inline]
    pub fn matches(&self, packet: &Packet) -> bool {
        let len = packet.len() as u32;
        if packet.is_contiguous() {
            self.program.run(packet.data(), len) != 0
        } else {
            self.program.run(packet, len) != 0
        }
    }

    /// Whether a frame matches of which the first bytes are at hand; `wire_len` is how long it is.
    #[inline]
    pub fn matches_bytes(&self, frame: &[u8], wire_len: u32) -> bool {
        self.program.run(frame, wire_len) != 0
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("expression", &self.expression)
            .field("instructions", &self.program.len())
            .finish()
    }
}
