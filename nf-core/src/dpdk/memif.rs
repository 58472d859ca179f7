//! The sockets of memif connections: who listens on them, and what a killed server left behind.
//!
//! None of this connects to a server: the driver does not survive a client that connects and goes
//! away at once (it closes a descriptor that EAL's interrupt thread is still to add, which panics).

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Whether somebody listens on the socket.
pub fn memif_server_listens(socket: &str, abstract_socket: bool) -> bool {
    if abstract_socket {
        // Names are of one network namespace, and this file lists those of ours.
        return !inodes(&format!("@{socket}")).is_empty();
    }
    // memif's sockets are of another type: the kernel refuses the connection for that reason if
    // there is a socket, and for lack of one if not, and the server sees nothing of it.
    let dial = || -> io::Result<()> {
        let address = SocketAddrUnix::new(socket)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok(connect(&probe, &address)?)
    };
    match dial() {
        Ok(()) => true,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
    }
}

/// Makes way for a server's socket: removes a file that nobody listens on. True when another
/// process listens on it.
pub(super) fn is_taken(socket: &str) -> bool {
    let is_socket = fs::symlink_metadata(socket).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return false; // nothing there, or something that the driver will complain about
    }
    if memif_server_listens(socket, false) {
        // Several of our own ports may share a socket.
        return !is_ours(socket);
    }
    if let Err(error) = fs::remove_file(socket) {
        tracing::warn!(socket, %error, "a socket that nobody listens on cannot be removed");
    }
    false
}

/// Whether this process has the socket that is bound to the path.
fn is_ours(socket: &str) -> bool {
    let wanted: Vec<String> = inodes(socket)
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return false;
    };
    entries.flatten().any(|entry| {
        fs::read_link(entry.path()).is_ok_and(|target| {
            target
                .to_str()
                .is_some_and(|target| wanted.iter().any(|one| one == target))
        })
    })
}

/// The inodes of sockets with this name in our network namespace (proc(5), `/proc/net/unix`).
fn inodes(name: &str) -> Vec<String> {
    let Ok(table) = fs::read_to_string("/proc/self/net/unix") else {
        return Vec::new();
    };
    let found = table.lines().filter_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let inode = columns.nth(6)?;
        (columns.next()? == name).then(|| inode.to_owned())
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{bind, listen};

    fn serve(address: &SocketAddrUnix) -> rustix::fd::OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        let server = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        bind(&server, address).unwrap();
        listen(&server, 1).unwrap();
        server
    }

    #[test]
    fn a_listening_server_is_seen_and_left_alone_and_a_dead_ones_file_is_removed() {
        let path = std::env::temp_dir().join(format!("memif-test-{}", std::process::id()));
        let name = path.to_str().unwrap();
        let _ = fs::remove_file(name);
        assert!(!memif_server_listens(name, false));
        assert!(!is_taken(name));
        let server = serve(&SocketAddrUnix::new(name).unwrap());
        assert!(memif_server_listens(name, false));
        assert!(is_ours(name) && !is_taken(name));
        // It has not seen a connection.
        rustix::io::ioctl_fionbio(&server, true).unwrap();
        assert!(rustix::net::accept(&server).is_err());
        drop(server);
        assert!(path.exists() && !memif_server_listens(name, false));
        assert!(!is_taken(name) && !path.exists());
    }

    #[test]
    fn a_server_in_the_abstract_namespace_is_seen() {
        let name = format!("memif-test-{}", std::process::id());
        assert!(!memif_server_listens(&name, true));
        let _server = serve(&SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap());
        assert!(memif_server_listens(&name, true));
    }
}
