//! What the stage counts, and why it drops packets. The names are part of the interface.

use nf_core::telemetry::CounterDesc;

use crate::plain::Counter;

macro_rules! counts {
    ($($name:ident $word:literal $help:literal,)*) => {
        /// The counters that are not those of `wire: none`, by index.
        const OWN: &[CounterDesc] = &[
            $(CounterDesc { name: $word, help: $help },)*
        ];

        /// Indexes into [`COUNTERS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Count { $($name,)* }
    };
}

counts! {
    ReqTotal "req_total" "Cloneable requests (REQ) that came, well-formed.",
    ReqCloned "req_cloned" "Requests that went to two servers.",
    ReqSingle "req_single" "Requests that went to one server.",
    ReqRejected "req_rejected" "Requests that were refused: with req_cloned and req_single they make req_total.",
    ReqJsqSecond "req_jsq_second" "Of those, the ones that went to their second candidate for its shorter queue.",
    ReqNocloneFlag "req_noclone_flag" "Requests whose client forbids cloning, or that repeat an id it has chosen.",
    ReqUncloneNomem "req_unclone_nomem" "Requests not cloned for want of a buffer.",
    ReqUncloneBudget "req_unclone_budget" "Requests not cloned because clone_budget_pps was used up.",
    ReqUncloneExhausted "req_unclone_exhausted" "Requests not cloned because the core has given all ids of the epoch.",
    CloneTxDrop "clone_tx_drop" "Clones for which the port to the servers had no room.",
    RespTotal "resp_total" "Responses (RESP) that came, well-formed.",
    RespFirst "resp_first" "Responses of cloned requests that were the first, and passed.",
    RespFiltered "resp_filtered" "Responses of cloned requests that were the second, and ended.",
    RespUncloned "resp_uncloned" "Responses of requests that were not cloned.",
    RespUnfiltered "resp_unfiltered" "Responses of cloned requests that passed because the filter is off, or does not take messages of several packets.",
    RespStaleEpoch "resp_stale_epoch" "Responses with an id of an earlier start or filter; passed.",
    RespBadIdx "resp_bad_idx" "Responses with a filter table that is not there; passed.",
    RespUnstamped "resp_unstamped" "Responses whose request no appliance has stamped; passed.",
    RespForeign "resp_foreign" "Responses of requests that another appliance owns; passed.",
    ReqForeign "req_foreign" "Requests that another appliance owns; passed.",
    SlotOverwrite "slot_overwrite" "First responses that took another request's slot: its slower response will pass too.",
    StateUpdates "state_updates" "Times that a server said how long its queue is.",
    WriteReq "write_req" "Requests that must not be cloned (WREQ).",
    WriteToVip "write_to_vip" "Writes to the VIP, which says nothing of where a write has to go.",
    WriteResp "write_resp" "Their responses (WRESP).",
    Passthrough "passthrough" "Packets that are none of the function's.",
    Tcp "tcp" "TCP segments of the service, each connection to one server.",
    BadMagic "bad_magic" "Messages without the magic number.",
    BadVersion "bad_version" "Messages of another version of the format.",
    BadHlen "bad_hlen" "Messages with an impossible header length.",
    Truncated "truncated" "Messages shorter than their header.",
    BadType "bad_type" "Messages of an unknown type.",
    BadDirection "bad_direction" "Messages that only the other side may send.",
    BadClo "bad_clo" "Requests that say they are cloned already, or messages with CLO over 2.",
    BadGrp "bad_grp" "Requests with a group that is not there.",
    BadIdx "bad_idx" "Requests with a filter table that is not there.",
    BadSid "bad_sid" "Responses of a server that is not configured.",
    SidIpMismatch "sid_ip_mismatch" "Responses with a server's number from another address.",
    BadReqId "bad_req_id" "Messages with an impossible request id.",
    BadPacketNumber "bad_packet_number" "Messages with an impossible packet number, or that change their number of packets.",
    BadSource "bad_source" "Messages from the service's own address, or from a group.",
    CsumBad "csum_bad" "Messages with a wrong checksum.",
    Loop "loop" "Requests that this appliance has stamped already.",
    Fragment "fragment" "Fragments of UDP or TCP to or from the service.",
    TtlExpired "ttl_expired" "Requests and responses whose TTL or hop limit ends here.",
    NoServer "no_server" "Requests that found no live server.",
    MsgHit "msg_hit" "Later packets of a message that followed its first.",
    MsgInsert "msg_insert" "Messages of several packets whose decision was noted.",
    MsgFull "msg_full" "Messages of several packets that were not cloned because the table was full.",
    MsgExpired "msg_expired" "Entries of that table that ended by time.",
    ServerDown "server_down" "Times that a server was found to be down.",
    ServerUp "server_up" "Times that a server came back.",
    Pings "pings" "Pings sent to servers.",
    Pongs "pongs" "Their answers.",
    ConfigSent "config_sent" "Messages to clients that say how many groups there are, or why a request was refused.",
    NeighbourAnswers "neighbour_answers" "ARP requests and neighbor solicitations for a VIP that were answered.",
    EpochRolls "epoch_rolls" "Times that a new epoch of request ids began.",
}

const ALL: usize = OWN.len() + Counter::ALL.len();

/// The stage's counters, by index.
pub const COUNTERS: &[CounterDesc] = &{
    let mut all = [CounterDesc { name: "", help: "" }; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < OWN.len() {
            OWN[at]
        } else {
            let (name, help) = Counter::ALL[at - OWN.len()];
            CounterDesc { name, help }
        };
        at += 1;
    }
    all
};

/// The index of a counter of `wire: none`.
pub(crate) const fn plain(counter: Counter) -> usize {
    OWN.len() + counter as usize
}

macro_rules! reasons {
    ($($name:ident $word:literal,)*) => {
        /// Why the stage drops packets, by index.
        pub const REASONS: &[&str] = &[$($word),*];

        /// Indexes into [`REASONS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Reason { $($name,)* }
    };
}

reasons! {
    Filtered "filtered",
    Consumed "consumed",
    NoBuffer "no_buffer",
    NoServer "no_server",
    Loop "loop",
    TtlExpired "ttl_expired",
    Fragment "fragment",
    BadChecksum "csum_bad",
    BadMessage "bad_message",
    BadRequest "bad_request",
    BadResponse "bad_response",
    BadSource "bad_source",
    BadNeighbour "bad_neighbour",
    WriteRefused "write_refused",
}
