//! Every item of the clone function's checklist has a test that is named after it, and the table on its page
//! names tests that there are. `SLUICE_BLESS=1` writes the table anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/nf-clone.md";
const BEGIN: &str =
    "<!-- SLUICE_BLESS=1 cargo test -p sluice --test checklist writes this table -->\n";
const END: &str = "<!-- end of the table -->\n";

/// The items: features, failures to survive, input to refuse.
const ITEMS: &[(&str, &str)] = &[
    ("F01", "format v1 encoded and decoded, to the byte"),
    (
        "F02",
        "other traffic goes on bit for bit, but for TTL, MAC addresses and the IP checksum",
    ),
    (
        "F03",
        "groups: all ordered pairs, balanced, for 2 to 256 servers",
    ),
    (
        "F04",
        "cloned if and only if both candidates are idle and live, and nobody forbids it",
    ),
    (
        "F05",
        "the original to the first with CLO 1, the clone to the second with CLO 2, the same id and bytes",
    ),
    ("F06", "ids not 0, and unique over cores and starts"),
    (
        "F07",
        "every valid answer says how long its server's queue is",
    ),
    ("F08", "exactly one of two answers reaches the client"),
    ("F09", "a slot taken by another request: no answer lost"),
    ("F10", "filter tables are independent"),
    ("F11", "servers: what they echo, report, and drop"),
    (
        "F12",
        "clients: random groups and tables, duplicates, timeouts, retransmission",
    ),
    ("F13", "shortest queue: all combinations"),
    ("F14", "writes, and what forbids it, are never cloned"),
    ("F15", "several appliances: one acts"),
    ("F16", "requests of several packets"),
    (
        "F17",
        "answers of several packets, filtered by packet or by winner",
    ),
    ("F18", "a TCP connection keeps its server"),
    ("F19", "checksums of all that is rewritten"),
    (
        "F20",
        "long packets, and packets of several segments, are cloned",
    ),
    (
        "F21",
        "servers, policy and VIPs change under traffic without loss",
    ),
    (
        "F22",
        "failures found, groups remapped, servers restored and drained",
    ),
    ("F23", "answers that arrive on different cores"),
    ("F24", "counters, their sums, the table of servers"),
    ("F25", "the schemes to compare with"),
    ("F26", "emulated servers: workers, distributions, jitter"),
    ("F27", "the same stage in simulated time"),
    ("F28", "the 28-byte header of the public prototype"),
    (
        "F29",
        "ARP and neighbor discovery for the VIP and servers; the self-test",
    ),
    ("F30", "beside other functions in a chain"),
    ("X01", "requests and answers lost"),
    ("X02", "answers repeated, reordered, a second late"),
    ("X03", "servers that drop clones, millions of times"),
    ("X04", "no packet buffers left"),
    ("X05", "a link down, a queue full"),
    ("X06", "servers killed, hung, slow, flapping"),
    ("X07", "all servers but one dead; all; all back"),
    ("X08", "the appliance killed and started again"),
    ("X09", "a clean restart, a reload, another filter"),
    ("X10", "whoever controls the appliance dies"),
    ("X11", "servers change their MAC address"),
    ("X12", "the last ids of an epoch"),
    ("X13", "clocks that jump"),
    ("X14", "a core that stalls"),
    ("X15", "a storm of clones"),
    ("X16", "two appliances with one number"),
    ("B01", "lengths that contradict each other"),
    ("B02", "wrong magic number, version, header length"),
    ("B03", "wrong types, or from the wrong side"),
    ("B04", "groups that are not there"),
    ("B05", "filter tables that are not there"),
    ("B06", "servers that are not there, or not who they say"),
    ("B07", "requests that say they are clones"),
    ("B08", "ids that nobody gave"),
    ("B09", "requests that come again"),
    ("B10", "impossible packet numbers"),
    ("B11", "absurd queue lengths"),
    (
        "B12",
        "fragments, extension headers, TTL 0, groups, the VIP as source",
    ),
    ("B13", "wrong checksums"),
    ("B14", "the service's port as source of a request"),
    ("B15", "wrong settings"),
    ("B16", "floods of messages of several packets"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                rust_files(&path, files);
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// The items that a test is named after, as `f05_f08_...` is; and the rest of its name.
fn items(mut name: &str) -> (Vec<String>, &str) {
    let mut items = Vec::new();
    while let Some((item, rest)) = name.split_once('_')
        && let [letter @ (b'f' | b'x' | b'b'), b'0'..=b'9', b'0'..=b'9'] = item.as_bytes()
    {
        items.push(format!(
            "{}{}",
            letter.to_ascii_uppercase() as char,
            &item[1..]
        ));
        name = rest;
    }
    (items, name)
}

/// The tests of each item: their whole names, and where they are.
fn tests() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let root = root();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut tests: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(&root).unwrap().display().to_string();
        for line in text.lines() {
            let line = line.trim_start();
            let Some(rest) = line.strip_prefix("fn ").or(line.strip_prefix("async fn ")) else {
                continue;
            };
            let name = rest.split('(').next().unwrap_or_default();
            for item in items(name).0 {
                let test = (name.to_owned(), place.clone());
                tests.entry(item).or_default().insert(test);
            }
        }
    }
    tests
}

fn table() -> String {
    let tests = tests();
    let mut text = String::from("\n| | what | tests |\n|---|---|---|\n");
    for (item, what) in ITEMS {
        let mut by_file: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, file) in tests.get(*item).into_iter().flatten() {
            by_file.entry(file).or_default().push(format!("`{name}`"));
        }
        let places: Vec<String> = by_file
            .iter()
            .map(|(file, names)| format!("{file}: {}", names.join(" ")))
            .collect();
        writeln!(text, "| {item} | {what} | {} |", places.join("<br>")).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn every_item_has_a_test_that_is_named_after_it() {
    let tests = tests();
    let missing: Vec<&str> = ITEMS
        .iter()
        .map(|(item, _)| *item)
        .filter(|item| !tests.contains_key(*item))
        .collect();
    assert!(missing.is_empty(), "no test is named after {missing:?}");
    let known: BTreeSet<&str> = ITEMS.iter().map(|(item, _)| *item).collect();
    let unknown: Vec<&String> = tests
        .keys()
        .filter(|item| !known.contains(item.as_str()))
        .collect();
    assert!(unknown.is_empty(), "tests of no item: {unknown:?}");
}

#[test]
fn the_table_names_tests_that_there_are() {
    let path = root().join(PAGE);
    let mut page = fs::read_to_string(&path).unwrap();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        page = format!("{head}{BEGIN}{}{END}{tail}", table());
        fs::write(&path, &page).unwrap();
    }
    let (_, rest) = page.split_once(BEGIN).expect("the table's first line");
    let (there, _) = rest.split_once(END).expect("the table's last line");
    let tests = tests();
    for (item, _) in ITEMS {
        let start = format!("| {item} |");
        let row = there.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("{PAGE} has no row {item}"));
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{PAGE} names no test of {item}");
        for name in named {
            let known = tests.get(*item).into_iter().flatten();
            assert!(
                known.into_iter().any(|(test, _)| test == name),
                "{PAGE}: {item} has no test {name}; SLUICE_BLESS=1 cargo test -p sluice --test checklist \
                 writes the table anew"
            );
        }
    }
}

#[test]
fn names_are_read() {
    assert_eq!(
        items("f05_x16_a_test"),
        (vec!["F05".into(), "X16".into()], "a_test")
    );
    assert_eq!(items("b1_a"), (vec![], "b1_a"));
    assert_eq!(items("frame"), (vec![], "frame"));
}
