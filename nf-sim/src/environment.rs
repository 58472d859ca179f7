//! DPDK's environment without ports, for the packets of appliances.

use nf_core::dpdk::{Eal, EalConfig, EalError, HugepagePolicy};

/// Starts DPDK's environment with so much memory for pools, or gives the one that runs.
pub fn start_eal(memory_mib: u32, hugepages: HugepagePolicy) -> Result<&'static Eal, EalError> {
    if let Some(eal) = Eal::get() {
        return Ok(eal);
    }
    Eal::init(&EalConfig {
        prefix: format!("nf-sim{}", std::process::id()),
        memory_mib,
        hugepages,
        ..EalConfig::default()
    })
}
