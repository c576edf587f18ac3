//! `/metrics`, `/healthz` and `/readyz` on a small thread of their own.
//!
//! Cores keep plain counters; whoever asks puts a question into each core's mailbox. A core that does
//! not answer in time is stuck, and that is what `/healthz` reports.

use super::counters::{Kind, Sample};
use super::rings::{Mail, Rings};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Time for all cores to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Time for a request to arrive and for its answer to be taken.
const PEER_TIME: Duration = Duration::from_secs(2);

/// Longest request head.
const MAX_HEAD: usize = 8 << 10;

/// Answers requests, one at a time, for as long as the process runs.
pub(crate) fn serve(listener: &TcpListener, rings: &Arc<Rings>, cores: u16) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // A peer that goes away early is no concern of ours.
                let _ = answer(stream, rings, cores);
            }
            Err(error) => {
                tracing::warn!(%error, "metrics endpoint: accept failed");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

fn answer(mut stream: TcpStream, rings: &Arc<Rings>, cores: u16) -> io::Result<()> {
    stream.set_write_timeout(Some(PEER_TIME))?;
    let head = read_head(&mut stream)?;
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => match collect(rings, cores) {
            Some(all) => ("200 OK", text(&all)),
            None => (
                "503 Service Unavailable",
                "a core does not answer\n".to_owned(),
            ),
        },
        ("GET" | "HEAD", "/healthz") => match collect(rings, cores) {
            Some(_) => ("200 OK", "ok\n".to_owned()),
            None => (
                "503 Service Unavailable",
                "a core does not answer\n".to_owned(),
            ),
        },
        ("GET" | "HEAD", "/readyz") => match collect(rings, cores) {
            Some(all) if all.iter().all(|core| is_ready(core)) => ("200 OK", "ready\n".to_owned()),
            Some(_) => (
                "503 Service Unavailable",
                "control has not told all cores what they need\n".to_owned(),
            ),
            None => (
                "503 Service Unavailable",
                "a core does not answer\n".to_owned(),
            ),
        },
        ("GET" | "HEAD", _) => ("404 Not Found", "not found\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let length = body.len();
    let shown = if method == "HEAD" { "" } else { &body };
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{shown}"
    );
    stream.write_all(reply.as_bytes())
}

/// Reads up to the end of the head, within [`PEER_TIME`] in all.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let end = Instant::now() + PEER_TIME;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&part[..n]),
        }
    }
    Ok(head)
}

fn is_ready(core: &[Sample]) -> bool {
    core.iter()
        .any(|s| s.name == "ringwire_ready" && s.value == 1)
}

/// The numbers of every core, or `None` when one does not answer.
fn collect(rings: &Arc<Rings>, cores: u16) -> Option<Vec<Vec<Sample>>> {
    let asked: Vec<_> = (0..cores)
        .map(|core| {
            let (reply, answer) = mpsc::channel();
            rings.post(core, Mail::Samples(reply));
            answer
        })
        .collect();
    let end = Instant::now() + ANSWER_TIME;
    asked
        .into_iter()
        .map(|a| {
            a.recv_timeout(end.saturating_duration_since(Instant::now()))
                .ok()
        })
        .collect()
}

/// Prometheus text, each name once with all its cores.
fn text(cores: &[Vec<Sample>]) -> String {
    let mut by_name: BTreeMap<&str, Vec<(usize, Sample)>> = BTreeMap::new();
    for (core, samples) in cores.iter().enumerate() {
        for sample in samples {
            by_name
                .entry(sample.name)
                .or_default()
                .push((core, *sample));
        }
    }
    let mut out = String::new();
    for (name, samples) in by_name {
        let Some((_, first)) = samples.first() else {
            continue;
        };
        let kind = match first.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", first.help);
        for (core, sample) in &samples {
            let _ = writeln!(out, "{name}{{core=\"{core}\"}} {}", sample.value);
        }
    }
    out
}
