//! Finds the running appliance that is meant.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::cli::Target;
use crate::client::Endpoint;
use crate::failure::Failure;

/// Where the sockets of appliances are, unless their configuration says otherwise.
const FOLDER: &str = "/run/sluice";

/// The endpoint of the appliance that is meant.
pub fn find(target: &Target) -> Result<Endpoint, Failure> {
    find_in(target, Path::new(FOLDER)).map(Endpoint::Socket)
}

fn find_in(target: &Target, folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(socket) = &target.socket {
        return Ok(socket.clone());
    }
    if let Some(name) = &target.name {
        return Ok(folder.join(format!("{name}.sock")));
    }
    let mut sockets: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .collect();
    // A socket that a killed appliance left behind is none, nor is that of a memif port. The latter
    // have no lock beside them, and are not even tried.
    sockets.retain(|path| {
        path.with_extension("lock").exists()
            && match UnixStream::connect(path) {
                Ok(_) => true,
                Err(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
            }
    });
    sockets.sort();
    match sockets.as_slice() {
        [] => Err(Failure::nobody(format!(
            "no appliance is running here: no live socket in {}; start one with `sluice run CONFIG`, or \
             give the path of its socket with --socket",
            folder.display()
        ))),
        [only] => Ok(only.clone()),
        several => {
            let names: Vec<_> = several
                .iter()
                .filter_map(|path| path.file_stem()?.to_str())
                .collect();
            Err(Failure::nobody(format!(
                "several appliances are running: choose one with --name: {}",
                names.join(", ")
            )))
        }
    }
}

/// The endpoint for `--url`: `http://host:port`, where scheme and port may be left out.
pub fn parse_url(url: &str) -> Result<Endpoint, Failure> {
    let rest = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    if rest.is_empty() || rest.contains('/') {
        return Err(Failure::new(format!(
            "{url:?} is not of the form http://host:port"
        )));
    }
    let has_port = match rest.rsplit_once(':') {
        Some((host, port)) => port.parse::<u16>().is_ok() && !host.ends_with(':'),
        None => false,
    };
    Ok(Endpoint::Tcp(if has_port {
        rest.to_owned()
    } else {
        format!("{rest}:9464")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_only_live_one_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let target = Target::default();
        let none = find_in(&target, folder.path()).unwrap_err();
        assert!(none.message().contains("sluice run"), "{none:?}");
        let listen = |name: &str| {
            std::fs::write(path(name).with_extension("lock"), "").unwrap();
            UnixListener::bind(path(name)).unwrap()
        };
        drop(listen("dead.sock"));
        let _memif = UnixListener::bind(path("memif-data.sock")).unwrap();
        let _edge = listen("edge.sock");
        assert_eq!(find_in(&target, folder.path()).unwrap(), path("edge.sock"));
        let _core = listen("core.sock");
        let several = find_in(&target, folder.path()).unwrap_err();
        assert!(several.message().contains("core, edge"), "{several:?}");
        let named = Target {
            name: Some("edge".into()),
            ..Target::default()
        };
        assert_eq!(find_in(&named, folder.path()).unwrap(), path("edge.sock"));
    }

    #[test]
    fn urls() {
        let tcp = |address: &str| Endpoint::Tcp(address.into());
        assert_eq!(
            parse_url("http://10.0.0.5:80/").unwrap(),
            tcp("10.0.0.5:80")
        );
        assert_eq!(parse_url("edge").unwrap(), tcp("edge:9464"));
        assert_eq!(parse_url("[::1]:9464").unwrap(), tcp("[::1]:9464"));
        assert_eq!(parse_url("[::1]").unwrap(), tcp("[::1]:9464"));
        assert!(parse_url("http://").is_err());
        assert!(parse_url("http://a/b").is_err());
    }
}
