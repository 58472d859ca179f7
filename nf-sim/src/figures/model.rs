//! What a queueing model of the same rack gives: 99th percentiles in microseconds at load 0.1 to 0.9.
//!
//! Open-loop Poisson arrivals, 1 us a hop, 0.15 us a packet at a server, workers first come first served,
//! independent draws, 0.25 us a response at a client, two clients.

/// The loads of the rows.
pub const LOADS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// A row: values by load; none where the model broke down.
pub type Row = [Option<f64>; 9];

const fn row(values: [u32; 9]) -> Row {
    let mut row = [None; 9];
    let mut at = 0;
    while at < 9 {
        if values[at] > 0 {
            row[at] = Some(values[at] as f64);
        }
        at += 1;
    }
    row
}

/// Exp(25), p = 0.01.
pub const EXP_BASELINE: Row = row([148, 148, 148, 148, 149, 148, 148, 162, 260]);
/// C-Clone breaks down beyond 0.4.
pub const EXP_C_CLONE: Row = row([64, 64, 65, 72, 0, 0, 0, 0, 0]);
/// NetClone.
pub const EXP_NETCLONE: Row = row([64, 64, 69, 86, 106, 122, 138, 166, 244]);
/// NetClone, Bimodal(25, 250), p = 0.01.
pub const BIMODAL_NETCLONE: Row = row([254, 254, 254, 254, 264, 278, 320, 380, 707]);
/// Exp(25), p = 0.001.
pub const LOW_BASELINE: Row = row([121, 121, 121, 121, 121, 122, 123, 126, 149]);
/// NetClone.
pub const LOW_NETCLONE: Row = row([62, 62, 66, 82, 97, 110, 117, 126, 147]);
/// Exp(25), p = 0.01, the time belongs to the request.
pub const BOUND_NETCLONE: Row = row([120, 120, 120, 123, 128, 135, 142, 166, 341]);

/// How far a single run of the model may be from its mean, as a share of a 99th percentile in microseconds: at
/// load 0.9 by 25 us.
pub fn spread(load: f64, p99_us: f64) -> f64 {
    match load > 0.85 {
        true => 25.0 / p99_us,
        false => 0.0,
    }
}

/// The value at a load, if the row has one.
pub fn at(row: &Row, load: f64) -> Option<f64> {
    let place = LOADS.iter().position(|known| (known - load).abs() < 1e-6)?;
    row.get(place).copied().flatten()
}
