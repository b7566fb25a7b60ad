//! The set of pools: what comes, goes and waits.

use std::time::Duration;

use queue::Broker;
use queue::broker::Options;

use super::route::Service;
use super::*;

async fn connection() -> Broker {
    let options = Options {
        url: "redis://127.0.0.1:1".into(),
        password: None,
        authorities: None,
        pool: pool("default"),
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        cache_bytes: 1,
    };
    Broker::connect(options).await.unwrap()
}

fn pool(name: &str) -> Pool {
    name.parse().unwrap()
}

fn declared(names: &[&str]) -> Vec<(Pool, Serves)> {
    let service = Service { selector: None, languages: ["c".to_owned()].into(), memory: 1 };
    names.iter().map(|name| (pool(name), Serves::Declared(service.clone()))).collect()
}

fn runner(language: &str) -> RunnerStatus {
    RunnerStatus {
        name: "r".into(),
        release: "1".into(),
        slots: 1,
        jobs: 0,
        draining: false,
        languages: vec![language.to_owned()],
        broken: vec![],
        surroundings: String::new(),
    }
}

fn names(pools: &[Arc<QueuePool>]) -> Vec<&str> {
    pools.iter().map(|pool| pool.name.as_str()).collect()
}

#[tokio::test]
async fn pools_come_and_go() {
    let pools = Pools::of_worker_pools(connection().await, vec!["j".into()], 9);
    let mut changes = pools.subscribe();
    let change = pools.set(declared(&["j.b", "j.a"]));
    assert_eq!((names(&change.come), change.gone.len()), (vec!["j.a", "j.b"], 0));
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    pools.hear(&pool("j.a"), vec![runner("c")]);
    assert!(changes.has_changed().unwrap() && pools.facts()[0].proven.contains("c"));
    changes.mark_unchanged();
    pools.hear(&pool("j.a"), vec![runner("c")]);
    let change = pools.set(declared(&["j.a", "j.b"]));
    assert!(change.come.is_empty() && !changes.has_changed().unwrap(), "nothing new");
    let change = pools.set(declared(&["j.a"]));
    assert_eq!(change.gone, [pool("j.b")]);
    assert!(changes.has_changed().unwrap() && !pools.is_open(&pool("j.b")));
    assert_eq!((names(&pools.leaving()), names(&pools.all())), (vec!["j.b"], vec!["j.a", "j.b"]));
    assert!(pools.facts()[0].proven.contains("c"), "what its runners said stays");
    pools.set(declared(&["j.a", "j.b"]));
    assert!(pools.leaving().is_empty(), "it came back");
    pools.set(Vec::new());
    pools.hear(&pool("j.a"), vec![runner("c")]);
    assert!(pools.runners(&pool("j.a")).is_none(), "it is gone");
    pools.dissolved(&pool("j.a"));
    assert_eq!(names(&pools.all()), ["j.b"]);
}

#[tokio::test]
async fn above_the_bound_pools_wait_and_throw_nobody_out() {
    let pools = Pools::of_worker_pools(connection().await, vec!["j".into()], 2);
    pools.set(declared(&["j.b", "j.c"]));
    let change = pools.set(declared(&["j.a", "j.b", "j.c"]));
    assert!(change.come.is_empty() && change.gone.is_empty());
    assert_eq!((change.refused, pools.standing(&pool("j.a"))), (vec![pool("j.a")], Standing::TooMany));
    assert!(!pools.found(&pool("j.a")), "it is not to be removed");
    let change = pools.set(declared(&["j.a", "j.c"]));
    assert_eq!((names(&change.come), change.gone), (vec!["j.a"], vec![pool("j.b")]));
    assert_eq!(pools.standing(&pool("j.a")), Standing::Open);
}

#[tokio::test]
async fn what_is_left_of_a_pool_is_found_once() {
    let pools = Pools::of_worker_pools(connection().await, vec!["j".into()], 2);
    pools.set(declared(&["j.a"]));
    assert!(!pools.found(&pool("j.a")) && pools.found(&pool("j.z")) && !pools.found(&pool("j.z")));
    assert!(pools.is_ours(&pool("j.z")) && !pools.is_ours(&pool("k.z")) && !pools.is_ours(&pool("default")));
    assert_eq!(names(&pools.leaving()), ["j.z"]);
}

#[tokio::test]
async fn without_worker_pools_there_is_one_that_serves_everything() {
    let pools = Pools::single(connection().await, &pool("default"));
    assert!(!pools.are_routed() && pools.is_open(&pool("default")) && !pools.is_ours(&pool("default")));
    assert_eq!(pools.facts()[0].serves, Serves::Everything);
}
