//! What the operator asks of several queues at once: where a Submission is to go, where its jobs are, and to take them off.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::broker::{JobRecord, Pool};
use queue::{BrokerError, PlanHash};

use super::namespaces::Labels;
use super::route::{self, Wanted, footprint, lack, route, weight};
use crate::api::CallError;
use crate::context::Operator;
use crate::decide::Lack;
use crate::intake::assess::{Presence, presence};
use crate::languages::Entry;
use crate::object::Head;

/// Queues that are asked at one time for one Submission.
const AT_ONCE: usize = 8;

/// A Submission that is to be judged, with all that its route depends on.
#[derive(Debug)]
pub struct Sought<'a> {
    head: &'a Head,
    labels: Labels,
    memory: u64,
}

impl Sought<'_> {
    /// The same for [`route`].
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            uid: self.head.uid(),
            namespace: self.head.namespace(),
            labels: &self.labels,
            language: &self.head.asked.language,
            memory: self.memory,
        }
    }
}

/// Where Redis has the jobs of a judging.
#[derive(Debug)]
pub enum Found {
    /// All of them, on one queue.
    Whole {
        /// Whose.
        pool: Pool,
        /// What they rest on.
        plan: PlanHash,
        /// Whether one of them needs a look.
        news: bool,
    },
    /// Not all on any.
    Nowhere {
        /// Pools on whose queues they are being cancelled.
        leaving: Vec<Pool>,
        /// Pools on whose queues there are some, or some of another judging.
        parts: Vec<Pool>,
    },
}

impl Operator {
    /// All that its route depends on, as far as it is known here; nothing if the namespace's labels are not.
    pub fn sought<'a>(&self, head: &'a Head) -> Option<Sought<'a>> {
        let labels = if self.pools.are_routed() {
            self.namespaces.labels(head.namespace())?
        } else {
            Labels::default()
        };
        Some(self.sought_with(head, labels))
    }

    /// The same; what is not known is read from the API server.
    pub async fn sought_surely<'a>(&self, head: &'a Head) -> Result<Sought<'a>, CallError> {
        if let Some(sought) = self.sought(head) {
            return Ok(sought);
        }
        let metadata = self.api(self.calls.namespace(head.namespace()).await)?;
        Ok(self.sought_with(head, self.namespaces.learn(head.namespace(), metadata)))
    }

    fn sought_with<'a>(&self, head: &'a Head, labels: Labels) -> Sought<'a> {
        let asked = &head.asked;
        let memory = match self.catalog.entry(&asked.language) {
            Entry::Known(language) => footprint(asked.memory, asked.output, &language.spec),
            // Then it is not planned, or was planned already.
            Entry::Unknown | Entry::Invalid(_) => 0,
        };
        Sought { head, labels, memory }
    }

    /// The pool to judge it, or what is missing.
    pub fn route(&self, sought: &Sought<'_>) -> Result<Pool, Lack> {
        let (facts, wanted) = (self.pools.facts(), sought.wanted());
        route(&facts, &wanted).cloned().map_err(|refusals| lack(refusals, &wanted))
    }

    /// Whether what is on the pool's queue may stay there, as far as that is known.
    pub fn stays(&self, head: &Head, pool: &Pool) -> bool {
        let facts = self.pools.facts();
        self.sought(head).is_none_or(|sought| route::stays(&facts, pool, &sought.wanted()))
    }

    /// Where the jobs of a judging are, among the pools that may have them. If more than one has them all, the others' are
    /// cancelled.
    pub async fn find(&self, sought: &Sought<'_>, judging: u32) -> Result<Found, BrokerError> {
        let (facts, wanted) = (self.pools.facts(), sought.wanted());
        let may_hold = facts.iter().filter(|facts| facts.may_hold(&wanted));
        let may_hold: Vec<Pool> = may_hold.map(|facts| facts.pool.clone()).collect();
        let found: Vec<_> = stream::iter(may_hold)
            .map(|pool| async {
                let records = self.records(&pool, wanted.uid).await?;
                Ok::<_, BrokerError>((pool, records))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let (mut whole, mut leaving, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (pool, records) in found {
            match presence(&records, judging, None) {
                Presence::All { plan, news } => whole.push((pool, plan, news)),
                Presence::Leaving => leaving.push(pool),
                Presence::Missing if records.is_empty() => {}
                Presence::Missing => parts.push(pool),
            }
        }
        whole.sort_by_key(|(pool, _, news)| (*news, weight(wanted.uid, pool)));
        let Some((pool, plan, news)) = whole.pop() else { return Ok(Found::Nowhere { leaving, parts }) };
        for (other, ..) in whole {
            let jobs = self.redis(self.pools.broker(&other).cancel(wanted.uid).await)?;
            tracing::info!(%pool, other = %other, jobs, "Jobs of the same Submission in another pool were cancelled.");
        }
        Ok(Found::Whole { pool, plan, news })
    }

    /// Whether the pool has all jobs of a judging.
    pub async fn present(&self, pool: &Pool, uid: &str, judging: u32) -> Result<Presence, BrokerError> {
        Ok(presence(&self.records(pool, uid).await?, judging, None))
    }

    /// The jobs of a Submission on the pool's queue.
    pub async fn records(&self, pool: &Pool, uid: &str) -> Result<Vec<JobRecord>, BrokerError> {
        let mut records = self.redis(self.pools.broker(pool).lookup(&[uid.to_owned()]).await)?;
        Ok(records.pop().unwrap_or_default())
    }

    /// Takes a Submission's jobs off the pool's queue; off all queues, if it is not known on which they are. Says how many
    /// were found.
    pub async fn cancel(&self, uid: &str, pool: Option<&Pool>) -> Result<u64, BrokerError> {
        let cancels = stream::iter(self.queues(pool))
            .map(async |pool| self.redis(self.pools.broker(&pool).cancel(uid).await));
        cancels.buffer_unordered(AT_ONCE).try_fold(0, async |sum: u64, jobs| Ok(sum + jobs)).await
    }

    /// Forgets the jobs of this and earlier judgings in the pool; in all, if it is not known where they are.
    pub async fn forget(&self, uid: &str, judging: u32, pool: Option<&Pool>) -> Result<(), BrokerError> {
        let forgets = stream::iter(self.queues(pool))
            .map(async |pool| self.redis(self.pools.broker(&pool).forget(uid, judging).await));
        forgets.buffer_unordered(AT_ONCE).try_collect().await
    }

    fn queues(&self, pool: Option<&Pool>) -> Vec<Pool> {
        match pool {
            Some(pool) => vec![pool.clone()],
            None => self.pools.all().iter().map(|pool| pool.name.clone()).collect(),
        }
    }
}

/// Where the Submission is on a queue, as far as it is known.
pub fn place_of(operator: &Operator, uid: &str) -> Option<Pool> {
    operator.registry.get(uid)?.enqueued.map(|enqueued| enqueued.pool)
}

/// Pools that both have the jobs of a Submission: the one that all operators agree on.
pub fn agreed<'a>(uid: &str, one: &'a Pool, other: &'a Pool) -> &'a Pool {
    let weigh = |pool: &Pool| weight(uid, pool);
    if (weigh(one), one) > (weigh(other), other) { one } else { other }
}
