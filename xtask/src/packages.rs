//! The one list of what is installed from the distribution, and how to see that it is there.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a package is for; each command asks for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Compiling and linking against DPDK.
    Build,
    /// `cargo xtask lint`.
    Lint,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask demo`.
    Demo,
    /// `cargo xtask bench`.
    Bench,
    /// `cargo xtask measure-service-times`.
    Measure,
}

/// What shows that a package (or something as good, built from source) is there.
#[derive(Debug)]
pub enum Sign {
    /// A program on the search path.
    Program(&'static str),
    /// A file.
    File(&'static str),
    /// A module that pkg-config knows, at least of this version.
    PkgConfig(&'static str, &'static str),
    /// The shared library that bindgen loads.
    Libclang,
}

/// One package of Debian 12.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Who needs it. What is needed to build is needed by all.
    pub purposes: &'static [Purpose],
    /// How to see that it is not needed.
    pub sign: Sign,
    /// A service that the package would start and enable, which nobody wants on a developer's machine.
    pub service: Option<&'static str>,
}

use Purpose::{Bench, Build, Demo, Lint, Measure, Test};

/// The list.
pub const PACKAGES: &[Package] = &[
    package("gcc", &[Build], Sign::Program("cc")),
    package("libc6-dev", &[Build], Sign::File("/usr/include/stdlib.h")),
    package("pkg-config", &[Build], Sign::Program("pkg-config")),
    package("libclang-dev", &[Build], Sign::Libclang),
    // Brings along libxdp, libbpf, libpcap, libnuma, libbsd and libelf, for static linking.
    package("libdpdk-dev", &[Build], Sign::PkgConfig("libdpdk", "21.11")),
    // Namespaces, veth pairs, addresses.
    package("iproute2", &[Test, Demo, Bench], Sign::Program("ip")),
    package("iputils-ping", &[Test, Demo, Bench], Sign::Program("ping")),
    // Reads what the capture stage wrote: an independent opinion on its files.
    package("tcpdump", &[Test], Sign::Program("tcpdump")),
    // The dissector of NetClone's messages is run in it.
    package("tshark", &[Test], Sign::Program("tshark")),
    // For systemd-analyze, which the unit is checked with.
    package("systemd", &[Test], Sign::Program("systemd-analyze")),
    // The server behind the appliance.
    Package {
        service: Some("memcached"),
        ..package(
            "memcached",
            &[Test, Demo, Measure],
            Sign::Program("memcached"),
        )
    },
    // The other store whose service times are measured.
    Package {
        service: Some("redis-server"),
        ..package(
            "redis-server",
            &[Test, Measure],
            Sign::Program("redis-server"),
        )
    },
    // A small DNS server, without the service.
    package("dnsmasq-base", &[Test], Sign::Program("dnsmasq")),
    // For promtool (rules and metrics are checked with it) and a scrape by the real thing.
    Package {
        service: Some("prometheus"),
        ..package("prometheus", &[Lint, Test], Sign::Program("promtool"))
    },
    // For dpdk-testpmd, which we are measured against.
    package("dpdk-dev", &[Bench], Sign::Program("dpdk-testpmd")),
    // For callgrind: instructions per packet, where a virtual machine has no hardware counters.
    package("valgrind", &[Bench], Sign::Program("valgrind")),
    package("binutils", &[Bench], Sign::Program("objdump")),
];

const fn package(name: &'static str, purposes: &'static [Purpose], sign: Sign) -> Package {
    Package {
        name,
        purposes,
        sign,
        service: None,
    }
}

impl Package {
    /// Whether it, or something as good, is there.
    pub fn is_present(&self) -> bool {
        match self.sign {
            Sign::Program(name) => testkit::need::find_program(name).is_some(),
            Sign::File(path) => Path::new(path).exists(),
            Sign::PkgConfig(module, version) => Command::new("pkg-config")
                .args(["--atleast-version", version, module])
                .status()
                .is_ok_and(|status| status.success()),
            Sign::Libclang => libclang_is_present(),
        }
    }
}

fn libclang_is_present() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let has_libclang = |folder: &Path| {
        fs::read_dir(folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                // libclang.so, libclang.so.1, libclang-14.so.1; not libclang-cpp.
                name.strip_prefix("libclang").is_some_and(|rest| {
                    rest.contains(".so")
                        && (rest.starts_with('.')
                            || rest[1..].starts_with(|c: char| c.is_ascii_digit()))
                })
            })
        })
    };
    let Ok(entries) = fs::read_dir("/usr/lib") else {
        return false;
    };
    let llvm = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
        .map(|entry| entry.path().join("lib"));
    // bindgen also needs clang's own headers, which are in the same tree as a versioned libclang.
    llvm.into_iter().any(|folder| has_libclang(&folder))
        || has_libclang(Path::new("/usr/lib64"))
        || has_libclang(Path::new("/usr/local/lib"))
}

/// The packages that `purposes` need and that are missing.
pub fn missing(purposes: &[Purpose]) -> Vec<&'static Package> {
    PACKAGES
        .iter()
        .filter(|package| {
            package
                .purposes
                .iter()
                .any(|purpose| purposes.contains(purpose))
        })
        .filter(|package| !package.is_present())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_package_is_listed_twice_or_for_nothing() {
        for (index, package) in PACKAGES.iter().enumerate() {
            assert!(!package.purposes.is_empty(), "{}", package.name);
            assert!(
                PACKAGES[..index]
                    .iter()
                    .all(|other| other.name != package.name)
            );
        }
    }

    #[test]
    fn signs_tell_what_is_there_from_what_is_not() {
        assert!(package("x", &[Build], Sign::Program("sh")).is_present());
        assert!(!package("x", &[Build], Sign::Program("no-such-program")).is_present());
        assert!(package("x", &[Build], Sign::File("/")).is_present());
        assert!(!package("x", &[Build], Sign::PkgConfig("no-such-module", "1")).is_present());
    }
}
