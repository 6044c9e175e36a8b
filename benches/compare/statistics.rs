//! Medians, and how far they can be trusted.

use std::time::Duration;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn lower_quartile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 4]
}

/// The median of the times, in microseconds.
pub fn median_us(times: Vec<Duration>) -> f64 {
    median(times.iter().map(|time| time.as_secs_f64() * 1e6).collect())
}

/// How far the median of these ratios, which should be 1, can be from 1: 0.1 for 10%.
///
/// It is the far end of the interval that holds the true median with 98% confidence, whatever the distribution. Its ends
/// are two of the sorted values, so a few outliers do not move them.
pub fn noise(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let count = ratios.len() as f64;
    // The rank of the median is binomial, with the deviation sqrt(n) / 2; 2.33 of these are left out by 1% on each side.
    let rank = ((count - 2.33 * count.sqrt()) / 2.0).max(0.0) as usize;
    let (low, high) = (ratios[rank], ratios[ratios.len() - 1 - rank]);
    high.max(1.0 / low) - 1.0
}
