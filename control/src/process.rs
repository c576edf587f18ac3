//! The control process: everything opened in order, served, and closed in order.

use crate::api::metrics::Metrics;
use crate::api::ops::MoreMetrics;
use crate::api::{frame, listen, ops};
use crate::app::App;
use crate::clock::unix_ms;
use crate::domain::users;
use crate::link::{Link, Server, Settings};
use crate::store::{StoreError, Stores};
use crate::tokens::policy::{Policy, UnknownPolicy};
use crate::tokens::{TokenBook, TokenConfig};
use ringwire_config::{Config, ConfigError, read_secret};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Connections of operators at once.
const OPS_CONNECTIONS: usize = 100;

/// How often expired tokens are forgotten.
const PURGE_PERIOD: Duration = Duration::from_secs(3_600);

/// Why control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or the secret cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `shared.login_policy` means nothing.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// The database cannot be opened or read.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// A listener cannot be opened.
    #[error("{what} ({at}): {source}")]
    Listen {
        /// Which.
        what: &'static str,
        /// Where.
        at: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something else.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A control process with everything open, ready to serve.
pub struct Process {
    app: Arc<App>,
    metrics: MoreMetrics,
    link: Server,
    api: TcpListener,
    ops: TcpListener,
}

impl Process {
    /// Opens the database, reads the token states, makes sure that the admins exist, and binds the
    /// link's socket and both HTTP listeners.
    ///
    /// # Errors
    /// [`StartError`]; nothing is served then.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let policy = Policy::new(
            config.shared.login_policy,
            config.shared.login_max_per_platform,
        )?;
        let secret = Arc::new(read_secret(&config.shared.secret_file)?);
        let stores = Stores::open(
            &config.control.database_url,
            config.control.database_connections,
        )
        .await?;
        stores
            .users
            .ensure_admins(&users::admins(&config), users::ADMIN_LEVEL, unix_ms())
            .await?;
        let link = Link::new(Settings::new(&config), stores.clone())?;
        let token_config = TokenConfig {
            secret: secret.clone(),
            policy,
            expire_days: config.shared.token_expire_days,
        };
        let tokens = TokenBook::load(token_config, stores.tokens.clone(), link.clone()).await?;
        let api = bind("HTTP API", &config.control.listen).await?;
        let ops = bind("metrics", &config.control.metrics_listen).await?;
        let server = link
            .bind(Arc::new(tokens.clone()))
            .await
            .map_err(|source| StartError::Listen {
                what: "link",
                at: config.shared.link_socket.display().to_string(),
                source,
            })?;
        let metrics: MoreMetrics = {
            let (link, tokens) = (link.clone(), tokens.clone());
            Arc::new(move || {
                let (link, tokens) = (link.clone(), tokens.clone());
                Box::pin(async move { link.metrics().await + &tokens.metrics() })
            })
        };
        let app = Arc::new(App::new(Arc::new(config), secret, stores, tokens, link));
        Ok(Self {
            app,
            metrics,
            link: server,
            api,
            ops,
        })
    }

    /// Where the HTTP API listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn api_address(&self) -> io::Result<SocketAddr> {
        self.api.local_addr()
    }

    /// Where `/healthz` and `/metrics` are.
    ///
    /// # Errors
    /// What the system says.
    pub fn ops_address(&self) -> io::Result<SocketAddr> {
        self.ops.local_addr()
    }

    /// The parts that handlers see.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `stop` is ready. HTTP requests in progress are finished while the link still
    /// stands; then the link closes, and gateways keep in their journals what is not stored.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send) {
        let Self {
            app,
            metrics: more,
            link,
            api,
            ops: operators,
        } = self;
        let (stop_http, http_stops) = watch::channel(false);
        let (stop_link, link_stops) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let ready = Arc::new(AtomicBool::new(true));
        let link = tokio::spawn(link.run(stopped(link_stops)));
        let max_connections = app.config.control.max_connections as usize;
        let router = frame::router(app.clone(), metrics.clone());
        let http = tokio::spawn(listen::serve(
            api,
            router,
            metrics.clone(),
            max_connections,
            http_stops,
        ));
        // Operators see until the end how it goes; their listener ends with the link.
        let router = ops::router(ready.clone(), metrics, vec![more]);
        let own = Arc::new(Metrics::default());
        let operators = tokio::spawn(listen::serve(
            operators,
            router,
            own,
            OPS_CONNECTIONS,
            stop_link.subscribe(),
        ));
        let purge = tokio::spawn(purge(app));
        tracing::info!("ready");
        stop.await;
        tracing::info!("stopping");
        ready.store(false, Ordering::Release);
        let _ = stop_http.send(true);
        ended("HTTP API", http).await;
        let _ = stop_link.send(true);
        ended("link", link).await;
        ended("metrics", operators).await;
        purge.abort();
        tracing::info!("stopped");
    }
}

async fn ended(what: &str, task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "{what} ended badly");
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error says that the sender is gone, and so the process.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn bind(what: &'static str, at: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(at)
        .await
        .map_err(|source| StartError::Listen {
            what,
            at: at.to_owned(),
            source,
        })
}

async fn purge(app: Arc<App>) {
    let mut period = tokio::time::interval(PURGE_PERIOD);
    loop {
        period.tick().await;
        if let Err(error) = app.tokens.purge().await {
            tracing::warn!(%error, "expired tokens are kept for now");
        }
    }
}
