//! The store's cases on PostgreSQL. `RINGWIRE_TEST_POSTGRES` names a server where databases may be
//! created (`postgres://user@host:port/database`); without it every case fails.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod store;

use ringwire_control::store::Stores;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};

static NUMBER: AtomicU32 = AtomicU32::new(0);

struct Database {
    stores: Stores,
    server: String,
    name: String,
}

async fn run(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

impl Database {
    async fn create() -> Self {
        let server = std::env::var("RINGWIRE_TEST_POSTGRES")
            .expect("RINGWIRE_TEST_POSTGRES must name a PostgreSQL server for these tests");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringwire_test_{}_{number}", std::process::id());
        run(&server, format!("DROP DATABASE IF EXISTS {name}")).await;
        run(&server, format!("CREATE DATABASE {name}")).await;
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = base.rsplit_once('/').expect("the URL names a database");
        let stores = Stores::open(&format!("{host}/{name}?{query}"), 4)
            .await
            .unwrap();
        Self {
            stores,
            server,
            name,
        }
    }

    async fn drop_database(self) {
        run(
            &self.server,
            format!("DROP DATABASE {} WITH (FORCE)", self.name),
        )
        .await;
    }
}

store::all_cases!(Database);
