//! Whether the kernel's side of a port is still there.

use std::ffi::CString;
use std::os::fd::RawFd;

/// `_IOR('T', 210, unsigned int)` of linux/if_tun.h.
const TUNGETIFF: libc::c_ulong = 0x8004_54d2;

/// `F_GETSIG` of asm-generic/fcntl.h: which signal says that a descriptor is ready.
const F_GETSIG: libc::c_int = 11;

/// Watches the TAP interface of a port.
///
/// The interface may have been moved into another network namespace, where its name means nothing
/// to us, so the driver's own descriptors are asked: after the interface is deleted, TUNGETIFF on
/// them fails.
#[derive(Debug)]
pub struct TapWatch {
    descriptors: Vec<RawFd>,
}

impl TapWatch {
    /// Finds the descriptors of the TAP interface that was just made under this name.
    pub fn new(interface: &str) -> Option<TapWatch> {
        let entries = std::fs::read_dir("/proc/self/fd").ok()?;
        let descriptors: Vec<RawFd> = entries
            .flatten()
            .filter(|entry| {
                std::fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("net/tun"))
            })
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&descriptor| {
                tap_name(descriptor).is_some_and(|name| name == interface.as_bytes())
            })
            .collect();
        (!descriptors.is_empty()).then_some(TapWatch { descriptors })
    }

    /// Whether the interface is up, whatever network namespace it is in: the kernel reports a TAP
    /// descriptor as writable only while its interface is.
    pub fn is_up(&self) -> bool {
        let Some(&descriptor) = self.descriptors.first() else {
            return false;
        };
        let mut poll = libc::pollfd {
            fd: descriptor,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one entry, and no waiting.
        let ready = unsafe { libc::poll(&mut poll, 1, 0) };
        ready == 1 && poll.revents & libc::POLLOUT != 0
    }

    /// Makes the driver read where packets wait.
    ///
    /// It reads when the kernel has signalled a packet, and stops early when the pool is exhausted.
    /// Once the interface's queue is full, no packet comes into it any more, so the kernel signals
    /// none, and the port would be silent for ever.
    pub fn nudge(&self) {
        let waiting = |descriptor: &&RawFd| {
            let mut poll = libc::pollfd {
                fd: **descriptor,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry, and no waiting.
            unsafe { libc::poll(&mut poll, 1, 0) == 1 && poll.revents & libc::POLLIN != 0 }
        };
        let Some(&descriptor) = self.descriptors.iter().find(waiting) else {
            return;
        };
        // SAFETY: the driver has installed a handler for the signal that it chose for the descriptor;
        // 0 stands for one that nobody chose.
        unsafe {
            let signal = libc::fcntl(descriptor, F_GETSIG);
            if signal > 0 {
                libc::raise(signal);
            }
        }
    }

    /// Whether the interface was deleted.
    pub fn is_gone(&self) -> bool {
        self.descriptors
            .iter()
            .all(|&descriptor| tap_name(descriptor).is_none())
    }
}

/// The name of the TAP interface behind a descriptor; `None` when there is none.
fn tap_name(descriptor: RawFd) -> Option<Vec<u8>> {
    // SAFETY: a plain C struct, zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF fills the struct, or fails for descriptors that are no TAP or closed.
    if unsafe { libc::ioctl(descriptor, TUNGETIFF, &mut request) } != 0 {
        return None;
    }
    let name = request
        .ifr_name
        .iter()
        .take_while(|&&byte| byte != 0)
        .map(|&byte| byte as u8);
    Some(name.collect())
}

/// The kernel's index of an interface in this network namespace; 0 when there is none.
pub fn interface_index(name: &str) -> u32 {
    let Ok(name) = CString::new(name) else {
        return 0;
    };
    // SAFETY: a valid C string.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}
