//! The real core as the shell's machine.

use super::Machine;
use super::counters::{Kind, Sample};
use crate::core::{Core, Event, Now, Out, OwnerStats, Stats};

impl Machine for Core {
    fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Out) {
        Core::handle(self, now, event, out);
    }

    fn finish_turn(&mut self, now: Now, out: &mut Out) {
        Core::finish_turn(self, now, out);
    }

    fn deadline(&self) -> Option<u64> {
        Core::deadline(self)
    }

    fn ready(&self) -> bool {
        Core::ready(self)
    }

    fn drained(&self) -> bool {
        Core::drained(self)
    }

    fn samples(&self, into: &mut Vec<Sample>) {
        home(&self.stats(), into);
        owner(&self.owner_stats(), into);
    }
}

macro_rules! samples {
    ($function:ident($stats:ty): $($field:ident: $kind:ident $name:literal $help:literal,)*) => {
        /// What the shell counts itself (connections, bytes, writes, commits) is left out.
        fn $function(stats: &$stats, into: &mut Vec<Sample>) {
            $(into.push(Sample { name: $name, help: $help, kind: Kind::$kind, value: stats.$field });)*
        }
    };
}

samples! {
    home(Stats):
    sessions: Gauge "ringwire_sessions" "Sessions open now",
    users: Gauge "ringwire_users_online" "Users with a session now",
    refused: Counter "ringwire_connects_refused_total" "Connects refused, whatever the reason",
    refused_over_limit: Counter "ringwire_connects_refused_over_limit_total" "Connects refused because of the connection limit",
    refused_tokens_full: Counter "ringwire_connects_refused_tokens_full_total" "Connects that failed because the token cache was full and did not know the token",
    refused_known_token: Counter "ringwire_connects_refused_known_token_total" "Connects refused because their token is known to be bad",
    refused_address: Counter "ringwire_connects_refused_address_total" "Connects refused because their address brought too many bad tokens",
    requests: Counter "ringwire_requests_total" "Requests begun",
    request_errors: Counter "ringwire_request_errors_total" "Requests answered with an error",
    sends: Counter "ringwire_messages_sent_total" "Messages (1003) passed on to an owner core",
    rate_limited: Counter "ringwire_rate_limited_total" "Messages refused because of the rate limit",
    pushes: Counter "ringwire_pushes_total" "Push frames queued, one a session",
    pushes_encoded: Counter "ringwire_pushes_encoded_total" "Pushes encoded",
    pushes_too_large: Counter "ringwire_pushes_too_large_total" "Pushes not sent because they would exceed what SDKs read",
    pushes_background: Counter "ringwire_pushes_background_total" "Sessions skipped because they are iOS in background",
    kicks: Counter "ringwire_kicks_total" "Sessions ended with the kick frame",
    slow_consumers: Counter "ringwire_slow_consumers_total" "Sessions closed because they did not read",
    idle_closed: Counter "ringwire_idle_closed_total" "Sessions closed because they said nothing",
    write_timeouts: Counter "ringwire_write_timeouts_total" "Sessions closed because a write took too long",
    handshake_timeouts: Counter "ringwire_handshake_timeouts_total" "Connections closed because no upgrade request came in time",
    bad_input: Counter "ringwire_bad_input_total" "Sessions closed because of what the client sent",
    call_timeouts: Counter "ringwire_call_timeouts_total" "Requests to control that got no answer in time",
    tokens: Gauge "ringwire_tokens" "Token states held",
    groups: Gauge "ringwire_groups_online" "Groups with a member online here",
    watched: Gauge "ringwire_users_watched" "Users watched by sessions here",
}

samples! {
    owner(OwnerStats):
    accepted: Counter "ringwire_messages_accepted_total" "Messages accepted (stored or not)",
    refused: Counter "ringwire_messages_refused_total" "Messages refused",
    duplicates: Counter "ringwire_messages_duplicate_total" "Messages answered as duplicates",
    unstored_bytes: Gauge "ringwire_journal_unstored_bytes" "Bytes of the own journal that control has not stored yet",
    conversations: Gauge "ringwire_conversations" "Conversations held",
    facts: Gauge "ringwire_facts" "Facts held",
    waiting: Gauge "ringwire_messages_waiting" "Messages waiting for facts, a conversation's state or a duplicate check",
    kicks_dropped: Counter "ringwire_token_kicks_dropped_total" "Token kick records given up because the journal was full for too long",
}
