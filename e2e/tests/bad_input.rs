//! What is missing, wrong or garbage: it is said, others go on, and all goes on when it is mended.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::{Language, Submission, SubmissionStatus, Verdict};
use e2e::{
    Program, RedisSettings, Setup, User, World,
    backlog::{key, until},
    fixtures::{self, SHELL},
    history,
    world::{NAMESPACE, condition},
};
use k8s_openapi::{
    api::core::v1::ConfigMap,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

const RIGHT: &str = "read n; echo $((n * 2))";
/// More than travels in a job, so that it travels as a blob.
const LONG: usize = 6000;

fn object(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let submission = fixtures::submission(name, SHELL, RIGHT, &[("1\n", "2\n"), ("2\n", "4\n")]).unwrap();
    let mut object = serde_json::to_value(submission).unwrap();
    change(&mut object["spec"]);
    object
}

fn from_map(name: &str, map: &str) -> Value {
    object(name, |spec| spec["source"] = json!({ "configMapRef": { "name": map, "key": "main.sh" } }))
}

fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: text } })
}

fn language(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut language = serde_json::to_value(fixtures::shell().unwrap()).unwrap();
    language["metadata"]["name"] = json!(name);
    change(&mut language["spec"]);
    language
}

async fn waits(world: &World, name: &str, reason: &str, words: &str) {
    let lacking = |s: &Submission| condition(s, "Admitted") == Some(("False", reason));
    let submission = world.until(NAMESPACE, name, reason, lacking).await.unwrap();
    let status = submission.status.unwrap();
    assert!(status.message.as_ref().is_some_and(|message| message.contains(words)), "{name}: {status:#?}");
    assert!(status.conditions.iter().any(|c| c.type_ == "Finished" && c.status == "False"), "{name}");
}

async fn accepted(world: &World, name: &str) {
    let submission = world.finished(name).await.unwrap();
    let status = submission.status.clone().unwrap();
    assert_eq!(status.verdict, Some(Verdict::Accepted), "{name}: {status:#?}");
    assert_eq!(condition(&submission, "Admitted"), Some(("True", "Valid")), "{name}");
}

