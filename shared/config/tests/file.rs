//! What a start with a given configuration file does.

use ringwire_config::{Config, ConfigError, Problem, load, parse};
use std::path::Path;

fn problems(text: &str) -> Vec<Problem> {
    match parse(text, Path::new("ringwire.toml"), Path::new("/data")) {
        Err(ConfigError::Invalid { problems }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

/// The one problem of `text`, as shown.
fn problem(text: &str) -> String {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].to_string()
}

fn table(config: &Config) -> toml::Table {
    toml::Table::try_from(config).expect("a configuration is a TOML table")
}

#[test]
fn documented_file_holds_every_option_with_its_default() {
    let text = include_str!("../../../deploy/ringwire.toml");
    let documented: toml::Table = text.parse().unwrap();
    assert_eq!(documented, table(&Config::default()));
    let mut before = "";
    for line in text.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn empty_file_is_the_defaults() {
    let config = parse("", Path::new("f"), Path::new("/data")).unwrap();
    assert_eq!(config.gateway.max_message_bytes, 51_200);
    assert_eq!(config.shared.admin_user_ids, ["imAdmin"]);
}

#[test]
fn unknown_options_name_file_line_and_what_was_meant() {
    assert_eq!(
        problem("[gateway]\ncores = 2\nmaxConnections = 5\n"),
        "ringwire.toml:3: unknown option \"maxConnections\" in [gateway]; did you mean max_connections?"
    );
    assert_eq!(
        problem("[control]\n\nlogin_policy = 4\n"),
        "ringwire.toml:3: unknown option \"login_policy\" in [control]; it belongs in [shared]"
    );
    assert_eq!(
        problem("[gatway]\ncores = 2\n"),
        "ringwire.toml:1: unknown section or option \"gatway\"; did you mean [gateway]?"
    );
    assert_eq!(
        problem("secret_file = \"x\"\n"),
        "ringwire.toml:1: unknown section or option \"secret_file\"; secret_file belongs in [shared]"
    );
    assert!(problem("[kafka]\n").contains("the sections are control, gateway, shared"));
    assert!(problem("gateway = 3\n").contains("write it as [gateway]"));
}

#[test]
fn all_unknown_options_are_told_at_once() {
    let text =
        "[gateway]\nlisten_on = \"x\"\n[control]\nkafka = 1\n[shared]\nlog = \"info\"\nlogs = 1\n";
    let lines: Vec<_> = problems(text).iter().map(|p| p.line).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(7)]);
}

#[test]
fn wrong_types_and_syntax_name_their_line() {
    let shown = problem("[gateway]\ncores = 2\nmax_connections = \"many\"\n");
    assert!(
        shown.starts_with("ringwire.toml:3: gateway.max_connections: "),
        "{shown}"
    );
    let shown = problem("[shared]\nlog_format = \"yaml\"\n");
    assert!(
        shown.starts_with("ringwire.toml:2: shared.log_format: "),
        "{shown}"
    );
    assert!(shown.contains("json"), "{shown}");
    let shown = problem("[shared]\nlogin_policy = 300\n");
    assert!(
        shown.starts_with("ringwire.toml:2: shared.login_policy: "),
        "{shown}"
    );
    let shown = problem("[shared]\nlog = \"info\n");
    assert!(shown.starts_with("ringwire.toml:2: "), "{shown}");
    assert!(!shown.contains('\n'));
    let shown = problem("[shared]\nlog = \"a\"\nlog = \"b\"\n");
    assert!(shown.starts_with("ringwire.toml:3: "), "{shown}");
}

#[test]
fn values_out_of_range_are_refused() {
    let cases = [
        ("[shared]\nlogin_policy = 2", "shared.login_policy"),
        (
            "[shared]\ntoken_expire_days = 0",
            "shared.token_expire_days",
        ),
        ("[shared]\nadmin_user_ids = []", "shared.admin_user_ids"),
        (
            "[shared]\nadmin_user_ids = [\"a\", \"a\"]",
            "shared.admin_user_ids",
        ),
        ("[gateway]\nlisten = \"10001\"", "gateway.listen"),
        ("[gateway]\nlisten = \"127.0.0.1:10002\"", "control.listen"),
        ("[gateway]\nname = \"a b\"", "gateway.name"),
        (
            "[gateway]\njournal_segment_bytes = 1048577",
            "gateway.journal_segment_bytes",
        ),
        (
            "[gateway]\njournal_max_bytes = 67108864",
            "gateway.journal_max_bytes",
        ),
        (
            "[gateway]\nmax_message_bytes = 51199",
            "gateway.max_message_bytes",
        ),
        (
            "[gateway]\nmax_inflated_bytes = 51199",
            "gateway.max_inflated_bytes",
        ),
        ("[gateway]\nweb_ping_ms = 30000", "gateway.web_ping_ms"),
        (
            "[gateway]\nsend_rate = 5\nsend_burst = 0",
            "gateway.send_burst",
        ),
        (
            "[control]\ndatabase_url = \"mysql://x\"",
            "control.database_url",
        ),
        ("[control]\nread_timeout_ms = 0", "control.read_timeout_ms"),
    ];
    for (text, option) in cases {
        let found = problems(text);
        let named = found.iter().any(|p| p.message.starts_with(option));
        assert!(named, "{text}: {found:?}");
        if text.contains(option.split_once('.').unwrap().1) && option != "control.listen" {
            assert!(found.iter().any(|p| p.line.is_some()), "{text}: {found:?}");
        }
    }
    let long = format!("[shared]\nlink_socket = \"/{}\"", "x".repeat(107));
    assert!(problem(&long).contains("107 bytes"));
}

#[test]
fn paths_start_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringwire.toml");
    std::fs::write(
        &file,
        "[shared]\nsecret_file = \"s/secret\"\nlink_socket = \"/run/x.sock\"\n\
         [control]\ndatabase_url = \"sqlite:im.db?mode=rwc\"\n",
    )
    .unwrap();
    let config = load(&file).unwrap();
    assert_eq!(config.shared.secret_file, folder.path().join("s/secret"));
    assert_eq!(config.shared.link_socket, Path::new("/run/x.sock"));
    assert_eq!(config.gateway.journal_dir, folder.path().join("journal"));
    let database = format!("sqlite:{}?mode=rwc", folder.path().join("im.db").display());
    assert_eq!(config.control.database_url, database);

    let memory = parse(
        "[control]\ndatabase_url = \"sqlite::memory:\"",
        &file,
        folder.path(),
    )
    .unwrap();
    assert_eq!(memory.control.database_url, "sqlite::memory:");
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nowhere/ringwire.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert!(
        error.to_string().starts_with("/nowhere/ringwire.toml: "),
        "{error}"
    );
}
