//! What is to be done for a Submission, worked out without I/O: every default applied, every reference resolved.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::{FieldError, Language, LanguageSpec, ResolvedLimits, Submission};
use judging::{Clocks, Comparison};
use queue::contract::{BlobHash, Job, Payload};
use sandbox::{BoxFile, Command, Limits, RequestError};

/// Open files of one process in a box.
const OPEN_FILES: u32 = 256;
/// Largest stack of a main thread. Not the whole memory: threads get as much address space each by default.
const MAX_STACK: u64 = 256 << 20;
/// The longest that a box may take, in milliseconds: the schema's bound on `wallTimeMilliseconds`.
const MAX_WALL: i64 = 1_800_000;

/// A Submission that can be judged.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The Submission's name, for messages.
    pub name: String,
    /// The program and how it is built and run.
    pub program: Arc<Program>,
    /// Its tests, in order.
    pub tests: Arc<[Test]>,
    /// How outputs are compared to answers.
    pub comparison: Comparison,
}

/// A source in a language.
#[derive(Debug, Clone)]
pub struct Program {
    /// The Language's name, for messages.
    pub language_name: String,
    /// How it is compiled and run.
    pub language: LanguageSpec,
    /// Its text.
    pub source: Arc<[u8]>,
    /// Limits of each test.
    pub limits: ResolvedLimits,
}

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its place among all the Submission's tests, from 0.
    pub index: u32,
    /// Its name within the Submission.
    pub name: String,
    /// What the program reads.
    pub input: Arc<[u8]>,
    /// What it must print.
    pub answer: Arc<[u8]>,
}

/// Plans a Submission that passed [`crds::validate()`], with its language and the text of its source.
pub fn plan(submission: &Submission, language: &Language, source: &str) -> Result<Plan, Vec<FieldError>> {
    let errors = crds::check_limits(&submission.spec, &language.spec);
    if !errors.is_empty() {
        return Err(errors);
    }
    if let Some(problem) = &submission.spec.problem_ref {
        let message = format!(
            "Problem {:?} is not known here: `judge` takes Submissions with their own tests",
            problem.name
        );
        return Err(vec![FieldError { path: "spec.problemRef.name".into(), message }]);
    }
    let test = |(index, t): (u32, &crds::InlineTest)| Test {
        index,
        name: t.name.clone(),
        input: t.input.as_bytes().into(),
        answer: t.answer.as_bytes().into(),
    };
    let program = Program {
        language_name: submission.spec.language.clone(),
        language: language.spec.clone(),
        source: source.as_bytes().into(),
        limits: ResolvedLimits::of(submission.spec.limits.as_ref(), &language.spec),
    };
    Ok(Plan {
        name: submission.metadata.name.clone().unwrap_or_default(),
        program: Arc::new(program),
        tests: (0..).zip(&submission.spec.tests).map(test).collect(),
        comparison: comparison(submission.spec.comparison.unwrap_or_default()),
    })
}

/// Why a job can't be judged by any runner of this release.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JobError {
    /// Its tests are not those that its place in the whole asks for.
    #[error("the job's tests are not those of its span")]
    Span,
    /// It asks for a box that may take longer than any may.
    #[error("a wall clock of {0} ms is more than the {MAX_WALL} ms that any box may take")]
    WallTime(i64),
    /// A blob that it names was not given.
    #[error("blob {0} is missing")]
    Blob(BlobHash),
}

impl Plan {
    /// Plans a job from the queue, given the content of all its blobs. Whoever wrote it checked it against the schema;
    /// what would hold this runner up is checked again.
    pub fn of_job(job: Job, blobs: &HashMap<BlobHash, Arc<[u8]>>) -> Result<Self, JobError> {
        check(&job)?;
        let content = |payload: &Payload| match payload {
            Payload::Text(text) => Ok(Arc::from(text.as_bytes())),
            Payload::Blob(name) => blobs.get(&name.hash).cloned().ok_or(JobError::Blob(name.hash)),
        };
        let test = |t: queue::JobTest| -> Result<Test, JobError> {
            Ok(Test { index: t.index, input: content(&t.input)?, answer: content(&t.answer)?, name: t.name })
        };
        let program = Program {
            source: content(&job.source)?,
            language_name: job.language.name,
            language: job.language.spec,
            limits: job.limits,
        };
        Ok(Self {
            name: job.name,
            program: Arc::new(program),
            tests: job.tests.into_iter().map(test).collect::<Result<_, _>>()?,
            comparison: comparison(job.comparison),
        })
    }
}

