//! RFC 2544: throughput, latency, frame loss and back-to-back frames, over a table of frame sizes.
//!
//! The search knows its device only through [`Trial`], so that it can be tested against devices whose
//! capacity is known.

use serde::{Deserialize, Serialize};

use crate::latency::Summary;
use crate::verdict::Limit;

/// Frame sizes of RFC 2544 section 9.1 for Ethernet.
pub const FRAME_SIZES: [u16; 7] = [64, 128, 256, 512, 1024, 1280, 1518];

/// What is sent in a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// At a rate, for a time.
    Rate {
        /// Packets per second.
        packets_per_second: f64,
        /// Seconds.
        seconds: f64,
    },
    /// A burst at the highest rate.
    Burst {
        /// Packets per second within the burst.
        packets_per_second: f64,
        /// Frames in the burst.
        frames: u64,
    },
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialOutcome {
    /// Packets sent.
    pub sent: u64,
    /// Of those, packets that came back.
    pub received: u64,
    /// Packets per second sent.
    pub packets_per_second: f64,
    /// Whether the generator kept up: sent as asked, and lost nothing of its own.
    pub limit: Limit,
    /// Latency of the trial.
    pub latency: Option<Summary>,
    /// Whether the user wants no more trials.
    pub interrupted: bool,
}

impl TrialOutcome {
    /// Share of packets lost.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 {
            return 1.0;
        }
        self.sent.saturating_sub(self.received) as f64 / self.sent as f64
    }

    /// Whether the generator, not the device, fell short.
    fn generator_limited(&self) -> bool {
        matches!(
            self.limit,
            Limit::GeneratorTransmit | Limit::GeneratorReceive | Limit::Port
        )
    }
}

/// Sends a load and sees what comes back.
pub trait Trial {
    /// Carries out a trial with frames of `size` bytes, after telling what it is for.
    fn run(&mut self, purpose: &str, size: u16, load: Load) -> Result<TrialOutcome, String>;
}

/// What is measured, and how closely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Frame sizes, bytes.
    pub sizes: Vec<u16>,
    /// Share of packets that may be lost; 0 in the RFC.
    pub loss_limit: f64,
    /// Length of a trial of the search, seconds; 60 in the RFC for the last one.
    pub trial_seconds: f64,
    /// Length of the trial that confirms the throughput and measures latency, seconds; 120 in the
    /// RFC.
    pub latency_seconds: f64,
    /// The search ends when it is this close, as a share of the rate.
    pub resolution: f64,
    /// Highest rate to try, packets per second; by frame size the lesser of it and the line rate.
    pub max_packets_per_second: f64,
    /// Line rate of the port, bits per second, if it is known.
    pub line_rate: Option<f64>,
    /// Steps of the frame loss curve, percent of the highest rate; none leaves the curve out.
    pub loss_steps: Vec<f64>,
    /// Times the back-to-back burst is repeated; 50 in the RFC, 0 leaves the test out.
    pub bursts: u32,
    /// Longest burst, seconds; 2 in the RFC.
    pub burst_seconds: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sizes: FRAME_SIZES.to_vec(),
            loss_limit: 0.0,
            trial_seconds: 5.0,
            latency_seconds: 10.0,
            resolution: 0.01,
            max_packets_per_second: 20e6,
            line_rate: None,
            loss_steps: (1..=10).rev().map(|step| f64::from(step) * 10.0).collect(),
            bursts: 5,
            burst_seconds: 1.0,
        }
    }
}

/// A point of the frame loss curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LossPoint {
    /// Percent of the highest rate.
    pub percent: f64,
    /// Packets per second sent.
    pub packets_per_second: f64,
    /// Share of packets lost.
    pub loss_ratio: f64,
}

/// What was found for one frame size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeResult {
    /// Frame size, bytes.
    pub size: u16,
    /// Highest rate with no more than the allowed loss, packets per second; 0 if none.
    pub throughput_pps: f64,
    /// The same in bits of frames per second (L2).
    pub throughput_bps: f64,
    /// The same as a share of the line rate; `null` if that is not known.
    pub throughput_of_line: Option<f64>,
    /// The device may do better: the generator was the limit above this rate.
    pub generator_limited: bool,
    /// Share of packets lost at the throughput.
    pub loss_ratio: f64,
    /// Latency at the throughput.
    pub latency: Option<Summary>,
    /// Longest burst at the highest rate without loss, frames, mean over the repetitions; `null` if
    /// not measured.
    pub back_to_back_frames: Option<f64>,
    /// The longest burst tried came through: the device may take longer ones.
    pub back_to_back_limited: bool,
    /// The frame loss curve, from the highest rate down.
    pub frame_loss: Vec<LossPoint>,
    /// Trials made.
    pub trials: u32,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rfc2544Result {
    /// `"rfc2544"`.
    pub kind: &'static str,
    /// Version of pktgen.
    pub version: &'static str,
    /// Name of the profile.
    pub name: String,
    /// Seed that repeats the packets.
    pub seed: u64,
    /// What was asked for.
    pub settings: Settings,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Sentences that the user should read.
    pub notes: Vec<String>,
    /// One entry a frame size.
    pub sizes: Vec<SizeResult>,
}

