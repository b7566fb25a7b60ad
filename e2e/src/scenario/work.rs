//! Programs whose ends are known, and that can be found while they run.
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, ensure};
use crds::{Submission, Verdict};

use crate::{backlog::until, fixtures, world::NAMESPACE};

/// Tells this process' pieces of work apart.
static PIECES: AtomicU32 = AtomicU32::new(0);

/// A Submission and what it must come to. Its three tests pass but for the last, which decides.
#[derive(Clone, Debug)]
pub struct Work {
    /// The Submission's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its Language.
    pub language: String,
    /// Its program.
    pub source: String,
    /// What it must come to.
    pub verdict: Verdict,
    /// How many of its tests must pass.
    pub passed: i32,
    /// The inputs of its tests, each its own answer.
    pub inputs: Vec<&'static str>,
    /// Words by which its programs are found among all processes while they sleep.
    pub mark: Mark,
}

impl Work {
    /// A program that sleeps `seconds` in each test: Accepted, `WrongAnswer` or `RuntimeError`.
    pub fn new(name: &str, verdict: Verdict, seconds: u32) -> Self {
        let mark = Mark::new(seconds);
        let (ending, passed) = match verdict {
            Verdict::WrongAnswer => ("line=wrong", 2),
            Verdict::RuntimeError => ("exit 3", 2),
            _ => (":", 3),
        };
        let source = format!(
            "read line\n{}\nif [ \"$line\" = c ]; then {ending}; fi\necho \"$line\"\n",
            mark.command()
        );
        let (namespace, language) = (NAMESPACE.to_owned(), fixtures::SHELL.to_owned());
        let inputs = vec!["a\n", "b\n", "c\n"];
        Self { name: name.to_owned(), namespace, language, source, verdict, passed, inputs, mark }
    }

    /// In another namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self }
    }

    /// `count` of them with verdicts in turn, named `prefix-0` and so on.
    pub fn mixed(prefix: &str, count: usize, seconds: u32) -> Vec<Self> {
        let verdicts = [Verdict::Accepted, Verdict::WrongAnswer, Verdict::RuntimeError];
        let pieces = verdicts.into_iter().cycle().take(count).enumerate();
        pieces.map(|(i, verdict)| Self::new(&format!("{prefix}-{i}"), verdict, seconds)).collect()
    }

    /// The Submission.
    pub(super) fn submission(&self) -> anyhow::Result<Submission> {
        let tests: Vec<_> = self.inputs.iter().map(|input| (*input, *input)).collect();
        let mut submission = fixtures::submission(&self.name, &self.language, &self.source, &tests)?;
        submission.metadata.namespace = Some(self.namespace.clone());
        Ok(submission)
    }
}

/// A sleep that no other process of the machine sleeps: found by its command line.
#[derive(Clone, Debug)]
pub struct Mark(String);

impl Mark {
    /// One of about `seconds`.
    pub fn new(seconds: u32) -> Self {
        let piece = PIECES.fetch_add(1, Ordering::Relaxed);
        // A part of a microsecond, which is nobody else's.
        Self(format!("{seconds}.000000{:08}{piece:06}", std::process::id()))
    }

    /// The shell's command.
    pub fn command(&self) -> String {
        format!("sleep {}", self.0)
    }

    /// The processes that sleep it, as this machine numbers them.
    pub fn processes(&self) -> Vec<u32> {
        let words = format!("sleep\0{}\0", self.0);
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // A process may end while it is looked at.
        let sleeps =
            |id: &u32| fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line == words);
        numbers.filter(sleeps).collect()
    }

    /// Waits until a process sleeps it.
    pub async fn begun(&self) -> anyhow::Result<u32> {
        until("begun: a program", async || self.processes().first().copied().context("no process")).await
    }

    /// Waits until no process sleeps it.
    pub async fn ended(&self) -> anyhow::Result<()> {
        until("ended: a program", async || {
            let left = self.processes();
            ensure!(left.is_empty(), "processes {left:?} sleep");
            Ok(())
        })
        .await
    }
}
