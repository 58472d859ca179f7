//! `work` on a bench, in virtual time; what it costs is seen where it is scheduled.

use serde_json::json;

use super::Work;
use crate::testing::{BenchOptions, Frame, StageBench, check};

#[test]
fn the_shares_of_packets_are_those_of_the_settings() {
    let config = json!({
        "filter": "udp port 53",
        "times": [{ "share": 0.2, "us": 5 }, { "share": 0.1, "us": 1, "exponential": true }],
    });
    let mut bench = StageBench::new(&Work, config);
    let dns = Frame::udp("10.0.0.1:7", "10.0.0.2:53").build();
    let other = Frame::udp("10.0.0.1:7", "10.0.0.2:54").build();
    for _ in 0..100 {
        let frames: Vec<_> = (0..20).map(|_| dns.clone()).collect();
        assert_eq!(bench.run(StageBench::CLIENTS, &frames).len(), 20);
        bench.run(StageBench::SERVERS, std::slice::from_ref(&other));
    }
    let worked = bench.counter("worked");
    assert!((500..700).contains(&worked), "{worked} of 2000");
    bench.assert_conserved();
}

#[test]
fn wrong_settings_are_told() {
    let told = |config| check(&Work, &config, &BenchOptions::default()).to_string();
    let shares = json!([{ "share": 0.7, "us": 1 }, { "share": 0.4, "us": 1 }]);
    let shares = told(json!({ "times": shares }));
    assert!(shares.contains("more than the whole"), "{shares}");
    let filter = told(json!({ "filter": "udp prot 53" }));
    assert!(filter.contains("tcpdump"), "{filter}");
}
