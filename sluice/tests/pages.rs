//! The JSON on the pages is JSON, and the configurations among it pass the check.

use std::fs;
use std::path::{Path, PathBuf};

use nf_core::control::config::Checker;
use serde_json::Value;
use sluice::registry;

fn pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            self::pages(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

fn json_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
}

#[test]
fn configurations_on_the_pages_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut files);
    let registry = registry();
    let mut checked = 0;
    for file in files {
        let page = file.display();
        let text = fs::read_to_string(&file).unwrap();
        for block in json_blocks(&text) {
            let document: Value = serde_json::from_str(block)
                .unwrap_or_else(|error| panic!("{page}: {error} in\n{block}"));
            // A profile of pktgen has ports as well, but nobody behind them.
            if document.pointer("/ports/0/side").is_none() {
                continue;
            }
            let outcome = Checker::new(&registry).check_text(block);
            assert!(
                outcome.problems.is_empty(),
                "{page}:\n{}\n{block}",
                outcome.problems
            );
            checked += 1;
        }
    }
    assert!(checked >= 2, "README.md and docs/config.md have one each");
}
