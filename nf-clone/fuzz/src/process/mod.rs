//! The stage whole: settings, then whatever may happen to it, one step of eight bytes after the other.
//!
//! A script begins with eight bytes that choose the settings ([`rack`]). Its [`steps`] are requests, servers'
//! answers to what came out before, edits of the next frame, raw bytes, time, changes by the control side, and
//! scarcity of buffers. Most bytes mean something valid, so that what is tried gets past the first check.
//! [`judge`] says what must hold of each frame, [`run`] what must hold at the end.

mod frames;
mod judge;
mod mutate;
mod rack;
mod run;
mod steps;

pub use mutate::mutate;

/// Longest script, bytes.
pub const MAX_SCRIPT: usize = 8 * 65;

/// Runs `data` as a script.
pub fn process(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let rest = rest.get(..MAX_SCRIPT - 8).unwrap_or(rest);
    run::script(&rack::Rack::new(*head), steps::Steps::new(rest));
}
