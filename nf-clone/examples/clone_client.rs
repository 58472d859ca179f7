//! A client of NetClone to copy: sends requests, prints the answers and how long they took.
//!
//!     cargo run -p nf-clone --no-default-features --example clone_client -- 127.0.0.1:9043 30 hello
//!
//! The arguments are the address of the service (the appliance's VIP, or a server), the appliance's number
//! of groups (n(n-1) with n servers; 1 without an appliance), and the payloads.

use std::error::Error;
use std::time::Duration;

use nf_clone::client::Config;
use nf_clone::udp::{Client, Options, Sources};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [service, groups, payloads @ ..] = arguments.as_slice() else {
        return Err("usage: clone_client ADDRESS:PORT GROUPS PAYLOAD...".into());
    };
    let config = Config {
        timeout: Duration::from_millis(50),
        retries: 4,
        ..Config::new(groups.parse()?)
    };
    let mut client = Client::new(service, config, Sources::Service)?;

    // One after the other.
    for payload in payloads {
        let answer = client.call(payload.as_bytes())?;
        println!(
            "{} from server {} in {:?}, {} attempt(s)",
            String::from_utf8_lossy(&answer.payload),
            answer.sid,
            answer.took,
            answer.attempts
        );
    }

    // All at once. The token says which request an answer belongs to.
    for (payload, token) in payloads.iter().zip(0..) {
        let options = Options {
            token,
            ..Options::default()
        };
        client.send(payload.as_bytes(), options)?;
    }
    while client.in_flight() > 0 {
        if let Some(completion) = client.wait(Duration::from_secs(1))? {
            let answer = completion.result?;
            let text = String::from_utf8_lossy(&answer.payload).into_owned();
            println!("{}: {text} in {:?}", completion.token, answer.took);
        }
    }
    println!("{:?}", client.counters());
    Ok(())
}
