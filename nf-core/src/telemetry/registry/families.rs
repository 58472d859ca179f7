//! The families of metrics that every appliance has, and those of stages.

use std::borrow::Cow;

use crate::telemetry::family::families;
use crate::telemetry::{CounterDesc, Family, Kind};

families! {
    /// The families every appliance has, for the docs and their test.
    pub(super) fn fixed_families;
    STAGE_INPUT = "sluice_stage_input_packets_total", Counter, ["stage", "direction"],
        "Packets given to a stage.";
    STAGE_FORWARD = "sluice_stage_forward_packets_total", Counter, ["stage", "direction"],
        "Packets a stage let go on in their direction.";
    STAGE_BACK = "sluice_stage_back_packets_total", Counter, ["stage", "direction"],
        "Packets a stage turned round, by the direction they came in.";
    STAGE_ORIGINATED = "sluice_stage_originated_packets_total", Counter, ["stage", "direction"],
        "Packets a stage made, new ones and copies, by the direction they are for.";
    STAGE_DROPPED = "sluice_stage_dropped_packets_total", Counter, ["stage", "reason"],
        "Packets a stage dropped, by reason.";
    STAGE_HELD = "sluice_stage_held_packets", Gauge, ["stage"],
        "Packets a stage has taken and neither let go nor dropped.";
    STAGE_CYCLES = "sluice_stage_cycles_total", Counter, ["stage"],
        "Cycles of the time-stamp counter spent in a stage.";
    STAGE_BATCH = "sluice_stage_batch_packets", Histogram, ["stage"],
        "Packets in the batches given to a stage.";
    CORE_LOOPS = "sluice_core_loops_total", Counter, ["core"],
        "Turns of a core's loop.";
    CORE_POLLS = "sluice_core_polls_total", Counter, ["core", "result"],
        "Receive queues asked for packets, by result: empty, partial, or full (more may wait).";
    CORE_BUSY = "sluice_core_busy_seconds_total", Counter, ["core"],
        "Time in turns of the loop that had something to do.";
    CORE_IDLE = "sluice_core_idle_seconds_total", Counter, ["core"],
        "Time in turns of the loop that had nothing to do, and asleep.";
    CORE_SLEEPS = "sluice_core_sleeps_total", Counter, ["core"],
        "Times a core slept because it had nothing to do.";
    CORE_TIMERS = "sluice_core_timers_total", Counter, ["core"],
        "Timers that expired on a core.";
    CORE_REFRESHES = "sluice_core_refreshes_total", Counter, ["core"],
        "Times a core took over a published change.";
    CORE_INBOX = "sluice_core_inbox_commands_total", Counter, ["core"],
        "Commands of the control side that a core obeyed.";
    CORE_ALLOC_FAILED = "sluice_core_alloc_failed_total", Counter, ["core"],
        "Packets asked for when the mempool had none left.";
    TRANSIT = "sluice_transit_seconds", Histogram, ["direction"],
        "Time from a packet's receipt to its hand-over to the transmit port.";
    PORT_RX_PACKETS = "sluice_port_receive_packets_total", Counter, ["port", "queue"],
        "Packets received from a port.";
    PORT_RX_BURSTS = "sluice_port_receive_bursts_total", Counter, ["port", "queue"],
        "Receive bursts with at least one packet.";
    PORT_TX_PACKETS = "sluice_port_transmit_packets_total", Counter, ["port", "queue"],
        "Packets a port took for sending.";
    PORT_TX_BURSTS = "sluice_port_transmit_bursts_total", Counter, ["port", "queue"],
        "Transmit bursts handed to a port.";
    PORT_DROPPED = "sluice_port_dropped_packets_total", Counter, ["port", "queue", "reason"],
        "Packets dropped because a port could not take them, by reason.";
    DEVICE_RX_BYTES = "sluice_port_receive_bytes_total", Counter, ["port"],
        "Bytes received, as the device counts them, sampled every second; ring ports count none.";
    DEVICE_TX_BYTES = "sluice_port_transmit_bytes_total", Counter, ["port"],
        "Bytes sent, as the device counts them, sampled every second; ring ports count none.";
    DEVICE_MISSED = "sluice_port_receive_missed_packets_total", Counter, ["port"],
        "Packets the device dropped because its receive queue was full.";
    DEVICE_NO_MBUF = "sluice_port_receive_no_mbuf_total", Counter, ["port"],
        "Receives that failed because the mempool was exhausted.";
    DEVICE_RX_ERRORS = "sluice_port_receive_errors_total", Counter, ["port"],
        "Broken packets, as the device counts them.";
    DEVICE_TX_ERRORS = "sluice_port_transmit_errors_total", Counter, ["port"],
        "Packets that the device could not send.";
    DEVICE_LOSSES = "sluice_port_losses_total", Counter, ["port"],
        "Times the device behind a port was gone.";
    DEVICE_UP = "sluice_port_up", Gauge, ["port"],
        "1 while a port is in service and has carrier, else 0.";
    MEMPOOL_PACKETS = "sluice_mempool_packets", Gauge, [],
        "Packets that the pool has.";
    MEMPOOL_IN_USE = "sluice_mempool_in_use_packets", Gauge, [],
        "Packets of the pool in use; those in the caches of cores count as free.";
    INFO = "sluice_info", Gauge, ["name", "version", "dpdk"],
        "Always 1; the labels say which program this is.";
    TSC = "sluice_tsc_hertz", Gauge, [],
        "Cycles of the time-stamp counter a second.";
}

/// The family of a stage's own counter. Samples of stages of the same kind differ by `stage`.
pub(super) fn custom_family(kind: &str, desc: &CounterDesc) -> Family {
    let word = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    // A counter may call itself a total; the metric does so once.
    let counter = desc.name.strip_suffix("_total").unwrap_or(desc.name);
    Family {
        name: Cow::Owned(format!("sluice_{}_{}_total", word(kind), word(counter))),
        help: Cow::Borrowed(desc.help),
        kind: Kind::Counter,
        labels: &["stage"],
    }
}
