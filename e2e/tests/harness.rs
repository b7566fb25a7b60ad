//! The harness itself: servers start, fail and come back, and what is read from them is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use e2e::{ControlPlane, History, Mode, Proxy, RedisServer, RedisSettings, User, fixtures, world};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams, WatchParams},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_mins(1);

fn submissions(client: Client) -> Api<crds::Submission> {
    Api::namespaced(client, "default")
}

fn finished(judging: i32) -> Value {
    let time = "2026-11-20T12:00:00Z";
    let condition = json!({ "type": "Finished", "status": "True", "reason": "Judged", "message": "", "lastTransitionTime": time });
    json!({ "status": { "judging": judging, "verdict": "Accepted", "conditions": [condition] } })
}

async fn set_status(client: Client, name: &str, status: &Value) -> kube::Result<crds::Submission> {
    submissions(client).patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await
}

#[tokio::test]
async fn the_control_plane_serves_our_kinds_and_keeps_them() {
    let mut plane = ControlPlane::start().await.unwrap();
    let client = plane.client();
    for language in fixtures::manifest_folder("languages").unwrap() {
        world::create(&client, &language).await.unwrap();
    }
    for object in fixtures::manifest_folder("examples").unwrap() {
        world::create(&client, &object).await.unwrap();
    }
    let malformed = json!({ "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": { "name": "bad" }, "spec": {} });
    let message = world::create(&client, &malformed).await.unwrap_err().to_string();
    assert!(message.contains("spec.language: Required value"), "{message}");

    let all = submissions(client.clone()).list(&ListParams::default()).await.unwrap().items;
    plane.kill().unwrap();
    submissions(client.clone()).list(&ListParams::default()).await.unwrap_err();
    plane.start_again().await.unwrap();
    let still = submissions(client).list(&ListParams::default()).await.unwrap().items;
    assert!(all.len() > 30 && all == still);
}

#[tokio::test]
async fn the_audit_log_has_every_request_once() {
    let mut plane = ControlPlane::start().await.unwrap();
    let operator = plane.client_of(User::Operator).await.unwrap();
    for name in ["a", "b"] {
        let submission = fixtures::no_op(name).unwrap();
        submissions(plane.client()).create(&PostParams::default(), &submission).await.unwrap();
    }
    set_status(operator.clone(), "a", &finished(1)).await.unwrap();
    set_status(operator.clone(), "a", &json!({ "metadata": { "resourceVersion": "1" }, "status": {} }))
        .await
        .unwrap_err();
    let before = plane.audit().await.unwrap();
    plane.kill().unwrap();
    plane.start_again().await.unwrap();
    set_status(operator, "b", &finished(1)).await.unwrap();

    let all = plane.audit().await.unwrap();
    assert!(all.len() > before.len());
    let of = |user| all.clone().by(user).about("default", "a");
    assert_eq!(of(User::Admin).writes().len(), 1);
    assert_eq!(of(User::Admin).verbs(&["create"]).of("submissions").code(201).len(), 1);
    let writes = of(User::Operator).writes();
    assert_eq!(writes.len(), 2);
    assert_eq!(writes.clone().code(409).len(), 1);
    let written = writes.of("submissions/status").succeeded();
    let bodies: Vec<_> = written.iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, [Some(finished(1))]);
    assert_eq!(all.clone().by(User::Operator).about("default", "b").writes().len(), 1);
}

