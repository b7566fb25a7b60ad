//! What fails, and when: all of it follows from the seed.
use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use e2e::{Mode, World, program::Program};

use crate::rng::Rng;

/// How long new faults begin.
const STORM: Duration = Duration::from_secs(11);
/// How long runners' leases are. A runner that stands still for longer loses its jobs.
pub(crate) const LEASE_SECONDS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillRunner(usize),
    PauseRunner(usize),
    KillOperator,
    PauseOperator,
    KillRedis { loses_data: bool },
    PauseRedis,
    FlushRedis,
    KillApiServer,
    PauseApiServer,
    Link(Link, Mode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    OperatorToApi,
    OperatorToRedis,
    RunnerToRedis(usize),
}

/// A fault that begins or ends.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    at: Duration,
    fault: Fault,
    begins: bool,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.begins { '+' } else { '-' };
        write!(f, "{:5.2} s {sign} {:?}", self.at.as_secs_f64(), self.fault)
    }
}

impl Event {
    /// Whether this is where `fault` begins.
    pub(crate) fn begins(&self, fault: Fault) -> bool {
        self.begins && self.fault == fault
    }
}

/// Gives its next fault, and how long it lasts.
type Part = fn(&mut Rng) -> (Fault, Duration);

/// What can fail by itself. Each has one fault at a time, and all of them at once.
const PARTS: [Part; 9] = [
    |rng| runner(rng, 0),
    |rng| runner(rng, 1),
    operator,
    redis,
    api_server,
    |rng| link(rng, Link::OperatorToApi),
    |rng| link(rng, Link::OperatorToRedis),
    |rng| link(rng, Link::RunnerToRedis(0)),
    |rng| link(rng, Link::RunnerToRedis(1)),
];

fn runner(rng: &mut Rng, number: usize) -> (Fault, Duration) {
    if rng.one_in(2) {
        return (Fault::KillRunner(number), rng.millis(0, 1500));
    }
    (Fault::PauseRunner(number), rng.millis(LEASE_SECONDS * 1000 + 300, LEASE_SECONDS * 1000 + 2000))
}

fn operator(rng: &mut Rng) -> (Fault, Duration) {
    let fault = rng.one_of(&[Fault::KillOperator, Fault::KillOperator, Fault::PauseOperator]);
    (fault, rng.millis(0, 2000))
}

fn redis(rng: &mut Rng) -> (Fault, Duration) {
    let kill = |loses_data| Fault::KillRedis { loses_data };
    let fault = rng.one_of(&[kill(true), kill(false), Fault::PauseRedis, Fault::FlushRedis]);
    let time = if fault == Fault::FlushRedis { Duration::ZERO } else { rng.millis(0, 2000) };
    (fault, time)
}

/// It takes several seconds to start, and nothing happens meanwhile: it rather stands still.
fn api_server(rng: &mut Rng) -> (Fault, Duration) {
    let fault = if rng.one_in(4) { Fault::KillApiServer } else { Fault::PauseApiServer };
    (fault, rng.millis(200, 2000))
}

fn link(rng: &mut Rng, link: Link) -> (Fault, Duration) {
    (Fault::Link(link, rng.one_of(&[Mode::Refuse, Mode::Hang])), rng.millis(1000, 3000))
}

/// All faults of a storm, in the order of their times. Each ends.
pub(crate) fn schedule(rng: &mut Rng) -> Vec<Event> {
    let mut events = Vec::new();
    for part in PARTS {
        let mut at = rng.millis(0, 4000);
        while at < STORM {
            let (fault, time) = part(rng);
            events.push(Event { at, fault, begins: true });
            at += time;
            events.push(Event { at, fault, begins: false });
            at += rng.millis(1000, 6000);
        }
    }
    // A stable order: what begins and ends at one time does so in this order.
    events.sort_by_key(|event| event.at);
    events
}

/// Has everything happen. All is well again when it returns.
pub(crate) async fn blow(world: &mut World, events: &[Event]) -> anyhow::Result<()> {
    let start = Instant::now();
    for event in events {
        tokio::time::sleep_until((start + event.at).into()).await;
        let Event { fault, begins, .. } = *event;
        let done = if begins { begin(world, fault).await } else { end(world, fault).await };
        done.with_context(|| format!("{event:?}"))?;
    }
    Ok(())
}

async fn begin(world: &mut World, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::KillRunner(number) => kill(&mut world.runners[number].program),
        Fault::PauseRunner(number) => world.runners[number].program.pause(),
        Fault::KillOperator => kill(&mut world.operators[0].program),
        Fault::PauseOperator => world.operators[0].program.pause(),
        Fault::KillRedis { .. } => world.redis.kill(),
        Fault::PauseRedis => world.redis.pause(),
        Fault::FlushRedis => world.redis.flush().await,
        Fault::KillApiServer => world.control_plane.kill(),
        Fault::PauseApiServer => world.control_plane.pause(),
        Fault::Link(link, mode) => {
            set(world, link, mode);
            Ok(())
        }
    }
}

async fn end(world: &mut World, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::KillRunner(number) => world.runners[number].program.process().start_again(),
        Fault::PauseRunner(number) => world.runners[number].program.resume(),
        Fault::KillOperator => world.operators[0].program.process().start_again(),
        Fault::PauseOperator => world.operators[0].program.resume(),
        Fault::KillRedis { loses_data: true } => world.redis.start_again_empty().await,
        Fault::KillRedis { loses_data: false } => world.redis.start_again().await,
        Fault::PauseRedis => world.redis.resume(),
        Fault::FlushRedis => Ok(()),
        Fault::KillApiServer => world.control_plane.start_again().await,
        Fault::PauseApiServer => world.control_plane.resume(),
        Fault::Link(link, _) => {
            set(world, link, Mode::Pass);
            Ok(())
        }
    }
}

/// Kills it, after it was seen to have run until then.
fn kill(program: &mut Program) -> anyhow::Result<()> {
    running(program)?;
    program.kill()
}

/// An error if the program has ended by itself.
pub(crate) fn running(program: &mut Program) -> anyhow::Result<()> {
    let process = program.process();
    let ended = process.exited()?;
    anyhow::ensure!(ended.is_none(), "{} ended by itself: {ended:?}", process.name());
    Ok(())
}

fn set(world: &World, link: Link, mode: Mode) {
    match link {
        Link::OperatorToApi => world.operators[0].api.set(mode),
        Link::OperatorToRedis => world.operators[0].redis.set(mode),
        Link::RunnerToRedis(number) => world.runners[number].redis.set(mode),
    }
}
