//! Submissions that are deleted, recreated, suspended and rejudged while they are judged, and a namespace that is deleted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use crds::Verdict;
use e2e::{
    History, Mode, Setup,
    backlog::until,
    history::is_finished,
    scenario::{Others, Scenario, Work},
    twice,
    world::condition,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use serde_json::json;

twice! {
    deleted_in_mid_run,
    deleted_behind_a_runners_back,
    recreated_under_the_same_name,
    suspended_in_mid_run,
    rejudged_in_mid_run,
    rejudged_after_the_end,
    namespace_deleted_under_load,
}

fn one_job_each() -> Setup {
    Setup::default().operator_flag("batch-tests", "10")
}

/// Whether a watch saw the end of this judging of this Submission.
fn saw_the_end(history: &History, uid: &str, judging: i64) -> bool {
    let ends = |seen: &e2e::history::Seen| {
        seen.uid == uid && is_finished(&seen.status) && seen.status["judging"] == judging
    };
    history.seen().iter().any(ends)
}

async fn deleted_in_mid_run(others: Others) {
    let mut scenario = Scenario::start(one_job_each()).await.unwrap();
    let pieces = [Work::new("gone", Verdict::Accepted, 8), Work::new("stays", Verdict::WrongAnswer, 1)];
    scenario.submit_all(&pieces).await.unwrap();
    pieces[0].mark.begun().await.unwrap();
    scenario.delete(&pieces[0]).await.unwrap();
    if others == Others::LeftRunning {
        // Told at a heartbeat, not by the end of its time.
        scenario.until_outcomes(0, &["cancelled"], 1.0).await.unwrap();
        assert_eq!(pieces[0].mark.processes(), Vec::<u32>::new(), "its boxes are still there");
    }
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

/// Its runner hears nothing and reports what nobody wants any more.
async fn deleted_behind_a_runners_back(others: Others) {
    let setup = one_job_each().runner_flag("redis-timeout-seconds", "60").runner_flag("lease-seconds", "60");
    let mut scenario = Scenario::start(setup).await.unwrap();
    let work = Work::new("gone", Verdict::Accepted, 1);
    let uid = scenario.submit(&work).await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.world.runners[0].redis.set(Mode::Hang);
    scenario.delete(&work).await.unwrap();
    let leaving = |jobs: &[queue::broker::JobRecord]| {
        jobs.iter().all(|job| job.state == queue::broker::JobState::Cancelling)
    };
    scenario.until_jobs(&uid, "being cancelled", leaving).await.unwrap();
    work.mark.ended().await.unwrap();
    scenario.world.runners[0].redis.set(Mode::Pass);
    scenario.until_outcomes(0, &["stale", "cancelled"], 1.0).await.unwrap();
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

/// The old program's report comes while the new one runs, and must not count for it.
async fn recreated_under_the_same_name(others: Others) {
    let setup = Setup { runners: 2, ..one_job_each() };
    let mut scenario = Scenario::start(setup.runner_flag("redis-timeout-seconds", "60")).await.unwrap();
    let old = Work::new("a", Verdict::Accepted, 1);
    let new = Work::new("a", Verdict::RuntimeError, 2);
    scenario.submit(&old).await.unwrap();
    let process = old.mark.begun().await.unwrap();
    let runner = scenario.runner_of(process).unwrap();
    scenario.world.runners[runner].redis.set(Mode::Hang);
    scenario.delete(&old).await.unwrap();
    scenario.submit(&new).await.unwrap();
    new.mark.begun().await.unwrap();
    scenario.world.runners[runner].redis.set(Mode::Pass);
    scenario.until_outcomes(runner, &["stale", "cancelled", "lost"], 1.0).await.unwrap();
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
}

async fn suspended_in_mid_run(others: Others) {
    let mut scenario = Scenario::start(one_job_each()).await.unwrap();
    let work = Work::new("a", Verdict::WrongAnswer, 4);
    let uid = scenario.submit(&work).await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.change(&work, &json!({ "suspend": true })).await.unwrap();
    if others == Others::LeftRunning {
        scenario.until_outcomes(0, &["cancelled"], 1.0).await.unwrap();
    }
    scenario.then(others).await.unwrap();
    let suspended = |s: &crds::Submission| condition(s, "Admitted") == Some(("False", "Suspended"));
    scenario.world.until("default", "a", "suspended", suspended).await.unwrap();
    scenario.world.until_queue_is_empty().await.unwrap();
    work.mark.ended().await.unwrap();
    assert!(!saw_the_end(&scenario.history, &uid, 1));
    scenario.change(&work, &json!({ "suspend": false })).await.unwrap();
    assert_eq!(scenario.end_of(&work).await.unwrap().deliveries, Some(1));
    scenario.settle().await.unwrap();
}

/// The first judging comes to no end.
async fn rejudged_in_mid_run(others: Others) {
    let mut scenario = Scenario::start(one_job_each()).await.unwrap();
    let work = Work::new("a", Verdict::RuntimeError, 2);
    let uid = scenario.submit(&work).await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.rejudge(&work, 1).await.unwrap();
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
    assert!(saw_the_end(&scenario.history, &uid, 2) && !saw_the_end(&scenario.history, &uid, 1));
}

async fn rejudged_after_the_end(others: Others) {
    let mut scenario = Scenario::start(one_job_each()).await.unwrap();
    let pieces = Work::mixed("a", 3, 1);
    let mut uids = Vec::new();
    for work in &pieces {
        uids.push(scenario.submit(work).await.unwrap());
    }
    for work in &pieces {
        scenario.end_of(work).await.unwrap();
    }
    let seen = "seen by a watch: the first ends";
    until(seen, async || {
        anyhow::ensure!(uids.iter().all(|uid| saw_the_end(&scenario.history, uid, 1)));
        Ok(())
    })
    .await
    .unwrap();
    for work in &pieces {
        scenario.rejudge(work, 1).await.unwrap();
    }
    scenario.then(others).await.unwrap();
    scenario.settle().await.unwrap();
    assert!(uids.iter().all(|uid| saw_the_end(&scenario.history, uid, 2)));
}

async fn namespace_deleted_under_load(others: Others) {
    let setup = Setup { controllers: true, runners: 2, ..Setup::default() };
    let mut scenario = Scenario::start(setup).await.unwrap();
    scenario.world.create_namespace("contest").await.unwrap();
    let doomed: Vec<_> =
        Work::mixed("a", 16, 1).into_iter().map(|work| work.in_namespace("contest")).collect();
    let stays = Work::mixed("b", 4, 1);
    for (i, work) in doomed.iter().enumerate() {
        scenario.submit(work).await.unwrap();
        if let Some(work) = stays.get(i) {
            scenario.submit(work).await.unwrap();
        }
    }
    scenario.until_queue("under way", |gauges| gauges.leased > 2).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(scenario.world.client());
    namespaces.delete("contest", &DeleteParams::default()).await.unwrap();
    scenario.forget_namespace("contest");
    scenario.then(others).await.unwrap();
    until("gone: the namespace", async || {
        anyhow::ensure!(namespaces.get_opt("contest").await?.is_none(), "it is still there");
        Ok(())
    })
    .await
    .unwrap();
    scenario.settle().await.unwrap();
}
