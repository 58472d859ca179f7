//! Real clients' traffic to real servers that know nothing of cloning: three memcached over UDP and
//! three DNS servers behind one appliance. `cargo xtask soak clone-memcached` makes many more requests.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clone_rig::control::count;
use clone_rig::plain::{self, Clients, Judgement, Plan, Speaks, Tally, memcached};
use clone_rig::{Bed, Links, Mode};
use testkit::{Need, Process, Sluice, require, wait_for};

const LIMIT: Duration = Duration::from_secs(15);

/// Requests that a client makes.
const EACH: u32 = 6_000;

fn bed() -> Bed {
    Bed::new(Mode::Gateway, Links::Veth, 3).unwrap()
}

/// Three clients make that many requests each.
fn ask(bed: &Bed, port: u16, speaks: &Arc<dyn Speaks>, each: u32, in_flight: usize) -> Tally {
    let plan = Plan {
        each: Some(each),
        in_flight,
        ..Plan::default()
    };
    let clients = Clients::start(bed, port, speaks.clone(), plan).unwrap();
    clients.finish_all().unwrap()
}

/// An appliance before the service, which has answered some requests, so that neighbours are known.
fn start<'a>(bed: &'a Bed, port: u16, protocol: &str, speaks: &Arc<dyn Speaks>) -> Sluice<'a> {
    let settings = plain::settings(bed, port, protocol);
    let sluice = bed.start(&settings, None).unwrap();
    let tally = ask(bed, port, speaks, 50, 1);
    assert_eq!(tally.lost, 0, "{tally:?}");
    sluice
}

fn perfect(tally: &Tally, requests: u32) {
    tally.check().unwrap();
    assert_eq!(tally.right, u64::from(requests), "{tally:?}");
}

#[test]
fn f08_f14_f17_memcached_gets_are_answered_once_and_right() {
    require!(Need::Root, Need::Command("memcached"));
    let bed = bed();
    let _servers = memcached::Servers::start(&bed).unwrap();
    let gets: Arc<dyn Speaks> = Arc::new(memcached::Gets { servers: 3 });
    let sluice = start(&bed, memcached::PORT, "memcached", &gets);
    let level = sluice.packets_in_use();
    perfect(&ask(&bed, memcached::PORT, &gets, EACH, 1), EACH * 3);
    assert!(count(&sluice, "plain_cloned") > u64::from(EACH) / 4);
    assert!(count(&sluice, "plain_slower") > u64::from(EACH) / 8);
    assert!(count(&sluice, "plain_further") > 0);
    // Clients that do not wait.
    perfect(&ask(&bed, memcached::PORT, &gets, EACH, 8), EACH * 3);

    // A write is not spread over servers that do not tell each other.
    let socket = Clients::socket(&bed, memcached::PORT).unwrap();
    let mut set = vec![0, 9, 0, 0, 0, 1, 0, 0];
    set.extend(b"set key1 0 0 1\r\nx\r\n");
    socket.send(&set).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(250)))
        .unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err());
    assert_eq!(count(&sluice, "plain_write_refused"), 1);
    perfect(&ask(&bed, memcached::PORT, &gets, 100, 1), 300);
    sluice.assert_conserved(level);
}

/// One server is killed, one hangs, one is drained, one comes back empty, the appliance is killed and
/// started again, all while clients ask.
#[test]
fn f08_f21_f22_x06_x08_memcached_clients_get_their_answers_while_servers_and_the_appliance_fail() {
    require!(Need::Root, Need::Command("memcached"));
    let options = plain::soak::Options {
        requests: 20_000,
        plan: Plan {
            in_flight: 4,
            ..Plan::default()
        },
        links: Links::Veth,
        disturbed: true,
        program: None,
    };
    let mut story = String::new();
    let outcome = plain::soak::run(&options, &mut |line| {
        story += &format!("{line}\n");
        Ok(())
    });
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}\n{story}"));
    let told = format!("{story}\n{}", outcome.table());
    outcome
        .check()
        .unwrap_or_else(|error| panic!("{error}\n{told}"));
    assert!(outcome.all().right >= 20_000, "{told}");
    assert!(outcome.cloned > 0 && outcome.slower > 0, "{told}");
    // An empty server's misses reach clients, and the checker sees them.
    assert!(outcome.all().missed > 0, "{told}");
}

/// Names that the servers know.
const HOSTS: u32 = 100;

/// DNS queries with random-looking case.
struct Queries;

fn name(n: u32) -> String {
    format!("host{}.example", n % HOSTS)
}

/// The name with some letters in upper case, by the id.
fn spelt(id: u16, n: u32) -> String {
    let letter = |(at, letter): (usize, char)| match id >> (at % 16) & 1 {
        1 => letter.to_ascii_uppercase(),
        _ => letter,
    };
    name(n).chars().enumerate().map(letter).collect()
}

fn question(id: u16, n: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in spelt(id, n).split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

impl Speaks for Queries {
    fn request(&self, id: u16, n: u32) -> Vec<u8> {
        let words = [id, 0x0100, 1, 0, 0, 1];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend(question(id, n));
        // EDNS, 1232 bytes.
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    fn id(&self, datagram: &[u8]) -> Option<u16> {
        datagram.first_chunk().map(|id| u16::from_be_bytes(*id))
    }

    fn part(&self, _n: u32, _datagram: &[u8]) -> Option<(usize, usize)> {
        Some((0, 1))
    }

    fn judge(&self, id: u16, n: u32, parts: &[Vec<u8>]) -> Judgement {
        let answer = &parts[0];
        let question = question(id, n);
        let host = (n % HOSTS) as u8;
        // A reply without error, its question in our own spelling, and one address.
        let right = answer[2] & 0x80 != 0
            && answer[3] & 15 == 0
            && answer.get(12..12 + question.len()) == Some(&question[..])
            && answer.windows(4).any(|window| window == [10, 99, 0, host]);
        match right {
            true => Judgement::Right,
            false => Judgement::Wrong,
        }
    }
}

fn start_dns(bed: &Bed) -> Vec<Process> {
    let start = |sid: u8| {
        let mut command: Command = bed.hosts.command("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--bind-interfaces",
                "--user=root",
                "--pid-file=",
                "--log-facility=-",
            ])
            .arg(format!("--listen-address={}", bed.server(sid)))
            .args(["--except-interface=lo", "--local-ttl=60"]);
        for n in 0..HOSTS {
            command.arg(format!("--host-record={},10.99.0.{n}", name(n)));
        }
        Process::spawn("dnsmasq", &mut command).unwrap()
    };
    (0..bed.servers()).map(start).collect()
}

#[test]
fn f08_x06_dns_queries_are_answered_once_and_right_also_when_a_server_dies() {
    require!(Need::Root, Need::Command("dnsmasq"));
    let bed = bed();
    let mut servers = start_dns(&bed);
    let queries: Arc<dyn Speaks> = Arc::new(Queries);
    let sluice = start(&bed, 53, "dns", &queries);
    let each = EACH / 2;
    perfect(&ask(&bed, 53, &queries, each, 1), each * 3);
    assert!(count(&sluice, "plain_cloned") > u64::from(each) / 4);
    assert!(count(&sluice, "plain_slower") > u64::from(each) / 8);
    let clients = Clients::start(&bed, 53, queries, Plan::default()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    servers[1].kill();
    wait_for("the dead server to be found", LIMIT, || {
        (count(&sluice, "server_down") > 0).then_some(())
    })
    .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    clients.end_all().unwrap().check().unwrap();
}
