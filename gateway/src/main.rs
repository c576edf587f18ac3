//! The gateway process.

use clap::Parser;
use ringwire_config::{Config, LogFormat};
use ringwire_gateway::core::connections::Connections;
use ringwire_gateway::core::journal::{layout, seeds};
use ringwire_gateway::core::session::{CoreConfig, Secret};
use ringwire_gateway::core::{Board, Core, Owner, OwnerConfig};
use ringwire_gateway::shell::{
    End, Options, SegmentPaths, exit, lock_folder, process, recover, start,
};
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time for closing sessions and finishing the journal at a stop.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Descriptors kept from clients: those of the process and of each core (listener, io_uring, wake-up,
/// journal, link), with room to spare.
const OWN_DESCRIPTORS: u64 = 32;
const CORE_DESCRIPTORS: u64 = 32;

/// Fewest sockets of clients that make sense.
const MIN_SOCKETS: u64 = 80;

/// Ringwire's gateway: WebSocket sessions, message order, journal, fan-out.
///
/// Exit codes: 0 stopped by SIGTERM or SIGINT with everything flushed; 1 stopped before everything was
/// flushed; 2 command line or configuration; 3 an address, io_uring or a thread is refused; 4 the journal
/// is damaged, unreadable or in use; 5 a journal write or sync failed; 6 a defect.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The configuration file that gateway and control share.
    #[arg(long, value_name = "FILE", default_value = "ringwire.toml")]
    config: PathBuf,
    /// Print the configuration in force and exit.
    #[arg(long)]
    print_config: bool,
}

/// What stops a start, with its exit code.
struct Failure(i32, String);

fn failure<E: std::fmt::Display>(code: i32) -> impl FnOnce(E) -> Failure {
    move |error| Failure(code, error.to_string())
}

fn main() {
    let cli = Cli::parse();
    let code = match run(&cli) {
        Ok(code) => code,
        Err(Failure(code, reason)) => {
            // The log may not be set up yet, and whoever starts the gateway by hand looks here.
            eprintln!("ringwire-gateway: {reason}");
            code
        }
    };
    std::process::exit(code);
}

fn run(cli: &Cli) -> Result<i32, Failure> {
    let mut config = ringwire_config::load(&cli.config).map_err(failure(exit::CONFIG))?;
    if cli.print_config {
        let printed = std::io::stdout().write_all(ringwire_config::print(&config).as_bytes());
        return printed.map(|()| exit::OK).map_err(failure(exit::UNCLEAN));
    }
    start_log(&config)?;
    let signals = process::signals().map_err(failure(exit::START))?;
    process::die_on_panic();
    process::ignore_file_size_signal();
    let cores = cores(&config);
    let max_sockets = fit_descriptors(&mut config, cores)?;

    let secret =
        ringwire_config::read_secret(&config.shared.secret_file).map_err(failure(exit::CONFIG))?;
    let folder = &config.gateway.journal_dir;
    let in_folder = |error| Failure(exit::JOURNAL, format!("{}: {error}", folder.display()));
    // Held until the process ends.
    let _lock = lock_folder(folder).map_err(in_folder)?;
    let segment_bytes = config.gateway.journal_segment_bytes;
    let journals =
        recover(&SegmentPaths::new(folder), segment_bytes).map_err(failure(exit::JOURNAL))?;
    let seeds = seeds(journals, cores);
    let epoch = seeds.epoch;

    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(failure(exit::START))?;
    let (boot, id_seed) = random.split_at(8);
    let boot = boot.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let mut seed_bytes = [0; 16];
    seed_bytes.copy_from_slice(id_seed);

    let board = Arc::new(Board::new(&seeds.positions));
    let connections = Arc::new(Connections::new(config.gateway.max_connections));
    let secret = Secret::new(secret.as_bytes());
    let parts = seeds.owners.into_iter().zip(seeds.token_kicks).enumerate();
    let machines = parts.map(|(core, (seed, kicks))| {
        let core = core as u16;
        let core_config = CoreConfig::new(&config, core, cores, boot, secret.clone());
        let owner_config = owner_config(&config, core, cores, seed_bytes, board.clone());
        let (board, connections) = (board.clone(), connections.clone());
        move || {
            Core::new(
                core_config,
                board,
                connections,
                Owner::new(owner_config, seed),
                &kicks,
            )
        }
    });
    let options = Options {
        listen: address("gateway.listen", &config.gateway.listen)?,
        metrics_listen: Some(address(
            "gateway.metrics_listen",
            &config.gateway.metrics_listen,
        )?),
        pin: config.gateway.pin,
        max_sockets,
        link_socket: config.shared.link_socket.clone(),
        journal_dir: folder.clone(),
        segment_bytes,
        segment_header: Arc::new(move |journal, segment| {
            layout::header(journal, segment, segment_bytes, epoch).to_vec()
        }),
    };
    let running = start(&options, machines.collect()).map_err(failure(exit::START))?;
    tracing::info!(
        name = config.gateway.name,
        address = %running.address(),
        metrics = ?running.metrics_address(),
        cores,
        epoch,
        "gateway is up"
    );

    let signal = signals.recv().map_err(failure(exit::FATAL))?;
    tracing::info!(signal, "stopping");
    let end = running.shutdown(STOP_TIME);
    tracing::info!(?end, "stopped");
    Ok(match end {
        End::Clean => exit::OK,
        End::TimedOut => exit::UNCLEAN,
        End::Crashed => exit::FATAL,
    })
}

