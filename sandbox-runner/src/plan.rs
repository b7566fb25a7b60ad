//! What is to be done for a Submission, worked out without I/O: every default applied, every reference resolved.

use std::sync::Arc;
use std::time::Duration;

use crds::{FieldError, Language, LanguageSpec, ResolvedLimits, Submission};
use judging::{Clocks, Comparison};
use sandbox::{BoxFile, Command, Limits, RequestError};

/// Open files of one process in a box.
const OPEN_FILES: u32 = 256;
/// Largest stack of a main thread. Not the whole memory: threads get as much address space each by default.
const MAX_STACK: u64 = 256 << 20;

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
    let test = |t: &crds::InlineTest| Test {
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
        tests: submission.spec.tests.iter().map(test).collect(),
        comparison: comparison(submission.spec.comparison.unwrap_or_default()),
    })
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

    /// Bytes of memory one test may take.
    pub fn memory(&self) -> u64 {
        unsigned(self.limits.memory_bytes)
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
}
