//! The queue against its model: any steps in any order, by several runners and operators, on a real Redis whose time the test
//! sets.

#[path = "../../../tests/common/mod.rs"]
mod common;
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use crds::{Phase, Priority};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Allowance, Broker, Fence, Gauges, Held, JobState, Outcome, words};
use crate::contract::{Blob, BlobHash, Job, JobId, PlanHash};
use common::Server;
use model::Model;

/// Cases, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 64;
const BEGIN: u64 = 1_700_000_000_000_000;
const LEASE: Duration = Duration::from_secs(10);
const UIDS: [&str; 4] = ["u0", "u1", "u2", "u3"];
const PRIORITIES: [Priority; 3] = [Priority::Contest, Priority::Normal, Priority::Rejudge];
const PHASES: [Phase; 2] = [Phase::Compiling, Phase::Running];

/// What is done. An index picks among all deliveries that ever were, so that most are stale.
#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        uid: usize,
        judging: u32,
        plan: u8,
        batch: u32,
        priority: usize,
        tight: bool,
    },
    Take {
        twice: bool,
    },
    /// A call of take whose answer was lost, made again now or much later.
    TakeAgain(Index),
    Extend(Vec<(Index, usize)>),
    Report(Index),
    Retry(Index),
    HandBack(Index),
    Missing(Index),
    Supply(Index),
    Cancel(usize),
    Forget(usize, u32),
    Reprioritize(usize, usize),
    Reap(usize),
    Bury(Index),
    Pass(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let recent = || any::<Index>();
    prop_oneof![
        12 => (0..4_usize, 1..3_u32, 0..8_u8, 0..6_u32, 0..3_usize, prop::bool::weighted(0.4)).prop_map(
            |(uid, judging, plan, batch, priority, tight)| {
                Step::Enqueue { uid, judging: judging.max(2), plan: u8::from(plan == 0), batch, priority, tight }
            }
        ),
        2 => (0..4_usize, 0..6_u32).prop_map(|(uid, batch)| {
            Step::Enqueue { uid, judging: 1, plan: 0, batch, priority: 1, tight: false }
        }),
        12 => any::<bool>().prop_map(|twice| Step::Take { twice }),
        3 => recent().prop_map(Step::TakeAgain),
        4 => prop::collection::vec((recent(), 0..2_usize), 0..4).prop_map(Step::Extend),
        4 => recent().prop_map(Step::Report),
        4 => recent().prop_map(Step::Retry),
        4 => recent().prop_map(Step::HandBack),
        4 => recent().prop_map(Step::Missing),
        4 => recent().prop_map(Step::Supply),
        1 => (0..4_usize).prop_map(Step::Cancel),
        1 => (0..4_usize, 0..3_u32).prop_map(|(uid, judging)| Step::Forget(uid, judging)),
        2 => (0..4_usize, 0..3_usize).prop_map(|(uid, priority)| Step::Reprioritize(uid, priority)),
        4 => (1..4_usize).prop_map(Step::Reap),
        1 => recent().prop_map(Step::Bury),
        6 => prop_oneof![Just(0), 1..8_000_000_u64, Just(500_000), Just(1_000_000), Just(10_000_000)].prop_map(Step::Pass),
        1 => prop::bool::weighted(0.3).prop_map(|flush| if flush { Step::Flush } else { Step::Pass(1) }),
    ]
}

/// The queue, its model, and all deliveries so far.
struct Pair {
    broker: Broker,
    model: Model,
    deliveries: Vec<(JobId, Fence)>,
    tokens: BTreeMap<Fence, String>,
    steps: usize,
}

fn plain(uid: usize, judging: u32, plan: u8, batch: u32, priority: usize) -> Job {
    let mut job = common::job(["a", "b", "a", "c"][uid], UIDS[uid]);
    let plan = PlanHash::of(blake3::hash(&[plan]));
    job.id = JobId { judging, plan, batch, ..job.id };
    job.priority = PRIORITIES[priority];
    job.tests = (0..=batch % 3).map(common::test).collect();
    job
}

fn blobs() -> [BlobHash; 2] {
    [Blob::pack(b"a").name.hash, Blob::pack(b"b").name.hash]
}

impl Pair {
    async fn new(server: &Server) -> Self {
        server.command(&["FLUSHALL"]);
        let model = Model::at(BEGIN);
        let pair = Self {
            broker: server.broker().await,
            model,
            deliveries: Vec::new(),
            tokens: BTreeMap::new(),
            steps: 0,
        };
        pair.set_time().await;
        pair
    }

