//! The settings of `impair`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{JsonPath, Problems};
use crate::filter::check_filter;
use crate::packet::Direction;

/// Longest delay that a distribution gives, microseconds: a minute.
pub(super) const LONGEST_US: f64 = 60e6;

/// Most later packets that a packet is held back for.
pub(super) const MOST_OVERTAKING: usize = 1000;

/// Most copies of a packet.
pub(super) const MOST_COPIES: usize = 8;

const fn max_held() -> u32 {
    65_536
}

/// The settings of an `impair` stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpairConfig {
    /// Where chance starts: the same seed and the same packets give the same impairments. Left out,
    /// a new one is drawn at every start; `status` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Most packets that each packet core holds at a time, delayed or waiting for their turn. What
    /// comes when there are as many is dropped as `held_full`. The packet pool must have room for
    /// them. Changes with a restart only.
    #[serde(default = "max_held")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_held: u32,
    /// What happens to packets in either direction, each with its own link and its own chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub both: Option<ImpairDirection>,
    /// What happens to packets on their way to the servers. Not together with `both`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_server: Option<ImpairDirection>,
    /// What happens to packets on their way to the clients. Not together with `both`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_client: Option<ImpairDirection>,
}

impl Default for ImpairConfig {
    fn default() -> Self {
        Self {
            seed: None,
            max_held: max_held(),
            both: None,
            to_server: None,
            to_client: None,
        }
    }
}

/// What happens to the packets of one direction. What is left out does not happen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpairDirection {
    /// Which packets are impaired, in tcpdump's language: `"udp port 53"`. The others pass
    /// untouched. Left out, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Packets are lost; dropped as `loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Packets are doubled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Duplicate>,
    /// Bits of packets are flipped. Checksums are left as they are, as on a bad line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corrupt>,
    /// Packets pass a link of limited rate with a queue before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Packets take time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Packets are held back so that later ones overtake them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
}

/// Which packets are lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Each with this probability, from 0 to 1, whatever happens to the others.
    Probability(#[schemars(range(min = 0.0, max = 1.0))] f64),
    /// In bursts.
    GilbertElliott(GilbertElliott),
    /// Every so many, without chance: for 10, the 10th, the 20th, and so on.
    EveryNth(#[schemars(range(min = 1))] u32),
}

/// Loss in bursts (Gilbert 1960, Elliott 1963): the line is good or bad, changes from one to the
/// other with each packet by chance, and loses packets with one probability in either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GilbertElliott {
    /// Probability that a good line turns bad, for each packet.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// Probability that a bad line turns good, for each packet: bursts are 1/r packets long.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub r: f64,
    /// Probability that a good line loses a packet.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub good_loss: f64,
    /// Probability that a bad line loses a packet.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bad_loss: f64,
}

const fn one() -> f64 {
    1.0
}

/// Which packets are doubled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    /// Probability, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// How many copies follow the packet.
    #[serde(default = "one_copy")]
    #[schemars(range(min = 1, max = MOST_COPIES))]
    pub copies: u8,
}

const fn one_copy() -> u8 {
    1
}

/// Which packets are corrupted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Corrupt {
    /// Probability, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// How many bits are flipped; no bit twice while there are others.
    #[serde(default = "one_bit")]
    #[schemars(range(min = 1, max = 64))]
    pub bits: u8,
    /// Where they are.
    #[serde(default, rename = "where")]
    pub place: CorruptPlace,
}

const fn one_bit() -> u8 {
    1
}

/// Where bits are flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CorruptPlace {
    /// Behind the headers of UDP or TCP, or behind the last header that there is; packets without
    /// data are left alone.
    #[default]
    Payload,
    /// Anywhere behind the Ethernet addresses.
    Anywhere,
}

/// A link of limited rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits a second of whole frames, without preamble, gap and checksum; each packet core has this
    /// rate.
    #[schemars(range(min = 1000, max = 1_000_000_000_000_u64))]
    pub bits_per_second: u64,
    /// Bytes that pass at once after the link was idle.
    #[serde(default = "burst_bytes")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub burst_bytes: u32,
    /// Packets that wait for the link; what comes when as many wait is dropped as `queue_full`.
    #[serde(default = "queue_packets")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub queue_packets: u32,
}

const fn burst_bytes() -> u32 {
    1514
}

const fn queue_packets() -> u32 {
    1000
}

