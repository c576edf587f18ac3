//! What a core counted: plain numbers that the shell copies out for metrics.

/// Counters (only ever rising) and levels of a core's home side.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Connections that live here now, upgraded or not.
    pub connections: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Users with a session now.
    pub users: u64,
    /// Connections accepted or taken over.
    pub accepted: u64,
    /// Connections given to another core.
    pub handed_over: u64,
    /// Connects refused, whatever the reason.
    pub refused: u64,
    /// Connects refused because of the connection limit.
    pub refused_over_limit: u64,
    /// Connects that failed because the token cache was full and did not know the token.
    pub refused_tokens_full: u64,
    /// Connects refused because their token is known to be bad.
    pub refused_known_token: u64,
    /// Connects refused because their address brought too many bad tokens.
    pub refused_address: u64,
    /// Bytes received from clients.
    pub bytes_in: u64,
    /// Bytes handed to the shell for clients.
    pub bytes_out: u64,
    /// Writes handed to the shell.
    pub writes: u64,
    /// Requests begun.
    pub requests: u64,
    /// Requests answered with an error.
    pub request_errors: u64,
    /// Messages (1003) passed on to an owner core.
    pub sends: u64,
    /// Messages refused because of the rate limit.
    pub rate_limited: u64,
    /// Push frames queued, one a session.
    pub pushes: u64,
    /// Pushes encoded.
    pub pushes_encoded: u64,
    /// Pushes not sent because they would exceed what SDKs read.
    pub pushes_too_large: u64,
    /// Sessions skipped because they are iOS in background.
    pub pushes_background: u64,
    /// Sessions ended with the kick frame.
    pub kicks: u64,
    /// Sessions closed because they did not read.
    pub slow_consumers: u64,
    /// Sessions closed because they said nothing.
    pub idle_closed: u64,
    /// Sessions closed because a write took too long.
    pub write_timeouts: u64,
    /// Connections closed because no upgrade request came in time.
    pub handshake_timeouts: u64,
    /// Sessions closed because of what the client sent.
    pub bad_input: u64,
    /// Requests to control that got no answer in time.
    pub call_timeouts: u64,
    /// Token states held.
    pub tokens: u64,
    /// Groups with a member online here.
    pub groups: u64,
    /// Users watched by sessions here.
    pub watched: u64,
}