/// The object may be one that our types do not take.
async fn invalid(world: &World, name: &str, words: &[&str]) {
    let kind = ApiResource::erase::<Submission>(&());
    let all: Api<DynamicObject> = Api::namespaced_with(world.client(), NAMESPACE, &kind);
    let what = format!("finished: {name}");
    let status = until(&what, async || {
        let status = all.get(name).await?.data["status"].clone();
        ensure!(history::is_finished(&status), "{status:#}");
        Ok(status)
    });
    let status: SubmissionStatus = serde_json::from_value(status.await.unwrap()).unwrap();
    for (kind, value) in [("Finished", "True"), ("Succeeded", "False"), ("Admitted", "False")] {
        let says = |c: &Condition| c.type_ == kind && c.status == value && c.reason == "Invalid";
        assert!(status.conditions.iter().any(says), "{name}: {kind} in {status:#?}");
    }
    assert_eq!(status.verdict, None, "{name}");
    let message = status.message.unwrap();
    assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_then_found() {
    let world = World::start(Setup::default()).await.unwrap();
    world.create(&config_map("keyless", "other.sh", RIGHT)).await.unwrap();
    world
        .create(&language("broken", |spec| spec["limits"]["maximum"] = json!({ "timeMilliseconds": 1 })))
        .await
        .unwrap();
    world.create(&from_map("mapless", "absent")).await.unwrap();
    world.create(&from_map("keyless", "keyless")).await.unwrap();
    world.create(&object("unknown", |spec| spec["language"] = json!("unheard-of"))).await.unwrap();
    world.create(&object("broken", |spec| spec["language"] = json!("broken"))).await.unwrap();
    world.create(&object("fine", |_| {})).await.unwrap();
    waits(&world, "mapless", "ConfigMapNotFound", "ConfigMap absent not found").await;
    waits(&world, "keyless", "KeyNotFound", "ConfigMap keyless has no key main.sh").await;
    waits(&world, "unknown", "LanguageNotFound", "Language unheard-of not found").await;
    waits(&world, "broken", "LanguageInvalid", "Language broken is invalid: spec.limits").await;
    accepted(&world, "fine").await;
    let languages: Api<Language> = Api::all(world.client());
    until("told: that a Language is invalid", async || {
        let status = languages.get("broken").await?.status.context("no status")?;
        ensure!(status.conditions.iter().any(|c| c.reason == "Invalid" && c.status == "False"), "{status:?}");
        Ok(())
    })
    .await
    .unwrap();
    // Several more looks change nothing: a state that stands is written once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = world.control_plane.audit().await.unwrap().by(User::Operator).writes();
    for name in ["mapless", "keyless", "unknown", "broken"] {
        assert_eq!(writes.clone().of("submissions/status").about(NAMESPACE, name).len(), 1, "{name}");
    }

    world.create(&config_map("absent", "main.sh", RIGHT)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
    let key = Patch::Merge(json!({ "data": { "main.sh": RIGHT } }));
    maps.patch("keyless", &PatchParams::default(), &key).await.unwrap();
    world.create(&language("unheard-of", |_| {})).await.unwrap();
    let mended = Patch::Merge(json!({ "spec": { "limits": { "maximum": null } } }));
    languages.patch("broken", &PatchParams::default(), &mended).await.unwrap();
    for name in ["mapless", "keyless", "unknown", "broken"] {
        accepted(&world, name).await;
    }
}

#[tokio::test]
async fn a_problem_is_waited_for_and_a_language_without_its_program_blames_nobody() {
    let world = World::start(Setup::default()).await.unwrap();
    let problem = |spec: &mut Value| {
        spec.as_object_mut().unwrap().remove("tests");
        spec["problemRef"] = json!({ "name": "sum" });
    };
    world.create(&object("problem", problem)).await.unwrap();
    waits(&world, "problem", "ProblemNotFound", "Problem sum not found").await;
    let absent =
        language("programless", |spec| spec["run"]["command"] = json!(["/usr/bin/no-such-shell", "main.sh"]));
    world.create(&absent).await.unwrap();
    let languages: Api<Language> = Api::all(world.client());
    until("told: that no runner has the program", async || {
        let status = languages.get("programless").await?.status.context("no status")?;
        let broken = status.conditions.iter().find(|c| c.reason == "Broken").context("not broken")?;
        ensure!(broken.message.contains("/usr/bin/no-such-shell"), "{broken:?}");
        Ok(())
    })
    .await
    .unwrap();
    world.create(&object("programless", |spec| spec["language"] = json!("programless"))).await.unwrap();
    world.create(&object("fine", |_| {})).await.unwrap();
    accepted(&world, "fine").await;
    let verdict = world.verdict_of("programless").await.unwrap();
    assert_eq!(verdict, Some(Verdict::InternalError));
}

#[tokio::test]
async fn what_the_server_lets_pass_and_the_rules_forbid_is_invalid() {
    let world = World::start(Setup::default()).await.unwrap();
    world.create(&config_map("large", "main.sh", &"#".repeat((64 << 10) + 1))).await.unwrap();
    world.create(&config_map("empty", "main.sh", "")).await.unwrap();
    let cases: [(&str, Value, &[&str]); 7] = [
        (
            "both",
            object("both", |spec| spec["problemRef"] = json!({ "name": "p" })),
            &["spec.problemRef", "spec.tests"],
        ),
        (
            "neither",
            object("neither", |spec| drop(spec.as_object_mut().unwrap().remove("tests"))),
            &["spec.problemRef", "spec.tests"],
        ),
        (
            "two-sources",
            object("two-sources", |spec| spec["source"]["configMapRef"] = json!({ "name": "m", "key": "k" })),
            &["spec.source", "inline", "configMapRef"],
        ),
        (
            "long",
            object("long", |spec| spec["source"]["inline"] = json!("#".repeat((64 << 10) + 1))),
            &["spec.source.inline", "65536"],
        ),
        (
            "large",
            from_map("large", "large"),
            &["spec.source.configMapRef.key", "65537 bytes, at most 65536"],
        ),
        ("empty", from_map("empty", "empty"), &["spec.source.configMapRef.key", "is empty"]),
        (
            "greedy",
            object("greedy", |spec| {
                spec["language"] = json!("bounded");
                spec["limits"] = json!({ "timeMilliseconds": 9000 });
            }),
            &["spec.limits.timeMilliseconds"],
        ),
    ];
    world
        .create(&language("bounded", |spec| spec["limits"]["maximum"] = json!({ "timeMilliseconds": 6000 })))
        .await
        .unwrap();
    for (_, object, _) in &cases {
        world.create(object).await.unwrap();
    }
    for (name, _, words) in &cases {
        invalid(&world, name, words).await;
    }
    world.create(&object("fine", |_| {})).await.unwrap();
    accepted(&world, "fine").await;
    world.until_queue_is_empty().await.unwrap();
}

const CRD: &str = "submissions.kubejudge.dev";

/// Has the server take any Submission.
async fn set_schema(world: &World, schema: Value) {
    let crds: Api<CustomResourceDefinition> = Api::all(world.client());
    let patch =
        json!([{ "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema }]);
    let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
    crds.patch(CRD, &PatchParams::default(), &patch).await.unwrap();
}

fn garbage(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_stored_object_that_does_not_parse_stops_no_other() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(world.client());
    let crd = serde_json::to_value(crds.get(CRD).await.unwrap()).unwrap();
    let strict = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    world.create(&object("before", |_| {})).await.unwrap();
    accepted(&world, "before").await;
    set_schema(&world, json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })).await;
    let specs = [
        json!({ "language": 5, "rejudge": "x", "source": [], "tests": {} }),
        json!("text"),
        json!({}),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a", "answer": "2\n", "secret": 1 }] }),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a", "answer": "2\n" }], "priority": "Highest" }),
        json!({ "language": SHELL, "source": { "inline": RIGHT }, "tests": [{ "name": "a", "answer": "2\n" }], "rejudge": -1 }),
    ];
    for (number, spec) in specs.iter().enumerate() {
        // The server takes its new schema up a moment after it was told.
        let bad = garbage(&format!("told-{number}"), spec);
        until("taken: garbage", async || world.create(&bad).await).await.unwrap();
    }
    for number in 0..specs.len() {
        invalid(&world, &format!("told-{number}"), &[]).await;
    }
    // The same, when the server won't take a verdict for such an object either.
    world.operators[0].program.kill().unwrap();
    for (number, spec) in specs.iter().enumerate() {
        world.create(&garbage(&format!("untold-{number}"), spec)).await.unwrap();
    }
    set_schema(&world, strict).await;
    until("refused: garbage", async || {
        let refused = world.create(&garbage("refused", &specs[0])).await;
        ensure!(refused.is_err(), "it was taken");
        Ok(())
    })
    .await
    .unwrap();
    world.operators[0].program.start_again().await.unwrap();
    world.create(&object("after", |_| {})).await.unwrap();
    accepted(&world, "after").await;
    // A refused write is not tried for ever.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let writes = world.control_plane.audit().await.unwrap().by(User::Operator).writes();
    for number in 0..specs.len() {
        let name = format!("untold-{number}");
        let tries = writes.clone().about(NAMESPACE, &name);
        assert!((1..=3).contains(&tries.len()), "{name}: {} writes", tries.len());
    }
    world.until_queue_is_empty().await.unwrap();
    assert!(world.operators[0].program.process().exited().unwrap().is_none());
}