#[tokio::test]
async fn the_operator_may_do_its_work_and_nothing_more() {
    let plane = ControlPlane::start().await.unwrap();
    let (admin, operator) = (plane.client(), plane.client_of(User::Operator).await.unwrap());
    submissions(admin).create(&PostParams::default(), &fixtures::no_op("a").unwrap()).await.unwrap();
    let all: Api<crds::Submission> = Api::all(operator.clone());
    all.list(&ListParams::default()).await.unwrap();
    drop(all.watch(&WatchParams::default(), "0").await.unwrap());
    set_status(operator.clone(), "a", &finished(1)).await.unwrap();
    let languages: Api<crds::Language> = Api::all(operator.clone());
    languages.list(&ListParams::default()).await.unwrap();

    let mine = submissions(operator.clone());
    let suspend = Patch::Merge(json!({ "spec": { "suspend": true } }));
    let secrets: Api<Secret> = Api::default_namespaced(operator.clone());
    let namespaces: Api<Namespace> = Api::all(operator.clone());
    namespaces.list(&ListParams::default()).await.unwrap();
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    let deployments: Api<Deployment> = Api::default_namespaced(operator);
    deployments.list(&ListParams::default()).await.unwrap();
    let forbidden = [
        secrets.list(&ListParams::default()).await.unwrap_err(),
        namespaces.patch("default", &PatchParams::default(), &label).await.unwrap_err(),
        deployments.delete("a", &kube::api::DeleteParams::default()).await.unwrap_err(),
        mine.create(&PostParams::default(), &fixtures::no_op("b").unwrap()).await.unwrap_err(),
        mine.patch("a", &PatchParams::default(), &suspend).await.unwrap_err(),
        languages.create(&PostParams::default(), &fixtures::shell().unwrap()).await.unwrap_err(),
        languages.delete("shell", &kube::api::DeleteParams::default()).await.unwrap_err(),
    ];
    for error in forbidden {
        assert!(matches!(&error, kube::Error::Api(status) if status.code == 403), "{error}");
    }
    mine.delete("a", &kube::api::DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_paused_api_server_answers_when_it_goes_on() {
    let plane = ControlPlane::start().await.unwrap();
    let all = submissions(plane.client());
    plane.pause().unwrap();
    let list = tokio::spawn(async move { all.list(&ListParams::default()).await });
    sleep(SOON).await;
    assert!(!list.is_finished());
    plane.resume().unwrap();
    timeout(LATE, list).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_deleted_namespace_is_emptied() {
    let mut plane = ControlPlane::start().await.unwrap();
    plane.start_controllers().unwrap();
    let client = plane.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": "contest" } })).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let in_contest: Api<crds::Submission> = Api::namespaced(client, "contest");
    in_contest.create(&PostParams::default(), &fixtures::no_op("a").unwrap()).await.unwrap();
    namespaces.delete("contest", &kube::api::DeleteParams::default()).await.unwrap();
    let deadline = Instant::now() + 2 * LATE;
    while namespaces.get_opt("contest").await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the namespace is still there");
        sleep(SOON).await;
    }
    assert_eq!(in_contest.list(&ListParams::default()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_history_shows_what_changed_after_the_end() {
    let mut plane = ControlPlane::start().await.unwrap();
    let client = plane.client();
    let history = History::watch(client.clone());
    submissions(client.clone()).create(&PostParams::default(), &fixtures::no_op("a").unwrap()).await.unwrap();
    until(async || history.of("default/a").len() == 1).await;
    set_status(client.clone(), "a", &finished(1)).await.unwrap();
    until(async || history.finished().len() == 1).await;
    plane.kill().unwrap();
    plane.start_again().await.unwrap();
    set_status(client.clone(), "a", &finished(2)).await.unwrap();
    until(async || history.of("default/a").len() == 3).await;
    assert_eq!(history.changes_after_the_end(), Vec::<String>::new());
    set_status(client, "a", &json!({ "status": { "verdict": "WrongAnswer" } })).await.unwrap();
    until(async || history.of("default/a").len() == 4).await;
    assert_eq!(history.changes_after_the_end().len(), 1);
}

async fn until(holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LATE;
    while !holds().await {
        assert!(Instant::now() < deadline, "it does not come about");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redis_keeps_its_data_if_told_to() {
    let append_only = RedisSettings { append_only: true, ..RedisSettings::default() };
    for (settings, expected) in [(append_only.clone(), Some("1")), (RedisSettings::default(), None)] {
        let mut redis = RedisServer::start(settings).await.unwrap();
        redis.command::<()>(&["SET", "a", "1"]).await.unwrap();
        redis.kill().unwrap();
        redis.connect().await.unwrap_err();
        redis.start_again().await.unwrap();
        let value: Option<String> = redis.command(&["GET", "a"]).await.unwrap();
        assert_eq!(value.as_deref(), expected);
    }
    let mut redis = RedisServer::start(append_only).await.unwrap();
    redis.command::<()>(&["SET", "a", "1"]).await.unwrap();
    redis.kill().unwrap();
    redis.start_again_empty().await.unwrap();
    assert_eq!(redis.command::<u64>(&["DBSIZE"]).await.unwrap(), 0);
    redis.command::<()>(&["SET", "a", "1"]).await.unwrap();
    redis.flush().await.unwrap();
    assert_eq!(redis.command::<u64>(&["DBSIZE"]).await.unwrap(), 0);
}

#[tokio::test]
async fn redis_is_as_it_is_set_up() {
    let password = Some("secret".to_owned());
    let settings =
        RedisSettings { password, maxmemory_policy: "allkeys-lru".into(), ..RedisSettings::default() };
    let redis = RedisServer::start(settings).await.unwrap();
    let policy: (String, String) = redis.command(&["CONFIG", "GET", "maxmemory-policy"]).await.unwrap();
    assert_eq!(policy.1, "allkeys-lru");
    redis.configure("maxmemory-policy", "noeviction").await.unwrap();
    let stranger = redis::Client::open(redis.url()).unwrap();
    let mut stranger = stranger.get_multiplexed_async_connection().await.unwrap();
    let error = redis::cmd("GET").arg("a").query_async::<()>(&mut stranger).await.unwrap_err();
    assert!(error.to_string().contains("NOAUTH"), "{error}");

    redis.pause().unwrap();
    timeout(SOON, redis.command::<u64>(&["DBSIZE"])).await.unwrap_err();
    redis.resume().unwrap();
    timeout(LATE, redis.command::<u64>(&["DBSIZE"])).await.unwrap().unwrap();
}

/// A server that sends back what it gets.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

/// Whether `stream` gives back what it is given, soon.
async fn echoes(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.unwrap();
    hears(stream, text, LATE).await
}

async fn hears(stream: &mut TcpStream, text: &str, within: Duration) -> bool {
    let mut heard = vec![0; text.len()];
    let read = timeout(within, stream.read_exact(&mut heard)).await;
    matches!(read, Ok(Ok(_))) && heard == text.as_bytes()
}

#[tokio::test]
async fn a_proxy_passes_all_bytes_and_the_end() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let text: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut from, mut to) = stream.split();
    let mut heard = Vec::new();
    let send = async {
        to.write_all(&text).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(send, timeout(LATE, from.read_to_end(&mut heard)));
    read.unwrap().unwrap();
    assert!(heard == text);
}

#[tokio::test]
async fn a_proxy_refuses() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut open = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert!(echoes(&mut open, "a").await);
    proxy.set(Mode::Refuse);
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    for stream in [&mut open, &mut new] {
        let end = timeout(LATE, stream.read(&mut [0])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    proxy.set(Mode::Pass);
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert!(echoes(&mut new, "b").await);
}

#[tokio::test]
async fn a_proxy_hangs_and_goes_on() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut open = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    assert!(echoes(&mut open, "a").await);
    proxy.set(Mode::Hang);
    let mut new = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    for stream in [&mut open, &mut new] {
        stream.write_all(b"b").await.unwrap();
        assert!(timeout(SOON, stream.read(&mut [0])).await.is_err());
    }
    proxy.set(Mode::Pass);
    for stream in [&mut open, &mut new] {
        assert!(hears(stream, "b", LATE).await);
        assert!(echoes(stream, "c").await);
    }
    proxy.set(Mode::Hang);
    sleep(SOON).await;
    proxy.set(Mode::Refuse);
    let end = timeout(LATE, open.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}
