//! The file of the control socket: made with the right permissions from the first moment on, a stale
//! one replaced, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use thiserror::Error;
use tokio::net::{UnixListener, UnixSocket};

/// The control socket could not be made.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another process listens on it.
    #[error(
        "{0} is in use: an appliance of this name runs already; give this one another `name` or \
         `control.socket`"
    )]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0} exists and is not a socket; remove it or choose another `control.socket`")]
    NotASocket(PathBuf),
    /// The group to give it to does not exist.
    #[error("there is no group {0:?} in /etc/group for the control socket")]
    NoGroup(String),
    /// The system refused.
    #[error("the control socket {path} could not be made: {error}")]
    Io {
        /// The path of the socket or of its folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The file; removed when dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Makes the socket at `path` with `mode`, for `group` if one is named, and listens.
pub(super) fn listen(
    path: &Path,
    mode: u32,
    group: Option<&str>,
) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| SocketError::Io { path, error }
    };
    let group = group.map(group_id).transpose()?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    remove_stale(path)?;
    let socket = UnixSocket::new_stream().map_err(failed(path))?;
    // Linux gives the file the mode of the unbound socket: nobody can connect before the group and
    // the final mode are set.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))
        .map_err(|error| failed(path)(error.into()))?;
    socket.bind(path).map_err(failed(path))?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode(path).map_err(failed(path))?,
    };
    if group.is_some() {
        chown(path, None, group).map_err(failed(path))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed(path))?;
    let listener = socket.listen(BACKLOG).map_err(failed(path))?;
    Ok((listener, file))
}

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| SocketError::Io {
                path: path.to_owned(),
                error,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

/// The number of a group given by its number or its name in `/etc/group`.
fn group_id(group: &str) -> Result<u32, SocketError> {
    let known = || {
        let groups = fs::read_to_string("/etc/group").ok()?;
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == group).then(|| fields.nth(1)?.parse().ok())?
        })
    };
    group
        .parse()
        .ok()
        .or_else(known)
        .ok_or_else(|| SocketError::NoGroup(group.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        work()
    }

    #[test]
    fn has_the_mode_asked_for_and_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.sock");
        run(|| {
            let (_listener, file) = listen(&path, 0o640, Some("0")).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
                0o640
            );
            drop(file);
            assert!(!path.exists());
        });
    }

    #[test]
    fn a_stale_socket_is_replaced_a_used_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file behind");
        run(|| {
            let (listener, file) = listen(&path, 0o600, None).unwrap();
            let error = listen(&path, 0o600, None).unwrap_err();
            assert!(matches!(error, SocketError::InUse(_)), "{error}");
            assert!(
                UnixStream::connect(&path).is_ok(),
                "the first one still listens"
            );
            drop((listener, file));
        });
    }

    #[test]
    fn what_is_not_a_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        run(|| {
            let error = listen(&path, 0o600, None).unwrap_err();
            assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_file_that_another_put_there_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        run(|| {
            let (_listener, file) = listen(&path, 0o600, None).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "other").unwrap();
            drop(file);
        });
        assert!(path.exists());
    }

    #[test]
    fn groups_by_name_and_number() {
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("1234").unwrap(), 1234);
        assert!(matches!(
            group_id("no-such-group"),
            Err(SocketError::NoGroup(_))
        ));
    }
}
