//! Growing pauses after failures, so that a Redis that comes back is not run over.

use std::time::Duration;

use queue::BrokerError;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often in a row Redis may refuse the same thing before it is believed. A Redis that is away is waited for longer:
/// until the lease is gone.
const MOST_REFUSALS: u32 = 10;

/// The pause after the next failure in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
    refusals: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST, refusals: 0 }
    }
}

impl Backoff {
    /// Takes a failure in, and says whether trying again makes sense.
    pub(super) fn hopeful(&mut self, error: &BrokerError) -> bool {
        self.refusals += u32::from(!matches!(error, BrokerError::Unreachable(_)));
        self.refusals < MOST_REFUSALS
    }

    /// The pause now due; the next one is twice as long, up to a bound.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn refusals_are_believed_in_the_end() {
        let refused = BrokerError::Answer { function: "report", answer: String::new() };
        let mut backoff = Backoff::default();
        assert_eq!((0..20).take_while(|_| backoff.hopeful(&refused)).count(), 9);
        let away = BrokerError::Unreachable(std::io::Error::other("away").into());
        let mut backoff = Backoff::default();
        assert!((0..1000).all(|_| backoff.hopeful(&away)));
    }
}
