//! Statistics, and tables for a terminal.

use std::time::Duration;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The quantile at `share` of the sorted times, in microseconds.
pub fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)].as_secs_f64() * 1e6
}

/// Measures all contenders in turn, round after round. Returns the results as `[contender][round]`.
pub fn alternate(rounds: usize, measure: &mut [&mut dyn FnMut() -> f64]) -> Vec<Vec<f64>> {
    let mut results = vec![Vec::new(); measure.len()];
    for _ in 0..rounds {
        for (contender, measure) in measure.iter_mut().enumerate() {
            results[contender].push(measure());
        }
    }
    results
}

/// The median of the ratios of a contender to the baseline, round by round.
pub fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

pub fn heading(title: &str) {
    println!("\n{title}");
}

/// Prints a row, with a bar for the ratio if there is one; 1.0 is twenty columns.
pub fn row(name: &str, value: &str, ratio: Option<f64>, target: &str) {
    match ratio {
        Some(ratio) => {
            let bar = "#".repeat(((ratio * 20.0).round() as usize).min(60));
            println!("  {name:<37} {value:>16} {ratio:>8.2}  {target:<12} {bar}");
        }
        None => println!("  {name:<37} {value:>16} {:>8}  {target}", ""),
    }
}
