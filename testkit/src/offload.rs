//! Checksums of a veth pair.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;

use crate::netns::Netns;

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_STXCSUM: u32 = 0x17;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Makes the kernel compute checksums before it hands packets to `interface`. A veth pair leaves
/// them out otherwise, because another kernel's stack would not look at them; what is not the
/// kernel sees wrong ones. As `ethtool -K INTERFACE tx off` does.
///
/// # Panics
/// If the interface is not there.
pub fn compute_checksums(netns: &Netns, interface: &str) {
    let result = netns.run(|| -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let mut value = EthtoolValue {
            command: ETHTOOL_STXCSUM,
            data: 0,
        };
        // SAFETY: a plain C struct, for which zero is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast::<c_void>().cast();
        // SAFETY: an open socket, and a request whose data outlives the call.
        match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
    result.unwrap_or_else(|error| panic!("checksums of {interface}: {error}"));
}
