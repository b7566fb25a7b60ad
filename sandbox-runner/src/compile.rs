//! From source to artifact: once for each program, from the cache where it was made before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crds::Compile;
use sandbox::{Artifact, ArtifactFile, Cancel, CollectBounds, Engine, Exit, Limit, Limits, Outcome, Request};

use crate::cache::{DiskCache, Key};
use crate::excerpt::{COMPILER_OUTPUT, printable};
use crate::plan::{Program, command_of};
use crate::report::{CompileReport, Usage};
use crate::slots::Slots;
use crate::toolchain::Toolchain;

/// Why there is no artifact, and it is not the program's fault.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The box could not do its work.
    #[error("compiling: {0}")]
    Box(#[from] sandbox::Error),
    /// The Language asks for what a box can't do.
    #[error("language {language}: {source}")]
    Language {
        /// Its name.
        language: String,
        /// What it asks for.
        source: sandbox::RequestError,
    },
    /// The compiler is not in this toolchain.
    #[error("language {language}: {program}: {source}")]
    NoCompiler {
        /// The Language's name.
        language: String,
        /// The compiler's path.
        program: String,
        /// Why it can't be read.
        source: std::io::Error,
    },
    /// It would never fit beside others.
    #[error("compiling: {0}")]
    TooLarge(#[from] crate::slots::TooLarge),
}

/// What came of compiling.
#[derive(Debug)]
pub enum Compiled {
    /// A program that can be run. No report if the source runs as it is.
    Ready(Arc<Artifact>, Option<CompileReport>),
    /// The compiler refused it, or broke a limit.
    Refused {
        /// Why.
        message: String,
        /// How it went.
        report: CompileReport,
    },
}

/// Compiles programs; each at one time by one caller alone, while the others wait for the artifact.
pub struct Compiler<'a> {
    engine: &'a dyn Engine,
    toolchain: Toolchain,
    cache: Option<DiskCache>,
    running: Mutex<HashMap<Key, Arc<Mutex<()>>>>,
}

impl<'a> Compiler<'a> {
    /// A compiler whose artifacts are kept in `cache`, if there is one.
    pub fn new(engine: &'a dyn Engine, toolchain: Toolchain, cache: Option<DiskCache>) -> Self {
        Self { engine, toolchain, cache, running: Mutex::default() }
    }

    /// The artifact of `program`. Waits for another caller that compiles the same, and for a slot to compile in.
    pub fn compile(
        &self,
        program: &Program,
        slots: &Slots,
        cancel: &Cancel,
    ) -> Result<Compiled, CompileError> {
        let Some(compile) = &program.language.compile else {
            return Ok(Compiled::Ready(Arc::new(source_alone(program)), None));
        };
        let path = compile.command.first().map(String::as_str).unwrap_or_default();
        let identity = self.toolchain.identity(path).map_err(|source| CompileError::NoCompiler {
            language: program.language_name.clone(),
            program: path.to_owned(),
            source,
        })?;
        let key = Key::of(program, &identity);
        let turn = self.turn(key);
        let alone = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = match self.cache.as_ref().and_then(|c| c.get(&key)) {
            Some(artifact) => Ok(Compiled::Ready(Arc::new(artifact), Some(from_cache()))),
            None => self.compile_now(program, compile, &key, slots, cancel),
        };
        drop(alone);
        self.leave(&key, turn);
        compiled
    }

    fn turn(&self, key: Key) -> Arc<Mutex<()>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(running.entry(key).or_default())
    }

    /// The last to leave takes the entry along; while others wait at it, whoever comes must wait there too.
    fn leave(&self, key: &Key, turn: Arc<Mutex<()>>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        if running.get(key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            running.remove(key);
        }
    }

    fn compile_now(
        &self,
        program: &Program,
        compile: &Compile,
        key: &Key,
        slots: &Slots,
        cancel: &Cancel,
    ) -> Result<Compiled, CompileError> {
        let limits = program.compile_limits(compile);
        let _slot = slots.take(limits.memory)?;
        let request = request(program, compile, limits)
            .map_err(|source| CompileError::Language { language: program.language_name.clone(), source })?;
        let outcome = self.engine.run(&request, cancel)?;
        let compiled = judge(compile, &outcome);
        if let (Compiled::Ready(artifact, _), Some(cache)) = (&compiled, &self.cache)
            && let Err(error) = cache.put(key, artifact)
        {
            tracing::warn!(%error, "An artifact could not be cached.");
        }
        Ok(compiled)
    }
}

fn source_alone(program: &Program) -> Artifact {
    let data = Arc::clone(&program.source);
    Artifact {
        files: vec![ArtifactFile { path: program.language.source_file.clone(), executable: true, data }],
    }
}

fn from_cache() -> CompileReport {
    CompileReport { cached: true, exit_code: None, usage: None, output: String::new() }
}

/// The compiler's box.
fn request(program: &Program, compile: &Compile, limits: Limits) -> Result<Request, sandbox::RequestError> {
    let command = command_of(&compile.command, &compile.env)?;
    let request = Request::new(command, vec![program.source_file()?], limits)?;
    Ok(request.keep_stderr(COMPILER_OUTPUT * 4))
}

fn judge(compile: &Compile, outcome: &Outcome) -> Compiled {
    let exit_code = match outcome.exit {
        Exit::Code(code) if outcome.exceeded.is_none() => Some(code),
        _ => None,
    };
    let usage = Usage { cpu: outcome.cpu, wall: outcome.wall, memory: outcome.memory };
    let output = output(outcome);
    let report = CompileReport { cached: false, exit_code, usage: Some(usage), output };
    let refused = |message| Compiled::Refused { message, report: report.clone() };
    if let Some(message) = failure(outcome) {
        return refused(message);
    }
    match outcome.leftovers.collect(&compile.artifacts, CollectBounds::default()) {
        Ok(artifact) => Compiled::Ready(Arc::new(artifact), Some(report)),
        Err(error) => refused(format!("the compiler left no program: {error}")),
    }
}

/// Why the compiler failed, in words for the submitter.
fn failure(outcome: &Outcome) -> Option<String> {
    Some(match (outcome.exceeded, outcome.exit) {
        (Some(Limit::Cpu), _) => "the compiler used more CPU time than allowed".to_owned(),
        (Some(Limit::Wall), _) => "the compiler did not finish in time".to_owned(),
        (Some(Limit::Memory), _) => "the compiler used more memory than allowed".to_owned(),
        (Some(Limit::Output), _) => "the compiler printed more than allowed".to_owned(),
        (Some(Limit::Processes), _) => "the compiler started more processes than allowed".to_owned(),
        (None, Exit::Signal(signal)) => format!("the compiler was killed by signal {signal}"),
        (None, Exit::Code(0)) => return None,
        (None, Exit::Code(code)) => format!("the compiler exited with code {code}"),
    })
}

/// Errors first: most compilers write them to stderr, some to stdout.
fn output(outcome: &Outcome) -> String {
    let stdout = outcome.stdout.bytes.get(..COMPILER_OUTPUT * 4).unwrap_or(&outcome.stdout.bytes);
    printable(&[&outcome.stderr.bytes, stdout].concat(), COMPILER_OUTPUT)
}
