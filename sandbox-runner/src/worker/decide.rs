//! What is said to the queue about a job that ended, and what a lease still is. Pure.

use std::time::Duration;

use queue::JobReport;
use queue::contract::BlobHash;

/// How a lease stands, as far as this runner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// It holds, and the result is wanted.
    Held,
    /// It holds, but the result is not wanted any more.
    Cancelled,
    /// It holds, but this runner has no time left.
    Drained,
    /// Another runner has the job, or nobody: whatever is said now changes nothing.
    Lost,
}

/// How a job ended here.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ending {
    /// With a result.
    Done(Box<JobReport>),
    /// The platform failed in a way that another attempt may not.
    Failed(String),
    /// Blobs that it needs are gone.
    Missing(Vec<BlobHash>),
    /// It was stopped before there was a result.
    Stopped,
}

/// What to say to the queue.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Report(Box<JobReport>),
    Retry(String),
    Missing(Vec<BlobHash>),
    HandBack,
    Nothing,
}

impl Standing {
    /// The standing after news. What is lost stays lost, and else the first reason to stop counts.
    pub(super) fn after(self, news: Self) -> Self {
        match (self, news) {
            (_, Self::Lost) | (Self::Held, _) => news,
            (Self::Cancelled | Self::Drained | Self::Lost, _) => self,
        }
    }
}

/// What to say about a job that came to `ending` under a lease that stands so.
pub(super) fn action(standing: Standing, ending: Ending) -> Action {
    match (standing, ending) {
        (Standing::Lost, _) => Action::Nothing,
        // A result that came too late to be stopped is still a result, unless nobody wants it.
        (Standing::Cancelled, _) | (_, Ending::Stopped) => Action::HandBack,
        (Standing::Held | Standing::Drained, Ending::Done(report)) => Action::Report(report),
        (Standing::Held | Standing::Drained, Ending::Failed(reason)) => Action::Retry(reason),
        (Standing::Held | Standing::Drained, Ending::Missing(blobs)) => Action::Missing(blobs),
    }
}

/// Whether a lease that was last extended this long ago, and of which Redis says nothing now, has surely run out. The
/// time counts from before the request was sent, so Redis' own deadline is later, never earlier.
pub(super) fn ran_out(since_extended: Duration, lease: Duration) -> bool {
    since_extended > lease
}

/// The grace period, split into time to finish and time to hand back.
pub(super) fn split_grace(grace: Duration) -> (Duration, Duration) {
    const LONGEST: Duration = Duration::from_secs(5);
    let margin = (grace / 5).min(LONGEST);
    (grace.saturating_sub(margin), margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Standing; 4] = [Standing::Held, Standing::Cancelled, Standing::Drained, Standing::Lost];

    fn report() -> Box<JobReport> {
        Box::new(crate::outcome::hopeless("why", "r", jiff::Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn a_result_is_reported_while_it_is_wanted() {
        let said = ALL.map(|standing| action(standing, Ending::Done(report())));
        let wanted = [Action::Report(report()), Action::HandBack, Action::Report(report()), Action::Nothing];
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_job_without_result_goes_back_unless_it_is_lost() {
        let said = ALL.map(|standing| action(standing, Ending::Stopped));
        assert_eq!(said, [Action::HandBack, Action::HandBack, Action::HandBack, Action::Nothing]);
        assert_eq!(action(Standing::Held, Ending::Failed("x".into())), Action::Retry("x".into()));
        assert_eq!(action(Standing::Held, Ending::Missing(vec![])), Action::Missing(vec![]));
        assert_eq!(action(Standing::Cancelled, Ending::Failed("x".into())), Action::HandBack);
    }

    proptest! {
        #[test]
        fn what_is_lost_stays_lost_and_nothing_is_held_again(news in prop::collection::vec(0..4_usize, 1..9)) {
            let mut standing = Standing::Held;
            for news in news.into_iter().map(|n| ALL[n]) {
                let before = standing;
                standing = standing.after(news);
                prop_assert!(before != Standing::Lost || standing == Standing::Lost);
                prop_assert!(before == Standing::Held || standing != Standing::Held);
                prop_assert!(news != Standing::Lost || standing == Standing::Lost);
            }
        }

        #[test]
        fn grace_is_split_without_rest(seconds in 0..10_000_u64) {
            let grace = Duration::from_secs(seconds);
            let (work, margin) = split_grace(grace);
            prop_assert_eq!(work + margin, grace);
            prop_assert!(margin <= Duration::from_secs(5) && margin * 4 <= work);
        }
    }
}
