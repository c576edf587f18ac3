//! The whole process: opened, served, stopped.

use super::harness::{PASSWORD, config, send};
use ringwire_control::process::{Process, StartError};
use serde_json::json;
use tokio::sync::oneshot;

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop_and_removes_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let socket = config.shared.link_socket.clone();
    let process = Process::open(config).await.unwrap();
    let (api, ops) = (
        process.api_address().unwrap(),
        process.ops_address().unwrap(),
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(process.serve(async move {
        let _ = stopped.await;
    }));
    let health = send(ops, "GET", "/healthz", &[], b"").await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    let body = json!({"secret": PASSWORD, "userID": "imAdmin"}).to_string();
    send(
        api,
        "POST",
        "/auth/get_admin_token",
        &[("operationID", "o")],
        body.as_bytes(),
    )
    .await
    .ok();
    let metrics = send(ops, "GET", "/metrics", &[], b"").await.text();
    assert!(
        metrics
            .contains("ringwire_api_requests_total{path=\"/auth/get_admin_token\",code=\"0\"} 1"),
        "{metrics}"
    );
    for line in [
        "ringwire_link_cores 0",
        "ringwire_facts_version ",
        "ringwire_outbox_rows 0",
        "ringwire_tokens{state=\"live\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(socket.exists());
    stop.send(()).unwrap();
    served.await.unwrap();
    assert!(!socket.exists());
    assert!(tokio::net::TcpStream::connect(api).await.is_err());
}

#[tokio::test]
async fn it_does_not_start_with_what_cannot_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = config(folder.path());
    std::fs::write(&bad.shared.secret_file, "openIM123").unwrap();
    assert!(matches!(
        Process::open(bad.clone()).await.err(),
        Some(StartError::Config(_))
    ));
    std::fs::write(&bad.shared.secret_file, PASSWORD).unwrap();
    bad.shared.login_policy = 2;
    assert!(matches!(
        Process::open(bad.clone()).await.err(),
        Some(StartError::Policy(_))
    ));
    bad.shared.login_policy = 1;
    bad.control.listen = "nowhere".into();
    assert!(matches!(
        Process::open(bad).await.err(),
        Some(StartError::Listen {
            what: "HTTP API",
            ..
        })
    ));
}
