//! What is said where something that is needed is missing: DPDK at build time, the processor's
//! instructions at run time.

use std::path::Path;
use std::process::{Command, Output};

/// The build script, run by itself with a `PKG_CONFIG_LIBDIR` of the test's making.
fn run_build_script(libdir: &Path, out: &Path) -> Output {
    Command::new(env!("DPDK_SYS_BUILD_SCRIPT"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("PKG_CONFIG_PATH")
        .env("PKG_CONFIG_LIBDIR", libdir)
        .env("OUT_DIR", out)
        .env("TARGET", "x86_64-unknown-linux-gnu")
        .env("HOST", "x86_64-unknown-linux-gnu")
        .output()
        .expect("the build script runs")
}

fn assert_says_what_to_install(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let said = said.trim();
    assert!(
        said.starts_with("error: DPDK 21.11 or newer was not found by pkg-config: install it"),
        "{said}"
    );
    for word in [
        "libdpdk-dev",
        "cargo xtask setup",
        "PKG_CONFIG_PATH",
        "libdpdk.pc",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
fn a_missing_dpdk_is_told_in_one_sentence() {
    let (libdir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = run_build_script(libdir.path(), out.path());
    assert_says_what_to_install(&output);
    assert_eq!(
        std::fs::read_dir(out.path()).unwrap().count(),
        0,
        "nothing was built"
    );
}

#[test]
fn a_dpdk_that_is_too_old_is_told_in_the_same_sentence() {
    let (libdir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = "Name: DPDK\nDescription: too old\nVersion: 20.11.6\nLibs: -lrte_eal\nCflags:\n";
    std::fs::write(libdir.path().join("libdpdk.pc"), old).unwrap();
    assert_says_what_to_install(&run_build_script(libdir.path(), out.path()));
}

fn pkg_config(what: &str) -> Vec<String> {
    let output = Command::new("pkg-config")
        .args([what, "libdpdk"])
        .output()
        .expect("pkg-config");
    assert!(output.status.success());
    let flags = String::from_utf8_lossy(&output.stdout);
    flags.split_whitespace().map(str::to_owned).collect()
}

/// The shim as a program that was compiled for x86-64-v3, on a processor that has those instructions or
/// has not.
fn run_on_processor(has_them: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (main, program) = (folder.path().join("main.c"), folder.path().join("program"));
    std::fs::write(&main, "int main(void) { return 0; }\n").unwrap();
    let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(pkg_config("--cflags"))
        .args(["-w", "-DALLOW_EXPERIMENTAL_API", "-DSLUICE_X86_64_V3"])
        .arg(format!(
            "-D__builtin_cpu_supports(feature)={}",
            i32::from(has_them)
        ))
        .arg("-o")
        .arg(&program)
        .arg(&main)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shim.c"))
        .args(pkg_config("--libs"))
        .output()
        .expect("a C compiler");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Command::new(program).output().expect("the program runs")
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_processor_without_avx2_is_told_in_one_sentence() {
    let output = run_on_processor(false);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: this program was built for x86-64-v3 processors"),
        "{said}"
    );
    assert!(said.contains("target-cpu=x86-64-v2"), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_processor_with_avx2_runs_the_program() {
    let output = run_on_processor(true);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said, "");
}
