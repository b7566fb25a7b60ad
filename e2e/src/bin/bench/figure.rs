//! One figure of the benchmark beside its floor, and all of them as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::statistics::milliseconds;

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Its key in the JSON.
    pub(crate) name: &'static str,
    /// What it and its floor are, for people.
    pub(crate) what: String,
    pub(crate) value: f64,
    /// The least that the same could cost, measured in the same run; nothing where there is no such thing.
    pub(crate) floor: Option<f64>,
    pub(crate) unit: &'static str,
    /// Which way is better: "lower" or "higher".
    pub(crate) better: &'static str,
}

impl Figure {
    /// A time: the lower, the better.
    pub(crate) fn time(
        name: &'static str,
        what: impl Into<String>,
        value: Duration,
        floor: Duration,
    ) -> Self {
        let (value, floor) = (milliseconds(value), Some(milliseconds(floor)));
        Self { name, what: what.into(), value, floor, unit: "ms", better: "lower" }
    }

    /// So many in a second: the higher, the better.
    pub(crate) fn rate(name: &'static str, what: impl Into<String>, value: f64, floor: f64) -> Self {
        Self { name, what: what.into(), value, floor: Some(floor), unit: "1/s", better: "higher" }
    }

    /// Memory, without a floor: the lower, the better.
    pub(crate) fn megabytes(name: &'static str, what: impl Into<String>, bytes: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let value = bytes as f64 / 1e6;
        Self { name, what: what.into(), value, floor: None, unit: "MB", better: "lower" }
    }

    /// How many times the floor.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.value / floor)
    }

    fn json(&self) -> Value {
        json!({
            "value": rounded(self.value), "unit": self.unit, "floor": self.floor.map(rounded),
            "ratio": self.ratio().map(rounded), "better": self.better,
        })
    }
}

/// To nanoseconds, or their like.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Writes bench/summary.json below `target`, whole or not at all.
pub(crate) fn write(target: &Path, figures: &[Figure]) -> anyhow::Result<PathBuf> {
    let folder = target.join("bench");
    let (partial, path) =
        (folder.join(format!("summary.json.{}", std::process::id())), folder.join("summary.json"));
    let summary: BTreeMap<_, _> = figures.iter().map(|figure| (figure.name, figure.json())).collect();
    let text = serde_json::to_string_pretty(&summary)? + "\n";
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&partial, text))
        .and_then(|()| fs::rename(&partial, &path))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_each_figure_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let time = Figure::time("box", "", Duration::from_micros(1500), Duration::from_micros(500));
        let rate = Figure::rate("rate", "", 700.0, 1400.0);
        let memory = Figure::megabytes("memory", "", 12_500_000);
        let path = write(&dir.path().join("target"), &[rate, time, memory]).unwrap();
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let expected = json!({
            "box": {"value": 1.5, "unit": "ms", "floor": 0.5, "ratio": 3.0, "better": "lower"},
            "memory": {"value": 12.5, "unit": "MB", "floor": null, "ratio": null, "better": "lower"},
            "rate": {"value": 700.0, "unit": "1/s", "floor": 1400.0, "ratio": 0.5, "better": "higher"},
        });
        assert_eq!(read, expected);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing partial is left");
    }
}