/// Says no program ended or was replaced since.
fn ids(world: &mut World) -> Vec<u32> {
    let operators = world.operators.iter_mut().map(|operator| &mut operator.program);
    let programs = operators.chain(world.runners.iter_mut().map(|runner| &mut runner.program));
    let process = |program: &mut Program| {
        assert!(program.process().exited().unwrap().is_none(), "{} ended", program.process().name());
        program.process().id()
    };
    programs.map(process).collect()
}

async fn job_keys(world: &World) -> Vec<String> {
    world.redis.command::<Vec<String>>(&["KEYS", &key("job:*")]).await.unwrap()
}

async fn set(world: &World, key: &str, field: &str, value: &str) {
    let new: u64 = world.redis.command(&["HSET", key, field, value]).await.unwrap();
    assert_eq!(new, 0, "{field} is no field of {key}");
}

async fn dead(world: &World) -> u64 {
    world.broker().await.unwrap().gauges().await.unwrap().dead
}

#[tokio::test]
async fn a_job_that_turned_to_garbage_is_buried_and_planned_anew() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    let fields =
        [("body", "garbage"), ("body", "{\"version\":99}"), ("body", ""), ("span", "x"), ("deliveries", "x")];
    for (number, (field, value)) in fields.into_iter().enumerate() {
        world.runners[0].program.pause().unwrap();
        let name = format!("a{number}");
        world.create(&object(&name, |_| {})).await.unwrap();
        let jobs = until("there: the job", async || {
            let jobs = job_keys(&world).await;
            ensure!(jobs.len() == 1, "{jobs:?}");
            Ok(jobs)
        });
        let jobs = jobs.await.unwrap();
        set(&world, &jobs[0], field, value).await;
        world.runners[0].program.resume().unwrap();
        accepted(&world, &name).await;
    }
    world.until_queue_is_empty().await.unwrap();
    assert!(dead(&world).await >= 3, "what could not be read is kept for people");
    assert_eq!(ids(&mut world), before);
}

