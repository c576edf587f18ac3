//! The store's cases on SQLite.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod store;

use ringwire_control::store::Stores;

struct Database {
    stores: Stores,
    _dir: tempfile::TempDir,
}

impl Database {
    async fn create() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("test.db").display());
        Self {
            stores: Stores::open(&url, 4).await.unwrap(),
            _dir: dir,
        }
    }

    async fn drop_database(self) {}
}

store::all_cases!(Database);

#[tokio::test]
async fn a_database_in_memory_serves_readers_and_writers() {
    let stores = Stores::open("sqlite::memory:", 4).await.unwrap();
    store::users::register_get_and_page(&stores).await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.db");
    let url = format!("sqlite:{}", path.display());
    let first = Stores::open(&url, 2).await.unwrap();
    store::users::add(&first, &["a", "b"]).await;
    store::journal::send(&first, 0, &[("si_a_b", 1, "a", "b")])
        .await
        .unwrap();
    // Not closed in any way: what the second sees is what a crash would leave.
    let second = Stores::open(&url, 2).await.unwrap();
    assert_eq!(
        second
            .messages
            .states(&["si_a_b".to_owned()])
            .await
            .unwrap()[0]
            .max_seq,
        1
    );
    assert_eq!(second.conversations.ids("b").await.unwrap(), ["si_a_b"]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_database_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private.db");
    let _stores = Stores::open(&format!("sqlite:{}", path.display()), 1)
        .await
        .unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{:?}",
            entry.path()
        );
    }
}
