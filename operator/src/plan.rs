//! From a Submission, its Language and its program to jobs: pure, and the same for the same input.

use crds::{Comparison, Compile, EnvVar, LanguageSpec, ResolvedLimits, Run, SubmissionSpec};
use queue::contract::Span;
use queue::{Blob, Job, JobId, JobTest, LanguageSnapshot, Payload, PlanHash};
use serde::Serialize;

/// Whose jobs they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The Submission's UID.
    pub uid: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The number of the judging.
    pub judging: u32,
}

/// All the work of one judging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it rests on.
    pub hash: PlanHash,
    /// Its jobs, each with the blobs it needs.
    pub jobs: Vec<(Job, Vec<Blob>)>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to judge.
    #[error("spec.tests: is empty")]
    NoTests,
    /// What the plan rests on can't be written down.
    #[error("hashing the plan: {0}")]
    Hash(#[source] serde_json::Error),
}

/// Everything that the verdict may depend on, and nothing else.
#[derive(Serialize)]
struct Basis<'a> {
    version: u32,
    language: &'a str,
    source_file: &'a str,
    compile: Option<&'a Compile>,
    command: &'a [String],
    env: &'a [EnvVar],
    reserves_address_space: bool,
    source: &'a str,
    limits: ResolvedLimits,
    comparison: Comparison,
    tests: Vec<(&'a str, &'a str, &'a str)>,
    batch: usize,
}

/// Changes when the same basis would be judged otherwise.
const BASIS_VERSION: u32 = 1;

/// Plans the judging of a valid Submission in batches of at most `batch` tests.
pub fn plan(
    subject: Subject<'_>,
    spec: &SubmissionSpec,
    language: &LanguageSnapshot,
    source: &str,
    batch: usize,
) -> Result<Plan, PlanError> {
    let batch = batch.max(1);
    let limits = ResolvedLimits::of(spec.limits.as_ref(), &language.spec);
    let hash = hash(&basis(spec, language, source, limits, batch))?;
    let (payload, source_blob) = Payload::of(source);
    let total = count(spec.tests.len());
    let batches = count(spec.tests.len().div_ceil(batch));
    let job = |(number, tests): (usize, &[crds::InlineTest])| {
        let first = count(number * batch);
        let mut blobs: Vec<Blob> = source_blob.iter().cloned().collect();
        let tests: Vec<JobTest> =
            (first..).zip(tests).map(|(index, test)| job_test(index, test, &mut blobs)).collect();
        let Subject { uid, namespace, name, judging } = subject;
        let job = Job {
            id: JobId { uid: uid.to_owned(), judging, plan: hash, batch: count(number) },
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            priority: spec.priority,
            language: language.clone(),
            source: payload.clone(),
            limits,
            comparison: spec.comparison.unwrap_or_default(),
            span: Span { first, count: count(tests.len()), total, batches },
            tests,
        };
        blobs.sort_unstable_by_key(|blob| blob.name.hash);
        blobs.dedup();
        (job, blobs)
    };
    let jobs: Vec<_> = spec.tests.chunks(batch).enumerate().map(job).collect();
    if jobs.is_empty() { Err(PlanError::NoTests) } else { Ok(Plan { hash, jobs }) }
}

fn job_test(index: u32, test: &crds::InlineTest, blobs: &mut Vec<Blob>) -> JobTest {
    let mut payload = |text: &str| {
        let (payload, blob) = Payload::of(text);
        blobs.extend(blob);
        payload
    };
    let (input, answer) = (payload(&test.input), payload(&test.answer));
    JobTest { index, name: test.name.clone(), input, answer }
}

fn basis<'a>(
    spec: &'a SubmissionSpec,
    language: &'a LanguageSnapshot,
    source: &'a str,
    limits: ResolvedLimits,
    batch: usize,
) -> Basis<'a> {
    let LanguageSpec { display_name: _, source_file, compile, run, limits: _, reserves_address_space } =
        &language.spec;
    let Run { command, env } = run;
    Basis {
        version: BASIS_VERSION,
        language: &language.name,
        source_file,
        compile: compile.as_ref(),
        command,
        env,
        reserves_address_space: *reserves_address_space,
        source,
        limits,
        comparison: spec.comparison.unwrap_or_default(),
        tests: spec.tests.iter().map(|t| (t.name.as_str(), t.input.as_str(), t.answer.as_str())).collect(),
        batch,
    }
}

fn hash(basis: &Basis<'_>) -> Result<PlanHash, PlanError> {
    let mut hasher = blake3::Hasher::new();
    serde_json::to_writer(&mut hasher, basis).map_err(PlanError::Hash)?;
    Ok(PlanHash::of(hasher.finalize()))
}

