//! What can be read of a configuration that may have mistakes: each field is there, or has its
//! default, or is unknown because something is wrong with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::{JsonPath, Side};
use crate::control::config::{
    ControlConfig, CoresConfig, Device, EalConfig, FileMode, Hugepages, Identifier, Idle,
    MempoolConfig, Rss, TelemetryConfig,
};

/// Most ports, stages and cores that are compared with each other. A list longer than this is told
/// to be too long, and costs no more time than that.
const MOST_LOOKED_AT: usize = 256;

/// A document as it was written, and what is usable of it.
struct Reader<'a> {
    written: &'a Value,
    usable: &'a Value,
}

impl Reader<'_> {
    /// The field at `path`: what stands there if it can be used, `default` if nothing stands there,
    /// and `None` if what stands there, or around it, cannot be used.
    fn field<T: DeserializeOwned>(
        &self,
        path: &JsonPath,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        if path.find(self.written).is_some() {
            return serde_json::from_value(path.find(self.usable)?.clone()).ok();
        }
        // Nothing stands there. That means the default only if there is an object to look in, or
        // if that is left out as well.
        let mut around = path.parent();
        while let Some(place) = around {
            match place.find(self.written) {
                Some(Value::Object(_)) => return Some(default()),
                Some(_) => return None,
                None => around = place.parent(),
            }
        }
        None
    }

    /// A field without a default.
    fn needed<T: DeserializeOwned>(&self, path: &JsonPath) -> Option<T> {
        serde_json::from_value(path.find(self.usable)?.clone()).ok()
    }
}

/// A configuration as far as it could be read.
pub(super) struct Draft<'a> {
    written: &'a Value,
    pub(super) name: Option<Identifier>,
    pub(super) memory_mb: Option<u32>,
    pub(super) hugepages: Option<Hugepages>,
    pub(super) in_memory: Option<bool>,
    pub(super) extra_args: Option<Vec<String>>,
    pub(super) packet_cores: Option<Vec<u16>>,
    pub(super) workers: Option<Vec<u16>>,
    pub(super) control_core: Option<u16>,
    pub(super) idle: Option<Idle>,
    pub(super) burst: Option<u16>,
    pub(super) packets: Option<u32>,
    pub(super) data_room: Option<u32>,
    pub(super) cache: Option<u32>,
    pub(super) ports: Vec<PortDraft>,
    pub(super) chain: Vec<StageDraft>,
    pub(super) http: Option<Option<SocketAddr>>,
    pub(super) socket: Option<Option<PathBuf>>,
    pub(super) mode: Option<FileMode>,
}

/// A port as far as it could be read.
pub(super) struct PortDraft {
    pub(super) path: JsonPath,
    pub(super) name: Option<Identifier>,
    pub(super) side: Option<Side>,
    pub(super) peer: Option<Option<Identifier>>,
    pub(super) device: Option<Device>,
    pub(super) queues: Option<Option<u16>>,
    pub(super) rx_descriptors: Option<u16>,
    pub(super) tx_descriptors: Option<u16>,
    pub(super) mtu: Option<u16>,
    pub(super) rss: Option<Rss>,
    pub(super) checksum_offload: bool,
}

/// A stage as far as it could be read.
pub(super) struct StageDraft {
    pub(super) path: JsonPath,
    pub(super) stage: Option<String>,
    pub(super) name: Option<Option<Identifier>>,
    /// As it was written: the stage checks it itself.
    pub(super) config: Option<Value>,
}

