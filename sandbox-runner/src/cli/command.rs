//! `judge`: files in, boxes made, verdicts out.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use crds::{Submission, SubmissionStatus};
use jiff::Timestamp;
use queue::contract::Span;
use queue::verdict::{Batch, Judged, Judging, invalid};
use sandbox::Cancel;
use serde_json::{Value, json};

use super::screen::{Row, Screen};
use super::{Ending, JudgeArgs, Output};
use crate::compile::Compiler;
use crate::documents::{self, Readable, Refused};
use crate::excerpt::printable;
use crate::judge::Judge;
use crate::outcome::job_report;
use crate::plan::Plan;
use crate::report::{Fault, Report};
use crate::store::Layers;

/// Where a Submission says which verdict it should get.
const EXPECTED: &str = "kubejudge.dev/expected-verdict";
/// Most characters of a line about refused input.
const MAX_LINE: usize = 1024;

/// Judges what the files hold and prints the results. An error means that nothing could be judged at all.
pub fn judge_files(args: &JudgeArgs) -> anyhow::Result<Ending> {
    let input = documents::read(&args.files, args.max_source_bytes);
    for refused in &input.refused {
        print_refused(refused);
    }
    let engine = args.boxes.engine()?;
    let disk = if args.no_cache { None } else { args.cache.open() };
    let compiler = Compiler::new(engine.clone(), args.boxes.toolchain(), Layers::new(disk, None));
    let judge = Judge::new(engine, compiler, args.boxes.slots());
    let names: Vec<_> =
        input.readable.iter().map(|r| (r.plan.name.as_str(), r.submission.spec.language.as_str())).collect();
    let screen = (args.output == Output::Table).then(|| Screen::new(&names, args.expect));
    let reports = judge_all(&judge, &input.readable, screen.as_ref())?;
    match &screen {
        Some(screen) => screen.summary(input.refused.len()),
        None => print_list(args.output, &input, &reports)?,
    }
    Ok(ending(args, &input, &reports))
}

/// As many Submissions at one time as there are slots, so that one's compiler and another's tests fill the cores.
fn judge_all(judge: &Judge, input: &[Readable], screen: Option<&Screen>) -> anyhow::Result<Vec<Done>> {
    let cancel = Cancel::new().context("making an eventfd")?;
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<(usize, Done)>> = Mutex::default();
    if let Some(screen) = screen {
        screen.header();
    }
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(Readable { submission, plan }) = input.get(index) else {
                break;
            };
            let tests = plan.tests.len();
            let started = Timestamp::now();
            let progress = |progress| {
                if let Some(screen) = screen {
                    screen.progress(index, &plan.name, tests, progress);
                }
            };
            let report = match judge.judge(plan, &cancel, &progress) {
                Ok(report) => report,
                Err(cancelled) => Report::fault(Fault::Here, cancelled.to_string(), None),
            };
            if let Some(screen) = screen {
                let expected = expected(submission);
                let language = &submission.spec.language;
                screen.finished(index, &Row { name: &plan.name, language, tests, report: &report, expected });
            }
            reports.lock().unwrap_or_else(PoisonError::into_inner).push((index, Done { report, started }));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..judge.slots().min(input.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(index, _)| *index);
    Ok(reports.into_iter().map(|(_, done)| done).collect())
}

/// A judging that is over.
struct Done {
    report: Report,
    started: Timestamp,
}

fn expected(submission: &Submission) -> Option<&str> {
    submission.metadata.annotations.as_ref()?.get(EXPECTED).map(String::as_str)
}

fn ending(args: &JudgeArgs, input: &documents::Input, reports: &[Done]) -> Ending {
    let differs = |(readable, done): (&Readable, &Done)| {
        expected(&readable.submission) != Some(done.report.verdict.name())
    };
    if reports.iter().any(|done| done.report.verdict.is_fault()) {
        Ending::Fault
    } else if !input.refused.is_empty() {
        Ending::Refused
    } else if args.expect && input.readable.iter().zip(reports).any(differs) {
        Ending::Unexpected
    } else {
        Ending::Judged
    }
}

fn print_refused(refused: &Refused) {
    let file = refused.file.to_string_lossy();
    for error in &refused.errors {
        let line = printable(format!("{file}: {}", message(error)).as_bytes(), MAX_LINE);
        writeln!(io::stderr(), "{}", line.replace('\n', " ")).ok(); // nobody is left to be told
    }
}

/// An error of no field says itself what it is about.
fn message(error: &crds::FieldError) -> String {
    if error.path.is_empty() { error.message.clone() } else { error.to_string() }
}

/// What `kubectl get -o` would print, the refused ones included.
fn print_list(output: Output, input: &documents::Input, reports: &[Done]) -> anyhow::Result<()> {
    let mut items: Vec<Value> = Vec::new();
    for (Readable { submission, plan }, done) in input.readable.iter().zip(reports) {
        let status = status(plan, done, submission.metadata.generation);
        items.push(serde_json::to_value(Submission { status: Some(status), ..submission.clone() })?);
    }
    items.extend(input.refused.iter().filter_map(|r| refused_item(r.name.as_deref()?, &r.file, &r.errors)));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&list)? + "\n",
        Output::Yaml | Output::Table => serde_saphyr::to_string(&list).context("writing YAML")?,
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("printing the results"),
        _ => Ok(()),
    }
}

/// The status that the operator would write, had it been one job.
fn status(plan: &Plan, done: &Done, generation: Option<i64>) -> SubmissionStatus {
    let count = u32::try_from(plan.tests.len()).unwrap_or(u32::MAX);
    let report = job_report(plan, &done.report, "", done.started);
    let span = Span { first: 0, count, total: count, batches: 1 };
    let judging = Judging { number: 1, generation, deliveries: None, queued: None };
    Judged::fold(count, vec![Batch { span, result: Ok(report) }]).status(judging, Timestamp::now())
}

/// A refused Submission with the status that the operator would give it.
fn refused_item(name: &str, file: &Path, errors: &[crds::FieldError]) -> Option<Value> {
    let message: Vec<String> = errors.iter().map(message).collect();
    let status = invalid(&message.join("; "), None, Timestamp::now());
    let annotations = json!({"kubejudge.dev/file": file.to_string_lossy()});
    let status = serde_json::to_value::<SubmissionStatus>(status).ok()?;
    let metadata = json!({"name": name, "annotations": annotations});
    Some(
        json!({"apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": metadata, "status": status}),
    )
}
