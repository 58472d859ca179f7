//! `sluice_clone.h` is what the code says. `SLUICE_BLESS=1` writes it anew.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_up_to_date() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("its settings");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(here.join("src/lib.rs"))
        .generate()
        .expect("a header");
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    let generated = String::from_utf8(generated).expect("UTF-8");
    // The heading that Rust asks for says nothing in C.
    let generated = generated.replace("// # Safety", "// What the caller promises:");
    let file = here.join("sluice_clone.h");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write(&file, &generated).expect("a file to write");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "sluice_clone.h is not what the code says; SLUICE_BLESS=1 cargo test -p sluice-clone --test \
         header writes it anew"
    );
}
