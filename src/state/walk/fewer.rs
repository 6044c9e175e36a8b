//! Reductions of the number of states, without which some walks would take hours.
//!
//! - Steps that commute with all others are taken at once: a thread that is about to wait, or is woken needlessly, waits.
//!   This is stricter than reality, because only a notification lets it continue.
//! - Numbers that will not be read any more are set to zero, and times to the base.

use super::acceptor::At as AcceptorAt;
use super::application::At as ApplicationAt;
use super::breaks::Break;
use super::config::Rules;
use super::facts::Facts;
use super::reader::At as ReaderAt;
use super::sleepers;
use super::world::{On, Thread, World, ALL};
use super::writer::At as WriterAt;

impl World {
    /// Threads that would only find that they must wait begin to wait now.
    pub(super) fn rest(&mut self, rules: &Rules) {
        for thread in ALL {
            if self.asleep[thread as usize].is_some() || self.closing[thread as usize].is_some() {
                continue;
            }
            let waits_on = match thread {
                Thread::Reader => {
                    let on = match self.reader.at {
                        ReaderAt::Attend => Some(On::Turn),
                        ReaderAt::Announced => Some(On::Change),
                        _ => None,
                    };
                    on.filter(|_| !sleepers::reader(self) && !rules.breaks(Break::LentIsRead))
                }
                Thread::Writer if self.writer.at != WriterAt::Attend => None,
                Thread::Writer => Some(On::Turn).filter(|_| self.writer_rests(rules)),
                Thread::Acceptor => {
                    let waits = matches!(self.acceptor.at, AcceptorAt::WaitUntilFree(_))
                        || (self.acceptor.at == AcceptorAt::Fetch && !self.acceptor.listener);
                    Some(On::Change).filter(|_| waits && !sleepers::acceptor(self, rules))
                }
                Thread::Application => match self.application.at {
                    ApplicationAt::WaitUntilEnded(session) if !self.facts[session].ended => Some(On::Change),
                    _ => None,
                },
                Thread::Sender | Thread::Control => None,
            };
            if let Some(on) = waits_on {
                self.sleep(thread, on);
            }
        }
    }

    /// Clears times, and the details of a session that is over, if no later step depends on them.
    pub(super) fn forget(&mut self, rules: &Rules) {
        let is_busy = self.machine.is_busy();
        self.forget_times(rules);
        let latest = &mut self.machine.latest;
        if !is_busy {
            latest.sent = 0;
            latest.received = 0;
        }
        if self.machine.account.line.is_empty() {
            self.machine.account.next_ticket = 0;
        }
        for client in &mut self.clients {
            if client.shut {
                client.forget();
            }
        }
        let writing = if self.writer.at == WriterAt::Attend { 0 } else { self.writer.session };
        for (session, facts) in self.facts.iter_mut().enumerate().filter(|(_, facts)| facts.ended) {
            *facts = Facts { asked: false, closed: false, finished: false, aborted: false, ..*facts };
            if facts.told || facts.forgotten {
                *facts = Facts { delivered: 0, got: 0, ..*facts };
            }
            if session != writing {
                *facts = Facts { accepted: 0, written: 0, write_failed: false, ..*facts };
            }
        }
    }
}
