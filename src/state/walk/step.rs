//! One step of the walk: which steps are possible in a world, and what a step changes.

use std::time::{Duration, Instant};

use super::checks::Checked;
use super::client::Move;
use super::config::{Act, Rules};
use super::world::{Thread, World, ALL};

/// A step. Its effect depends on the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The thread's next step.
    Run(Thread, When),
    /// The thread shuts down the socket that its last step has left open.
    Shut(Thread),
    /// The application acts by itself.
    Act(Act),
    Drain,
    Stop,
    Wake,
    Client(usize, Move),
}

/// When a step happens: with the others, after the time of grace, after the idle and the close
/// timeout, or after the session timeout, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    Now,
    Soon,
    Far,
    Farther,
}

impl When {
    pub(super) fn time(self, rules: &Rules) -> Instant {
        rules.base
            + match self {
                When::Now => Duration::ZERO,
                When::Soon => Duration::from_millis(50),
                When::Far => Duration::from_secs(1000 * 3600),
                When::Farther => Duration::from_secs(5000 * 3600),
            }
    }
}

impl Step {
    /// Whether it happens sooner or later if it stays possible. Other steps may never be taken.
    pub(super) fn is_fair(self, rules: &Rules) -> bool {
        match self {
            Step::Run(Thread::Application, _) => !rules.config.stalls,
            Step::Run(..) | Step::Shut(_) | Step::Drain | Step::Stop | Step::Wake => true,
            Step::Act(act) => act == Act::StopServer,
            Step::Client(..) => !rules.may_be_silent(),
        }
    }
}

impl World {
    /// All steps that are possible now.
    pub(super) fn steps(&self, rules: &Rules, steps: &mut Vec<Step>) {
        steps.clear();
        let mut times = Vec::new();
        for thread in ALL {
            if self.closing[thread as usize].is_some() {
                steps.push(Step::Shut(thread));
                continue;
            }
            let awake = !self.is_asleep(thread);
            match thread {
                Thread::Reader if awake && self.can_reader_run() => times.push(When::Now),
                Thread::Writer => self.writer_times(rules, &mut times),
                Thread::Acceptor => self.acceptor_times(&mut times),
                Thread::Application if awake && self.can_application_run() => times.push(When::Now),
                Thread::Sender if awake && self.can_sender_run(rules) => times.push(When::Now),
                Thread::Control if self.waking => steps.push(Step::Wake),
                Thread::Control => {
                    steps.extend(Some(Step::Wake).filter(|_| self.wakes > 0));
                    steps.extend(Some(Step::Drain).filter(|_| self.drains > 0));
                    steps.extend(Some(Step::Stop).filter(|_| self.stops > 0));
                }
                _ => {}
            }
            steps.extend(times.drain(..).map(|when| Step::Run(thread, when)));
            if thread == Thread::Application {
                let acts = rules.config.acts.iter().copied();
                steps.extend(acts.filter(|act| self.can_application_act(*act)).map(Step::Act));
            }
        }
        for (number, client) in self.clients.iter().enumerate() {
            let moves = client.moves(&rules.config, self.is_port_open());
            steps.extend(moves.into_iter().map(|what| Step::Client(number, what)));
        }
    }

    /// Takes a step, and checks the resulting world.
    pub(super) fn take_step(&mut self, rules: &Rules, step: Step) -> Checked {
        let begun = self.begun;
        match step {
            Step::Run(Thread::Reader, _) => self.run_reader(rules),
            Step::Run(Thread::Writer, when) => self.run_writer(rules, when),
            Step::Run(Thread::Acceptor, when) => self.run_acceptor(rules, when),
            Step::Run(Thread::Application, _) => self.run_application(rules),
            Step::Run(Thread::Sender, _) => self.run_sender(rules),
            Step::Run(Thread::Control, _) => Ok(()),
            Step::Shut(thread) => self.shut(rules, thread),
            Step::Act(act) => self.application_acts(rules, act),
            Step::Drain => {
                self.drains -= 1;
                self.drain(rules)
            }
            Step::Stop => {
                self.stops -= 1;
                self.stop(rules, Thread::Control)
            }
            Step::Wake if !self.waking => {
                self.wakes -= 1;
                self.slot.woken = true;
                self.waking = true;
                Ok(())
            }
            Step::Wake => {
                self.waking = false;
                self.machine.wake_application();
                self.carry_out(rules, Thread::Control)
            }
            Step::Client(number, what) => {
                self.clients[number].make(what);
                if what == Move::Connect {
                    self.backlog.push(number);
                }
                Ok(())
            }
        }?;
        self.check_drain()?;
        self.rest(rules);
        self.check(rules)?;
        self.check_beginning(rules, begun)?;
        self.forget(rules);
        Ok(())
    }
}
