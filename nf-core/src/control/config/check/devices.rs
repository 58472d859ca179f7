//! Devices: what each kind needs, and what two ports cannot share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::draft::{Draft, PortDraft};
use super::rest::socket_path;
use super::sizes::{frame_bytes, room};
use crate::check::{JsonPath, Machine, Problems, closest};
use crate::control::config::spec::af_packet_room;
use crate::control::config::{
    ControlConfig, Device, Hugepages, MemifDevice, MemifRole, NullDevice, PcapDevice,
};

pub(super) fn check(draft: &Draft<'_>, machine: Option<&Machine>, problems: &mut Problems) {
    for port in &draft.ports {
        let Some(device) = &port.device else { continue };
        let path = port.path.key("device");
        match device {
            Device::Memif(memif) => self::memif(draft, memif, machine, &path, problems),
            Device::Pcap(pcap) => self::pcap(pcap, &path, problems),
            Device::Null(null) => self::null(draft, null, &path, problems),
            Device::AfXdp(_) | Device::AfPacket(_) => one_buffer(draft, port, device, problems),
            Device::Pci(pci) => {
                if let Some(args) = &pci.driver_args
                    && args.chars().any(|c| c.is_whitespace() || c.is_control())
                {
                    problems
                        .error(
                            &path.key("driver_args"),
                            "driver arguments have no white space",
                        )
                        .found(format_args!("{args:?}"))
                        .allowed("pairs of KEY=VALUE with commas between them");
                }
            }
            Device::Tap(_) | Device::Ring(_) => {}
        }
        if let Some(machine) = machine {
            exists(device, machine, &path, problems);
        }
    }
    shared(draft, problems);
}

fn memif(
    draft: &Draft<'_>,
    memif: &MemifDevice,
    machine: Option<&Machine>,
    path: &JsonPath,
    problems: &mut Problems,
) {
    socket_path(&memif.socket, &path.key("socket"), problems);
    let socket = memif.socket.to_string_lossy();
    if socket.contains(',') {
        problems
            .error(
                &path.key("socket"),
                "DPDK cannot take a comma in the path of a socket",
            )
            .found(format_args!("{socket:?}"));
    }
    if let Some(secret) = &memif.secret
        && secret.reveal().contains(',')
    {
        problems.error(&path.key("secret"), "DPDK cannot take a comma in a secret");
    }
    if !memif.zero_copy {
        return;
    }
    let place = path.key("zero_copy");
    if memif.role == MemifRole::Server {
        problems
            .error(
                &place,
                "only the client of a memif connection can offer zero copy",
            )
            .found("true, with the role \"server\"")
            .allowed("false");
    }
    let no_pages = machine.is_some_and(|machine| machine.hugepages.is_empty());
    match draft.hugepages {
        Some(Hugepages::Off) => {
            problems
                .error(&place, "zero copy needs huge pages")
                .found("true, with eal.hugepages \"off\"")
                .allowed("false");
        }
        Some(Hugepages::Auto) if no_pages => {
            problems
                .error(
                    &place,
                    "zero copy needs huge pages, and this machine has none reserved",
                )
                .found("true")
                .allowed("false");
        }
        _ => {}
    }
}

fn pcap(pcap: &PcapDevice, path: &JsonPath, problems: &mut Problems) {
    if pcap.rx_file.is_none() && pcap.tx_file.is_none() {
        problems
            .error(path, "a port of type \"pcap\" without a file does nothing")
            .allowed("the key \"rx_file\", the key \"tx_file\" or both");
    }
    if pcap.repeat && pcap.rx_file.is_none() {
        problems
            .error(&path.key("loop"), "there is no \"rx_file\" to start again")
            .found("true")
            .allowed("false, or an \"rx_file\" beside it");
    }
    if pcap.rx_file.is_some() && pcap.rx_file == pcap.tx_file {
        problems
            .error(
                &path.key("tx_file"),
                "the port would write over the file it reads",
            )
            .found(format_args!(
                "{:?}",
                pcap.tx_file.as_deref().unwrap_or("".as_ref())
            ));
    }
    for (key, file) in [("rx_file", &pcap.rx_file), ("tx_file", &pcap.tx_file)] {
        if let Some(file) = file
            && file.to_string_lossy().contains([',', '\0'])
        {
            problems
                .error(
                    &path.key(key),
                    "DPDK cannot take a comma or a zero in the path of a file",
                )
                .found(format_args!("{file:?}"));
        }
    }
}

fn null(draft: &Draft<'_>, null: &NullDevice, path: &JsonPath, problems: &mut Problems) {
    if let Some(data_room) = draft.data_room
        && null.packet_bytes > room(data_room)
    {
        problems
            .error(
                &path.key("packet_bytes"),
                "the packet does not fit into one packet buffer",
            )
            .found(null.packet_bytes)
            .allowed(format_args!(
                "at most {}, which is mempool.data_room_bytes less 128",
                room(data_room)
            ));
    }
}

