//! Every limit bites, in whatever surrounding the tests run, and what broke it is told apart.

mod common;

use std::time::{Duration, Instant};

use common::{attack, engines, limits, printed, run};
use sandbox::{Exit, Limit, Limits, Outcome};

const MIB: u64 = 1 << 20;

fn outcomes(arguments: &[&str], limits: &Limits) -> Vec<(String, Outcome)> {
    let request = attack(arguments, limits.clone());
    engines().iter().map(|e| (e.surroundings().to_string(), run(e, &request))).collect()
}

fn assert_exceeds(arguments: &[&str], limits: &Limits, expected: Limit) {
    for (place, outcome) in outcomes(arguments, limits) {
        assert_eq!(outcome.exceeded, Some(expected), "{arguments:?} on {place}: {outcome:?}");
    }
}

fn assert_passes(arguments: &[&str], limits: &Limits) {
    for (place, outcome) in outcomes(arguments, limits) {
        assert!(outcome.is_success(), "{arguments:?} on {place}: {outcome:?}");
    }
}

fn cpu(milliseconds: u64) -> Limits {
    Limits { cpu: Duration::from_millis(milliseconds), ..limits() }
}

#[test]
fn cpu_of_one_process() {
    for (place, outcome) in outcomes(&["busy"], &cpu(300)) {
        assert_eq!(outcome.exceeded, Some(Limit::Cpu), "{place}: {outcome:?}");
        assert_eq!(outcome.exit, Exit::Signal(libc::SIGKILL), "{place}");
        // Sooner than RLIMIT_CPU, which stands behind at two seconds and counts each process by itself.
        let used = outcome.cpu.value;
        assert!(
            (Duration::from_millis(250)..Duration::from_millis(1500)).contains(&used),
            "{place}: {outcome:?}"
        );
    }
}

#[test]
fn cpu_of_children_and_threads_counts_together() {
    assert_exceeds(&["busy_children"], &cpu(300), Limit::Cpu);
    assert_exceeds(&["busy_threads"], &cpu(300), Limit::Cpu);
}

#[test]
fn cpu_of_a_program_that_ignores_every_signal() {
    assert_exceeds(&["stubborn"], &cpu(200), Limit::Cpu);
}

#[test]
fn cpu_within_the_limit_is_measured() {
    for (place, outcome) in outcomes(&["burn_then_exit", "200"], &cpu(5000)) {
        assert!(outcome.is_success(), "{place}: {outcome:?}");
        let used = outcome.cpu.value;
        assert!(used >= Duration::from_millis(180) && used < Duration::from_secs(2), "{place}: {used:?}");
    }
}

#[test]
fn wall_time_of_sleepers() {
    let limits = Limits { wall: Duration::from_secs(1), ..limits() };
    for program in ["sleeps", "stops_itself"] {
        for (place, outcome) in outcomes(&[program], &limits) {
            assert_eq!(outcome.exceeded, Some(Limit::Wall), "{program} on {place}: {outcome:?}");
            assert!(outcome.wall >= limits.wall, "{program} on {place}: {outcome:?}");
            assert!(outcome.cpu.value < limits.wall / 2, "{program} on {place} was not idle: {outcome:?}");
        }
    }
}

#[test]
fn memory_of_one_process() {
    let limits = Limits { memory: 64 * MIB, reserves_address_space: true, ..limits() };
    for program in ["memory", "shared_memory"] {
        for (place, outcome) in outcomes(&[program, "1024"], &limits) {
            assert_eq!(outcome.exceeded, Some(Limit::Memory), "{program} on {place}: {outcome:?}");
            assert_eq!(
                outcome.exit,
                Exit::Signal(libc::SIGKILL),
                "{program} on {place} was seen, not stopped"
            );
        }
        for (place, outcome) in outcomes(&[program, "32"], &limits) {
            assert!(outcome.is_success(), "{program} on {place}: {outcome:?}");
            let peak = outcome.memory.value;
            assert!((32 * MIB..48 * MIB).contains(&peak), "{program} on {place}: {peak}");
        }
    }
}

#[test]
fn memory_of_children_counts_together() {
    let limits = Limits { memory: 64 * MIB, reserves_address_space: true, ..limits() };
    assert_exceeds(&["memory_of_children", "32"], &limits, Limit::Memory);
}

#[test]
fn pages_shared_after_a_fork_count_once() {
    let gvisor = engines()[0].surroundings().gvisor;
    let limits = Limits { memory: 160 * MIB, ..limits() };
    if gvisor {
        // Its procfs knows no proportional size, so shared pages count once for each process: docs/sandbox.md says so.
        assert_exceeds(&["shared_after_fork", "64"], &limits, Limit::Memory);
    } else {
        assert_passes(&["shared_after_fork", "64"], &limits);
    }
}

