//! What stages do before any packet has come.

use super::*;

/// Emits one packet each way at the start, and sets a timer whose packet says which token it had.
struct Starter;

impl Starter {
    fn emit(cx: &mut Cx<'_>, direction: Direction, byte: u8) {
        let mut packet = cx.alloc().expect("a packet");
        packet.append(1).expect("room")[0] = byte;
        cx.emit(direction, packet);
    }
}

impl Stage for Starter {
    fn start(&mut self, cx: &mut Cx<'_>) {
        assert!(cx.now() > 0, "the clock has been read");
        Starter::emit(cx, Direction::ToServer, b's');
        Starter::emit(cx, Direction::ToClient, b'c');
        cx.timer(1_000_000, u64::from(b't')).expect("a timer");
    }

    fn process(&mut self, _cx: &mut Cx<'_>, _batch: &mut Batch) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, token: u64) {
        Starter::emit(cx, Direction::ToServer, token as u8);
    }
}

#[test]
fn what_a_stage_emits_at_the_start_leaves_the_chain() {
    let mut bench = Bench::new(vec![pass(), pass(), pass()]);
    bench.time.advance(5);
    bench.chain.replace_shard(1, Box::new(Starter));
    bench.chain.start(&mut bench.env, &mut bench.sink);
    let out = std::mem::take(&mut bench.sink.0);
    assert_eq!(out, [(1, b's'), (0, b'c')]);
    assert_eq!(*bench.log.lock().expect("log"), ["c", "a"]);
    assert_eq!(bench.stage("b").originated, [2, 0]);
    bench.time.advance(2_000_000);
    bench.env.tick();
    assert_eq!(bench.chain.expire(&mut bench.env, &mut bench.sink), 1);
    assert_eq!(std::mem::take(&mut bench.sink.0), [(1, b't')]);
    bench.assert_conserved();
}
