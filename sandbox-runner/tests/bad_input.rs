//! Bad input: each a message that names the field, exit status 2, and the other Submissions of the same call judged.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::table::expanded;
use common::{Outcome, Place, good, language, merge, submission};
use serde_json::{Value, json};

/// Most of what is said about one bad file.
const MAX_STDERR: usize = 2048;
/// `O_NONBLOCK` of Linux on x86-64 and arm64.
const NONBLOCK: i32 = 0o4000;

/// One call with a bad file among good ones; why it is not as it should be.
fn fault(place: &Place, bad: &Path, stderr: &str, others: &[&Path]) -> Option<String> {
    let good = place.object(&good("good"));
    let outcome = place.json(&[], &[&[bad, &good], others].concat());
    let line = format!("{}: {stderr}", bad.display());
    let said = outcome.stderr.lines().any(|l| l.starts_with(&line)) && outcome.stderr.len() < MAX_STDERR;
    let judged = outcome.code == Some(2) && outcome.verdict("good") == "Accepted";
    let start: String = outcome.stderr.chars().take(MAX_STDERR).collect();
    (!said || !judged).then(|| format!("{line}\n    exit {:?}, {start}", outcome.code))
}

fn check(place: &Place, bad: &Path, stderr: &str) {
    assert_eq!(fault(place, bad, stderr, &[]), None);
}

fn sources() -> Value {
    let data = json!({"fine": "int main(void) {}", "empty": "", "number": 5, "long": "/".repeat(65 << 10)});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sources"}, "data": data})
}

