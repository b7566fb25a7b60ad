//! Waiting for work and news without asking again and again.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::time::timeout;

use super::link::{Link, failure};
use super::{Broker, BrokerError};

/// The shortest wait: 0 would mean for ever.
const SHORTEST: Duration = Duration::from_millis(10);
/// Most news that is taken at a time.
const MOST_NEWS: usize = 10_000;

/// A connection of its own for blocking reads: it waits longer than any command may take.
pub struct Waiter {
    link: Link,
    wake: String,
    news: String,
    /// How long Redis may be late.
    grace: Duration,
    connection: Option<MultiplexedConnection>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("connected", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Broker {
    /// A waiter with a connection of its own, opened at its first use and again after a failure.
    pub fn waiter(&self) -> Waiter {
        Waiter {
            link: self.link.clone(),
            wake: self.key("wake"),
            news: self.key("news"),
            grace: self.response_timeout,
            connection: None,
        }
    }
}

impl Waiter {
    /// Waits until there may be work, at most `most`. A wake-up is a hint: it may come for nothing, or be missed.
    pub async fn work(&mut self, most: Duration) -> Result<bool, BrokerError> {
        let mut pop = redis::cmd("BLPOP");
        pop.arg(&self.wake).arg(most.max(SHORTEST).as_secs_f64());
        let woken: Option<(String, String)> = self.block(&pop, most).await?;
        Ok(woken.is_some())
    }

    /// Waits until there is news, at most `most`, and takes up to `count` of it: the UIDs of Submissions of which a job was
    /// reported, lost, blocked or buried, each once. What is taken and not acted on is found by the audit.
    pub async fn news(&mut self, most: Duration, count: usize) -> Result<Vec<String>, BrokerError> {
        let mut pop = redis::cmd("BLMPOP");
        pop.arg(most.max(SHORTEST).as_secs_f64()).arg(1).arg(&self.news);
        pop.arg("LEFT").arg("COUNT").arg(count.clamp(1, MOST_NEWS));
        let news: Option<(String, Vec<Vec<u8>>)> = self.block(&pop, most).await?;
        let mut seen = HashSet::new();
        let uids = news.into_iter().flat_map(|(_, uids)| uids).filter_map(|uid| String::from_utf8(uid).ok());
        Ok(uids.filter(|uid| seen.insert(uid.clone())).collect())
    }

    /// The answer to a command that blocks for up to `most`. The connection is kept only if there was an answer: a call that
    /// is dropped while it waits must not take anything afterwards.
    async fn block<T: FromRedisValue>(&mut self, command: &Cmd, most: Duration) -> Result<T, BrokerError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.link.patient().await.map_err(failure)?,
        };
        let answer = timeout(most.max(SHORTEST) + self.grace, command.query_async(&mut connection)).await;
        let answer = answer.unwrap_or_else(|_| Err(late())).map_err(failure)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

fn late() -> RedisError {
    RedisError::from(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "no answer to a blocking read in time",
    ))
}
