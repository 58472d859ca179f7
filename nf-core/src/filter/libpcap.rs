//! The way to libpcap's compiler. All of the filter's `unsafe` is here.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use super::Instruction;

/// `DLT_EN10MB`: Ethernet.
const ETHERNET: i32 = 1;

/// Longest packet, as `MAXIMUM_SNAPLEN` of libpcap.
const SNAP_BYTES: i32 = 262_144;

/// `PCAP_NETMASK_UNKNOWN`: `ip broadcast` is refused, for there is no one network here.
const NETMASK_UNKNOWN: u32 = u32::MAX;

/// A handle without a device, good for compiling.
struct Dead(NonNull<dpdk_sys::pcap_t>);

impl Dead {
    fn open() -> Option<Dead> {
        // SAFETY: takes numbers, gives a handle of ours or null.
        NonNull::new(unsafe { dpdk_sys::pcap_open_dead(ETHERNET, SNAP_BYTES) }).map(Dead)
    }

    fn error(&self) -> String {
        // SAFETY: the handle is open; the message is a C string in it that lives as long.
        unsafe { CStr::from_ptr(dpdk_sys::pcap_geterr(self.0.as_ptr())) }
            .to_string_lossy()
            .into_owned()
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        // SAFETY: opened by us, closed once.
        unsafe { dpdk_sys::pcap_close(self.0.as_ptr()) }
    }
}

/// Compiles an expression, optimised.
pub(super) fn compile(expression: &str) -> Result<Vec<Instruction>, String> {
    let text = CString::new(expression).map_err(|_| "it has a zero byte".to_owned())?;
    let dead = Dead::open().ok_or("libpcap is out of memory")?;
    let mut program = dpdk_sys::bpf_program::default();
    // SAFETY: the handle is open, the text a C string; `program` is filled in on success.
    let result = unsafe {
        dpdk_sys::pcap_compile(
            dead.0.as_ptr(),
            &mut program,
            text.as_ptr(),
            1,
            NETMASK_UNKNOWN,
        )
    };
    if result != 0 {
        return Err(dead.error());
    }
    let instructions = if program.bf_insns.is_null() {
        Vec::new()
    } else {
        // SAFETY: on success libpcap says where the instructions are, and how many.
        unsafe { std::slice::from_raw_parts(program.bf_insns, program.bf_len as usize) }
            .iter()
            .map(|raw| Instruction {
                code: raw.code,
                jt: raw.jt,
                jf: raw.jf,
                k: raw.k,
            })
            .collect()
    };
    // SAFETY: filled in by `pcap_compile`, freed once.
    unsafe { dpdk_sys::pcap_freecode(&mut program) };
    Ok(instructions)
}

/// What libpcap's own interpreter says: the yardstick of the tests.
#[cfg(test)]
pub(super) fn offline(instructions: &[Instruction], frame: &[u8], wire_len: u32) -> u32 {
    let mut raw: Vec<_> = instructions
        .iter()
        .map(|own| dpdk_sys::bpf_insn {
            code: own.code,
            jt: own.jt,
            jf: own.jf,
            k: own.k,
        })
        .collect();
    let program = dpdk_sys::bpf_program {
        bf_len: raw.len() as u32,
        bf_insns: raw.as_mut_ptr(),
    };
    let header = dpdk_sys::pcap_pkthdr {
        caplen: frame.len() as u32,
        len: wire_len,
        ..Default::default()
    };
    // SAFETY: a verified program, and a frame of the length that the header says.
    unsafe { dpdk_sys::pcap_offline_filter(&program, &header, frame.as_ptr()) as u32 }
}
