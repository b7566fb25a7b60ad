//! Other sandboxes that happen to be installed, for comparison by eye.

use std::time::{Duration, Instant};

use crate::bare;
use crate::screen::Screen;
use crate::statistics::{median, milliseconds};

/// One line of the table that is no figure of ours.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Median in milliseconds.
    pub(crate) value: f64,
}

/// Bubblewrap with every namespace it knows, and a view like a box's.
const BUBBLEWRAP: [&str; 12] = [
    "bwrap",
    "--unshare-all",
    "--die-with-parent",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--",
    crate::boxes::PROGRAM,
];

/// Measures what there is and works; nothing is not an error.
pub(crate) fn measure(count: usize, screen: &Screen) -> anyhow::Result<Vec<Reference>> {
    let mut references = Vec::new();
    if bare::quiet(&BUBBLEWRAP).is_ok() {
        screen.progress("bubblewrap", 0, count);
        let value = milliseconds(median(&run(&BUBBLEWRAP, count)?));
        let what = "bubblewrap, all namespaces: no limits, no measurement";
        references.push(Reference { name: "(bwrap)", what, value });
    }
    Ok(references)
}

fn run(argv: &[&str], count: usize) -> anyhow::Result<Vec<Duration>> {
    let one = |_| -> anyhow::Result<Duration> {
        let start = Instant::now();
        bare::quiet(argv)?;
        Ok(start.elapsed())
    };
    (0..count).map(one).collect()
}