/// A trial may be repeated once when the generator fell short by accident.
const RETRIES: u32 = 1;
/// Trials of one search: halving from the highest rate to a millionth of it.
const MOST_STEPS: u32 = 24;

struct Search<'a> {
    trial: &'a mut dyn Trial,
    settings: &'a Settings,
    trials: u32,
    interrupted: bool,
}

impl Search<'_> {
    /// A trial, repeated when the generator fell short in a way that may have been an accident.
    fn run(&mut self, purpose: &str, size: u16, load: Load) -> Result<TrialOutcome, String> {
        let mut outcome = self.trial.run(purpose, size, load)?;
        self.trials += 1;
        for _ in 0..RETRIES {
            if !outcome.generator_limited() || outcome.interrupted {
                break;
            }
            outcome = self.trial.run(purpose, size, load)?;
            self.trials += 1;
        }
        self.interrupted |= outcome.interrupted;
        Ok(outcome)
    }

    /// Highest rate to try for frames of `size` bytes.
    fn highest(&self, size: u16) -> f64 {
        let line = self
            .settings
            .line_rate
            .map(|line| line / ((f64::from(size) + 20.0) * 8.0));
        self.settings
            .max_packets_per_second
            .min(line.unwrap_or(f64::INFINITY))
    }

    fn throughput(&mut self, size: u16) -> Result<(f64, bool), String> {
        let highest = self.highest(size);
        let (mut good, mut bad) = (0.0f64, f64::INFINITY);
        let mut generator_limited = false;
        let mut rate = highest;
        for _ in 0..MOST_STEPS {
            let load = Load::Rate {
                packets_per_second: rate,
                seconds: self.settings.trial_seconds,
            };
            let outcome = self.run("throughput", size, load)?;
            if self.interrupted {
                break;
            }
            let passed = outcome.loss() <= self.settings.loss_limit;
            if outcome.generator_limited() {
                // What was really sent tells where the generator's limit is; the device may not be
                // blamed for a rate that it was not given.
                generator_limited = true;
                bad = bad.min(rate);
                let reached = outcome.packets_per_second;
                if passed && reached > good && reached < rate {
                    good = reached.min(rate);
                }
            } else if passed {
                good = good.max(rate);
            } else {
                generator_limited = false;
                bad = rate;
            }
            if good >= highest || bad - good <= self.settings.resolution * bad.min(highest) {
                break;
            }
            rate = (good + bad.min(highest)) / 2.0;
        }
        Ok((good, generator_limited))
    }

    fn back_to_back(&mut self, size: u16) -> Result<(f64, bool), String> {
        let rate = self.highest(size);
        let most = (rate * self.settings.burst_seconds).max(1.0) as u64;
        let (mut sum, mut limited) = (0.0, false);
        for _ in 0..self.settings.bursts {
            let (mut good, mut bad) = (0u64, most + 1);
            let mut frames = most;
            for _ in 0..MOST_STEPS {
                let load = Load::Burst {
                    packets_per_second: rate,
                    frames,
                };
                let outcome = self.run("back-to-back", size, load)?;
                if self.interrupted {
                    return Ok((sum / f64::from(self.settings.bursts), limited));
                }
                if outcome.loss() == 0.0 {
                    good = frames;
                } else {
                    bad = frames;
                }
                let close = (self.settings.resolution * good as f64).max(1.0) as u64;
                if bad - good <= close || good == most {
                    break;
                }
                frames = (good + bad) / 2;
            }
            limited |= good == most;
            sum += good as f64;
        }
        Ok((sum / f64::from(self.settings.bursts.max(1)), limited))
    }

    fn loss_curve(&mut self, size: u16) -> Result<Vec<LossPoint>, String> {
        let mut points = Vec::new();
        let mut clean = 0;
        for &percent in &self.settings.loss_steps.clone() {
            let load = Load::Rate {
                packets_per_second: self.highest(size) * percent / 100.0,
                seconds: self.settings.trial_seconds,
            };
            let outcome = self.run("frame loss", size, load)?;
            if self.interrupted {
                break;
            }
            points.push(LossPoint {
                percent,
                packets_per_second: outcome.packets_per_second,
                loss_ratio: outcome.loss(),
            });
            // Section 26.3: until there are two successive trials without loss.
            clean = if outcome.received >= outcome.sent {
                clean + 1
            } else {
                0
            };
            if clean == 2 {
                break;
            }
        }
        Ok(points)
    }

    fn size(&mut self, size: u16) -> Result<SizeResult, String> {
        self.trials = 0;
        let (mut throughput, mut generator_limited) = self.throughput(size)?;
        let mut result = SizeResult {
            size,
            throughput_pps: 0.0,
            throughput_bps: 0.0,
            throughput_of_line: None,
            generator_limited: false,
            loss_ratio: 1.0,
            latency: None,
            back_to_back_frames: None,
            back_to_back_limited: false,
            frame_loss: Vec::new(),
            trials: 0,
        };
        // The long trial confirms the rate, or finds that it was luck and steps down.
        for _ in 0..5 {
            if throughput <= 0.0 || self.interrupted {
                break;
            }
            let load = Load::Rate {
                packets_per_second: throughput,
                seconds: self.settings.latency_seconds,
            };
            let outcome = self.run("latency", size, load)?;
            if self.interrupted {
                break;
            }
            result.loss_ratio = outcome.loss();
            result.latency = outcome.latency;
            if outcome.loss() <= self.settings.loss_limit {
                generator_limited |= outcome.generator_limited();
                break;
            }
            // Next to what came through, and a step below.
            throughput *= 1.0 - outcome.loss() - self.settings.resolution;
            generator_limited = outcome.generator_limited();
        }
        if result.loss_ratio > self.settings.loss_limit && !self.interrupted {
            throughput = 0.0;
        }
        result.throughput_pps = throughput;
        result.throughput_bps = throughput * f64::from(size) * 8.0;
        result.throughput_of_line = self
            .settings
            .line_rate
            .map(|line| throughput * (f64::from(size) + 20.0) * 8.0 / line);
        result.generator_limited = generator_limited;
        if self.settings.bursts > 0 && !self.interrupted {
            let (frames, limited) = self.back_to_back(size)?;
            result.back_to_back_frames = Some(frames);
            result.back_to_back_limited = limited;
        }
        if !self.interrupted {
            result.frame_loss = self.loss_curve(size)?;
        }
        result.trials = self.trials;
        Ok(result)
    }
}