    async fn set_time(&self) {
        let mut set = redis::cmd("SET");
        set.arg(self.broker.key("now")).arg(self.model.now);
        self.broker.ask::<()>("set", &set).await.unwrap();
    }

    /// A third of the time one of the last few deliveries, which may still count; a third of the time one that
    /// was not its job's last.
    fn pick(&self, index: Index) -> (JobId, Fence) {
        let last = self.deliveries.len().saturating_sub(4);
        let superseded = |delivery: &&(JobId, Fence)| {
            let entry = self.model.jobs.get(&delivery.0);
            entry.is_some_and(|entry| entry.fence != Some(delivery.1.0))
        };
        let among: Vec<_> = match index.index(3) {
            0 => self.deliveries[last..].iter().collect(),
            1 => self.deliveries.iter().filter(superseded).collect(),
            _ => self.deliveries.iter().collect(),
        };
        if among.is_empty() {
            return (plain(0, 2, 0, 0, 0).id, Fence(1));
        }
        (*index.get(&among)).clone()
    }

    async fn take(&mut self, token: &str, twice: bool) {
        let expected = self.model.take(u64::try_from(LEASE.as_micros()).unwrap());
        let answer = self.broker.take_once(token, LEASE).await.unwrap().map(words::delivery);
        let Some((id, since)) = expected else {
            assert_eq!(answer, None);
            assert_eq!(self.length("wake").await, 0);
            return;
        };
        let delivery = answer.unwrap().unwrap();
        let entry = &self.model.jobs[&id];
        assert_eq!((&delivery.job, Some(delivery.fence.0)), (&entry.job, entry.fence));
        assert_eq!(delivery.deliveries, entry.deliveries);
        assert_eq!(delivery.waited, Duration::from_micros(self.model.now - since));
        let newest = self.deliveries.iter().map(|(_, fence)| *fence).max();
        assert!(newest.is_none_or(|newest| newest < delivery.fence));
        self.tokens.insert(delivery.fence, token.to_owned());
        self.deliveries.push((id, delivery.fence));
        if twice {
            let again = self.broker.take_once(token, LEASE).await.unwrap().map(words::delivery);
            assert_eq!(again, Some(Ok(delivery)));
        }
    }

    async fn take_again(&mut self, index: Index) {
        let (id, fence) = self.pick(index);
        let Some(token) = self.tokens.get(&fence).cloned() else { return };
        let leased = |entry: &model::Entry| entry.state == JobState::Leased && entry.fence == Some(fence.0);
        // A token that was used again stands for its last delivery alone.
        let last = self.tokens.iter().rfind(|(_, other)| **other == token).unwrap().0;
        if *last != fence || !self.model.jobs.get(&id).is_some_and(leased) {
            return self.take_again_in_vain(&token, *last).await;
        }
        let again =
            self.broker.take_once(&token, LEASE).await.unwrap().map(words::delivery).unwrap().unwrap();
        assert_eq!((again.job.id, again.fence), (id, fence));
    }

    /// The delivery that the token stands for is over, so this is a new one.
    async fn take_again_in_vain(&mut self, token: &str, last: Fence) {
        let leased = |entry: &model::Entry| entry.state == JobState::Leased && entry.fence == Some(last.0);
        if !self.model.jobs.values().any(leased) {
            self.take(token, false).await;
        }
    }

    async fn extend(&mut self, picks: &[(Index, usize)]) {
        let lease = u64::try_from(LEASE.as_micros()).unwrap();
        let held: Vec<_> = picks
            .iter()
            .map(|(index, phase)| {
                let (id, fence) = self.pick(*index);
                Held { id, fence, phase: PHASES[*phase] }
            })
            .collect();
        let model = &mut self.model;
        let expected: Vec<_> =
            held.iter().map(|held| model.extend(&held.id, held.fence.0, held.phase, lease)).collect();
        assert_eq!(self.broker.extend(&held, LEASE).await.unwrap(), expected);
    }

    async fn enqueue(&mut self, job: &Job, tight: bool) {
        let allowance = Allowance {
            pool: if tight { 5 } else { 1000 },
            namespace: if tight { 2 } else { 1000 },
            deliveries: 1 + job.id.batch % 4,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_millis(if job.id.batch.is_multiple_of(2) { 1500 } else { 500 }),
        };
        let expected = self.model.enqueue(job, &allowance);
        assert_eq!(self.broker.enqueue(job, &[], &allowance).await.unwrap(), expected);
    }

