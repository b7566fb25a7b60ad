//! What a program's /metrics said at one moment.
use std::collections::BTreeMap;

use anyhow::Context as _;

/// One value with its name and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Such as `kubejudge_status_writes_total`.
    pub name: String,
    /// What tells it from others of that name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Reads the text form of `OpenMetrics`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).with_context(|| format!("not a metric: {line}")));
        Ok(Self(samples.collect::<Result<_, _>>()?))
    }

    /// All values.
    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// The sum of all values of `name` that have `labels`, which need not be all their labels. None if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&Sample| {
            let label = |(name, value): &(&str, &str)| sample.labels.get(*name).is_some_and(|v| v == value);
            sample.name == name && labels.iter().all(label)
        };
        self.0.iter().filter(has).map(|sample| sample.value).reduce(|a, b| a + b)
    }
}

/// `name{label="value",...} value`; a time and an exemplar may follow.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels, and what follows the bracket.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = quoted(value)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// The text to the closing quote, and what follows that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((i, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total Things, counted.\n# TYPE a counter\na_total{kind=\"x\",why=\"a \\\"b\\\"\\n{}, c\"} 3\n\
                        a_total{kind=\"y\",why=\"\"} 4 # {id=\"1\"} 0.5\nb 1.5e3\nb_bucket{le=\"+Inf\"} +Inf\n# EOF\n";

    #[test]
    fn values_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.samples().len(), 4);
        assert_eq!(metrics.sum("a_total", &[]), Some(7.0));
        assert_eq!(metrics.sum("a_total", &[("kind", "x"), ("why", "a \"b\"\n{}, c")]), Some(3.0));
        assert_eq!(metrics.sum("a_total", &[("kind", "z")]), None);
        assert_eq!(metrics.sum("b", &[]), Some(1500.0));
        assert_eq!(metrics.sum("b_bucket", &[("le", "+Inf")]), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        for text in ["a", "a{b=\"c", "a{b} 1", "a x"] {
            Metrics::parse(text).unwrap_err();
        }
    }
}
