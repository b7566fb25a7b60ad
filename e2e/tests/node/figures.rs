//! What pods cost: from a pod's creation to its first verdict, and a Submission's way through pods beside processes.
//! Printed for the reader; nothing here is demanded to be fast.
use std::time::{Duration, Instant};

use crds::{Submission, Verdict};
use e2e::{
    Setup, World, fixtures,
    node::{Node, PYTHON, kubectl},
    world::is_finished,
};
use futures::StreamExt as _;
use kube::{
    Api, ResourceExt as _,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};

/// Submissions of one latency, one after another.
const SUBMISSIONS: usize = 15;

fn hello(name: &str) -> Submission {
    fixtures::submission(name, PYTHON, "print('hello')", &[("", "hello\n")]).unwrap()
}

/// The time from the creation of a Submission to the news of its verdict.
async fn latency(submissions: &Api<Submission>, name: &str) -> Duration {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(submissions.clone(), only).applied_objects().boxed();
    let begin = Instant::now();
    submissions.create(&PostParams::default(), &hello(name)).await.unwrap();
    loop {
        let Ok(submission) = events.next().await.unwrap() else { continue };
        if submission.name_any() == name && is_finished(&submission) {
            assert_eq!(submission.status.unwrap().verdict, Some(Verdict::Accepted));
            return begin.elapsed();
        }
    }
}

/// The median of some, after one that compiles.
async fn median(submissions: &Api<Submission>) -> Duration {
    latency(submissions, "first").await;
    let mut all = Vec::new();
    for number in 0..SUBMISSIONS {
        all.push(latency(submissions, &format!("hello-{number}")).await);
    }
    all.sort();
    all[all.len() / 2]
}

/// The time from a new pod of a pool to the verdict of a Submission that waits for it.
async fn from_zero(node: &Node, pool: &str) -> (Duration, Duration) {
    let labels = format!("kubejudge.dev/worker-pool={pool}");
    let scale = async |replicas: usize| {
        kubectl(&format!("scale workerpool/{pool} --namespace kubejudge --replicas={replicas}"))
            .await
            .unwrap();
    };
    scale(0).await;
    node.until_ready(&labels, 0).await.unwrap();
    // One that is told to stop may still take what comes before the signal.
    node.until_gone(&labels).await.unwrap();
    let waiting = node.submissions().create(&PostParams::default(), &hello("waits")).await.unwrap();
    assert!(!is_finished(&waiting));
    scale(1).await;
    node.until_ready(&labels, 1).await.unwrap();
    let pod = node.pods(&labels).await.unwrap().remove(0);
    let finished =
        kube::runtime::wait::await_condition(node.submissions(), "waits", |object: Option<&Submission>| {
            object.is_some_and(is_finished)
        });
    finished.await.unwrap();
    let submission = node.submissions().get("waits").await.unwrap();
    let created = pod.metadata.creation_timestamp.as_ref().unwrap().0;
    let status = pod.status.unwrap();
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
    let since = |time: jiff::Timestamp| Duration::try_from(time.duration_since(created)).unwrap_or_default();
    let done = submission.status.unwrap().conditions.into_iter().find(|c| c.type_ == "Finished").unwrap();
    (since(ready.last_transition_time.as_ref().unwrap().0), since(done.last_transition_time.0))
}

#[tokio::test]
#[ignore = "needs the node of `make e2e`"]
async fn figures_of_pods() {
    let mut lines = Vec::new();
    for (pool, runtime, chosen) in [("default", "gVisor", None), ("runc", "runc", Some("runc"))] {
        let node = Node::enter(&format!("figures-{pool}"), chosen).await.unwrap();
        let (ready, first) = from_zero(&node, pool).await;
        lines.push(format!(
            "{runtime}: {} s from a pod's creation to ready, {} s to its first verdict",
            ready.as_secs(),
            first.as_secs()
        ));
        let latency = median(&node.submissions()).await;
        lines.push(format!(
            "{runtime}: {:.0} ms from create to verdict, p50 of {SUBMISSIONS}",
            latency.as_secs_f64() * 1000.0
        ));
        node.leave().await.unwrap();
    }
    let world = World::start(Setup::default()).await.unwrap();
    world.create(&serde_json::to_value(fixtures::language(PYTHON).unwrap()).unwrap()).await.unwrap();
    let latency = median(&world.submissions()).await;
    lines.push(format!("processes: {:.0} ms, the same", latency.as_secs_f64() * 1000.0));
    println!("{}", lines.join("\n"));
}
