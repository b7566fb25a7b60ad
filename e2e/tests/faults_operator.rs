//! Operators that are killed between any two of their steps, and two of them at once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use crds::Verdict;
use e2e::{
    Mode, Setup,
    scenario::{Others, Scenario, Work},
    twice,
};
use serde_json::json;

twice! {
    killed_between_report_and_status_write,
    killed_while_enqueueing,
    killed_over_and_over,
    two_at_once,
}

async fn start_operators(scenario: &mut Scenario, others: Others) {
    match others {
        Others::LeftRunning => {
            for operator in &mut scenario.world.operators {
                operator.program.start_again().await.unwrap();
            }
        }
        Others::Restarted => scenario.then(others).await.unwrap(),
    }
}

/// All is reported and nothing written, but for what is on its way and may arrive after the operator's death.
async fn killed_between_report_and_status_write(others: Others) {
    let mut scenario = Scenario::start(Setup::default()).await.unwrap();
    let pieces = Work::mixed("a", 4, 1);
    scenario.submit_all(&pieces).await.unwrap();
    scenario.until_enqueued(4).await.unwrap();
    scenario.world.set_api(Mode::Hang);
    let all =
        |gauges: &queue::broker::Gauges| gauges.reported > 0 && e2e::backlog::jobs(gauges) == gauges.reported;
    scenario.until_queue("reported", all).await.unwrap();
    scenario.world.operators[0].program.kill().unwrap();
    scenario.world.set_api(Mode::Pass);
    start_operators(&mut scenario, others).await;
    for work in &pieces {
        assert_eq!(
            scenario.end_of(work).await.unwrap().deliveries,
            Some(2),
            "two jobs, and none was run again"
        );
    }
    scenario.settle().await.unwrap();
}

async fn killed_while_enqueueing(others: Others) {
    let setup = Setup::default().operator_flag("concurrency", "2");
    let mut scenario = Scenario::start(setup).await.unwrap();
    scenario.world.operators[0].redis.set(Mode::Hang);
    // What is enqueued stays so until the kill.
    scenario.world.runners[0].program.pause().unwrap();
    scenario.submit_all(&Work::mixed("a", 100, 0)).await.unwrap();
    scenario.world.operators[0].redis.set(Mode::Pass);
    scenario.until_enqueued(3).await.unwrap();
    scenario.world.operators[0].program.kill().unwrap();
    let (known, _) = scenario.broker.subjects(0, 1000).await.unwrap();
    assert!(known.len() < 100, "it was over before the kill");
    scenario.world.runners[0].program.resume().unwrap();
    start_operators(&mut scenario, others).await;
    scenario.settle().await.unwrap();
}

/// At whatever point it is.
async fn killed_over_and_over(others: Others) {
    let mut scenario = Scenario::start(Setup { runners: 2, ..Setup::default() }).await.unwrap();
    scenario.submit_all(&Work::mixed("a", 16, 1)).await.unwrap();
    for round in 0..4 {
        scenario.world.operators[0].program.kill().unwrap();
        start_operators(&mut scenario, others).await;
        tokio::time::sleep(std::time::Duration::from_millis(300 * round)).await;
    }
    scenario.settle().await.unwrap();
}

/// Nobody leads: both see all, enqueue all, take in all and write all.
async fn two_at_once(others: Others) {
    let setup = Setup { operators: 2, runners: 2, ..Setup::default() };
    let mut scenario = Scenario::start(setup).await.unwrap();
    let pieces = Work::mixed("a", 20, 0);
    scenario.submit_all(&pieces).await.unwrap();
    scenario.until_enqueued(1).await.unwrap();
    scenario.then(others).await.unwrap();
    for work in &pieces[..3] {
        scenario.end_of(work).await.unwrap();
        scenario.rejudge(work, 1).await.unwrap();
    }
    let suspended = Work::new("suspended", Verdict::WrongAnswer, 1);
    scenario.submit(&suspended).await.unwrap();
    suspended.mark.begun().await.unwrap();
    scenario.change(&suspended, &json!({ "suspend": true })).await.unwrap();
    suspended.mark.ended().await.unwrap();
    scenario.change(&suspended, &json!({ "suspend": false })).await.unwrap();
    scenario.settle().await.unwrap();
}
