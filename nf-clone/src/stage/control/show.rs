//! What is shown of the servers and of the stage.

use serde_json::{Value, json};

use super::super::config::ServerConfig;
use super::CloneControl;
use crate::servers::{Bar, ServerTotals};

/// A drained server that has answered no request for so long has nothing more to answer, nanoseconds. That
/// more went to it than was answered means nothing: it drops clones without a word.
const QUIET_NS: u64 = 1_000_000_000;

impl CloneControl {
    /// What the API shows without being asked.
    pub(super) fn summary(&self) -> Value {
        let (groups, filter) = self.publisher.with_newest(|version| {
            (
                version.groups.len(),
                version.filters.given.bytes() + version.filters.chosen.bytes(),
            )
        });
        json!({
            "policy": self.config.policy,
            "filter": self.config.filter,
            "mode": self.config.mode,
            "vip": self.config.vip,
            "l4_ports": self.config.l4_ports,
            "switch_id": self.config.switch_id,
            "epoch": self.made.epoch,
            "cfg_gen": self.made.cfg_gen,
            "groups": groups,
            "live": self.shared.servers.live().len(),
            "configured": self.config.servers.len(),
            "filter_bytes": filter,
            "selftest": self.selftest(),
            "requests": self.shared.plain.as_ref().map(|plain| {
                json!({ "slots": plain.table().slots(), "in_use": plain.table().occupied() })
            }),
        })
    }

    /// What is known of each server.
    pub(super) fn servers(&self) -> Value {
        let live = self.shared.servers.live();
        let now = self.clock.now();
        let each = self.config.servers.iter().map(|server| {
            let sid = server.sid;
            let totals = ServerTotals::sum(self.shared.cores.iter(), sid);
            let heard = self.shared.servers.heard(sid);
            let age_us = (heard.at_us != 0).then(|| (now / 1000).saturating_sub(heard.at_us));
            json!({
                "sid": sid,
                "ip": server.ip,
                "state": self.state(sid, totals),
                "live": live.has(sid),
                "load": heard.load,
                "last_seen_us": age_us,
                "fwd_orig": totals.originals,
                "fwd_clone": totals.clones,
                "resp": totals.responses,
                "answers_pings": self.shared.servers.ponged(sid) > 0,
                "mac": self.mac(sid, server),
            })
        });
        json!({ "servers": each.collect::<Vec<_>>() })
    }

    fn mac(&self, sid: u8, server: &ServerConfig) -> Option<String> {
        let known = self.shared.servers.mac(sid).map(nf_core::wire::MacAddr);
        server.mac.or(known).map(|mac| mac.to_string())
    }

    /// A word for what a server is now.
    fn state(&self, sid: u8, totals: ServerTotals) -> &'static str {
        let servers = &self.shared.servers;
        if servers.is_barred(sid, Bar::Down) {
            "down"
        } else if servers.is_barred(sid, Bar::Drained) {
            let quiet = self.drained.get(&sid).is_none_or(|&(last, since)| {
                last == totals && self.clock.now().saturating_sub(since) >= QUIET_NS
            });
            let answered = totals.originals.wrapping_add(totals.clones) == totals.responses;
            if quiet || answered {
                "drained"
            } else {
                "draining"
            }
        } else if servers.is_barred(sid, Bar::Unwilling) {
            "unwilling"
        } else if servers.is_barred(sid, Bar::Unresolved) {
            "unresolved"
        } else {
            "up"
        }
    }

    /// Whether answers come back through us: without, cloning works and filtering never happens.
    pub(super) fn selftest(&self) -> Value {
        let pings = self
            .publisher
            .with_newest(|version| version.pace.interval_ns != 0)
            && !self.config.vip.is_empty();
        let missing: Vec<u8> = self
            .config
            .servers
            .iter()
            .map(|server| server.sid)
            .filter(|&sid| self.shared.servers.ponged(sid) == 0)
            .collect();
        let result = match (pings, missing.is_empty()) {
            (false, _) => "off",
            (true, true) => "passed",
            (true, false) => "waiting",
        };
        json!({ "result": result, "no_pong_from": missing })
    }

    pub(super) fn show(&self) -> Value {
        let mut shown = self.summary();
        if let (Value::Object(into), Value::Object(servers)) = (&mut shown, self.servers()) {
            into.extend(servers);
        }
        shown
    }
}
