//! Facts, changes of them, presence and sessions.

use crate::stand::{Core, PATIENCE, Stand, hello, until};
use ringwire_control::ports::Gateways;
use ringwire_control::store::User;
use ringwire_link::facts::{Fact, FactChange, FactKey, UserFact};
use ringwire_link::message::{Hello, SessionInfo, UserPlatforms};
use ringwire_link::{ToControl, ToGateway};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn facts_are_read_in_the_order_of_the_keys() {
    let stand = Stand::start().await;
    let user = User {
        user_id: "a".into(),
        level: 3,
        global_recv_opt: 2,
        ..User::default()
    };
    stand.stores.users.insert(&[user]).await.unwrap();
    let mut core = stand.core(hello()).await;
    let keys = vec![
        FactKey::Group("g".into()),
        FactKey::User("a".into()),
        FactKey::User("b".into()),
    ];
    let ToGateway::Facts { facts } = core.ask(ToControl::FetchFacts { keys }).await else {
        panic!()
    };
    let known = UserFact {
        level: 3,
        global_recv_opt: 2,
    };
    assert_eq!(
        facts,
        Ok(vec![
            Fact::Group(None),
            Fact::User(Some(known)),
            Fact::User(None)
        ])
    );
    let keys = vec![FactKey::User("a".into()); 1001];
    let ToGateway::Facts { facts } = core.ask(ToControl::FetchFacts { keys }).await else {
        panic!()
    };
    assert!(facts.is_err());
}

async fn change_heard(core: &mut Core) -> (u64, Vec<FactChange>) {
    match core.next().await.body {
        ToGateway::FactChanges { version, changes } => (version, changes),
        other => panic!("{other:?}"),
    }
}

fn user(id: &str) -> Vec<FactChange> {
    vec![FactChange::User(id.into())]
}

#[tokio::test]
async fn an_apply_returns_once_every_core_has_applied_it() {
    let stand = Stand::start().await;
    let mut cores = Vec::new();
    for core in 0..2 {
        cores.push(
            stand
                .core(Hello {
                    core,
                    cores: 2,
                    journals: Vec::new(),
                    ..hello()
                })
                .await,
        );
    }
    let link = Arc::clone(&stand.link);
    let mut applied = tokio::spawn(async move { link.apply(user("a")).await });
    assert_eq!(change_heard(&mut cores[0]).await, (1, user("a")));
    assert_eq!(change_heard(&mut cores[1]).await, (1, user("a")));
    cores[0].tell(ToControl::FactsApplied { version: 1 }).await;
    // A question answered after it proves that control has read the frame; core 1 still owes its own.
    cores[0]
        .ask(ToControl::FetchFacts { keys: Vec::new() })
        .await;
    assert!(!applied.is_finished());
    cores[1].tell(ToControl::FactsApplied { version: 1 }).await;
    tokio::time::timeout(PATIENCE, &mut applied)
        .await
        .expect("applied")
        .unwrap();
}

#[tokio::test]
async fn a_core_that_does_not_apply_in_time_is_disconnected() {
    let stand = Stand::start_with(|s| s.facts_timeout = Duration::from_millis(20), |_| {}).await;
    let mut core = stand.core(hello()).await;
    stand.link.apply(user("a")).await;
    let said = core.closed().await;
    assert!(
        matches!(said.as_slice(), [ToGateway::FactChanges { version: 1, .. }]),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_core_that_comes_back_is_told_what_it_missed() {
    let stand = Stand::start().await;
    let (core, welcome) = stand.welcomed(hello()).await;
    assert_eq!((welcome.facts_version, welcome.facts_current), (0, false));
    drop(core);
    // Nobody is connected, or the connection is ending: nobody is waited for.
    stand.link.apply(user("a")).await;
    stand.link.apply(user("b")).await;
    let mut core = stand.connect().await;
    core.greet().await;
    core.tell(ToControl::Hello(Hello {
        facts_boot: welcome.boot,
        facts_version: 1,
        ..hello()
    }))
    .await;
    let ToGateway::Welcome(again) = core.next().await.body else {
        panic!()
    };
    assert_eq!((again.facts_version, again.facts_current), (2, true));
    assert_eq!(change_heard(&mut core).await, (2, user("b")));
}

#[tokio::test]
async fn presence_is_known_until_the_core_is_gone() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let online = |user: &str, platforms: &[i32]| UserPlatforms {
        user_id: user.into(),
        platforms: platforms.to_vec(),
    };
    core.tell(ToControl::Presence {
        snapshot: true,
        users: vec![online("a", &[1, 5]), online("b", &[2])],
    })
    .await;
    core.tell(ToControl::Presence {
        snapshot: false,
        users: vec![online("b", &[])],
    })
    .await;
    core.ask(ToControl::FetchFacts { keys: Vec::new() }).await;
    assert_eq!(stand.link.platforms("a"), [1, 5]);
    assert!(stand.link.platforms("b").is_empty());
    drop(core);
    until(|| async { stand.link.platforms("a").is_empty() }).await;
}

#[tokio::test]
async fn sessions_and_kicks_are_asked_of_the_home_core() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let session = SessionInfo {
        user_id: "a".into(),
        platform_id: 1,
        conn_id: "c".into(),
        background: false,
    };
    let link = Arc::clone(&stand.link);
    let asked = tokio::spawn(async move { link.sessions(&["a".into(), "b".into()]).await });
    let question = core.next().await;
    assert_eq!(
        question.body,
        ToGateway::QuerySessions {
            user_ids: vec!["a".into(), "b".into()]
        }
    );
    core.send(
        question.correlation,
        ToControl::Sessions {
            sessions: vec![session.clone()],
        },
    )
    .await;
    assert_eq!(asked.await.unwrap(), [session]);
    let link = Arc::clone(&stand.link);
    let asked = tokio::spawn(async move { link.kick("a", &[1]).await });
    let question = core.next().await;
    assert_eq!(
        question.body,
        ToGateway::Kick {
            user_id: "a".into(),
            platforms: vec![1]
        }
    );
    core.send(question.correlation, ToControl::Kicked { closed: 2 })
        .await;
    assert_eq!(asked.await.unwrap(), 2);
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_ends_the_connection() {
    let stand = Stand::start().await;
    let mut core = stand.core(hello()).await;
    let link = Arc::clone(&stand.link);
    let asked = tokio::spawn(async move { link.kick("a", &[]).await });
    let question = core.next().await;
    core.send(
        question.correlation,
        ToControl::Sessions {
            sessions: Vec::new(),
        },
    )
    .await;
    assert_eq!(asked.await.unwrap(), 0);
    assert!(core.closed().await.is_empty());
}
