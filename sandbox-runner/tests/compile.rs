//! The compile phase of `judge`: once for each program, from the cache where nothing changed, and hostile sources.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Outcome, Place, good, is_harmless, language, submission};
use serde_json::{Value, json};

fn counted(outcome: &Outcome, compiled: usize, cached: usize, tests: usize) {
    let line = format!("{compiled} compiler runs, {cached} programs from the cache, {tests} tests run");
    assert_eq!(outcome.stdout.lines().last(), Some(line.as_str()), "{}", outcome.stdout);
}

#[test]
fn the_second_run_of_the_same_program_does_not_compile() {
    let place = Place::new();
    let file = place.object(&good("good"));
    let first = place.json(&[], &[&file]).expect(0);
    let second = place.json(&[], &[&file]).expect(0);
    assert_eq!([first.cached("good"), second.cached("good")], [false, true]);
    assert_eq!([first.verdict("good"), second.verdict("good")], ["Accepted", "Accepted"]);
    assert!(first.status("good")["compile"]["timeMilliseconds"].is_i64());
    counted(&place.judge(&[], &[&file]).expect(0), 0, 1, 1);
    counted(&place.judge(&["--no-cache"], &[&file]).expect(0), 1, 0, 1);
    counted(&place.judge(&["--toolchain-id", "another"], &[&file]).expect(0), 1, 0, 1);
}

#[test]
fn a_program_that_changed_is_compiled_again() {
    let place = Place::new();
    let compiled = |object: &Value, patch: &Value| {
        let files = [place.object(object), place.object(&language("c17", "own", patch))];
        !place.json(&[], &files).expect(0).cached("own")
    };
    let own = submission("own", "own", "int main(void) { return 0; }", "");
    let other = submission("own", "own", "int main(void) { return 0 ; }", "");
    assert!(compiled(&own, &json!({})) && !compiled(&own, &json!({})));
    assert!(compiled(&other, &json!({})), "the source");
    let command = json!({"compile": {"command": ["/usr/bin/gcc", "-O1", "-o", "main", "main.c"]}});
    assert!(compiled(&own, &command), "the command");
    assert!(
        compiled(&own, &json!({"compile": {"env": [{"name": "PATH", "value": "/usr/bin"}]}})),
        "the environment"
    );
    let mut relaxed = own.clone();
    relaxed["spec"]["limits"] = json!({"timeMilliseconds": 77});
    assert!(!compiled(&relaxed, &json!({})), "a test's limits are no part of the program");
}

#[test]
fn twenty_tests_and_equal_programs_are_compiled_once() {
    let place = Place::new();
    let mut many = good("many");
    many["spec"]["tests"] = (0..20).map(|n| json!({"name": format!("t{n}"), "answer": ""})).collect();
    let file = place.object(&many);
    counted(&place.judge(&[], &[&file]).expect(0), 1, 0, 20);
    let place = Place::new();
    let files: Vec<PathBuf> = (0..4).map(|n| place.object(&good(&format!("equal-{n}")))).collect();
    counted(&place.judge(&["--slots", "4"], &files).expect(0), 1, 3, 4);
}

