//! The sections that stand for themselves: `eal.extra_args`, `telemetry`, `control`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::draft::Draft;
use crate::check::{JsonPath, Problems};

/// Longest path of a Unix socket, in bytes: the kernel's `sun_path` of 108 less its final zero.
pub(super) const SOCKET_PATH_LONGEST: usize = 107;

/// DPDK's arguments that Sluice sets itself, and the key that says what.
const OWN_ARGUMENTS: [(&str, &str); 22] = [
    ("-l", "cores.packet"),
    ("-c", "cores.packet"),
    ("--lcores", "cores.packet"),
    ("--main-lcore", "cores.control"),
    ("-m", "eal.memory_mb"),
    ("--no-huge", "eal.hugepages"),
    ("--in-memory", "eal.in_memory"),
    ("--no-shconf", "eal.in_memory"),
    ("--file-prefix", "name"),
    ("--proc-type", "eal.in_memory"),
    ("--log-level", "eal.dpdk_log_level"),
    ("--no-telemetry", "eal.dpdk_telemetry"),
    ("--telemetry", "eal.dpdk_telemetry"),
    ("--vdev", "ports"),
    ("--no-pci", "ports"),
    ("-a", "ports"),
    ("--allow", "ports"),
    ("-b", "ports"),
    ("--block", "ports"),
    ("-h", "eal.extra_args"),
    ("--help", "eal.extra_args"),
    ("--", "eal.extra_args"),
];

pub(super) fn check(draft: &Draft<'_>, problems: &mut Problems) {
    extra_args(draft, problems);
    telemetry(draft, problems);
    control(draft, problems);
}

fn extra_args(draft: &Draft<'_>, problems: &mut Problems) {
    let path = JsonPath::root().key("eal").key("extra_args");
    for (index, argument) in draft.extra_args.iter().flatten().enumerate() {
        let place = path.index(index);
        if argument.contains('\0') {
            problems
                .error(&place, "the argument has a zero character")
                .found(format_args!("{argument:?}"));
            continue;
        }
        // "--lcores=1", "-l", "-l1" and "-m512".
        let name = match argument.split_once('=') {
            Some((name, _)) => name,
            None => argument.as_str(),
        };
        let own = OWN_ARGUMENTS.iter().find(|(own, _)| {
            let glued = own.len() == 2 && *own != "--" && !name.starts_with("--");
            name == *own || (glued && name.starts_with(own))
        });
        if let Some((_, key)) = own {
            let problem = problems.error(&place, "Sluice sets this argument of DPDK itself");
            problem.found(format_args!("{argument:?}"));
            match *key {
                "eal.extra_args" => problem.help("leave it out"),
                key => problem.help(format_args!("use the key {key}")),
            };
        }
    }
}

fn telemetry(draft: &Draft<'_>, problems: &mut Problems) {
    if let Some(Some(address)) = draft.http
        && !address.ip().to_canonical().is_loopback()
    {
        problems
            .warning(
                &JsonPath::root().key("telemetry").key("http"),
                "everybody who can reach this address can read the metrics and the configuration",
            )
            .found(format_args!("\"{address}\""))
            .help("use a loopback address such as \"127.0.0.1:9464\", or guard it with a firewall");
    }
}

fn control(draft: &Draft<'_>, problems: &mut Problems) {
    let path = JsonPath::root().key("control");
    if let Some(Some(socket)) = &draft.socket {
        socket_path(socket, &path.key("socket"), problems);
    }
    if let Some(mode) = draft.mode
        && mode.bits() & 0o002 != 0
    {
        problems
            .warning(
                &path.key("mode"),
                "every user of this machine may change the appliance",
            )
            .found(format_args!("\"{mode}\""))
            .help("leave out the last write bit: \"0660\"");
    }
}

/// What every path of a Unix socket must keep to.
pub(super) fn socket_path(socket: &Path, path: &JsonPath, problems: &mut Problems) {
    let bytes = socket.as_os_str().as_bytes();
    if bytes.len() > SOCKET_PATH_LONGEST {
        problems
            .error(path, "the path of the socket is too long")
            .found(format_args!("{} bytes", bytes.len()))
            .allowed(format_args!(
                "at most {SOCKET_PATH_LONGEST} bytes, the kernel's limit"
            ));
    }
    if bytes.contains(&0) {
        problems
            .error(path, "the path has a zero character")
            .found(format_args!("{socket:?}"));
    }
}
