//! A Redis that is not as it should be: both programs say why they are not ready, and recover when it is mended.
use anyhow::ensure;
use e2e::{RedisSettings, Setup, World, backlog::until};

use crate::{accepted, ids, object};

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
        let set = ::redis::cmd("CONFIG").arg(&["SET", "requirepass", password]).clone();
        set.exec_async(&mut inside).await.unwrap();
        let cut = ::redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).clone();
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
