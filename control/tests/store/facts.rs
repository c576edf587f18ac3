use super::{NOW, groups, texts, users, versions::friend};
use ringwire_control::store::{Black, Group, Member, Stores, User};
use ringwire_link::facts::{Fact, FactKey, GroupFact, MemberFact, PairFact, UserFact};

use super::conversations::single;

pub(crate) async fn every_kind_is_answered_in_order(stores: &Stores) {
    stores
        .users
        .insert(&[
            User {
                level: 2,
                global_recv_opt: 1,
                ..users::user("a")
            },
            users::user("b"),
        ])
        .await
        .unwrap();
    stores
        .relations
        .add_friends(&[friend("a", "b"), friend("c", "a")])
        .await
        .unwrap();
    let black = |owner: &str, block: &str| Black {
        owner_id: owner.into(),
        block_id: block.into(),
        create_time: NOW,
        ..Black::default()
    };
    stores.relations.add_black(&black("b", "a")).await.unwrap();
    stores
        .relations
        .add_black(&Black {
            ex: "again".into(),
            ..black("b", "a")
        })
        .await
        .unwrap();
    let (total, blacks) = stores
        .relations
        .blacks("b", ringwire_control::store::Page::first(5))
        .await
        .unwrap();
    assert_eq!(
        (total, blacks),
        (
            1,
            vec![Black {
                ex: "again".into(),
                ..black("b", "a")
            }]
        )
    );
    stores
        .conversations
        .ensure(&[single("a", "b"), single("b", "a")], NOW)
        .await
        .unwrap();
    let mut records = stores.conversations.all("b").await.unwrap();
    records[0].recv_msg_opt = 2;
    stores.conversations.save(&records).await.unwrap();
    let muted = Member {
        mute_end_time: 99,
        ..groups::member("b", 60)
    };
    stores
        .groups
        .create(&groups::group("g"), &[groups::member("a", 100), muted])
        .await
        .unwrap();
    stores
        .groups
        .create(
            &Group {
                status: 2,
                ..groups::group("gone")
            },
            &[groups::member("a", 20)],
        )
        .await
        .unwrap();
    groups::create(stores, "h", &[("a", 20)]).await;

    let pair = |a: &str, b: &str| FactKey::Pair(a.into(), b.into());
    let member = |g: &str, u: &str| FactKey::Member {
        group_id: g.into(),
        user_id: u.into(),
    };
    let keys = [
        FactKey::UserGroups("a".into()),
        FactKey::User("a".into()),
        FactKey::User("nobody".into()),
        pair("a", "b"),
        pair("a", "c"),
        pair("x", "y"),
        FactKey::Group("gone".into()),
        FactKey::Group("none".into()),
        member("g", "b"),
        member("g", "c"),
        FactKey::UserGroups("nobody".into()),
        FactKey::Group("g".into()),
        pair("a", "a"),
    ];
    let facts = stores.facts.facts(&keys).await.unwrap();
    let expected = [
        Fact::UserGroups(texts(&["g", "h"])),
        Fact::User(Some(UserFact {
            level: 2,
            global_recv_opt: 1,
        })),
        Fact::User(None),
        Fact::Pair(PairFact {
            a_blocks_b: false,
            b_blocks_a: true,
            a_lists_b: true,
            b_lists_a: false,
            a_recv_opt: Some(0),
            b_recv_opt: Some(2),
        }),
        Fact::Pair(PairFact {
            b_lists_a: true,
            ..PairFact::default()
        }),
        Fact::Pair(PairFact::default()),
        Fact::Group(Some(GroupFact {
            status: 2,
            group_type: 2,
        })),
        Fact::Group(None),
        Fact::Member(Some(MemberFact {
            role: 60,
            mute_end_ms: 99,
        })),
        Fact::Member(None),
        Fact::UserGroups(vec![]),
        Fact::Group(Some(GroupFact {
            status: 0,
            group_type: 2,
        })),
        Fact::Pair(PairFact::default()),
    ];
    assert_eq!(facts, expected);
    assert_eq!(stores.facts.facts(&[]).await.unwrap(), []);
    let many: Vec<FactKey> = (0..1000).map(|i| pair("a", &format!("u{i:04}"))).collect();
    assert_eq!(stores.facts.facts(&many).await.unwrap().len(), 1000);
}
