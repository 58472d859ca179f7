//! `limit`: lets through at most so many packets a second of one source address. What is over is
//! dropped, or marked with a DSCP. The worked example of docs/writing-a-stage.md.

use std::net::IpAddr;

use nf_core::chain::{
    BuildContext, BuildError, Cx, Direction, Note, ReloadError, Stage, StageControl, StageType,
    read_reloaded,
};
use nf_core::check::{CheckContext, JsonPath, Problems};
use nf_core::packet::{Batch, Packet};
use nf_core::publish::{Publisher, Reader};
use nf_core::telemetry::CounterDesc;
use nf_core::wire::{Layers, Prefix, rewrite};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The settings, as they stand under `config` in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Packets a second that one source address may send towards the servers.
    #[schemars(range(min = 10, max = 10_000_000))]
    pub packets_per_second: u32,
    /// Let what is over go on with this DSCP instead of dropping it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 63))]
    pub mark: Option<u8>,
    /// Sources that are not limited.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub exempt: Vec<Prefix>,
}

/// Length of the windows in which packets are counted, nanoseconds.
const WINDOW_NS: u64 = 100_000_000;
const WINDOWS_PER_SECOND: u32 = 10;

// Indexes into the kind's REASONS and COUNTERS.
const OVER_LIMIT: usize = 0;
const NO_BUFFER: usize = 1;
const EXEMPT: usize = 0;
const MARKED: usize = 1;

/// The kind `limit`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limit;

impl StageType for Limit {
    const NAME: &'static str = "limit";
    const SUMMARY: &'static str =
        "lets through at most so many packets a second of one source address";
    const REASONS: &'static [&'static str] = &["over_limit", "no_buffer"];
    const COUNTERS: &'static [CounterDesc] = &[
        CounterDesc {
            name: "exempt_packets",
            help: "Packets of sources that are not limited.",
        },
        CounterDesc {
            name: "marked_packets",
            help: "Packets over the limit that went on with the DSCP set.",
        },
    ];
    type Settings = Settings;

    fn check(
        settings: &Settings,
        path: &JsonPath,
        context: &CheckContext,
        problems: &mut Problems,
    ) {
        for (n, prefix) in settings.exempt.iter().enumerate() {
            if settings.exempt.iter().take(n).any(|other| other == prefix) {
                problems
                    .error(&path.key("exempt").index(n), "the prefix stands here twice")
                    .found(prefix)
                    .help("take one of the two out");
            }
        }
        if context.packet_cores > 1 {
            problems
                .warning(
                    &path.key("packets_per_second"),
                    "each packet core counts for itself, so a source that is spread over several \
                     gets the limit on each",
                )
                .help("set the ports' \"rss\" to \"off\", or lower the limit");
        }
    }

    fn build(
        settings: Settings,
        context: &BuildContext,
    ) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(LimitControl {
            limits: Publisher::new(&context.hub, Limits::of(&settings)),
            settings,
        }))
    }
}

/// What the cores look at: the settings, in the form in which they are used.
#[derive(Debug)]
struct Limits {
    packets_per_window: u32,
    mark: Option<u8>,
    exempt: Vec<Prefix>,
}

impl Limits {
    fn of(settings: &Settings) -> Limits {
        Limits {
            packets_per_window: settings.packets_per_second / WINDOWS_PER_SECOND,
            mark: settings.mark,
            exempt: settings.exempt.clone(),
        }
    }
}

/// The control side: owns the settings, and hands new versions of them to the cores.
struct LimitControl {
    settings: Settings,
    limits: Publisher<Limits>,
}

impl StageControl for LimitControl {
    fn shard(&mut self, _core: usize) -> Box<dyn Stage> {
        Box::new(Shard {
            limits: self.limits.reader(),
            sent: Box::new([0; SLOTS]),
            window_is_open: false,
        })
    }

    fn reload(&mut self, config: &Value) -> Result<(), ReloadError> {
        let settings: Settings = read_reloaded(config)?;
        self.limits.publish(Limits::of(&settings));
        self.settings = settings;
        Ok(())
    }

    fn status(&self) -> Value {
        json!({ "settings": self.settings, "version": self.limits.version() })
    }
}

/// Sources that are told apart; those that share a slot share its limit.
const SLOTS: usize = 4096;

/// What one core owns.
struct Shard {
    limits: Reader<Limits>,
    /// Packets of this window, by source.
    sent: Box<[u32; SLOTS]>,
    window_is_open: bool,
}

impl Stage for Shard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        if cx.direction() == Direction::ToClient {
            return;
        }
        if !self.window_is_open {
            self.window_is_open = cx.timer(WINDOW_NS, 0).is_some();
            if !self.window_is_open {
                return; // without a timer the window would never end: rather no limit
            }
        }
        let limits = self.limits.get();
        batch.sift(|packet| {
            let layers = Layers::parse_lax(packet.data(), packet.len());
            let Some(source) = source_of(packet.data(), &layers) else {
                return Some(packet);
            };
            if limits.exempt.iter().any(|prefix| prefix.contains(source)) {
                cx.count(EXEMPT, 1);
                return Some(packet);
            }
            let sent = &mut self.sent[slot_of(source)];
            *sent = sent.saturating_add(1);
            if *sent <= limits.packets_per_window {
                return Some(packet);
            }
            cx.note(&packet, || {
                Note::new("over the limit")
                    .with("source", source)
                    .with("sent", *sent)
            });
            match limits.mark {
                Some(dscp) => mark(cx, packet, &layers, dscp),
                None => {
                    cx.drop(packet, OVER_LIMIT);
                    None
                }
            }
        });
    }

    fn on_timer(&mut self, _cx: &mut Cx<'_>, _token: u64) {
        self.sent.fill(0);
        self.window_is_open = false;
    }

    fn refresh(&mut self) {
        self.limits.refresh();
    }
}

fn mark(cx: &mut Cx<'_>, mut packet: Packet, layers: &Layers, dscp: u8) -> Option<Packet> {
    if !cx.ensure_writable(&mut packet) {
        cx.drop(packet, NO_BUFFER);
        return None;
    }
    rewrite::set_dscp(packet.data_mut(), layers, dscp);
    cx.count(MARKED, 1);
    Some(packet)
}

fn source_of(frame: &[u8], layers: &Layers) -> Option<IpAddr> {
    match layers.ipv4(frame) {
        Some(header) => Some(header.source().into()),
        None => layers.ipv6(frame).map(|header| header.source().into()),
    }
}

fn slot_of(source: IpAddr) -> usize {
    let bits = match source {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ address.to_bits() as u64,
    };
    // Fibonacci hashing: the high bits of the product depend on all bits of the address.
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SLOTS
}