/// Sockets of the kernel give each packet in one piece.
fn one_buffer(draft: &Draft<'_>, port: &PortDraft, device: &Device, problems: &mut Problems) {
    let needed = |mtu: u16| match device {
        Device::AfPacket(_) => af_packet_room(mtu),
        _ => frame_bytes(mtu),
    };
    if let (Some(mtu), Some(data_room)) = (port.mtu, draft.data_room)
        && needed(mtu) > room(data_room)
    {
        let fits = |mtu: &u16| needed(*mtu) <= room(data_room);
        let most = (0..mtu).rev().find(fits).unwrap_or(0);
        problems
            .error(
                &port.path.key("mtu"),
                format!(
                    "a port of type \"{}\" receives each packet into one buffer, which is too small",
                    device.kind()
                ),
            )
            .found(mtu)
            .allowed(format_args!("at most {most} with buffers of {data_room} bytes"))
            .help(format_args!(
                "or set mempool.data_room_bytes to at least {}",
                needed(mtu) + (data_room - room(data_room))
            ));
    }
}

fn exists(device: &Device, machine: &Machine, path: &JsonPath, problems: &mut Problems) {
    let interface = match device {
        Device::AfPacket(socket) => &socket.interface,
        Device::AfXdp(socket) => &socket.interface,
        Device::Pci(pci) => {
            if !machine.pci.contains(pci.address.as_str()) {
                problems
                    .warning(
                        &path.key("address"),
                        "this machine has no such card at the moment",
                    )
                    .found(format_args!("\"{}\"", pci.address))
                    .help("lspci -D lists them");
            }
            return;
        }
        _ => return,
    };
    if machine.interfaces.contains(&**interface) {
        return;
    }
    let message = "this machine has no such interface at the moment";
    let problem = problems.warning(&path.key("interface"), message);
    problem.found(format_args!("\"{interface}\""));
    if let Some(near) = closest(interface, machine.interfaces.iter().map(String::as_str)) {
        problem.help(format_args!("did you mean {near:?}?"));
    }
}

/// What only one port can have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Interface(String),
    Pci(String),
    File(PathBuf),
    Socket(PathBuf),
    Memif {
        socket: PathBuf,
        abstract_socket: bool,
        id: u32,
        server: bool,
    },
}

fn shared(draft: &Draft<'_>, problems: &mut Problems) {
    let mut taken: BTreeMap<Resource, String> = BTreeMap::new();
    if let (Some(name), Some(socket)) = (&draft.name, &draft.socket) {
        let control = ControlConfig {
            socket: socket.clone(),
            ..ControlConfig::default()
        };
        taken.insert(
            Resource::Socket(control.socket_path(name)),
            "control.socket".to_owned(),
        );
    }
    for port in &draft.ports {
        let Some(device) = &port.device else { continue };
        for (key, message, resource) in resources(device) {
            match taken.get(&resource) {
                Some(other) => {
                    let problem = problems.error(&port.path.key("device").key(key), message);
                    problem.help(format_args!("it is taken by {other}"));
                    match &resource {
                        Resource::Interface(name) | Resource::Pci(name) => {
                            problem.found(format_args!("{name:?}"))
                        }
                        Resource::File(path) | Resource::Socket(path) => {
                            problem.found(format_args!("{path:?}"))
                        }
                        Resource::Memif { socket, id, .. } => {
                            problem.found(format_args!("{id} on the socket {socket:?}"))
                        }
                    };
                }
                None => {
                    // A memif client may use a socket that another port of ours serves.
                    if !matches!(resource, Resource::Socket(_)) {
                        taken.insert(resource, format!("the port {}", port.label()));
                    }
                }
            }
        }
    }
}

/// What a device needs for itself: the key that says it, the mistake if two say it, and what it is.
fn resources(device: &Device) -> Vec<(&'static str, &'static str, Resource)> {
    const INTERFACE: &str = "two ports cannot have the same interface";
    match device {
        Device::Tap(tap) => {
            vec![(
                "interface",
                INTERFACE,
                Resource::Interface(tap.interface.to_string()),
            )]
        }
        Device::AfPacket(socket) => {
            vec![(
                "interface",
                INTERFACE,
                Resource::Interface(socket.interface.to_string()),
            )]
        }
        Device::AfXdp(socket) => {
            vec![(
                "interface",
                INTERFACE,
                Resource::Interface(socket.interface.to_string()),
            )]
        }
        Device::Pci(pci) => {
            let address = pci.address.to_string();
            vec![(
                "address",
                "two ports cannot have the same card",
                Resource::Pci(address),
            )]
        }
        Device::Pcap(pcap) => pcap
            .tx_file
            .iter()
            .map(|file| {
                (
                    "tx_file",
                    "two ports cannot write the same file",
                    Resource::File(file.clone()),
                )
            })
            .collect(),
        Device::Memif(memif) => {
            let mut needs = vec![(
                "id",
                "two memif ports of one role cannot have the same socket and id",
                Resource::Memif {
                    socket: memif.socket.clone(),
                    abstract_socket: memif.abstract_socket,
                    id: memif.id,
                    server: memif.role == MemifRole::Server,
                },
            )];
            if !memif.abstract_socket {
                let message = "a memif port cannot use the socket for control";
                needs.push(("socket", message, Resource::Socket(memif.socket.clone())));
            }
            needs
        }
        Device::Ring(_) | Device::Null(_) => Vec::new(),
    }
}
