//! The link between cores and control: frames as bytes, delayed, in order, until it is cut.

use super::gateway::{Input, state_of};
use super::{Happening, World};
use crate::oracle::{Checked, Violation};
use ringwire_link::{ToControl, ToGateway, frame};

impl World {
    /// A frame from a core to control.
    pub(super) fn core_says(&mut self, core: u16, correlation: u64, body: &ToControl) -> Checked {
        let now = self.now;
        let delay = self.random.delay(self.plan.link_time);
        let Some(state) = state_of(&mut self.gateway, core) else {
            return Ok(());
        };
        let generation = state.link;
        if generation == 0 || self.dead_links.contains(&generation) {
            return Ok(());
        }
        let hello = matches!(body, ToControl::Hello(_));
        self.trace
            .detail(now, format_args!("core {core} says {body:?}"));
        let mut bytes = if hello {
            frame::preamble().to_vec()
        } else {
            Vec::new()
        };
        frame::encode(correlation, body, &mut bytes)
            .map_err(|e| Violation::new("the link", e.to_string()))?;
        let at = state.to_control.arrival(now, delay);
        self.schedule.at(
            at,
            Happening::ToControl {
                core,
                generation,
                bytes,
            },
        );
        Ok(())
    }

    /// A frame from control to a core.
    pub(super) fn control_says(&mut self, core: u16, correlation: u64, body: &ToGateway) {
        let Some(generation) = self.control.links.get(&core).map(|l| l.generation) else {
            return;
        };
        if self.dead_links.contains(&generation) {
            return;
        }
        let (now, delay) = (self.now, self.random.delay(self.plan.link_time));
        let mut bytes = Vec::new();
        if matches!(body, ToGateway::Welcome(_)) {
            bytes.extend_from_slice(&frame::preamble());
        }
        self.trace
            .detail(now, format_args!("core {core} is told {body:?}"));
        if frame::encode(correlation, body, &mut bytes).is_err() {
            return;
        }
        let Some(gateway) = self.gateway.as_mut() else {
            return;
        };
        let run = gateway.run;
        let Some(state) = gateway.cores.get_mut(usize::from(core)) else {
            return;
        };
        let at = state.to_core.arrival(now, delay);
        self.schedule.at(
            at,
            Happening::Input {
                run,
                core,
                input: Input::LinkBytes { generation, bytes },
            },
        );
    }

    /// Bytes of the link reach control.
    pub(super) fn control_hears(&mut self, core: u16, generation: u64, bytes: &[u8]) -> Checked {
        let broken =
            |error: ringwire_link::LinkError| Violation::new("the link", error.to_string());
        let boot = self.control.boot;
        let mut frames = Vec::new();
        let Some(link) = self
            .control
            .links
            .get_mut(&core)
            .filter(|l| l.generation == generation)
        else {
            return Ok(());
        };
        link.decoder.extend(bytes);
        while let Some(frame) = link.decoder.next::<ToControl>().map_err(broken)? {
            frames.push(frame);
        }
        for frame in frames {
            let question = matches!(
                frame.body,
                ToControl::FetchFacts { .. }
                    | ToControl::OpenConversations { .. }
                    | ToControl::FindDuplicate { .. }
                    | ToControl::Call(_)
            );
            let usual = if matches!(frame.body, ToControl::Journal { .. }) {
                self.plan.store_time
            } else {
                100
            };
            let delay = self.random.delay(usual);
            // Questions are dealt with side by side, everything else in order.
            let at = if question {
                self.now + delay
            } else {
                self.control_lanes
                    .entry(core)
                    .or_default()
                    .arrival(self.now, delay)
            };
            let (correlation, body) = (frame.correlation, Box::new(frame.body));
            self.schedule.at(
                at,
                Happening::Frame {
                    boot,
                    core,
                    generation,
                    correlation,
                    body,
                },
            );
        }
        Ok(())
    }

    /// Sends what control left to be sent.
    pub(super) fn control_sends(&mut self) {
        for send in std::mem::take(&mut self.control.sends) {
            if !send.late {
                self.control_says(send.core, send.correlation, &send.body);
                continue;
            }
            let Some(generation) = self.control.links.get(&send.core).map(|l| l.generation) else {
                continue;
            };
            let boot = self.control.boot;
            let delay = self.random.delay(4 * self.plan.link_time);
            let (core, correlation, body) = (send.core, send.correlation, Box::new(send.body));
            self.after(
                delay,
                Happening::LateSend {
                    boot,
                    core,
                    generation,
                    correlation,
                    body,
                },
            );
        }
    }
}
