//! What people see: a row for each Submission as it is done, a line of progress meanwhile, a summary at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use judging::Verdict;
use queue::verdict::mebibytes;

use crate::judge::Progress;
use crate::report::{CompileReport, Report};

/// Widest message of a row on a terminal and elsewhere; the whole of it is in the status.
const MESSAGE: usize = 120;
/// Widest expected verdict, that of the longest name.
const EXPECTED: usize = 21;

/// A finished Submission as the screen shows it.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) language: &'a str,
    pub(super) tests: usize,
    pub(super) report: &'a Report,
    /// The expected verdict, if the Submission names one.
    pub(super) expected: Option<&'a str>,
}

/// Prints from many threads; rows appear in the order of the Submissions.
pub(super) struct Screen {
    state: Mutex<State>,
    widths: [usize; 2],
    expect: bool,
    total: usize,
    start: Instant,
    colours: bool,
    live: bool,
}

#[derive(Default)]
struct State {
    next: usize,
    waiting: BTreeMap<usize, String>,
    running: BTreeMap<usize, String>,
    verdicts: BTreeMap<&'static str, usize>,
    compiled: usize,
    cached: usize,
    tests: usize,
}

impl Screen {
    /// A screen for Submissions with these names and languages.
    pub(super) fn new(names: &[(&str, &str)], expect: bool) -> Self {
        let width = |pick: fn(&(&str, &str)) -> usize, least: usize| {
            names.iter().map(pick).max().unwrap_or(0).max(least)
        };
        let stdout = io::stdout().is_terminal();
        Self {
            state: Mutex::default(),
            widths: [width(|n| n.0.len(), 4), width(|n| n.1.len(), 8)],
            expect,
            total: names.len(),
            start: Instant::now(),
            colours: stdout && std::env::var_os("NO_COLOR").is_none(),
            live: stdout && io::stderr().is_terminal(),
        }
    }

    pub(super) fn header(&self) {
        let [name, language] = self.widths;
        let expected = if self.expect { format!("{:<23}", "EXPECTED") } else { String::new() };
        let (verdict, tests, time, memory) = ("VERDICT", "TESTS", "TIME", "MEMORY");
        print(&format!(
            "{:<name$}  {:<language$}  {expected}{verdict:<22}{tests:>6}  {time:>8}  {memory:>8}  {:>8}  MESSAGE",
            "NAME", "LANGUAGE", "COMPILE"
        ));
    }

    /// Notes where a Submission is, on a terminal alone.
    pub(super) fn progress(&self, index: usize, name: &str, tests: usize, progress: Progress) {
        if !self.live {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match progress {
            Progress::Compiling => format!("{name} compiling"),
            Progress::Tested(done) => format!("{name} {done}/{tests}"),
        };
        state.running.insert(index, text);
        self.draw_progress(&state);
    }

    /// Takes a finished Submission and prints all rows whose turn has come.
    pub(super) fn finished(&self, index: usize, row: &Row<'_>) {
        let text = self.row(row);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count(row.report);
        state.running.remove(&index);
        state.waiting.insert(index, text);
        loop {
            let next = state.next;
            let Some(text) = state.waiting.remove(&next) else {
                break;
            };
            self.clear_progress();
            print(&text);
            state.next += 1;
        }
        self.draw_progress(&state);
    }

    /// How many of what, and how long it took.
    pub(super) fn summary(&self, refused: usize) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.clear_progress();
        let verdicts: Vec<String> =
            state.verdicts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let mut text =
            format!("\n{} judged in {}: {}", self.total, seconds(self.start.elapsed()), verdicts.join(", "));
        if refused > 0 {
            write!(text, "; {refused} refused").ok();
        }
        let State { compiled, cached, tests, .. } = &*state;
        write!(text, "\n{compiled} compiler runs, {cached} programs from the cache, {tests} tests run").ok();
        print(&text);
    }

