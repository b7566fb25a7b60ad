//! `judge` by a user without any privilege, as on a developer's machine.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use common::{Outcome, PROGRAM, Place, expecting, good, project, submission};
use serde_json::{Value, json};

#[test]
fn an_ordinary_user_gets_the_same_verdicts() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return; // every other test is this one
    }
    let place = Place::new();
    let shared = place.path("shared");
    fs::create_dir(&shared).unwrap();
    for folder in [&place.path(""), &shared] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let bounded = |name: &str, source: &str, limits: Value| {
        let mut object = submission(name, "c17", source, "");
        object["spec"]["limits"] = limits;
        object
    };
    let hoard = "#include <stdlib.h>\n#include <string.h>\nint main(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }";
    let objects = [
        expecting("Accepted", good("good")),
        expecting(
            "TimeLimitExceeded",
            bounded(
                "spin",
                "int main(void) { for (;;); }",
                json!({"timeMilliseconds": 200, "wallTimeMilliseconds": 60000}),
            ),
        ),
        expecting("MemoryLimitExceeded", bounded("hoard", hoard, json!({"memoryBytes": 32 << 20}))),
        expecting(
            "IdlenessLimitExceeded",
            bounded(
                "idle",
                "#include <unistd.h>\nint main(void) { pause(); }",
                json!({"wallTimeMilliseconds": 300}),
            ),
        ),
    ];
    let mut command = Command::new(project("e2e/as-user"));
    command.args([PROGRAM, "judge", "--expect", "--cache-dir"]).arg(shared.join("cache"));
    command.arg(project("manifests/languages")).args(objects.iter().map(|object| place.object(object)));
    let outcome = Outcome::of(&command.output().unwrap()).expect(0);
    assert_eq!(
        fs::metadata(shared.join("cache")).unwrap().uid(),
        65533,
        "it was an ordinary user: {outcome:?}"
    );
}
