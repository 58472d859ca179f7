//! Raw Ethernet frames on an interface of the kernel, VLAN tags included.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::netns::Netns;

/// A packet socket bound to one interface.
#[derive(Debug)]
pub struct FrameSocket {
    descriptor: OwnedFd,
}

/// Room for the longest frame.
const LONGEST: usize = 65_536;

/// The last OS error, when a call gave a negative number.
fn check(code: isize) -> io::Result<usize> {
    usize::try_from(code).map_err(|_| io::Error::last_os_error())
}

/// Whether the kernel knows AF_XDP sockets, if it lets us have one or not.
pub(crate) fn has_xdp_sockets() -> bool {
    // SAFETY: a plain system call.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return io::Error::last_os_error().raw_os_error() != Some(libc::EAFNOSUPPORT);
    }
    // SAFETY: just made, and owned by nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    true
}

impl FrameSocket {
    /// Opens it on `interface` of `netns`.
    ///
    /// # Panics
    /// If there is no such interface, or without the right to.
    #[must_use]
    pub fn open(netns: &Netns, interface: &str) -> FrameSocket {
        netns
            .run(|| FrameSocket::open_here(interface))
            .unwrap_or_else(|error| panic!("a packet socket on {interface}: {error}"))
    }

    fn open_here(interface: &str) -> io::Result<FrameSocket> {
        let name = CString::new(interface)?;
        // SAFETY: a valid C string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let every = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: a plain system call.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(every)) };
        check(descriptor as isize)?;
        // SAFETY: just made, and owned by nobody else.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: a plain C struct, for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = every;
        address.sll_ifindex = index as i32;
        // SAFETY: the address is a sockaddr_ll of the length given.
        check(unsafe {
            libc::bind(
                descriptor.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as u32,
            )
        } as isize)?;
        // The kernel takes the outer tag out of received frames and gives it beside them.
        for (option, value) in [(libc::PACKET_AUXDATA, 1), (PACKET_IGNORE_OUTGOING, 1)] {
            // SAFETY: an int, and its length.
            check(unsafe {
                libc::setsockopt(
                    descriptor.as_raw_fd(),
                    libc::SOL_PACKET,
                    option,
                    (&raw const value).cast(),
                    size_of::<i32>() as u32,
                )
            } as isize)?;
        }
        Ok(FrameSocket { descriptor })
    }

    /// Sends one frame, from its destination address on; waits while the interface is busy.
    ///
    /// # Errors
    /// What the kernel says, e.g. `EMSGSIZE` for a frame longer than the MTU allows.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            // SAFETY: the buffer is as long as said.
            let sent = check(unsafe {
                libc::send(
                    self.descriptor.as_raw_fd(),
                    frame.as_ptr().cast(),
                    frame.len(),
                    0,
                )
            });
            match sent {
                // The interface's queue is full.
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOBUFS) && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_micros(100));
                }
                sent => return sent.map(|_| ()),
            }
        }
    }

    /// The next frame that arrives, with its VLAN tags; `None` when none has after `limit`.
    ///
    /// # Panics
    /// If the kernel refuses, e.g. because the interface is gone.
    #[must_use]
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd {
            fd: self.descriptor.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry.
        if unsafe { libc::poll(&raw mut poll, 1, milliseconds) } <= 0 {
            return None;
        }
        let mut frame = vec![0; LONGEST];
        let mut control = [0u64; 16];
        let mut part = libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        };
        // SAFETY: a plain C struct, for which zero is valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the buffers are as long as said.
        let length =
            check(unsafe { libc::recvmsg(self.descriptor.as_raw_fd(), &raw mut message, 0) })
                .unwrap_or_else(|error| panic!("receiving a frame: {error}"));
        frame.truncate(length);
        if let Some((protocol, tag)) = stripped_tag(&message) {
            let [a, b] = protocol.to_be_bytes();
            let [c, d] = tag.to_be_bytes();
            frame.splice(12..12, [a, b, c, d]);
        }
        Some(frame)
    }

    /// The next frame that `accept` accepts; others are thrown away. `None` after `limit`.
    #[must_use]
    pub fn receive_matching(
        &self,
        limit: Duration,
        mut accept: impl FnMut(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = self.receive(left)?;
            if accept(&frame) {
                return Some(frame);
            }
        }
    }
}

/// `PACKET_IGNORE_OUTGOING` of linux/if_packet.h.
const PACKET_IGNORE_OUTGOING: i32 = 23;

/// The protocol and the tag that the kernel took out of a received frame.
fn stripped_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: a message filled by recvmsg; null when it holds nothing.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
        return None;
    }
    // SAFETY: the data of this kind of message is one such struct, perhaps not aligned.
    let data: libc::tpacket_auxdata = unsafe {
        libc::CMSG_DATA(header)
            .cast::<libc::tpacket_auxdata>()
            .read_unaligned()
    };
    (data.tp_status & libc::TP_STATUS_VLAN_VALID != 0)
        .then_some((data.tp_vlan_tpid, data.tp_vlan_tci))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Need, require};

    #[test]
    fn tags_arrive_with_the_frame() {
        require!(Need::Root);
        let (a, b) = (Netns::quiet("fa"), Netns::quiet("fb"));
        a.join(("v0", &[]), &b, ("v0", &[]));
        let (sender, receiver) = (FrameSocket::open(&a, "v0"), FrameSocket::open(&b, "v0"));
        let mut plain = vec![0xff; 12];
        plain.extend([0x88, 0xb5, 1, 2, 3]);
        let mut tagged = vec![0xff; 12];
        tagged.extend([0x88, 0xa8, 0, 7, 0x81, 0, 0x20, 9, 0x88, 0xb5, 4, 5]);
        for frame in [&plain, &tagged] {
            sender.send(frame).unwrap();
            let got = receiver.receive_matching(Duration::from_secs(5), |got| got == *frame);
            assert_eq!(got.as_ref(), Some(frame));
        }
        assert_eq!(sender.receive(Duration::from_millis(20)), None);
    }
}
