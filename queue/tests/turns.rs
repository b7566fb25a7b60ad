//! Whose turn it is: a flood holds nobody up, and the least urgent goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use common::{Server, enqueue, job, take, test};
use crds::Priority;
use queue::Broker;

async fn fill(broker: &Broker, namespace: &str, priority: Priority, count: u32) {
    for n in 0..count {
        let mut job = job(namespace, &format!("{namespace}-{n}"));
        job.priority = priority;
        enqueue(broker, &job).await;
    }
}

#[tokio::test]
async fn a_flood_holds_nobody_up() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    fill(&broker, "flood", Priority::Normal, 2000).await;
    for n in 0..500 {
        assert_eq!(take(&broker).await.unwrap().job.id.uid, format!("flood-{n}"));
    }
    fill(&broker, "late", Priority::Normal, 10).await;
    let mut late = 0;
    for _ in 0..20 {
        late += u32::from(take(&broker).await.unwrap().job.namespace == "late");
    }
    // One after the other: having been away saved nothing up, and cost nothing.
    assert!((9..=10).contains(&late), "{late}");
    fill(&broker, "later", Priority::Normal, 1).await;
    let next = [take(&broker).await.unwrap(), take(&broker).await.unwrap()];
    assert!(next.iter().any(|delivery| delivery.job.namespace == "later"));
}

#[tokio::test]
async fn turns_are_weighed_by_the_work() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    for n in 0..100 {
        let mut large = job("large", &format!("l{n}"));
        large.tests = (0..10).map(test).collect();
        enqueue(&broker, &large).await;
        enqueue(&broker, &job("small", &format!("s{n}"))).await;
    }
    let mut small = 0;
    for _ in 0..55 {
        small += u32::from(take(&broker).await.unwrap().job.namespace == "small");
    }
    assert!((48..=52).contains(&small), "{small}");
}

#[tokio::test]
async fn the_most_urgent_gets_nearly_all_and_the_last_its_share() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    // The urgent ones come when the others have long been served.
    fill(&broker, "r", Priority::Rejudge, 100).await;
    fill(&broker, "n", Priority::Normal, 200).await;
    for _ in 0..50 {
        take(&broker).await.unwrap();
    }
    fill(&broker, "c", Priority::Contest, 400).await;
    let mut counts = [0; 3];
    for n in 0..219 {
        let priority = take(&broker).await.unwrap().job.priority;
        let place = [Priority::Contest, Priority::Normal, Priority::Rejudge];
        counts[place.iter().position(|other| *other == priority).unwrap()] += 1;
        assert!(n != 73 || counts[2] >= 1, "starved: {counts:?}");
    }
    // Three rounds of 64, 8 and 1.
    assert!((190..=194).contains(&counts[0]) && (2..=4).contains(&counts[2]), "{counts:?}");
}

#[tokio::test]
async fn a_lowered_priority_waits_with_its_like() {
    let server = Server::start(&[]);
    let broker = server.broker().await;
    fill(&broker, "a", Priority::Normal, 2).await;
    broker.reprioritize("a-0", Priority::Rejudge).await.unwrap();
    broker.reprioritize("a-1", Priority::Contest).await.unwrap();
    let gauges = broker.gauges().await.unwrap();
    let counts: Vec<_> = gauges.waiting.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [0, 1, 1], "only ever lowered");
}
