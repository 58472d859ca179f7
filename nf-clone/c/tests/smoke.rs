//! A program in C, compiled against the header, linked with the shared and the static library, and run:
//! client and server over loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::Need;

/// The folder with the libraries as a user builds them: by themselves. Built with the whole workspace they
/// would have what others want of the crates beneath, the appliance's half and DPDK with it.
fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("by-itself");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--package", "sluice-clone"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo");
        assert!(status.success(), "the libraries are built");
        target.join("debug")
    })
}

fn compile_and_run(source: &str, link: &[&str]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("smoke");
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-I",
        ])
        .arg(here)
        .arg(here.join(source))
        .args(link)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("a compiler");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "cc: {said}");
    let output = Command::new(&program).output().expect("the program");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// What to link with, to have the shared library.
fn shared() -> [String; 3] {
    let folder = libraries().to_str().expect("a path");
    [
        format!("-L{folder}"),
        "-lsluice_clone".to_owned(),
        format!("-Wl,-rpath,{folder}"),
    ]
}

#[test]
fn f11_f12_client_and_server_in_c_with_the_shared_library() {
    testkit::require!(Need::Command("cc"));
    let shared = shared();
    let said = compile_and_run("tests/smoke.c", &shared.each_ref().map(String::as_str));
    assert!(said.contains("all right"), "{said}");
}

#[test]
fn f11_f12_client_and_server_in_c_with_the_static_library() {
    testkit::require!(Need::Command("cc"));
    let library = libraries().join("libsluice_clone.a");
    let library = library.to_str().expect("a path");
    let said = compile_and_run("tests/smoke.c", &[library, "-lpthread", "-ldl", "-lm"]);
    assert!(said.contains("all right"), "{said}");
}

#[test]
fn the_example_in_c_works() {
    testkit::require!(Need::Command("cc"));
    let shared = shared();
    let said = compile_and_run("examples/hello.c", &shared.each_ref().map(String::as_str));
    assert!(
        said.starts_with("hello, world from server 0 after "),
        "{said}"
    );
}
