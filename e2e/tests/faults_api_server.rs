//! An API server that is away while jobs run and reports come in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use e2e::{
    Mode, Setup,
    backlog::jobs,
    scenario::{Others, Scenario, Work},
    twice,
};
use queue::broker::Gauges;
use tokio::time::sleep;

const AWAY: Duration = Duration::from_secs(20);

twice! {
    refuses,
    hangs,
    is_killed,
    stands_still,
}

async fn work_under_way() -> Scenario {
    let mut scenario = Scenario::start(Setup::default()).await.unwrap();
    scenario.submit_all(&Work::mixed("a", 5, 1)).await.unwrap();
    scenario.until_enqueued(5).await.unwrap();
    scenario
}

/// All reports come in while nothing can be written, and are kept.
async fn kept(scenario: &Scenario) {
    let all = |gauges: &Gauges| gauges.reported > 0 && jobs(gauges) == gauges.reported;
    scenario.until_queue("reported as a whole", all).await.unwrap();
}

async fn link(others: Others, mode: Mode) {
    let mut scenario = work_under_way().await;
    scenario.world.set_api(mode);
    // Created and changed behind the operator's back.
    let unseen = Work::mixed("b", 3, 0);
    scenario.submit_all(&unseen).await.unwrap();
    scenario.delete(&unseen[0]).await.unwrap();
    sleep(AWAY).await;
    kept(&scenario).await;
    scenario.world.set_api(Mode::Pass);
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

async fn refuses(others: Others) {
    link(others, Mode::Refuse).await;
}

async fn hangs(others: Others) {
    link(others, Mode::Hang).await;
}

async fn is_killed(others: Others) {
    let mut scenario = work_under_way().await;
    scenario.world.control_plane.kill().unwrap();
    sleep(AWAY).await;
    kept(&scenario).await;
    scenario.world.control_plane.start_again().await.unwrap();
    scenario.then(others).await.unwrap();
    scenario.submit_all(&Work::mixed("b", 3, 0)).await.unwrap();
    scenario.settle().await.unwrap();
}

async fn stands_still(others: Others) {
    let mut scenario = work_under_way().await;
    scenario.world.control_plane.pause().unwrap();
    sleep(AWAY).await;
    kept(&scenario).await;
    scenario.world.control_plane.resume().unwrap();
    scenario.then(others).await.unwrap();
    scenario.submit_all(&Work::mixed("b", 3, 0)).await.unwrap();
    scenario.settle().await.unwrap();
}
