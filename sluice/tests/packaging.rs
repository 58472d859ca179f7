//! The systemd unit is one that systemd takes, and asks for no more than the page on security says.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Need, require};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn unit() -> String {
    std::fs::read_to_string(root().join("packaging/sluice@.service")).unwrap()
}

#[test]
fn systemd_takes_the_unit() {
    require!(Need::Command("systemd-analyze"));
    let folder = tempfile::tempdir().unwrap();
    // The program is not installed where the unit expects it, nor is its manual page.
    let text = unit()
        .replace(
            "/usr/bin/sluice",
            &testkit::cargo_binary("sluice").display().to_string(),
        )
        .replace("Documentation=man:sluice(1)\n", "");
    let file = folder.path().join("sluice@edge.service");
    std::fs::write(&file, &text).unwrap();
    std::fs::write(folder.path().join("sluice@.service"), &text).unwrap();
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("sluice@"),
        "{said}"
    );
}

#[test]
fn the_unit_and_the_page_name_the_same_capabilities() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let unit = unit();
    let line = |key: &str| {
        unit.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap()
    };
    let granted = line("AmbientCapabilities");
    assert_eq!(
        granted,
        line("CapabilityBoundingSet"),
        "what is not granted cannot be had"
    );
    for capability in granted.split(' ') {
        assert!(
            page.contains(capability),
            "{capability} is not in docs/security.md"
        );
    }
    assert!(!granted.contains("CAP_SYS_ADMIN"));
    assert_eq!(line("NoNewPrivileges"), "yes");
}
