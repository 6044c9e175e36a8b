//! The search visits every reachable world once, the nearest first. So a failure is reported with the shortest path to it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::checks::Check;
use super::config::Rules;
use super::step::Step;
use super::world::World;
use crate::values::signal::Reason;

/// What a walk has seen.
pub(super) struct Seen {
    pub(super) states: usize,
    /// How many of them are ends.
    pub(super) ends: usize,
    /// The reasons for which sessions have ended.
    pub(super) reasons: Vec<Reason>,
}

/// Why a walk has failed, and the path there.
pub(super) struct Failure {
    pub(super) check: Check,
    way: Vec<Step>,
    world: Box<World>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} fails after {} steps:", self.check, self.way.len())?;
        for (number, step) in self.way.iter().enumerate() {
            writeln!(f, "{:4}. {step:?}", number + 1)?;
        }
        write!(f, "which leads to {}", self.world)
    }
}

/// Visits all worlds that are reachable from the first one by the rules.
///
/// # Errors
///
/// The first check that has failed.
pub(super) fn walk(rules: &Rules) -> Result<Seen, Box<Failure>> {
    let first = World::new(rules);
    let mut search = Search::default();
    search.visit(&first, None);
    let mut queue = VecDeque::from([first]);
    let (mut at, mut steps, mut reasons) = (0, Vec::new(), Vec::new());
    while let Some(world) = queue.pop_front() {
        world.steps(rules, &mut steps);
        for step in steps.drain(..) {
            let mut next = world.clone();
            let result = next.take_step(rules, step);
            if let Err(check) = result {
                return Err(search.failure(rules, check, at, Some((step, next))));
            }
            let (number, is_new) = search.visit(&next, Some((at, step)));
            if step.is_fair(rules) && number != at {
                search.fair.push((at, number));
            }
            if is_new {
                let reason = next.machine.latest.phase.reason();
                reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
                if next.is_done(rules) {
                    search.ends.push(number);
                    if let Err(check) = next.check_end(rules) {
                        return Err(search.failure(rules, check, number, None));
                    }
                }
                queue.push_back(next);
            }
        }
        at += 1;
    }
    match search.stuck() {
        Some(stuck) => Err(search.failure(rules, Check::Stuck, stuck, None)),
        None => Ok(Seen { states: search.came_by.len(), ends: search.ends.len(), reasons }),
    }
}

/// States are numbered in the order in which they are found. The queue returns them in the same order.
#[derive(Default)]
struct Search {
    /// Only a 64-bit hash of each state is kept. Among ten million states, the probability that two have the same hash is
    /// 1 in 400,000.
    numbers: HashMap<u64, u32, BuildHasherDefault<Mix>>,
    /// The state from which each one was found, and the step.
    came_by: Vec<Option<(u32, Step)>>,
    fair: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl Search {
    fn visit(&mut self, world: &World, from: Option<(u32, Step)>) -> (u32, bool) {
        let mut mix = Mix::default();
        world.hash(&mut mix);
        let next = self.came_by.len() as u32;
        let number = *self.numbers.entry(mix.finish()).or_insert(next);
        if number == next {
            self.came_by.push(from);
        }
        (number, number == next)
    }

    /// The nearest state from which no end can be reached by steps that are bound to happen.
    fn stuck(&self) -> Option<u32> {
        let mut ends_well = vec![false; self.came_by.len()];
        let mut first = vec![0usize; self.came_by.len() + 1];
        for (_, to) in &self.fair {
            first[*to as usize + 1] += 1;
        }
        for number in 0..self.came_by.len() {
            first[number + 1] += first[number];
        }
        let mut sources = vec![0u32; self.fair.len()];
        let mut free = first.clone();
        for (from, to) in &self.fair {
            sources[free[*to as usize]] = *from;
            free[*to as usize] += 1;
        }
        let mut reached = self.ends.clone();
        while let Some(number) = reached.pop() {
            let number = number as usize;
            if !std::mem::replace(&mut ends_well[number], true) {
                reached.extend(&sources[first[number]..first[number + 1]]);
            }
        }
        ends_well.iter().position(|well| !well).map(|number| number as u32)
    }

    fn failure(&self, rules: &Rules, check: Check, at: u32, last: Option<(Step, World)>) -> Box<Failure> {
        let mut way = Vec::new();
        let mut number = at;
        while let Some((from, step)) = self.came_by[number as usize] {
            way.push(step);
            number = from;
        }
        way.reverse();
        let world = match last {
            Some((step, world)) => {
                way.push(step);
                world
            }
            None => {
                let mut world = World::new(rules);
                for step in &way {
                    let _ = world.take_step(rules, *step);
                }
                world
            }
        };
        Box::new(Failure { check, way, world: Box::new(world) })
    }
}

/// A fast hash. The standard one would take most of the walk's time.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
