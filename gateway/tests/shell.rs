//! The shell with scripted machines, over real sockets and files on loopback.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod script;

use ringwire_gateway::core::CoreId;
use ringwire_gateway::shell::End;
use ringwire_link::frame::{self, preamble};
use ringwire_link::{FrameDecoder, ToControl, ToGateway};
use script::{Gateway, SEGMENT, Seen, gateway};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.running.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Connects until the kernel gives a connection to this core.
    fn on_core(gateway: &Gateway, core: CoreId) -> Self {
        loop {
            let mut client = Self::connect(gateway);
            if client.ask("core") == core.to_string() {
                return client;
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "connection ended after {line:?}");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\n").as_bytes());
        self.line()
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn stop(gateway: Gateway) {
    assert_eq!(
        gateway.running.shutdown(Duration::from_secs(10)),
        End::Clean
    );
}

#[test]
fn many_connections_are_served_side_by_side() {
    let folder = folder();
    let gateway = gateway(2, folder.path());
    let mut clients: Vec<_> = (0..300).map(|_| Client::connect(&gateway)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("echo hello {n}\n").as_bytes());
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line(), format!("hello {n}"));
    }
    drop(clients);
    let mut closed = 0;
    gateway.wait(|seen| {
        closed += u32::from(matches!(seen, Seen::Closed(..)));
        (closed == 300).then_some(())
    });
    stop(gateway);
}

#[test]
fn input_in_pieces_is_one_input() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    for byte in b"echo one byte at a time\necho again\n" {
        client.send(&[*byte]);
    }
    assert_eq!(client.line(), "one byte at a time");
    assert_eq!(client.line(), "again");
    stop(gateway);
}

#[test]
fn frames_of_a_write_arrive_in_order_whatever_their_size() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    client.send(b"frames 50000\n");
    for n in 0..50_000 {
        assert_eq!(client.line(), n.to_string());
    }
    // More than any socket buffer holds, to a reader that has not begun to read.
    client.send(b"big 200\necho after\n");
    let other = Client::connect(&gateway).ask("echo meanwhile");
    assert_eq!(other, "meanwhile");
    let mut part = vec![0; 100_000];
    for n in 0..200 {
        client.stream.read_exact(&mut part).unwrap();
        assert!(part.iter().all(|b| *b == n as u8));
    }
    assert_eq!(client.line(), "end");
    assert_eq!(client.line(), "after");
    stop(gateway);
}

#[test]
fn closing_finishes_the_write_in_progress_and_then_ends_the_stream() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    // What the client still sends must not turn the last frames into a reset.
    client.send(b"bye\necho never answered\n");
    client.send(&[b'x'; 100_000]);
    assert_eq!(client.rest(), b"bye\n");
    drop(client);
    gateway.wait(|seen| matches!(seen, Seen::Closed(..)).then_some(()));
    stop(gateway);
}

#[test]
fn a_reader_that_does_not_read_does_not_keep_a_closed_connection() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    client.send(b"big 500\nbye\n");
    let conn = gateway.wait(|seen| match seen {
        Seen::Accepted(_, conn) => Some(*conn),
        _ => None,
    });
    gateway.wait(|seen| (*seen == Seen::Closed(0, conn)).then_some(()));
    drop(client);
    stop(gateway);
}

#[test]
fn a_paused_connection_is_read_again_when_the_timer_says_so() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    client.send(b"pause 50\n");
    gateway.wait(|seen| matches!(seen, Seen::Paused(_)).then_some(()));
    client.send(b"echo after\n");
    assert_eq!(client.line(), "resumed");
    assert_eq!(client.line(), "after");
    stop(gateway);
}

#[test]
fn a_connection_moves_between_cores_with_its_bytes() {
    let folder = folder();
    let gateway = gateway(2, folder.path());
    let mut client = Client::on_core(&gateway, 0);
    for _ in 0..50 {
        // The rest of the packet travels with it; what comes later is read there.
        client.send(b"move 1\necho kept\n");
        assert_eq!(client.line(), "moved to 1");
        assert_eq!(client.line(), "kept");
        assert_eq!(client.ask("core"), "1");
        assert_eq!(client.ask("move 0"), "moved to 0");
        assert_eq!(client.ask("core"), "0");
    }
    client.send(b"bye\n");
    assert_eq!(client.rest(), b"bye\n");
    stop(gateway);
}

#[test]
fn a_flooded_ring_loses_nothing_and_keeps_the_order() {
    let folder = folder();
    let gateway = gateway(2, folder.path());
    let (mut zero, mut one) = (Client::on_core(&gateway, 0), Client::on_core(&gateway, 1));
    for _ in 0..3 {
        zero.send(b"flood 1 100000\n");
        one.send(b"flood 0 100000\n");
        assert_eq!(zero.line(), "100000");
        assert_eq!(one.line(), "100000");
    }
    stop(gateway);
}

