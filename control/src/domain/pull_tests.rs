use super::*;
use crate::store::{StoreResult, UserWindows, Window};
use async_trait::async_trait;
use ringwire_link::message::{ConversationState, KnownMessage};
use ringwire_protocol::pb::msg::ConversationSeqs;
use ringwire_protocol::pb::sdkws::SeqRange;

/// Conversations held in memory.
#[derive(Default)]
struct Shelf {
    windows: HashMap<String, Window>,
    messages: HashMap<String, BTreeMap<i64, MsgData>>,
    /// Most rows asked for at once.
    most: std::sync::atomic::AtomicI64,
}

impl Shelf {
    /// A conversation with messages 1..=max, of which `missing` are gone.
    fn put(&mut self, id: &str, max_seq: i64, missing: &[i64], window: Window, sample: &MsgData) {
        let msg = |seq| MsgData {
            seq,
            send_time: seq * 10,
            status: 2,
            ..sample.clone()
        };
        let msgs = (1..=max_seq)
            .filter(|seq| !missing.contains(seq))
            .map(|seq| (seq, msg(seq)))
            .collect();
        self.messages.insert(id.into(), msgs);
        self.windows.insert(
            id.into(),
            Window {
                conversation_id: id.into(),
                max_seq,
                ..window
            },
        );
    }

    fn rows(&self, id: &str, wanted: impl Fn(i64) -> bool) -> Vec<StoredMessage> {
        let all = self.messages.get(id).into_iter().flatten();
        let row = |(seq, msg): (&i64, &MsgData)| StoredMessage {
            seq: *seq,
            send_time: msg.send_time,
            msg: msg.encode_to_vec().into(),
        };
        all.filter(|(seq, _)| wanted(**seq)).map(row).collect()
    }
}

#[async_trait]
impl MessageStore for Shelf {
    async fn states(&self, _: &[String]) -> StoreResult<Vec<ConversationState>> {
        Ok(Vec::new())
    }

    async fn find_duplicate(&self, _: &str, _: &str, _: &str) -> StoreResult<Option<KnownMessage>> {
        Ok(None)
    }

    async fn ranges(&self, queries: &[RangeQuery]) -> StoreResult<Vec<Vec<StoredMessage>>> {
        let asked = queries.iter().map(|q| q.limit).sum();
        self.most
            .fetch_max(asked, std::sync::atomic::Ordering::Relaxed);
        let one = |q: &RangeQuery| {
            let mut rows = self.rows(&q.conversation_id, |seq| q.begin <= seq && seq <= q.end);
            let limit = usize::try_from(q.limit).unwrap_or(0);
            if q.highest {
                rows.drain(..rows.len().saturating_sub(limit));
            } else {
                rows.truncate(limit);
            }
            rows
        };
        Ok(queries.iter().map(one).collect())
    }

    async fn by_seqs(
        &self,
        queries: &[(String, Vec<i64>)],
    ) -> StoreResult<Vec<Vec<StoredMessage>>> {
        Ok(queries
            .iter()
            .map(|(id, seqs)| self.rows(id, |seq| seqs.contains(&seq)))
            .collect())
    }

    async fn windows(&self, _: &str, ids: &[String]) -> StoreResult<Vec<Window>> {
        Ok(ids
            .iter()
            .map(|id| self.windows.get(id).cloned().unwrap_or_default())
            .collect())
    }

    async fn user_windows(&self, _: &str) -> StoreResult<UserWindows> {
        Ok(UserWindows::default())
    }

    async fn raise_read_seqs(&self, _: &[(String, String, i64)]) -> StoreResult<()> {
        Ok(())
    }

    async fn set_bounds(
        &self,
        _: &[String],
        _: &str,
        _: Option<i64>,
        _: Option<i64>,
    ) -> StoreResult<()> {
        Ok(())
    }
}

fn own() -> Window {
    Window {
        has_record: true,
        ..Window::default()
    }
}

fn foreign() -> Window {
    Window::default()
}

fn chat(send: &str, recv: &str) -> MsgData {
    MsgData {
        session_type: 1,
        send_id: send.into(),
        recv_id: recv.into(),
        content: "x".into(),
        ..MsgData::default()
    }
}

fn range(id: &str, begin: i64, end: i64, num: i64) -> SeqRange {
    SeqRange {
        conversation_id: id.into(),
        begin,
        end,
        num,
    }
}

fn pull(ranges: &[SeqRange], order: PullOrder) -> PullMessageBySeqsReq {
    PullMessageBySeqsReq {
        user_id: "u".into(),
        seq_ranges: ranges.to_vec(),
        order: order as i32,
    }
}

fn seqs(pulled: &PullMsgs) -> Vec<i64> {
    pulled.msgs.iter().map(|m| m.seq).collect()
}

