//! Replays every file of `tests/wrong_configs`: a configuration with a mistake, and the exact text
//! that a user reads about it.
//!
//! A case has a `config` (JSON) or a `text` (lines of a file, with positions in the messages), the
//! `machine` it is checked for (left out: an ordinary one; null: an unknown one), and `expect`: one
//! list of lines for each problem. `SLUICE_BLESS=1` writes what is told now into the files; read
//! the difference before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use nf_core::chain::{BuildContext, BuildError, StageControl, StageRegistry, StageType};
use nf_core::check::{CheckContext, HugepagePool, JsonPath, Machine, Problems};
use nf_core::control::config::Checker;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// A stage like any other, with settings of its own.
struct Filter;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // read for the mistakes only
struct FilterConfig {
    #[serde(default)]
    #[schemars(length(max = 4))]
    rules: Vec<FilterRule>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct FilterRule {
    #[schemars(extend("format" = "prefix"))]
    from: String,
    action: FilterAction,
    #[serde(default)]
    port: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FilterAction {
    Allow,
    Deny,
}

impl StageType for Filter {
    const NAME: &'static str = "filter";
    const SUMMARY: &'static str = "allows and denies";
    type Settings = FilterConfig;

    fn build(_: FilterConfig, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Err(BuildError("this stage is only checked".to_owned()))
    }

    fn check(config: &FilterConfig, path: &JsonPath, cx: &CheckContext, problems: &mut Problems) {
        for (index, rule) in config.rules.iter().enumerate() {
            if let Some(port) = rule.port.as_ref().filter(|port| cx.port(port).is_none()) {
                problems
                    .error(
                        &path.key("rules").index(index).key("port"),
                        "no port has this name",
                    )
                    .found(format_args!("{port:?}"));
            }
        }
    }
}

/// Sends packets by their address, so that ports need no peers.
struct Route;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteConfig {}

impl StageType for Route {
    const NAME: &'static str = "route";
    const SUMMARY: &'static str = "finds the way";
    type Settings = RouteConfig;

    fn build(_: RouteConfig, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Err(BuildError("this stage is only checked".to_owned()))
    }
}

/// Four processors, 2 GiB of huge pages, root.
fn ordinary() -> Machine {
    Machine {
        cpus: (0..4).collect(),
        hugepages: vec![HugepagePool {
            page_kib: 2048,
            total: 1024,
            free: 1024,
        }],
        hugetlbfs_mounted: true,
        is_root: true,
        capabilities: u64::MAX,
        interfaces: ["lo", "eth0", "veth-clients"].map(str::to_owned).into(),
        pci: ["0000:01:00.0", "0000:01:00.1"].map(str::to_owned).into(),
    }
}

fn machine(case: &Value) -> Option<Machine> {
    let mut machine = ordinary();
    match case.get("machine") {
        None => {}
        Some(Value::Null) => return None,
        Some(facts) => {
            for (key, value) in facts.as_object().expect("machine is an object") {
                let number = |value: &Value| value.as_u64().expect("a number");
                let items = || value.as_array().expect("a list").iter();
                match key.as_str() {
                    "cpus" => machine.cpus = items().map(|v| number(v) as usize).collect(),
                    "free_pages" => machine.hugepages[0].free = number(value),
                    "pages" if number(value) == 0 => machine.hugepages.clear(),
                    "hugetlbfs" => machine.hugetlbfs_mounted = value == &json!(true),
                    "root" => {
                        machine.is_root = value == &json!(true);
                        machine.capabilities = 0;
                    }
                    "interfaces" => {
                        machine.interfaces = items()
                            .map(|v| v.as_str().expect("a string").to_owned())
                            .collect::<BTreeSet<_>>();
                    }
                    other => panic!("unknown fact {other}"),
                }
            }
        }
    }
    Some(machine)
}

#[test]
fn wrong_configs_are_told_in_these_words() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wrong_configs");
    let mut stages = StageRegistry::new();
    stages.add(Filter).add(Route);
    let bless = std::env::var_os("SLUICE_BLESS").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 60, "only {} cases", files.len());
    let mut failures = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let mut case: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut checker = Checker::new(&stages);
        if let Some(machine) = machine(&case) {
            checker = checker.on_machine(machine);
        }
        let outcome = match (case.get("config"), case.get("text")) {
            (Some(config), None) => checker.check_value(config),
            (None, Some(lines)) => {
                let lines: Vec<String> = serde_json::from_value(lines.clone()).unwrap();
                checker.check_text(&lines.join("\n"))
            }
            _ => panic!("{name}: a case has either a config or a text"),
        };
        assert_eq!(
            outcome.config.is_none(),
            outcome.problems.has_errors(),
            "{name}"
        );
        let told: Vec<Vec<String>> = outcome
            .problems
            .iter()
            .map(|problem| problem.to_string().lines().map(str::to_owned).collect())
            .collect();
        assert!(!told.is_empty(), "{name}: nothing is told about it");
        let told = json!(told);
        if case.get("expect") == Some(&told) {
            continue;
        }
        if bless {
            case["expect"] = told;
            fs::write(&file, serde_json::to_string_pretty(&case).unwrap() + "\n").unwrap();
        } else {
            let expected = case.get("expect").cloned().unwrap_or_default();
            failures.push(format!(
                "{name}\n--- expected\n{expected:#}\n--- told\n{told:#}"
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} cases differ\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
