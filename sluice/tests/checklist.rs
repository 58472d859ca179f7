//! Every item of a checklist has a test that is named after it, but for those that its page says are open,
//! and the table on the page names tests that there are. `SLUICE_BLESS=1` writes the tables anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A page's checklist.
struct Checklist {
    page: &'static str,
    items: &'static [(&'static str, &'static str)],
    /// Items that have no test yet.
    open: &'static [&'static str],
}

const CHECKLISTS: &[Checklist] = &[
    Checklist {
        page: "docs/nf-clone.md",
        items: CLONE,
        open: &[],
    },
    Checklist {
        page: "docs/scheduler.md",
        items: SCHEDULER,
        open: OPEN_OF_SCHEDULER,
    },
];

const BEGIN: &str =
    "<!-- SLUICE_BLESS=1 cargo test -p sluice --test checklist writes this table -->\n";
const END: &str = "<!-- end of the table -->\n";

/// The clone function: features, failures to survive, input to refuse.
const CLONE: &[(&str, &str)] = &[
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

/// The scheduler: what iPipe has, and of E3 what a chain of stages can use.
const SCHEDULER: &[(&str, &str)] = &[
    ("IP01", "actors with handlers for typed messages"),
    (
        "IP02",
        "bounded mailboxes, first in first out for each sender; full is counted",
    ),
    (
        "IP03",
        "an exclusive actor is never on two cores, nobody spins, nothing is forgotten",
    ),
    ("IP04", "an actor of several cores runs on several"),
    (
        "IP05",
        "the order of keys under stealing, regrouping and migration",
    ),
    ("IP06", "messages for an earlier generation reach nobody"),
    ("IP07", "dispatch by flow; transit passes untouched"),
    ("IP08", "every call for objects, with its errors"),
    ("IP09", "service and sojourn measured apart"),
    ("IP10", "means and variances match their definition"),
    ("IP11", "arrival includes the wait in the receive ring"),
    (
        "IP12",
        "the tail is that of the first come, first served group alone",
    ),
    (
        "IP13",
        "calibration gives thresholds and quanta, stored and shown",
    ),
    (
        "IP14",
        "downgrade at the tail's threshold, of the actor that stands out",
    ),
    ("IP15", "no downgrade of one among equals"),
    (
        "IP16",
        "upgrade below the threshold, of the one that stands out least",
    ),
    ("IP17", "nothing moves between the thresholds"),
    ("IP18", "hold-off and cool-down"),
    ("IP19", "shares of time are those of the quanta"),
    ("IP20", "deficits fall, are capped, and lapse"),
    ("IP21", "an expensive actor waits its rounds"),
    ("IP22", "one queue of runnable actors, one token each"),
    ("IP23", "an upgrade with messages waiting keeps order"),
    (
        "IP24",
        "the first downgrade makes a core, the last upgrade gives it back",
    ),
    ("IP25", "cores change groups at the exact limits"),
    ("IP26", "the last core and core 0 stay"),
    ("IP27", "one packet core does both in turn"),
    (
        "IP28",
        "push by the mean, the heaviest first, pinned ones never",
    ),
    ("IP29", "push by the mailbox"),
    ("IP30", "pull with headroom only, the lightest first"),
    ("IP31", "one migration at a time"),
    (
        "IP32",
        "a migration goes through four phases, which are seen",
    ),
    (
        "IP33",
        "nothing lost, doubled or reordered over thousands of migrations under load",
    ),
    ("IP34", "before the commit point everything rolls back"),
    ("IP35", "too much held back is counted"),
    ("IP36", "objects have one live copy, and keep their ids"),
    ("IP37", "another actor's objects are refused and counted"),
    ("IP38", "skip list, map, vector and log survive migration"),
    ("IP39", "one object goes to another actor"),
    ("IP40", "by handoff and by copy"),
    ("IP41", "byte rings: every edge of them"),
    ("IP42", "workers sleep without work, and wake"),
    ("IP43", "workers report their load"),
    (
        "IP44",
        "a handler that runs for ever is ended, and the rest goes on",
    ),
    ("IP45", "a handler that panics is contained"),
    ("IP46", "a lost core's queues are taken over"),
    ("IP47", "memory beyond the quota is refused"),
    ("IP48", "quota of packets, leaks found"),
    ("IP49", "actors in a process of their own"),
    ("IP50", "shuffle with stealing, or a dispatcher"),
    ("IP51", "what is behind a long message is stolen"),
    ("IP52", "the groups help each other, as far as they may"),
    (
        "IP53",
        "an exclusive actor that fills a core raises an alarm",
    ),
    ("IP54", "fragmentation, checksums, encapsulation"),
    (
        "IP55",
        "replicated store, transactions and analytics, with forced migrations",
    ),
    ("IP56", "firewall and IPsec"),
    ("IP57", "the ten tasks of the micro-benchmarks"),
    (
        "IP58",
        "metrics, and an event for every decision with what led to it",
    ),
    ("IP59", "generic over clock and queues"),
    ("IP60", "the published comparison again, in simulation"),
    ("IP61", "every parameter changes while it runs"),
    ("IP62", "transit keeps its share of the receive bursts"),
    ("IP63", "inline stages are timed one by one"),
    ("IP64", "the calibration command"),
    (
        "IP65",
        "clocks of cores are compared before their stamps are",
    ),
    (
        "IP66",
        "workers' results leave through packet cores, or directly",
    ),
    (
        "IP67",
        "a message to an actor of the first group needs no round-robin core",
    ),
    ("E01", "chains as graphs: acyclic, every target there"),
    ("E02", "several chains at once"),
    ("E03", "back-pressure between stages"),
    ("E04", "placement by levels, with reservations"),
    ("E05", "placement printed, and overridden by pins"),
    ("E06", "the 20 % rule, three samples in a row"),
    ("E07", "starved transit traffic is found and helped"),
    ("E08", "a full port is not starvation"),
    ("E09", "one migrator, with priorities"),
    ("E10", "replicas of one appliance are refused"),
    ("E12", "energy, where the machine tells"),
    ("E13", "idle workers sleep; how long they take to wake"),
    ("E14", "a port fails, the others go on"),
    ("E15", "inline, queue or ring, by where the next stage is"),
];

/// What has no test yet.
const OPEN_OF_SCHEDULER: &[&str] = &[
    "IP13", "IP46", "IP49", "IP56", "IP57", "IP59", "IP62", "IP64", "IP65", "IP66", "E01", "E02",
    "E03", "E04", "E05", "E10", "E12", "E13", "E14", "E15",
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

/// The items that a test is named after, as `f05_f08_...` and `ip33_...` are; and the rest of its name.
fn items(mut name: &str) -> (Vec<String>, &str) {
    let mut items = Vec::new();
    while let Some((item, rest)) = name.split_once('_') {
        let digits = item.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let letters = item.strip_suffix(digits).unwrap_or_default();
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || !["f", "x", "b", "ip", "e"].contains(&letters) {
            break;
        }
        items.push(item.to_ascii_uppercase());
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

fn table(list: &Checklist) -> String {
    let tests = tests();
    let mut text = String::from("\n| | what | tests |\n|---|---|---|\n");
    for (item, what) in list.items {
        let mut by_file: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, file) in tests.get(*item).into_iter().flatten() {
            by_file.entry(file).or_default().push(format!("`{name}`"));
        }
        let places: Vec<String> = by_file
            .iter()
            .map(|(file, names)| format!("{file}: {}", names.join(" ")))
            .collect();
        let places = match places.is_empty() {
            true => "open".to_owned(),
            false => places.join("<br>"),
        };
        writeln!(text, "| {item} | {what} | {places} |").unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn every_item_has_a_test_that_is_named_after_it() {
    let tests = tests();
    for list in CHECKLISTS {
        let missing: Vec<&str> = list
            .items
            .iter()
            .map(|(item, _)| *item)
            .filter(|item| !tests.contains_key(*item))
            .collect();
        assert_eq!(
            missing, list.open,
            "{}: no test is named after these",
            list.page
        );
    }
    let all = CHECKLISTS.iter().flat_map(|list| list.items);
    let known: BTreeSet<&str> = all.map(|(item, _)| *item).collect();
    let unknown: Vec<&String> = tests
        .keys()
        .filter(|item| !known.contains(item.as_str()))
        .collect();
    assert!(unknown.is_empty(), "tests of no item: {unknown:?}");
}

#[test]
fn the_table_names_tests_that_there_are() {
    for list in CHECKLISTS {
        let path = root().join(list.page);
        let mut page = fs::read_to_string(&path).unwrap();
        if std::env::var_os("SLUICE_BLESS").is_some() {
            let (head, rest) = page.split_once(BEGIN).unwrap();
            let (_, tail) = rest.split_once(END).unwrap();
            page = format!("{head}{BEGIN}{}{END}{tail}", table(list));
            fs::write(&path, &page).unwrap();
        }
        names_tests_that_there_are(list, &page);
    }
}

fn names_tests_that_there_are(list: &Checklist, page: &str) {
    let (_, rest) = page.split_once(BEGIN).expect("the table's first line");
    let (there, _) = rest.split_once(END).expect("the table's last line");
    let tests = tests();
    for (item, _) in list.items {
        let start = format!("| {item} |");
        let row = there.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("{} has no row {item}", list.page));
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let is_open = list.open.contains(item);
        assert_eq!(named.is_empty(), is_open, "{}: tests of {item}", list.page);
        for name in named {
            let known = tests.get(*item).into_iter().flatten();
            assert!(
                known.into_iter().any(|(test, _)| test == name),
                "{}: {item} has no test {name}; SLUICE_BLESS=1 cargo test -p sluice --test checklist \
                 writes the table anew",
                list.page
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
    assert_eq!(
        items("ip33_e06_a"),
        (vec!["IP33".into(), "E06".into()], "a")
    );
    assert_eq!(items("b1_a"), (vec![], "b1_a"));
    assert_eq!(items("frame"), (vec![], "frame"));
}
