//! `make bench`: measures the box and whole judgings beside the bare machine, prints a table, writes target/bench/summary.json.
//!
//! Every figure has a floor, which is the same work without isolation, measured in turns with it: a load on the machine
//! meets both. `--quick` measures less, for a look. `--samples COUNT` prints runs of `boxes` alone and is meant for a
//! child of this program that runs as an ordinary user.

mod bare;
mod boxes;
mod figure;
mod judgings;
mod program;
mod references;
mod screen;
mod statistics;

use std::path::PathBuf;

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
}

const FULL: Repetitions = Repetitions { boxes: 1000, judgings: 9, slow_judgings: 5 };
const QUICK: Repetitions = Repetitions { boxes: 200, judgings: 3, slow_judgings: 3 };

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure(FULL),
        ["--quick"] => measure(QUICK),
        [boxes::SAMPLES, count] => boxes::print_samples(count.parse().context("--samples COUNT")?),
        _ => bail!("usage: bench [--quick]"),
    }
}

fn measure(repetitions: Repetitions) -> anyhow::Result<()> {
    let screen = Screen::new();
    let engine = NativeEngine::new(&Options::default()).context("no box can be made here")?;
    let slots = std::thread::available_parallelism().map_or(1, Into::into);
    let mut figures = boxes::measure(&engine, repetitions.boxes, slots, &screen)?;
    figures.extend(judgings::measure(&engine, repetitions, slots, &screen)?);
    let references = references::measure(repetitions.boxes / 10, &screen)?;
    screen.table(&format!("{}; {slots} cores", engine.describe()), &figures, &references);
    let path = figure::write(&target(), &figures)?;
    screen.note(&format!("wrote {}", path.display()));
    Ok(())
}

/// The workspace; it is where it was at build time.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cargo's target folder.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
