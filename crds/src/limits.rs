//! What a Submission's limits come to beside its Language: the merge, and the checks that need both or a flag.
use serde::{Deserialize, Serialize};

use crate::{
    language::{DefaultLimits, LanguageSpec, MaximumLimits},
    submission::{Limits, SubmissionSpec},
    validate::FieldError,
};

/// What the elapsed time may exceed twice the CPU time by, in milliseconds, unless it is set.
const WALL_TIME_EXTRA_MILLISECONDS: i64 = 1000;

/// The limits of one test, all set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedLimits {
    /// CPU time of all the box's processes together, in milliseconds.
    pub time_milliseconds: i64,
    /// Elapsed time in milliseconds.
    pub wall_time_milliseconds: i64,
    /// Memory of all the box's processes together, in bytes.
    pub memory_bytes: i64,
    /// Standard output and standard error, each by itself, in bytes.
    pub output_bytes: i64,
    /// Processes and threads at any one time.
    pub processes: i32,
}

impl ResolvedLimits {
    /// The Submission's limits, completed by its Language's.
    ///
    /// A Submission that sets a CPU time of its own does not inherit the Language's elapsed time, which was made for another
    /// CPU time; what follows from the CPU time stays within the Language's maximum.
    pub fn of(submission: Option<&Limits>, language: &LanguageSpec) -> Self {
        let unset = Limits::default();
        let asked = submission.unwrap_or(&unset);
        let default = &language.limits.default;
        let time_milliseconds = asked.time_milliseconds.unwrap_or(default.time_milliseconds);
        Self {
            time_milliseconds,
            wall_time_milliseconds: asked
                .wall_time_milliseconds
                .or_else(|| inherited_wall_time(asked, default))
                .unwrap_or_else(|| derived_wall_time(time_milliseconds, language.limits.maximum.as_ref())),
            memory_bytes: asked.memory_bytes.unwrap_or(default.memory_bytes),
            output_bytes: asked.output_bytes.unwrap_or(default.output_bytes),
            processes: asked.processes.unwrap_or(default.processes),
        }
    }
}

/// The elapsed time that goes with a CPU time when none is set: twice as long and a second.
pub fn default_wall_time_milliseconds(time_milliseconds: i64) -> i64 {
    time_milliseconds.saturating_mul(2).saturating_add(WALL_TIME_EXTRA_MILLISECONDS)
}

fn inherited_wall_time(asked: &Limits, default: &DefaultLimits) -> Option<i64> {
    if asked.time_milliseconds.is_some() { None } else { default.wall_time_milliseconds }
}

fn derived_wall_time(time_milliseconds: i64, maximum: Option<&MaximumLimits>) -> i64 {
    let most = maximum.and_then(|maximum| maximum.wall_time_milliseconds).unwrap_or(i64::MAX);
    default_wall_time_milliseconds(time_milliseconds).min(most)
}

/// The limits that ask for more than the Language allows, each as an error.
pub fn check_limits(spec: &SubmissionSpec, language: &LanguageSpec) -> Vec<FieldError> {
    let (Some(asked), Some(maximum)) = (&spec.limits, &language.limits.maximum) else {
        return Vec::new();
    };
    let pairs = [
        ("timeMilliseconds", asked.time_milliseconds, maximum.time_milliseconds),
        ("wallTimeMilliseconds", asked.wall_time_milliseconds, maximum.wall_time_milliseconds),
        ("memoryBytes", asked.memory_bytes, maximum.memory_bytes),
        ("outputBytes", asked.output_bytes, maximum.output_bytes),
        ("processes", asked.processes.map(i64::from), maximum.processes.map(i64::from)),
    ];
    let above = |(field, asked, most): (&str, Option<i64>, Option<i64>)| match (asked, most) {
        (Some(asked), Some(most)) if asked > most => Some(FieldError {
            path: format!("spec.limits.{field}"),
            message: format!("is {asked}, at most {most} in language {}", spec.language),
        }),
        _ => None,
    };
    pairs.into_iter().filter_map(above).collect()
}

