//! What the pages for people promise: links that lead somewhere, an index that has every page,
//! commands that a newcomer finds in the README, and code that is what is compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// What the README has to name.
const COMMANDS: &[&str] = &[
    "cargo xtask demo",
    "cargo xtask test",
    "cargo xtask bench",
    "cargo xtask soak",
    "cargo xtask lint",
    "sluice check",
    "sluice run",
    "sluice top",
    "sluice ctl",
    "sluice schema",
    "pktgen run",
    "pktgen echo",
    "pktgen rfc2544",
];

/// Pages whose code in a language is that of files: page, language, files.
const QUOTING: &[(&str, &str, &[&str])] = &[
    (
        "docs/writing-a-stage.md",
        "rust",
        &[
            "examples/stage-limit/src/lib.rs",
            "examples/stage-limit/tests/limit.rs",
        ],
    ),
    (
        "docs/netclone-wire.md",
        "rust",
        &[
            "nf-clone/examples/clone_server.rs",
            "nf-clone/examples/clone_client.rs",
        ],
    ),
    (
        "docs/netclone-wire.md",
        "c",
        &["nf-clone/c/examples/hello.c"],
    ),
];

/// Checks all pages of the repository.
pub fn check() -> Result<()> {
    let problems = problems(&root())?;
    if !problems.is_empty() {
        bail!("{} problems:\n  {}", problems.len(), problems.join("\n  "));
    }
    Ok(())
}

fn problems(root: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "md") {
            pages.push(path);
        }
    }
    markdown_files(&root.join("docs"), &mut pages)?;
    pages.sort();
    let mut problems = Vec::new();
    let mut indexed = BTreeSet::new();
    for page in &pages {
        let text = read(page)?;
        let name = page.strip_prefix(root).unwrap_or(page).display();
        for link in links(&text) {
            match target_of(page, &link) {
                Target::Elsewhere => {}
                Target::File(file, anchor) => {
                    if !file.exists() {
                        problems.push(format!("{name}: {link} leads nowhere"));
                    } else if let Some(anchor) = anchor
                        && !headings(&read(&file)?).contains(&anchor)
                    {
                        problems.push(format!("{name}: {link}: there is no such heading"));
                    }
                    if page.ends_with("docs/README.md") {
                        indexed.insert(fs::canonicalize(&file).unwrap_or(file));
                    }
                }
            }
        }
    }
    for page in pages
        .iter()
        .filter(|page| page.starts_with(root.join("docs")))
    {
        // A folder with a README of its own, which the index names, needs no entry for each page.
        let is_named = |page: &Path| fs::canonicalize(page).is_ok_and(|p| indexed.contains(&p));
        if !page.ends_with("docs/README.md")
            && !is_named(page)
            && !is_named(&page.with_file_name("README.md"))
        {
            let name = page.strip_prefix(root).unwrap_or(page).display();
            problems.push(format!("docs/README.md does not name {name}"));
        }
    }
    let readme = read(&root.join("README.md"))?;
    for command in COMMANDS {
        if !readme.contains(command) {
            problems.push(format!("README.md does not name `{command}`"));
        }
    }
    for (page, language, files) in QUOTING {
        let sources: Vec<String> = files
            .iter()
            .map(|file| read(&root.join(file)))
            .collect::<Result<_>>()?;
        for block in blocks(&read(&root.join(page))?, language) {
            if !sources.iter().any(|source| source.contains(&block)) {
                let first = block.lines().next().unwrap_or_default();
                problems.push(format!(
                    "{page}: the code that begins with `{first}` is not in {}",
                    files.join(" or ")
                ));
            }
        }
    }
    Ok(problems)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn markdown_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            markdown_files(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "md") {
            files.push(path);
        }
    }
    Ok(())
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The targets of `[text](target)` and `![text](target)`.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        // Code in a line may look like a link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for (at, _) in plain.match_indices("](") {
            let rest = &plain[at + 2..];
            if let Some(end) = rest.find(')') {
                links.push(rest[..end].to_owned());
            }
        }
    }
    links
}

