//! A whole Submission: compiled once, its tests side by side, their results folded into one verdict.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use judging::{Fold, TestResult, Verdict};
use sandbox::{Artifact, Cancel, Engine};

use crate::compile::{Compiled, Compiler};
use crate::execute::Runnable;
use crate::plan::Plan;
use crate::report::{CompileReport, Report, TestReport};
use crate::slots::Slots;

/// What a judging tells on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The compiler is at work, or the cache is asked.
    Compiling,
    /// This many tests are done.
    Tested(usize),
}

/// Judges Submissions with one engine. Shared by threads, each with a Submission of its own.
pub struct Judge<'a> {
    engine: &'a dyn Engine,
    compiler: Compiler<'a>,
    slots: Slots,
}

impl<'a> Judge<'a> {
    /// A judge whose boxes, the compilers' among them, share `slots`.
    pub fn new(engine: &'a dyn Engine, compiler: Compiler<'a>, slots: Slots) -> Self {
        Self { engine, compiler, slots }
    }

    /// How many boxes run at one time.
    pub fn slots(&self) -> usize {
        self.slots.count()
    }

    /// Judges `plan` to its end. Never fails: what the platform can't do is in the report.
    pub fn judge(&self, plan: &Plan, cancel: &Cancel, progress: &(dyn Fn(Progress) + Sync)) -> Report {
        progress(Progress::Compiling);
        match self.compiler.compile(&plan.program, &self.slots, cancel) {
            Ok(Compiled::Ready(artifact, report)) => self.test(plan, &artifact, report, cancel, progress),
            Ok(Compiled::Refused { message, report }) => {
                Report::early(Verdict::CompilationError, message, Some(report))
            }
            Err(error) => Report::early(Verdict::InternalError, error.to_string(), None),
        }
    }

    fn test(
        &self,
        plan: &Plan,
        artifact: &Artifact,
        compile: Option<CompileReport>,
        cancel: &Cancel,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Report {
        let runnable = match Runnable::new(&plan.program, artifact, plan.comparison) {
            Ok(runnable) => runnable,
            Err(error) => {
                let message = format!("language {}: {error}", plan.program.language_name);
                return Report::early(Verdict::InternalError, message, compile);
            }
        };
        progress(Progress::Tested(0));
        let tests = self.run_all(plan, &runnable, cancel, progress);
        fold(plan, compile, tests)
    }

    /// Runs the tests on as many threads as there are slots; which thread runs which test is left to chance, the order
    /// of the results is not.
    fn run_all(
        &self,
        plan: &Plan,
        runnable: &Runnable<'_>,
        cancel: &Cancel,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Vec<TestReport> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let reports: Mutex<Vec<Option<TestReport>>> = Mutex::new(vec![None; plan.tests.len()]);
        let work = || {
            while let (index, Some(test)) = take(&next, &plan.tests) {
                let report = match self.slots.take(plan.program.memory()) {
                    Ok(_slot) => runnable.run(self.engine, test, cancel),
                    Err(error) => TestReport::platform_fault(error.to_string()),
                };
                if let Some(place) = reports.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
                    *place = Some(report);
                }
                progress(Progress::Tested(done.fetch_add(1, Ordering::Relaxed) + 1));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.slots.count().min(plan.tests.len()) {
                scope.spawn(work);
            }
            work();
        });
        let missing = || TestReport::platform_fault("the test was not run");
        let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        reports.into_iter().map(|r| r.unwrap_or_else(missing)).collect()
    }
}

fn take<'t, T>(next: &AtomicUsize, all: &'t [T]) -> (usize, Option<&'t T>) {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index, all.get(index))
}

/// The verdict on the whole, and the words of the test that decided it.
fn fold(plan: &Plan, compile: Option<CompileReport>, tests: Vec<TestReport>) -> Report {
    let results = || -> Result<Fold, judging::FoldError> {
        let mut fold = Fold::new(tests.len())?;
        for (index, test) in tests.iter().enumerate() {
            let time = test.usage.map(|u| u.cpu.value).unwrap_or_default();
            let memory_bytes = test.usage.map_or(0, |u| u.memory.value);
            fold.insert(index, TestResult { verdict: test.verdict, time, memory_bytes })?;
        }
        Ok(fold)
    };
    let fold = match results() {
        Ok(fold) => fold,
        Err(error) => return Report::early(Verdict::InternalError, error.to_string(), compile),
    };
    let verdict = fold.decided().unwrap_or(Verdict::InternalError);
    let decisive = plan.tests.iter().zip(&tests).find(|(_, report)| report.verdict != Verdict::Accepted);
    let message =
        decisive.map(|(test, report)| format!("test {}: {}", test.name, report.message)).unwrap_or_default();
    Report { verdict, message, score_milli: fold.summary().score_milli, compile, tests }
}
