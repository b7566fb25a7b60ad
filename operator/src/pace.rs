//! A pace: so many steps a second, with a second's worth of them saved up.

use std::time::{Duration, Instant};

/// Allows steps at a rate.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    saved: f64,
    last: Instant,
}

impl Pace {
    /// At most `per_second` steps a second from `now` on; 0 allows none.
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, saved: f64::from(per_second), last: now }
    }

    /// Whether a step may be made at `now`; if so, it counts.
    pub fn step(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.last);
        let rate = f64::from(self.per_second);
        self.saved = (self.saved + passed.as_secs_f64() * rate).min(rate);
        self.last = now.max(self.last);
        let may = self.saved >= 1.0;
        if may {
            self.saved -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_and_what_was_saved() {
        let start = Instant::now();
        let mut pace = Pace::new(5, start);
        let steps = |pace: &mut Pace, at: Instant| (0..100).filter(|_| pace.step(at)).count();
        assert_eq!(steps(&mut pace, start), 5);
        assert_eq!(steps(&mut pace, start + Duration::from_millis(410)), 2);
        assert_eq!(steps(&mut pace, start + Duration::from_mins(1)), 5);
        assert_eq!(steps(&mut Pace::new(0, start), start + Duration::from_secs(9)), 0);
    }
}
