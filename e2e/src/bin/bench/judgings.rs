//! What whole judgings cost: the library path of `sandbox-runner judge`, beside the bare compiler and bare runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sandbox::{Cancel, NativeEngine};
use sandbox_runner::cache::DiskCache;
use sandbox_runner::compile::Compiler;
use sandbox_runner::judge::Judge;
use sandbox_runner::plan::Plan;
use sandbox_runner::report::CompileReport;
use sandbox_runner::slots::Slots;
use sandbox_runner::store::Layers;
use sandbox_runner::toolchain::Toolchain;
use tempfile::TempDir;

use crate::Repetitions;
use crate::bare::Bare;
use crate::figure::Figure;
use crate::program;
use crate::screen::Screen;
use crate::statistics::median;

/// Larger than all that is compiled here.
const CACHE_BYTES: u64 = 1 << 30;

/// All figures of judgings with 20 tests.
pub(crate) fn measure(
    engine: &Arc<NativeEngine>,
    repetitions: Repetitions,
    slots: usize,
    screen: &Screen,
) -> anyhow::Result<Vec<Figure>> {
    let measure = |plan: anyhow::Result<Plan>, count| -> anyhow::Result<Times> {
        let plan = plan?;
        Bench::new(engine, &plan, slots)?.run(count, screen).with_context(|| plan.name.clone())
    };
    let cpp = measure(program::of_20_tests("cpp17-shortest-path"), repetitions.judgings)?;
    let java = measure(program::java(), repetitions.slow_judgings)?;
    let python = measure(program::of_20_tests("python3-roman-numerals"), repetitions.judgings)?;
    let cold = |name, what, times: &Times| {
        let what = format!("{what}; floor: the same, bare");
        Figure::time(name, what, median(&times.cold), median(&times.cold_floor))
    };
    let cached = "C++: 20 tests, the program from the cache; floor: 20 bare runs";
    Ok(vec![
        cold("cpp20_cold", "C++: compiled, 20 tests", &cpp),
        Figure::time("cpp20_cached", cached, median(&cpp.cached), median(&cpp.cached_floor)),
        cold("java20_cold", "Java: compiled, 20 tests", &java),
        cold("python20", "Python: compiled, 20 tests", &python),
    ])
}

/// How long each repetition took.
#[derive(Debug, Default)]
struct Times {
    cold: Vec<Duration>,
    cold_floor: Vec<Duration>,
    cached: Vec<Duration>,
    cached_floor: Vec<Duration>,
}

/// One program, judged and run bare in turns.
struct Bench<'a> {
    plan: &'a Plan,
    judge: Judge,
    cache: TempDir,
    cancel: Cancel,
    bare: Bare<'a>,
    slots: usize,
}

impl<'a> Bench<'a> {
    fn new(engine: &Arc<NativeEngine>, plan: &'a Plan, slots: usize) -> anyhow::Result<Self> {
        let cache = tempfile::tempdir()?;
        let artifacts = DiskCache::open(cache.path(), CACHE_BYTES)?;
        let layers = Layers::new(Some(artifacts), None);
        let toolchain = Toolchain::new(Path::new("/"), None);
        let compiler = Compiler::new(Arc::<NativeEngine>::clone(engine), toolchain, layers);
        // Memory admits whatever the slots do: programs of these take little of their limits.
        let judge = Judge::new(Arc::<NativeEngine>::clone(engine), compiler, Slots::new(slots, u64::MAX));
        Ok(Self { plan, judge, cache, cancel: Cancel::new()?, bare: Bare::new(plan)?, slots })
    }

    /// The first round warms the machine's caches up and does not count.
    fn run(&self, count: usize, screen: &Screen) -> anyhow::Result<Times> {
        self.round(&mut Times::default(), true)?;
        let mut times = Times::default();
        for done in 0..count {
            screen.progress(&self.plan.name, done, count);
            self.round(&mut times, done % 2 == 0)?;
        }
        Ok(times)
    }

    /// One of each kind; who comes first changes from round to round.
    fn round(&self, times: &mut Times, judge_first: bool) -> anyhow::Result<()> {
        if judge_first {
            self.judge_twice(times)?;
        }
        let start = Instant::now();
        self.bare.compile()?;
        let compiled = Instant::now();
        self.bare.test(self.slots)?;
        times.cached_floor.push(compiled.elapsed());
        times.cold_floor.push(start.elapsed());
        if !judge_first {
            self.judge_twice(times)?;
        }
        Ok(())
    }

    fn judge_twice(&self, times: &mut Times) -> anyhow::Result<()> {
        self.empty_cache()?;
        times.cold.push(self.judge(false)?);
        times.cached.push(self.judge(true)?);
        Ok(())
    }

    fn empty_cache(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.cache.path())? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// One judging, which must be accepted and get its program from where it is meant to.
    fn judge(&self, cached: bool) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let report = self.judge.judge(self.plan, &self.cancel, &|_| ())?;
        let time = start.elapsed();
        ensure!(report.verdict.name() == "Accepted", "{}: {}", report.verdict.name(), report.message);
        let was_cached = report.compile.as_ref().map(CompileReport::cached);
        ensure!(was_cached == Some(cached), "from the cache: {was_cached:?} instead of {cached}");
        Ok(time)
    }
}
