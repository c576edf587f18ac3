//! What a seed decides before the run begins. Every kind of trouble is on or off for a whole run, so
//! that some runs see much of one kind and nothing of another.

use crate::random::Random;
use ringwire_config::Gateway;

/// One millisecond of virtual time, in its unit.
pub(crate) const MS: u64 = 1_000;
/// One second.
pub(crate) const SECOND: u64 = 1_000 * MS;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cores: u16,
    /// A restart may bring another number of cores.
    pub(crate) changing_cores: bool,
    pub(crate) users: usize,
    pub(crate) groups: usize,
    pub(crate) clients: usize,
    /// Trouble ends here; after it everything must come to rest.
    pub(crate) trouble: u64,
    pub(crate) limits: Gateway,
    /// Usual times, microseconds.
    pub(crate) sync_time: u64,
    pub(crate) link_time: u64,
    pub(crate) ring_time: u64,
    pub(crate) net_time: u64,
    pub(crate) store_time: u64,
    /// Pause between a client's requests.
    pub(crate) think_time: u64,
    /// Mean times between troubles, microseconds; 0 = never.
    pub(crate) crashes: u64,
    pub(crate) link_cuts: u64,
    pub(crate) control_crashes: u64,
    pub(crate) deaths: u64,
    pub(crate) disk_full: u64,
    pub(crate) changes: u64,
    pub(crate) publishes: u64,
    /// Of a thousand clients, how many read slowly, and how many clocks are wrong.
    pub(crate) slow_clients: u64,
    pub(crate) wrong_clocks: u64,
    /// Wrong clocks may be ahead of the server's. A message from such a client that is sent again long
    /// after its first copy left the memory of its conversation passes for a new one, so this is drawn
    /// only when asked for.
    pub(crate) clocks_ahead: bool,
    /// Several clients of one user on one platform kick each other.
    pub(crate) rivals: bool,
    /// Of a thousand messages, how many are large.
    pub(crate) large: u64,
    /// Newest messages control tells of a conversation.
    pub(crate) recent: usize,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let quiet = random.chance(50);
        let mut mean = |permille: u64, low: u64, high: u64| {
            let value = random.range(low, high);
            if !quiet && random.chance(permille) {
                value
            } else {
                0
            }
        };
        let crashes = mean(600, SECOND, 6 * SECOND);
        let link_cuts = mean(600, SECOND, 6 * SECOND);
        let control_crashes = mean(400, SECOND, 8 * SECOND);
        let deaths = mean(600, SECOND / 4, 4 * SECOND);
        let disk_full = mean(300, 2 * SECOND, 6 * SECOND);
        let changes = mean(700, SECOND / 8, 2 * SECOND);
        let publishes = mean(700, SECOND / 8, 2 * SECOND);
        let small = random.chance(300);
        let segment_bytes = *random.pick(&[4 << 10, 8 << 10, 64 << 10]);
        let limits = Gateway {
            name: "simulated".into(),
            journal_segment_bytes: segment_bytes,
            journal_max_bytes: if random.chance(200) {
                segment_bytes * 2
            } else {
                1 << 20
            },
            max_connections: if random.chance(50) { 3 } else { 1_000 },
            session_queue_bytes: if random.chance(300) { 4 << 10 } else { 1 << 20 },
            session_pipeline: random.range(1, 8) as u32,
            max_facts: if small {
                random.range(8, 40) as u32
            } else {
                1_000
            },
            max_conversations: if small {
                random.range(2, 5) as u32
            } else {
                1_000
            },
            tail_messages: if random.chance(500) {
                random.range(1, 8) as u32
            } else {
                64
            },
            ..Gateway::default()
        };
        let users = random.range(2, 6) as usize;
        Self {
            cores: random.range(1, 4) as u16,
            changing_cores: random.chance(300),
            users,
            groups: random.range(0, 2) as usize,
            clients: random.range(users as u64, users as u64 + 3) as usize,
            trouble: random.range(3, 12) * SECOND,
            limits,
            sync_time: *random.pick(&[100, MS, 10 * MS, 80 * MS]),
            link_time: *random.pick(&[50, MS, 20 * MS]),
            ring_time: *random.pick(&[5, 100, 5 * MS]),
            net_time: *random.pick(&[100, 5 * MS, 50 * MS]),
            store_time: *random.pick(&[500, 5 * MS, 100 * MS]),
            think_time: *random.pick(&[50 * MS, 150 * MS, 400 * MS]),
            crashes,
            link_cuts,
            control_crashes,
            deaths,
            disk_full,
            changes,
            publishes,
            slow_clients: if random.chance(300) { 400 } else { 0 },
            wrong_clocks: if random.chance(300) { 400 } else { 0 },
            clocks_ahead: random.chance(500),
            rivals: random.chance(250),
            large: if random.chance(300) { 200 } else { 0 },
            recent: if random.chance(300) {
                random.range(0, 4) as usize
            } else {
                64
            },
        }
    }
}
