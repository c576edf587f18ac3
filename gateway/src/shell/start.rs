//! Starting the cores of a gateway and stopping them again.

use super::clock::Clock;
use super::committer::{self, Committer};
use super::hub::{Hub, HubParts, Sockets};
use super::rings::{Mail, Port, Rings};
use super::segments::{HeaderOf, Job, SegmentPaths, SegmentStore};
use super::{Machine, accept, control_link, metrics, pin, turn};
use crate::core::CoreId;
use monoio::{IoUringDriver, RuntimeBuilder};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Entries of each core's submission queue.
const RING_ENTRIES: u32 = 4096;

/// Items all rings into one core hold together, roughly.
const RING_ITEMS: usize = 16 << 10;

/// How the shell runs cores. One core a machine.
pub struct Options {
    /// WebSocket listener; port 0 chooses one.
    pub listen: SocketAddr,
    /// Metrics listener, if any; port 0 chooses one.
    pub metrics_listen: Option<SocketAddr>,
    /// Pin each core's thread to a CPU.
    pub pin: bool,
    /// Most sockets of clients open at once, all cores together: beyond it nothing is accepted until some
    /// close. What this leaves of the descriptors the process may open is for journal and link.
    pub max_sockets: u32,
    /// Unix socket of control.
    pub link_socket: PathBuf,
    /// Folder of the journals, locked by the caller.
    pub journal_dir: PathBuf,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Header of a new segment.
    pub segment_header: HeaderOf,
}

/// Why the cores could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The kernel gives no io_uring.
    #[error(
        "this kernel gives no io_uring ({0}); Ringwire needs Linux 5.11 or newer with io_uring allowed \
         (sysctl kernel.io_uring_disabled=0, and no seccomp profile against it)"
    )]
    Uring(io::Error),
    /// A thread, an eventfd or another resource.
    #[error("cannot start a core: {0}")]
    Resource(#[from] io::Error),
}

/// How the cores ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything was flushed.
    Clean,
    /// The time was up before everything was flushed.
    TimedOut,
    /// A core's thread ended without being told to: a defect.
    Crashed,
}

/// The running cores.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    rings: Arc<Rings>,
    quiet: Vec<Arc<AtomicBool>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Starts one thread for each machine, and returns once all of them listen.
///
/// A machine is built on its core's thread and never leaves it.
///
/// # Errors
/// [`StartError`]; the cores that did start are stopped again.
pub fn start<M, F>(options: &Options, machines: Vec<F>) -> Result<Running, StartError>
where
    M: Machine + 'static,
    F: FnOnce() -> M + Send + 'static,
{
    let cores = machines.len() as u16;
    let rings = Arc::new(Rings::new(
        cores,
        (RING_ITEMS / usize::from(cores.max(1))).clamp(256, 4096),
    )?);
    let bound = |error| StartError::Listen {
        address: options.listen,
        error,
    };
    let listeners = accept::listeners(options.listen, cores).map_err(bound)?;
    let address = listeners
        .first()
        .map_or(Ok(options.listen), TcpListener::local_addr)?;
    let cpus = if options.pin {
        pin::allowed_cpus()
    } else {
        Vec::new()
    };
    let mut running = Running {
        address,
        metrics_address: None,
        rings: rings.clone(),
        quiet: Vec::new(),
        threads: Vec::new(),
    };
    let clock = Clock::new();
    let sockets = Arc::new(Sockets::new(options.max_sockets));
    let (ready, readies) = mpsc::channel();
    for (core, (machine, listener)) in machines.into_iter().zip(listeners).enumerate() {
        let quiet = Arc::new(AtomicBool::new(false));
        running.quiet.push(quiet.clone());
        let parts = CoreParts {
            core: core as CoreId,
            clock,
            machine,
            listener,
            rings: rings.clone(),
            quiet,
            sockets: sockets.clone(),
            cpu: (!cpus.is_empty()).then(|| cpus[core % cpus.len()]),
            link_socket: options.link_socket.clone(),
            jobs: segment_thread(options, core as CoreId, rings.clone())?,
            paths: SegmentPaths::new(&options.journal_dir),
            ready: ready.clone(),
        };
        let name = format!("core-{core}");
        running.threads.push(
            std::thread::Builder::new()
                .name(name)
                .spawn(move || run_core(parts))?,
        );
    }
    drop(ready);
    for _ in 0..cores {
        match readies.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                running.abandon();
                return Err(StartError::Uring(error));
            }
            Err(_) => {
                running.abandon();
                return Err(StartError::Resource(io::Error::other(
                    "a core's thread ended at its start",
                )));
            }
        }
    }
    if let Some(address) = options.metrics_listen {
        let bound = |error| StartError::Listen { address, error };
        let listener = TcpListener::bind(address).map_err(bound)?;
        running.metrics_address = Some(listener.local_addr()?);
        let rings = rings.clone();
        // Ends with the process.
        std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || metrics::serve(&listener, &rings, cores))?;
    }
    Ok(running)
}