    /// What runners say of one delivery.
    async fn say(&mut self, step: &Step) -> Option<(Outcome, Outcome)> {
        let (Step::Report(index) | Step::Retry(index) | Step::HandBack(index) | Step::Missing(index)) = step
        else {
            return None;
        };
        let (id, fence) = self.pick(*index);
        let name = format!("s{}", self.steps);
        let (model, broker) = (&mut self.model, &self.broker);
        Some(match step {
            Step::Report(_) => (
                model.report(&id, fence.0, &name),
                broker.report(&id, fence, &common::report(&name)).await.unwrap(),
            ),
            Step::Retry(_) => {
                (model.retry(&id, fence.0, &name), broker.retry(&id, fence, &name).await.unwrap())
            }
            Step::HandBack(_) => (model.hand_back(&id, fence.0), broker.hand_back(&id, fence).await.unwrap()),
            _ => (model.missing(&id, fence.0, &blobs()), broker.missing(&id, fence, &blobs()).await.unwrap()),
        })
    }

    /// What operators do to jobs and Submissions.
    async fn manage(&mut self, step: &Step) {
        let (model, broker) = (&mut self.model, &self.broker);
        match step {
            Step::Cancel(uid) => {
                assert_eq!(broker.cancel(UIDS[*uid]).await.unwrap(), model.cancel(UIDS[*uid], u32::MAX));
            }
            Step::Forget(uid, judging) => {
                model.cancel(UIDS[*uid], *judging);
                broker.forget(UIDS[*uid], *judging).await.unwrap();
            }
            Step::Reprioritize(uid, priority) => {
                model.reprioritize(UIDS[*uid], PRIORITIES[*priority]);
                broker.reprioritize(UIDS[*uid], PRIORITIES[*priority]).await.unwrap();
            }
            Step::Reap(most) => assert_eq!(broker.reap(*most).await.unwrap(), model.reap(*most)),
            _ => {}
        }
    }

    async fn run(&mut self, step: &Step) {
        self.steps += 1;
        match step {
            Step::Enqueue { uid, judging, plan, batch, priority, tight } => {
                self.enqueue(&plain(*uid, *judging, *plan, *batch, *priority), *tight).await;
            }
            Step::Take { twice } => self.take(&format!("t{}", self.steps), *twice).await,
            Step::TakeAgain(index) => self.take_again(*index).await,
            Step::Extend(picks) => self.extend(picks).await,
            Step::Supply(index) => {
                let (id, _) = self.pick(*index);
                self.model.supply(&id);
                self.broker.supply(&id, &[]).await.unwrap();
            }
            Step::Bury(index) => {
                let (id, _) = self.pick(*index);
                self.model.bury(&id);
                self.broker.bury(&id, "a test").await.unwrap();
            }
            Step::Pass(time) => self.model.now += time,
            Step::Flush => {
                self.model.flush();
                self.broker.ask::<()>("flush", &redis::cmd("FLUSHALL")).await.unwrap();
            }
            _ => self.manage(step).await,
        }
        if let Some((expected, outcome)) = self.say(step).await {
            assert_eq!(outcome, expected);
        }
        self.set_time().await;
    }

    async fn length(&self, list: &str) -> u64 {
        self.broker.ask("llen", redis::cmd("LLEN").arg(self.broker.key(list))).await.unwrap()
    }

    /// All that can be seen is as the model says: no job more, no job less, none elsewhere.
    async fn compare(&self) {
        let uids: Vec<_> = UIDS.iter().map(ToString::to_string).collect();
        let found = self.broker.lookup(&uids).await.unwrap().into_iter().flatten();
        let mut found: BTreeMap<_, _> = found.map(|record| (record.id.clone(), record)).collect();
        for (id, entry) in &self.model.jobs {
            let record = found.remove(id).unwrap_or_else(|| panic!("{id} is gone: {entry:?}"));
            assert_eq!((record.span, record.state), (entry.job.span, entry.state.clone()), "{id}");
            assert_eq!((record.phase, record.deliveries), (entry.phase, entry.deliveries), "{id}");
            let micros = |time: jiff::Timestamp| u64::try_from(time.as_microsecond()).unwrap();
            assert_eq!(micros(record.queued), entry.queued, "{id}");
            assert_eq!(record.first_taken.map(micros), entry.first_taken, "{id}");
        }
        assert_eq!(found.len(), 0, "{found:?}");
        assert_eq!(self.gauges().await, self.expected_gauges());
        let mut range = redis::cmd("LRANGE");
        range.arg(self.broker.key("news")).arg(0).arg(-1);
        assert_eq!(self.broker.ask::<Vec<String>>("news", &range).await.unwrap(), self.model.news);
        if self.model.jobs.values().any(|entry| entry.state == JobState::Waiting) {
            assert_ne!(self.length("wake").await, 0, "runners sleep beside a ready job");
        }
    }