#[test]
fn what_is_synced_is_in_the_file_and_reads_back() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    client.send(b"segment 0\n");
    gateway.wait(|seen| (*seen == Seen::Segment(0, 0)).then_some(()));
    assert_eq!(client.ask("append 4096 first"), "synced");
    assert_eq!(client.ask("append 4101 second"), "synced");
    assert_eq!(client.ask("read 4096 11"), "4096 firstsecond");
    let file = std::fs::read(folder.path().join("journal-0/0000000000000000.segment")).unwrap();
    assert_eq!(file.len() as u64, SEGMENT);
    assert!(file.starts_with(b"segment 0"));
    assert_eq!(&file[4096..4107], b"firstsecond");
    stop(gateway);
}

#[test]
fn a_segment_that_cannot_be_made_is_reported() {
    let folder = folder();
    std::fs::write(folder.path().join("journal-0"), "in the way").unwrap();
    let gateway = gateway(1, folder.path());
    let mut client = Client::connect(&gateway);
    client.send(b"segment 0\n");
    gateway.wait(|seen| (*seen == Seen::SegmentFailed(0)).then_some(()));
    assert_eq!(client.ask("echo still here"), "still here");
    stop(gateway);
}

#[test]
fn the_link_comes_back_after_every_loss() {
    let folder = folder();
    let gateway = gateway(1, folder.path());
    // Nobody listens at first; the gateway serves all the same.
    assert_eq!(Client::connect(&gateway).ask("echo alone"), "alone");
    let socket = UnixListener::bind(folder.path().join("link.sock")).unwrap();
    for round in 1..=3 {
        let (mut control, _) = socket.accept().unwrap();
        control.write_all(&preamble()).unwrap();
        gateway.wait(|seen| (*seen == Seen::LinkUp(0)).then_some(()));
        let mut decoder = FrameDecoder::default();
        let mut part = [0; 3];
        let hello = loop {
            let n = control.read(&mut part).unwrap();
            decoder.extend(&part[..n]);
            if let Some(frame) = decoder.next::<ToControl>().unwrap() {
                break frame;
            }
        };
        assert!(matches!(hello.body, ToControl::Hello(_)));
        let mut answer = Vec::new();
        frame::encode(round * 2, &ToGateway::Heartbeat, &mut answer).unwrap();
        frame::encode(
            round,
            &ToGateway::QuerySessions {
                user_ids: vec!["a".into()],
            },
            &mut answer,
        )
        .unwrap();
        for byte in answer {
            control.write_all(&[byte]).unwrap();
        }
        gateway.wait(|seen| (*seen == Seen::Answered(0, round)).then_some(()));
        drop(control);
        gateway.wait(|seen| (*seen == Seen::LinkDown(0)).then_some(()));
    }
    stop(gateway);
}

#[test]
fn a_link_of_another_version_never_comes_up() {
    let folder = folder();
    let socket = UnixListener::bind(folder.path().join("link.sock")).unwrap();
    let gateway = gateway(1, folder.path());
    let (mut control, _) = socket.accept().unwrap();
    let mut other = preamble();
    other[4] += 1;
    control.write_all(&other).unwrap();
    // The gateway hangs up; it said its own preamble and nothing else.
    let mut said = Vec::new();
    match control.read_to_end(&mut said) {
        Ok(_) => assert_eq!(said, preamble()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(gateway.seen.try_iter().all(|seen| seen != Seen::LinkUp(0)));
    stop(gateway);
}

fn get(gateway: &Gateway, path: &str) -> String {
    let mut stream = TcpStream::connect(gateway.running.metrics_address().unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn metrics_and_health_are_served() {
    let folder = folder();
    let gateway = gateway(2, folder.path());
    let _client = Client::on_core(&gateway, 1);
    assert!(get(&gateway, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(
        get(&gateway, "/readyz").starts_with("HTTP/1.1 503"),
        "no link yet"
    );
    assert!(get(&gateway, "/other").starts_with("HTTP/1.1 404"));
    let metrics = get(&gateway, "/metrics");
    assert!(metrics.contains("# TYPE ringwire_connections gauge"));
    assert!(
        metrics.contains("ringwire_connections{core=\"1\"} 1"),
        "{metrics}"
    );
    assert_eq!(metrics.matches("# HELP ringwire_turns_total").count(), 1);
    stop(gateway);
}

#[test]
fn shutdown_closes_what_is_open() {
    let folder = folder();
    let gateway = gateway(2, folder.path());
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(&gateway)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("echo x"), "x");
    }
    let address = gateway.running.address();
    let readers = std::thread::spawn(move || {
        for client in &mut clients {
            assert_eq!(client.rest(), b"");
            client.stream.get_mut().shutdown(Shutdown::Both).ok();
        }
    });
    stop(gateway);
    readers.join().unwrap();
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}
