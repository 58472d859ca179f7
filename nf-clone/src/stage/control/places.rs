//! The pairs of servers that groups stand for, and how they stay when servers come and go.

use super::super::config::{CloneConfig, Groups, OnServerFail};
use crate::groups::{MAX_SERVERS, ServerSet};

/// The pairs of candidates.
pub(super) fn groups(config: &CloneConfig, places: &[u8], live: &ServerSet) -> Box<[(u8, u8)]> {
    let shrinks = config.on_server_fail == OnServerFail::Shrink;
    let counts = |sid: u8| !shrinks || live.has(sid);
    match &config.groups {
        Groups::List(list) => list
            .iter()
            .filter(|[first, second]| counts(*first) && counts(*second))
            .map(|[first, second]| (*first, *second))
            .collect(),
        Groups::Auto => {
            let sids: Vec<u8> = places.iter().copied().filter(|&sid| counts(sid)).collect();
            match sids[..] {
                [] => Box::default(),
                // The only one is its own partner.
                [only] => Box::new([(only, only)]),
                _ => (0..crate::groups::count(sids.len()))
                    .map(|group| {
                        let (first, second) = crate::groups::pair(group, sids.len());
                        (sids[first], sids[second])
                    })
                    .collect(),
            }
        }
    }
}

/// The places of groups under new settings: who stays keeps its place, who is new takes one that is
/// free, or a further one.
pub(super) fn placed(places: &[u8], config: &CloneConfig) -> Vec<u8> {
    let exists = |sid: u8| config.servers.iter().any(|server| server.sid == sid);
    if config.on_server_fail == OnServerFail::Shrink {
        let mut sids: Vec<u8> = config.servers.iter().map(|server| server.sid).collect();
        sids.sort_unstable();
        return sids;
    }
    let mut places = places.to_vec();
    for server in &config.servers {
        if places.contains(&server.sid) {
            continue;
        }
        match places.iter().position(|&sid| !exists(sid)) {
            Some(free) => places[free] = server.sid,
            None => places.push(server.sid),
        }
    }
    places.truncate(MAX_SERVERS);
    places
}