/// How long packets take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The time, fixed or drawn for each packet. Never more than a minute.
    pub time: DelayTime,
    /// How much a packet's time depends on that of the packet before, from 0 (not at all) to 1 (all
    /// alike). The distribution stays what it is.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub correlation: f64,
    /// Whether packets stay in order: then none leaves before one that came earlier, and takes
    /// longer for it.
    #[serde(default = "yes")]
    pub keep_order: bool,
}

const fn yes() -> bool {
    true
}

/// A time and how it is distributed, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DelayTime {
    /// The same for every packet.
    ConstantUs(#[schemars(range(min = 0.0, max = LONGEST_US))] f64),
    /// Even between two bounds.
    Uniform(UniformTime),
    /// Normally distributed; less than nothing counts as nothing.
    Normal(NormalTime),
    /// Exponentially distributed, as if packets waited for a random event.
    Exponential(MeanTime),
    /// With a long tail (Pareto).
    Pareto(Pareto),
    /// With a skewed tail, as measured in many networks.
    LogNormal(LogNormal),
}

/// Bounds of a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformTime {
    /// Least time, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub min_us: f64,
    /// Longest time, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub max_us: f64,
}

/// Mean and deviation of a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalTime {
    /// Mean, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub mean_us: f64,
    /// Standard deviation, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub deviation_us: f64,
}

/// Mean of a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanTime {
    /// Mean, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub mean_us: f64,
}

/// A Pareto distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pareto {
    /// Least time, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub min_us: f64,
    /// Shape: the smaller, the longer the tail. The mean is `min_us` × shape / (shape − 1), and
    /// there is none up to 1.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub shape: f64,
}

/// A log-normal distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Median, microseconds.
    #[schemars(range(min = 0.0, max = LONGEST_US))]
    pub median_us: f64,
    /// Standard deviation of the logarithm.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub sigma: f64,
}

/// Which packets are overtaken, and by how much. At least one of `packets` and `delay_us`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Probability, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// Held back until this many later packets of the direction have gone ahead, or `delay_us` is
    /// over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MOST_OVERTAKING))]
    pub packets: Option<u32>,
    /// Held back for this long, microseconds. With `packets`, the longest wait; then 10 000 if left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = LONGEST_US))]
    pub delay_us: Option<f64>,
}

impl ImpairConfig {
    /// The settings of a direction.
    pub fn of(&self, direction: Direction) -> Option<&ImpairDirection> {
        let own = match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        };
        own.as_ref().or(self.both.as_ref())
    }

    /// Adds what the schema cannot say.
    pub(super) fn check(&self, path: &JsonPath, problems: &mut Problems) {
        if self.both.is_some() {
            for (key, other) in [
                ("to_server", &self.to_server),
                ("to_client", &self.to_client),
            ] {
                if other.is_some() {
                    problems
                        .error(
                            &path.key(key),
                            format!("{key:?} and \"both\" say what happens to the same packets"),
                        )
                        .allowed("\"both\", or \"to_server\" and \"to_client\"");
                }
            }
        }
        for (key, section) in [
            ("both", &self.both),
            ("to_server", &self.to_server),
            ("to_client", &self.to_client),
        ] {
            if let Some(section) = section {
                section.check(&path.key(key), problems);
            }
        }
    }
}

impl ImpairDirection {
    fn check(&self, path: &JsonPath, problems: &mut Problems) {
        if let Some(filter) = &self.filter {
            check_filter(filter, &path.key("filter"), "udp port 53", problems);
        }
        if let Some(Delay {
            time: DelayTime::Uniform(time),
            ..
        }) = &self.delay
            && time.min_us > time.max_us
        {
            let path = path.key("delay").key("time").key("uniform").key("max_us");
            problems
                .error(&path, "the longest time is less than the least")
                .found(time.max_us)
                .allowed(format_args!("a number from {} on", time.min_us));
        }
        if let Some(reorder) = &self.reorder
            && reorder.packets.is_none()
            && reorder.delay_us.is_none()
        {
            problems
                .error(
                    &path.key("reorder"),
                    "it does not say how long packets are held back",
                )
                .allowed("\"packets\", \"delay_us\" or both");
        }
        if let Some(Loss::GilbertElliott(model)) = &self.loss
            && model.p > 0.0
            && model.r == 0.0
        {
            problems
                .warning(
                    &path.key("loss").key("gilbert_elliott").key("r"),
                    "a line that has turned bad never turns good again",
                )
                .found(model.r)
                .allowed("a number above 0: bursts are 1/r packets long");
        }
    }
}
