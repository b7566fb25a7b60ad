//! The `judge` command as people and scripts meet it: exit status, forms of output, order of results.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::path::PathBuf;
use std::process::Stdio;

use common::{Outcome, Place, expecting, good, is_harmless, language, submission};
use serde_json::{Value, json};

fn wrong(name: &str) -> Value {
    submission(name, "python3", "print(41)", "42\n")
}

#[test]
fn a_verdict_of_any_kind_is_exit_status_0() {
    let place = Place::new();
    let files = [
        place.object(&wrong("wrong")),
        place.object(&submission("no-c", "c17", "int main(void) {", "")),
        place.object(&submission("crash", "c17", "int main(void) { return 3; }", "")),
    ];
    let outcome = place.json(&[], &files).expect(0);
    let verdicts = ["wrong", "no-c", "crash"].map(|name| outcome.verdict(name));
    assert_eq!(verdicts, ["WrongAnswer", "CompilationError", "RuntimeError"]);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn expect_compares_with_the_annotation() {
    let place = Place::new();
    let right = place.object(&expecting("WrongAnswer", wrong("right")));
    let other = place.object(&expecting("Accepted", wrong("other")));
    let silent = place.object(&wrong("silent"));
    let outcome = place.judge(&["--expect"], &[&right]).expect(0);
    assert!(!outcome.stdout.contains("DIFFERS"), "{}", outcome.stdout);
    for differing in [&other, &silent] {
        let outcome = place.judge(&["--expect"], &[&right, differing]).expect(1);
        let rows: Vec<&str> = outcome.stdout.lines().filter(|l| l.contains("WrongAnswer  ")).collect();
        assert!(!rows[0].contains("DIFFERS") && rows[1].contains("DIFFERS"), "{}", outcome.stdout);
        place.judge(&[], &[differing]).expect(0);
    }
    let rude =
        place.object(&expecting("\u{1b}[31mAccepted\nand more of it than any verdict has", wrong("rude")));
    let outcome = place.judge(&["--expect"], &[&rude]).expect(1);
    assert!(is_harmless(&outcome.stdout) && outcome.stdout.lines().count() == 5, "{}", outcome.stdout);
    let bad = place.object(&submission("bad", "cobol", "x", ""));
    place.judge(&["--expect"], &[&other, &bad]).expect(2);
}

/// What the submitter's source became is the submitter's, even if the kernel does not know what to do with it.
#[test]
fn an_artifact_that_is_no_program_is_a_runtime_error() {
    let place = Place::new();
    let copies = json!({"compile": {"command": ["/bin/cp", "main.c", "main"]}});
    let files = [
        place.object(&language("c17", "copied", &copies)),
        place.object(&submission("garbage", "copied", "a text and no program", "")),
        place.object(&submission("no-interpreter", "copied", "#!/no/such/interpreter\n", "")),
    ];
    let outcome = place.json(&[], &files).expect(0);
    for name in ["garbage", "no-interpreter"] {
        assert_eq!(outcome.verdict(name), "RuntimeError");
        assert!(outcome.status(name)["message"].as_str().unwrap().contains("can't be executed"));
    }
}

/// The platform's fault outweighs all else, and is nobody else's.
#[test]
fn a_program_of_the_toolchain_that_is_missing_is_exit_status_3() {
    let place = Place::new();
    let no_compiler = json!({"compile": {"command": ["/opt/no/such/cc"]}});
    let no_runtime = json!({"compile": null, "run": {"command": ["/opt/no/such/vm", "main.c"]}});
    let not_made = json!({"run": {"command": ["./other"]}});
    for (patch, named) in
        [(no_compiler, "/opt/no/such/cc"), (no_runtime, "/opt/no/such/vm"), (not_made, "other")]
    {
        let user = place.object(&submission("user", "broken", "int main(void) { return 0; }", ""));
        let files = [
            place.object(&language("c17", "broken", &patch)),
            user,
            place.object(&good("good")),
            place.object(&submission("refused", "cobol", "x", "")),
        ];
        let outcome = place.json(&[], &files).expect(3);
        let message = outcome.status("user")["message"].to_string();
        assert!(message.contains(named), "{message}");
        assert_eq!(
            (outcome.verdict("user"), outcome.verdict("good")),
            ("InternalError".into(), "Accepted".into())
        );
        let succeeded = outcome.status("user")["conditions"][2].clone();
        assert_eq!(json!([succeeded["type"], succeeded["status"]]), json!(["Succeeded", "False"]));
    }
}

#[test]
fn a_limit_beyond_all_memory_is_the_platforms_fault() {
    let place = Place::new();
    let outcome = place.json(
        &["--memory-bytes", "600000000"],
        &[place.object(&good("good")), place.object(&submission("large", "java17", "class Main {}", ""))],
    );
    let outcome = outcome.expect(3);
    assert_eq!(
        (outcome.verdict("large"), outcome.verdict("good")),
        ("InternalError".into(), "Accepted".into())
    );
    let said = outcome.status("large")["message"].to_string();
    assert!(said.contains("do not fit into the 600000000 bytes"), "{said}");
}

/// `value` without what differs from run to run.
fn steady(value: &Value) -> Value {
    const VARIES: [&str; 8] = [
        "timeMilliseconds",
        "wallTimeMilliseconds",
        "memoryBytes",
        "timeSummary",
        "memorySummary",
        "startTime",
        "completionTime",
        "lastTransitionTime",
    ];
    match value {
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(name, _)| !VARIES.contains(&name.as_str()) && *name != "cached");
            kept.map(|(name, v)| (name.clone(), if name == "spec" { v.clone() } else { steady(v) })).collect()
        }
        Value::Array(items) => items.iter().map(steady).collect(),
        other => other.clone(),
    }
}

