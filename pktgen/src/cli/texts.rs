//! How single flags are written: checked as they are read, so that the message names the flag.

use serde_json::json;

use crate::profile::Spacing;
use crate::profile::stream::Size;
use crate::profile::values::{Kind, V4, V6, Values};
use crate::schedule;
use crate::units::{Rate, Time};

pub(super) fn values<K: Kind>(text: &str) -> Result<String, String> {
    Values::<K>::from_text(text).map(|_| text.to_owned())
}

pub(super) fn address(text: &str) -> Result<String, String> {
    if text.contains(':') {
        values::<V6>(text)
    } else {
        values::<V4>(text)
    }
}

pub(super) fn size(text: &str) -> Result<String, String> {
    Size::from_text(text).map(|_| text.to_owned())
}

pub(super) fn spacing(text: &str) -> Result<Spacing, String> {
    let wrong =
        || format!("{text:?} is not a spacing; expected constant, poisson or burst:PACKETS");
    let value = match text.split_once(':') {
        None if text != "burst" => json!(text),
        Some(("burst", packets)) => {
            let packets: u32 = packets.parse().map_err(|_| wrong())?;
            if packets == 0 {
                return Err(wrong());
            }
            json!({"burst": {"packets": packets}})
        }
        _ => return Err(wrong()),
    };
    serde_json::from_value(value).map_err(|_| wrong())
}

pub(super) fn ramp(text: &str) -> Result<String, String> {
    let (from, over) = text
        .split_once(',')
        .ok_or("expected RATE,TIME such as 10kpps,5s")?;
    from.parse::<Rate>()?;
    over.parse::<Time>()?;
    Ok(text.to_owned())
}

pub(super) fn cores(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a processor number"))
}

/// A spacing in the words of the command line.
pub fn spacing_text(spacing: schedule::Spacing) -> String {
    match spacing {
        schedule::Spacing::Constant => "constant".into(),
        schedule::Spacing::Poisson => "Poisson".into(),
        schedule::Spacing::Burst { packets, .. } => format!("bursts of {packets}"),
    }
}