fn owner_config(
    config: &Config,
    core: u16,
    cores: u16,
    id_seed: [u8; 16],
    board: Arc<Board>,
) -> OwnerConfig {
    OwnerConfig {
        core,
        cores,
        admin_user_ids: config.shared.admin_user_ids.iter().cloned().collect(),
        friend_verify: config.shared.friend_verify,
        segment_bytes: config.gateway.journal_segment_bytes,
        journal_max_bytes: config.gateway.journal_max_bytes,
        max_facts: config.gateway.max_facts as usize,
        max_conversations: config.gateway.max_conversations as usize,
        tail_messages: config.gateway.tail_messages as usize,
        id_seed: per_core(id_seed, core),
        board,
    }
}

/// No two cores may make the same ids.
fn per_core(mut seed: [u8; 16], core: u16) -> [u8; 16] {
    let [high, low] = core.to_be_bytes();
    seed[0] ^= high;
    seed[1] ^= low;
    seed
}

fn cores(config: &Config) -> u16 {
    match config.gateway.cores {
        0 => std::thread::available_parallelism()
            .map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX)),
        n => n,
    }
}

fn address(option: &str, text: &str) -> Result<SocketAddr, Failure> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|e| Failure(exit::CONFIG, format!("{option} = {text:?}: {e}")))?;
    found
        .next()
        .ok_or_else(|| Failure(exit::CONFIG, format!("{option} = {text:?}: no address")))
}

fn start_log(config: &Config) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.shared.log).map_err(|e| {
        Failure(
            exit::CONFIG,
            format!("shared.log = {:?}: {e}", config.shared.log),
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match config.shared.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Bounds connections by what this process may open. Returns the most sockets of clients there may be;
/// above `max_connections` some are open for as long as it takes to tell their clients so.
fn fit_descriptors(config: &mut Config, cores: u16) -> Result<u32, Failure> {
    let allowed = process::raise_descriptor_limit().map_err(failure(exit::START))?;
    let own = OWN_DESCRIPTORS + CORE_DESCRIPTORS * u64::from(cores);
    let sockets = allowed.saturating_sub(own).min(u64::from(u32::MAX));
    if sockets < MIN_SOCKETS {
        let needed = own + MIN_SOCKETS;
        return Err(Failure(
            exit::START,
            format!(
                "this process may open {allowed} descriptors and needs at least {needed}: raise ulimit -Hn"
            ),
        ));
    }
    let fits = ((sockets - 64) * 8 / 9) as u32;
    let wanted = config.gateway.max_connections;
    if fits < wanted {
        tracing::warn!(
            wanted,
            fits,
            descriptors = allowed,
            "gateway.max_connections lowered to what this process may open (ulimit -Hn)"
        );
        config.gateway.max_connections = fits;
    }
    Ok(sockets as u32)
}
