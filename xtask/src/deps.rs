//! Licences of the dependencies, checked offline against the list in `deny.toml`, so that the check
//! also runs where cargo-deny is not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};

use crate::run::{cargo, output, root};

/// Fails on every dependency whose licence is not allowed.
pub fn check_licences() -> Result<()> {
    let file = root().join("deny.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let allowed = allowed(&text).context("deny.toml: no `allow = [...]` in its [licenses]")?;
    let exceptions = exceptions(&text);
    let tree = output(cargo().args([
        "tree",
        "--workspace",
        "--locked",
        "--target=all",
        "--edges=normal,build,dev",
        "--prefix=none",
        "--format={p}\t{l}",
    ]))?;
    let mut licences = BTreeMap::new();
    for line in tree.lines() {
        let (package, licence) = line.split_once('\t').unwrap_or((line, ""));
        // A package of this workspace stands there with its folder.
        if !package.is_empty() && !package.contains("(/") {
            let package = package
                .trim_end_matches(" (*)")
                .trim_end_matches(" (proc-macro)");
            licences.insert(package, licence.trim_end_matches(" (*)"));
        }
    }
    let refused: Vec<String> = licences
        .iter()
        .filter(|(package, licence)| {
            let name = package.split(' ').next().unwrap_or(package);
            let exception = exceptions.get(name);
            !satisfies(licence, &allowed) && !exception.is_some_and(|list| satisfies(licence, list))
        })
        .map(|(package, licence)| format!("{package}: `{licence}`"))
        .collect();
    if !refused.is_empty() {
        bail!(
            "licences that deny.toml does not allow:\n  {}\nallowed are: {}",
            refused.join("\n  "),
            allowed
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    eprintln!(
        "{} dependencies, all under licences that deny.toml allows",
        licences.len()
    );
    Ok(())
}

/// The strings in `allow = [...]` of the section `[licenses]`.
fn allowed(deny: &str) -> Option<BTreeSet<String>> {
    let section = deny.split("[licenses]").nth(1)?;
    let section = section.split("\n[").next()?;
    let list = section.split_once("allow = [")?.1.split_once(']')?.0;
    let entries = list.lines().flat_map(|line| {
        let line = line.split('#').next().unwrap_or("");
        line.split(',')
            .map(|entry| entry.trim().trim_matches('"').to_owned())
            .filter(|entry| !entry.is_empty())
            .collect::<Vec<_>>()
    });
    Some(entries.collect())
}

/// The licences allowed for one crate each: `exceptions = [{ allow = ["X"], crate = "Y" }, ...]` in the
/// section `[licenses]`, one a line.
fn exceptions(deny: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = deny.split("[licenses]").nth(1).unwrap_or("");
    let section = section.split("\n[").next().unwrap_or("");
    let between = |line: &str, before: &str, after: char| -> Option<String> {
        let (text, _) = line.split_once(before)?.1.split_once(after)?;
        Some(text.to_owned())
    };
    let entries = section.lines().filter_map(|line| {
        let list = between(line, "{ allow = [", ']')?;
        let name = between(line, "crate = \"", '"')?;
        let licences = list
            .split(',')
            .map(|one| one.trim().trim_matches('"').to_owned());
        Some((name, licences.collect()))
    });
    entries.collect()
}

/// Whether an SPDX expression can be met with the allowed licences. `/`, as old packages write it,
/// means OR.
fn satisfies(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let result = any_of(&tokens, &mut position, allowed);
    result.unwrap_or(false) && position == tokens.len()
}

fn any_of(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut result = all_of(tokens, position, allowed)?;
    while tokens.get(*position) == Some(&"OR") {
        *position += 1;
        result |= all_of(tokens, position, allowed)?;
    }
    Some(result)
}

fn all_of(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut result = single(tokens, position, allowed)?;
    while tokens.get(*position) == Some(&"AND") {
        *position += 1;
        result &= single(tokens, position, allowed)?;
    }
    Some(result)
}

fn single(tokens: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> Option<bool> {
    let token = *tokens.get(*position)?;
    *position += 1;
    if token == "(" {
        let result = any_of(tokens, position, allowed)?;
        (tokens.get(*position) == Some(&")")).then_some(())?;
        *position += 1;
        return Some(result);
    }
    let mut name = token.to_owned();
    if tokens.get(*position) == Some(&"WITH") {
        name = format!("{token} WITH {}", tokens.get(*position + 1)?);
        *position += 2;
    }
    // An exception only adds permissions.
    Some(allowed.contains(&name) || allowed.contains(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "BSD-3-Clause"]
            .map(str::to_owned)
            .into();
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "(MIT OR GPL-3.0) AND BSD-3-Clause",
        ] {
            assert!(satisfies(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT MIT",
            "MIT OR",
        ] {
            assert!(!satisfies(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn exceptions_are_for_one_crate() {
        let text = "[licenses]\nallow = [\"MIT\"]\nexceptions = [\n  \
            { allow = [\"MPL-2.0\", \"ISC\"], crate = \"a\" },\n]\n[sources]\n";
        let expected: BTreeSet<String> = ["ISC", "MPL-2.0"].map(str::to_owned).into();
        assert_eq!(
            exceptions(text),
            BTreeMap::from([("a".to_owned(), expected)])
        );
        assert!(exceptions("[bans]\n").is_empty());
    }

    #[test]
    fn the_list_is_read_from_deny_toml() {
        let text =
            "[bans]\nx = 1\n[licenses]\nallow = [\n  \"MIT\", # plain\n  \"ISC\",\n]\n[sources]\n";
        let expected: BTreeSet<String> = ["ISC", "MIT"].map(str::to_owned).into();
        assert_eq!(allowed(text), Some(expected));
        assert_eq!(allowed("[bans]\n"), None);
        let ours = fs::read_to_string(root().join("deny.toml")).unwrap_or_default();
        assert!(allowed(&ours).is_some_and(|list| list.contains("MIT")));
    }
}