/// Submissions of all sorts, with texts that YAML readers like to take for something else.
fn sorts(place: &Place) -> Vec<PathBuf> {
    let echo = "import sys\nsys.stdout.write(sys.stdin.read())";
    let mut odd = submission("odd", "python3", echo, "");
    let texts = [
        "y",
        "1",
        "null",
        "~",
        "0x1f",
        "1e3",
        "- a",
        "#",
        "a: b",
        " \n x\n\n",
        "\t",
        "|",
        "\u{85}\u{2028}\u{feff}",
        "---\n...",
    ];
    let test = |(n, text): (usize, &&str)| json!({"name": format!("t{n}"), "input": text, "answer": format!("not {text}")});
    odd["spec"]["tests"] = texts.iter().enumerate().map(test).collect();
    let noisy = "#include <stdio.h>\nint main(int n) { if (getchar() == 'x') return 1; puts(\"y\"); }";
    let mut mixed = submission("mixed", "c17", noisy, "");
    let test = |n: usize| json!({"name": format!("t{n}"), "input": if n == 7 { "x" } else { "" }, "answer": if n == 9 { "n" } else { "y" }});
    mixed["spec"]["tests"] = (0..12).map(test).collect();
    let rest = [
        submission("broken", "c17", "#error \"y: \u{1b}[31m\"", ""),
        good("good"),
        submission("refused", "cobol", "x", ""),
    ];
    [odd, mixed].iter().chain(&rest).map(|object| place.object(object)).collect()
}

#[test]
fn yaml_and_json_say_the_same() {
    let place = Place::new();
    let files = sorts(&place);
    let json = place.json(&["--no-cache"], &files).expect(2);
    let yaml = place.judge(&["-o", "yaml", "--no-cache"], &files).expect(2);
    let strict = serde_saphyr::options! { strict_booleans: true };
    for options in [serde_saphyr::options! {}, strict] {
        let list: Value = serde_saphyr::from_str_with_options(&yaml.stdout, options).unwrap();
        assert_eq!(steady(&json!(common::items_of(&list))), steady(&json!(json.items())));
    }
    assert_eq!(json.items().len(), 5);
}

#[test]
fn results_do_not_depend_on_the_number_of_slots() {
    let place = Place::new();
    let files = sorts(&place);
    let [one, four] = ["1", "4"].map(|slots| place.json(&["--slots", slots, "--no-cache"], &files).expect(2));
    assert_eq!(steady(&json!(one.items())), steady(&json!(four.items())));
    let status = four.status("mixed");
    assert_eq!(json!([status["verdict"], status["testsSummary"]]), json!(["RuntimeError", "10/12"]));
    assert!(status["message"].as_str().unwrap().starts_with("test t7: "), "the first failing test in order");
    let names: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    assert_eq!(
        json!(status["tests"].as_array().unwrap().iter().map(|t| &t["name"]).collect::<Vec<_>>()),
        json!(names)
    );
}

#[test]
fn the_table_has_a_row_for_each_in_order_and_a_summary() {
    let place = Place::new();
    let slow = submission("slow", "python3", "import time\ntime.sleep(0.5)", "");
    let files = [slow, good("quick"), wrong("wrong")].map(|object| place.object(&object));
    let outcome = place.judge(&["--slots", "4"], &files).expect(0);
    let lines: Vec<Vec<&str>> = outcome.stdout.lines().map(|l| l.split_whitespace().collect()).collect();
    let starts: Vec<_> =
        lines.iter().take(5).map(|words| words.iter().take(4).copied().collect::<Vec<_>>()).collect();
    let wanted: [&[&str]; 5] = [
        &["NAME", "LANGUAGE", "VERDICT", "TESTS"],
        &["slow", "python3", "Accepted", "1/1"],
        &["quick", "c17", "Accepted", "1/1"],
        &["wrong", "python3", "WrongAnswer", "0/1"],
        &[],
    ];
    assert_eq!(starts, wanted);
    assert!(lines[5].join(" ").ends_with(": 2 Accepted, 1 WrongAnswer"), "{}", outcome.stdout);
    assert_eq!(lines[6].join(" "), "3 compiler runs, 0 programs from the cache, 3 tests run");
    assert!(is_harmless(&outcome.stdout) && outcome.stderr.is_empty(), "a pipe is no terminal: {outcome:?}");
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let place = Place::new();
    let file = place.object(&good("good"));
    for form in ["table", "json", "yaml"] {
        let mut child = place
            .command(&["-o", form], &[&file])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let outcome = Outcome::of(&child.wait_with_output().unwrap()).expect(0);
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn status_fields_tell_the_whole_story() {
    let place = Place::new();
    let mut object = good("story");
    object["metadata"]["generation"] = 7.into();
    let status = place.json(&[], &[place.object(&object)]).expect(0).status("story");
    let part = json!([
        status["observedGeneration"],
        status["phase"],
        status["scoreMilli"],
        status["testsPassed"],
        status["testsTotal"],
        status["compile"]["exitCode"]
    ]);
    assert_eq!(part, json!([7, "Finished", 100_000, 1, 1, 0]));
    let conditions: Vec<_> =
        status["conditions"].as_array().unwrap().iter().map(|c| (&c["type"], &c["status"])).collect();
    assert_eq!(json!(conditions), json!([["Admitted", "True"], ["Finished", "True"], ["Succeeded", "True"]]));
    assert!(status["measurement"]["time"].is_string() && status["completionTime"].is_string(), "{status:#}");
}