fn check(job: &Job) -> Result<(), JobError> {
    let queue::contract::Span { first, count, .. } = job.span;
    let asked = first..first.saturating_add(count);
    if asked.is_empty() || !asked.eq(job.tests.iter().map(|test| test.index)) {
        return Err(JobError::Span);
    }
    let compile = job.language.spec.compile.as_ref().map(|compile| &compile.limits);
    // A clock that is derived from the CPU time is longer than that.
    let compile = compile.map(|l| l.wall_time_milliseconds.unwrap_or(l.time_milliseconds));
    let longest = compile.into_iter().fold(job.limits.wall_time_milliseconds, i64::max);
    if longest > MAX_WALL { Err(JobError::WallTime(longest)) } else { Ok(()) }
}

fn comparison(asked: crds::Comparison) -> Comparison {
    match asked {
        crds::Comparison::Lines => Comparison::Lines,
        crds::Comparison::Exact => Comparison::Exact,
    }
}

impl Program {
    /// The clocks of one test.
    pub fn clocks(&self) -> Clocks {
        Clocks {
            cpu: milliseconds(self.limits.time_milliseconds),
            wall: milliseconds(self.limits.wall_time_milliseconds),
        }
    }

    /// The box's limits for one test.
    pub fn run_limits(&self) -> Limits {
        let ResolvedLimits { memory_bytes, output_bytes, processes, .. } = self.limits;
        let Clocks { cpu, wall } = self.clocks();
        self.limits_of(cpu, wall, memory_bytes, output_bytes, processes, 0)
    }

    /// The box's limits for the compiler.
    pub fn compile_limits(&self, compile: &crds::Compile) -> Limits {
        let crds::CompileLimits {
            time_milliseconds,
            wall_time_milliseconds,
            memory_bytes,
            output_bytes,
            processes,
            disk_bytes,
        } = compile.limits;
        let Clocks { cpu, wall } =
            Clocks::new(milliseconds(time_milliseconds), wall_time_milliseconds.map(milliseconds));
        let mut limits =
            self.limits_of(cpu, wall, memory_bytes, output_bytes, processes, unsigned(disk_bytes));
        // A compiler may be a program of another kind than what it makes; its memory is limited as resident.
        limits.reserves_address_space = true;
        limits
    }

    fn limits_of(
        &self,
        cpu: Duration,
        wall: Duration,
        memory: i64,
        output: i64,
        processes: i32,
        disk: u64,
    ) -> Limits {
        Limits {
            cpu,
            wall,
            memory: unsigned(memory),
            output: unsigned(output),
            processes: u32::try_from(processes).unwrap_or(1),
            open_files: OPEN_FILES,
            stack: unsigned(memory).min(MAX_STACK),
            disk,
            reserves_address_space: self.language.reserves_address_space,
        }
    }

    /// The command that runs the program.
    pub fn run_command(&self) -> Result<Command, RequestError> {
        command_of(&self.language.run.command, &self.language.run.env)
    }

    /// The source as a file in the working folder.
    pub fn source_file(&self) -> Result<BoxFile, RequestError> {
        BoxFile::new(&self.language.source_file, Arc::clone(&self.source), true)
    }
}

/// A command as a Language writes it.
pub(crate) fn command_of(argv: &[String], env: &[crds::EnvVar]) -> Result<Command, RequestError> {
    let env: Vec<(&str, &str)> = env.iter().map(|e| (e.name.as_str(), e.value.as_str())).collect();
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    Command::new(&argv, &env)
}

fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(unsigned(value))
}

