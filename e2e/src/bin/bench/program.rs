//! The programs that are judged: examples of the manifests, each with 20 tests.

use std::sync::Arc;

use anyhow::{Context, ensure};
use sandbox_runner::documents;
use sandbox_runner::plan::{Plan, Test};

use crate::workspace;

/// How many tests each program has; the names of the figures say so.
const TESTS: u32 = 20;

/// An example of manifests/examples, with the command lines of manifests/languages.
pub(crate) fn example(name: &str) -> anyhow::Result<Plan> {
    let manifests = workspace().join("manifests");
    let files = [manifests.join("languages"), manifests.join("examples").join(format!("{name}.yaml"))];
    let input = documents::read(&files, crds::DEFAULT_MAX_SOURCE_BYTES);
    ensure!(input.refused.is_empty(), "refused: {:?}", input.refused);
    let readable = input.readable.into_iter().next();
    let plan = readable.with_context(|| format!("{name}.yaml holds no Submission"))?.plan;
    Ok(plan)
}

/// The same, which must have 20 tests.
pub(crate) fn of_20_tests(name: &str) -> anyhow::Result<Plan> {
    let plan = example(name)?;
    ensure!(plan.tests.len() == TESTS as usize, "{name} has {} tests instead of {TESTS}", plan.tests.len());
    Ok(plan)
}

/// Java's factorials, with the tests that the example has too few of.
pub(crate) fn java() -> anyhow::Result<Plan> {
    let test = |n: u32| Test {
        index: n - 1,
        name: n.to_string(),
        input: line(n),
        answer: line((1..=u64::from(n)).product::<u64>()),
    };
    Ok(Plan { tests: (1..=TESTS).map(test).collect(), ..example("java17-factorial")? })
}

fn line(number: impl std::fmt::Display) -> Arc<[u8]> {
    format!("{number}\n").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_there_with_its_20_tests() {
        let plans = [of_20_tests("cpp17-shortest-path"), of_20_tests("python3-roman-numerals"), java()];
        for plan in plans {
            assert_eq!(plan.unwrap().tests.len(), 20);
        }
    }

    #[test]
    fn the_largest_factorial_is_right() {
        let plan = java().unwrap();
        assert_eq!(*plan.tests[19].answer, *b"2432902008176640000\n");
    }
}
