//! What many measurements come to.

use std::time::Duration;

/// The smallest measurement that at least `percent` of all do not exceed (nearest rank); zero if there are none.
pub(crate) fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle measurement, the lower one of two.
pub(crate) fn median(samples: &[Duration]) -> Duration {
    percentile(samples, 50)
}

/// For people and JSON.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(milliseconds: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        milliseconds.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_percentile_is_a_measurement_at_its_nearest_rank() {
        let hundred = samples((1..=100).rev());
        let at = |percent| percentile(&hundred, percent).as_millis();
        assert_eq!((at(1), at(50), at(99), at(100)), (1, 50, 99, 100));
        let five = samples([15, 50, 20, 40, 35]);
        assert_eq!(percentile(&five, 30), Duration::from_millis(20));
        assert_eq!(percentile(&five, 0), Duration::from_millis(15));
        assert_eq!(percentile(&five, 99), Duration::from_millis(50));
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&samples([9, 1, 5])), Duration::from_millis(5));
        assert_eq!(median(&samples([4, 1, 3, 2])), Duration::from_millis(2));
        assert_eq!(median(&samples([7])), Duration::from_millis(7));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn milliseconds_keep_their_fraction() {
        assert!((milliseconds(Duration::from_micros(1234)) - 1.234).abs() < 1e-9);
    }
}
