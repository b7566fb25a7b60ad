//! What a program can see, reach and leave behind: nothing but what it was given.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{attack, engine_with, limits, printed, processes_with, run};
use sandbox::{
    BoxFile, Cancel, CollectBounds, CollectError, Command, Engine, Error, Exit, Limit, Limits, Request,
};

const REFUSED: Exit = Exit::Code(10);

fn exit(arguments: &[&str]) -> Exit {
    run(&engine_with(true), &attack(arguments, limits())).exit
}

fn prints(arguments: &[&str]) -> String {
    printed(&run(&engine_with(true), &attack(arguments, limits())))
}

#[test]
fn a_program_is_nobody_with_nothing() {
    let identity = prints(&["identity"]);
    assert_eq!(identity, "box 1000 1000 0000000000000000 0000000000000000 1\n");
    assert_eq!(prints(&["descriptors"]), "0 1 2 ");
    assert_eq!(prints(&["ignored_signals"]), "");
    assert_eq!(prints(&["environment"]), "");
}

#[test]
fn the_environment_is_what_was_given() {
    let file = BoxFile::new("attacks", common::attacks(), true).unwrap();
    let command = Command::new(&["./attacks", "environment"], &[("A", "1"), ("B", "x y")]).unwrap();
    let request = Request::new(command, vec![file], limits()).unwrap();
    assert_eq!(printed(&run(&engine_with(true), &request)), "A=1\nB=x y\n");
}

#[test]
fn privileges_can_not_be_had() {
    assert_eq!(exit(&["privileges"]), REFUSED);
}

#[test]
fn init_can_neither_be_spied_on_nor_killed() {
    assert_eq!(exit(&["spy_on_init"]), REFUSED);
    // kill(-1) spares the caller, so the program lives to exit if its init does. gVisor lets a program kill its init: it
    // dies of that itself, and is told so.
    let killed = exit(&["kill_all"]);
    let gvisor = engine_with(true).surroundings().gvisor;
    assert_eq!(killed, if gvisor { Exit::Signal(9) } else { Exit::Code(0) });
}

#[test]
fn the_toolchain_is_read_only_and_holds_no_secrets() {
    for path in
        ["/x", "/usr/x", "/etc/x", "/tmp/x", "/box/x", "/dev/x", "/proc/sys/kernel/hostname", "/etc/passwd"]
    {
        assert_eq!(exit(&["writable", path]), REFUSED, "{path} can be written");
    }
    for path in ["/etc/shadow", "/proc/1/mem", "/proc/kcore"] {
        assert_eq!(exit(&["readable", path]), REFUSED, "{path} can be read");
    }
    for hidden in ["/sys", "/run", "/home", "/root", "/mnt", "/var/tmp"] {
        assert_eq!(prints(&["list", hidden]), "", "{hidden} shows something");
    }
    assert_eq!(exit(&["readable", "/usr/bin/env"]), Exit::Code(0));
}

#[test]
fn devices_are_five_and_harmless() {
    let listing = prints(&["list", "/dev"]);
    let mut names: Vec<&str> = listing.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero"]);
    assert_eq!(exit(&["writable", "/dev/null"]), Exit::Code(0));
    assert_eq!(exit(&["readable", "/dev/urandom"]), Exit::Code(0));
}

#[test]
fn processes_of_others_are_not_listed() {
    let listing = prints(&["list", "/proc"]);
    let pids = listing.lines().filter(|name| name.parse::<u32>().is_ok()).count();
    assert_eq!(pids, 2, "init and the program: {listing}");
}

#[test]
fn no_network_and_no_abstract_socket_is_reachable() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the listener works");
    assert_eq!(exit(&["connect_tcp", &port.to_string()]), REFUSED);

    let name = format!("kubejudge-test-{}", std::process::id());
    let address = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap()
    };
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    assert!(std::os::unix::net::UnixStream::connect_addr(&address).is_ok(), "the listener works");
    assert_eq!(exit(&["connect_abstract", &name]), REFUSED);
}

#[test]
fn shared_memory_ends_with_the_box() {
    assert_eq!(exit(&["shm_make", "4711"]), Exit::Code(0));
    assert_eq!(exit(&["shm_find", "4711"]), REFUSED);
}

