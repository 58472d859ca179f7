//! A server of NetClone to copy: answers every request with its payload, in capitals.
//!
//!     cargo run -p nf-clone --no-default-features --example clone_server -- 127.0.0.1:9043 0
//!
//! The arguments are the address, the server's SID as the appliance's configuration has it, and the number
//! of workers (15).

use std::error::Error;
use std::time::Duration;

use nf_clone::udp::{Server, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, sid, rest @ ..] = arguments.as_slice() else {
        return Err("usage: clone_server ADDRESS:PORT SID [WORKERS]".into());
    };
    let workers = rest.first().map_or(Ok(15), |text| text.parse())?;
    let settings = Settings::new(sid.parse()?, workers);
    let server = Server::start(address, settings, |call, answer| {
        // The work. It runs on all workers at a time, and a read may run on two servers.
        answer.extend(call.payload.to_ascii_uppercase());
    })?;
    println!("server {sid} listens at {}", server.address());
    loop {
        std::thread::sleep(Duration::from_secs(10));
        println!("{} waiting, {:?}", server.waiting(), server.totals());
    }
}
