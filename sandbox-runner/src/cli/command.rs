//! `judge`: files in, boxes made, verdicts out.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use crds::{Submission, SubmissionStatus};
use sandbox::{Cancel, NativeEngine, Options};
use serde_json::{Value, json};

use super::screen::{Row, Screen};
use super::{Ending, JudgeArgs, Output, machine};
use crate::cache::DiskCache;
use crate::compile::Compiler;
use crate::documents::{self, Readable, Refused};
use crate::excerpt::printable;
use crate::judge::Judge;
use crate::report::Report;
use crate::slots::Slots;
use crate::status;
use crate::toolchain::Toolchain;

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
    let engine = engine(args)?;
    let compiler =
        Compiler::new(&engine, Toolchain::new(&args.toolchain, args.toolchain_id.clone()), cache(args));
    let slots = Slots::new(
        args.slots.map_or_else(machine::cores, usize::from),
        args.memory_bytes.unwrap_or_else(machine::memory),
    );
    let judge = Judge::new(&engine, compiler, slots);
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

fn engine(args: &JudgeArgs) -> anyhow::Result<NativeEngine> {
    let mut options =
        Options { toolchain: args.toolchain.clone(), cgroups: !args.no_cgroups, ..Options::default() };
    options.hidden.extend(args.hide.iter().cloned());
    let engine = NativeEngine::new(&options).context("no box can be made here")?;
    tracing::info!(surroundings = %engine.surroundings(), "The engine is ready.");
    Ok(engine)
}

/// A cache that can't be had costs time, not verdicts.
fn cache(args: &JudgeArgs) -> Option<DiskCache> {
    if args.no_cache {
        return None;
    }
    let folder = args.cache_dir.clone().or_else(machine::cache_dir)?;
    let warn = |error: &io::Error| tracing::warn!(folder = %folder.display(), %error, "Nothing is cached.");
    DiskCache::open(&folder, args.cache_bytes).inspect_err(warn).ok()
}

/// As many Submissions at one time as there are slots, so that one's compiler and another's tests fill the cores.
fn judge_all(judge: &Judge<'_>, input: &[Readable], screen: Option<&Screen>) -> anyhow::Result<Vec<Report>> {
    let cancel = Cancel::new().context("making an eventfd")?;
    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<(usize, Report)>> = Mutex::default();
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
            let report = judge.judge(plan, &cancel, &|progress| {
                if let Some(screen) = screen {
                    screen.progress(index, &plan.name, tests, progress);
                }
            });
            if let Some(screen) = screen {
                let expected = expected(submission);
                let language = &submission.spec.language;
                screen.finished(index, &Row { name: &plan.name, language, tests, report: &report, expected });
            }
            reports.lock().unwrap_or_else(PoisonError::into_inner).push((index, report));
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
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn expected(submission: &Submission) -> Option<&str> {
    submission.metadata.annotations.as_ref()?.get(EXPECTED).map(String::as_str)
}

fn ending(args: &JudgeArgs, input: &documents::Input, reports: &[Report]) -> Ending {
    let differs = |(readable, report): (&Readable, &Report)| {
        expected(&readable.submission) != Some(report.verdict.name())
    };
    if reports.iter().any(|r| r.verdict.is_fault()) {
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
fn print_list(output: Output, input: &documents::Input, reports: &[Report]) -> anyhow::Result<()> {
    let mut items: Vec<Value> = Vec::new();
    for (Readable { submission, plan }, report) in input.readable.iter().zip(reports) {
        let status = status::finished(plan, report, submission.metadata.generation, jiff::Timestamp::now());
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

/// A refused Submission with the status that the operator would give it.
fn refused_item(name: &str, file: &Path, errors: &[crds::FieldError]) -> Option<Value> {
    let message: Vec<String> = errors.iter().map(message).collect();
    let status = status::invalid(&message.join("; "), jiff::Timestamp::now());
    let annotations = json!({"kubejudge.dev/file": file.to_string_lossy()});
    let status = serde_json::to_value::<SubmissionStatus>(status).ok()?;
    let metadata = json!({"name": name, "annotations": annotations});
    Some(
        json!({"apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission", "metadata": metadata, "status": status}),
    )
}
