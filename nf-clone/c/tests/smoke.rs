//! A program in C, compiled against the header, linked with the shared and the static library, and run:
//! client and server over loopback.

use std::path::Path;
use std::process::Command;

use testkit::{Need, cargo_binary};

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
    let library = cargo_binary("libsluice_clone.so");
    let folder = library.parent().and_then(Path::to_str).expect("a folder");
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
    let library = cargo_binary("libsluice_clone.a");
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
