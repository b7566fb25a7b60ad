//! The command line: what can be asked for, and the exit status that answers.

mod command;
mod install;
mod machine;
mod screen;
mod worker;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use sandbox::{NativeEngine, Options};

use crate::cache::DiskCache;
use crate::slots::Slots;
use crate::toolchain::Toolchain;
pub use command::judge_files;
pub use install::{InstallArgs, InstallError, install};
pub use worker::{WorkerArgs, work};

/// Judges untrusted programs in boxes.
#[derive(Debug, Parser)]
#[command(name = "sandbox-runner", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Judge the Submissions in YAML files on this machine.
    #[command(after_help = EXIT_STATUS)]
    Judge(JudgeArgs),
    /// Take jobs from the queue, judge them and report, until told to stop.
    #[command(after_help = WORKER_EXIT_STATUS)]
    Worker(WorkerArgs),
    /// Copy this program to a path, for a container of another image to run.
    #[command(after_help = INSTALL_EXIT_STATUS)]
    Install(InstallArgs),
}

const EXIT_STATUS: &str = "\
Exit status:
  0  every Submission was judged, whatever the verdicts
  1  --expect, and a verdict differs from the expected one
  2  some input was refused (the rest was judged), or the command line is wrong
  3  the platform failed: a verdict is InternalError or JudgeError, or no box can be made";

const WORKER_EXIT_STATUS: &str = "\
Exit status:
  0  it was told to stop by SIGTERM or SIGINT, and nothing is left in its hands
  2  the command line is wrong
  3  it could not start";

const INSTALL_EXIT_STATUS: &str = "\
Exit status:
  0  the program is at the path
  2  the command line is wrong
  3  it could not be put there";

/// Options of `judge`.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// Files with one Submission, Language or ConfigMap each, or folders of such files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How to print the results.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Compare each verdict with the Submission's annotation kubejudge.dev/expected-verdict.
    #[arg(long)]
    pub expect: bool,
    /// Boxes.
    #[command(flatten)]
    pub boxes: BoxArgs,
    /// The disk cache.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Compile everything anew.
    #[arg(long)]
    pub no_cache: bool,
    /// Largest source in bytes, to 262144.
    #[arg(long, env = "KUBEJUDGE_MAX_SOURCE_BYTES", default_value_t = crds::DEFAULT_MAX_SOURCE_BYTES)]
    pub max_source_bytes: usize,
}

/// Options of whatever makes boxes.
#[derive(Debug, Args)]
pub struct BoxArgs {
    /// Boxes that run at one time. As many as there are cores unless set.
    #[arg(long, env = "KUBEJUDGE_SLOTS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub slots: Option<u16>,
    /// Bytes for all boxes together: their memory limits, and twice their output limits. Three quarters of what is
    /// available unless set.
    #[arg(long, env = "KUBEJUDGE_MEMORY_BYTES")]
    pub memory_bytes: Option<u64>,
    /// Folder whose content is the box's root, read-only.
    #[arg(long, env = "KUBEJUDGE_TOOLCHAIN", default_value = "/")]
    pub toolchain: PathBuf,
    /// What the toolchain is known by, such as an image digest. Hashes of the compilers and of the package list unless set.
    #[arg(long, env = "KUBEJUDGE_TOOLCHAIN_ID")]
    pub toolchain_id: Option<String>,
    /// Path inside the toolchain that no box may see, beside those that none sees anyway. In the environment, several
    /// are separated by colons.
    #[arg(long, env = "KUBEJUDGE_HIDE", value_name = "PATH", value_delimiter = ':')]
    pub hide: Vec<PathBuf>,
    /// Supervise boxes by procfs even where cgroups can be had.
    #[arg(long, env = "KUBEJUDGE_NO_CGROUPS", action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub no_cgroups: bool,
}

/// Options of the cache on this machine.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Folder for compiled programs. ~/.cache/kubejudge/artifacts unless set.
    #[arg(long, env = "KUBEJUDGE_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Bytes of compiled programs that are kept.
    #[arg(long, env = "KUBEJUDGE_CACHE_BYTES", default_value_t = 1 << 30)]
    pub cache_bytes: u64,
}

impl BoxArgs {
    fn slots(&self) -> Slots {
        let count = self.slots.map_or_else(machine::cores, usize::from);
        Slots::new(count, self.memory_bytes.unwrap_or_else(machine::memory))
    }

    fn engine(&self) -> anyhow::Result<Arc<NativeEngine>> {
        let cgroups = !self.no_cgroups;
        let mut options = Options { toolchain: self.toolchain.clone(), cgroups, ..Options::default() };
        options.hidden.extend(self.hide.iter().cloned());
        let engine = NativeEngine::new(&options).context("no box can be made here")?;
        tracing::info!(surroundings = %engine.surroundings(), "The engine is ready.");
        Ok(Arc::new(engine))
    }

    fn toolchain(&self) -> Toolchain {
        Toolchain::new(&self.toolchain, self.toolchain_id.clone())
    }
}

impl CacheArgs {
    /// A cache that can't be had costs time, not verdicts.
    fn open(&self) -> Option<DiskCache> {
        let folder = self.cache_dir.clone().or_else(machine::cache_dir)?;
        let warn =
            |error: &io::Error| tracing::warn!(folder = %folder.display(), %error, "Nothing is cached.");
        DiskCache::open(&folder, self.cache_bytes).inspect_err(warn).ok()
    }
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    Table,
    /// A List of Submissions with their status, in YAML.
    Yaml,
    /// The same in JSON.
    Json,
}

/// How a call of `judge` ended; the gravest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// All was judged.
    Judged,
    /// A verdict was not the expected one.
    Unexpected,
    /// Some input was refused.
    Refused,
    /// The platform failed.
    Fault,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Judged => 0,
            Ending::Unexpected => 1,
            Ending::Refused => 2,
            Ending::Fault => 3,
        })
    }
}
