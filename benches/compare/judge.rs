//! Runs the checks: measures each ratio with its noise, and compares it with its bound.
//!
//! A round measures the baseline, ours, and the baseline again, in a process of its own each. The ratio is that of ours to the
//! geometric mean of the two baselines, which takes a steady drift of the machine out of it. The ratio of the two baselines is
//! the A/A pair: its distance from 1 is what this machine, in these seconds, adds to a ratio.
//!
//! A process can be fast or slow for its whole life, depending on the cores that its threads were put on and on where its
//! memory lies. So new ones are started several times. Each generation of processes counts as one observation, with the medians
//! of its rounds.

use std::process::ExitCode;
use std::time::Instant;

use crate::checks::{Check, ALL};
use crate::measures::Three;
use crate::statistics::{median, noise};
use crate::Effort;

/// With more noise than this, a ratio near its bound says nothing.
const TOO_NOISY: f64 = 0.5;

/// Fewer generations give no interval for the median.
const FEWEST: usize = 5;

/// What was measured.
struct Outcome {
    ours: f64,
    baseline: f64,
    ratio: f64,
    noise: f64,
}

impl Outcome {
    fn is_worse(&self, bound: f64) -> bool {
        self.ratio > bound * (1.0 + self.noise)
    }

    /// Neither worse nor so near to the bound that noise could make it look better than that.
    fn is_well(&self, bound: f64) -> bool {
        self.ratio * (1.0 + self.noise) <= bound
    }
}

/// Runs the checks with these names, or all. Fails if one is worse than its bound.
pub fn check(wanted: &[&str], effort: Effort) -> ExitCode {
    println!(
        "All figures are costs: less is better. The ratio may exceed its bound by no more than the noise.\n"
    );
    println!(
        "{:<16} {:>8} {:>8} {:<12} {:>6} {:>7} {:>6}",
        "check", "ours", "baseline", "", "ratio", "noise", "bound"
    );
    let began = Instant::now();
    let mut skipped = Vec::new();
    let mut worse: Vec<&Check> =
        ALL.iter().filter(|check| wanted.is_empty() || wanted.contains(&check.name)).collect();
    // A disturbance may have met ours more than the baseline. A defect shows each time, also when others have been checked
    // meanwhile.
    let longer = Effort { least: effort.most, most: 2 * effort.most, ..effort };
    for effort in [effort, longer, longer] {
        worse.retain(|check| match judge(check, effort) {
            Ok(is_worse) => is_worse,
            Err(why) => {
                println!("SKIPPED {}: {why}", check.name);
                skipped.push(check.name);
                false
            }
        });
    }
    println!("\nafter {:.0} s", began.elapsed().as_secs_f64());
    if !skipped.is_empty() {
        println!("not checked: {}", skipped.join(", "));
    }
    for check in &worse {
        println!("WORSE {}: the baseline is {}. {}", check.name, check.against, check.reason);
    }
    if worse.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns whether ours is worse than the bound, or why this machine cannot answer that.
fn judge(check: &Check, effort: Effort) -> Result<bool, String> {
    let _bound = check.cores.bind()?;
    let outcome = measure(check, effort)?;
    let worse = outcome.is_worse(check.bound);
    let unclear = !worse && !outcome.is_well(check.bound) && outcome.noise > TOO_NOISY;
    row(
        check,
        &outcome,
        match (worse, unclear) {
            (true, _) => "worse",
            (_, true) => "unclear",
            _ => "ok",
        },
    );
    if unclear {
        return Err(format!("too little processor time, the noise is {:.0}%", 100.0 * outcome.noise));
    }
    Ok(worse)
}

/// Measures until the result is clear.
fn measure(check: &Check, effort: Effort) -> Result<Outcome, String> {
    let began = Instant::now();
    let mut generations: [Vec<f64>; 4] = Default::default();
    loop {
        let medians = generation(&mut (check.prepare)()?, effort).map(median);
        generations.iter_mut().zip(medians).for_each(|(all, one)| all.push(one));
        let [ours, baseline, ratio, _] = generations.clone().map(median);
        let outcome = Outcome { ours, baseline, ratio, noise: noise(generations[3].clone()) };
        let enough = generations[0].len() >= FEWEST && began.elapsed() >= effort.least;
        let clear = outcome.is_well(check.bound) || outcome.is_worse(check.bound);
        if enough && (clear || began.elapsed() >= effort.most) {
            return Ok(outcome);
        }
    }
}

/// Measures in rounds for a while. Returns the costs of ours and of the baseline, their ratios, and those of the A/A pair.
fn generation(three: &mut Three, effort: Effort) -> [Vec<f64>; 4] {
    let began = Instant::now();
    let mut rounds: [Vec<f64>; 4] = Default::default();
    while rounds[0].is_empty() || began.elapsed() < effort.generation {
        let (before, ours, after) = ((three.baseline)(), (three.ours)(), (three.again)());
        let baseline = (before * after).sqrt();
        let round = [ours, baseline, ours / baseline, after / before];
        rounds.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    rounds
}

fn row(check: &Check, outcome: &Outcome, verdict: &str) {
    let number = |value: f64| match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    println!(
        "{:<16} {:>8} {:>8} {:<12} {:>6.2} {:>6.1}% {:>6.2}  {verdict}",
        check.name,
        number(outcome.ours),
        number(outcome.baseline),
        check.unit,
        outcome.ratio,
        100.0 * outcome.noise,
        check.bound
    );
}
