//! What objects, regions and their moves promise.

mod containers;
mod forged;
mod moves;
mod objects;
mod over_channel;

use super::incoming::Incoming;
use super::{ObjectId, Region, TransferError};
use crate::sched::ActorId;

fn actor(index: u16) -> ActorId {
    ActorId {
        index,
        generation: 3,
    }
}

fn region() -> Region {
    Region::new(actor(7), 16 << 20)
}

/// All objects with their ids: what has to be the same after a move.
fn contents(region: &Region) -> Vec<(ObjectId, Vec<u8>)> {
    let mut all = Vec::new();
    region.for_each(|id, bytes| all.push((id, bytes.to_vec())));
    all
}

/// Copies a region, in frames of `frame` bytes, as two sides do that talk to each other.
fn copy(source: &mut Region, frame: usize) -> Result<Region, TransferError> {
    let mut outgoing = source.start_copy(77)?;
    let mut incoming = Incoming::new(usize::MAX);
    let mut buffer = vec![0; frame];
    loop {
        let len = outgoing.fill(source, &mut buffer)?;
        if incoming.accept(&buffer[..len])? {
            break;
        }
        assert_ne!(len, 0, "the end has been sent");
    }
    let arrived = incoming.finish()?;
    let receipt = super::Receipt::decode(&arrived.receipt().encode())?;
    let commit = source
        .commit_copy(outgoing, &receipt)
        .map_err(|(_, error)| error)?;
    let commit = super::Commit::decode(&commit.encode())?;
    Ok(arrived
        .activate(&commit)
        .expect("the commit is of this transfer"))
}