#[test]
fn every_case_of_the_table_is_refused_by_name_and_alone() {
    let options = serde_saphyr::options! { strict_booleans: true };
    let table: Value =
        serde_saphyr::from_str_with_options(include_str!("cases/bad_input.yaml"), options).unwrap();
    let place = Place::new();
    let config_map = place.object(&sources());
    let mut faults = Vec::new();
    for case in table["cases"].as_array().unwrap() {
        let mut object = table["base"].clone();
        merge(&mut object, &expanded(&case["patch"], 0));
        let bad = place.write("bad.yaml", object.to_string());
        faults.extend(fault(&place, &bad, case["stderr"].as_str().unwrap(), &[&config_map]));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn yaml(name: &str) -> String {
    serde_saphyr::to_string(&good(name)).unwrap()
}

/// `levels` lists, each of `width` times the one before.
fn aliases(first: &str, levels: usize, width: usize) -> String {
    let level = |n: usize| {
        let items = vec![format!("*a{n}"); width].join(", ");
        format!("a{}: &a{} [{items}]\n", n + 1, n + 1)
    };
    format!("a0: &a0 {first}\n") + &(0..levels).map(level).collect::<String>()
}

#[test]
fn a_file_that_is_no_document_says_what_and_where() {
    let place = Place::new();
    let not_utf8 = yaml("bad").replace("main", "m\u{fffd}n").into_bytes();
    let not_utf8 = not_utf8.iter().filter(|b| ![0xbf, 0xbd].contains(*b)).copied().collect();
    let line = yaml("bad").lines().count() + 1;
    let second = format!("the file holds 2 documents, the second from line {line} on");
    let cases: [(Vec<u8>, &str); 19] = [
        (Vec::new(), "the file is empty"),
        (b"# nothing\n".to_vec(), "the file is empty"),
        (b"hello\n".to_vec(), "kind: is no text or missing"),
        (b"- kind: Submission\n".to_vec(), "kind: is no text or missing"),
        (not_utf8, "spec.source.inline: is not UTF-8 in line"),
        (b"\x7fELF\x02\x01\x01\0\0\xff\xfe".to_vec(), "the file is not UTF-8 in line 1"),
        (b"kind: \0\n".to_vec(), "the file is no YAML that can be read: unexpected character"),
        (b"a: [\n".to_vec(), "the file is no YAML that can be read: "),
        (
            (yaml("bad") + "kind: Pod\n").into(),
            "the file is no YAML that can be read: duplicate mapping key: kind",
        ),
        (format!("{}---\n{}", yaml("bad"), yaml("bad2")).into(), &second),
        (format!("{}---\n[", yaml("bad")).into(), "the file is no YAML that can be read: "),
        (
            aliases("[x, x]", 8, 9).into(),
            "the file is too much to read: too many aliases (*), or aliases of aliases (line",
        ),
        (
            aliases("[x, x]", 30, 2).into(),
            "the file is too much to read: too many aliases (*), or aliases of aliases (line",
        ),
        (
            aliases(&"x".repeat(1 << 20), 3, 20).into(),
            "the file is too much to read: texts too long, with what aliases",
        ),
        ("[".repeat(100_000).into(), "the file is no YAML that can be read: recursion limit exceeded"),
        (
            (0..900).fold(String::new(), |t, n| t + &" ".repeat(n) + "a:\n").into(),
            "the file is too much to read: lists or objects inside",
        ),
        ("a: 1\n".repeat(60_000).into(), "the file is no YAML that can be read: duplicate mapping key: a"),
        (
            (0..60_000).map(|n| "k".to_owned() + &n.to_string() + ": 1\n").collect::<String>().into(),
            "the file is too much to read: too many values",
        ),
        (vec![b'#'; 9 << 20], "the file can't be read: larger than 8388608 bytes"),
    ];
    let faults = cases.iter().filter_map(|(bytes, stderr)| {
        let bad = place.write("bad.yaml", bytes);
        fault(&place, &bad, stderr, &[])
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn other_ways_to_write_the_same_are_fine() {
    let place = Place::new();
    let plain = "apiVersion: kubejudge.dev/v1alpha1\nkind: Submission\nmetadata: {name: good}\nspec:\n  language: c17\n  \
        source:\n    inline: |\n      #include <stdio.h>\n      int main(void) { puts(\"y\"); }\n  tests: [{name: n, answer: y}]\n";
    let texts = [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        format!("---\n{plain}...\n---\n# the end\n"),
        format!("{plain}  <<: {{comparison: Lines}}\n"),
        plain.replace("answer: y", "answer: &a y, input: *a"),
        submission("good", "c17", "#include <stdio.h>\nint main(void) { puts(\"y\"); }", "y").to_string(),
    ];
    for (n, text) in texts.iter().enumerate() {
        let outcome = place.json(&[], &[place.write("good.yaml", text)]).expect(0);
        let found = (outcome.verdict("good"), outcome.stderr.as_str());
        assert_eq!(found, ("Accepted".into(), ""), "{n}");
    }
}

#[test]
fn what_is_no_file_is_refused_by_its_path() {
    let place = Place::new();
    check(&place, &place.path("missing.yaml"), "the file can't be read: No such file");
    check(&place, Path::new("/dev/zero"), "the file can't be read: it is no regular file");
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    check(&place, &folder, "the file can't be read: holds no file named *.yaml");
    fs::write(folder.join("README.md"), "# no YAML").unwrap();
    check(&place, &folder, "the file can't be read: holds no file named *.yaml");
    std::os::unix::fs::symlink("nowhere", folder.join("broken.yml")).unwrap();
    let outcome = place.json(&[], &[folder]).expect(2);
    assert!(outcome.stderr.contains("folder/broken.yml: the file can't be read"), "{}", outcome.stderr);
}

/// Where the program opened the pipe after all, a writer comes and goes, so that this fails instead of hanging.
#[test]
fn a_pipe_is_not_waited_for() {
    let place = Place::new();
    let pipe = place.path("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let good = place.object(&good("good"));
    let mut command = place.command(&["-o", "json"], &[&pipe, &good]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        drop(fs::OpenOptions::new().write(true).custom_flags(NONBLOCK).open(&pipe));
        std::thread::sleep(Duration::from_millis(10));
    }
    let outcome = Outcome::of(&child.wait_with_output().unwrap()).expect(2);
    assert!(
        outcome.stderr.contains("pipe.yaml: the file can't be read: it is no regular file"),
        "{outcome:?}"
    );
    assert_eq!(outcome.verdict("good"), "Accepted");
}

#[test]
fn a_malformed_language_is_refused_and_so_are_its_users() {
    let place = Place::new();
    let bad = place.object(&language("c17", "broken", &json!({"compile": {"command": []}})));
    let user = place.object(&submission("user", "broken", "int main(void) {}", ""));
    let good = place.object(&good("good"));
    let outcome = place.json(&[], &[&bad, &user, &good]).expect(2);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert!(lines[0].contains("Language-broken.json: spec.compile.command: "), "{lines:?}");
    assert!(lines[1].contains(r#"user.json: spec.language: no Language "broken" was given"#), "{lines:?}");
    assert_eq!((outcome.verdict("good").as_str(), outcome.items().len()), ("Accepted", 2));
}

#[test]
fn of_two_with_one_name_the_first_counts() {
    let place = Place::new();
    let (first, second) = (good("good"), submission("good", "c17", "no C", ""));
    let (first, second) =
        (place.write("1.json", first.to_string()), place.write("2.json", second.to_string()));
    let outcome = place.judge(&[], &[&first, &second]).expect(2);
    let said = format!("{}: metadata.name: is used by {} already", second.display(), first.display());
    assert!(outcome.stderr.starts_with(&said) && outcome.stdout.contains("Accepted"), "{outcome:?}");
    let other = language("c17", "c17", &json!({"compile": {"command": ["/bin/false"]}}));
    check(&place, &place.object(&other), "metadata.name: is used by another Language already");
    let maps = [sources(), sources()].map(|map| map.to_string());
    let [first, second] = [place.write("a.json", &maps[0]), place.write("b.json", &maps[1])];
    let fault = fault(&place, &second, "metadata.name: is used by another ConfigMap already", &[]);
    assert!(fault.is_some(), "one ConfigMap alone is fine");
    let outcome = place.json(&[], &[first, second]).expect(2);
    assert!(outcome.stderr.contains("b.json: metadata.name: is used by another ConfigMap already"));
}

#[test]
fn the_same_name_in_two_namespaces_is_two() {
    let place = Place::new();
    let mut other = good("good");
    other["metadata"]["namespace"] = "other".into();
    let (one, other) = (place.object(&good("good")), place.write("other.json", other.to_string()));
    assert_eq!(place.json(&[], &[one, other]).expect(0).items().len(), 2);
}

#[test]
fn a_refused_submission_is_listed_as_invalid() {
    let place = Place::new();
    let bad = place.object(&submission("bad", "cobol", "x", ""));
    let outcome = place.json(&[], &[&bad]).expect(2);
    let status = outcome.status("bad");
    let conditions: Vec<_> = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["type"], &c["status"], &c["reason"]))
        .collect();
    let wanted = json!([
        ["Admitted", "False", "Invalid"],
        ["Finished", "True", "Invalid"],
        ["Succeeded", "False", "Invalid"]
    ]);
    assert_eq!(json!(conditions), wanted);
    assert!(status["message"].as_str().unwrap().starts_with("spec.language: "));
    assert_eq!(status.get("verdict"), None);
    let table = place.judge(&[], &[&bad]).expect(2);
    assert!(
        table.stdout.contains("\n0 judged in ") && table.stdout.contains("; 1 refused"),
        "{}",
        table.stdout
    );
}

#[test]
fn file_names_are_shown_harmless() {
    let place = Place::new();
    let name = OsStr::from_bytes(b"bad\xff\x1b[31m\n.json");
    let bad = place.write(name, submission("bad", "cobol", "x", "").to_string());
    let outcome = place.json(&[], &[bad]).expect(2);
    assert!(
        outcome.stderr.contains("bad\u{fffd}\u{fffd}[31m .json: spec.language: "),
        "{:?}",
        outcome.stderr
    );
    assert_eq!(outcome.items().len(), 1);
}

#[test]
fn a_wrong_command_line_is_exit_status_2() {
    for args in [
        &[][..],
        &["judge"],
        &["judge", "--slots", "0", "x"],
        &["judge", "--nonsense", "x"],
        &["judge", "-o", "xml", "x"],
    ] {
        let outcome = Outcome::of(&Command::new(common::PROGRAM).args(args).env_clear().output().unwrap());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(outcome.stderr.contains("--help"), "{outcome:?}");
    }
}
