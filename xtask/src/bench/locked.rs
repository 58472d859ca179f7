//! Locked instructions by packet: those that take a cache line for one core alone while they run.
//!
//! Callgrind counts how often each address was executed, and the disassembler says what stands there.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::stages;
use crate::programs;

/// Locked instructions of the packet thread by the packets that it receives. `receive` as for
/// [`stages::count_instructions`].
pub fn locked_per_packet(config: Value, receive: &str, window: Duration) -> Result<f64> {
    let program = programs::path("sluice")?;
    let locked = locked_instructions(&program)?;
    stages::under_callgrind(config, receive, window, &stages::EACH_INSTRUCTION, |text| {
        let executed = executions(text, "sluice");
        let count: u64 = executed
            .iter()
            .filter(|(address, _)| locked.contains(address))
            .map(|(_, count)| count)
            .sum();
        if executed.is_empty() {
            bail!("the profile does not name the program");
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(count as f64)
    })
}

/// The addresses of a program's locked instructions.
fn locked_instructions(program: &Path) -> Result<HashSet<u64>> {
    let output = Command::new("objdump")
        .args(["--disassemble", "--no-show-raw-insn", "--section=.text"])
        .arg(program)
        .output()
        .context("objdump (binutils)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let locked: HashSet<u64> = text.lines().filter_map(locked_at).collect();
    if locked.is_empty() {
        bail!("no locked instruction in {}", program.display());
    }
    Ok(locked)
}

/// The address in a line of disassembly, if what stands there is locked: by its prefix, or because it
/// exchanges a register and memory (Intel SDM 3A, 8.1.2.1).
fn locked_at(line: &str) -> Option<u64> {
    let (address, instruction) = line.trim().split_once(':')?;
    let instruction = instruction.trim();
    let by_prefix = instruction.starts_with("lock ");
    let by_itself = instruction.starts_with("xchg ") && instruction.contains('(');
    match by_prefix || by_itself {
        true => u64::from_str_radix(address, 16).ok(),
        false => None,
    }
}

/// How often each address of an object was executed, by a profile that has addresses (`--dump-instr=yes`)
/// in full (`--compress-pos=no`).
fn executions(profile: &str, object: &str) -> HashMap<u64, u64> {
    let mut objects: HashMap<&str, bool> = HashMap::new();
    let mut counts = HashMap::new();
    let (mut is_here, mut is_call) = (false, false);
    for line in profile.lines() {
        if let Some(rest) = line.strip_prefix("ob=").or(line.strip_prefix("cob=")) {
            // A name stands beside its number the first time only, perhaps as that of a called object.
            let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
            if !name.is_empty() {
                let is_it = Path::new(name)
                    .file_name()
                    .is_some_and(|file| file == object);
                objects.insert(number, is_it);
            }
            if line.starts_with("ob=") {
                is_here = objects.get(number).copied().unwrap_or(false);
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if let Some(rest) = line.strip_prefix("0x") {
            // What was called costs too, on a line of its own.
            if std::mem::take(&mut is_call) || !is_here {
                continue;
            }
            let mut words = rest.split_whitespace();
            let address = words
                .next()
                .and_then(|word| u64::from_str_radix(word, 16).ok());
            let count = words.nth(1).and_then(|word| word.parse::<u64>().ok());
            if let Some((address, count)) = address.zip(count) {
                *counts.entry(address).or_insert(0) += count;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked() {
        let line = "  401a2b:\tlock cmpxchg %rcx,(%rdi)";
        assert_eq!(locked_at(line), Some(0x40_1a2b));
        assert_eq!(locked_at("  10:\txchg   %rax,0x8(%rdi)"), Some(0x10));
        assert_eq!(locked_at("  10:\txchg   %ax,%ax"), None);
        assert_eq!(locked_at("  10:\tmov    %rax,(%rdi)"), None);
        assert_eq!(locked_at("0000000000401000 <main>:"), None);
    }

    #[test]
    fn executions_of_one_object_without_what_was_called() {
        let profile = "positions: instr line\nevents: Ir\nob=(3) ???\ncob=(1) /x/sluice\n\
            cfn=(9) x\ncalls=1 0x10 0\n0x10 0 9\nob=(1)\nfn=(1) a\n0x10 5 7\n\
            cob=(2) /lib/libc.so\ncfn=(2) b\ncalls=3 0x99 0\n0x14 6 300\n0x14 6 3\n\
            ob=(2)\nfn=(2)\n0x10 0 50\nob=(1)\nfn=(3) c\n0x10 5 1\n";
        let counts = executions(profile, "sluice");
        assert_eq!(counts, HashMap::from([(0x10, 8), (0x14, 3)]));
    }
}