impl<'a> Draft<'a> {
    pub(super) fn read(written: &'a Value, usable: Option<&Value>) -> Self {
        let reader = Reader {
            written,
            usable: usable.unwrap_or(&Value::Null),
        };
        let root = JsonPath::root();
        let (eal, cores) = (root.key("eal"), root.key("cores"));
        let (mempool, control) = (root.key("mempool"), root.key("control"));
        let count = |key: &str| {
            written
                .get(key)
                .and_then(Value::as_array)
                .map_or(0, Vec::len)
                .min(MOST_LOOKED_AT)
        };
        Self {
            written,
            name: reader.field(&root.key("name"), || Identifier::from_static("sluice")),
            memory_mb: reader.field(&eal.key("memory_mb"), || EalConfig::default().memory_mb),
            hugepages: reader.field(&eal.key("hugepages"), || EalConfig::default().hugepages),
            in_memory: reader.field(&eal.key("in_memory"), || EalConfig::default().in_memory),
            extra_args: reader.field(&eal.key("extra_args"), Vec::new),
            packet_cores: reader
                .field(&cores.key("packet"), || CoresConfig::default().packet)
                .filter(|cores: &Vec<u16>| cores.len() <= MOST_LOOKED_AT),
            workers: reader
                .field(&cores.key("workers"), Vec::new)
                .filter(|workers: &Vec<u16>| workers.len() <= MOST_LOOKED_AT),
            control_core: reader.field(&cores.key("control"), || CoresConfig::default().control),
            idle: reader.field(&cores.key("idle"), || CoresConfig::default().idle),
            burst: reader.field(&cores.key("burst"), || CoresConfig::default().burst),
            packets: reader.field(&mempool.key("packets"), || MempoolConfig::default().packets),
            data_room: reader.field(&mempool.key("data_room_bytes"), || {
                MempoolConfig::default().data_room_bytes
            }),
            cache: reader.field(&mempool.key("cache"), || MempoolConfig::default().cache),
            ports: (0..count("ports"))
                .map(|index| PortDraft::read(&reader, root.key("ports").index(index)))
                .collect(),
            chain: (0..count("chain"))
                .map(|index| StageDraft::read(&reader, root.key("chain").index(index)))
                .collect(),
            http: reader.field(&root.key("telemetry").key("http"), || {
                TelemetryConfig::default().http
            }),
            socket: reader.field(&control.key("socket"), || None),
            mode: reader.field(&control.key("mode"), || ControlConfig::default().mode),
        }
    }

    /// Whether something stands at `path`; otherwise what is known of it is a default.
    pub(super) fn is_written(&self, path: &JsonPath) -> bool {
        path.find(self.written).is_some()
    }

    /// The names below `path` that were written, if an object stands there.
    pub(super) fn keys(&self, path: &JsonPath) -> impl Iterator<Item = &str> {
        let object = path.find(self.written).and_then(Value::as_object);
        object.into_iter().flatten().map(|(key, _)| key.as_str())
    }

    /// How many different packet cores there are; one if that cannot be read.
    pub(super) fn core_count(&self) -> usize {
        let mut cores = self.packet_cores.clone().unwrap_or_default();
        cores.sort_unstable();
        cores.dedup();
        cores.len().max(1)
    }
}

impl PortDraft {
    fn read(reader: &Reader<'_>, path: JsonPath) -> Self {
        Self {
            name: reader.needed(&path.key("name")),
            side: reader.needed(&path.key("side")),
            peer: reader.field(&path.key("peer"), || None),
            device: reader.needed(&path.key("device")),
            queues: reader.field(&path.key("queues"), || None),
            rx_descriptors: reader.field(
                &path.key("rx_descriptors"),
                crate::control::config::ports::default_descriptors,
            ),
            tx_descriptors: reader.field(
                &path.key("tx_descriptors"),
                crate::control::config::ports::default_descriptors,
            ),
            mtu: reader.field(&path.key("mtu"), crate::control::config::ports::default_mtu),
            rss: reader.field(&path.key("rss"), Rss::default),
            // What is unreadable is told of, once.
            checksum_offload: reader
                .field(&path.key("offloads").key("checksum"), bool::default)
                .unwrap_or(true),
            path,
        }
    }

    /// Its name, or where it stands.
    pub(super) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("\"{name}\""),
            None => self.path.to_string(),
        }
    }

    /// Pairs of queues, as far as known.
    pub(super) fn queue_pairs(&self, cores: usize) -> Option<u16> {
        Some(
            self.queues?
                .unwrap_or_else(|| u16::try_from(cores).unwrap_or(u16::MAX)),
        )
    }
}

impl StageDraft {
    fn read(reader: &Reader<'_>, path: JsonPath) -> Self {
        let entry = path.find(reader.written);
        let config = path.key("config");
        Self {
            stage: reader.needed(&path.key("stage")),
            name: reader.field(&path.key("name"), || None),
            config: match config.find(reader.written) {
                Some(config) => Some(config.clone()),
                None => entry
                    .filter(|e| e.is_object())
                    .map(|_| Value::Object(Default::default())),
            },
            path,
        }
    }

    /// Its own name, as far as known.
    pub(super) fn name(&self) -> Option<&str> {
        match self.name.as_ref()? {
            Some(name) => Some(name),
            None => self.stage.as_deref(),
        }
    }
}
