//! One test in one box: run, compare, judge.

use std::sync::Arc;

use judging::{Comparison, Evidence};
use sandbox::{Artifact, BoxFile, Cancel, Engine, Outcome, Request, RequestError};

use crate::excerpt::{EXCERPT, around_line};
use crate::plan::{Program, Test};
use crate::report::{Excerpts, TestReport, Usage};

/// A compiled program, ready to be run any number of times.
pub struct Runnable<'a> {
    program: &'a Program,
    request: Request,
    comparison: Comparison,
    /// Whether what is executed was made from the source, so that a kernel which refuses it refuses the submitter's
    /// work: a broken ELF file, say. A program of the toolchain, or one that was never made, is the Language's.
    runs_artifact: bool,
}

impl<'a> Runnable<'a> {
    /// Puts program and artifact together, once for all tests.
    pub fn new(
        program: &'a Program,
        artifact: &Artifact,
        comparison: Comparison,
    ) -> Result<Self, RequestError> {
        let file = |f: &sandbox::ArtifactFile| BoxFile::new(&f.path, Arc::clone(&f.data), f.executable);
        let files = artifact.files.iter().map(file).collect::<Result<_, _>>()?;
        let command = program.run_command()?;
        let runs_artifact = artifact.files.iter().any(|f| command.program() == format!("./{}", f.path));
        let request = Request::new(command, files, program.run_limits())?;
        Ok(Self { program, request, comparison, runs_artifact })
    }

    /// Runs and judges `test`. A fault of the platform is a report too; nothing if it was cancelled.
    pub fn run(&self, engine: &dyn Engine, test: &Test, cancel: &Cancel) -> Option<TestReport> {
        let request = self.request.clone().stdin(Arc::clone(&test.input));
        Some(match engine.run(&request, cancel) {
            Err(sandbox::Error::Cancelled) => return None,
            Ok(outcome) => self.judge(test, &outcome),
            Err(sandbox::Error::Exec { source, .. }) if self.runs_artifact => {
                TestReport::not_started(format!("the program can't be executed: {source}"))
            }
            Err(error) => TestReport::platform_fault(error.to_string()),
        })
    }

    fn judge(&self, test: &Test, outcome: &Outcome) -> TestReport {
        let evidence = Evidence {
            exceeded: outcome.exceeded.map(limit),
            exit: exit(outcome.exit),
            cpu: outcome.cpu.value,
            clocks: self.program.clocks(),
            output: &outcome.stdout.bytes,
            output_truncated: outcome.stdout.is_truncated(),
        };
        let judging::Judgement { verdict, message } =
            judging::judge(&evidence, self.comparison, &test.answer);
        let wrong = verdict == judging::Verdict::WrongAnswer;
        TestReport {
            verdict,
            message,
            usage: Some(Usage { cpu: outcome.cpu, wall: outcome.wall, memory: outcome.memory }),
            exit: Some(outcome.exit),
            excerpts: wrong.then(|| excerpts(self.comparison, &outcome.stdout.bytes, &test.answer)),
        }
    }
}

fn excerpts(comparison: Comparison, actual: &[u8], expected: &[u8]) -> Excerpts {
    let line = judging::compare(comparison, actual, expected).err().map_or(1, |difference| difference.line);
    Excerpts { actual: around_line(actual, line, EXCERPT), expected: around_line(expected, line, EXCERPT) }
}

fn limit(limit: sandbox::Limit) -> judging::Limit {
    match limit {
        sandbox::Limit::Cpu => judging::Limit::Cpu,
        sandbox::Limit::Wall => judging::Limit::Wall,
        sandbox::Limit::Memory => judging::Limit::Memory,
        sandbox::Limit::Output => judging::Limit::Output,
        sandbox::Limit::Processes => judging::Limit::Processes,
    }
}

fn exit(exit: sandbox::Exit) -> judging::Exit {
    match exit {
        sandbox::Exit::Code(code) => judging::Exit::Code(code),
        sandbox::Exit::Signal(signal) => judging::Exit::Signal(signal),
    }
}
