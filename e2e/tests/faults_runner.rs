//! Runners that are killed, cut off or stopped with jobs in their hands: others judge those, and each verdict comes once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use anyhow::Context as _;
use crds::Verdict;
use e2e::{
    Mode, Setup,
    scenario::{Mark, Others, Scenario, Work},
    twice,
};
use serde_json::json;

twice! {
    killed_in_compile,
    killed_in_run,
    killed_while_reporting,
    all_killed_with_full_hands,
    a_late_report_changes_nothing,
    a_stopped_runner_wakes_up_too_late,
    told_to_stop_in_run,
}

/// Two runners with two slots each hold one job more than that.
const FULL_HANDS: u64 = 6;

fn two_runners() -> Setup {
    // One job each, so that it is known what a runner holds.
    Setup { runners: 2, ..Setup::default() }
        .operator_flag("batch-tests", "10")
        .runner_flag("lease-seconds", "3")
}

/// A Language whose compiler sleeps.
fn slow_to_compile(mark: &Mark) -> serde_json::Value {
    let script = format!("{} && cp main.sh compiled.sh", mark.command());
    let path = json!([{ "name": "PATH", "value": "/usr/bin:/bin" }]);
    let memory = 64 << 20;
    json!({
        "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Language", "metadata": { "name": "slow" },
        "spec": {
            "displayName": "Slow to compile", "sourceFile": "main.sh",
            "compile": {
                "command": ["/bin/sh", "-c", script], "env": path, "artifacts": ["compiled.sh"],
                "limits": { "timeMilliseconds": 10_000, "memoryBytes": memory, "outputBytes": 4096, "processes": 8,
                            "diskBytes": 1 << 20 },
            },
            "run": { "command": ["/bin/sh", "compiled.sh"], "env": path },
            "limits": { "default": { "timeMilliseconds": 5000, "memoryBytes": memory, "outputBytes": 4096, "processes": 8 } },
        },
    })
}

async fn killed_in_compile(others: Others) {
    let mut scenario = Scenario::start(two_runners()).await.unwrap();
    let compiler = Mark::new(2);
    scenario.world.create(&slow_to_compile(&compiler)).await.unwrap();
    let work = Work { language: "slow".to_owned(), ..Work::new("a", Verdict::WrongAnswer, 0) };
    scenario.submit(&work).await.unwrap();
    let process = compiler.begun().await.unwrap();
    let runner = scenario.runner_of(process).unwrap();
    scenario.world.runners[runner].program.kill().unwrap();
    scenario.then(others).await.unwrap();
    assert_eq!(scenario.end_of(&work).await.unwrap().deliveries, Some(2));
    scenario.settle().await.unwrap();
}

async fn killed_in_run(others: Others) {
    let mut scenario = Scenario::start(two_runners()).await.unwrap();
    let work = Work::new("a", Verdict::RuntimeError, 5);
    let work = Work { inputs: vec!["c\n"], passed: 0, ..work };
    scenario.submit(&work).await.unwrap();
    let process = work.mark.begun().await.unwrap();
    let runner = scenario.runner_of(process).unwrap();
    scenario.world.runners[runner].program.kill().unwrap();
    // The lease is longer than a box needs to die with its runner.
    let others_begin = async || {
        let begun = work.mark.processes().into_iter().find(|other| *other != process);
        begun.context("no other process sleeps")
    };
    e2e::backlog::until("begun: the second delivery", others_begin).await.unwrap();
    assert!(!work.mark.processes().contains(&process), "the box outlived its runner");
    scenario.then(others).await.unwrap();
    assert_eq!(scenario.end_of(&work).await.unwrap().deliveries, Some(counted_once_more(2, others)));
    scenario.settle().await.unwrap();
}

/// `deliveries` and one more if the second runner is killed as well, with the job in its hands.
fn counted_once_more(deliveries: i32, others: Others) -> i32 {
    deliveries + i32::from(others == Others::Restarted)
}

/// The report is on its way, and comes to Redis after the runner is dead and another one has judged the job.
async fn killed_while_reporting(others: Others) {
    let mut scenario = Scenario::start(two_runners()).await.unwrap();
    let work = Work::new("a", Verdict::WrongAnswer, 1);
    let uid = scenario.submit(&work).await.unwrap();
    let process = work.mark.begun().await.unwrap();
    let runner = scenario.runner_of(process).unwrap();
    scenario.world.runners[runner].redis.set(Mode::Hang);
    e2e::backlog::until("judged: the job", async || {
        let tests = scenario.runner_metric(runner, "executions_total", &[]).await?;
        anyhow::ensure!(tests > 2.0, "{tests} tests ran");
        Ok(())
    })
    .await
    .unwrap();
    scenario.world.runners[runner].program.kill().unwrap();
    let again = |jobs: &[queue::broker::JobRecord]| jobs.iter().any(|job| job.deliveries == 2);
    scenario.until_jobs(&uid, "delivered again", again).await.unwrap();
    scenario.world.runners[runner].redis.set(Mode::Pass);
    scenario.then(others).await.unwrap();
    assert_eq!(scenario.end_of(&work).await.unwrap().deliveries, Some(counted_once_more(2, others)));
    scenario.settle().await.unwrap();
}

