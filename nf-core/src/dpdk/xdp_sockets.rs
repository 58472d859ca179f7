//! AF_XDP sockets of this process.
//!
//! DPDK 22.11's driver closes a port without closing its sockets: they keep the interface's queues, which
//! cannot be opened again, and the memory that the kernel writes packets into. So they are looked up when
//! a port was opened, and those that are left are closed behind it.

use std::os::fd::RawFd;

/// A socket: its descriptor, and its inode, by which it is told from a later one of that number.
type Socket = (RawFd, u64);

/// Some of this process' AF_XDP sockets.
#[derive(Debug, Default)]
pub(super) struct XdpSockets(Vec<Socket>);

impl XdpSockets {
    /// Those that are open now.
    pub fn open_now() -> XdpSockets {
        let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
            return XdpSockets::default();
        };
        let descriptors = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        XdpSockets(
            descriptors
                .filter_map(|descriptor| Some((descriptor, inode(descriptor)?)))
                .collect(),
        )
    }

    /// Those that are not among `others`.
    pub fn without(mut self, others: &XdpSockets) -> XdpSockets {
        self.0.retain(|socket| !others.0.contains(socket));
        self
    }

    /// Closes those that are still open.
    ///
    /// # Safety
    /// Nobody uses them any more.
    pub unsafe fn close(self) {
        for (descriptor, was) in self.0 {
            if inode(descriptor) == Some(was) {
                // SAFETY: the same socket as then, which the caller says nobody uses.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}

/// The inode of a descriptor that is an AF_XDP socket.
fn inode(descriptor: RawFd) -> Option<u64> {
    let mut domain: libc::c_int = 0;
    let mut length = size_of_val(&domain) as libc::socklen_t;
    // SAFETY: an int and its length; a descriptor that is not open is an error.
    let code = unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &mut length,
        )
    };
    if code != 0 || domain != libc::AF_XDP {
        return None;
    }
    // SAFETY: a plain C struct for which zero is valid.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a valid out pointer.
    let code = unsafe { libc::fstat(descriptor, &mut about) };
    (code == 0).then_some(about.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_are_left_are_closed_and_no_others() {
        testkit::require!(testkit::Need::AfXdp, testkit::Need::Root);
        let open = || {
            // SAFETY: a plain system call.
            let socket =
                unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
            assert!(socket >= 0);
            socket
        };
        let first = open();
        let before = XdpSockets::open_now();
        assert!(before.0.iter().any(|socket| socket.0 == first));
        let (second, third) = (open(), open());
        let new = XdpSockets::open_now().without(&before);
        let numbers: Vec<RawFd> = new.0.iter().map(|socket| socket.0).collect();
        assert!(numbers.contains(&second) && numbers.contains(&third) && !numbers.contains(&first));
        // That number is another socket's by now.
        // SAFETY: both are ours.
        assert_eq!(unsafe { libc::dup2(first, third) }, third);
        // SAFETY: ours.
        unsafe { new.close() };
        assert!(inode(second).is_none());
        assert!(inode(first).is_some() && inode(third) == inode(first));
        // SAFETY: ours.
        unsafe { (libc::close(first), libc::close(third)) };
    }
}