/// The seqs returned of one conversation, wherever the reply put them.
fn of<'a>(reply: &'a PullMessageBySeqsResp, id: &str) -> Option<&'a PullMsgs> {
    let (right, wrong) = if id.starts_with("n_") {
        (&reply.notification_msgs, &reply.msgs)
    } else {
        (&reply.msgs, &reply.notification_msgs)
    };
    assert!(!wrong.contains_key(id));
    right.get(id)
}

#[tokio::test]
async fn range_pulls_by_the_table() {
    let mut shelf = Shelf::default();
    shelf.put("si_u_v", 30, &[], own(), &chat("u", "v"));
    shelf.put("si_v_w", 30, &[], foreign(), &chat("v", "w"));
    shelf.put(
        "sg_left",
        30,
        &[],
        Window {
            user_max_seq: 12,
            user_min_seq: 5,
            ..own()
        },
        &chat("v", ""),
    );
    shelf.put("n_u_v", 30, &[], foreign(), &chat("v", "u"));
    shelf.put("n_v_w", 30, &[], foreign(), &chat("v", "w"));
    shelf.put("n_u_x", 30, &[], foreign(), &chat("u", "x"));
    shelf.put(
        "n_left",
        30,
        &[],
        foreign(),
        &MsgData {
            session_type: 3,
            ..chat("u", "left")
        },
    );
    shelf.put("sg_stay", 3, &[], own(), &chat("v", ""));
    shelf.put(
        "n_stay",
        30,
        &[],
        foreign(),
        &MsgData {
            session_type: 3,
            ..chat("v", "stay")
        },
    );
    shelf.put(
        "n_other",
        30,
        &[],
        foreign(),
        &MsgData {
            session_type: 3,
            ..chat("v", "other")
        },
    );
    use PullOrder::{Asc, Desc};
    type Case = (
        SeqRange,
        PullOrder,
        Option<(std::ops::RangeInclusive<i64>, bool)>,
    );
    let cases: Vec<Case> = vec![
        // Own chats: the highest num of the range.
        (range("si_u_v", 1, 30, 10), Asc, Some((21..=30, true))),
        (range("si_u_v", 0, 30, 100), Asc, Some((1..=30, true))),
        (range("si_u_v", 5, 20, 10), Asc, Some((11..=20, false))),
        (range("si_u_v", 1, 20, 10), Desc, Some((11..=20, true))),
        (range("si_u_v", 2, 20, 10), Desc, Some((11..=20, false))),
        (range("si_u_v", 1, i64::MAX, 1), Asc, Some((30..=30, true))),
        (range("si_u_v", 1, 30, 0), Asc, None),
        (range("si_u_v", 31, 40, 10), Asc, None),
        // Chats of others.
        (range("si_v_w", 1, 30, 10), Asc, None),
        (range("si_no_such", 1, 30, 10), Asc, None),
        // A group left at 12, cleared up to 4.
        (range("sg_left", 1, 30, 100), Asc, Some((5..=12, true))),
        (range("sg_left", 13, 30, 100), Asc, None),
        // Streams: num does not count.
        (range("n_u_v", 4, 30, 1), Asc, Some((4..=30, true))),
        (range("n_u_x", 1, i64::MAX, 1), Asc, Some((1..=30, true))),
        (range("n_v_w", 1, 30, 10), Asc, None),
        (range("n_left", 1, 30, 10), Asc, None),
        (range("n_stay", 1, 30, 10), Asc, Some((1..=30, true))),
        (range("n_other", 1, 30, 10), Asc, None),
    ];
    for (asked, order, expected) in cases {
        let reply = by_ranges(&shelf, &pull(std::slice::from_ref(&asked), order))
            .await
            .expect("pulled");
        let got = of(&reply, &asked.conversation_id).map(|p| (seqs(p), p.is_end));
        let expected = expected.map(|(seqs, is_end)| (seqs.collect::<Vec<i64>>(), is_end));
        assert_eq!(got, expected, "{asked:?} {order:?}");
    }
}

#[tokio::test]
async fn gone_messages_are_placeholders_with_the_time_of_the_one_before() {
    let mut shelf = Shelf::default();
    shelf.put("si_u_v", 5, &[1, 3, 4], own(), &chat("u", "v"));
    let reply = by_ranges(&shelf, &pull(&[range("si_u_v", 1, 5, 10)], PullOrder::Asc))
        .await
        .expect("pulled");
    let told: Vec<_> = of(&reply, "si_u_v")
        .expect("there")
        .msgs
        .iter()
        .map(|m| (m.seq, m.status, m.send_time))
        .collect();
    assert_eq!(
        told,
        [(1, 4, 0), (2, 2, 20), (3, 4, 20), (4, 4, 20), (5, 2, 50)]
    );
}

