//! A whole Submission: compiled once, its tests side by side, their results folded into one verdict.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use judging::{Fold, TestResult, Verdict};
use sandbox::{Artifact, Cancel, Engine};

use crate::compile::{Compiled, Compiler};
use crate::execute::Runnable;
use crate::plan::Plan;
use crate::report::{CompileReport, Fault, Report, TestReport};
use crate::slots::{NotAdmitted, Slots, footprint};

/// What a judging tells on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The compiler is at work, or the cache is asked.
    Compiling,
    /// This many tests are done.
    Tested(usize),
}

/// Somebody asked for the end of a judging: there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Judges Submissions with one engine. Shared by threads, each with a Submission of its own.
pub struct Judge {
    engine: Arc<dyn Engine>,
    compiler: Compiler,
    slots: Arc<Slots>,
    /// Threads beside those of the callers that may still be started: one for each slot, whoever needs it.
    helpers: AtomicUsize,
}

impl Judge {
    /// A judge whose boxes, the compilers' among them, share `slots`.
    pub fn new(engine: Arc<dyn Engine>, compiler: Compiler, slots: impl Into<Arc<Slots>>) -> Self {
        let slots = slots.into();
        let helpers = AtomicUsize::new(slots.count());
        Self { engine, compiler, slots, helpers }
    }

    /// How many boxes run at one time.
    pub fn slots(&self) -> usize {
        self.slots.count()
    }

    /// Judges `plan` to its end. What the platform can't do is in the report.
    pub fn judge(
        &self,
        plan: &Plan,
        cancel: &Cancel,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Report, Cancelled> {
        progress(Progress::Compiling);
        match self.compiler.compile(&plan.program, &self.slots, cancel) {
            Ok(Compiled::Ready(artifact, report)) => self.test(plan, &artifact, report, cancel, progress),
            Ok(Compiled::Refused { message, report }) => Ok(Report::refused(message, report)),
            Err(error) => {
                let fault = error.fault().ok_or(Cancelled)?;
                Ok(Report::fault(fault, error.to_string(), None))
            }
        }
    }

    fn test(
        &self,
        plan: &Plan,
        artifact: &Artifact,
        compile: Option<CompileReport>,
        cancel: &Cancel,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Report, Cancelled> {
        let runnable = match Runnable::new(&plan.program, artifact, plan.comparison) {
            Ok(runnable) => runnable,
            Err(error) => {
                let message = format!("language {}: {error}", plan.program.language_name);
                return Ok(Report::fault(Fault::Everywhere, message, compile));
            }
        };
        progress(Progress::Tested(0));
        let work = Work::new(self, plan, &runnable, cancel, progress);
        let tests = work.run().ok_or(Cancelled)?;
        Ok(fold(plan, compile, tests))
    }
}

/// The tests of one judging, on the caller's thread and as many more as slots and helpers allow. Which thread runs
/// which test is left to chance, the order of the results is not.
struct Work<'a> {
    judge: &'a Judge,
    plan: &'a Plan,
    runnable: &'a Runnable<'a>,
    memory: u64,
    cancel: &'a Cancel,
    progress: &'a (dyn Fn(Progress) + Sync),
    span: tracing::Span,
    next: AtomicUsize,
    done: AtomicUsize,
    reports: Mutex<Vec<Option<TestReport>>>,
}

impl<'a> Work<'a> {
    fn new(
        judge: &'a Judge,
        plan: &'a Plan,
        runnable: &'a Runnable<'a>,
        cancel: &'a Cancel,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Self {
        Self {
            judge,
            plan,
            runnable,
            memory: footprint(&plan.program.run_limits()),
            cancel,
            progress,
            span: tracing::Span::current(),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            reports: Mutex::new(vec![None; plan.tests.len()]),
        }
    }

    /// All results in order; nothing if it was cancelled before there were all.
    fn run(self) -> Option<Vec<TestReport>> {
        std::thread::scope(|scope| {
            let mut helpers = 0;
            // Others may give helpers back at any time, so one is asked for before each test.
            while !self.cancel.is_cancelled() && self.left() > 0 {
                if self.left() > 1 && helpers + 1 < self.judge.slots() && self.start_helper(scope) {
                    helpers += 1;
                }
                self.run_next();
            }
        });
        self.reports.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
    }

    fn left(&self) -> usize {
        self.plan.tests.len().saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Starts a thread that runs tests until there are no more, if there may be another.
    fn start_helper<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> bool {
        let helpers = &self.judge.helpers;
        let one_less = |count: usize| count.checked_sub(1);
        if helpers.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_err() {
            return false;
        }
        let help = || {
            let _entered = self.span.enter();
            while !self.cancel.is_cancelled() && self.run_next() {}
            helpers.fetch_add(1, Ordering::AcqRel);
        };
        let started = Builder::new().spawn_scoped(scope, help).is_ok();
        if !started {
            // Without it the judging takes longer, and ends all the same.
            helpers.fetch_add(1, Ordering::AcqRel);
        }
        started
    }

    /// Runs the next test, and says whether there was one.
    fn run_next(&self) -> bool {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(test) = self.plan.tests.get(index) else { return false };
        let report = match self.judge.slots.take(self.memory, self.cancel) {
            Ok(_slot) => self.runnable.run(&*self.judge.engine, test, self.cancel),
            Err(NotAdmitted::Cancelled) => None,
            Err(error @ NotAdmitted::TooLarge { .. }) => Some(TestReport::platform_fault(error.to_string())),
        };
        if let Some(place) = self.reports.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *place = report;
        }
        (self.progress)(Progress::Tested(self.done.fetch_add(1, Ordering::Relaxed) + 1));
        true
    }
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
        Err(error) => return Report::fault(Fault::Everywhere, error.to_string(), compile),
    };
    let verdict = fold.decided().unwrap_or(Verdict::InternalError);
    let decisive = plan.tests.iter().zip(&tests).find(|(_, report)| report.verdict != Verdict::Accepted);
    let message =
        decisive.map(|(test, report)| format!("test {}: {}", test.name, report.message)).unwrap_or_default();
    let fault = tests.iter().any(|test| test.verdict == Verdict::InternalError).then_some(Fault::Here);
    Report { verdict, message, score_milli: fold.summary().score_milli, compile, tests, fault }
}
