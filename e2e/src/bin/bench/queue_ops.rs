//! What the queue costs: a job taken and reported, beside the bare round trips that this is.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crds::{Comparison, Priority, ResolvedLimits};
use e2e::{RedisServer, RedisSettings, fixtures};
use queue::broker::{Allowance, Delivery, Enqueued, Options, Outcome};
use queue::contract::{JobOutcome, Span, TestOutcome};
use queue::{Broker, Job, JobId, JobReport, JobTest, LanguageSnapshot, Payload, PlanHash};

use crate::figure::Figure;
use crate::screen::Screen;

/// Jobs, and the bare round trips beside them, before the other has its turn.
const BATCH: u32 = 50;
/// Round trips of one job: it is taken, and reported.
const ROUND_TRIPS: u32 = 2;
const LEASE: Duration = Duration::from_mins(1);

/// Jobs taken and reported in a second by one runner, one after another.
pub(crate) async fn measure(count: u32, screen: &Screen) -> anyhow::Result<Figure> {
    let redis = RedisServer::start(RedisSettings::default()).await?;
    let broker = broker(&redis).await?;
    let mut bare = redis.connect().await?;
    for number in 0..count {
        let queued = broker.enqueue(&job(number)?, &[], &ALLOWANCE).await?;
        ensure!(queued == Enqueued::Queued, "job {number}: {queued:?}");
    }
    let (mut time, mut floor) = (Duration::ZERO, Duration::ZERO);
    for done in (0..count).step_by(BATCH as usize) {
        screen.progress("queue", done as usize, count as usize);
        let start = Instant::now();
        for _ in 0..BATCH {
            take_and_report(&broker).await?;
        }
        let middle = Instant::now();
        for _ in 0..BATCH * ROUND_TRIPS {
            redis::cmd("PING").query_async::<()>(&mut bare).await?;
        }
        time += middle - start;
        floor += middle.elapsed();
    }
    let per_second = |time: Duration| f64::from(count) / time.as_secs_f64();
    let what = "jobs taken and reported, one after another; floor: two bare round trips each";
    Ok(Figure::rate("queue_ops", what, per_second(time), per_second(floor)))
}

const ALLOWANCE: Allowance = Allowance {
    pool: 100_000,
    namespace: 100_000,
    deliveries: 5,
    first_delay: Duration::from_secs(1),
    longest_delay: Duration::from_mins(1),
};

async fn broker(redis: &RedisServer) -> anyhow::Result<Broker> {
    let options = Options {
        url: redis.url(),
        password: None,
        authorities: None,
        pool: "default".parse()?,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        cache_bytes: 1 << 28,
    };
    Ok(Broker::connect(options).await?)
}

async fn take_and_report(broker: &Broker) -> anyhow::Result<()> {
    let Delivery { job, fence, .. } = broker.take("bench", LEASE).await?.context("no job")?;
    let outcome = broker.report(&job.id, fence, &report(&job)).await?;
    ensure!(outcome == Outcome::Done, "{}: {outcome:?}", job.id);
    Ok(())
}

/// A job with one test, as small Submissions make it.
pub(crate) fn job(number: u32) -> anyhow::Result<Job> {
    let spec = fixtures::shell()?.spec;
    let limits = ResolvedLimits::of(None, &spec);
    let test = JobTest {
        index: 0,
        name: "one".into(),
        input: Payload::Text("1 2\n".into()),
        answer: Payload::Text("3\n".into()),
    };
    let plan = PlanHash::of(blake3::hash(&number.to_le_bytes()));
    Ok(Job {
        id: JobId { uid: format!("0-{number}"), judging: 1, plan, batch: 0 },
        namespace: format!("n{}", number % 10),
        name: format!("s{number}"),
        priority: Priority::Normal,
        language: LanguageSnapshot { name: fixtures::SHELL.into(), spec },
        source: Payload::Text("read a b; echo $((a + b))\n".repeat(20)),
        limits,
        comparison: Comparison::Lines,
        span: Span { first: 0, count: 1, total: 1, batches: 1 },
        tests: vec![test],
    })
}

/// What a runner would say of it.
pub(crate) fn report(job: &Job) -> JobReport {
    let status = crds::TestStatus {
        name: job.tests[0].name.clone(),
        verdict: crds::Verdict::Accepted,
        time_milliseconds: Some(1),
        wall_time_milliseconds: Some(2),
        memory_bytes: Some(1 << 20),
        exit_code: Some(0),
        signal: None,
        message: None,
        actual: None,
        expected: None,
    };
    let outcome = JobOutcome::Judged(vec![TestOutcome { index: 0, status }]);
    let started = jiff::Timestamp::UNIX_EPOCH;
    JobReport { runner: "bench".into(), started, compile: None, outcome, measurement: None }
}