/// The schema bounds every count far below.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SUBJECT: Subject<'static> = Subject { uid: "u", namespace: "n", name: "s", judging: 2 };

    fn language() -> Value {
        json!({"displayName": "C", "sourceFile": "a.c", "run": {"command": ["./a"]},
            "compile": {"command": ["cc"], "artifacts": ["a"], "limits": {"timeMilliseconds": 1, "memoryBytes": 1_048_576,
                "outputBytes": 1, "processes": 1, "diskBytes": 1_048_576}},
            "limits": {"default": {"timeMilliseconds": 1, "memoryBytes": 1_048_576, "outputBytes": 1, "processes": 1}}})
    }

    fn spec() -> Value {
        json!({"language": "c", "source": {"inline": "ignored"}, "tests": [{"name": "1", "input": "i", "answer": "a"}]})
    }

    fn planned(spec: Value, language: Value, source: &str, batch: usize) -> Plan {
        let spec = serde_json::from_value(spec).unwrap();
        let language = LanguageSnapshot { name: "c".into(), spec: serde_json::from_value(language).unwrap() };
        plan(SUBJECT, &spec, &language, source, batch).unwrap()
    }

    fn changed(mut object: Value, pointer: &str, value: Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value;
        object
    }

    #[test]
    fn the_hash_changes_with_all_that_a_verdict_may_depend_on() {
        let plain = planned(spec(), language(), "x", 10).hash;
        let of_language = |pointer, value| planned(spec(), changed(language(), pointer, value), "x", 10).hash;
        let of_spec = |pointer, value| planned(changed(spec(), pointer, value), language(), "x", 10).hash;
        let other = [
            of_language("/sourceFile", json!("b.c")),
            of_language("/run/command", json!(["./b"])),
            of_language("/run/env", json!([{"name": "A", "value": "b"}])),
            of_language("/compile/command", json!(["c", "c"])),
            of_language("/compile/limits/diskBytes", json!(2_000_000)),
            of_language("/compile", json!(null)),
            of_language("/limits/default/timeMilliseconds", json!(2)),
            of_language("/reservesAddressSpace", json!(true)),
            of_spec("/limits", json!({"processes": 2})),
            of_spec("/comparison", json!("Exact")),
            of_spec("/tests", json!([{"name": "1", "input": "ia", "answer": ""}])),
            planned(spec(), language(), "y", 10).hash,
            planned(spec(), language(), "x", 9).hash,
        ];
        for (place, hash) in other.iter().enumerate() {
            assert_ne!(*hash, plain, "change {place}");
        }
        let same = [
            of_language("/displayName", json!("D")),
            of_language("/limits/maximum", json!({"processes": 9})),
            of_spec("/comparison", json!("Lines")),
            of_spec("/priority", json!("Rejudge")),
            of_spec("/ttlSecondsAfterFinished", json!(4)),
            of_spec("/rejudge", json!(1)),
        ];
        assert_eq!(same, [plain; 6]);
    }

    #[test]
    fn long_values_travel_as_blobs_once() {
        let long = "x".repeat(5000);
        let tests = json!([{"name": "1", "input": long, "answer": "a"}, {"name": "2", "input": long, "answer": long}]);
        let plan = planned(changed(spec(), "/tests", tests), language(), &long, 1);
        for (job, blobs) in &plan.jobs {
            assert_eq!(blobs.iter().map(|blob| blob.name).collect::<Vec<_>>(), job.blobs());
            assert_eq!(blobs.len(), 1);
            assert_eq!((job.id.judging, job.namespace.as_str(), job.name.as_str()), (2, "n", "s"));
        }
    }

    #[test]
    fn no_tests_make_no_plan() {
        let spec = serde_json::from_value(changed(spec(), "/tests", json!([]))).unwrap();
        let language =
            LanguageSnapshot { name: "c".into(), spec: serde_json::from_value(language()).unwrap() };
        assert!(matches!(plan(SUBJECT, &spec, &language, "", 10), Err(PlanError::NoTests)));
    }

    proptest! {
        #[test]
        fn batches_cover_every_test_once_and_in_order(tests in 1..65_usize, batch in 0..70_usize) {
            let list: Vec<_> = (0..tests).map(|n| json!({"name": n.to_string(), "answer": ""})).collect();
            let plan = planned(changed(spec(), "/tests", list.into()), language(), "x", batch);
            let batches = u32::try_from(plan.jobs.len()).unwrap();
            let mut next = 0;
            for (number, (job, _)) in (0..).zip(&plan.jobs) {
                prop_assert_eq!(job.id.batch, number);
                prop_assert_eq!((job.span.first, job.span.batches), (next, batches));
                prop_assert_eq!(job.span.total as usize, tests);
                prop_assert_eq!(job.span.count as usize, job.tests.len());
                prop_assert!((1..=batch.max(1)).contains(&job.tests.len()));
                for test in &job.tests {
                    prop_assert_eq!(test.index, next);
                    prop_assert_eq!(&test.name, &next.to_string());
                    next += 1;
                }
            }
            prop_assert_eq!(next as usize, tests);
        }
    }
}
