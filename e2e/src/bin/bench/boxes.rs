//! What one fresh box costs: `/bin/true` through the real engine, beside the same started bare.

use std::os::unix::process::CommandExt;
use std::process::Command as Process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use sandbox::{Cancel, Command, Engine, Limits, NativeEngine, Options, Request};
use serde::{Deserialize, Serialize};

use crate::bare;
use crate::figure::Figure;
use crate::screen::Screen;
use crate::statistics::percentile;
use crate::workspace;

/// The program that does nothing.
pub(crate) const PROGRAM: &str = "/bin/true";
/// The option with which this program prints [`Samples`] as JSON.
pub(crate) const SAMPLES: &str = "--samples";
/// Runs before anything counts.
const WARM_UP: usize = 50;
/// Runs of one kind before the other kind has its turn.
const BATCH: usize = 10;
/// The same where several threads run side by side: starting and joining them must not weigh.
const PARALLEL_BATCH: usize = 100;
/// An ordinary user that nobody is, as in e2e/as-user.
const ORDINARY: u32 = 65_533;

/// How long single runs took.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples {
    boxes: Vec<Duration>,
    floor: Vec<Duration>,
}

impl Samples {
    fn at(&self, percent: usize) -> (Duration, Duration) {
        (percentile(&self.boxes, percent), percentile(&self.floor, percent))
    }
}

/// All figures of single boxes. `count` of each kind are measured.
pub(crate) fn measure(
    engine: &NativeEngine,
    count: usize,
    threads: usize,
    screen: &Screen,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut add = |name, what: &str, percent, samples: &Samples| {
        let (value, floor) = samples.at(percent);
        figures.push(Figure::time(name, what, value, floor));
    };
    let samples = run(engine, count, |done| {
        screen.progress("boxes, one after another", done, count);
    })?;
    add("box_exec_p50", "a fresh box that runs /bin/true; floor: vfork, exec, wait", 50, &samples);
    add("box_exec_p99", "its 99th percentile; floor: that of vfork, exec, wait", 99, &samples);
    if engine.surroundings().cgroup_v1 {
        let plain = NativeEngine::new(&Options { cgroups: false, ..Options::default() })?;
        let samples = run(&plain, count, |done| {
            screen.progress("boxes without cgroups", done, count);
        })?;
        add("box_exec_plain_p50", "the same without cgroups", 50, &samples);
    }
    if engine.surroundings().root {
        screen.progress("boxes of an ordinary user", 0, 1);
        add(
            "box_exec_user_p50",
            "the same by an ordinary user, without cgroups",
            50,
            &as_ordinary_user(count)?,
        );
        screen.progress("boxes in gVisor", 0, 1);
        add(
            "box_exec_gvisor_p50",
            "the same in a gVisor container, as uid 65532",
            50,
            &in_gvisor(count / 5)?,
        );
    }
    figures.push(parallel(engine, count, threads, screen)?);
    Ok(figures)
}

/// Boxes and bare runs in turns.
fn run(engine: &dyn Engine, count: usize, progress: impl Fn(usize)) -> anyhow::Result<Samples> {
    let (request, cancel) = (request()?, Cancel::new()?);
    for _ in 0..WARM_UP {
        bare::nothing()?;
        one(engine, &request, &cancel)?;
    }
    let mut samples = Samples::default();
    while samples.boxes.len() < count {
        progress(samples.boxes.len());
        for _ in 0..BATCH {
            samples.boxes.push(timed(|| one(engine, &request, &cancel))?);
        }
        for _ in 0..BATCH {
            samples.floor.push(timed(bare::nothing)?);
        }
    }
    Ok(samples)
}

fn request() -> anyhow::Result<Request> {
    let limits = Limits {
        cpu: Duration::from_secs(10),
        wall: Duration::from_secs(21),
        memory: 256 << 20,
        output: 16 << 20,
        processes: 64,
        open_files: 256,
        stack: 256 << 20,
        disk: 0,
        reserves_address_space: false,
    };
    Ok(Request::new(Command::new(&[PROGRAM], &[])?, vec![], limits)?)
}

fn one(engine: &dyn Engine, request: &Request, cancel: &Cancel) -> anyhow::Result<()> {
    let outcome = engine.run(request, cancel)?;
    ensure!(outcome.is_success(), "{PROGRAM} in a box ended with {:?}, {:?}", outcome.exit, outcome.exceeded);
    Ok(())
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// Boxes in a second with a thread for each core, and bare runs likewise.
fn parallel(engine: &dyn Engine, count: usize, threads: usize, screen: &Screen) -> anyhow::Result<Figure> {
    let (request, cancel) = (request()?, Cancel::new()?);
    let (mut boxes, mut floor, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    while done < count {
        screen.progress("boxes side by side", done, count);
        boxes += timed(|| side_by_side(threads, PARALLEL_BATCH, &|_| one(engine, &request, &cancel)))?;
        floor += timed(|| side_by_side(threads, PARALLEL_BATCH, &|_| bare::nothing()))?;
        done += PARALLEL_BATCH;
    }
    let rate = |time: Duration| f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / time.as_secs_f64();
    let what = format!("boxes in a second, {threads} at a time; floor: vfork, exec, wait likewise");
    Ok(Figure::rate("box_exec_parallel", what, rate(boxes), rate(floor)))
}

/// Does `work` with each number below `count`, on that many threads, and waits for all.
pub(crate) fn side_by_side(
    threads: usize,
    count: usize,
    work: &(dyn Fn(usize) -> anyhow::Result<()> + Sync),
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                index if index < count => work(index)?,
                _ => return Ok(()),
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(work)).collect();
        let own = work();
        let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
            other.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        others.into_iter().map(join).fold(own, anyhow::Result::and)
    })
}

/// The same by a child of this program that gave up being root. A process that changes its user finds itself at
/// /proc/self/exe, wherever the target folder may be.
fn as_ordinary_user(count: usize) -> anyhow::Result<Samples> {
    let mut child = Process::new("/proc/self/exe");
    child.args([SAMPLES, &count.to_string()]).env_clear().current_dir("/").uid(ORDINARY).gid(ORDINARY);
    samples_of(child).context("boxes of an ordinary user")
}

/// The same by this program inside gVisor. Its floor is of that place too.
fn in_gvisor(count: usize) -> anyhow::Result<Samples> {
    let mut child = Process::new(workspace().join("e2e/gvisor/run"));
    let bind = format!("{}:/mnt/bench", std::env::current_exe()?.display());
    child.args(["--bind", &bind, "--", "/mnt/bench", SAMPLES, &count.to_string()]);
    samples_of(child).context("boxes in gVisor")
}

fn samples_of(mut child: Process) -> anyhow::Result<Samples> {
    let output = child.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).context("what the child printed")
}

/// What that child does.
pub(crate) fn print_samples(count: usize) -> anyhow::Result<()> {
    let engine = NativeEngine::new(&Options::default())?;
    serde_json::to_writer(std::io::stdout(), &run(&engine, count, |_| ())?)?;
    Ok(())
}
