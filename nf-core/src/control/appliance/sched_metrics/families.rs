//! The families of metrics of an appliance with a scheduler.

use crate::telemetry::family::families;

families! {
    /// The families of an appliance with a scheduler, for the docs and their test.
    pub fn sched_families;
    ACTOR_MESSAGES = "sluice_sched_actor_messages_total", Counter, ["actor"],
        "Messages that an actor has handled; to a stage, each packet is one.";
    ACTOR_BUSY = "sluice_sched_actor_busy_seconds_total", Counter, ["actor"],
        "Time that an actor has worked, wherever it was.";
    ACTOR_SERVICE_MEAN = "sluice_sched_actor_service_mean_seconds", Gauge, ["actor"],
        "Service time of a message, without waiting: weighted mean.";
    ACTOR_SERVICE_DEVIATION = "sluice_sched_actor_service_deviation_seconds", Gauge, ["actor"],
        "Service time of a message: standard deviation.";
    ACTOR_SOJOURN_MEAN = "sluice_sched_actor_sojourn_mean_seconds", Gauge, ["actor"],
        "From a message's arrival to its end, with all waiting: weighted mean.";
    ACTOR_SOJOURN_DEVIATION = "sluice_sched_actor_sojourn_deviation_seconds", Gauge, ["actor"],
        "From a message's arrival to its end: standard deviation.";
    ACTOR_BYTES = "sluice_sched_actor_message_mean_bytes", Gauge, ["actor"],
        "Length of a message: weighted mean.";
    ACTOR_LOAD = "sluice_sched_actor_load_ratio", Gauge, ["actor"],
        "Share of one core that an actor uses: service time by messages a second.";
    ACTOR_WAITING = "sluice_sched_actor_waiting_messages", Gauge, ["actor"],
        "Messages that wait for an actor on the packet cores, those held back during a migration included.";
    ACTOR_MAILBOX = "sluice_sched_actor_mailbox_messages", Gauge, ["actor"],
        "Messages that an actor's mailbox takes.";
    ACTOR_HOLD_BACK = "sluice_sched_actor_hold_back_messages", Gauge, ["actor"],
        "Messages that are held back, at most, while an actor is moved.";
    ACTOR_LOST = "sluice_sched_actor_lost_messages_total", Counter, ["actor", "reason"],
        "Messages for an actor that ended before it: mailbox full, held back too many, way to the worker full, actor gone.";
    ACTOR_PLACE = "sluice_sched_actor_place", Gauge, ["actor", "place", "worker"],
        "1 for where an actor is, 0 for the other places: fcfs and drr on the packet cores, worker, moving, out_of_service. Of workers only the one it is on is listed.";
    MIGRATION_PHASE = "sluice_sched_migration_phase", Gauge, ["phase"],
        "1 for the phase that the migration under way is in, 0 for the others; all 0 when nothing is moved.";
    MIGRATION_PHASE_SECONDS = "sluice_sched_migration_phase_seconds", Histogram, ["phase"],
        "Time that migrations took, by phase.";
    MIGRATIONS = "sluice_sched_migrations_total", Counter, ["way", "outcome"],
        "Migrations that ended, by way (push to a worker, pull from one) and outcome (done, rolled_back).";
    DECISIONS = "sluice_sched_decisions_total", Counter, ["action", "rule"],
        "Decisions, by action and by the rule that led to it. Moves by hand are none.";
    FAILURES = "sluice_sched_failures_total", Counter, ["failure"],
        "Actors that were taken out of service, by why: their handler panicked, it overran its time, or somebody deleted them.";
    GROUP_CORES = "sluice_sched_group_cores", Gauge, ["group"],
        "Cores of a group: first come first served, deficit round robin, workers.";
    GROUP_ACTORS = "sluice_sched_group_actors", Gauge, ["group"],
        "Actors of a group; one that is moved is in none.";
    GROUP_LOAD = "sluice_sched_group_load_cores", Gauge, ["group"],
        "What the actors of a group use together, in whole cores.";
    CORE_GROUP = "sluice_sched_core_group", Gauge, ["core", "group"],
        "1 for the group of a packet core, 0 for the other one.";
    WORKER_BUSY = "sluice_sched_worker_busy_ratio", Gauge, ["worker"],
        "Share of the last second that a worker core had something to do.";
    WORKER_BUSY_SECONDS = "sluice_sched_worker_busy_seconds_total", Counter, ["worker"],
        "Time that a worker core had something to do.";
    WORKER_ACTORS = "sluice_sched_worker_actors", Gauge, ["worker"],
        "Actors on a worker core.";
    LATENCY_MEAN = "sluice_sched_latency_mean_seconds", Gauge, [],
        "Latency of operations of the first come, first served group since the last change: weighted mean.";
    LATENCY_TAIL = "sluice_sched_latency_tail_seconds", Gauge, [],
        "The same: mean and three deviations.";
    LATENCY_SAMPLES = "sluice_sched_latency_samples", Gauge, [],
        "Operations that the two were taken from, since the last change.";
    THRESHOLD_MEAN = "sluice_sched_threshold_mean_seconds", Gauge, [],
        "Mean latency above which an actor is pushed to a worker.";
    THRESHOLD_TAIL = "sluice_sched_threshold_tail_seconds", Gauge, [],
        "Tail latency above which an actor is put under round robin.";
    PARAMETER = "sluice_sched_parameter", Gauge, ["parameter"],
        "Every parameter in force, by its key under `scheduler`, times in seconds; a switch is 0 or 1, a word is part of the name.";
}