fn segment_thread(
    options: &Options,
    core: CoreId,
    rings: Arc<Rings>,
) -> io::Result<mpsc::Sender<Job>> {
    let (jobs, todo) = mpsc::channel();
    let store = SegmentStore {
        journal: core,
        paths: SegmentPaths::new(&options.journal_dir),
        segment_bytes: options.segment_bytes,
        header: options.segment_header.clone(),
    };
    let thread = std::thread::Builder::new().name(format!("segments-{core}"));
    thread.spawn(move || store.run(core, &todo, &rings))?;
    Ok(jobs)
}

struct CoreParts<F> {
    core: CoreId,
    clock: Clock,
    machine: F,
    listener: TcpListener,
    rings: Arc<Rings>,
    quiet: Arc<AtomicBool>,
    sockets: Arc<Sockets>,
    cpu: Option<usize>,
    link_socket: PathBuf,
    jobs: mpsc::Sender<Job>,
    paths: SegmentPaths,
    ready: mpsc::Sender<io::Result<()>>,
}

fn run_core<M, F>(parts: CoreParts<F>)
where
    M: Machine + 'static,
    F: FnOnce() -> M,
{
    let CoreParts {
        core,
        clock,
        machine,
        listener,
        rings,
        quiet,
        sockets,
        cpu,
        link_socket,
        jobs,
        paths,
        ready,
    } = parts;
    if let Some(cpu) = cpu
        && let Err(error) = pin::pin_to(cpu)
    {
        tracing::warn!(core, cpu, %error, "cannot pin the core to its CPU");
    }
    let built = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .enable_timer()
        .build();
    let mut runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            // The starter waits for this and reports it.
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        let port = Port::new(core, rings);
        let wakes = port.wake().reader().and_then(monoio::fs::File::from_std);
        let wakes = match wakes {
            Ok(wakes) => wakes,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let committer = Committer::new(core, paths, jobs);
        let hub = Rc::new(Hub::new(HubParts {
            me: core,
            clock,
            machine: machine(),
            port,
            committer,
            quiet,
            sockets,
        }));
        monoio::spawn(wake_ups(hub.clone(), wakes));
        monoio::spawn(committer::commits(hub.clone()));
        monoio::spawn(committer::reads(hub.clone()));
        monoio::spawn(control_link::link(hub.clone(), link_socket));
        monoio::spawn(accept::accept(hub.clone(), listener));
        // The starter may have given up meanwhile, and then tells this core to stop.
        let _ = ready.send(Ok(()));
        drop(ready);
        turn::turns(hub).await;
    });
}

/// Makes a turn due whenever another thread signals.
async fn wake_ups<M: Machine>(hub: Rc<Hub<M>>, wakes: monoio::fs::File) {
    let mut buffer = vec![0; 8];
    loop {
        let (result, used) = wakes.read_at(buffer, 0).await;
        buffer = used;
        match result {
            Ok(_) => hub.make_due(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => super::die(
                super::exit::FATAL,
                &format!("cannot wait for wake-ups: {error}"),
            ),
        }
    }
}

impl Running {
    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The metrics address listened on.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Whether a core's thread has ended by itself.
    pub fn crashed(&self) -> bool {
        self.threads
            .iter()
            .any(std::thread::JoinHandle::is_finished)
    }

    /// Stops accepting, lets every core close its sessions and finish its journal, for at most
    /// `limit`, and ends the threads.
    pub fn shutdown(self, limit: Duration) -> End {
        let end = Instant::now() + limit;
        self.post(|| Mail::Shutdown);
        let mut calm = 0;
        // A core that is quiet may still get an item from one that is not: all must be, twice.
        while calm < 2 && Instant::now() < end && !self.crashed() {
            std::thread::sleep(Duration::from_millis(10));
            calm = if self.quiet.iter().all(|q| q.load(Ordering::Acquire)) {
                calm + 1
            } else {
                0
            };
        }
        if self.crashed() {
            return End::Crashed;
        }
        self.post(|| Mail::Stop);
        let joined: Vec<_> = self
            .threads
            .into_iter()
            .map(std::thread::JoinHandle::join)
            .collect();
        match joined.iter().any(Result::is_err) {
            true => End::Crashed,
            false if calm < 2 => End::TimedOut,
            false => End::Clean,
        }
    }

    fn abandon(self) {
        self.post(|| Mail::Stop);
        for thread in self.threads {
            // What went wrong is reported already.
            let _ = thread.join();
        }
    }

    fn post(&self, mail: fn() -> Mail) {
        for core in 0..self.quiet.len() {
            self.rings.post(core as CoreId, mail());
        }
    }
}
