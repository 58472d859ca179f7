//! The schemes that are compared: who chooses the servers, who clones, who removes the slower response.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// M0: the client draws a server.
    Baseline,
    /// M1: the client draws two servers and asks both, always.
    CClone,
    /// M2: a coordinator asks two servers when two are idle.
    Laedge,
    /// M3: the appliance asks the one of two with the shorter queue.
    RackSched,
    /// M4: the appliance clones when both candidates are idle.
    NetClone,
    /// M5: both: clones when both are idle, else the shorter queue.
    NetCloneRackSched,
    /// M6: as M4, but the client removes the slower response.
    NetCloneNoFilter,
    /// M7: the appliance clones every request.
    AlwaysClone,
    /// M8: as M4, but servers never drop a clone.
    NetCloneNoDrop,
    /// M9: as M4, with the servers' states kept by each core for itself.
    NetClonePerCore,
    /// The client draws a server, and asks another one when the answer is late.
    Hedge,
}

/// Where a scheme's requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To a server's own address.
    Servers,
    /// To the coordinator.
    Coordinator,
    /// To the service's address, which the appliance owns.
    Service,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 11] = [
        Scheme::Baseline,
        Scheme::CClone,
        Scheme::Laedge,
        Scheme::RackSched,
        Scheme::NetClone,
        Scheme::NetCloneRackSched,
        Scheme::NetCloneNoFilter,
        Scheme::AlwaysClone,
        Scheme::NetCloneNoDrop,
        Scheme::NetClonePerCore,
        Scheme::Hedge,
    ];

    /// Its short name.
    pub fn id(self) -> &'static str {
        match self {
            Scheme::Baseline => "M0",
            Scheme::CClone => "M1",
            Scheme::Laedge => "M2",
            Scheme::RackSched => "M3",
            Scheme::NetClone => "M4",
            Scheme::NetCloneRackSched => "M5",
            Scheme::NetCloneNoFilter => "M6",
            Scheme::AlwaysClone => "M7",
            Scheme::NetCloneNoDrop => "M8",
            Scheme::NetClonePerCore => "M9",
            Scheme::Hedge => "H",
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Baseline => "baseline",
            Scheme::CClone => "c-clone",
            Scheme::Laedge => "laedge",
            Scheme::RackSched => "racksched",
            Scheme::NetClone => "netclone",
            Scheme::NetCloneRackSched => "netclone+racksched",
            Scheme::NetCloneNoFilter => "netclone-nofilter",
            Scheme::AlwaysClone => "always-clone",
            Scheme::NetCloneNoDrop => "netclone-nodrop",
            Scheme::NetClonePerCore => "netclone-percore",
            Scheme::Hedge => "hedge",
        }
    }

    /// Where its requests go.
    pub fn route(self) -> Route {
        match self {
            Scheme::Baseline | Scheme::CClone | Scheme::Hedge => Route::Servers,
            Scheme::Laedge => Route::Coordinator,
            _ => Route::Service,
        }
    }

    /// Whether servers drop clones that find others waiting.
    pub fn servers_drop_clones(self) -> bool {
        self != Scheme::NetCloneNoDrop
    }
}

impl FromStr for Scheme {
    type Err = String;

    /// By name or short name, in any case.
    fn from_str(text: &str) -> Result<Scheme, String> {
        let found = Scheme::ALL.into_iter().find(|scheme| {
            scheme.name().eq_ignore_ascii_case(text) || scheme.id().eq_ignore_ascii_case(text)
        });
        found.ok_or_else(|| {
            let names: Vec<String> = Scheme::ALL
                .iter()
                .map(|scheme| format!("{} ({})", scheme.name(), scheme.id()))
                .collect();
            format!(
                "there is no scheme {text:?}; expected one of {}",
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Where everybody is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// The service's address, which the appliance owns.
    pub service: Option<SocketAddr>,
    /// The coordinator's address.
    pub coordinator: Option<SocketAddr>,
    /// The servers' own addresses, in the order of their ids.
    pub servers: Vec<SocketAddr>,
}

impl Cluster {
    /// Where a scheme's requests go; says what is missing.
    pub fn targets(&self, scheme: Scheme) -> Result<Targets, String> {
        match scheme.route() {
            Route::Service => self
                .service
                .map(Targets::One)
                .ok_or_else(|| format!("{scheme} needs the service's address")),
            Route::Coordinator => self
                .coordinator
                .map(Targets::One)
                .ok_or_else(|| format!("{scheme} needs the coordinator's address")),
            Route::Servers => {
                let least = if scheme == Scheme::Baseline { 1 } else { 2 };
                if self.servers.len() < least {
                    return Err(format!(
                        "{scheme} needs the addresses of at least {least} servers, found {}",
                        self.servers.len()
                    ));
                }
                Ok(Targets::Servers(self.servers.clone()))
            }
        }
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All to one address.
    One(SocketAddr),
    /// Each to one or two of these, drawn at random.
    Servers(Vec<SocketAddr>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f25_every_scheme_has_a_name_and_a_route() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.name().parse(), Ok(scheme));
            assert_eq!(scheme.id().to_lowercase().parse(), Ok(scheme));
        }
        for (id, route) in [
            ("M0", Route::Servers),
            ("M1", Route::Servers),
            ("M2", Route::Coordinator),
            ("M3", Route::Service),
            ("M6", Route::Service),
            ("M9", Route::Service),
        ] {
            assert_eq!(id.parse::<Scheme>().unwrap().route(), route);
        }
        let error = "M12".parse::<Scheme>().unwrap_err();
        assert!(error.contains("netclone-nofilter (M6)"), "{error}");
    }

    #[test]
    fn f25_a_scheme_says_which_address_it_lacks() {
        let server: SocketAddr = "10.0.1.101:9044".parse().unwrap();
        let cluster = Cluster {
            servers: vec![server],
            ..Cluster::default()
        };
        assert!(cluster.targets(Scheme::Baseline).is_ok());
        for (scheme, expected) in [
            (Scheme::CClone, "at least 2 servers, found 1"),
            (Scheme::Laedge, "coordinator"),
            (Scheme::NetClone, "service"),
        ] {
            let error = cluster.targets(scheme).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