    async fn gauges(&self) -> (Gauges, BTreeMap<String, u64>) {
        let gauges = Gauges { dead: 0, ..self.broker.gauges().await.unwrap() };
        let depth = redis::cmd("HGETALL").arg(self.broker.key("depth")).clone();
        (gauges, self.broker.ask("depth", &depth).await.unwrap())
    }

    fn expected_gauges(&self) -> (Gauges, BTreeMap<String, u64>) {
        let count = |is: &dyn Fn(&model::Entry) -> bool| {
            self.model.jobs.values().filter(|entry| is(entry)).count() as u64
        };
        let ready = |entry: &model::Entry| entry.state == JobState::Waiting;
        let waiting = PRIORITIES.iter().map(|priority| {
            (*priority, count(&|entry| ready(entry) && entry.priority == model::rank(*priority)))
        });
        let oldest = self.model.jobs.values().filter(|entry| ready(entry)).map(|entry| entry.at).min();
        let gauges = Gauges {
            waiting: waiting.collect(),
            delayed: count(&|entry| entry.state == JobState::Delayed),
            leased: count(&model::Entry::is_held),
            blocked: count(&|entry| matches!(entry.state, JobState::Blocked(_))),
            reported: count(&|entry| matches!(entry.state, JobState::Reported | JobState::Lost(_))),
            oldest: Duration::from_micros(self.model.now - oldest.unwrap_or(self.model.now)),
            ..Gauges::default()
        };
        let depth = ["a", "b", "c"].map(|name| (name.to_owned(), self.model.depth(Some(name))));
        (gauges, depth.into_iter().filter(|(_, depth)| *depth > 0).collect())
    }

    /// The reports that are there are the first ones; and when all is forgotten, nothing is left behind.
    async fn finish(mut self) {
        for uid in UIDS {
            for job in self.broker.collect(uid).await.unwrap() {
                let runner = job.report.map(|report| report.unwrap().runner);
                assert_eq!(runner, self.model.jobs[&job.record.id].report);
            }
            self.broker.cancel(uid).await.unwrap();
            self.model.cancel(uid, u32::MAX);
        }
        self.model.now += 3_600_000_000;
        self.set_time().await;
        self.model.reap(1000);
        self.broker.reap(1000).await.unwrap();
        let mut keys: Vec<String> =
            self.broker.ask("keys", redis::cmd("KEYS").arg(self.broker.key("*"))).await.unwrap();
        let prefix = self.broker.key("");
        let expected = ["now", "fair", "wake", "news", "dead"];
        keys.retain(|key| {
            let name = key.strip_prefix(&prefix).unwrap();
            !expected.contains(&name) && !name.starts_with("take:") && !name.starts_with("tags:")
        });
        assert_eq!(keys, Vec::<String>::new());
        for priority in PRIORITIES {
            let mut range = redis::cmd("ZRANGE");
            range
                .arg(self.broker.key(&format!("tags:{}", words::priority(priority))))
                .arg(0)
                .arg(-1)
                .arg("WITHSCORES");
            let tags: Vec<(String, u64)> = self.broker.ask("tags", &range).await.unwrap();
            assert_eq!(BTreeMap::from_iter(tags), self.model.remembered(priority));
        }
    }
}

/// Many jobs in few namespaces and priorities, so that turns are what matters.
fn turn() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..4_usize, 0..60_u32, 0..3_usize).prop_map(|(uid, batch, priority)| {
            Step::Enqueue { uid, judging: 1, plan: 0, batch, priority, tight: false }
        }),
        9 => Just(Step::Take { twice: false }),
        1 => any::<Index>().prop_map(Step::HandBack),
        1 => Just(Step::Pass(1_000_000)),
    ]
}

/// Whether the queue does in all cases what its model does; all is compared every so many steps.
fn agree(most: usize, every: usize, step: impl Strategy<Value = Step>) {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step, 1..most))| {
        runtime.block_on(async {
            let mut pair = Pair::new(&server).await;
            for (n, step) in steps.iter().enumerate() {
                pair.run(step).await;
                if n % every == 0 {
                    pair.compare().await;
                }
            }
            pair.compare().await;
            pair.finish().await;
        });
    });
}

#[test]
fn the_queue_does_what_its_model_does() {
    agree(80, 1, step());
}

#[test]
fn turns_are_the_models() {
    agree(120, 20, turn());
}