/// Every job that is held is delivered again, and no other.
async fn all_killed_with_full_hands(others: Others) {
    let mut scenario = Scenario::start(two_runners()).await.unwrap();
    let pieces = Work::mixed("a", 8, 2);
    scenario.submit_all(&pieces).await.unwrap();
    // Hands that are full take nothing: no job is on its way to them when they die.
    let taken = scenario.until_queue("taken", |gauges| gauges.leased >= FULL_HANDS).await.unwrap();
    for runner in &mut scenario.world.runners {
        runner.program.kill().unwrap();
    }
    let held = scenario.broker.gauges().await.unwrap().leased;
    assert!(held > 0, "{taken:?} and nothing is left");
    match others {
        Others::LeftRunning => {
            for runner in &mut scenario.world.runners {
                runner.program.start_again().await.unwrap();
            }
        }
        Others::Restarted => scenario.then(others).await.unwrap(),
    }
    let mut deliveries = 0;
    for work in &pieces {
        deliveries += scenario.end_of(work).await.unwrap().deliveries.unwrap();
    }
    assert_eq!(u64::try_from(deliveries).unwrap(), 8 + held);
    scenario.settle().await.unwrap();
}

/// A program that finds another end on each of two runners: what the first one hides decides it.
fn told_apart(seconds: u32) -> Work {
    let work = Work::new("a", Verdict::Accepted, seconds);
    let condition = "if [ ! -e /usr/share/doc/bash ]; then echo hidden; exit; fi\n";
    let source = work.source.replace("echo \"$line\"\n", &format!("{condition}echo \"$line\"\n"));
    assert_ne!(source, work.source);
    Work { source, ..work }
}

/// One runner that would say `WrongAnswer`, and the flags for one that says Accepted.
async fn one_that_errs() -> Scenario {
    let setup = Setup { runners: 1, ..two_runners() };
    let setup = setup.runner_flag("hide", "/usr/share/doc").runner_flag("redis-timeout-seconds", "60");
    let mut scenario = Scenario::start(setup).await.unwrap();
    scenario.world.set_runner_flag("hide", "/usr/share/common-licenses");
    scenario
}

/// What the first runner would have made of the job, so that the tests with it prove something.
#[tokio::test]
async fn the_first_of_two_runners_errs() {
    let scenario = one_that_errs().await;
    let work = told_apart(0);
    let submission = e2e::fixtures::submission("a", &work.language, &work.source, &[("c", "c")]).unwrap();
    scenario.world.submit(&submission).await.unwrap();
    assert_eq!(scenario.world.verdict_of("a").await.unwrap(), Some(Verdict::WrongAnswer));
}

/// A runner's lease runs out while its network hangs; another gets the job; then the first one's report arrives.
async fn a_late_report_changes_nothing(others: Others) {
    let mut scenario = one_that_errs().await;
    let work = told_apart(1);
    let uid = scenario.submit(&work).await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.world.runners[0].redis.set(Mode::Hang);
    work.mark.ended().await.unwrap();
    scenario.world.add_runner().await.unwrap().program.until_ready().await.unwrap();
    let again = |jobs: &[queue::broker::JobRecord]| jobs.iter().any(|job| job.deliveries == 2);
    scenario.until_jobs(&uid, "delivered again", again).await.unwrap();
    scenario.world.runners[0].redis.set(Mode::Pass);
    scenario.until_outcomes(0, &["stale"], 1.0).await.unwrap();
    finish_with(&mut scenario, &work, others).await;
}

/// The same for a runner that is stopped as a whole: nothing of it knows how much time has passed.
async fn a_stopped_runner_wakes_up_too_late(others: Others) {
    let mut scenario = one_that_errs().await;
    let work = told_apart(1);
    let uid = scenario.submit(&work).await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.world.runners[0].program.pause().unwrap();
    scenario.world.add_runner().await.unwrap().program.until_ready().await.unwrap();
    let again = |jobs: &[queue::broker::JobRecord]| jobs.iter().any(|job| job.deliveries == 2);
    scenario.until_jobs(&uid, "delivered again", again).await.unwrap();
    scenario.world.runners[0].program.resume().unwrap();
    // Its next heartbeat may be sooner than its report.
    scenario.until_outcomes(0, &["stale", "lost"], 1.0).await.unwrap();
    finish_with(&mut scenario, &work, others).await;
}

/// By the second runner alone, whatever else is started again.
async fn finish_with(scenario: &mut Scenario, work: &Work, others: Others) {
    if others == Others::Restarted {
        scenario.world.kill_programs().unwrap();
        scenario.world.runners.remove(0);
        scenario.world.start_programs_again().await.unwrap();
    }
    let deliveries = scenario.end_of(work).await.unwrap().deliveries.unwrap();
    // A third, if the second runner was killed with the job in its hands.
    assert!(deliveries == 2 || (deliveries == 3 && others == Others::Restarted), "{deliveries} deliveries");
    scenario.settle().await.unwrap();
}

/// A runner that is told to stop gives back what it can't finish, and no delivery is counted for that.
async fn told_to_stop_in_run(others: Others) {
    let setup = two_runners().runner_flag("grace-seconds", "2");
    let mut scenario = Scenario::start(setup).await.unwrap();
    let work = Work::new("a", Verdict::WrongAnswer, 3);
    scenario.submit(&work).await.unwrap();
    let process = work.mark.begun().await.unwrap();
    let runner = scenario.runner_of(process).unwrap();
    scenario.world.runners[runner].program.stop().await.unwrap();
    work.mark.begun().await.unwrap();
    scenario.then(others).await.unwrap();
    assert_eq!(scenario.end_of(&work).await.unwrap().deliveries, Some(counted_once_more(1, others)));
    scenario.settle().await.unwrap();
}
