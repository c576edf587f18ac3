//! `ringwire-control`: the control plane as a process.

use clap::{Parser, Subcommand};
use ringwire_config::{Config, LogFormat};
use ringwire_control::forget::{ForgetError, forget_gateway};
use ringwire_control::process::{Process, StartError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration cannot be used.
const EXIT_CONFIG: u8 = 2;

/// Ringwire's control plane: HTTP API, users, tokens, the durable store.
///
/// Exit codes: 0 stopped by SIGINT or SIGTERM; 1 could not start or go on; 2 the configuration (or the
/// command line) cannot be used.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "ringwire.toml",
        global = true
    )]
    config: PathBuf,
    /// Print the configuration in force and exit.
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give up the journals of a gateway, so that it can begin with an empty journal folder.
    ///
    /// For a journal folder that is lost, or a database that was put back to an older state. Acknowledged
    /// messages that only those journals hold are lost. Stop gateway and control first.
    ForgetGateway {
        /// `gateway.name` of the gateway.
        #[arg(long)]
        name: String,
        /// Do it. Without this, say what would be lost.
        #[arg(long)]
        confirm: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match ringwire_config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if arguments.print_config {
        let written = io::stdout().write_all(ringwire_config::print(&config).as_bytes());
        return if written.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if let Err(error) = log(&config) {
        eprintln!("shared.log: {error}");
        return ExitCode::from(EXIT_CONFIG);
    }
    if let Some(Command::ForgetGateway { name, confirm }) = arguments.command {
        return match forget(&config, &name, confirm) {
            Ok(told) => {
                println!("{told}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            match error {
                StartError::Config(_) | StartError::Policy(_) => ExitCode::from(EXIT_CONFIG),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn log(config: &Config) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(&config.shared.log)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match config.shared.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

#[tokio::main]
async fn forget(config: &Config, name: &str, confirmed: bool) -> Result<String, ForgetError> {
    forget_gateway(config, name, confirmed).await
}

#[tokio::main]
async fn run(config: Config) -> Result<(), StartError> {
    // Before anything is opened, so that no signal is missed.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let process = Process::open(config).await?;
    tracing::info!(api = %process.api_address()?, metrics = %process.ops_address()?, "listening");
    process.serve(stop).await;
    Ok(())
}
