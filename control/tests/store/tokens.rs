use super::journal::batch;
use super::{NOW, users};
use ringwire_control::store::{NewToken, StoreError, Stores, TokenDecision, TokenRow};
use ringwire_link::record::{Record, TokenKickRecord};
use std::collections::HashSet;

const EXPIRES: i64 = NOW / 1000 + 1000;

pub(crate) fn token(user: &str, platform: i32, number: u8) -> NewToken {
    let mut sha256 = [number; 32];
    sha256[0] = platform as u8;
    NewToken {
        user_id: user.into(),
        platform_id: platform,
        sha256,
        issued_at: NOW + i64::from(number),
        expires_s: EXPIRES,
    }
}

pub(crate) fn nothing(_: &[TokenRow]) -> TokenDecision {
    TokenDecision::default()
}

async fn all(stores: &Stores) -> Vec<TokenRow> {
    stores.tokens.load(0, None, 1000).await.unwrap()
}

pub(crate) async fn an_issue_carries_out_the_policy(stores: &Stores) {
    users::add(stores, &["a", "b"]).await;
    let unknown = stores.tokens.issue(&token("x", 1, 1), &nothing).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));

    let one_a_platform = |rows: &[TokenRow]| TokenDecision {
        kick: rows.iter().filter(|r| !r.kicked).map(|r| r.token).collect(),
        remove: rows.iter().filter(|r| r.kicked).map(|r| r.token).collect(),
    };
    stores
        .tokens
        .issue(&token("b", 1, 9), &nothing)
        .await
        .unwrap();
    for number in 1..=3 {
        stores
            .tokens
            .issue(&token("a", 1, number), &one_a_platform)
            .await
            .unwrap();
    }
    let state: Vec<(String, u8, bool)> = all(stores)
        .await
        .iter()
        .map(|r| (r.user_id.clone(), r.sha256[5], r.kicked))
        .collect();
    assert_eq!(
        state,
        [
            ("a".into(), 2, true),
            ("a".into(), 3, false),
            ("b".into(), 9, false)
        ]
    );

    // The same token once more, after it was kicked: normal again.
    let again = token("a", 1, 2);
    stores.tokens.issue(&again, &nothing).await.unwrap();
    let row = all(stores)
        .await
        .into_iter()
        .find(|r| r.token == again.id())
        .unwrap();
    assert_eq!(
        (row.kicked, row.sha256, row.expires_s, row.platform_id),
        (false, again.sha256, EXPIRES, 1)
    );
}

pub(crate) async fn parallel_logins_of_a_user_see_each_other(stores: &Stores) {
    users::add(stores, &["a"]).await;
    let kick_all = |rows: &[TokenRow]| TokenDecision {
        kick: rows.iter().filter(|r| !r.kicked).map(|r| r.token).collect(),
        remove: Vec::new(),
    };
    let logins: Vec<_> = (0..20)
        .map(|number| {
            let tokens = stores.tokens.clone();
            tokio::spawn(async move {
                tokens
                    .issue(&token("a", 1, number), &kick_all)
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut kicked = HashSet::new();
    for login in logins {
        for token in login.await.unwrap().kick {
            assert!(kicked.insert(token), "a token was kicked by two logins");
        }
    }
    assert_eq!(kicked.len(), 19);
    assert_eq!(all(stores).await.iter().filter(|r| !r.kicked).count(), 1);
}

pub(crate) async fn logins_and_journals_that_kick_do_not_lock_each_other_out(stores: &Stores) {
    users::add(stores, &["a", "b"]).await;
    // The oldest first, while the journal below names the newest first.
    let kick_all = |rows: &[TokenRow]| TokenDecision {
        kick: rows.iter().map(|r| r.token).collect(),
        remove: Vec::new(),
    };
    for (n, user) in ["a", "b"].into_iter().cycle().take(20).enumerate() {
        let token = token(user, 1, n as u8);
        stores.tokens.issue(&token, &nothing).await.unwrap();
    }
    let logins = (20..60u8).map(|n| {
        let tokens = stores.tokens.clone();
        tokio::spawn(async move {
            let token = token(if n % 2 == 0 { "a" } else { "b" }, 1, n);
            tokens.issue(&token, &kick_all).await.map(drop)
        })
    });
    let kick = |user: &str, n: u8| {
        Record::TokenKick(TokenKickRecord {
            user_id: user.into(),
            tokens: (0..n)
                .rev()
                .map(|n| token(user, 1, n).id().to_vec())
                .collect(),
            at_ms: i64::MAX,
            ..TokenKickRecord::default()
        })
    };
    let journals = (0..20u16).map(|journal| {
        let kicks = vec![kick("b", 60), kick("a", 60)];
        let stores = stores.journal.clone();
        let batch = batch(journal, 0, 64, kicks);
        tokio::spawn(async move { stores.apply(&[batch], NOW).await.map(drop) })
    });
    let all: Vec<_> = logins.chain(journals).collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
}

pub(crate) async fn kicks_return_what_changed(stores: &Stores) {
    users::add(stores, &["a", "b"]).await;
    for (user, platform, number) in [
        ("a", 1, 1),
        ("a", 1, 2),
        ("a", 1, 3),
        ("a", 5, 4),
        ("b", 1, 5),
    ] {
        stores
            .tokens
            .issue(&token(user, platform, number), &nothing)
            .await
            .unwrap();
    }
    let id = |platform, number| token("", platform, number).id();
    // Another user's token is left alone.
    let changed = stores
        .tokens
        .kick("a", &[id(1, 1), id(1, 1), id(1, 5), [9; 16]])
        .await
        .unwrap();
    assert_eq!(
        changed
            .iter()
            .map(|r| (r.token, r.kicked))
            .collect::<Vec<_>>(),
        [(id(1, 1), true)]
    );
    // 1 is kicked already, 2 is kept, 4 is of another platform.
    let changed = stores
        .tokens
        .kick_platform("a", Some(1), Some(id(1, 2)), NOW + 100)
        .await
        .unwrap();
    assert_eq!(
        changed.iter().map(|r| r.token).collect::<Vec<_>>(),
        [id(1, 3)]
    );
    // Issued after the limit.
    assert_eq!(
        stores
            .tokens
            .kick_platform("a", Some(5), None, NOW + 3)
            .await
            .unwrap(),
        []
    );
    let changed = stores
        .tokens
        .kick_platform("a", None, None, NOW + 100)
        .await
        .unwrap();
    assert_eq!(
        changed.iter().map(|r| r.token).collect::<HashSet<_>>(),
        HashSet::from([id(1, 2), id(5, 4)])
    );
    stores
        .tokens
        .remove("a", &[id(1, 1), id(1, 5)])
        .await
        .unwrap();
    assert_eq!(all(stores).await.len(), 4);
}

pub(crate) async fn load_pages_and_purge(stores: &Stores) {
    users::add(stores, &["a"]).await;
    for number in 0..5 {
        let expires_s = if number < 2 { EXPIRES } else { EXPIRES + 10 };
        stores
            .tokens
            .issue(
                &NewToken {
                    expires_s,
                    ..token("a", 1, number)
                },
                &nothing,
            )
            .await
            .unwrap();
    }
    let first = stores.tokens.load(EXPIRES, None, 2).await.unwrap();
    let second = stores
        .tokens
        .load(EXPIRES, Some(first[1].token), 2)
        .await
        .unwrap();
    let numbers: Vec<u8> = first.iter().chain(&second).map(|r| r.sha256[9]).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(stores.tokens.purge(EXPIRES).await.unwrap(), 2);
    assert_eq!(all(stores).await.len(), 3);
}