#[tokio::test]
async fn an_oversize_pull_is_cut_where_the_sdk_can_go_on() {
    let mut shelf = Shelf::default();
    let big = MsgData {
        content: vec![b'x'; 40 << 10].into(),
        ..chat("v", "u")
    };
    shelf.put("si_u_v", 100, &[], own(), &big);
    shelf.put("n_u_v", 100, &[], foreign(), &big);
    for (id, order) in [("si_u_v", PullOrder::Desc), ("n_u_v", PullOrder::Asc)] {
        let reply = by_ranges(&shelf, &pull(&[range(id, 1, 100, 100)], order))
            .await
            .expect("pulled");
        assert!(reply.encoded_len() <= REPLY_BYTES);
        let pulled = of(&reply, id).expect("there");
        let got = seqs(pulled);
        assert!((15..=30).contains(&got.len()), "{} of 40 KiB", got.len());
        let expected: Vec<i64> = if id == "si_u_v" {
            (101 - got.len() as i64..=100).collect()
        } else {
            (1..=got.len() as i64).collect()
        };
        assert_eq!(got, expected, "{id}");
        assert!(!pulled.is_end, "what was left out is still to come");
    }
}

#[tokio::test]
async fn many_chats_share_the_reply() {
    let mut shelf = Shelf::default();
    let big = MsgData {
        content: vec![b'x'; 4 << 10].into(),
        ..chat("v", "u")
    };
    let ids: Vec<String> = (0..100).map(|n| format!("si_u_{n:03}")).collect();
    for id in &ids {
        shelf.put(id, 50, &[], own(), &big);
    }
    let ranges: Vec<SeqRange> = ids.iter().map(|id| range(id, 1, 50, 50)).collect();
    let reply = by_ranges(&shelf, &pull(&ranges, PullOrder::Asc))
        .await
        .expect("pulled");
    assert!(reply.encoded_len() <= REPLY_BYTES);
    for id in &ids {
        assert_eq!(
            of(&reply, id).and_then(|p| p.msgs.last()).map(|m| m.seq),
            Some(50),
            "each has its newest"
        );
    }
}

#[tokio::test]
async fn too_many_ranges_are_refused() {
    let ranges = vec![range("si_u_v", 1, 1, 1); MAX_CONVERSATIONS + 1];
    let error = by_ranges(&Shelf::default(), &pull(&ranges, PullOrder::Asc))
        .await
        .expect_err("refused");
    assert_eq!(error.code, 1001);
}

fn list_request(id: &str, seqs: &[i64], order: PullOrder) -> GetSeqMessageReq {
    GetSeqMessageReq {
        user_id: "u".into(),
        conversations: vec![ConversationSeqs {
            conversation_id: id.into(),
            seqs: seqs.to_vec(),
        }],
        order: order as i32,
    }
}

#[tokio::test]
async fn list_pulls_keep_the_order_asked_for() {
    let mut shelf = Shelf::default();
    shelf.put("si_u_v", 10, &[4], own(), &chat("u", "v"));
    shelf.put("si_v_w", 10, &[], foreign(), &chat("v", "w"));
    shelf.put("n_v_w", 10, &[], foreign(), &chat("v", "w"));
    let reply = by_seqs(
        &shelf,
        &list_request("si_u_v", &[5, 4, 3, 0], PullOrder::Desc),
    )
    .await
    .expect("pulled");
    let pulled = &reply.msgs["si_u_v"];
    assert_eq!(
        (seqs(pulled), pulled.is_end, pulled.end_seq),
        (vec![5, 4, 3], true, 1)
    );
    assert_eq!((pulled.msgs[1].status, pulled.msgs[1].send_time), (4, 30));
    let beyond = by_seqs(&shelf, &list_request("si_u_v", &[11, 12], PullOrder::Asc))
        .await
        .expect("pulled");
    let pulled = &beyond.msgs["si_u_v"];
    assert_eq!(
        (seqs(pulled), pulled.is_end, pulled.end_seq),
        (vec![], true, 10)
    );
    for id in ["si_v_w", "n_v_w"] {
        let reply = by_seqs(&shelf, &list_request(id, &[1, 2], PullOrder::Asc))
            .await
            .expect("pulled");
        let map = if id.starts_with("n_") {
            &reply.notification_msgs
        } else {
            &reply.msgs
        };
        assert_eq!(
            map.get(id),
            Some(&PullMsgs::default()),
            "of others: an empty entry"
        );
    }
}

