//! What docs/nf-sim.md and the scenarios say is so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nf_core::check::Problems;
use nf_core::dpdk::HugepagePolicy;
use nf_sim::figures::FIGURES;
use nf_sim::kinds::Kinds;
use nf_sim::scenario::{Scenario, check};
use nf_sim::start_eal;
use nf_sim::world::World;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nf-sim.md");
    std::fs::read_to_string(path).unwrap()
}

fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let kinds = Kinds::all();
    let read = |path: PathBuf| {
        let mut problems = Problems::new();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = check::read(&text, &kinds, &mut problems);
        (path, scenario.unwrap_or_else(|| panic!("{problems}")))
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn the_page_has_every_figure_program_and_scenario() {
    let page = page();
    for figure in FIGURES {
        assert!(
            page.contains(&format!("`{}`", figure.name)),
            "{}",
            figure.name
        );
    }
    for kind in Kinds::all().programs.iter() {
        assert!(
            page.contains(&format!("`{}`", kind.name())),
            "{}",
            kind.name()
        );
    }
    let schema = Scenario::schema().to_value();
    let keys = schema["properties"].as_object().unwrap();
    for key in keys.keys().filter(|key| !key.starts_with('$')) {
        assert!(page.contains(&format!("`{key}`")), "{key}");
    }
    assert!(page.contains("nf-sim/scenarios/netclone-crash.json"));
}

#[test]
fn completions_and_manual_are_printed() {
    let nf_sim = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_nf-sim");
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (args, expected) in [
        (&["completions", "bash"][..], "_nf__sim"),
        (&["completions", "zsh"], "#compdef nf-sim"),
        (&["man"], ".TH nf-sim"),
    ] {
        let text = nf_sim(args);
        assert!(text.contains(expected), "{args:?}: {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    nf_sim(&["man", "--dir", folder.path().to_str().unwrap()]);
    for page in ["nf-sim.1", "nf-sim-figure.1", "nf-sim-explore.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}

#[test]
fn every_scenario_runs_and_nothing_is_lost_for_ever() {
    let eal = start_eal(256, HugepagePolicy::Off).unwrap();
    let kinds = Arc::new(Kinds::all());
    for (path, scenario) in scenarios() {
        let mut world = World::new(scenario, &kinds, eal).unwrap();
        world.run();
        let outcome = world.finish();
        assert_eq!(outcome.violations, [""; 0], "{}", path.display());
        for result in outcome.results("client") {
            let answered = result["received"]
                .as_u64()
                .or(result["counts"]["completed"].as_u64());
            assert!(answered > Some(9_000), "{}: {result}", path.display());
            assert_eq!(
                result["lost"].as_u64().unwrap_or(0),
                0,
                "{}",
                path.display()
            );
        }
    }
}
