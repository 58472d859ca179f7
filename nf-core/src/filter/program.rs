//! Classic BPF: verified once, then executed without a way to go wrong.
//!
//! After McCanne and Jacobson, "The BSD Packet Filter" (USENIX 1993), with the operations that
//! libpcap and Linux added (`mod`, `xor`). A load outside the packet, and a division by a zero in
//! X, end the program with 0: no match.

use thiserror::Error;

use crate::packet::Packet;

/// Words of scratch memory (`BPF_MEMWORDS`).
const SCRATCH: usize = 16;

/// Longest program.
const LONGEST: usize = 65_536;

// Classes.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
// Sizes of loads.
const W: u16 = 0x00;
const H: u16 = 0x08;
const B: u16 = 0x10;
// Modes of loads.
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
// Operations.
const ADD: u16 = 0x00;
const SUB: u16 = 0x10;
const MUL: u16 = 0x20;
const DIV: u16 = 0x30;
const OR: u16 = 0x40;
const AND: u16 = 0x50;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const NEG: u16 = 0x80;
const MOD: u16 = 0x90;
const XOR: u16 = 0xa0;
// Jumps.
const JA: u16 = 0x00;
const JEQ: u16 = 0x10;
const JGT: u16 = 0x20;
const JGE: u16 = 0x30;
const JSET: u16 = 0x40;
// Operands.
const K: u16 = 0x00;
const X: u16 = 0x08;
const A: u16 = 0x10;
const TAX: u16 = 0x00;
const TXA: u16 = 0x80;

/// One instruction, as in `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Class, mode, size and operation.
    pub code: u16,
    /// Instructions to skip when a jump's condition is true.
    pub jt: u8,
    /// The same when it is false.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// Why a program is not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// It has no instruction.
    #[error("the program is empty")]
    Empty,
    /// It has too many.
    #[error("the program has {0} instructions, and {LONGEST} are allowed")]
    TooLong(usize),
    /// An instruction that does not exist.
    #[error("instruction {at} has the unknown code {code:#06x}")]
    Unknown {
        /// Its place, from 0.
        at: usize,
        /// Its code.
        code: u16,
    },
    /// A jump behind the end, or back: that could go on for ever.
    #[error(
        "instruction {0} does not jump forward inside the program (`protochain` needs a loop, \
             which filters here have not)"
    )]
    Jump(usize),
    /// Scratch memory that does not exist.
    #[error("instruction {0} uses scratch memory that does not exist")]
    Scratch(usize),
    /// A division by the constant zero.
    #[error("instruction {0} divides by zero")]
    Division(usize),
    /// The last instruction is not a return.
    #[error("the program does not end with a return")]
    NoReturn,
}

/// The bytes of a packet, in network byte order.
pub trait Bytes {
    /// The `N` bytes at an offset, if the packet has all of them.
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]>;
}

impl Bytes for [u8] {
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.get(at as usize..)?.first_chunk().copied()
    }
}

impl Bytes for Packet {
    #[inline]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        if let Some(bytes) = self.data().load(at) {
            return Some(bytes);
        }
        let mut bytes = [0; N];
        (self.copy_out(at as usize, &mut bytes) == N).then_some(bytes)
    }
}

/// A verified program: it ends, and touches only what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Box<[Instruction]>);

impl Program {
    /// Checks that every instruction is known, jumps only go forward and stay inside, scratch
    /// memory exists, no constant divisor is zero, and the last instruction returns.
    ///
    /// # Errors
    /// The first instruction that breaks a rule.
    pub fn verify(instructions: Vec<Instruction>) -> Result<Program, ProgramError> {
        let len = instructions.len();
        if len > LONGEST {
            return Err(ProgramError::TooLong(len));
        }
        for (at, instruction) in instructions.iter().enumerate() {
            let inside = |skip: u32| {
                let target = (at as u64) + 1 + u64::from(skip);
                let good = target < len as u64;
                good.then_some(()).ok_or(ProgramError::Jump(at))
            };
            let scratch = || {
                let good = instruction.k < SCRATCH as u32;
                good.then_some(()).ok_or(ProgramError::Scratch(at))
            };
            match (instruction.code & 0x07, instruction.code) {
                (LD | LDX, code) if is_load(code) => {
                    if code & 0xe0 == MEM {
                        scratch()?;
                    }
                }
                (ST | STX, ST | STX) => scratch()?,
                (ALU, code) if is_alu(code) => {
                    let divides = matches!(code & 0xf0, DIV | MOD) && code & X == 0;
                    if divides && instruction.k == 0 {
                        return Err(ProgramError::Division(at));
                    }
                }
                (JMP, code) if code == JMP | JA => inside(instruction.k)?,
                (JMP, code) if code & !(0xf0 | X) == JMP && matches!(code & 0xf0, JEQ..=JSET) => {
                    inside(instruction.jt.into())?;
                    inside(instruction.jf.into())?;
                }
                (RET, code) if code == RET | K || code == RET | A => {}
                (MISC, code) if code == MISC | TAX || code == MISC | TXA => {}
                (_, code) => return Err(ProgramError::Unknown { at, code }),
            }
        }
        match instructions.last() {
            None => Err(ProgramError::Empty),
            Some(last) if last.code & 0x07 == RET => Ok(Program(instructions.into())),
            Some(_) => Err(ProgramError::NoReturn),
        }
    }

