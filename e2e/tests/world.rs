//! The whole world of a test: its programs run, are reached through their proxies alone, and come back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use crds::Verdict;
use e2e::{Mode, Program, RedisSettings, Setup, World, fixtures};

const LATE: Duration = Duration::from_mins(1);

/// Waits until `program` is ready or is not.
async fn until_ready_is(program: &Program, ready: bool) {
    let deadline = Instant::now() + LATE;
    loop {
        let answer = program.ready().await.unwrap();
        if answer.is_ok() == ready {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_submission_is_judged() {
    let setup = Setup::default().operator_flag("writers", "4").runner_flag("slots", "1");
    let world = World::start(setup).await.unwrap();
    let history = world.history();
    world.submit(&fixtures::no_op("a").unwrap()).await.unwrap();
    let wrong = fixtures::submission("b", fixtures::SHELL, "read n; echo $n", &[("1\n", "2\n")]).unwrap();
    world.submit(&wrong).await.unwrap();
    assert_eq!(world.verdict_of("a").await.unwrap(), Some(Verdict::Accepted));
    assert_eq!(world.verdict_of("b").await.unwrap(), Some(Verdict::WrongAnswer));
    let metrics = world.operators[0].program.metrics().await.unwrap();
    assert_eq!(metrics.sum("kubejudge_operator_submissions_finished_total", &[]), Some(2.0));
    while history.finished().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
}

#[tokio::test]
async fn programs_reach_servers_through_their_proxies_alone() {
    let password = Some("secret".to_owned());
    let setup = Setup { redis: RedisSettings { password, ..RedisSettings::default() }, ..Setup::default() };
    let world = World::start(setup).await.unwrap();
    world.set_redis(Mode::Refuse);
    until_ready_is(&world.operators[0].program, false).await;
    until_ready_is(&world.runners[0].program, false).await;
    world.set_all(Mode::Pass);
    until_ready_is(&world.operators[0].program, true).await;
    until_ready_is(&world.runners[0].program, true).await;
    world.set_api(Mode::Refuse);
    world.submit(&fixtures::no_op("a").unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.submissions().get("a").await.unwrap().status, None);
    world.set_api(Mode::Pass);
    assert_eq!(world.verdict_of("a").await.unwrap(), Some(Verdict::Accepted));
}

#[tokio::test]
async fn programs_are_killed_stopped_and_started_again() {
    let mut world = World::start(Setup { runners: 2, ..Setup::default() }).await.unwrap();
    world.kill_programs().unwrap();
    world.operators[0].program.ready().await.unwrap_err();
    world.submit(&fixtures::no_op("a").unwrap()).await.unwrap();
    world.start_programs_again().await.unwrap();
    assert_eq!(world.verdict_of("a").await.unwrap(), Some(Verdict::Accepted));
    for runner in &mut world.runners {
        runner.program.stop().await.unwrap();
    }
    world.operators[0].program.stop().await.unwrap();
}
