//! Limits how many lines of one kind the log prints in a second. The others are counted, and the last one is kept.

use std::time::{Duration, Instant};

/// How long lines are counted before a summary.
const SECOND: Duration = Duration::from_secs(1);

/// The lines of one kind.
pub struct Burst<T> {
    limit: u32,
    /// The end of the second that began with the first line.
    until: Option<Instant>,
    printed: u32,
    counted: u64,
    last: Option<T>,
}

impl<T> Burst<T> {
    pub fn new(limit: u32) -> Burst<T> {
        Burst { limit, until: None, printed: 0, counted: 0, last: None }
    }

    /// Returns the line if it is to be printed, and counts it otherwise.
    pub fn admit(&mut self, line: T) -> Option<T> {
        self.until.get_or_insert_with(|| Instant::now() + SECOND);
        if self.printed < self.limit {
            self.printed += 1;
            return Some(line);
        }
        self.count(1, line);
        None
    }

    /// Counts a line that stands for this number of lines.
    pub fn count(&mut self, number: u64, line: T) {
        self.until.get_or_insert_with(|| Instant::now() + SECOND);
        self.counted += number;
        self.last = Some(line);
    }

    /// Whether the next line would be counted.
    pub fn is_full(&self) -> bool {
        self.until.is_some() && self.printed >= self.limit
    }

    /// At the end of a second, returns how many lines were counted in it, and the last of them. If there were any, the lines
    /// of the next second are also only counted.
    pub fn summary(&mut self, now: Instant) -> Option<(u64, T)> {
        if self.until.map_or(true, |until| now < until) {
            return None;
        }
        self.rest().or_else(|| {
            (self.until, self.printed) = (None, 0);
            None
        })
    }

    /// Returns the same without waiting for the end of the second.
    pub fn rest(&mut self) -> Option<(u64, T)> {
        let last = self.last.take()?;
        self.until = Some(Instant::now() + SECOND);
        Some((std::mem::take(&mut self.counted), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_above_the_limit_are_counted_until_a_second_without_any() {
        let mut burst = Burst::new(2);
        let later = Instant::now() + 2 * SECOND;
        assert_eq!(
            (burst.admit(1), burst.admit(2), burst.admit(3), burst.admit(4)),
            (Some(1), Some(2), None, None)
        );
        assert!(burst.is_full());
        assert_eq!(burst.summary(Instant::now()), None);
        assert_eq!(burst.summary(later), Some((2, 4)));
        // Still a burst.
        assert_eq!(burst.admit(5), None);
        assert_eq!(burst.summary(later), Some((1, 5)));
        // A second of silence ends it.
        assert_eq!(burst.summary(later), None);
        assert!(!burst.is_full());
        assert_eq!(burst.admit(6), Some(6));
    }

    #[test]
    fn nothing_is_summarised_if_all_lines_were_printed() {
        let mut burst = Burst::new(2);
        let later = Instant::now() + 2 * SECOND;
        assert_eq!((burst.admit(1), burst.summary(later), burst.rest()), (Some(1), None, None));
        assert_eq!((burst.admit(2), burst.admit(3), burst.admit(4)), (Some(2), Some(3), None));
        burst.count(6, 5);
        assert_eq!(burst.rest(), Some((7, 5)));
    }
}
