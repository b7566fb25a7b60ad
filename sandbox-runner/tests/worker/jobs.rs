//! Small jobs.

use crds::ResolvedLimits;
use queue::contract::Span;
use queue::{Job, JobId, JobTest, LanguageSnapshot, Payload, PlanHash};
use serde_json::{Value, json};

fn snapshot(name: &str, spec: Value) -> LanguageSnapshot {
    LanguageSnapshot { name: name.into(), spec: serde_json::from_value(spec).unwrap() }
}

fn limits() -> Value {
    json!({"default": {"timeMilliseconds": 10_000, "wallTimeMilliseconds": 600_000, "memoryBytes": 128 << 20,
        "outputBytes": 1 << 20, "processes": 16}})
}

/// Shell scripts, run as they are.
pub(crate) fn shell() -> LanguageSnapshot {
    snapshot(
        "sh",
        json!({"displayName": "Shell", "sourceFile": "main.sh", "limits": limits(),
            "run": {"command": ["/bin/sh", "main.sh"], "env": [{"name": "PATH", "value": "/usr/bin:/bin"}]}}),
    )
}

/// Whatever `compiler` makes of a source into `main`, which is run by the shell unless it is a program.
pub(crate) fn compiled(name: &str, compiler: &[&str], run: &[&str]) -> LanguageSnapshot {
    let compile = json!({"command": compiler, "artifacts": ["main"], "env": [{"name": "PATH", "value": "/usr/bin:/bin"}],
        "limits": {"timeMilliseconds": 60_000, "memoryBytes": 512 << 20, "outputBytes": 1 << 20, "processes": 64,
            "diskBytes": 64 << 20}});
    let source = if name == "c" { "main.c" } else { "main.sh" };
    snapshot(
        name,
        json!({"displayName": name, "sourceFile": source, "compile": compile, "limits": limits(), "run": {"command": run,
            "env": [{"name": "PATH", "value": "/usr/bin:/bin"}]}}),
    )
}

/// C by the machine's compiler.
pub(crate) fn c() -> LanguageSnapshot {
    compiled("c", &["/usr/bin/gcc", "-O0", "-o", "main", "main.c"], &["./main"])
}

/// Scripts that are copied before they are run.
pub(crate) fn copied() -> LanguageSnapshot {
    compiled("copied", &["/bin/cp", "main.sh", "main"], &["/bin/sh", "main"])
}

/// A job whose tests have these inputs and answers.
pub(crate) fn job(uid: &str, language: LanguageSnapshot, source: &str, tests: &[(&str, &str)]) -> Job {
    let test = |(index, (input, answer)): (u32, &(&str, &str))| JobTest {
        index,
        name: format!("t{index}"),
        input: Payload::Text((*input).to_owned()),
        answer: Payload::Text((*answer).to_owned()),
    };
    let count = u32::try_from(tests.len()).unwrap();
    Job {
        id: JobId { uid: uid.into(), judging: 1, plan: PlanHash::of(blake3::hash(b"plan")), batch: 0 },
        namespace: "space".into(),
        name: format!("name-of-{uid}"),
        priority: crds::Priority::Normal,
        limits: ResolvedLimits::of(None, &language.spec),
        language,
        source: Payload::Text(source.to_owned()),
        comparison: crds::Comparison::Lines,
        span: Span { first: 0, count, total: count, batches: 1 },
        tests: (0..).zip(tests).map(test).collect(),
    }
}

/// A job with one test and a shell script.
pub(crate) fn script(uid: &str, source: &str, answer: &str) -> Job {
    job(uid, shell(), source, &[("", answer)])
}
