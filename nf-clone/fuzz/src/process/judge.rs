//! What must hold whatever comes: of what leaves for one frame, and of what was counted in the end.

use std::net::IpAddr;

use nf_clone::wire::{HEADER_LEN, Header, Kind, NO_SERVER, compat28};
use nf_core::telemetry::StageSnapshot;
use nf_core::testing::{Sent, StageBench};
use nf_core::wire::{
    Fragment, Layers, Transport, Verdict, check_transport_checksum, ipv4_checksum_ok,
};
use serde_json::Value;

use super::frames::{Edits, ends};
use super::rack::{Rack, SIDS, Wire};

/// Frames that came in together.
pub struct Seen<'a> {
    pub rack: &'a Rack,
    pub frames: &'a [(Vec<u8>, Edits)],
}

impl Seen<'_> {
    /// Looks at what left for them.
    pub fn judge(&self, sent: &[Sent]) {
        let sound = |(frame, _): &(Vec<u8>, Edits)| soundness(frame) == Some(true);
        let is_data = |(frame, _): &(Vec<u8>, Edits)| is_data(frame);
        if self.frames.iter().all(sound) && self.frames.iter().all(is_data) {
            for sent in sent {
                assert_eq!(soundness(&sent.bytes), Some(true), "{:x?}", sent.bytes);
            }
        }
        if let [(frame, _)] = self.frames
            && is_datagram(frame)
        {
            self.judge_one(frame, sent);
        }
    }

    fn judge_one(&self, frame: &[u8], sent: &[Sent]) {
        let was_sound = soundness(frame);
        let mut pair: Vec<&Sent> = Vec::new();
        for sent in sent {
            let bytes = &sent.bytes;
            if !is_datagram(bytes) || is_own(self.rack, frame, bytes) {
                continue;
            }
            if was_sound == Some(false) {
                // Mended, so that what was wrong stays wrong.
                assert_ne!(soundness(bytes), Some(true), "{frame:x?}\n{bytes:x?}");
            }
            let (before, after) = (payload(frame), payload(bytes));
            match unstamped(self.rack, before, after) {
                Some((before, after)) => assert_eq!(before, after),
                None => assert_eq!(before, after),
            }
            if is_request(self.rack, bytes) && sent.port == StageBench::SERVERS {
                pair.push(sent);
            }
        }
        match &pair[..] {
            [] | [_] => {}
            [one, other] => self.judge_pair(&one.bytes, &other.bytes),
            more => panic!("{} requests of one", more.len()),
        }
    }

    fn judge_pair(&self, one: &[u8], other: &[u8]) {
        let places = [one, other].map(|frame| {
            let layers = Layers::parse_lax(frame, frame.len());
            let to: Option<IpAddr> = ends(frame, &layers).map(|(_, to)| to);
            (0..SIDS.len()).find(|&place| Some(self.rack.server(place)) == to)
        });
        let [Some(first), Some(second)] = places else {
            panic!("to nobody: {one:x?} {other:x?}");
        };
        assert_ne!(first, second, "the clone goes to another server");
        let stamp = |frame: &[u8]| match self.rack.wire {
            Wire::V1 => Header::decode(payload(frame))
                .ok()
                .map(|(header, _)| (header.clo, header.req_id, header.sid)),
            Wire::Compat28 => compat28::Header::decode(payload(frame))
                .ok()
                .map(|header| (header.clo, header.seq.into(), header.sid as u16)),
            _ => None,
        };
        if let (Some(one), Some(other)) = (stamp(one), stamp(other)) {
            assert_eq!((one.0.min(other.0), one.0.max(other.0)), (1, 2));
            assert_eq!((one.1, one.2), (other.1, other.2));
            assert_ne!(one.1, 0, "0 is no id");
            let second = if one.0 == 2 { first } else { second };
            assert_eq!(
                one.2,
                u16::from(SIDS[second]),
                "the clone's server is named"
            );
        }
    }
}

/// What was counted.
pub struct Sums<'a> {
    pub counted: &'a StageSnapshot,
    pub servers: Option<Value>,
    pub rack: &'a Rack,
    /// Whether the settings were never changed.
    pub is_first: bool,
    /// Requests stamped by us that left, if every packet that left was seen.
    pub stamped_requests: Option<u64>,
}

