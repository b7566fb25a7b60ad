//! The floor: the same programs started bare, by vfork and exec.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use crds::EnvVar;
use sandbox_runner::plan::{Plan, Test};
use tempfile::TempDir;

use crate::boxes::{PROGRAM, side_by_side};

/// The working folder of a box, which a Language's environment may name.
const BOX_FOLDER: &str = "/box";

/// Starts a program that does nothing, and waits for it.
pub(crate) fn nothing() -> anyhow::Result<()> {
    quiet(&[PROGRAM])
}

/// Runs a command that prints nothing of interest. The standard library starts such a one with `posix_spawn`, which is
/// a vfork.
pub(crate) fn quiet(argv: &[&str]) -> anyhow::Result<()> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("starting {program}"))?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}

/// A plan carried out without a box, in a temporary folder with the inputs as files.
#[derive(Debug)]
pub(crate) struct Bare<'a> {
    plan: &'a Plan,
    folder: TempDir,
    inputs: TempDir,
}

impl<'a> Bare<'a> {
    /// Puts source and inputs there.
    pub(crate) fn new(plan: &'a Plan) -> anyhow::Result<Self> {
        let bare = Self { plan, folder: tempfile::tempdir()?, inputs: tempfile::tempdir()? };
        fs::write(bare.folder.path().join(&plan.program.language.source_file), &plan.program.source)?;
        for (index, test) in plan.tests.iter().enumerate() {
            fs::write(bare.input(index), &test.input)?;
        }
        Ok(bare)
    }

    fn input(&self, index: usize) -> PathBuf {
        self.inputs.path().join(index.to_string())
    }

    /// Runs the compiler, if the language has one.
    pub(crate) fn compile(&self) -> anyhow::Result<()> {
        let Some(compile) = &self.plan.program.language.compile else {
            return Ok(());
        };
        let output =
            command(&compile.command, &compile.env, self.folder.path())?.stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{:?} bare: {}: {errors}", compile.command, output.status);
        Ok(())
    }

    /// Runs all tests, so many at a time.
    pub(crate) fn test(&self, threads: usize) -> anyhow::Result<()> {
        side_by_side(threads, self.plan.tests.len(), &|index| match self.plan.tests.get(index) {
            Some(test) => self.run(index, test),
            None => Ok(()),
        })
    }

    fn run(&self, index: usize, test: &Test) -> anyhow::Result<()> {
        let run = &self.plan.program.language.run;
        let mut command = command(&run.command, &run.env, self.folder.path())?;
        let output = command.stdin(File::open(self.input(index))?).stderr(Stdio::null()).output()?;
        let name = &test.name;
        ensure!(output.status.success(), "test {name} bare: {}", output.status);
        ensure!(
            output.stdout.trim_ascii_end() == test.answer.trim_ascii_end(),
            "test {name} bare: a wrong answer"
        );
        Ok(())
    }
}

/// A command of a Language, started in another folder than a box's.
fn command(argv: &[String], env: &[EnvVar], folder: &Path) -> anyhow::Result<Command> {
    let (program, arguments) = argv.split_first().context("an empty command")?;
    // Whether a relative path means the old or the new folder is the platform's choice.
    let program = program.strip_prefix("./").map_or_else(|| PathBuf::from(program), |name| folder.join(name));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(folder);
    for EnvVar { name, value, .. } in env {
        let value = if value == BOX_FOLDER { folder.as_os_str() } else { value.as_ref() };
        command.env(name, value);
    }
    Ok(command)
}