#[test]
fn reserved_address_space_is_no_memory() {
    assert_passes(&["reserve"], &Limits { reserves_address_space: true, ..limits() });
}

#[test]
fn deep_recursion_within_the_stack_works() {
    assert_passes(&["recurse", "50000"], &limits());
    for (place, outcome) in outcomes(&["recurse", "1000000"], &limits()) {
        assert_eq!(outcome.exit, Exit::Signal(libc::SIGSEGV), "{place}: {outcome:?}");
    }
}

#[test]
fn output_at_the_limit_passes_and_one_byte_more_does_not() {
    let limits = Limits { output: 300_000, ..limits() };
    for stream in ["1", "2"] {
        assert_passes(&["output", stream, "300000"], &limits);
        assert_exceeds(&["output", stream, "300001"], &limits, Limit::Output);
    }
}

#[test]
fn an_endless_stream_is_cut_and_bounded() {
    let limits = Limits { output: 100_000, ..limits() };
    for (place, outcome) in outcomes(&["output", "1"], &limits) {
        assert_eq!(outcome.exceeded, Some(Limit::Output), "{place}: {outcome:?}");
        assert_eq!(outcome.stdout.bytes.len(), 100_000, "{place}");
        assert!(outcome.stdout.is_truncated() && outcome.stdout.total < 400_000, "{place}");
    }
}

#[test]
fn a_fork_bomb_meets_the_limit_on_processes_and_leaves_nothing() {
    let limits = Limits { wall: Duration::from_millis(700), cpu: Duration::from_millis(500), ..limits() };
    for (place, outcome) in outcomes(&["fork_bomb"], &limits) {
        assert!(outcome.exceeded.is_some(), "{place}: {outcome:?}");
    }
    for (place, outcome) in outcomes(&["fork_count"], &common::limits()) {
        match outcome.exceeded {
            // Counted from outside: the box dies.
            Some(limit) => assert_eq!(limit, Limit::Processes, "{place}: {outcome:?}"),
            // Held by the kernel: `fork` fails at the sixteenth process.
            None => assert_eq!(printed(&outcome), "15\n", "{place}: {outcome:?}"),
        }
    }
}

#[test]
fn disk_is_bounded_and_absent_by_default() {
    for (place, outcome) in outcomes(&["fill_disk"], &Limits { disk: 4 * MIB, ..limits() }) {
        let written: u64 = printed(&outcome).trim().parse().unwrap();
        assert!((2 * MIB..=4 * MIB).contains(&written), "{place}: {written}");
    }
    for (place, outcome) in outcomes(&["fill_disk"], &limits()) {
        assert_eq!(outcome.exit, Exit::Code(10), "{place}: {outcome:?}");
    }
}

#[test]
fn memory_files_are_denied_without_a_disk() {
    for (place, outcome) in outcomes(&["memory_file"], &limits()) {
        assert_eq!(outcome.exit, Exit::Code(10), "{place}: {outcome:?}");
    }
}

#[test]
fn limits_can_not_be_raised_from_inside() {
    for (place, outcome) in outcomes(&["raise_limits"], &limits()) {
        assert_eq!(outcome.exit, Exit::Code(10), "{place}: {outcome:?}");
    }
}

#[test]
fn ways_to_end_are_told_apart() {
    let exits = [
        (&["code", "3"][..], Exit::Code(3)),
        (&["code", "137"], Exit::Code(137)),
        (&["raise_signal", "6"], Exit::Signal(6)),
        (&["raise_signal", "9"], Exit::Signal(9)),
        (&["null_write"], Exit::Signal(11)),
    ];
    for (arguments, expected) in exits {
        for (place, outcome) in outcomes(arguments, &limits()) {
            assert_eq!(
                (outcome.exit, outcome.exceeded),
                (expected, None),
                "{arguments:?} on {place}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_neighbour_is_not_hurt_by_a_fork_bomb() {
    let engine = &engines()[0];
    let bomb = attack(&["fork_bomb"], Limits { wall: Duration::from_secs(1), ..limits() });
    std::thread::scope(|scope| {
        let bombs = scope.spawn(|| run(engine, &bomb));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            let outcome = run(engine, &attack(&["zombies"], limits()));
            assert!(outcome.is_success(), "{outcome:?}");
        }
        assert!(bombs.join().unwrap().exceeded.is_some());
    });
}