#[tokio::test]
async fn an_oversize_list_is_cut_at_the_far_side() {
    let mut shelf = Shelf::default();
    let big = MsgData {
        content: vec![b'x'; 40 << 10].into(),
        ..chat("v", "u")
    };
    shelf.put("si_u_v", 60, &[], own(), &big);
    let asked: Vec<i64> = (-1..=50).collect();
    for (order, nearest) in [(PullOrder::Desc, 50), (PullOrder::Asc, 1)] {
        let reply = by_seqs(&shelf, &list_request("si_u_v", &asked, order))
            .await
            .expect("pulled");
        assert!(reply.encoded_len() <= REPLY_BYTES);
        let pulled = &reply.msgs["si_u_v"];
        let got = seqs(pulled);
        assert!(
            got.is_sorted() && got.contains(&nearest) && got.len() < 50,
            "{got:?}"
        );
        assert_eq!((pulled.is_end, pulled.end_seq), (false, 0));
    }
}

#[tokio::test]
async fn the_last_message_is_the_newest_visible_one_that_is_not_deleted() {
    let mut shelf = Shelf::default();
    shelf.put("si_u_v", 9, &[], own(), &chat("u", "v"));
    shelf.put("si_u_w", 9, &[8, 9], own(), &chat("u", "w"));
    shelf.put(
        "sg_left",
        9,
        &[],
        Window {
            user_max_seq: 4,
            ..own()
        },
        &chat("v", ""),
    );
    shelf.put(
        "sg_cleared",
        9,
        &[],
        Window {
            user_min_seq: 10,
            ..own()
        },
        &chat("v", ""),
    );
    shelf.put("si_v_w", 9, &[], foreign(), &chat("v", "w"));
    if let Some(msg) = shelf.messages.get_mut("si_u_v").and_then(|m| m.get_mut(&9)) {
        msg.status = 4;
    }
    let ids = [
        "si_u_v",
        "si_u_w",
        "sg_left",
        "sg_cleared",
        "si_v_w",
        "si_unknown",
    ]
    .map(str::to_owned)
    .to_vec();
    let request = GetLastMessageReq {
        user_id: "u".into(),
        conversation_i_ds: ids,
    };
    let reply = last_messages(&shelf, &request).await.expect("read");
    let told: Vec<(&str, i64)> = reply
        .msgs
        .iter()
        .map(|(id, m)| (id.as_str(), m.seq))
        .collect();
    assert_eq!(told, [("sg_left", 4), ("si_u_v", 8), ("si_u_w", 7)]);
}

#[tokio::test]
async fn however_much_is_asked_for_little_is_read_at_once() {
    let mut shelf = Shelf::default();
    let mut ids = Vec::new();
    for n in 0..100 {
        let id = format!("si_u_v{n:02}");
        shelf.put(&id, 150, &[], own(), &chat("u", &format!("v{n}")));
        // What stands first is deleted, far down.
        for msg in shelf.messages.get_mut(&id).into_iter().flatten() {
            if msg.0 > &60 {
                msg.1.status = 4;
            }
        }
        ids.push(id);
    }
    let request = GetLastMessageReq {
        user_id: "u".into(),
        conversation_i_ds: ids.clone(),
    };
    let reply = last_messages(&shelf, &request).await.expect("read");
    assert_eq!(reply.msgs.len(), 100);
    assert!(reply.msgs.values().all(|msg| msg.seq == 60));
    let range = |id: &String| SeqRange {
        conversation_id: id.clone(),
        begin: 1,
        end: 150,
        num: 150,
    };
    let request = PullMessageBySeqsReq {
        user_id: "u".into(),
        seq_ranges: ids.iter().map(range).collect(),
        order: 0,
    };
    let reply = by_ranges(&shelf, &request).await.expect("read");
    assert_eq!(reply.msgs.len(), 100);
    let most = shelf.most.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=ROUND as i64).contains(&most), "{most}");
}

#[test]
fn only_single_chats_have_read_marks_and_what_no_reply_holds_shows_as_deleted() {
    let stored = |msg: MsgData| StoredMessage {
        seq: 7,
        send_time: 70,
        msg: msg.encode_to_vec().into(),
    };
    let read = MsgData {
        is_read: true,
        ..chat("u", "v")
    };
    assert!(seen(&stored(read.clone())).is_read);
    assert!(
        !seen(&stored(MsgData {
            session_type: 3,
            ..read
        }))
        .is_read
    );
    let huge = seen(&stored(MsgData {
        content: vec![0; REPLY_BYTES].into(),
        send_time: 70,
        ..chat("u", "v")
    }));
    assert_eq!(
        (huge.seq, huge.status, huge.send_time, huge.content.len()),
        (7, 4, 70, 0)
    );
    assert_eq!(
        seen(&StoredMessage {
            seq: 3,
            send_time: 0,
            msg: vec![0xff].into()
        }),
        placeholder(3)
    );
}