#[tokio::test]
async fn a_report_that_turned_to_garbage_is_buried_and_the_job_judged_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    for (number, value) in ["garbage", "{\"version\":99}", ""].into_iter().enumerate() {
        let name = format!("a{number}");
        let slow = |spec: &mut Value| spec["source"]["inline"] = json!(format!("sleep 1; {RIGHT}"));
        world.create(&object(&name, slow)).await.unwrap();
        let broker = world.broker().await.unwrap();
        let in_flight = async |what: &str, holds: fn(&queue::broker::Gauges) -> bool| {
            until(what, async || {
                let gauges = broker.gauges().await?;
                ensure!(holds(&gauges), "{gauges:?}");
                Ok(())
            })
            .await
            .unwrap();
        };
        in_flight("leased", |gauges| gauges.leased == 1).await;
        world.operators[0].program.pause().unwrap();
        in_flight("reported", |gauges| gauges.reported == 1).await;
        let jobs = job_keys(&world).await;
        set(&world, &jobs[0], "report", value).await;
        world.operators[0].program.resume().unwrap();
        accepted(&world, &name).await;
    }
    world.until_queue_is_empty().await.unwrap();
    assert_eq!(dead(&world).await, 3);
    assert_eq!(ids(&mut world), before);
}

#[tokio::test]
async fn a_blob_that_turned_to_garbage_is_uploaded_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    for (number, value) in [Some("garbage"), Some(""), None].into_iter().enumerate() {
        world.runners[0].program.pause().unwrap();
        let name = format!("a{number}");
        let long = |spec: &mut Value| {
            spec["source"]["inline"] = json!(format!("# {name}{}\n{RIGHT}", "x".repeat(LONG)))
        };
        world.create(&object(&name, long)).await.unwrap();
        until("there: the job", async || {
            ensure!(job_keys(&world).await.len() == 1, "no job");
            Ok(())
        })
        .await
        .unwrap();
        let blobs: Vec<String> = world.redis.command(&["KEYS", &key("blob:*")]).await.unwrap();
        assert!(!blobs.is_empty());
        for blob in &blobs {
            match value {
                Some(value) => world.redis.command::<()>(&["SET", blob, value]).await.unwrap(),
                None => world.redis.command::<()>(&["DEL", blob]).await.unwrap(),
            }
        }
        world.runners[0].program.resume().unwrap();
        accepted(&world, &name).await;
        let status = world.finished(&name).await.unwrap().status.unwrap();
        assert_eq!(status.deliveries, Some(1), "a missing blob costs no delivery");
    }
    world.until_queue_is_empty().await.unwrap();
    let metrics = world.runners[0].program.metrics().await.unwrap();
    let missing = metrics.sum("kubejudge_runner_jobs_total", &[("outcome", "missing_blobs")]);
    assert_eq!(missing, Some(3.0));
    assert_eq!((dead(&world).await, ids(&mut world)), (0, before));
}

#[tokio::test]
async fn an_artifact_that_turned_to_garbage_is_compiled_again() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let copied = language("copied", |spec| {
        spec["compile"] = json!({
            "command": ["/bin/cp", "main.sh", "copy.sh"], "artifacts": ["copy.sh"],
            "limits": { "timeMilliseconds": 5000, "memoryBytes": 64 << 20, "outputBytes": 4096, "processes": 8, "diskBytes": 1 << 20 },
        });
        spec["run"]["command"] = json!(["/bin/sh", "copy.sh"]);
    });
    world.create(&copied).await.unwrap();
    let with = |name: &str| object(name, |spec| spec["language"] = json!("copied"));
    world.create(&with("first")).await.unwrap();
    accepted(&world, "first").await;
    let artifacts = until("shared: the artifact", async || {
        let keys: Vec<String> = world.redis.command(&["KEYS", &key("artifact:*")]).await?;
        ensure!(!keys.is_empty(), "no artifact");
        Ok(keys)
    });
    for artifact in artifacts.await.unwrap() {
        world.redis.command::<()>(&["SET", &artifact, "garbage"]).await.unwrap();
    }
    // Another runner, whose disk has no copy.
    world.runners[0].program.stop().await.unwrap();
    world.add_runner().await.unwrap();
    world.runners[1].program.until_ready().await.unwrap();
    world.create(&with("second")).await.unwrap();
    accepted(&world, "second").await;
    let metrics = world.runners[1].program.metrics().await.unwrap();
    assert_eq!(metrics.sum("kubejudge_runner_artifacts_total", &[("layer", "compiled")]), Some(1.0));
}

