//! Finds the system's DPDK with pkg-config, generates bindings over an allow-list, and compiles
//! the one C file that holds what Rust cannot reach (C thread-locals and `static inline`s).
//!
//! Shared linking is the default (fast development builds). The feature `static` links the listed
//! archives whole, because poll-mode drivers register themselves in constructors.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const MIN_VERSION: &str = "21.11";

/// Libraries whose symbols we call; order matters for static linking (users before providers).
const LIBS: &[&str] = &[
    "rte_acl",
    "rte_fib",
    "rte_rib",
    "rte_lpm",
    "rte_hash",
    "rte_cryptodev",
    "rte_security",
    "rte_gso",
    "rte_ip_frag",
    "rte_timer",
    "rte_pci",
    "rte_ethdev",
    "rte_meter",
    "rte_net",
    "rte_mbuf",
    "rte_mempool",
    "rte_rcu",
    "rte_ring",
    "rte_eal",
    "rte_telemetry",
    "rte_kvargs",
];

/// Of those, the ones that must be named when linking shared.
const SHARED_LIBS: &[&str] = &[
    "rte_acl",
    "rte_fib",
    "rte_net_ring",
    "rte_bus_vdev",
    "rte_ethdev",
    "rte_net",
    "rte_mbuf",
    "rte_mempool",
    "rte_ring",
    "rte_eal",
];

/// Drivers in a static build: every virtual device that Sluice offers, and the common NICs.
const STATIC_DRIVERS: &[&str] = &[
    "rte_bus_vdev",
    "rte_bus_pci",
    "rte_bus_auxiliary",
    "rte_bus_vmbus",
    "rte_mempool_ring",
    "rte_common_iavf",
    "rte_common_idpf",
    "rte_net_null",
    "rte_net_ring",
    "rte_net_tap",
    "rte_net_memif",
    "rte_net_af_packet",
    "rte_net_af_xdp",
    "rte_net_pcap",
    "rte_net_bond",
    "rte_net_e1000",
    "rte_net_igc",
    "rte_net_ixgbe",
    "rte_net_i40e",
    "rte_net_iavf",
    "rte_net_ice",
    "rte_net_idpf",
    "rte_net_virtio",
    "rte_net_vmxnet3",
    "rte_net_ena",
    "rte_net_bnxt",
];

fn fail(message: &str) -> ! {
    // cargo shows a build script's panic message; a plain line is easier to read.
    eprintln!("\nerror: {message}\n");
    std::process::exit(1);
}

fn pkg_config(args: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("pkg-config")
        .args(args)
        .arg("libdpdk")
        .output()
        .ok()?;
    output.status.success().then(|| {
        String::from_utf8_lossy(&output.stdout)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    })
}

fn main() {
    for path in ["build.rs", "src/shim.c", "src/shim.h"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    // For the test that runs this script where there is no DPDK.
    if let Ok(script) = env::current_exe() {
        println!("cargo:rustc-env=DPDK_SYS_BUILD_SCRIPT={}", script.display());
    }

    let library = pkg_config::Config::new()
        .atleast_version(MIN_VERSION)
        .cargo_metadata(false)
        .probe("libdpdk")
        .unwrap_or_else(|_| {
            fail(&format!(
                "DPDK {MIN_VERSION} or newer was not found by pkg-config: install it (on Debian: \
                 `apt-get install libdpdk-dev dpdk-dev libclang-dev pkg-config`, or run \
                 `cargo xtask setup`), or point PKG_CONFIG_PATH at libdpdk.pc"
            ))
        });
    // The raw flags, because `-march` and `-include rte_config.h` do not survive in the crate's model.
    let cflags = pkg_config(&["--cflags"]).unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    compile_shim(&cflags);
    generate_bindings(&cflags, &out);
    link(&library);
}

fn compile_shim(cflags: &[String]) {
    let mut build = cc::Build::new();
    build
        .file("src/shim.c")
        .opt_level(3)
        .define("ALLOW_EXPERIMENTAL_API", None)
        .warnings(false);
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "avx2") {
        build.define("SLUICE_X86_64_V3", None);
    }
    for flag in cflags {
        build.flag(flag);
    }
    build.compile("dpdk_sys_shim");
}

fn generate_bindings(cflags: &[String], out: &Path) {
    let functions = include_str!("src/functions.txt");
    let types = include_str!("src/types.txt");
    println!("cargo:rerun-if-changed=src/functions.txt");
    println!("cargo:rerun-if-changed=src/types.txt");
    let entries = |text: &'static str| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let mut builder = bindgen::Builder::default()
        .header("src/shim.h")
        .clang_args(cflags)
        .clang_args(["-D_GNU_SOURCE", "-DALLOW_EXPERIMENTAL_API"])
        .use_core()
        .derive_default(true)
        .generate_comments(false)
        .prepend_enum_name(false)
        .rust_edition(bindgen::RustEdition::Edition2024)
        // Packed structs with aligned members, which Rust cannot express; nothing of ours uses them.
        .opaque_type("rte_(arp|l2tpv2|gtp_psc).*")
        .blocklist_type("rte_l2tpv2.*")
        .allowlist_var("SLUICE_.*")
        .allowlist_var("rte_eth_fp_ops")
        .allowlist_var("per_lcore__.*");
    for name in entries(functions) {
        builder = builder.allowlist_function(name);
    }
    for name in entries(types) {
        builder = builder.allowlist_type(name);
    }
    let bindings = builder.generate().unwrap_or_else(|error| {
        fail(&format!(
            "the bindings to DPDK could not be generated: {error}; is libclang installed (on Debian: \
             `apt-get install libclang-dev`)?"
        ))
    });
    bindings
        .write_to_file(out.join("bindings.rs"))
        .unwrap_or_else(|error| {
            fail(&format!("could not write {}: {error}", out.display()));
        });
}

fn link(library: &pkg_config::Library) {
    let mut dirs: Vec<PathBuf> = library.link_paths.clone();
    for candidate in pkg_config(&["--variable=libdir"]).unwrap_or_default() {
        dirs.push(candidate.into());
    }
    dirs.dedup();
    for dir in &dirs {
        println!("cargo:rustc-link-search=native={}", dir.display());
    }
    if env::var_os("CARGO_FEATURE_STATIC").is_none() {
        for name in SHARED_LIBS {
            println!("cargo:rustc-link-lib=dylib={name}");
        }
        println!("cargo:rustc-link-lib=dylib=pcap");
        return;
    }
    let exists = |name: &str| {
        dirs.iter()
            .any(|dir| fs::exists(dir.join(format!("lib{name}.a"))).unwrap_or(false))
    };
    for name in STATIC_DRIVERS.iter().chain(LIBS) {
        // Some releases rename or drop a driver; what is not there is not linked.
        if exists(name) {
            println!("cargo:rustc-link-lib=static:+whole-archive,-bundle={name}");
        }
    }
    for name in [
        "xdp", "bpf", "elf", "z", "pcap", "numa", "bsd", "m", "dl", "pthread", "atomic",
    ] {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}
