//! What a core asks that the store answers at once: facts, conversations, duplicates. Calls of
//! clients are in `calls`.
//!
//! An answer may be older than a change sent before it: the core asks again for keys that changed
//! while its question was under way. Changes are sent after their commit, so a question that comes
//! after a change reads what the change wrote.

use super::Link;
use super::connection::Connection;
use super::registry::Core;
use ringwire_link::{ToControl, ToGateway};
use std::sync::Arc;
use tracing::warn;

/// Keys or ids in one question.
const QUESTION_LIMIT: usize = 1000;

/// What the core is told of a store failure; the log has the rest.
fn unavailable<T>(result: Result<T, crate::store::StoreError>) -> Result<T, String> {
    result.map_err(|error| {
        warn!(%error, "a question of a core cannot be answered");
        "the store cannot answer".to_owned()
    })
}

/// Sends an answer; one too large for a frame becomes an error, or the core would come back and ask
/// the same for ever.
fn answered(connection: &Connection, correlation: u64, body: &ToGateway) {
    if let Err(error) = connection.try_send(correlation, body) {
        if let Some(shorter) = shortened(body) {
            return answered(connection, correlation, &shorter);
        }
        warn!(%error, "an answer to a core is too large");
        let reason = || "the answer is too large".to_owned();
        let refusal = match body {
            ToGateway::Facts { .. } => ToGateway::Facts {
                facts: Err(reason()),
            },
            ToGateway::Conversations { .. } => ToGateway::Conversations {
                states: Err(reason()),
            },
            _ => ToGateway::Duplicate {
                found: Err(reason()),
            },
        };
        connection.send(correlation, &refusal);
    }
}

/// The same with half of the messages that a core only gets so that it need not ask for them.
fn shortened(body: &ToGateway) -> Option<ToGateway> {
    let ToGateway::Conversations { states: Ok(states) } = body else {
        return None;
    };
    let longest = states.iter().map(|state| state.recent.len()).max()?;
    let mut states = states.clone();
    for state in states.iter_mut() {
        let surplus = state.recent.len().saturating_sub(longest / 2);
        state.recent.drain(..surplus);
    }
    (longest > 0).then_some(ToGateway::Conversations { states: Ok(states) })
}

impl Link {
    /// Answers a question in a task of its own, so that a slow one holds up nothing.
    pub(super) async fn asked(
        self: &Arc<Self>,
        core: &Core,
        correlation: u64,
        question: ToControl,
    ) {
        if let ToControl::Call(call) = question {
            return self.called(core, correlation, call);
        }
        // These depend on the database alone: to wait here slows down one core, and cannot stop
        // what it waits for.
        let Ok(permit) = Arc::clone(&core.connection.questions).acquire_owned().await else {
            return;
        };
        let link = Arc::clone(self);
        let connection = Arc::clone(&core.connection);
        tokio::spawn(async move {
            match link.answer(question).await {
                Some(body) => answered(&connection, correlation, &body),
                None => connection.close("a frame came that is no question".into()),
            }
            drop(permit);
        });
    }

    async fn answer(&self, question: ToControl) -> Option<ToGateway> {
        let too_many = || format!("at most {QUESTION_LIMIT} in one question");
        Some(match question {
            ToControl::FetchFacts { keys } => ToGateway::Facts {
                facts: if keys.len() > QUESTION_LIMIT {
                    Err(too_many())
                } else {
                    unavailable(self.stores.facts.facts(&keys).await)
                },
            },
            ToControl::OpenConversations { ids } => ToGateway::Conversations {
                states: if ids.len() > QUESTION_LIMIT {
                    Err(too_many())
                } else {
                    unavailable(self.stores.messages.states(&ids).await)
                },
            },
            ToControl::FindDuplicate {
                conversation_id,
                send_id,
                client_msg_id,
            } => ToGateway::Duplicate {
                found: unavailable(
                    self.stores
                        .messages
                        .find_duplicate(&conversation_id, &send_id, &client_msg_id)
                        .await,
                ),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_link::FrameDecoder;
    use ringwire_link::facts::Fact;
    use ringwire_link::frame::{MAX_FRAME, preamble};
    use ringwire_link::message::{ConversationState, KnownMessage};

    #[test]
    fn conversations_too_large_for_a_frame_come_with_their_newest_messages_only() {
        let (connection, mut outgoing) = Connection::new(1);
        let known = |seq| KnownMessage {
            send_id: "s".repeat(1 << 10),
            client_msg_id: String::new(),
            server_msg_id: String::new(),
            send_time: 0,
            create_time: 0,
            seq,
        };
        let state = ConversationState {
            max_seq: 64,
            max_send_time: 0,
            recent: (1..=64).map(known).collect(),
            ahead: Vec::new(),
        };
        let states = Ok(vec![state; QUESTION_LIMIT]);
        answered(&connection, 5, &ToGateway::Conversations { states });
        let mut decoder = FrameDecoder::default();
        decoder.extend(&preamble());
        decoder.extend(&outgoing.try_recv().expect("answered"));
        let frame = decoder.next::<ToGateway>().expect("valid").expect("whole");
        let ToGateway::Conversations { states: Ok(states) } = frame.body else {
            panic!("{:?}", frame.correlation)
        };
        assert_eq!(states.len(), QUESTION_LIMIT);
        for state in states {
            assert_eq!(state.max_seq, 64);
            let seqs: Vec<i64> = state.recent.iter().map(|m| m.seq).collect();
            assert!(
                !seqs.is_empty()
                    && seqs.iter().rev().eq((1..=64)
                        .rev()
                        .take(seqs.len())
                        .collect::<Vec<_>>()
                        .iter())
            );
        }
    }

    #[test]
    fn an_answer_too_large_for_a_frame_is_an_error_and_the_connection_goes_on() {
        let (connection, mut outgoing) = Connection::new(1);
        let groups = vec!["g".repeat(1 << 20); MAX_FRAME >> 20];
        let huge = ToGateway::Facts {
            facts: Ok(vec![Fact::UserGroups(groups)]),
        };
        answered(&connection, 5, &huge);
        let mut decoder = FrameDecoder::default();
        decoder.extend(&preamble());
        decoder.extend(&outgoing.try_recv().expect("answered"));
        let frame = decoder.next::<ToGateway>().expect("valid").expect("whole");
        assert_eq!(frame.correlation, 5);
        assert!(matches!(frame.body, ToGateway::Facts { facts: Err(_) }));
        assert!(!connection.is_closing());
    }
}
