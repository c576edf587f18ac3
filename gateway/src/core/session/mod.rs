//! Sessions: frames in and out, request dispatch, outbound queue, heartbeats, login policy.
//!
//! [`home::Home`] is the home side of a core. Its behaviour is spread over files by subject, each an
//! `impl Home`: `connect` (upgrade to session), `login` (who is kicked), `register` (users, groups and
//! presence of what is online), `incoming` (frames), `dispatch`, `send`, `watch` (requests), `deliver`
//! (pushes), `control` (link frames and ring items), `deadlines` (time).

mod bad_tokens;
mod codec;
mod conn;
mod connect;
mod control;
mod deadlines;
mod deliver;
mod dispatch;
mod home;
mod incoming;
mod login;
mod params;
mod rate;
mod register;
mod send;
mod timers;
mod tokens;
mod upgrade;
mod watch;

pub use codec::{BadRequest, Codec, MAX_FRAME};
pub(crate) use home::Home;
pub use home::{CoreConfig, Secret};

#[cfg(test)]
mod tests;
