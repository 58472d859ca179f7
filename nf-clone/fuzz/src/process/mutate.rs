//! Changes scripts by whole steps, so that what one step means does not depend on those before it.

/// Bytes of a step, and of the settings before the first.
const STEP: usize = 8;

/// Changes `data[..size]`, in place, to at most `max` bytes; gives the new size. Every other time it is left
/// to `bytes`, which changes any.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let max = max.min(super::MAX_SCRIPT);
    let size = size.min(max);
    let mut state = u64::from(seed) << 1 | 1;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % bound.max(1)
    };
    for _ in 0..4 {
        below(1);
    }
    let steps = (size / STEP).saturating_sub(1);
    let room = (max.min(data.len()) / STEP).saturating_sub(1);
    let at = |step: usize| (step + 1) * STEP;
    match below(12) {
        // A step twice, here or further on.
        0 | 1 if steps > 0 && steps < room => {
            let (from, to) = (below(steps), below(steps + 1));
            let mut step = [0; STEP];
            step.copy_from_slice(&data[at(from)..at(from + 1)]);
            data.copy_within(at(to)..at(steps), at(to + 1));
            data[at(to)..at(to + 1)].copy_from_slice(&step);
            at(steps + 1)
        }
        // One step less.
        2 if steps > 1 => {
            let gone = below(steps);
            data.copy_within(at(gone + 1)..at(steps), at(gone));
            at(steps - 1)
        }
        // A new one.
        3 if steps < room => {
            let to = below(steps + 1);
            data.copy_within(at(to)..at(steps), at(to + 1));
            data[at(to)..at(to + 1)].fill_with(|| below(256) as u8);
            at(steps + 1)
        }
        // Two change places.
        4 if steps > 1 => {
            let (one, other) = (below(steps), below(steps));
            for byte in 0..STEP {
                data.swap(at(one) + byte, at(other) + byte);
            }
            at(steps)
        }
        // One field of one step, or of the settings.
        5 | 6 if steps > 0 => {
            let step = below(steps + 1);
            data[step * STEP + below(STEP)] = below(256) as u8;
            at(steps)
        }
        _ => bytes(data, size, max),
    }
}
