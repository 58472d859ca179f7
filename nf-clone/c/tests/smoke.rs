//! A program in C, compiled against the header, linked with the shared and the static library, and run:
//! client and server over loopback.

use std::path::Path;
use std::process::Command;

use testkit::{Need, cargo_binary};

fn compile_and_run(link: &[&str]) {
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
        .arg(here.join("tests/smoke.c"))
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
    assert!(said.contains("all right"), "{said}");
}

#[test]
fn f11_f12_client_and_server_in_c_with_the_shared_library() {
    testkit::require!(Need::Command("cc"));
    let library = cargo_binary("libsluice_clone.so");
    let folder = library.parent().and_then(Path::to_str).expect("a folder");
    let search = format!("-L{folder}");
    let find = format!("-Wl,-rpath,{folder}");
    compile_and_run(&[&search, "-lsluice_clone", &find]);
}

#[test]
fn f11_f12_client_and_server_in_c_with_the_static_library() {
    testkit::require!(Need::Command("cc"));
    let library = cargo_binary("libsluice_clone.a");
    let library = library.to_str().expect("a path");
    compile_and_run(&[library, "-lpthread", "-ldl", "-lm"]);
}
