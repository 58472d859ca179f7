//! Where a port's packets go unless a stage says otherwise.

use super::draft::{Draft, PortDraft};
use crate::check::{Problems, Side, closest, list};

/// The peer of each port by index, as far as it can be told.
pub(super) fn resolve(draft: &Draft<'_>, problems: &mut Problems) -> Vec<Option<usize>> {
    let named: Vec<Option<usize>> = draft
        .ports
        .iter()
        .map(|port| named_peer(draft, port, problems))
        .collect();
    let resolved: Vec<Option<usize>> = (0..draft.ports.len())
        .map(|index| {
            named
                .get(index)
                .copied()
                .flatten()
                .or_else(|| implied(draft, &named, index))
        })
        .collect();
    let all_readable = draft
        .ports
        .iter()
        .all(|port| port.name.is_some() && port.side.is_some() && port.peer.is_some());
    let routed = draft
        .chain
        .iter()
        .any(|stage| stage.stage.is_none() || stage.stage.as_deref() == Some("route"));
    if all_readable && !routed && !problems.has_errors() {
        for (port, peer) in draft.ports.iter().zip(&resolved) {
            if peer.is_none() {
                let others = names(draft, |other| may_be_peers(port, other));
                problems
                    .warning(&port.path, "nothing says where packets from this port go")
                    .found(format_args!("no \"peer\", no stage \"route\", and several ports to choose from: {others}"))
                    .help("give the port a \"peer\"");
            }
        }
    }
    mtus(draft, &resolved, routed, problems);
    resolved
}

/// Ports on one and the same side do not talk to each other.
fn may_be_peers(port: &PortDraft, other: &PortDraft) -> bool {
    if port.path == other.path {
        return false;
    }
    match (port.side, other.side) {
        (Some(Side::Client), Some(Side::Client)) | (Some(Side::Server), Some(Side::Server)) => {
            false
        }
        (Some(_), Some(_)) => true,
        _ => false,
    }
}

/// The quoted names of the ports that `choose` takes.
fn names(draft: &Draft<'_>, choose: impl Fn(&PortDraft) -> bool) -> String {
    let chosen = draft.ports.iter().filter(|port| choose(port));
    list(chosen.filter_map(|port| port.name.as_deref()))
}

fn named_peer(draft: &Draft<'_>, port: &PortDraft, problems: &mut Problems) -> Option<usize> {
    let peer = port.peer.as_ref()?.as_ref()?;
    let place = port.path.key("peer");
    let index = draft
        .ports
        .iter()
        .position(|other| other.name.as_ref() == Some(peer));
    let allowed = || match names(draft, |other| may_be_peers(port, other)).as_str() {
        "nothing" => "a port on the other side; there is none".to_owned(),
        names => names.to_owned(),
    };
    let Some(index) = index else {
        // A port whose name has a mistake may be the one that is meant.
        if draft.ports.iter().all(|port| port.name.is_some()) {
            let problem = problems.error(&place, "no port has this name");
            problem.found(format_args!("\"{peer}\"")).allowed(allowed());
            let known = draft.ports.iter().filter(|other| other.path != port.path);
            if let Some(near) = closest(peer, known.filter_map(|other| other.name.as_deref())) {
                problem.help(format_args!("did you mean {near:?}?"));
            }
        }
        return None;
    };
    let other = draft.ports.get(index)?;
    if other.path == port.path {
        problems
            .error(&place, "a port cannot be its own peer")
            .found(format_args!("\"{peer}\""))
            .allowed(allowed());
        return None;
    }
    if let (Some(side @ (Side::Client | Side::Server)), Some(far)) = (port.side, other.side)
        && side == far
    {
        let side = if side == Side::Client {
            "client"
        } else {
            "server"
        };
        problems
            .error(&place, format!("the peer is on the same side, \"{side}\""))
            .found(format_args!("\"{peer}\""))
            .allowed(allowed());
        return None;
    }
    Some(index)
}

/// The port that names this one, or the only one that can be meant.
fn implied(draft: &Draft<'_>, named: &[Option<usize>], index: usize) -> Option<usize> {
    let port = draft.ports.get(index)?;
    if port.peer != Some(None) {
        return None;
    }
    let only = |found: Vec<usize>| match found.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    let naming = named
        .iter()
        .enumerate()
        .filter(|(_, peer)| **peer == Some(index));
    let naming: Vec<usize> = naming.map(|(other, _)| other).collect();
    if !naming.is_empty() {
        return only(naming);
    }
    // One-arm: the only port answers by itself.
    if draft.ports.len() == 1 && port.side == Some(Side::Any) {
        return Some(index);
    }
    let others = draft
        .ports
        .iter()
        .enumerate()
        .filter(|(_, other)| may_be_peers(port, other));
    only(others.map(|(other, _)| other).collect())
}

/// Without a stage that fragments or answers, a packet that the peer cannot send is lost.
fn mtus(draft: &Draft<'_>, resolved: &[Option<usize>], routed: bool, problems: &mut Problems) {
    if routed {
        return;
    }
    for (port, peer) in draft.ports.iter().zip(resolved) {
        let Some(peer) = peer.and_then(|peer| draft.ports.get(peer)) else {
            continue;
        };
        if let (Some(mtu), Some(far)) = (port.mtu, peer.mtu)
            && mtu > far
        {
            problems
                .warning(
                    &port.path.key("mtu"),
                    format!(
                        "larger than the MTU of its peer {}: such packets are lost",
                        peer.label()
                    ),
                )
                .found(mtu)
                .allowed(format_args!("at most {far}"));
        }
    }
}