/// Where a link leads.
enum Target {
    /// To another site; not looked at.
    Elsewhere,
    /// To a file of the repository, perhaps to a heading of it.
    File(PathBuf, Option<String>),
}

fn target_of(page: &Path, link: &str) -> Target {
    if link.contains("://") || link.starts_with("mailto:") {
        return Target::Elsewhere;
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (link, None),
    };
    let file = match path {
        "" => page.to_owned(),
        path => page.parent().unwrap_or(Path::new(".")).join(path),
    };
    Target::File(file, anchor)
}

/// The anchors of a page's headings, as hosting sites make them.
fn headings(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| {
                    if c == ' ' {
                        '-'
                    } else {
                        c.to_ascii_lowercase()
                    }
                })
                .collect()
        })
        .collect()
}

/// The code blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match &mut block {
            None if line == format!("```{language}") => block = Some(String::new()),
            None => {}
            Some(code) if line == "```" => {
                blocks.push(std::mem::take(code));
                block = None;
            }
            Some(code) => {
                code.push_str(line);
                code.push('\n');
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_keep_their_promises() {
        let problems = problems(&root()).expect("the pages can be read");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn links_are_found_where_they_are_links() {
        let text = "a [b](c.md) ![d](e.svg#f)\n```\n[no](no.md)\n```\nand `[no](no.md)` [g](#h)\n";
        assert_eq!(links(text), ["c.md", "e.svg#f", "#h"]);
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# A `b` C-d!\n```\n# not one\n```\n## E, f\n";
        let anchors = headings(text);
        assert!(anchors.contains("a-b-c-d") && anchors.contains("e-f") && anchors.len() == 2);
    }

    #[test]
    fn code_blocks_are_taken_whole() {
        let text = "```rust\nfn a() {}\n\n    b\n```\n```json\n{}\n```\n";
        assert_eq!(blocks(text, "rust"), ["fn a() {}\n\n    b\n"]);
    }

    #[test]
    fn a_broken_link_a_forgotten_page_and_foreign_code_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        write("README.md", &COMMANDS[1..].join("\n"));
        write(
            "docs/README.md",
            "[a](a.md) [stage](writing-a-stage.md) [x](x.md) [y](a.md#no) [n](named/README.md) \
             [w](netclone-wire.md)",
        );
        write(
            "docs/a.md",
            "# A\n[up](../README.md) [site](https://example.org/x)",
        );
        write("docs/deep/forgotten.md", "");
        write("docs/named/README.md", "");
        write("docs/named/page.md", "");
        write(
            "docs/writing-a-stage.md",
            "```rust\nfn a() {}\n```\n```rust\nfn b() {}\n```\n",
        );
        write("examples/stage-limit/src/lib.rs", "fn a() {}\n");
        write("examples/stage-limit/tests/limit.rs", "");
        write(
            "docs/netclone-wire.md",
            "```c\nint a(void);\n```\n```c\nint b(void);\n```\n",
        );
        write("nf-clone/c/examples/hello.c", "int a(void);\n");
        write("nf-clone/examples/clone_server.rs", "int b(void);\n");
        write("nf-clone/examples/clone_client.rs", "");
        let problems = problems(folder.path()).expect("readable");
        assert_eq!(
            problems,
            [
                "docs/README.md: x.md leads nowhere",
                "docs/README.md: a.md#no: there is no such heading",
                "docs/README.md does not name docs/deep/forgotten.md",
                "README.md does not name `cargo xtask demo`",
                "docs/writing-a-stage.md: the code that begins with `fn b() {}` is not in \
                 examples/stage-limit/src/lib.rs or examples/stage-limit/tests/limit.rs",
                "docs/netclone-wire.md: the code that begins with `int b(void);` is not in \
                 nf-clone/c/examples/hello.c",
            ]
        );
    }
}
