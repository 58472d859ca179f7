//! Two stages without settings or state: `pass`, which does nothing, and `swap`, which turns packets
//! around in place. They measure what a stage costs, and stand in for servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chain::{BuildContext, BuildError, Cx, ReloadError, Stage, StageControl, StageType};
use crate::packet::Batch;
use crate::wire::turn_around;

/// The settings of a stage that has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// The kind `pass`: packets go through untouched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pass;

/// The kind `swap`: MAC and IP addresses and ports change places, so that a packet would go back to
/// its sender. Direction and port are not changed: behind a port for servers it answers for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Swap;

/// Index into the reasons of `swap`.
const NO_BUFFER: usize = 0;

/// Makes the shards of a stage that has no control side to speak of.
struct Plain<F>(F);

impl<F: FnMut() -> Box<dyn Stage> + Send> StageControl for Plain<F> {
    fn shard(&mut self, _core: usize) -> Box<dyn Stage> {
        self.0()
    }

    fn reload(&mut self, _config: &Value) -> Result<(), ReloadError> {
        Ok(()) // there is nothing to change
    }
}

impl StageType for Pass {
    const NAME: &'static str = "pass";
    const SUMMARY: &'static str = "lets every packet through, to measure what a stage costs";
    type Settings = NoSettings;

    fn build(_: NoSettings, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(Plain(|| Box::new(PassShard) as Box<dyn Stage>)))
    }
}

impl StageType for Swap {
    const NAME: &'static str = "swap";
    const SUMMARY: &'static str = "exchanges MAC addresses, IP addresses and ports of every packet";
    const REASONS: &'static [&'static str] = &["no_buffer"];
    type Settings = NoSettings;

    fn build(_: NoSettings, _: &BuildContext) -> Result<Box<dyn StageControl>, BuildError> {
        Ok(Box::new(Plain(|| Box::new(SwapShard) as Box<dyn Stage>)))
    }
}

struct PassShard;

impl Stage for PassShard {
    fn process(&mut self, _: &mut Cx<'_>, _: &mut Batch) {}
}

struct SwapShard;

impl Stage for SwapShard {
    fn process(&mut self, cx: &mut Cx<'_>, batch: &mut Batch) {
        cx.edit(batch, NO_BUFFER, |packet| {
            let len = packet.len();
            turn_around(packet.data_mut(), len);
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::packet::Packet;
    use crate::testing::{BenchOptions, Frame, StageBench};

    const HERE: &str = "10.0.0.1:7";
    const THERE: &str = "10.0.0.2:9";

    /// Two packets over the same bytes.
    fn shared_pair(bench: &StageBench) -> Vec<Packet> {
        let frame = Frame::udp(HERE, THERE).payload(b"x").build();
        let packet = Packet::from_bytes(bench.pool(), &frame).unwrap();
        let twin = packet.share(bench.pool()).unwrap();
        vec![packet, twin]
    }

    #[test]
    fn swap_turns_every_packet_around() {
        let mut bench = StageBench::new(&Swap, json!({}));
        let frames = [
            Frame::udp(HERE, THERE).build(),
            Frame::tcp("[fd00::1]:7", "[fd00::2]:9").vlan(7).build(),
            Frame::ping("10.0.0.1", "10.0.0.2").build(),
            vec![1, 2, 3],
        ];
        let sent = bench.run(StageBench::CLIENTS, &frames);
        for (sent, frame) in sent.iter().zip(&frames) {
            let mut expected = frame.clone();
            turn_around(&mut expected, frame.len());
            assert_eq!(&sent.bytes, &expected);
            assert!(frame.len() < 12 || sent.bytes != *frame);
        }
        assert_eq!(sent.len(), frames.len());
        bench.assert_conserved();
    }

    #[test]
    fn swap_writes_no_bytes_that_another_packet_shares() {
        let mut bench = StageBench::new(&Swap, json!({}));
        let packets = shared_pair(&bench);
        let mut expected = packets[0].data().to_vec();
        let len = expected.len();
        turn_around(&mut expected, len);
        let sent = bench.run_packets(0, StageBench::CLIENTS, packets);
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|sent| sent.bytes == expected), "each once");
        bench.assert_conserved();
    }

    #[test]
    fn swap_drops_shared_packets_when_there_is_no_buffer_to_copy_them_to() {
        let options = BenchOptions {
            packets: 63,
            ..BenchOptions::default()
        };
        let mut bench = StageBench::with(&Swap, json!({}), options);
        let packets = shared_pair(&bench);
        let rest: Vec<Packet> = std::iter::from_fn(|| Packet::alloc(bench.pool())).collect();
        let sent = bench.run_packets(0, StageBench::CLIENTS, packets);
        // Both: neither was its bytes' only owner when they were to be changed.
        assert_eq!((sent.len(), bench.dropped("no_buffer")), (0, 2));
        drop(rest);
        bench.assert_conserved();
    }
}