#[test]
fn input_arrives_whole_and_can_not_be_changed() {
    let input: Arc<[u8]> = (0..300_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let outcome = run(&engine_with(true), &attack(&["echo"], limits()).stdin(Arc::clone(&input)));
    assert!(outcome.is_success());
    assert_eq!(outcome.stdout.bytes, &*input);
    let outcome = run(&engine_with(true), &attack(&["change_stdin"], limits()).stdin(input));
    assert_eq!(outcome.exit, REFUSED);
}

#[test]
fn a_daemon_dies_with_its_box() {
    let marker = format!("daemon-{}", std::process::id());
    let outcome = run(&engine_with(true), &attack(&["daemonize", &marker], limits()));
    assert!(outcome.is_success(), "{outcome:?}");
    assert!(outcome.wall < limits().wall, "the box waited for it");
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}

#[test]
fn files_last_as_long_as_their_box() {
    let engine = engine_with(true);
    let writable = Limits { disk: 1 << 20, ..limits() };
    for path in ["/box/left", "/tmp/left"] {
        assert!(run(&engine, &attack(&["writable", path], writable.clone())).is_success());
        assert_eq!(
            run(&engine, &attack(&["readable", path], writable.clone())).exit,
            REFUSED,
            "{path} is still there"
        );
    }
}

#[test]
fn an_artifact_leaves_by_descriptor_and_nothing_else_does() {
    let engine = engine_with(true);
    let writable = Limits { disk: 4 << 20, ..limits() };
    let leave = |kind: &str| {
        let outcome = run(&engine, &attack(&["leave", kind], writable.clone()));
        assert!(outcome.is_success(), "{kind}: {outcome:?}");
        outcome
            .leftovers
            .collect(&["out/main".to_owned()], CollectBounds { bytes: 1 << 20, ..CollectBounds::default() })
    };
    let artifact = leave("file").unwrap();
    assert_eq!(&*artifact.files[0].data, b"made");
    assert!(artifact.files[0].executable);
    for kind in ["symlink", "fifo", "folder-link"] {
        assert!(matches!(leave(kind), Err(CollectError::NotRegular(_))), "{kind}");
    }
    assert!(matches!(leave("sparse"), Err(CollectError::TooLarge { .. })));
    if engine.surroundings().root {
        assert!(leave("unreadable").is_ok(), "root reads what its owner may not");
    } else {
        assert!(matches!(leave("unreadable"), Err(CollectError::NotRegular(_))));
    }
}

#[test]
fn what_can_not_be_executed_is_said() {
    let request = Request::new(Command::new(&["/no/such/program"], &[]).unwrap(), vec![], limits()).unwrap();
    let error = engine_with(true).run(&request, &Cancel::new().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Exec { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[test]
fn a_cancelled_box_ends_at_once() {
    let engine = engine_with(true);
    let (cancel, marker) = (Cancel::new().unwrap(), format!("cancelled-{}", std::process::id()));
    let request = attack(&["sleeps", &marker], limits());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| engine.run(&request, &cancel));
        while processes_with(&marker).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
        assert!(matches!(running.join().unwrap(), Err(Error::Cancelled)));
    });
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_many_boxes() {
    let engine = engine_with(true);
    let state = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
        (descriptors, mounts)
    };
    let before = state();
    let tight = Limits { cpu: Duration::from_millis(50), ..limits() };
    for n in 0..30 {
        let programs = [["busy", ""], ["daemonize", ""], ["memory", "4"], ["output", "1"]];
        let outcome = run(&engine, &attack(&programs[n % 4], tight.clone()));
        assert!(outcome.exceeded != Some(Limit::Wall), "{outcome:?}");
    }
    assert_eq!(state(), before);
    assert_eq!(own_cgroups(), 0);
    if engine.surroundings().cgroup_v1 {
        let sleeper = attack(&["sleeps"], Limits { wall: Duration::from_secs(1), ..limits() });
        let seen = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(&engine, &sleeper));
            while own_cgroups() < 3 && !running.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            own_cgroups()
        });
        assert_eq!(seen, 3, "this test would see a group that was left");
    }
}

/// Groups that boxes of this process left, wherever the hierarchies have this process.
fn own_cgroups() -> usize {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = |line: &str| {
        let (controller, path) = line.split_once(':')?.1.split_once(':')?;
        let folder = format!("/sys/fs/cgroup/{controller}{path}/kubejudge-{}", std::process::id());
        Some(std::fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_dir()).count())
    };
    own.lines().filter_map(groups).sum()
}

/// The other side of the next test: in a mount namespace of its own, where it may mount what it likes.
#[test]
#[ignore = "not a test: started by what_is_mounted_later_does_not_show_either"]
fn mounts_under_an_engine() {
    let engine = engine_with(true);
    let list = || printed(&run(&engine, &attack(&["list", "/opt"], limits())));
    let before = list();
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/opt"]).status().unwrap();
    assert!(mount.success());
    std::fs::write("/opt/secret", "").unwrap();
    assert!(!before.contains("secret"));
    assert_eq!(list(), "", "the box shows what is mounted, or what it covers");
    // A folder that was bound alone until now has a mount below it.
    let below = "/usr/share/doc/bash";
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs", below]).status().unwrap();
    assert!(mount.success());
    std::fs::write(format!("{below}/secret"), "").unwrap();
    assert_eq!(printed(&run(&engine, &attack(&["list", below], limits()))), "");
}

#[test]
fn what_is_mounted_later_does_not_show_either() {
    if !engine_with(true).surroundings().root {
        return; // an ordinary user can mount nothing for others
    }
    let inside = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "mounts_under_an_engine", "--ignored"])
        .output()
        .unwrap();
    assert!(inside.status.success(), "{}", String::from_utf8_lossy(&inside.stderr));
}

/// The supervisor of the next test: holds a box whose program sleeps, until it is killed.
#[test]
#[ignore = "not a test: started and killed by a_killed_supervisor_takes_its_boxes_along"]
fn supervisor_to_be_killed() {
    let marker = std::env::var("KUBEJUDGE_TEST_MARKER").unwrap();
    run(&engine_with(true), &attack(&["sleeps", &marker], limits()));
}

#[test]
fn a_killed_supervisor_takes_its_boxes_along() {
    let marker = format!("orphan-{}", std::process::id());
    let mut supervisor = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "supervisor_to_be_killed", "--ignored"])
        .env("KUBEJUDGE_TEST_MARKER", &marker)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while processes_with(&marker).is_empty() {
        assert!(supervisor.try_wait().unwrap().is_none(), "the supervisor ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    for _ in 0..1000 {
        if processes_with(&marker).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the box outlived its supervisor");
}
