//! The control side of a running stage, as the API has it.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Body, Sluice, wait_for};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives the stage a command, and returns its answer.
///
/// # Errors
/// What the appliance said, when it did not do it.
pub fn command(sluice: &Sluice<'_>, verb: &str, arguments: &Value) -> Result<Value, String> {
    let path = format!("/api/v1/stages/clone/{verb}");
    let answer = sluice.try_request(sluice.control(), "POST", &path, Body::Json(arguments));
    let answer = answer.map_err(|error| format!("{verb}: {error}"))?;
    match answer.status {
        200 => Ok(answer.json()),
        status => Err(format!("{verb}: {status}: {}", answer.text())),
    }
}

/// What the stage shows of itself; null when it does not.
pub fn show(sluice: &Sluice<'_>) -> Value {
    command(sluice, "show", &json!({})).unwrap_or_default()
}

/// What it shows of a server; null when it does not.
pub fn server(sluice: &Sluice<'_>, sid: u8) -> Value {
    let shown = show(sluice);
    let mut servers = shown["servers"].as_array().into_iter().flatten();
    let found = servers.find(|server| server["sid"] == sid);
    found.cloned().unwrap_or_default()
}

/// Waits until a server is in that state.
///
/// # Errors
/// When it is not in time.
pub fn state(sluice: &Sluice<'_>, sid: u8, wanted: &str) -> Result<(), String> {
    let what = format!("server {sid} to be {wanted}");
    wait_for(&what, PATIENCE, || {
        (server(sluice, sid)["state"] == wanted).then_some(())
    })
    .map_err(|error| format!("{error}: {:#}", show(sluice)))
}

/// Waits until every server has answered a ping through the appliance, and all are up.
///
/// # Errors
/// When they have not in time.
pub fn self_test(sluice: &Sluice<'_>) -> Result<(), String> {
    wait_for("the self-test", PATIENCE, || {
        let told = command(sluice, "selftest", &json!({})).ok()?;
        let shown = show(sluice);
        (told["result"] == "passed" && shown["live"] == shown["configured"]).then_some(())
    })
    .map_err(|error| format!("{error}: {:#}", show(sluice)))
}

/// Changes the stage's settings in the file, and has it read again.
///
/// # Errors
/// What the appliance said, when it did not take them.
pub fn reload(sluice: &Sluice<'_>, change: impl FnOnce(&mut Value)) -> Result<Value, String> {
    let file = sluice.config_file();
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut config: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    change(&mut config["chain"][0]["config"]);
    std::fs::write(file, format!("{config:#}")).map_err(|error| error.to_string())?;
    let answer = sluice.try_request(sluice.control(), "POST", "/api/v1/reload", Body::Empty);
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.status {
        200 => Ok(answer.json()),
        status => Err(format!("{status}: {}", answer.text())),
    }
}

/// A counter of the stage; 0 before it is there.
pub fn count(sluice: &Sluice<'_>, counter: &str) -> u64 {
    let series = format!("sluice_clone_{}_total", counter.trim_end_matches("_total"));
    sluice.metric(&series).unwrap_or(0.0) as u64
}

/// Packets that the stage dropped, but for the slower answers and what was for itself.
pub fn lost(sluice: &Sluice<'_>) -> u64 {
    let drops = sluice.json("/api/v1/drops");
    let here = drops.as_array().into_iter().flatten().filter(|drop| {
        drop["stage"] == "clone" && drop["reason"] != "filtered" && drop["reason"] != "consumed"
    });
    here.filter_map(|drop| drop["packets"].as_u64()).sum()
}