impl Sums<'_> {
    pub fn judge(&self) {
        let count = |name: &str| self.counted.custom.get(name);
        let (cloned, single) = (count("req_cloned"), count("req_single"));
        let counted = self.counted;
        assert_eq!(
            count("req_total"),
            cloned + single + count("req_rejected"),
            "{counted:?}"
        );
        let answers = [
            "resp_first",
            "resp_filtered",
            "resp_uncloned",
            "resp_unfiltered",
            "resp_stale_epoch",
            "resp_bad_idx",
            "resp_unstamped",
        ];
        let answers: u64 = answers.into_iter().map(count).sum();
        // Those of writes may be unstamped too.
        let all = count("resp_total") + count("write_resp");
        assert!(answers <= all, "{counted:?}");
        assert_eq!(
            count("resp_filtered"),
            counted.dropped.get("filtered"),
            "{counted:?}"
        );
        if !self.is_first {
            return;
        }
        let servers = self
            .servers
            .iter()
            .flat_map(|all| all["servers"].as_array().into_iter());
        let forwarded: u64 = servers
            .flatten()
            .flat_map(|server| [&server["fwd_orig"], &server["fwd_clone"]])
            .filter_map(Value::as_u64)
            .sum();
        match self.rack.is_plain() {
            false => assert_eq!(forwarded, single + 2 * cloned, "{counted:?}"),
            // A write may go past all servers.
            true => assert!(
                (2 * cloned..=single + 2 * cloned).contains(&forwarded),
                "{counted:?}"
            ),
        }
        // Where what is damaged passes, there may be more.
        if let Some(left) = self.stamped_requests
            && self.rack.wire == Wire::V1
            && self.rack.drops_bad_input()
        {
            let lost = count("clone_tx_drop");
            assert_eq!(left, single + 2 * cloned - lost, "{counted:?}");
        }
    }
}

/// That both ways sent the same.
pub fn assert_same(one: &[Sent], other: &[Sent]) {
    let sorted = |sent: &[Sent]| {
        let mut all: Vec<_> = sent
            .iter()
            .map(|sent| (sent.port, sent.bytes.clone()))
            .collect();
        all.sort();
        all
    };
    let (one, other) = (sorted(one), sorted(other));
    assert!(one == other, "{one:x?}\n{other:x?}");
}

/// Whether a frame is a request with this appliance's stamp, of the service.
pub fn is_stamped_request(rack: &Rack, frame: &[u8]) -> bool {
    let layers = Layers::parse_lax(frame, frame.len());
    let is_udp = layers.transport() == Transport::Udp && layers.fragment() == Fragment::None;
    let of_service = layers
        .ports(frame)
        .is_some_and(|(from, to)| rack.is_service(from) || rack.is_service(to));
    is_udp
        && of_service
        && rack.wire == Wire::V1
        && Header::decode(layers.payload(frame))
            .is_ok_and(|(header, _)| header.kind == Kind::Request && header.swid == 1)
}

/// Whether the checksums that are there are right; nothing if it is no frame that has any.
fn soundness(frame: &[u8]) -> Option<bool> {
    let layers = Layers::parse(frame).ok()?;
    let is_sound = (!layers.is_ipv4() || ipv4_checksum_ok(frame, &layers))
        && check_transport_checksum(frame, &layers) != Verdict::Bad;
    Some(is_sound)
}

fn is_data(frame: &[u8]) -> bool {
    let layers = Layers::parse_lax(frame, frame.len());
    matches!(layers.transport(), Transport::Udp | Transport::Tcp)
}

fn is_datagram(frame: &[u8]) -> bool {
    Layers::parse(frame).is_ok_and(|layers| {
        layers.transport() == Transport::Udp && layers.fragment() == Fragment::None
    })
}

fn payload(frame: &[u8]) -> &[u8] {
    Layers::parse_lax(frame, frame.len()).payload(frame)
}

/// Whether a frame is what the stage itself says to a client of `asked`.
fn is_own(rack: &Rack, asked: &[u8], frame: &[u8]) -> bool {
    rack.wire == Wire::V1
        && payload(frame) != payload(asked)
        && payload(frame).len() == HEADER_LEN
        && Header::decode(payload(frame)).is_ok_and(|(header, _)| {
            matches!(header.kind, Kind::Config | Kind::Nack) && header.sid == NO_SERVER
        })
}

/// Whether a frame is a request, or looks like one.
fn is_request(rack: &Rack, frame: &[u8]) -> bool {
    match rack.wire {
        Wire::V1 => is_stamped_request(rack, frame),
        Wire::Compat28 => compat28::Header::decode(payload(frame))
            .is_ok_and(|header| header.kind == Kind::Request),
        Wire::Memcached | Wire::Dns | Wire::Flow => true,
    }
}

/// Two payloads without what the stage writes into requests, if both are requests.
fn unstamped(rack: &Rack, before: &[u8], after: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let masked = |payload: &[u8]| -> Option<Vec<u8>> {
        let head = match rack.wire {
            Wire::V1 => {
                let (header, _) = Header::decode(payload).ok()?;
                if !matches!(header.kind, Kind::Request | Kind::WriteRequest) {
                    return None;
                }
                let plain = Header {
                    clo: 0,
                    swid: 0,
                    sid: 0,
                    req_id: 0,
                    ..header
                };
                plain.encode().to_vec()
            }
            Wire::Compat28 => {
                let header = compat28::Header::decode(payload).ok()?;
                if header.kind != Kind::Request {
                    return None;
                }
                let plain = compat28::Header {
                    clo: 0,
                    sid: 0,
                    seq: 0,
                    ..header
                };
                plain.encode().to_vec()
            }
            Wire::Memcached | Wire::Dns | Wire::Flow => return None,
        };
        let rest = payload.get(head.len()..)?;
        Some([&head[..], rest].concat())
    };
    Some((masked(before)?, masked(after)?))
}