    fn row(&self, row: &Row<'_>) -> String {
        let [name, language] = self.widths;
        let Row { report, expected, .. } = row;
        let usages = || report.tests.iter().filter_map(|t| t.usage);
        let passed = report.tests.iter().filter(|t| t.verdict == Verdict::Accepted).count();
        let time = usages().map(|u| u.cpu.value).max().map(milliseconds).unwrap_or_default();
        let memory = usages().map(|u| u.memory.value).max().and_then(|b| i64::try_from(b).ok());
        let expected_column = if self.expect {
            format!("{:<23}", one_line(expected.unwrap_or("-"), EXPECTED))
        } else {
            String::new()
        };
        let differs = self.expect && *expected != Some(report.verdict.name());
        let mut message = one_line(&words(report), MESSAGE);
        if differs {
            message = format!("DIFFERS  {message}");
        }
        let line = format!(
            "{:<name$}  {:<language$}  {expected_column}{}{:>6}  {time:>8}  {:>8}  {:>8}  {message}",
            row.name,
            row.language,
            self.coloured(report.verdict),
            format!("{passed}/{}", row.tests),
            memory.map(mebibytes).unwrap_or_default(),
            report.compile.as_ref().map(compile_column).unwrap_or_default(),
        );
        line.trim_end().to_owned()
    }

    fn coloured(&self, verdict: Verdict) -> String {
        let padded = format!("{:<23}", verdict.name());
        let colour = match verdict {
            Verdict::Accepted => 32,
            Verdict::JudgeError | Verdict::InternalError => 35,
            _ => 31,
        };
        if self.colours { format!("\x1b[{colour}m{padded}\x1b[0m") } else { padded }
    }

    fn draw_progress(&self, state: &State) {
        if self.live && !state.running.is_empty() {
            let running: Vec<&str> = state.running.values().map(String::as_str).collect();
            let done = state.next + state.waiting.len();
            let line = format!("{done}/{} judged; {}", self.total, running.join(", "));
            let line: String = line.chars().take(100).collect();
            write!(io::stderr(), "\r\x1b[K{line}").ok(); // a progress line that can't be shown is no loss
        }
    }

    fn clear_progress(&self) {
        if self.live {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

impl State {
    fn count(&mut self, report: &Report) {
        *self.verdicts.entry(report.verdict.name()).or_default() += 1;
        self.tests += report.tests.iter().filter(|t| t.usage.is_some()).count();
        match &report.compile {
            Some(report) if report.cached() => self.cached += 1,
            Some(CompileReport { usage: Some(_), .. }) => self.compiled += 1,
            _ => {}
        }
    }
}

/// A reader that went away (`| head`) is no reason to stop judging.
fn print(text: &str) {
    writeln!(io::stdout(), "{text}").ok();
}

/// Foreign text as part of a row.
fn one_line(text: &str, most: usize) -> String {
    crate::excerpt::printable(text.as_bytes(), most).replace(['\n', '\t'], " ")
}

/// The report's message, and what the compiler complained of first.
fn words(report: &Report) -> String {
    let output = report.compile.as_ref().map(|c| c.output.as_str()).unwrap_or_default();
    match complaint(output) {
        Some(line) if report.verdict == Verdict::CompilationError => format!("{}: {line}", report.message),
        _ => report.message.clone(),
    }
}

/// The first line that announces an error, or that speaks of one, or that says anything.
fn complaint(output: &str) -> Option<&str> {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let with = |word: &str| lines().find(|line| line.to_ascii_lowercase().contains(word));
    with("error:").or_else(|| with("error")).or_else(|| lines().next())
}

fn compile_column(compile: &CompileReport) -> String {
    if compile.cached() {
        "cached".to_owned()
    } else {
        compile.usage.map(|u| milliseconds(u.wall)).unwrap_or_default()
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_first_error_is_quoted() {
        let gcc = "main.c: In function 'main':\nmain.c:3:5: error: expected ';'\n    3 | }";
        assert_eq!(complaint(gcc), Some("main.c:3:5: error: expected ';'"));
        let python = "*** Error compiling 'main.py'...\n  File \"main.py\", line 1\nSyntaxError: invalid\n";
        assert_eq!(complaint(python), Some("SyntaxError: invalid"));
        assert_eq!(complaint("Listing\n2 Errors"), Some("2 Errors"));
        assert_eq!(complaint("no way\nat all"), Some("no way"));
        assert_eq!(complaint(" \n"), None);
    }
}
