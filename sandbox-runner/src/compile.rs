//! From source to artifact: once for each program, from the cache where it was made before.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::Compile;
use queue::contract::CacheLayer;
use sandbox::{Artifact, ArtifactFile, Cancel, CollectBounds, Engine, Exit, Limit, Limits, Outcome, Request};

use crate::cache::Key;
use crate::excerpt::{COMPILER_OUTPUT, printable};
use crate::plan::{Program, command_of};
use crate::report::{CompileReport, Fault, Usage};
use crate::slots::{LOOK, NotAdmitted, Slots, footprint};
use crate::store::{Found, Layers};
use crate::toolchain::Toolchain;

/// How much longer than the compiler's wall limit another runner is waited for: it may have waited for a slot itself.
const MARGIN: Duration = Duration::from_secs(10);

/// Why there is no artifact, and it is not the program's fault.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The box could not do its work.
    #[error("compiling: {0}")]
    Box(#[source] sandbox::Error),
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
    TooLarge(#[source] NotAdmitted),
    /// Somebody asked for the end.
    #[error("cancelled")]
    Cancelled,
}

impl CompileError {
    /// Whom it concerns; nobody if it was cancelled.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Cancelled => None,
            Self::Language { .. } => Some(Fault::Everywhere),
            Self::Box(_) | Self::NoCompiler { .. } | Self::TooLarge(_) => Some(Fault::Here),
        }
    }
}

impl From<sandbox::Error> for CompileError {
    fn from(error: sandbox::Error) -> Self {
        match error {
            sandbox::Error::Cancelled => Self::Cancelled,
            error => Self::Box(error),
        }
    }
}

impl From<NotAdmitted> for CompileError {
    fn from(error: NotAdmitted) -> Self {
        match error {
            NotAdmitted::Cancelled => Self::Cancelled,
            error @ NotAdmitted::TooLarge { .. } => Self::TooLarge(error),
        }
    }
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
pub struct Compiler {
    engine: Arc<dyn Engine>,
    toolchain: Toolchain,
    layers: Layers,
    running: Mutex<HashSet<Key>>,
    ended: Condvar,
}

/// The turn to get one artifact within this process; ends when dropped.
struct Turn<'a> {
    compiler: &'a Compiler,
    key: Key,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.compiler.running().remove(&self.key);
        self.compiler.ended.notify_all();
    }
}

impl Compiler {
    /// A compiler whose artifacts are kept in `layers`.
    pub fn new(engine: Arc<dyn Engine>, toolchain: Toolchain, layers: Layers) -> Self {
        Self { engine, toolchain, layers, running: Mutex::default(), ended: Condvar::new() }
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
        let limits = program.compile_limits(compile);
        let _turn = self.turn(key, cancel)?;
        match self.layers.find(&key, limits.wall.saturating_add(MARGIN), cancel) {
            Found::Artifact(artifact, layer) => {
                Ok(Compiled::Ready(Arc::new(artifact), Some(from_cache(layer))))
            }
            Found::Nothing(_right) => self.compile_now(program, compile, &key, limits, slots, cancel),
            Found::Cancelled => Err(CompileError::Cancelled),
        }
    }

    fn turn(&self, key: Key, cancel: &Cancel) -> Result<Turn<'_>, CompileError> {
        let mut running = self.running();
        while !running.insert(key) {
            running = self.ended.wait_timeout(running, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            if cancel.is_cancelled() {
                return Err(CompileError::Cancelled);
            }
        }
        Ok(Turn { compiler: self, key })
    }

    /// Nothing in here panics while it holds the lock, so a poisoned one is as good as any.
    fn running(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile_now(
        &self,
        program: &Program,
        compile: &Compile,
        key: &Key,
        limits: Limits,
        slots: &Slots,
        cancel: &Cancel,
    ) -> Result<Compiled, CompileError> {
        let slot = slots.take(footprint(&limits), cancel)?;
        let request = request(program, compile, limits)
            .map_err(|source| CompileError::Language { language: program.language_name.clone(), source })?;
        let outcome = self.engine.run(&request, cancel)?;
        let compiled = judge(compile, &outcome);
        drop((outcome.leftovers, slot));
        if let Compiled::Ready(artifact, _) = &compiled {
            self.layers.keep(key, artifact, outcome.wall);
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

fn from_cache(layer: CacheLayer) -> CompileReport {
    CompileReport { layer, exit_code: None, usage: None, output: String::new() }
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
    let report = CompileReport { layer: CacheLayer::Compiled, exit_code, usage: Some(usage), output };
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
