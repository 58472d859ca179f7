//! Opening the machine: DPDK's environment, pools that fit the profile, and its ports.

use std::sync::atomic::{AtomicU64, Ordering};

use nf_core::clock::Clock;
use nf_core::control::config::{Device, DpdkLogLevel, Hugepages};
use nf_core::dpdk::{Eal, EalConfig, HugepagePolicy, LogLevel, MbufRing, Mempool, Port};

use super::{Engine, plan, ports};
use crate::profile::Profile;

/// EAL's settings from the configuration's.
pub(super) fn eal_config(profile: &Profile) -> EalConfig {
    let config = &profile.eal;
    let pci = profile.ports.iter().filter_map(|port| match &port.device {
        Device::Pci(pci) => Some(pci.address.as_str().to_owned()),
        _ => None,
    });
    let name = profile.name.as_ref().map_or("pktgen", |name| name);
    EalConfig {
        prefix: format!("{name}-{}", std::process::id()),
        memory_mib: config.memory_mb,
        hugepages: match config.hugepages {
            Hugepages::Auto => HugepagePolicy::Auto,
            Hugepages::Required => HugepagePolicy::Required,
            Hugepages::Off => HugepagePolicy::Off,
        },
        in_memory: config.in_memory,
        pci: pci.collect(),
        log_level: match config.dpdk_log_level {
            level if level <= DpdkLogLevel::Error => LogLevel::Error,
            level if level <= DpdkLogLevel::Warning => LogLevel::Warning,
            level if level <= DpdkLogLevel::Info => LogLevel::Info,
            _ => LogLevel::Debug,
        },
        telemetry: config.dpdk_telemetry,
        ..EalConfig::default()
    }
}

impl Engine {
    /// Starts DPDK and opens the profile's ports. With `self_test`, two ring ports wired to each other
    /// take the place of the profile's.
    pub fn open(profile: Profile, self_test: bool) -> Result<Engine, String> {
        let eal = match Eal::get() {
            Some(eal) => eal,
            None => Eal::init(&eal_config(&profile)).map_err(|error| error.to_string())?,
        };
        Engine::open_on(eal, profile, self_test)
    }

    /// As [`Engine::open`], on an environment that already runs.
    pub fn open_on(
        eal: &'static Eal,
        mut profile: Profile,
        self_test: bool,
    ) -> Result<Engine, String> {
        let largest = plan::largest_frame(&profile).max(replayed_frame(&profile));
        let (transmit, receive) = (profile.cores.transmit.len(), profile.cores.receive.len());
        let queues = u16::try_from(transmit.max(receive)).map_err(|_| "too many cores")?;
        if self_test {
            let port = |name| ports::parse(name, "ring");
            profile.ports = vec![port("left")?, port("right")?];
        }
        let slots: usize = profile
            .ports
            .iter()
            .map(|port| {
                let queues = usize::from(port.queues.unwrap_or(queues));
                queues * usize::from(port.rx_descriptors.max(port.tx_descriptors))
            })
            .sum();
        let packets = profile.mempool.packets.max((slots * 2 + 4096) as u32);
        let room = u32::try_from(largest + 256).unwrap_or(u32::MAX);
        let room = profile.mempool.data_room_bytes.max(room).min(65_535) as u16;
        let cache = profile.mempool.cache;
        let id = unique();
        let pool = |kind: &str| {
            Mempool::create(eal, &format!("pg_{kind}_{id}"), packets, room, cache).map_err(
                |error| {
                    format!(
                        "no memory for {packets} packet buffers of {room} bytes: {error}; raise \
                     eal.memory_mb or lower mempool.packets"
                    )
                },
            )
        };
        let (send_pool, receive_pool) = (pool("tx")?, pool("rx")?);
        let opened = if self_test {
            open_wired(eal, &profile, &receive_pool, queues, largest, id)?
        } else {
            profile
                .ports
                .iter()
                .map(|config| {
                    let queues = config.queues.unwrap_or(queues);
                    Port::open(eal, &ports::spec(config, queues, largest), &receive_pool)
                        .map_err(|error| error.to_string())
                })
                .collect::<Result<Vec<Port>, String>>()?
        };
        Ok(Engine {
            eal,
            profile,
            ports: opened,
            send_pool,
            receive_pool,
            prepared: None,
            clock: Clock::system(),
            runs: 0,
            gateways: Vec::new(),
        })
    }
}

/// Longest frame of the profile's capture files, as far as they can be read; reading them again is for
/// the plan, which also tells what is wrong with them.
fn replayed_frame(profile: &Profile) -> usize {
    let files = profile
        .streams
        .iter()
        .filter_map(|stream| stream.replay.as_ref());
    files
        .filter_map(|replay| std::fs::read(&replay.file).ok())
        .filter_map(|bytes| crate::pcap::read(&bytes).ok())
        .flat_map(|capture| capture.frames.into_iter().map(|frame| frame.bytes.len()))
        .max()
        .unwrap_or(0)
}

/// A number that no other engine of the process has.
pub(super) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Two ring ports, each of which receives what the other sends.
fn open_wired(
    eal: &'static Eal,
    profile: &Profile,
    pool: &Mempool,
    queues: u16,
    largest: usize,
    id: u64,
) -> Result<Vec<Port>, String> {
    let rings = |side: &str| {
        (0..queues)
            .map(|queue| MbufRing::create(eal, &format!("pg_{side}_{id}_{queue}"), 4096))
            .collect::<Result<Vec<MbufRing>, _>>()
            .map_err(|error| error.to_string())
    };
    let (one, other) = (rings("a")?, rings("b")?);
    let mut ports = Vec::new();
    for (config, rx, tx) in [
        (profile.ports.first(), &one, &other),
        (profile.ports.get(1), &other, &one),
    ] {
        let config = config.ok_or("a self-test has two ports")?;
        let spec = ports::spec(config, queues, largest);
        let port = Port::open_rings(eal, &spec, pool, rx.clone(), tx.clone());
        ports.push(port.map_err(|error| error.to_string())?);
    }
    Ok(ports)
}