fn entries(place: &Place) -> Vec<PathBuf> {
    fs::read_dir(place.path("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_damaged_cache_entry_is_made_again() {
    let place = Place::new();
    let file = place.object(&good("good"));
    place.json(&[], &[&file]).expect(0);
    let whole = fs::read(&entries(&place)[0]).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damage in [&b""[..], b"junk", &whole[..whole.len() - 1], &flipped, &[0; 100]] {
        fs::write(&entries(&place)[0], damage).unwrap();
        let outcome = place.json(&[], &[&file]).expect(0);
        assert_eq!((outcome.cached("good"), outcome.verdict("good").as_str()), (false, "Accepted"));
        let outcome = place.json(&[], &[&file]).expect(0);
        assert!(outcome.cached("good"), "the entry is whole again");
    }
    let entry = entries(&place).remove(0);
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    assert_eq!(place.json(&[], &[&file]).expect(0).verdict("good"), "Accepted");
}

#[test]
fn a_cache_too_small_or_impossible_costs_time_alone() {
    let place = Place::new();
    let file = place.object(&good("good"));
    for bound in ["0", "10"] {
        let outcome = place.judge(&["--cache-bytes", bound], &[&file]).expect(0);
        counted(&outcome, 1, 0, 1);
        assert!(entries(&place).is_empty());
    }
    fs::remove_dir(place.path("cache")).unwrap();
    place.write("cache", "a file");
    let outcome = place.judge(&[], &[&file]).expect(0);
    counted(&outcome, 1, 0, 1);
    assert!(outcome.stderr.contains("Nothing is cached."), "{}", outcome.stderr);
}

#[test]
fn a_full_cache_makes_room() {
    let place = Place::new();
    place.json(&[], &[place.object(&good("size"))]).expect(0);
    let size = fs::metadata(&entries(&place)[0]).unwrap().len();
    for n in 0..6 {
        let object = submission("one", "c17", &format!("int main(void) {{ return {n} - {n}; }}"), "");
        place.json(&["--cache-bytes", &(size * 3).to_string()], &[place.object(&object)]).expect(0);
        let held: u64 = entries(&place).iter().map(|e| fs::metadata(e).unwrap().len()).sum();
        assert!(held > 0 && held <= size * 3, "{held}");
    }
}

/// The status of a source that must be refused by the compiler of a language changed by `patch`.
fn refused(of: &str, patch: &Value, source: &str) -> Value {
    let place = Place::new();
    let user = place.object(&submission("hostile", "own", source, ""));
    let files = [user, place.object(&language(of, "own", patch)), place.object(&good("good"))];
    let outcome = place.json(&[], &files).expect(0);
    let status = outcome.status("hostile");
    assert_eq!(status["verdict"], "CompilationError", "{source}: {status:#}");
    assert_eq!(outcome.verdict("good"), "Accepted");
    assert!(status.get("tests").is_none(), "nothing was run");
    status
}

#[test]
fn what_the_compiler_said_is_shown() {
    let status =
        refused("c17", &json!({}), "int main(void) { return \u{1b}; }\n#error \"\u{1b}[31mred\u{202e}\"");
    let output = status["compile"]["output"].as_str().unwrap();
    assert!(output.contains("main.c:1:") && output.contains("#error \"\u{fffd}[31mred"), "{output}");
    assert!(is_harmless(output), "{output:?}");
    assert_eq!(json!([status["compile"]["exitCode"], status["compile"]["cached"]]), json!([1, false]));
}

#[test]
fn enormous_compiler_output_is_cut() {
    let source = "#warning ".to_owned() + &"#warning w\n".repeat(5000) + "#error e";
    let status = refused("c17", &json!({}), &source);
    let output = status["compile"]["output"].as_str().unwrap();
    assert!(output.ends_with('…') && (8189..=8192).contains(&output.len()), "{}", output.len());
    let status = refused("c17", &json!({"compile": {"limits": {"outputBytes": 4096}}}), &source);
    assert_eq!(status["message"], "the compiler printed more than allowed");
}

#[test]
fn a_source_that_includes_secrets_or_devices_does_not_compile() {
    let small = json!({"compile": {"limits": {"memoryBytes": 64 << 20, "timeMilliseconds": 5000}}});
    for path in [
        "/etc/shadow",
        "/proc/1/environ",
        "/sys/kernel/notes",
        "/dev/zero",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        ".",
    ] {
        for source in [
            format!("#include \"{path}\"\nint main(void) {{}}"),
            format!("__asm__(\".incbin \\\"{path}\\\"\"); int main(void) {{}}"),
        ] {
            let status = refused("c17", &small, &source);
            let output = status["compile"]["output"].as_str().unwrap_or_default();
            assert!(!output.contains("root:") && !output.contains("PATH="), "{path}: {output}");
        }
    }
}

#[test]
fn a_source_that_exhausts_the_compiler_does_not_compile() {
    let limits = |limits: Value| json!({"compile": {"limits": limits}});
    let doubled: Vec<String> = (1..40).map(|n| format!("#define A{n} A{} A{}", n - 1, n - 1)).collect();
    let doubled = doubled.join(
        "
",
    );
    let macros = format!("#define A0 1,\n{doubled}\nint a[] = {{ A39 }};");
    let steps =
        "constexpr long f(int n) { long s = n; for (long i = 0; i < 200000; ++i) s += i % 7; return s; }
        constexpr long g() { long s = 0; for (int i = 0; i < 150; ++i) s += f(i); return s; }
        static_assert(g() != 0);";
    let cases = [
        (
            "c17",
            limits(json!({"memoryBytes": 64 << 20})),
            macros.as_str(),
            "the compiler used more memory than allowed",
        ),
        (
            "cpp17",
            limits(json!({"timeMilliseconds": 300, "wallTimeMilliseconds": 60000})),
            steps,
            "the compiler used more CPU time than allowed",
        ),
        (
            "c17",
            limits(json!({"diskBytes": 2 << 20})),
            "char a[64 << 20] = {1}; int main(void) {}",
            "the compiler exited with code ",
        ),
        ("c17", limits(json!({})), "#include __FILE__", "the compiler exited with code 1"),
    ];
    for (of, patch, source, message) in cases {
        let status = refused(of, &patch, source);
        assert!(status["message"].as_str().unwrap().starts_with(message), "{message}: {status:#}");
    }
}

#[test]
fn a_compiler_that_leaves_no_plain_program_is_a_compilation_error() {
    let command =
        |argv: &[&str]| json!({"compile": {"command": argv, "limits": {"wallTimeMilliseconds": 400}}});
    let cases: [(&[&str], &str); 6] = [
        (&["/bin/true"], "the compiler left no program: "),
        (&["/bin/ln", "-s", "/etc/passwd", "main"], "the compiler left no program: "),
        (&["/usr/bin/mkfifo", "main"], "the compiler left no program: "),
        (&["/bin/false"], "the compiler exited with code 1"),
        (&["/bin/sleep", "1000"], "the compiler did not finish in time"),
        (&["/bin/sh", "-c", "kill -9 $$"], "the compiler was killed by signal 9"),
    ];
    for (argv, message) in cases {
        let status = refused("c17", &command(argv), "int main(void) {}");
        assert!(status["message"].as_str().unwrap().starts_with(message), "{argv:?}: {status:#}");
    }
}
