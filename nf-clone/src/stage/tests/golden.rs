//! The golden vectors: a request, its two copies, and their two answers, byte by byte.

use serde_json::json;

use super::*;

const V1: &str = "02000000010002000000000108004500004c12344000401113ff0a00000b0a000064c35023530038895b\
    4e431a01000001000000ffff0000000700000001000000000000000000000000000000aa000000054142434445464748";
const V2: &str = "02000000020102000000010108004500004c123440003f1113fd0a00000b0a000166c35023530038884c\
    4e431a0100010100000100030000000700000001000000000001000000000007000000aa000000054142434445464748";
const V3: &str = "02000000020302000000010108004500004c123440003f1113fb0a00000b0a000168c350235300388849\
    4e431a0100020100000100030000000700000001000000000001000000000007000000aa000000054142434445464748";
const V4: &str = "02000000010102000000020308004500004c12344000401112fb0a0001680a00000b2353c35000388848\
    4e431a0200020100000100030000000700000001000000000001000000000007000000aa000000054142434445464748";
const V5: &str = "02000000000102000000010008004500004c123440003f1114ff0a0000640a00000b2353c3500038894c\
    4e431a0200020100000100030000000700000001000000000001000000000007000000aa000000054142434445464748";
const V6: &str = "02000000010102000000020108004500004c12344000401112fd0a0001660a00000b2353c35000388849\
    4e431a0200010100000100010000000700040001000000000001000000000007000000aa000000054142434445464748";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|n| u8::from_str_radix(&hex[2 * n..][..2], 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn f01_f05_f08_the_golden_vectors() {
    let folder = tempfile::tempdir().expect("a folder");
    let epoch_file = folder.path().join("epoch");
    let mut bench = gateway(6, json!({ "epoch_file": epoch_file }));
    // The vectors are of the seventh request.
    for seq in 0..6 {
        bench.run(CLIENTS, &[request(0, seq)]);
    }
    let sent = bench.run(CLIENTS, &[bytes(V1)]);
    let expected = [V2, V3].map(|hex| Sent {
        port: SERVERS,
        core: 0,
        bytes: bytes(hex),
        leaves_checksums: false,
    });
    assert_eq!(sent, expected, "the original first");
    let sent = bench.run(SERVERS, &[bytes(V4)]);
    let expected = Sent {
        port: CLIENTS,
        core: 0,
        bytes: bytes(V5),
        leaves_checksums: false,
    };
    assert_eq!(sent, [expected]);
    assert_eq!(bench.run(SERVERS, &[bytes(V6)]), [], "the slower one ends");
    assert_eq!(bench.dropped("filtered"), 1);
    // Server 1 has said that four wait: its groups are not cloned now.
    let sent = bench.run(CLIENTS, &[bytes(V1)]);
    assert_eq!(servers_of(&sent), [1]);
    assert_eq!(header(&sent[0].bytes).clo, 0);
    check_invariants(&bench);
    bench.assert_conserved();
}
