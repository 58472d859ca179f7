//! What the appliance counts, and how it is read.
//!
//! Every counter has one writer, the core it belongs to, which adds with a plain load and store:
//! no locked instruction, no line shared with another writer. The control thread reads the blocks
//! of all cores whenever it is asked, sums them, and renders them for Prometheus or as JSON.
//!
//! - [`Counter`], [`ByDirection`], [`CounterSet`]: the primitives; [`Writer`] and [`View`] are the
//!   two ends of a block of them.
//! - [`Histogram`], [`BatchSizes`]: distributions, with fixed memory.
//! - [`StageCounters`], [`CoreCounters`], [`PortCounters`]: the blocks of the appliance.
//! - [`Telemetry`]: all blocks of one appliance; [`Family`] and [`Collection`]: their rendering.

mod batch_sizes;
mod core;
mod counter;
pub(crate) mod family;
mod histogram;
mod port;
mod registry;
mod stage;

pub use self::batch_sizes::{BatchSizes, BatchSizesSnapshot, MAX_BATCH};
pub use self::core::{CoreCounters, CoreSnapshot};
pub use self::counter::{Block, ByDirection, Counter, CounterSet, View, Writer};
pub use self::family::{Collection, Family, Kind, Source, markdown_table};
pub use self::histogram::{Histogram, HistogramSnapshot};
pub use self::port::{PortCounters, PortSnapshot};
pub use self::registry::{DeviceFacts, Facts, PortEntry, Snapshot, StageEntry, Telemetry};
pub use self::stage::{CounterDesc, Named, OTHER_REASON, StageCounters, StageSnapshot};
