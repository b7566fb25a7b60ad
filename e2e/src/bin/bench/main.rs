//! `make bench`: measures the box and whole judgings beside the bare machine, prints a table, writes target/bench/summary.json.
//!
//! Every figure has a floor, which is the same work without isolation, measured in turns with it: a load on the machine
//! meets both. `--quick` measures less, for a look; `--chain` measures only what needs the API server and Redis. `--samples COUNT` prints runs of `boxes` alone and is meant for a
//! child of this program that runs as an ordinary user.

mod bare;
mod boxes;
mod chain;
mod figure;
mod judgings;
mod program;
mod queue_ops;
mod references;
mod screen;
mod statistics;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use sandbox::{Engine, NativeEngine, Options};

use screen::Screen;

/// How often everything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repetitions {
    /// Boxes with one program that does nothing.
    pub(crate) boxes: usize,
    /// Judgings of a quick language, odd.
    pub(crate) judgings: usize,
    /// Judgings of a slow language, odd.
    pub(crate) slow_judgings: usize,
    /// Jobs through the queue, in fifties.
    pub(crate) jobs: u32,
    /// Submissions in one burst.
    pub(crate) burst: u32,
    /// Submissions one after another.
    pub(crate) single: u32,
    /// Unfinished Submissions that the operator holds.
    pub(crate) unfinished: u32,
}

const FULL: Repetitions = Repetitions {
    boxes: 1000,
    judgings: 9,
    slow_judgings: 5,
    jobs: 5000,
    burst: 2000,
    single: 100,
    unfinished: 10_000,
};
const QUICK: Repetitions = Repetitions {
    boxes: 200,
    judgings: 3,
    slow_judgings: 3,
    jobs: 1000,
    burst: 400,
    single: 20,
    unfinished: 1000,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure(FULL),
        ["--quick"] => measure(QUICK),
        [boxes::SAMPLES, count] => boxes::print_samples(count.parse().context("--samples COUNT")?),
        ["--chain"] => measure_chain(FULL),
        ["--chain", "--quick"] => measure_chain(QUICK),
        _ => bail!("usage: bench [--chain] [--quick]"),
    }
}

fn measure(repetitions: Repetitions) -> anyhow::Result<()> {
    let screen = Screen::new();
    let engine = Arc::new(NativeEngine::new(&Options::default()).context("no box can be made here")?);
    let slots = std::thread::available_parallelism().map_or(1, Into::into);
    let mut figures = boxes::measure(&engine, repetitions.boxes, slots, &screen)?;
    figures.extend(judgings::measure(&engine, repetitions, slots, &screen)?);
    figures.extend(chain_figures(&engine, repetitions, slots, &screen)?);
    let references = references::measure(repetitions.boxes / 10, &screen)?;
    screen.table(&format!("{}; {slots} cores", engine.describe()), &figures, &references);
    let path = figure::write(&target(), &figures)?;
    screen.note(&format!("wrote {}", path.display()));
    Ok(())
}

fn measure_chain(repetitions: Repetitions) -> anyhow::Result<()> {
    let screen = Screen::new();
    let engine = Arc::new(NativeEngine::new(&Options::default()).context("no box can be made here")?);
    let slots = std::thread::available_parallelism().map_or(1, Into::into);
    let figures = chain_figures(&engine, repetitions, slots, &screen)?;
    screen.table(&format!("{}; {slots} cores", engine.describe()), &figures, &[]);
    Ok(())
}

fn chain_figures(
    engine: &Arc<NativeEngine>,
    repetitions: Repetitions,
    slots: usize,
    screen: &Screen,
) -> anyhow::Result<Vec<figure::Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut figures = vec![queue_ops::measure(repetitions.jobs, screen).await?];
        figures.extend(chain::measure(engine, repetitions, slots, screen).await?);
        Ok(figures)
    })
}

/// The workspace; it is where it was at build time.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cargo's target folder.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