#[tokio::test]
async fn garbage_between_the_keys_hurts_nobody() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let before = ids(&mut world);
    let commands = [
        ["HSET", "job:garbage", "body", "garbage"],
        ["HSET", "subjects", "nobody", "no-slash"],
        ["HSET", "subjects", "somebody", "default/nothing"],
        ["SADD", "jobs:somebody", "no-such-job", "somebody/1/x/0"],
        ["ZADD", "leases", "1", "no-such-lease"],
        ["ZADD", "delayed", "1", "no-such-delay"],
        ["ZADD", "ready:normal:default", "0", "no-such-job"],
        ["ZADD", "turn:normal", "0", "no-such-namespace"],
        ["RPUSH", "news", "nobody", "\u{1}\u{2}"],
        ["RPUSH", "wake", "x", "y"],
        ["HSET", "languages", "garbage", "garbage"],
        ["HSET", "runners", "garbage", "garbage"],
        ["ZADD", "alive", "99999999999999999", "garbage"],
    ];
    for [command, name, rest @ ..] in commands {
        let key = key(name);
        let words = [&[command, &key][..], &rest[..]].concat();
        world.redis.command::<redis::Value>(&words).await.unwrap();
    }
    for number in 0..5 {
        world.create(&object(&format!("a{number}"), |_| {})).await.unwrap();
    }
    for number in 0..5 {
        accepted(&world, &format!("a{number}")).await;
    }
    // Several audits later all stand, are ready and still judge.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.until_ready().await.unwrap();
    world.create(&object("late", |_| {})).await.unwrap();
    accepted(&world, "late").await;
    assert_eq!(ids(&mut world), before);
}

/// Waits until both programs say that they are not ready, with `words`.
async fn both_say(world: &World, words: &str) {
    let programs = [&world.operators[0].program, &world.runners[0].program];
    for program in programs {
        until("unready for the right reason", async || {
            let Err(reasons) = program.ready().await? else { anyhow::bail!("it is ready") };
            ensure!(reasons.contains(words), "{reasons}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

/// A world whose programs find a Redis that is not as it should be.
async fn unfit(redis: RedisSettings) -> World {
    World::start(Setup { operators: 0, runners: 0, redis, ..Setup::default() }).await.unwrap()
}

async fn start_both(world: &mut World) {
    world.add_operator().await.unwrap();
    world.add_runner().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_would_throw_jobs_away_is_not_used() {
    let mut world =
        unfit(RedisSettings { maxmemory_policy: "allkeys-lru".into(), ..RedisSettings::default() }).await;
    start_both(&mut world).await;
    both_say(&world, "maxmemory-policy allkeys-lru").await;
    world.redis.configure("maxmemory-policy", "noeviction").await.unwrap();
    world.until_ready().await.unwrap();
    let before = ids(&mut world);
    world.create(&object("a", |_| {})).await.unwrap();
    accepted(&world, "a").await;
    world.redis.configure("maxmemory-policy", "volatile-ttl").await.unwrap();
    both_say(&world, "maxmemory-policy volatile-ttl").await;
    world.redis.configure("maxmemory-policy", "noeviction").await.unwrap();
    world.until_ready().await.unwrap();
    world.create(&object("b", |_| {})).await.unwrap();
    accepted(&world, "b").await;
    assert_eq!(ids(&mut world), before);
}

#[tokio::test]
async fn a_redis_that_does_not_know_the_password_is_said() {
    let settings = RedisSettings { password: Some("right".into()), ..RedisSettings::default() };
    let mut world = unfit(settings).await;
    // Who is in stays in, also when the password changes.
    let mut inside = world.redis.connect().await.unwrap();
    let mut change = async |password: &str| {
        let set = redis::cmd("CONFIG").arg(&["SET", "requirepass", password]).clone();
        set.exec_async(&mut inside).await.unwrap();
        let cut = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).clone();
        cut.exec_async(&mut inside).await.unwrap();
    };
    change("another").await;
    start_both(&mut world).await;
    both_say(&world, "Password authentication failed").await;
    change("right").await;
    world.until_ready().await.unwrap();
    let before = ids(&mut world);
    world.create(&object("a", |_| {})).await.unwrap();
    accepted(&world, "a").await;
    change("another").await;
    both_say(&world, "Password authentication failed").await;
    world.create(&object("b", |_| {})).await.unwrap();
    change("right").await;
    world.until_ready().await.unwrap();
    accepted(&world, "b").await;
    assert_eq!(ids(&mut world), before);
}