    /// Instructions of the program.
    #[expect(clippy::len_without_is_empty, reason = "a program is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Executes the program: how many bytes of the packet to keep, 0 when it does not match.
    /// `wire_len` is the packet's whole length, which may be more than there is in `bytes`.
    #[inline]
    pub fn run(&self, bytes: &(impl Bytes + ?Sized), wire_len: u32) -> u32 {
        self.step(bytes, wire_len).unwrap_or(0)
    }

    fn step(&self, bytes: &(impl Bytes + ?Sized), wire_len: u32) -> Option<u32> {
        let (mut a, mut x) = (0u32, 0u32);
        let mut scratch = [0u32; SCRATCH];
        let mut at = 0usize;
        loop {
            // The verifier keeps `at` inside; were it outside, the answer would be no.
            let Instruction { code, jt, jf, k } = *self.0.get(at)?;
            at += 1;
            let word = |at: u32| bytes.load(at).map(u32::from_be_bytes);
            let half = |at: u32| bytes.load(at).map(|b| u32::from(u16::from_be_bytes(b)));
            let byte = |at: u32| bytes.load(at).map(|[b]: [u8; 1]| u32::from(b));
            let operand = if code & X == 0 { k } else { x };
            match code & 0x07 {
                LD => {
                    a = match code & !0x07 {
                        mode if mode == W | ABS => word(k)?,
                        mode if mode == H | ABS => half(k)?,
                        mode if mode == B | ABS => byte(k)?,
                        mode if mode == W | IND => word(x.checked_add(k)?)?,
                        mode if mode == H | IND => half(x.checked_add(k)?)?,
                        mode if mode == B | IND => byte(x.checked_add(k)?)?,
                        mode if mode == W | LEN => wire_len,
                        mode if mode == W | MEM => *scratch.get(k as usize)?,
                        _ => k,
                    }
                }
                LDX => {
                    x = match code & !0x07 {
                        mode if mode == W | LEN => wire_len,
                        mode if mode == W | MEM => *scratch.get(k as usize)?,
                        // The length of the IPv4 header there.
                        mode if mode == B | MSH => (byte(k)? & 0x0f) << 2,
                        _ => k,
                    }
                }
                ST => *scratch.get_mut(k as usize)? = a,
                STX => *scratch.get_mut(k as usize)? = x,
                ALU => {
                    a = match code & 0xf0 {
                        ADD => a.wrapping_add(operand),
                        SUB => a.wrapping_sub(operand),
                        MUL => a.wrapping_mul(operand),
                        DIV => a.checked_div(operand)?,
                        MOD => a.checked_rem(operand)?,
                        OR => a | operand,
                        AND => a & operand,
                        XOR => a ^ operand,
                        LSH => a.checked_shl(operand).unwrap_or(0),
                        RSH => a.checked_shr(operand).unwrap_or(0),
                        _ => a.wrapping_neg(),
                    }
                }
                JMP => {
                    let holds = match code & 0xf0 {
                        JEQ => a == operand,
                        JGT => a > operand,
                        JGE => a >= operand,
                        JSET => a & operand != 0,
                        _ => {
                            at = at.checked_add(k as usize)?;
                            continue;
                        }
                    };
                    at += usize::from(if holds { jt } else { jf });
                }
                RET => return Some(if code & 0x18 == A { a } else { k }),
                _ if code & 0xf8 == TAX => x = a,
                _ => a = x,
            }
        }
    }
}

fn is_load(code: u16) -> bool {
    const LOADS: [u16; 13] = [
        LD | W | ABS,
        LD | H | ABS,
        LD | B | ABS,
        LD | W | IND,
        LD | H | IND,
        LD | B | IND,
        LD | W | LEN,
        LD | W | MEM,
        LD | IMM,
        LDX | IMM,
        LDX | W | LEN,
        LDX | W | MEM,
        LDX | B | MSH,
    ];
    LOADS.contains(&code)
}

fn is_alu(code: u16) -> bool {
    let operation = code & 0xf0;
    code & !(0xf0 | X) == ALU && (operation <= XOR && operation != NEG || code == ALU | NEG)
}
