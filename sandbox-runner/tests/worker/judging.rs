//! What is judged, and how it is reported.

use crds::Verdict;
use queue::Blob;
use queue::broker::JobState;
use queue::contract::{CacheLayer, JobOutcome, Payload};

use crate::jobs::{c, compiled, job, script, shell};
use crate::runner::Runner;
use crate::server::{Server, allowance, enqueue, in_state, reported, rows, until, verdicts};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_judged_and_reported() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    broker.publish_language(&c()).await.unwrap();
    let runner = Runner::ready(&server, "r1", &["--slots", "2"]).await;
    until("the languages are known", async || {
        let status = broker.runners().await.unwrap().pop()?;
        (status.languages == ["c"]).then_some(())
    })
    .await;
    let source = "#include <stdio.h>\nint main(void) { int n; scanf(\"%d\", &n); printf(\"%d\\n\", n * n); return n == 4; }";
    let mut batch = job("u1", c(), source, &[("2", "4"), ("3", "8"), ("4", "16")]);
    batch.span = queue::contract::Span { first: 5, count: 3, total: 9, batches: 3 };
    batch.id.batch = 1;
    batch.tests.iter_mut().for_each(|test| test.index += 5);
    enqueue(&broker, &batch, &[]).await;
    let (job, report) = reported(&broker, "u1").await;
    assert_eq!(job.record.deliveries, 1);
    assert_eq!(report.runner, "r1");
    assert_eq!(verdicts(&report), [Verdict::Accepted, Verdict::WrongAnswer, Verdict::RuntimeError]);
    assert_eq!(rows(&report).iter().map(|row| row.index).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(rows(&report)[1].status.actual.as_deref(), Some("9\n"));
    assert_eq!(report.compile.unwrap().layer, CacheLayer::Compiled);
    until("the job is counted", async || (runner.jobs("reported") == 1).then_some(())).await;
    assert_eq!(runner.metric("executions_total{language=\"c\",verdict=\"WrongAnswer\"}"), 1);
    assert_eq!((runner.metric("compile_seconds_count{language=\"c\"}"), runner.metric("held_jobs")), (1, 0));
    for line in runner.log().lines().filter(|line| line.contains("is done with")) {
        assert!(line.contains("\"uid\":\"u1\"") && line.contains("\"judging\":1"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_compile_is_the_submitters() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let _runner = Runner::start(&server, "r1", &[]).await;
    enqueue(&broker, &job("u1", c(), "no C", &[("", "")]), &[]).await;
    let (_, report) = reported(&broker, "u1").await;
    assert_eq!(report.outcome, JobOutcome::CompilationError("the compiler exited with code 1".into()));
    assert!(report.compile.unwrap().status.output.unwrap().contains("error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_data_are_gone_waits_for_them_at_no_cost() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let runner = Runner::start(&server, "r1", &[]).await;
    let long = "long line\n".repeat(2000);
    let blob = Blob::pack(long.as_bytes());
    let mut wanting = job("u1", shell(), "cat", &[("", ""), ("x", "x")]);
    (wanting.tests[0].input, wanting.tests[0].answer) = (Payload::Blob(blob.name), Payload::Blob(blob.name));
    enqueue(&broker, &wanting, &[]).await;
    let blocked = JobState::Blocked(vec![blob.name.hash]);
    let job = in_state(&broker, "u1", |state| *state == blocked).await;
    assert_eq!(job.record.deliveries, 0);
    broker.supply(&wanting.id, &[blob]).await.unwrap();
    let (job, report) = reported(&broker, "u1").await;
    assert_eq!(verdicts(&report), [Verdict::Accepted, Verdict::Accepted]);
    assert_eq!(job.record.deliveries, 1);
    until("both are counted", async || {
        (runner.jobs("missing_blobs") == 1 && runner.jobs("reported") == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_here_goes_to_another_and_is_lost_in_the_end() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let runner = Runner::start(&server, "r1", &[]).await;
    let compiler = compiled("gone", &["/nonexistent/cc"], &["./main"]);
    broker.enqueue(&job("u1", compiler, "x", &[("", "")]), &[], &allowance(2)).await.unwrap();
    let mut large = script("u2", ":", "");
    large.limits.memory_bytes = 1 << 40;
    broker.enqueue(&large, &[], &allowance(1)).await.unwrap();
    let lost = |words: &'static str| move |state: &JobState| matches!(state, JobState::Lost(reason) if reason.contains(words));
    let job = in_state(&broker, "u1", lost("\"/nonexistent/cc\" in the box: No such file")).await;
    assert_eq!(job.record.deliveries, 2);
    in_state(&broker, "u2", lost("do not fit into the 4000000000 bytes")).await;
    until("all are counted", async || (runner.jobs("retried") == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_judge_is_reported_at_once() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let _runner = Runner::start(&server, "r1", &[]).await;
    let mut bare = shell();
    bare.spec.run.command = vec!["sh".into()];
    let mut none = script("none", ":", "");
    none.tests.clear();
    none.span.count = 0;
    let mut others = script("others", ":", "");
    others.tests[0].index = 7;
    let mut endless = script("endless", ":", "");
    endless.limits.wall_time_milliseconds = i64::MAX;
    let mut negative = script("negative", ":", "");
    negative.limits.memory_bytes = -1;
    let cases = [
        (job("bare", bare, ":", &[("", "")]), "must be an absolute path"),
        (none, "not those of its span"),
        (others, "not those of its span"),
        (endless, "more than the 1800000 ms"),
        (negative, "limits.memory: must be greater than zero"),
    ];
    for (job, words) in cases {
        enqueue(&broker, &job, &[]).await;
        let (job, report) = reported(&broker, &job.id.uid).await;
        assert_eq!(job.record.deliveries, 1);
        let JobOutcome::InternalError(reason) = &report.outcome else { panic!("{words}: {report:?}") };
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_beside_a_large_one_waits_for_neither_its_end_nor_its_report() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    let _runner = Runner::start(&server, "r1", &["--slots", "2"]).await;
    enqueue(&broker, &script("slow", "sleep 300", ""), &[]).await;
    in_state(&broker, "slow", |state| *state == JobState::Leased).await;
    for n in 0..5 {
        let uid = format!("u{n}");
        enqueue(&broker, &script(&uid, "echo y", "y"), &[]).await;
        assert_eq!(verdicts(&reported(&broker, &uid).await.1), [Verdict::Accepted]);
    }
    in_state(&broker, "slow", |state| *state == JobState::Leased).await;
}
