//! What of a program's output is shown with a wrong answer: around the difference, bounded, and fit for a terminal.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{Place, is_harmless, submission};
use serde_json::Value;

const ODD_OUTPUT: &str = "import sys\nline = b'\\x1b[2J\\x1b]0;t\\x07\\xff\\xfe\\x00\\xe2\\x80\\xae\\xc2\\x9b31m!\\n'\nsys.stdout.buffer.write(line * 50000)";

#[test]
fn excerpts_of_a_wrong_answer_are_bounded_and_harmless() {
    let place = Place::new();
    let mut hostile = submission("hostile", "python3", ODD_OUTPUT, &"\u{1b}[1mwanted\n".repeat(1200));
    hostile["spec"]["tests"] = (0..12)
        .map(|n| {
            let mut test = hostile["spec"]["tests"][0].clone();
            test["name"] = format!("t{n}").into();
            test
        })
        .collect();
    let file = place.object(&hostile);
    let status = place.json(&[], &[&file]).expect(0).status("hostile");
    assert_eq!(status["verdict"], "WrongAnswer");
    for (n, test) in status["tests"].as_array().unwrap().iter().enumerate() {
        let sides = [&test["actual"], &test["expected"]];
        assert_eq!(sides.map(Value::is_string), [n < 8; 2], "the first eight alone have excerpts");
        for text in sides.into_iter().filter_map(Value::as_str) {
            assert!(is_harmless(text) && text.chars().count() <= 1024 && text.ends_with('…'), "{text:?}");
        }
    }
    assert!(
        status["tests"][0]["actual"].as_str().unwrap().starts_with("\u{fffd}[2J\u{fffd}]0;t\u{fffd}\u{fffd}")
    );
    assert!(status["tests"][0]["expected"].as_str().unwrap().starts_with("\u{fffd}[1mwanted\n"));
    assert!(status["tests"].as_array().unwrap().iter().all(|t| is_harmless(t["message"].as_str().unwrap())));
    let table = place.judge(&[], &[&file]).expect(0);
    assert!(is_harmless(&table.stdout) && table.stdout.len() < 2000, "{}", table.stdout);
}

#[test]
fn an_excerpt_shows_the_place_of_the_difference() {
    let place = Place::new();
    let answer: String = (0..2000).map(|n| n.to_string() + "\n").collect();
    let source = "for n in range(2000): print(n if n != 1500 else 'oops')";
    let status = place
        .json(&[], &[place.object(&submission("late", "python3", source, &answer))])
        .expect(0)
        .status("late");
    let side = |name: &str| status["tests"][0][name].as_str().unwrap().to_owned();
    assert!(side("actual").starts_with("…\n1499\noops\n1501\n"), "{}", side("actual"));
    assert!(side("expected").starts_with("…\n1499\n1500\n1501\n"), "{}", side("expected"));
}
