//! One EAL a process, and a pool of its own for every test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::dpdk::{Eal, EalConfig, HugepagePolicy, Mempool};

/// The process's EAL, on normal pages so that tests run anywhere.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<&'static Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        let config = EalConfig {
            prefix: format!("test{}", std::process::id()),
            memory_mib: 1024,
            hugepages: HugepagePolicy::Off,
            ..EalConfig::default()
        };
        Eal::init(&config).expect("EAL starts on normal pages")
    })
}

/// A name that nothing else in the process has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A pool for one test. Check `pool.in_use() == 0` at the end.
pub fn pool(packets: u32) -> Mempool {
    Mempool::create(eal(), &unique("pool"), packets, 2176, 0).expect("a pool")
}
