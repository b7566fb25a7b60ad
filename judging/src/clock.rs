//! The two clocks a program runs against, and whom to blame when the wall clock runs out.

use std::time::Duration;

use crate::verdict::Verdict;

/// The time limits of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clocks {
    /// CPU time of all the box's processes together.
    pub cpu: Duration,
    /// Time from start to end.
    pub wall: Duration,
}

impl Clocks {
    /// The clocks for a CPU limit. The wall clock is `2 x cpu_limit + 1 s` unless given.
    pub fn new(cpu_limit: Duration, wall_override: Option<Duration>) -> Self {
        Self { cpu: cpu_limit, wall: wall_override.unwrap_or_else(|| default_wall(cpu_limit)) }
    }
}

fn default_wall(cpu_limit: Duration) -> Duration {
    cpu_limit.saturating_mul(2).saturating_add(Duration::from_secs(1))
}

/// The verdict on a program that the wall clock ended: it was computing if it used at least half of that time
/// as CPU, else it was waiting.
pub fn wall_verdict(cpu_used: Duration, wall_limit: Duration) -> Verdict {
    if cpu_used.saturating_mul(2) >= wall_limit {
        Verdict::TimeLimitExceeded
    } else {
        Verdict::IdlenessLimitExceeded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    #[test]
    fn wall_defaults_to_twice_the_cpu_and_a_second() {
        let clocks = Clocks::new(Duration::from_millis(1500), None);
        assert_eq!(clocks.cpu, Duration::from_millis(1500));
        assert_eq!(clocks.wall, Duration::from_secs(4));
        assert_eq!(Clocks::new(Duration::ZERO, None).wall, Duration::from_secs(1));
    }

    #[test]
    fn a_given_wall_is_taken_as_it_is() {
        for wall in [Duration::ZERO, Duration::from_millis(10), Duration::from_mins(1)] {
            assert_eq!(Clocks::new(Duration::from_secs(1), Some(wall)).wall, wall);
        }
    }

    #[test]
    fn the_longest_limits_do_not_overflow() {
        assert_eq!(Clocks::new(Duration::MAX, None).wall, Duration::MAX);
        assert_eq!(wall_verdict(Duration::MAX, Duration::MAX), Verdict::TimeLimitExceeded);
    }

    #[test]
    fn half_of_an_odd_wall_is_not_rounded_down() {
        assert_eq!(wall_verdict(NANOSECOND, Duration::from_nanos(3)), Verdict::IdlenessLimitExceeded);
        assert_eq!(wall_verdict(NANOSECOND * 2, Duration::from_nanos(3)), Verdict::TimeLimitExceeded);
    }

    #[test]
    fn a_sleeper_is_idle() {
        assert_eq!(wall_verdict(Duration::ZERO, Duration::from_secs(3)), Verdict::IdlenessLimitExceeded);
    }

    proptest! {
        #[test]
        fn the_boundary_lies_at_half(half in 1..1_000_000_000_000_u64) {
            let (less, half) = (Duration::from_nanos(half - 1), Duration::from_nanos(half));
            prop_assert_eq!(wall_verdict(half, half * 2), Verdict::TimeLimitExceeded);
            prop_assert_eq!(wall_verdict(half + NANOSECOND, half * 2), Verdict::TimeLimitExceeded);
            prop_assert_eq!(wall_verdict(less, half * 2), Verdict::IdlenessLimitExceeded);
        }

        #[test]
        fn more_cpu_never_turns_busy_into_idle(cpu in 0..2000_u64, more in 0..2000_u64, wall in 0..2000_u64) {
            let [cpu, more, wall] = [cpu, more, wall].map(Duration::from_millis);
            if wall_verdict(cpu, wall) == Verdict::TimeLimitExceeded {
                prop_assert_eq!(wall_verdict(cpu + more, wall), Verdict::TimeLimitExceeded);
            }
        }
    }
}