/// An error if the inline source is longer than `max_bytes` bytes of UTF-8.
pub fn check_source_size(spec: &SubmissionSpec, max_bytes: usize) -> Result<(), FieldError> {
    match &spec.source.inline {
        Some(text) if text.len() > max_bytes => Err(FieldError {
            path: "spec.source.inline".into(),
            message: format!("is {} bytes, at most {max_bytes}", text.len()),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn language(maximum: &serde_json::Value) -> LanguageSpec {
        let default = json!({ "timeMilliseconds": 1000, "memoryBytes": 2_000_000, "outputBytes": 3000, "processes": 4 });
        let limits = json!({ "default": default, "maximum": maximum });
        let spec =
            json!({ "displayName": "C", "sourceFile": "a.c", "run": { "command": ["a"] }, "limits": limits });
        serde_json::from_value(spec).unwrap()
    }

    fn submission(limits: &serde_json::Value) -> SubmissionSpec {
        serde_json::from_value(json!({ "language": "c", "source": { "inline": "äöü" }, "limits": limits }))
            .unwrap()
    }

    #[test]
    fn what_is_unset_comes_from_the_language() {
        let defaults = ResolvedLimits {
            time_milliseconds: 1000,
            wall_time_milliseconds: 3000,
            memory_bytes: 2_000_000,
            output_bytes: 3000,
            processes: 4,
        };
        let language = language(&json!(null));
        assert_eq!(ResolvedLimits::of(None, &language), defaults);
        let asked = Limits { processes: Some(9), output_bytes: Some(8), ..Limits::default() };
        let expected = ResolvedLimits { processes: 9, output_bytes: 8, ..defaults };
        assert_eq!(ResolvedLimits::of(Some(&asked), &language), expected);
    }

    #[test]
    fn elapsed_time_follows_the_cpu_time_it_was_made_for() {
        let wall = |limits: Limits, language: &LanguageSpec| {
            ResolvedLimits::of(Some(&limits), language).wall_time_milliseconds
        };
        let time = |time| Limits { time_milliseconds: Some(time), ..Limits::default() };
        let mut language = language(&json!({ "wallTimeMilliseconds": 9000 }));
        language.limits.default.wall_time_milliseconds = Some(7000);
        assert_eq!(wall(Limits::default(), &language), 7000);
        assert_eq!(wall(time(2000), &language), 5000);
        assert_eq!(wall(time(100_000), &language), 9000, "stays within the maximum");
        assert_eq!(wall(Limits { wall_time_milliseconds: Some(50), ..time(2000) }, &language), 50);
    }

    #[test]
    fn a_malformed_language_does_no_harm() {
        let mut language = language(&json!({ "wallTimeMilliseconds": i64::MIN }));
        language.limits.default.time_milliseconds = i64::MAX;
        assert_eq!(ResolvedLimits::of(None, &language).wall_time_milliseconds, i64::MIN);
        assert_eq!(default_wall_time_milliseconds(i64::MIN), i64::MIN + 1000);
    }

    #[test]
    fn more_than_the_maximum_is_an_error() {
        let language = language(&json!({ "timeMilliseconds": 5, "memoryBytes": 2_000_000, "processes": 1 }));
        let spec = submission(
            &json!({ "timeMilliseconds": 6, "memoryBytes": 2_000_000, "outputBytes": 7, "processes": 2 }),
        );
        let errors: Vec<_> = check_limits(&spec, &language).iter().map(ToString::to_string).collect();
        let expected = [
            "spec.limits.timeMilliseconds: is 6, at most 5 in language c",
            "spec.limits.processes: is 2, at most 1 in language c",
        ];
        assert_eq!(errors, expected);
        assert_eq!(check_limits(&submission(&json!(null)), &language), []);
    }

    #[test]
    fn a_source_is_bounded_in_bytes() {
        let spec = submission(&json!(null));
        assert_eq!(check_source_size(&spec, 6), Ok(()));
        let error = check_source_size(&spec, 5).unwrap_err();
        assert_eq!(error.to_string(), "spec.source.inline: is 6 bytes, at most 5");
    }
}