/// The schema bounds every figure from below by at least zero.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn language(maximum: i64) -> Language {
        let spec = json!({
            "displayName": "C", "sourceFile": "main.c", "run": {"command": ["./main"]},
            "compile": {"command": ["/usr/bin/gcc", "main.c"], "artifacts": ["main"], "limits": {
                "timeMilliseconds": 3000, "memoryBytes": 1 << 28, "outputBytes": 4096, "processes": 9, "diskBytes": 1 << 20}},
            "limits": {"default": {"timeMilliseconds": 1000, "memoryBytes": 1 << 26, "outputBytes": 2048, "processes": 4},
                "maximum": {"timeMilliseconds": maximum}},
        });
        Language::new("c", serde_json::from_value(spec).unwrap())
    }

    fn submission(extra: &serde_json::Value) -> Submission {
        let mut spec = json!({"language": "c", "source": {"inline": "int main;"}});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Submission::new("s", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn every_figure_lands_where_it_belongs() {
        let tests = json!([{"name": "1", "input": "i", "answer": "a"}]);
        let asked =
            submission(&json!({"tests": tests, "comparison": "Exact", "limits": {"timeMilliseconds": 500}}));
        let plan = plan(&asked, &language(9000), "int main;").unwrap();
        let run = plan.program.run_limits();
        assert_eq!((run.cpu, run.wall), (Duration::from_millis(500), Duration::from_secs(2)));
        assert_eq!(
            (run.memory, run.output, run.processes, run.disk, run.stack),
            (1 << 26, 2048, 4, 0, 1 << 26)
        );
        let compile = plan.program.compile_limits(plan.program.language.compile.as_ref().unwrap());
        assert_eq!((compile.cpu, compile.wall), (Duration::from_secs(3), Duration::from_secs(7)));
        assert_eq!(
            (compile.memory, compile.output, compile.processes, compile.disk),
            (1 << 28, 4096, 9, 1 << 20)
        );
        assert_eq!(plan.comparison, Comparison::Exact);
        assert_eq!((&*plan.tests[0].input, &*plan.tests[0].answer), (&b"i"[..], &b"a"[..]));
    }

    #[test]
    fn a_limit_above_the_languages_and_a_problem_are_refused_by_name() {
        let tests = json!([{"name": "1", "input": "", "answer": ""}]);
        let asked = submission(&json!({"tests": tests, "limits": {"timeMilliseconds": 500}}));
        let errors = plan(&asked, &language(499), "").unwrap_err();
        assert_eq!(errors[0].path, "spec.limits.timeMilliseconds");
        let asked = submission(&json!({"problemRef": {"name": "p"}}));
        assert_eq!(plan(&asked, &language(499), "").unwrap_err()[0].path, "spec.problemRef.name");
    }

    fn job() -> Job {
        let test = |index: u32| queue::JobTest {
            index,
            name: format!("t{index}"),
            input: Payload::Text("i".into()),
            answer: Payload::Text("a".into()),
        };
        let language = queue::LanguageSnapshot { name: "c".into(), spec: language(9000).spec };
        Job {
            id: format!("u/1/{}/0", "0".repeat(32)).parse().unwrap(),
            namespace: "n".into(),
            name: "s".into(),
            priority: crds::Priority::Normal,
            limits: ResolvedLimits::of(None, &language.spec),
            language,
            source: Payload::Text("int main;".into()),
            comparison: crds::Comparison::Exact,
            span: queue::contract::Span { first: 3, count: 2, total: 9, batches: 3 },
            tests: vec![test(3), test(4)],
        }
    }

    fn refused(change: impl FnOnce(&mut Job)) -> JobError {
        let mut job = job();
        change(&mut job);
        Plan::of_job(job, &HashMap::new()).unwrap_err()
    }

    #[test]
    fn a_job_is_planned_with_the_content_of_its_blobs() {
        let mut job = job();
        let blob = queue::Blob::pack(b"large").name;
        job.tests[1].input = Payload::Blob(blob);
        let plan = Plan::of_job(job, &HashMap::from([(blob.hash, Arc::from(*b"large"))])).unwrap();
        let tests: Vec<_> = plan.tests.iter().map(|t| (t.index, t.name.as_str(), &*t.input)).collect();
        assert_eq!(tests, [(3, "t3", &b"i"[..]), (4, "t4", b"large")]);
        assert_eq!((&*plan.program.source, plan.comparison), (&b"int main;"[..], Comparison::Exact));
        assert_eq!(refused(|job| job.source = Payload::Blob(blob)), JobError::Blob(blob.hash));
    }

    #[test]
    fn a_job_that_contradicts_itself_is_refused() {
        assert_eq!(refused(|job| job.span.first = 0), JobError::Span);
        assert_eq!(refused(|job| job.span.count = u32::MAX), JobError::Span);
        assert_eq!(refused(|job| drop(job.tests.pop())), JobError::Span);
        let none = |job: &mut Job| (job.tests, job.span.count) = (vec![], 0);
        assert_eq!(refused(none), JobError::Span);
        let wall = |job: &mut Job| job.limits.wall_time_milliseconds = MAX_WALL + 1;
        assert_eq!(refused(wall), JobError::WallTime(MAX_WALL + 1));
        let compile = |job: &mut Job| {
            job.language.spec.compile.as_mut().unwrap().limits.time_milliseconds = i64::MAX;
        };
        assert_eq!(refused(compile), JobError::WallTime(i64::MAX));
    }
}
