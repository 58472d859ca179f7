//! Worker cores and the scheduler: that each has what it needs of the other.

use super::draft::Draft;
use super::machine::exists;
use crate::check::{JsonPath, Machine, Problems, closest};
use crate::control::config::Idle;

pub(super) fn check(draft: &Draft<'_>, machine: Option<&Machine>, problems: &mut Problems) {
    let root = JsonPath::root();
    let (cores, scheduler) = (root.key("cores"), root.key("scheduler"));
    let path = cores.key("workers");
    let workers = draft.workers.as_deref().unwrap_or_default();
    if !workers.is_empty() && !draft.is_written(&scheduler) {
        problems
            .error(
                &path,
                "there are worker cores, and nobody who gives them work",
            )
            .help("add \"scheduler\": {}, or take the workers out");
    }
    let packet = draft.packet_cores.as_deref().unwrap_or_default();
    for (index, worker) in workers.iter().enumerate() {
        let place = path.index(index);
        if let Some(first) = workers.iter().take(index).position(|other| other == worker) {
            problems
                .error(&place, "this processor stands in the list twice")
                .found(worker)
                .help(format_args!("it stands at {} already", path.index(first)));
        }
        if let Some(same) = packet.iter().position(|core| core == worker) {
            let also = cores.key("packet").index(same);
            let problem = match draft.idle {
                Some(Idle::Poll) => problems.error(
                    &place,
                    "a worker and a packet core that never sleep cannot share a processor",
                ),
                _ => problems.warning(
                    &place,
                    "the worker shares its processor with a packet core: what is moved there still makes packets wait",
                ),
            };
            problem.found(worker);
            problem.help(format_args!("the packet core is {also}"));
        }
        if let Some(machine) = machine {
            exists(machine, draft, *worker, &place, problems);
        }
    }
    let stages = scheduler.key("stages");
    let names: Vec<&str> = draft
        .chain
        .iter()
        .filter_map(|stage| stage.name())
        .collect();
    for key in draft.keys(&stages) {
        if names.contains(&key) {
            continue;
        }
        let problem = problems.error(&stages.key(key), "no stage of the chain has this name");
        problem.found(format_args!("{key:?}"));
        match names.is_empty() {
            true => problem.allowed("none: the chain is empty"),
            false => problem.allowed(names.join(", ")),
        };
        if let Some(near) = closest(key, names.iter().copied()) {
            problem.help(format_args!("did you mean {near:?}?"));
        }
    }
}