/// Measures everything that `settings` asks for. `each` is told of every finished size.
pub fn measure(
    settings: &Settings,
    trial: &mut dyn Trial,
    mut each: impl FnMut(&SizeResult),
) -> Result<(Vec<SizeResult>, bool), String> {
    let mut search = Search {
        trial,
        settings,
        trials: 0,
        interrupted: false,
    };
    let mut results = Vec::new();
    for &size in &settings.sizes {
        let result = search.size(size)?;
        if search.interrupted {
            return Ok((results, true));
        }
        each(&result);
        results.push(result);
    }
    Ok((results, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that forwards `capacity` packets per second behind a queue of `queue` packets, tested by
    /// a generator that sends at most `generator` packets per second.
    struct Device {
        capacity: f64,
        queue: f64,
        generator: f64,
        /// Loses one packet in so many at any rate.
        lossy: Option<u64>,
        loads: Vec<(String, Load)>,
        end_after: usize,
    }

    impl Device {
        fn new(capacity: f64) -> Device {
            Device {
                capacity,
                queue: 1000.0,
                generator: 1e9,
                lossy: None,
                loads: vec![],
                end_after: usize::MAX,
            }
        }
    }

    impl Trial for Device {
        fn run(&mut self, purpose: &str, _: u16, load: Load) -> Result<TrialOutcome, String> {
            self.loads.push((purpose.into(), load));
            let (asked, seconds) = match load {
                Load::Rate {
                    packets_per_second,
                    seconds,
                } => (packets_per_second, seconds),
                Load::Burst {
                    packets_per_second,
                    frames,
                } => (packets_per_second, frames as f64 / packets_per_second),
            };
            let rate = asked.min(self.generator);
            let sent = (rate * seconds).round() as u64;
            let mut received = sent.min((self.capacity * seconds + self.queue) as u64);
            if let Some(every) = self.lossy {
                received -= sent / every;
            }
            Ok(TrialOutcome {
                sent,
                received,
                packets_per_second: rate,
                limit: if rate < asked * 0.999 {
                    Limit::GeneratorTransmit
                } else {
                    Limit::None
                },
                latency: None,
                interrupted: self.loads.len() >= self.end_after,
            })
        }
    }

    fn settings() -> Settings {
        Settings {
            sizes: vec![64],
            max_packets_per_second: 10e6,
            ..Settings::default()
        }
    }

    fn measure_one(settings: &Settings, device: &mut Device) -> SizeResult {
        let (mut results, _) = measure(settings, device, |_| {}).unwrap();
        results.remove(0)
    }

    #[test]
    fn the_capacity_of_a_device_is_found() {
        for capacity in [123_456.0, 1e6, 5.4321e6, 9.99e6] {
            let mut device = Device::new(capacity);
            let settings = Settings {
                resolution: 0.001,
                bursts: 0,
                ..settings()
            };
            let found = measure_one(&settings, &mut device);
            // The queue lets a little more than the capacity through within a trial.
            let slack = 1000.0 / settings.trial_seconds;
            let error = (found.throughput_pps - capacity) / capacity;
            assert!(
                found.throughput_pps <= capacity + slack + 1.0 && error > -0.005,
                "{capacity}: {}",
                found.throughput_pps
            );
            assert!(!found.generator_limited && found.loss_ratio == 0.0);
            assert!(found.trials < 35, "{}", found.trials);
        }
    }

    #[test]
    fn a_device_faster_than_the_line_takes_one_trial() {
        let settings = Settings {
            line_rate: Some(1e9),
            bursts: 0,
            ..settings()
        };
        let mut device = Device::new(1e9);
        let found = measure_one(&settings, &mut device);
        assert!((found.throughput_pps - 1_488_095.2).abs() < 1.0);
        assert_eq!(found.throughput_of_line, Some(1.0));
        assert_eq!(
            device.loads.iter().filter(|l| l.0 == "throughput").count(),
            1
        );
    }

    #[test]
    fn a_slow_generator_says_so_instead_of_blaming_the_device() {
        let mut device = Device {
            generator: 2e6,
            ..Device::new(5e6)
        };
        let found = measure_one(&settings(), &mut device);
        assert!(found.generator_limited);
        assert!(
            (1.9e6..=2.01e6).contains(&found.throughput_pps),
            "{}",
            found.throughput_pps
        );
        // A device slower than the generator is blamed rightly.
        let mut device = Device {
            generator: 5e6,
            ..Device::new(2e6)
        };
        let found = measure_one(&settings(), &mut device);
        assert!(!found.generator_limited, "{found:?}");
        assert!(
            (1.9e6..2.01e6).contains(&found.throughput_pps),
            "{}",
            found.throughput_pps
        );
    }

    #[test]
    fn the_loss_limit_is_kept() {
        let lossy = || Device {
            lossy: Some(1000),
            ..Device::new(3e6)
        };
        let none = measure_one(&settings(), &mut lossy());
        assert_eq!(none.throughput_pps, 0.0);
        let some = Settings {
            loss_limit: 0.002,
            ..settings()
        };
        let found = measure_one(&some, &mut lossy());
        assert!(
            (2.9e6..3.01e6).contains(&found.throughput_pps),
            "{}",
            found.throughput_pps
        );
        assert!(found.loss_ratio > 0.0005 && found.loss_ratio <= 0.002);
    }

    #[test]
    fn back_to_back_finds_the_queue() {
        let mut device = Device {
            queue: 4000.0,
            ..Device::new(1e6)
        };
        let settings = Settings {
            max_packets_per_second: 2e6,
            resolution: 0.001,
            ..settings()
        };
        let found = measure_one(&settings, &mut device);
        // At twice the capacity, a queue of 4000 takes a burst of 8000.
        let frames = found.back_to_back_frames.unwrap();
        assert!((7_980.0..=8_001.0).contains(&frames), "{frames}");
        assert!(!found.back_to_back_limited);
    }

    #[test]
    fn the_loss_curve_stops_after_two_clean_steps() {
        let found = measure_one(&settings(), &mut Device::new(7.5e6));
        let percents: Vec<f64> = found.frame_loss.iter().map(|p| p.percent).collect();
        assert_eq!(percents, [100.0, 90.0, 80.0, 70.0, 60.0]);
        assert!(found.frame_loss[0].loss_ratio > 0.24);
        assert_eq!(found.frame_loss[3].loss_ratio, 0.0);
    }

    #[test]
    fn sizes_are_measured_one_by_one_and_the_user_can_stop() {
        let settings = Settings {
            sizes: vec![64, 128, 256],
            bursts: 0,
            ..settings()
        };
        let mut seen = Vec::new();
        let mut device = Device::new(1e6);
        let (results, interrupted) =
            measure(&settings, &mut device, |result| seen.push(result.size)).unwrap();
        assert_eq!((seen.len(), results.len(), interrupted), (3, 3, false));
        let per_size = device.loads.len() / 3;
        let mut device = Device {
            end_after: per_size + 2,
            ..Device::new(1e6)
        };
        let (results, interrupted) = measure(&settings, &mut device, |_| {}).unwrap();
        assert_eq!((results.len(), interrupted), (1, true));
    }
}
