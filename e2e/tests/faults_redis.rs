//! Redis that forgets, goes away or stands still with work in every state.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use e2e::{
    Mode, RedisSettings, Setup,
    backlog::jobs,
    scenario::{Others, Scenario, Work},
    twice,
};
use tokio::time::sleep;

const AWAY: Duration = Duration::from_secs(20);

twice! {
    restarted_with_its_data,
    restarted_empty,
    flushed,
    flushed_over_and_over,
    refuses,
    hangs,
    stands_still,
}

/// Jobs that wait, jobs that run, and reports that are not written, as the API server hangs for the operator.
async fn work_in_every_state() -> Scenario {
    let redis = RedisSettings { append_only: true, ..RedisSettings::default() };
    let mut scenario = Scenario::start(Setup { redis, ..Setup::default() }).await.unwrap();
    scenario.submit_all(&Work::mixed("a", 6, 1)).await.unwrap();
    scenario.until_enqueued(6).await.unwrap();
    scenario.world.set_api(Mode::Hang);
    let every = |gauges: &queue::broker::Gauges| {
        gauges.reported > 1 && gauges.leased > 0 && jobs(gauges) > gauges.reported + gauges.leased
    };
    scenario.until_queue("in every state", every).await.unwrap();
    scenario
}

/// Work that comes after the fault.
async fn more_work(scenario: &mut Scenario) {
    scenario.submit_all(&Work::mixed("b", 3, 0)).await.unwrap();
}

async fn restarted_with_its_data(others: Others) {
    let mut scenario = work_in_every_state().await;
    let before = scenario.broker.gauges().await.unwrap();
    scenario.world.redis.kill().unwrap();
    scenario.world.set_api(Mode::Pass);
    scenario.world.redis.start_again().await.unwrap();
    let after = scenario.broker.gauges().await.unwrap();
    assert!(jobs(&after) > 0, "{before:?} is all gone: {after:?}");
    scenario.then(others).await.unwrap();
    more_work(&mut scenario).await;
    scenario.settle().await.unwrap();
}

async fn restarted_empty(others: Others) {
    let mut scenario = work_in_every_state().await;
    scenario.world.redis.kill().unwrap();
    scenario.world.redis.start_again_empty().await.unwrap();
    scenario.world.set_api(Mode::Pass);
    scenario.then(others).await.unwrap();
    more_work(&mut scenario).await;
    scenario.settle().await.unwrap();
}

async fn flushed(others: Others) {
    let mut scenario = work_in_every_state().await;
    scenario.world.redis.flush().await.unwrap();
    scenario.world.set_api(Mode::Pass);
    scenario.then(others).await.unwrap();
    more_work(&mut scenario).await;
    scenario.settle().await.unwrap();
}

/// At whatever point everything is.
async fn flushed_over_and_over(others: Others) {
    let mut scenario = Scenario::start(Setup { runners: 2, ..Setup::default() }).await.unwrap();
    scenario.submit_all(&Work::mixed("a", 12, 0)).await.unwrap();
    for round in 1..8 {
        scenario.world.redis.flush().await.unwrap();
        sleep(Duration::from_millis(150 * round)).await;
    }
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

async fn away(others: Others, mode: Mode) {
    let mut scenario = work_in_every_state().await;
    scenario.world.set_redis(mode);
    scenario.world.set_api(Mode::Pass);
    more_work(&mut scenario).await;
    sleep(AWAY).await;
    scenario.world.set_redis(Mode::Pass);
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

async fn refuses(others: Others) {
    away(others, Mode::Refuse).await;
}

async fn hangs(others: Others) {
    away(others, Mode::Hang).await;
}

/// The process itself, which may come back to what was sent to it meanwhile.
async fn stands_still(others: Others) {
    let mut scenario = work_in_every_state().await;
    scenario.world.redis.pause().unwrap();
    scenario.world.set_api(Mode::Pass);
    sleep(AWAY).await;
    scenario.world.redis.resume().unwrap();
    scenario.then(others).await.unwrap();
    more_work(&mut scenario).await;
    scenario.settle().await.unwrap();
}
