//! Nothing that a connection goes through may leave a descriptor behind. A process of its own, so that
//! no other test opens any meanwhile.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod script;

use ringwire_gateway::shell::End;
use script::gateway;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A closed descriptor goes once the kernel has cancelled what waited on it.
fn settle_at(at: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while descriptors() > at {
        assert!(
            Instant::now() < end,
            "{} descriptors, at most {at} expected",
            descriptors()
        );
        std::thread::yield_now();
    }
}

#[test]
fn connections_that_move_close_or_vanish_leave_no_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(2, folder.path());
    let address = gateway.running.address();
    let ask = |stream: &mut BufReader<TcpStream>, command: &str| {
        stream
            .get_mut()
            .write_all(format!("{command}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        line
    };
    let connect = || BufReader::new(TcpStream::connect(address).unwrap());
    // The first connection may make the runtime open something for good.
    assert_eq!(ask(&mut connect(), "echo warm"), "warm\n");
    let before = descriptors();
    for round in 0..100 {
        let mut client = connect();
        let here: u16 = ask(&mut client, "core").trim().parse().unwrap();
        for to in [1 - here, here, 1 - here] {
            assert_eq!(
                ask(&mut client, &format!("move {to}")),
                format!("moved to {to}\n")
            );
        }
        match round % 3 {
            0 => assert_eq!(ask(&mut client, "bye"), "bye\n"),
            1 => client.get_mut().write_all(b"frames 100000\n").unwrap(),
            _ => {}
        }
    }
    settle_at(before);
    assert_eq!(
        gateway.running.shutdown(Duration::from_secs(10)),
        End::Clean
    );
}
