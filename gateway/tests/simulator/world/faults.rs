//! What goes wrong, and what merely changes.

use super::gateway::Input;
use super::{Happening, World, say};
use crate::oracle::Checked;
use crate::plan::{MS, SECOND};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The gateway dies: now, or during its next journal write.
    Crash,
    CrashNow,
    /// A core's link to control is cut.
    Cut,
    ControlCrash,
    /// A client's connection dies.
    Death,
    DiskFull,
    DiskFree,
    /// The world changes.
    Change,
    /// Control has something to say.
    Publish,
}

impl World {
    fn mean(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Crash => self.plan.crashes,
            Fault::Cut => self.plan.link_cuts,
            Fault::ControlCrash => self.plan.control_crashes,
            Fault::Death => self.plan.deaths,
            Fault::DiskFull => self.plan.disk_full,
            Fault::Change => self.plan.changes,
            Fault::Publish => self.plan.publishes,
            Fault::CrashNow | Fault::DiskFree => 0,
        }
    }

    pub(super) fn schedule_faults(&mut self) {
        use Fault::{Change, ControlCrash, Crash, Cut, Death, DiskFull, Publish};
        for fault in [Crash, Cut, ControlCrash, Death, DiskFull, Change, Publish] {
            self.again(fault);
        }
    }

    fn again(&mut self, fault: Fault) {
        let mean = self.mean(fault);
        if mean > 0 {
            let delay = self.random.range(1, 2 * mean);
            self.after(delay, Happening::Fault(fault));
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) -> Checked {
        if self.quiet {
            return Ok(());
        }
        match fault {
            Fault::Crash if self.random.chance(500) => self.crash_armed = true,
            Fault::Crash | Fault::CrashNow => self.crash_gateway(),
            Fault::Cut => {
                let core = self.random.below(self.plan.cores.into()) as u16;
                self.cut(core);
            }
            Fault::ControlCrash => self.crash_control(),
            Fault::Death => {
                let number = self.random.index(self.clients.len());
                let silently = self.random.chance(300);
                self.client_dies(number, silently);
            }
            Fault::DiskFull => {
                self.disk.full = true;
                say!(self, "the disk is full");
                let delay = self.random.below(3 * SECOND);
                self.after(delay, Happening::Fault(Fault::DiskFree));
            }
            Fault::DiskFree => self.disk.full = false,
            Fault::Change if self.control.boot != 0 => {
                if let Some(told) =
                    self.control
                        .change(&mut self.random, &mut self.oracle, self.now)
                {
                    say!(self, "{told}");
                }
                self.control_sends();
            }
            Fault::Publish if self.control.boot != 0 => {
                let unix_ms = self.clock().unix_ms;
                let told = self
                    .control
                    .publish(&mut self.random, &mut self.oracle, unix_ms);
                say!(self, "control publishes {told}");
                self.control_sends();
            }
            Fault::Change | Fault::Publish => {}
        }
        self.again(fault);
        Ok(())
    }

    /// Kills the gateway: memory is gone, writes under way are torn.
    fn crash_gateway(&mut self) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        say!(self, "the gateway crashes");
        self.last_crash = self.now;
        for (core, state) in gateway.cores.into_iter().enumerate() {
            if let Some(writing) = state.writing {
                self.disk
                    .torn(&mut self.random, core as u16, &writing.write);
            }
            if state.connected != 0 {
                self.dead_links.insert(state.connected);
                let delay = self.random.delay(self.plan.link_time);
                let gone = Happening::LinkGone {
                    core: core as u16,
                    generation: state.connected,
                };
                self.after(delay, gone);
            }
        }
        self.disk.crash(&mut self.random);
        self.all_connections_break();
        let delay = self.random.range(MS, 2 * SECOND);
        self.after(delay, Happening::StartGateway);
    }

    /// Cuts a core's link. What is under way may still arrive before the ends notice.
    fn cut(&mut self, core: u16) {
        let noticed = self.random.delay(50 * MS);
        let gone = self.random.delay(50 * MS);
        let back = noticed + self.random.range(MS, 2 * SECOND);
        let Some(gateway) = self.gateway.as_mut() else {
            return;
        };
        let run = gateway.run;
        let Some(state) = gateway
            .cores
            .get_mut(usize::from(core))
            .filter(|s| s.connected != 0)
        else {
            return;
        };
        let generation = std::mem::take(&mut state.connected);
        self.dead_links.insert(generation);
        say!(self, "the link of core {core} is cut");
        self.after(
            noticed,
            Happening::Input {
                run,
                core,
                input: Input::LinkDown,
            },
        );
        self.after(gone, Happening::LinkGone { core, generation });
        self.after(back, Happening::LinkConnect { run, core });
    }

    fn crash_control(&mut self) {
        if self.control.boot == 0 {
            return;
        }
        say!(self, "control crashes");
        self.control.crash();
        for core in 0..self.plan.cores {
            self.cut(core);
        }
        let delay = self.random.range(MS, 3 * SECOND);
        self.after(delay, Happening::StartControl);
    }

    /// A core tries to reach control.
    pub(super) fn link_connect(&mut self, run: u64, core: u16) {
        let again = self.random.range(MS, 500 * MS);
        let Some(gateway) = self.gateway.as_mut().filter(|g| g.run == run) else {
            return;
        };
        let Some(state) = gateway
            .cores
            .get_mut(usize::from(core))
            .filter(|s| s.connected == 0)
        else {
            return;
        };
        if self.control.boot == 0 || state.link != 0 {
            return self.after(again, Happening::LinkConnect { run, core });
        }
        self.generations += 1;
        let generation = self.generations;
        state.connected = generation;
        self.control.connected(core, generation);
        self.input(run, core, Input::LinkUp { generation });
    }
}
