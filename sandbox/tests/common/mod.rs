//! What the box's tests share: the compiled attack programs and short ways to run one.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{BoxFile, Cancel, Command, Engine, Limits, NativeEngine, Options, Outcome, Request};

/// The attack programs, compiled once into the target folder. Tests run as an ordinary user and in gVisor, where that
/// folder is read-only, find what the first run as the builder left.
pub(crate) fn attacks() -> Arc<[u8]> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/attacks/attacks.c");
    let stamp = std::fs::read(source)
        .unwrap()
        .iter()
        .fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b)));
    let binary = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("attacks-{stamp:016x}"));
    if !binary.exists() {
        let partial = binary.with_extension(std::process::id().to_string());
        let gcc = ["-static", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", "-o"];
        let built = Process::new("gcc").args(gcc).arg(&partial).arg(source).status().unwrap();
        assert!(built.success(), "gcc could not build {source}");
        std::fs::rename(partial, &binary).unwrap();
    }
    std::fs::read(binary).unwrap().into()
}

/// An engine that uses cgroups if `cgroups` and they can be had.
pub(crate) fn engine_with(cgroups: bool) -> NativeEngine {
    NativeEngine::new(&Options { cgroups, ..Options::default() }).unwrap()
}

/// Every way to enforce limits that this place has: by cgroup where that can be had, and by supervision.
pub(crate) fn engines() -> Vec<NativeEngine> {
    let first = engine_with(true);
    let second = first.surroundings().cgroup_v1.then(|| engine_with(false));
    std::iter::once(first).chain(second).collect()
}

pub(crate) fn limits() -> Limits {
    Limits {
        cpu: Duration::from_secs(10),
        wall: Duration::from_secs(30),
        memory: 128 << 20,
        output: 1 << 20,
        processes: 16,
        open_files: 64,
        stack: 64 << 20,
        disk: 0,
        reserves_address_space: false,
    }
}

/// A request to run the attack program with these arguments.
pub(crate) fn attack(arguments: &[&str], limits: Limits) -> Request {
    let argv: Vec<&str> = std::iter::once("./attacks").chain(arguments.iter().copied()).collect();
    let file = BoxFile::new("attacks", attacks(), true).unwrap();
    Request::new(Command::new(&argv, &[]).unwrap(), vec![file], limits).unwrap()
}

pub(crate) fn run(engine: &NativeEngine, request: &Request) -> Outcome {
    engine.run(request, &Cancel::new().unwrap()).unwrap()
}

/// What the program printed.
pub(crate) fn printed(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
}

/// Processes of this machine whose command line holds `marker`.
pub(crate) fn processes_with(marker: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let holds = |pid: &String| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| String::from_utf8_lossy(&c).contains(marker))
    };
    let names =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().into_string().ok());
    names.filter(|n| n.parse::<u32>().is_ok() && *n != own).filter(holds).collect()
}
