//! `ringwire-control forget-gateway`: for an operator whose gateway's journals are gone or belong to
//! another database.
//!
//! Control refuses journals that do not go on where the database ends, because acknowledged messages
//! would be lost in silence. Forgetting a gateway says that they are lost; it then begins anew.

use crate::store::{StoreError, Stores};
use ringwire_config::Config;
use ringwire_link::message::JournalPosition;
use std::fmt::Write as _;
use std::os::unix::net::UnixStream;

/// Why a gateway is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Control serves the link: it has positions in memory.
    #[error("control is running: stop gateway and control first")]
    Running,
    /// No such gateway.
    #[error("no gateway {name:?} is known; known are: {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// Names there are.
        known: String,
    },
    /// Nobody confirmed it; nothing was changed.
    #[error("{0}")]
    NotConfirmed(String),
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
}

/// Forgets the owner epoch and the journal positions of a gateway. Returns what to tell the operator.
///
/// # Errors
/// [`ForgetError`]; nothing is changed then. Without `confirmed` always, with the consequences.
pub async fn forget_gateway(
    config: &Config,
    name: &str,
    confirmed: bool,
) -> Result<String, ForgetError> {
    if UnixStream::connect(&config.shared.link_socket).is_ok() {
        return Err(ForgetError::Running);
    }
    let stores = Stores::open(&config.control.database_url, 1).await?;
    forget(&stores, name, confirmed).await
}

async fn forget(stores: &Stores, name: &str, confirmed: bool) -> Result<String, ForgetError> {
    let known = stores.journal.gateways().await?;
    let Some((_, epoch)) = known.iter().find(|(known, _)| known == name) else {
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        return Err(ForgetError::Unknown {
            name: name.to_owned(),
            known: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
        });
    };
    let positions = stores.journal.positions(name).await?;
    if !confirmed {
        return Err(ForgetError::NotConfirmed(consequences(
            name, *epoch, &positions,
        )));
    }
    stores.journal.forget(name).await?;
    Ok(format!(
        "gateway {name} is forgotten. Start it with an empty journal folder."
    ))
}

fn consequences(name: &str, epoch: u32, positions: &[JournalPosition]) -> String {
    let mut text = format!("gateway {name}, owner epoch {epoch}; the database holds its journals");
    for at in positions {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n  journal {} up to {}", at.journal, at.position);
    }
    text.push_str(
        "\nForgetting it gives up every acknowledged message that its journals hold beyond these positions. \
         Their seqs are given again, to other messages; clients that saw the lost ones keep them and do not \
         see the new ones.\n\
         Do this only when the journal folder is lost, or when an older database was put back. Nothing was \
         changed. Say --confirm to go on.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> JournalPosition {
        JournalPosition {
            journal: 2,
            position,
        }
    }

    #[tokio::test]
    async fn a_gateway_is_forgotten_only_when_that_is_confirmed_and_others_never() {
        let stores = Stores::open("sqlite::memory:", 1).await.expect("opens");
        for (name, epoch) in [("g1", 7), ("g2", 3)] {
            stores
                .journal
                .raise_epoch(name, epoch)
                .await
                .expect("raised");
            stores
                .journal
                .set_position(name, at(99))
                .await
                .expect("set");
        }
        let error = forget(&stores, "g3", true).await.expect_err("unknown");
        assert!(error.to_string().contains("g1, g2"), "{error}");
        let error = forget(&stores, "g1", false).await.expect_err("unconfirmed");
        assert!(
            error.to_string().contains("journal 2 up to 99")
                && error.to_string().contains("--confirm"),
            "{error}"
        );
        assert_eq!(
            stores.journal.positions("g1").await.expect("read"),
            [at(99)]
        );
        forget(&stores, "g1", true).await.expect("forgotten");
        assert_eq!(stores.journal.positions("g1").await.expect("read"), []);
        assert_eq!(
            stores.journal.raise_epoch("g1", 1).await.expect("raised"),
            1
        );
        assert_eq!(
            stores.journal.positions("g2").await.expect("read"),
            [at(99)]
        );
        assert_eq!(
            stores.journal.raise_epoch("g2", 1).await.expect("raised"),
            3
        );
    }

    #[tokio::test]
    async fn not_while_control_runs() {
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config {
            shared: Default::default(),
            gateway: Default::default(),
            control: Default::default(),
        };
        config.shared.link_socket = folder.path().join("link.sock");
        config.control.database_url = format!("sqlite:{}", folder.path().join("x.db").display());
        let listener =
            std::os::unix::net::UnixListener::bind(&config.shared.link_socket).expect("bound");
        let error = forget_gateway(&config, "g", true).await.expect_err("runs");
        assert!(matches!(error, ForgetError::Running));
        drop(listener);
        let error = forget_gateway(&config, "g", true)
            .await
            .expect_err("unknown");
        assert!(matches!(error, ForgetError::Unknown { .. }), "{error}");
    }
}
