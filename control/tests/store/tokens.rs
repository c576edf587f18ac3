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
    let kick_all = |rows: &[TokenRow]| TokenDecision {
        kick: rows.iter().map(|r| r.token).collect(),
        remove: Vec::new(),
    };
    for round in 1..5u16 {
        let user = format!("u{round}");
        users::add(stores, &[&user]).await;
        for number in 0..100 {
            let token = token(&user, round.into(), number);
            stores.tokens.issue(&token, &nothing).await.unwrap();
        }
        // The login takes the tokens in ascending order; the journal the upper half before the lower.
        let (tokens, new) = (stores.tokens.clone(), token(&user, round.into(), 100));
        let login = tokio::spawn(async move { tokens.issue(&new, &kick_all).await.map(drop) });
        let id = |number| token(&user, round.into(), number).id().to_vec();
        let kick = TokenKickRecord {
            user_id: user.clone(),
            tokens: (50..100).map(id).collect(),
            platform_id: round.into(),
            at_ms: i64::MAX,
            ..TokenKickRecord::default()
        };
        let batch = batch(round, 0, 64, vec![Record::TokenKick(kick)]);
        let journal = stores.journal.clone();
        let apply = tokio::spawn(async move { journal.apply(&[batch], NOW).await.map(drop) });
        login.await.unwrap().unwrap();
        apply.await.unwrap().unwrap();
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
