//! 300 Submissions in a storm of faults: every one ends with exactly one right verdict per judging.
//!
//! One test per seed. The seed gives the whole schedule, which a failing test shows. With `KUBEJUDGE_STORM_SEEDS` (numbers
//! separated by commas) other seeds are taken, in this order; tests beyond its end do nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod check;
mod faults;
mod rng;
mod users;

use std::time::{Duration, Instant};

use e2e::{RedisSettings, Setup, World};

use faults::Fault;
use rng::Rng;
use users::Users;

const SEEDS: &str = "KUBEJUDGE_STORM_SEEDS";
const SUBMISSIONS: usize = 300;
/// How long they come in.
const TIME: Duration = Duration::from_secs(10);

/// The seed of one of the tests.
fn seed(test: usize) -> Option<u64> {
    let Ok(chosen) = std::env::var(SEEDS) else { return Some(test as u64) };
    let seed = chosen.split(',').nth(test)?;
    Some(seed.trim().parse().unwrap_or_else(|_| panic!("{SEEDS}: {seed:?} is no number")))
}

fn setup() -> Setup {
    let redis = RedisSettings { append_only: true, ..RedisSettings::default() };
    // Deliveries are counted when a runner dies, and here they die all the time.
    Setup { runners: 2, redis, ..Setup::default() }
        .operator_flag("batch-tests", "2")
        .operator_flag("max-deliveries", "1000")
        .runner_flag("lease-seconds", &faults::LEASE_SECONDS.to_string())
}

async fn storm(test: usize) {
    let Some(seed) = seed(test) else { return };
    let mut rng = Rng::new(seed);
    let events = faults::schedule(&mut rng);
    eprintln!("seed {seed}: {events:#?}");
    let begin = Instant::now();
    let told = |what: &str| eprintln!("seed {seed}, {:.1} s: {what}", begin.elapsed().as_secs_f64());
    let mut world = World::start(setup()).await.unwrap();
    told("all is up");
    world.create(&users::checked_shell()).await.unwrap();
    for namespace in users::NAMESPACES {
        world.create_namespace(namespace).await.unwrap();
    }
    let history = world.history();
    let mut users = Users::new(world.client(), rng);
    let (blown, ()) = tokio::join!(faults::blow(&mut world, &events), users.act(SUBMISSIONS, TIME));
    told("the storm is over");
    eprintln!("seed {seed}, done by users: {:#?}", users.deeds);
    blown.unwrap();
    world.until_ready().await.unwrap();
    told("all is up again");
    let died = events.iter().filter(|event| event.begins(Fault::KillApiServer)).count();
    check::all(&world, &users, &history, died).await;
    told("all is as it should be");
    for operator in &mut world.operators {
        faults::running(&mut operator.program).unwrap();
    }
    for runner in &mut world.runners {
        faults::running(&mut runner.program).unwrap();
    }
}

macro_rules! storms {
    ($($name:ident: $test:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                storm($test).await;
            }
        )*
    };
}
storms! {
    storm_00: 0, storm_01: 1, storm_02: 2, storm_03: 3, storm_04: 4, storm_05: 5, storm_06: 6, storm_07: 7, storm_08: 8, storm_09: 9,
    storm_10: 10, storm_11: 11, storm_12: 12, storm_13: 13, storm_14: 14, storm_15: 15, storm_16: 16, storm_17: 17, storm_18: 18,
    storm_19: 19,
}
