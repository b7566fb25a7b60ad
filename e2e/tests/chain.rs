//! From the create of a Submission to the verdict in its status, through the real API server and a real Redis.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{collections::BTreeSet, time::Duration};

use anyhow::{bail, ensure};
use crds::{Submission, SubmissionStatus, Verdict};
use e2e::{
    Mode, Setup, User, World,
    audit::{AuditedRequest, Requests},
    backlog::{until, until_within},
    fixtures::{self, SHELL},
    world::{NAMESPACE, condition, is_finished},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

const EXPECTED: &str = "kubejudge.dev/expected-verdict";
/// Bounds of what a status shows, in bytes.
const MAX_EXCERPT: usize = 1024;
const MAX_COMPILE_OUTPUT: usize = 8192;
const MAX_STATUS: usize = 256 << 10;
/// Room for the compilers and programs of the examples.
const ROOMY: &str = "3221225472";

/// Long enough that two ends are told apart.
const NAP: &str = "sleep 0.4";

fn spec(name: &str, source: &str, more: &Value) -> Submission {
    let mut submission =
        serde_json::to_value(fixtures::submission(name, SHELL, source, &[("", "")]).unwrap()).unwrap();
    let spec = submission["spec"].as_object_mut().unwrap();
    spec.extend(more.as_object().unwrap().clone());
    serde_json::from_value(submission).unwrap()
}

async fn patch(world: &World, name: &str, change: Value) {
    let change = Patch::Merge(json!({ "spec": change }));
    world.submissions().patch(name, &PatchParams::default(), &change).await.unwrap();
}

async fn operators_writes(world: &World) -> Requests {
    world.control_plane.audit().await.unwrap().by(User::Operator).writes()
}

fn phase(request: &AuditedRequest) -> &str {
    request.body.as_ref().and_then(|body| body["status"]["phase"].as_str()).unwrap_or_default()
}

/// What `kubectl wait --for=condition=Finished` looks at: the condition, unless it speaks of an older generation.
fn kubectl_sees_the_end(submission: &Submission) -> bool {
    let conditions = submission.status.iter().flat_map(|status| &status.conditions);
    let finished = conditions.into_iter().find(|c| c.type_.eq_ignore_ascii_case("finished"));
    finished.is_some_and(|finished| {
        let old = finished.observed_generation.is_some_and(|g| Some(g) < submission.metadata.generation);
        !old && finished.status.eq_ignore_ascii_case("true")
    })
}

/// On a machine that does other things too, a busy program must not look like an idle one.
fn patient(example: &mut Value) {
    let expected = example["metadata"]["annotations"][EXPECTED].as_str();
    if example["kind"] == "Submission" && expected != Some("IdlenessLimitExceeded") {
        example["spec"]["limits"]["wallTimeMilliseconds"] = json!(120_000);
    }
}

#[tokio::test]
async fn every_example_gets_the_verdict_that_it_expects() {
    let world = World::start(Setup::default().runner_flag("memory-bytes", ROOMY)).await.unwrap();
    world.apply_folder("languages").await.unwrap();
    for mut example in fixtures::manifest_folder("examples").unwrap() {
        patient(&mut example);
        world.create(&example).await.unwrap();
    }
    let all = until_within(Duration::from_mins(5), "finished: the examples", async || {
        let all = world.submissions().list(&ListParams::default()).await?.items;
        let left: Vec<_> = all.iter().filter(|s| !is_finished(s)).map(ResourceExt::name_any).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(all)
    })
    .await
    .unwrap();
    assert!(all.len() > 30);
    let mut seen = BTreeSet::new();
    for submission in &all {
        let (name, status) = (submission.name_any(), submission.status.clone().unwrap());
        let verdict = format!("{:?}", status.verdict.unwrap());
        let expected = &submission.annotations()[EXPECTED];
        assert_eq!(&verdict, expected, "{name}: {:?}", status.message);
        assert!(kubectl_sees_the_end(submission), "{name}: {:?}", status.conditions);
        plausible(&name, submission, &status);
        seen.insert(verdict);
    }
    assert!(seen.len() >= 8, "{seen:?}");
    world.until_queue_is_empty().await.unwrap();
}

fn plausible(name: &str, submission: &Submission, status: &SubmissionStatus) {
    let spec = &submission.spec;
    let accepted = status.verdict == Some(Verdict::Accepted);
    let uncompiled = status.verdict == Some(Verdict::CompilationError);
    let (passed, total) = (status.tests_passed.unwrap(), status.tests_total.unwrap());
    assert_eq!(usize::try_from(total).unwrap(), spec.tests.len(), "{name}");
    assert_eq!(passed == total, accepted, "{name}: {passed} of {total}");
    assert_eq!(status.tests_summary.as_deref(), Some(format!("{passed}/{total}").as_str()), "{name}");
    assert_eq!(status.time_summary.is_some(), status.time_milliseconds.is_some(), "{name}");
    assert_eq!(status.memory_summary.is_some(), status.memory_bytes.is_some(), "{name}");
    assert_eq!(status.memory_bytes.is_some_and(|bytes| bytes > 0), !uncompiled, "{name}");
    assert_eq!(
        (status.judging, status.observed_generation),
        (Some(1), submission.metadata.generation),
        "{name}"
    );
    assert!(status.deliveries.unwrap() >= 1 && status.measurement.is_some() || uncompiled, "{name}");
    let conditions = ["Admitted", "Finished", "Succeeded"].map(|kind| condition(submission, kind));
    assert_eq!(
        conditions,
        [Some(("True", "Valid")), Some(("True", "Judged")), Some(("True", "Judged"))],
        "{name}"
    );
    let times =
        [&status.queued_time, &status.start_time, &status.completion_time].map(|time| time.clone().unwrap());
    assert!(times.is_sorted(), "{name}: {times:?}");
    if uncompiled {
        let output = status.compile.as_ref().unwrap().output.as_ref().unwrap();
        assert!(!output.is_empty() && status.tests.is_empty(), "{name}");
    } else {
        let names = |i: usize| (&spec.tests[i].name, &status.tests[i].name);
        assert_eq!(status.tests.len(), spec.tests.len(), "{name}");
        assert!((0..spec.tests.len()).map(names).all(|(asked, told)| asked == told), "{name}");
    }
    bounded(name, status);
}

fn bounded(name: &str, status: &SubmissionStatus) {
    let excerpts = status.tests.iter().flat_map(|test| [&test.message, &test.actual, &test.expected]);
    let longest = excerpts.flatten().map(String::len).max().unwrap_or(0);
    let output = status.compile.as_ref().and_then(|compile| compile.output.as_ref()).map_or(0, String::len);
    assert!(longest <= MAX_EXCERPT && output <= MAX_COMPILE_OUTPUT, "{name}: {longest} {output}");
    let shown = status.tests.iter().filter(|test| test.actual.is_some()).count();
    assert!(shown <= 8, "{name}: {shown} excerpts");
    assert!(serde_json::to_vec(status).unwrap().len() <= MAX_STATUS, "{name}");
}

#[tokio::test]
async fn what_floods_its_output_has_a_bounded_status() {
    let world = World::start(Setup::default()).await.unwrap();
    let text = "ä\u{7}\"\\".repeat(2000);
    // Twelve long ones are what etcd takes.
    let tests: Vec<_> =
        (0..64).map(|n| if n < 12 { text.as_str() } else { "short" }).map(|text| (text, text)).collect();
    let submission =
        fixtures::submission("flood", SHELL, "cat; cat >&2 main.sh; echo; echo no", &tests).unwrap();
    world.submit(&submission).await.unwrap();
    let status = world.finished("flood").await.unwrap().status.unwrap();
    assert_eq!((status.verdict, status.tests_passed), (Some(Verdict::WrongAnswer), Some(0)));
    assert_eq!(status.tests.len(), 64);
    bounded("flood", &status);
}

#[tokio::test]
async fn twenty_tests_compile_once_over_two_runners() {
    let setup = Setup { runners: 2, ..Setup::default() };
    // Two jobs at most in one pair of hands, so that four jobs need both.
    let setup =
        setup.operator_flag("batch-tests", "5").runner_flag("jobs", "2").runner_flag("memory-bytes", ROOMY);
    let world = World::start(setup).await.unwrap();
    world.apply_folder("languages").await.unwrap();
    let example = fixtures::manifest("examples/cpp17-shortest-path.yaml").unwrap();
    assert_eq!(example["spec"]["tests"].as_array().unwrap().len(), 20);
    world.create(&example).await.unwrap();
    let status = world.finished("cpp17-shortest-path").await.unwrap().status.unwrap();
    assert_eq!(status.verdict, Some(Verdict::Accepted), "{:?}", status.message);
    assert_eq!((status.tests_summary.as_deref(), status.deliveries), (Some("20/20"), Some(4)));
    let compiled = [("layer", "compiled")];
    let (mut compilers, mut sources, mut tests) = (0.0, 0.0, 0.0);
    for runner in &world.runners {
        let metrics = runner.program.metrics().await.unwrap();
        let ran = metrics.sum("kubejudge_runner_executions_total", &[]).unwrap_or(0.0);
        assert!(ran > 0.0, "a runner had no test");
        tests += ran;
        compilers += metrics.sum("kubejudge_runner_artifacts_total", &compiled).unwrap_or(0.0);
        sources += metrics.sum("kubejudge_runner_artifacts_total", &[]).unwrap_or(0.0);
    }
    assert_eq!((compilers, sources, tests), (1.0, 4.0, 20.0));
}

#[tokio::test]
async fn a_submission_costs_at_most_two_writes() {
    let world = World::start(Setup::default()).await.unwrap();
    for number in 0..50 {
        world.submit(&fixtures::no_op(&format!("quick-{number}")).unwrap()).await.unwrap();
    }
    for number in 0..50 {
        let name = format!("quick-{number}");
        assert_eq!(world.verdict_of(&name).await.unwrap(), Some(Verdict::Accepted), "{name}");
    }
    for number in 0..4 {
        world.submit(&spec(&format!("slow-{number}"), "sleep 3", &json!({}))).await.unwrap();
    }
    for number in 0..4 {
        world.finished(&format!("slow-{number}")).await.unwrap();
    }
    world.until_queue_is_empty().await.unwrap();
    let writes = operators_writes(&world).await;
    assert!(writes.clone().filter(|request| request.resource == "events").is_empty());
    let elsewhere = |request: &AuditedRequest| {
        !matches!(request.resource.as_str(), "submissions" | "languages") || request.subresource != "status"
    };
    assert!(writes.clone().filter(elsewhere).is_empty(), "{:?}", writes.filter(elsewhere));
    for number in 0..50 {
        let about = writes.clone().about(NAMESPACE, &format!("quick-{number}"));
        let phases: Vec<_> = about.iter().map(phase).collect();
        assert!(about.len() <= 2 && phases.last() == Some(&"Finished"), "{number}: {phases:?}");
        assert_eq!(about.clone().succeeded().len(), phases.len(), "{number}");
    }
    for number in 0..4 {
        let about = writes.clone().about(NAMESPACE, &format!("slow-{number}"));
        let phases: Vec<_> = about.iter().map(phase).collect();
        assert_eq!(phases.len(), 2, "{number}: {phases:?}");
        assert!(phases[0] != "Finished" && phases[1] == "Finished", "{number}: {phases:?}");
        assert_eq!(about.succeeded().len(), 2);
    }
}

#[tokio::test]
async fn what_is_finished_is_deleted_in_time_and_nothing_else() {
    let world = World::start(Setup::default().operator_flag("default-ttl-seconds", "2")).await.unwrap();
    for (name, ttl) in
        [("at-once", json!(0)), ("soon", json!(1)), ("by-default", Value::Null), ("late", json!(3600))]
    {
        let more = if ttl.is_null() { json!({}) } else { json!({ "ttlSecondsAfterFinished": ttl }) };
        world.submit(&spec(name, "true", &more)).await.unwrap();
    }
    let suspended = json!({ "ttlSecondsAfterFinished": 0, "suspend": true });
    world.submit(&spec("suspended", "true", &suspended)).await.unwrap();
    let lacking =
        json!({ "ttlSecondsAfterFinished": 0, "source": { "configMapRef": { "name": "none", "key": "k" } } });
    world.submit(&spec("lacking", "true", &lacking)).await.unwrap();
    let names = async || -> anyhow::Result<Vec<String>> {
        let all = world.submissions().list(&ListParams::default()).await?.items;
        Ok(all.iter().map(ResourceExt::name_any).collect())
    };
    until("deleted: what is over", async || {
        let names = names().await?;
        ensure!(names == ["lacking", "late", "suspended"], "{names:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(world.verdict_of("late").await.unwrap(), Some(Verdict::Accepted));
    // Its end comes with the end of its suspension, and one that waits is kept for as long.
    patch(&world, "suspended", json!({ "suspend": false })).await;
    patch(&world, "late", json!({ "ttlSecondsAfterFinished": 0 })).await;
    until("deleted: the other two", async || {
        let names = names().await?;
        ensure!(names == ["lacking"], "{names:?}");
        Ok(())
    })
    .await
    .unwrap();
    let deletions = operators_writes(&world).await.verbs(&["delete"]);
    for name in ["at-once", "soon", "by-default", "late", "suspended"] {
        assert_eq!(deletions.clone().about(NAMESPACE, name).len(), 1, "{name}");
    }
    assert_eq!(deletions.succeeded().len(), 5);
}

#[tokio::test]
async fn a_deletion_in_time_spares_whoever_has_the_name_now() {
    let world = World::start(Setup::default()).await.unwrap();
    let ttl = Duration::from_secs(4);
    world.submit(&spec("a", "true", &json!({ "ttlSecondsAfterFinished": ttl.as_secs() }))).await.unwrap();
    world.finished("a").await.unwrap();
    // The operator decides on what it saw last, and what it sends arrives later.
    world.operators[0].api.set(Mode::Hang);
    world.submissions().delete("a", &DeleteParams::default()).await.unwrap();
    world.submit(&spec("a", "echo no", &json!({}))).await.unwrap();
    tokio::time::sleep(ttl + Duration::from_secs(1)).await;
    world.operators[0].api.set(Mode::Pass);
    assert_eq!(world.verdict_of("a").await.unwrap(), Some(Verdict::WrongAnswer));
    until("refused: the deletion", async || {
        let deletions = operators_writes(&world).await.verbs(&["delete"]).about(NAMESPACE, "a");
        ensure!(!deletions.is_empty(), "there was none");
        assert_eq!(deletions.len(), deletions.code(409).len());
        Ok(())
    })
    .await
    .unwrap();
    world.submissions().get("a").await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_whatever_takes_too_long() {
    let world = World::start(Setup::default()).await.unwrap();
    let short = |more: Value| {
        let mut all = json!({ "activeDeadlineSeconds": 2 });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let absent = json!({ "configMapRef": { "name": "none", "key": "k" } });
    world.submit(&spec("running", "sleep 9", &short(json!({})))).await.unwrap();
    world.submit(&spec("waiting", "true", &short(json!({ "source": absent })))).await.unwrap();
    world.submit(&spec("suspended", "true", &short(json!({ "suspend": true })))).await.unwrap();
    world.submit(&spec("fine", "true", &json!({ "activeDeadlineSeconds": 600 }))).await.unwrap();
    for name in ["running", "waiting", "suspended"] {
        let submission = world.finished(name).await.unwrap();
        let status = submission.status.clone().unwrap();
        assert_eq!(status.verdict, Some(Verdict::Cancelled), "{name}");
        assert_eq!(condition(&submission, "Finished"), Some(("True", "DeadlineExceeded")), "{name}");
        assert_eq!(condition(&submission, "Succeeded"), Some(("False", "DeadlineExceeded")), "{name}");
        assert!(status.message.unwrap().contains("activeDeadlineSeconds, 2 s"), "{name}");
        assert!(kubectl_sees_the_end(&submission), "{name}");
    }
    assert_eq!(world.verdict_of("fine").await.unwrap(), Some(Verdict::Accepted));
    world.until_queue_is_empty().await.unwrap();
}

#[tokio::test]
async fn the_end_can_be_waited_for_also_after_a_change_under_way() {
    let world = World::start(Setup::default()).await.unwrap();
    let history = world.history();
    world.submit(&spec("a", "sleep 3; echo no", &json!({ "priority": "Contest" }))).await.unwrap();
    let running =
        world.until(NAMESPACE, "a", "running", |s| condition(s, "Finished").is_some()).await.unwrap();
    assert_eq!(condition(&running, "Finished"), Some(("False", "InProgress")));
    assert!(!kubectl_sees_the_end(&running));
    // Both raise the generation while it runs; neither makes it run again.
    patch(&world, "a", json!({ "priority": "Rejudge" })).await;
    patch(&world, "a", json!({ "ttlSecondsAfterFinished": 3600 })).await;
    let first = world.finished("a").await.unwrap();
    assert!(kubectl_sees_the_end(&first), "{first:#?}");
    assert_eq!(first.metadata.generation, Some(3));
    let status = first.status.clone().unwrap();
    assert_eq!((status.verdict, status.deliveries), (Some(Verdict::WrongAnswer), Some(1)));
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(3)), "{:?}", status.conditions);

    patch(&world, "a", json!({ "rejudge": 1 })).await;
    let again = world.until(NAMESPACE, "a", "judged again", kubectl_sees_the_end).await.unwrap();
    let status = again.status.unwrap();
    assert_eq!((status.judging, status.verdict), (Some(2), Some(Verdict::WrongAnswer)));
    let finished: Vec<_> =
        history.of("default/a").iter().map(|seen| e2e::history::is_finished(&seen.status)).collect();
    let turns = finished.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(turns, 3, "unfinished, finished, unfinished, finished: {finished:?}");
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
}

#[tokio::test]
async fn a_priority_that_is_lowered_counts_while_it_waits() {
    let world =
        World::start(Setup::default().runner_flag("slots", "1").runner_flag("jobs", "1")).await.unwrap();
    let broker = world.broker().await.unwrap();
    let waiting = async |expected: [u64; 3]| {
        until("so: the queue", async || {
            let gauges = broker.gauges().await?;
            let waiting: Vec<_> = gauges.waiting.iter().map(|(_, jobs)| *jobs).collect();
            if waiting == expected && gauges.leased == 1 {
                Ok(())
            } else {
                bail!("{gauges:?}, not {expected:?}")
            }
        })
        .await
        .unwrap();
    };
    world
        .submit(&spec("first", "sleep 6", &json!({ "limits": { "wallTimeMilliseconds": 60_000 } })))
        .await
        .unwrap();
    waiting([0, 0, 0]).await;
    let history = world.history();
    for number in 0..2 {
        world
            .submit(&spec(&format!("lowered-{number}"), NAP, &json!({ "priority": "Contest" })))
            .await
            .unwrap();
    }
    waiting([2, 0, 0]).await;
    for number in 0..4 {
        world.submit(&spec(&format!("normal-{number}"), NAP, &json!({}))).await.unwrap();
    }
    waiting([2, 4, 0]).await;
    for number in 0..2 {
        patch(&world, &format!("lowered-{number}"), json!({ "priority": "Rejudge" })).await;
    }
    waiting([0, 4, 2]).await;
    world.until_queue_is_empty().await.unwrap();
    let ends = history.finished();
    let end = async |name: &str| ends[&world.finished(name).await.unwrap().uid().unwrap()];
    // One rejudge is worth eight normal ones: the first may come at once, the second comes last.
    let last = end("lowered-0").await.max(end("lowered-1").await);
    for number in 0..4 {
        assert!(end(&format!("normal-{number}")).await < last, "{number}");
    }
}
