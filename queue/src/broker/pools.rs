//! Many pools in one Redis: brokers that share connections, the list of pools that have keys, and the end of one.

use super::function::{self, Call};
use super::{Broker, BrokerError, Dissolved, Pool, prefix};

/// The set of the pools that operators have opened, outside of every pool: only operators may see it.
const POOLS: &str = "kubejudge:pools";
/// Most cached entries that one call removes.
const MOST_REMOVED: usize = 1000;

impl Broker {
    /// The queue of another pool, over the same connections. Only a [`super::Waiter`] opens one of its own.
    #[must_use]
    pub fn for_pool(&self, pool: &Pool) -> Self {
        Self { prefix: prefix(pool), ..self.clone() }
    }

    /// Notes that `pool` may have keys from now on, so that they are found when nobody remembers it any more.
    pub async fn note_pool(&self, pool: &Pool) -> Result<(), BrokerError> {
        self.ask("note_pool", redis::cmd("SADD").arg(POOLS).arg(pool.as_str())).await
    }

    /// All pools that were noted. What is no pool's name is passed over.
    pub async fn noted_pools(&self) -> Result<Vec<Pool>, BrokerError> {
        let names: Vec<String> = self.ask("noted_pools", redis::cmd("SMEMBERS").arg(POOLS)).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Forgets that `pool` may have keys.
    pub async fn forget_pool(&self, pool: &Pool) -> Result<(), BrokerError> {
        self.ask("forget_pool", redis::cmd("SREM").arg(POOLS).arg(pool.as_str())).await
    }

    /// Removes this pool's cache, at most `most` entries (and at most 1000), then all that is left of it; nothing while a
    /// Submission has jobs in it or a runner is alive.
    pub async fn dissolve(&self, most: usize) -> Result<Dissolved, BrokerError> {
        let call = Call::new(&function::DISSOLVE).text(most.clamp(1, MOST_REMOVED));
        let answer: String = self.call(call).await?;
        match answer.as_str() {
            "used" => Ok(Dissolved::Used),
            "more" => Ok(Dissolved::More),
            "empty" => Ok(Dissolved::Empty),
            _ => Err(BrokerError::Answer { function: "dissolve", answer }),
        }
    }
}
