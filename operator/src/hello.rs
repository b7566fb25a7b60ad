//! `operator hello`: judges a hello-world, so that an installation is seen to work (`helm test`).

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use crds::Submission;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::json;
use telemetry::LogArgs;
use tokio::time::{Instant, sleep, timeout_at};

/// What the program must print.
const HELLO: &str = "Hello, world!\n";
/// The time between two looks at the Submission.
const LOOK: Duration = Duration::from_millis(500);
/// Longest wait for one answer of the API server.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a Submission stays that nobody deleted, in seconds after it is finished.
const KEPT: i32 = 3600;

/// Creates a hello-world Submission, waits for its verdict, prints that and deletes the Submission. Exits with 0 if it is
/// Accepted.
#[derive(Debug, Clone, Parser)]
#[command(name = "operator hello", version)]
pub struct HelloCli {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
    /// The namespace to create it in.
    #[arg(long, env = "KUBEJUDGE_HELLO_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// The Language.
    #[arg(long, env = "KUBEJUDGE_HELLO_LANGUAGE", default_value = "python3")]
    pub language: String,
    /// A program that prints "Hello, world!"; unset, one that is known for c17, cpp17, java17 and python3.
    #[arg(long, env = "KUBEJUDGE_HELLO_SOURCE")]
    pub source: Option<String>,
    /// Longest wait for the verdict, in seconds.
    #[arg(long, env = "KUBEJUDGE_HELLO_TIMEOUT_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout_seconds: u64,
}

/// Does it. An error says why there is no Accepted.
pub async fn run(cli: HelloCli) -> anyhow::Result<()> {
    let submission = submission(&cli)?;
    let api = Api::<Submission>::namespaced(client().await?, &cli.namespace);
    let deadline = Instant::now() + Duration::from_secs(cli.timeout_seconds);
    let created = create(&api, &submission, deadline).await?;
    let name = created.name_any();
    tracing::info!(name, namespace = cli.namespace, language = cli.language, "Created.");
    let finished = finished(&api, &name, deadline).await;
    delete(&api, &created).await;
    println!("{}", verdict(&finished?)?);
    Ok(())
}

/// What to judge.
fn submission(cli: &HelloCli) -> anyhow::Result<Submission> {
    let source = match (cli.source.as_deref(), cli.language.as_str()) {
        (Some(source), _) => source,
        (None, "c17" | "cpp17") => "#include <stdio.h>\nint main(void) { puts(\"Hello, world!\"); }\n",
        (None, "java17") => {
            "public class Main {\n  public static void main(String[] a) { System.out.println(\"Hello, world!\"); }\n}\n"
        }
        (None, "python3") => "print(\"Hello, world!\")\n",
        (None, other) => bail!("no hello-world is known for {other}: give one by --source"),
    };
    // The deadline ends it where nobody waits any more; the API server would refuse a longer one.
    let spec = json!({
        "language": cli.language,
        "source": { "inline": source },
        "tests": [{ "name": "hello", "answer": HELLO }],
        "activeDeadlineSeconds": cli.timeout_seconds,
        "ttlSecondsAfterFinished": KEPT,
    });
    let mut submission = Submission::new("", serde_json::from_value(spec)?);
    submission.metadata.name = None;
    submission.metadata.generate_name = Some("hello-".to_owned());
    Ok(submission)
}

async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context("finding the API server")?;
    config.connect_timeout = Some(ANSWER);
    config.read_timeout = Some(ANSWER);
    Client::try_from(config).context("preparing the client")
}

/// Tries until it succeeds, since right after an installation the kind may not be served yet; what will never pass is an error.
async fn create(
    api: &Api<Submission>,
    submission: &Submission,
    deadline: Instant,
) -> anyhow::Result<Submission> {
    loop {
        match api.create(&PostParams::default(), submission).await {
            Ok(created) => return Ok(created),
            Err(error) if refused(&error) || Instant::now() + LOOK > deadline => {
                return Err(error).context("creating the Submission");
            }
            Err(error) => tracing::warn!(%error, "The Submission can't be created yet; trying again."),
        }
        sleep(LOOK).await;
    }
}

fn refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 422))
}

/// The Submission when it is finished. What it waits for is logged, each thing once.
async fn finished(api: &Api<Submission>, name: &str, deadline: Instant) -> anyhow::Result<Submission> {
    let mut told = "nothing was heard of it".to_owned();
    loop {
        let Ok(answer) = timeout_at(deadline, api.get(name)).await else {
            bail!("no verdict in time: {told}")
        };
        let state = match answer {
            Ok(submission) if reason(&submission, "Finished", "True").is_some() => return Ok(submission),
            Ok(submission) => reason(&submission, "Admitted", "False")
                .or_else(|| reason(&submission, "Finished", "False"))
                .unwrap_or_else(|| "the operator has said nothing yet".to_owned()),
            Err(error) if refused(&error) => return Err(error).context("reading the Submission"),
            Err(error) => error.to_string(),
        };
        if told != state {
            tracing::info!(state, "Waiting.");
            told = state;
        }
        if timeout_at(deadline, sleep(LOOK)).await.is_err() {
            bail!("no verdict in time: {told}");
        }
    }
}

/// Reason and message of a condition, if it has this status.
fn reason(submission: &Submission, name: &str, status: &str) -> Option<String> {
    let conditions = &submission.status.as_ref()?.conditions;
    let condition = conditions.iter().find(|known| known.type_ == name && known.status == status)?;
    Some(format!("{}: {}", condition.reason, condition.message))
}

/// The verdict with what it took, or why it is not Accepted.
fn verdict(submission: &Submission) -> anyhow::Result<String> {
    let status = submission.status.as_ref().context("it is finished without a status")?;
    let Some(verdict) = status.verdict else {
        bail!("no verdict: {}", reason(submission, "Finished", "True").unwrap_or_default());
    };
    let time = status.time_summary.as_deref().unwrap_or("?");
    let memory = status.memory_summary.as_deref().unwrap_or("?");
    let line = format!("{verdict:?} in {}: {time}, {memory}", submission.spec.language);
    if verdict != crds::Verdict::Accepted {
        let compiler =
            status.compile.as_ref().and_then(|compile| compile.output.as_deref()).unwrap_or_default();
        bail!("{line}. {} {compiler}", status.message.as_deref().unwrap_or_default());
    }
    Ok(line)
}

/// Whatever comes of it, its time to live sees to the rest.
async fn delete(api: &Api<Submission>, submission: &Submission) {
    let only = Preconditions { uid: submission.uid(), resource_version: None };
    let how = DeleteParams::background().preconditions(only);
    let name = submission.name_any();
    if let Err(error) = api.delete(&name, &how).await {
        tracing::warn!(%error, name, "The Submission was not deleted.");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn cli(arguments: &[&str]) -> HelloCli {
        HelloCli::parse_from([&["hello"], arguments].concat())
    }

    #[test]
    fn every_option_can_be_set_by_the_environment() {
        HelloCli::command().debug_assert();
        let command = HelloCli::command();
        let unset: Vec<_> = command.get_arguments().filter(|arg| arg.get_env().is_none()).collect();
        assert!(unset.iter().all(|arg| ["help", "version"].contains(&arg.get_id().as_str())), "{unset:?}");
    }

    #[test]
    fn what_is_judged_is_valid_for_every_language_of_the_chart() {
        for language in ["c17", "cpp17", "java17", "python3"] {
            let mut submission =
                submission(&cli(&["--language", language, "--timeout-seconds", "86400"])).unwrap();
            submission.metadata.name = Some("hello-1".to_owned());
            crds::validate::<Submission>(&serde_json::to_value(&submission).unwrap()).unwrap();
        }
    }

    #[test]
    fn another_language_needs_a_source() {
        let error = submission(&cli(&["--language", "shell"])).unwrap_err();
        assert_eq!(error.to_string(), "no hello-world is known for shell: give one by --source");
        submission(&cli(&["--language", "shell", "--source", "echo"])).unwrap();
    }

    #[test]
    fn anything_but_accepted_is_an_error_that_says_why() {
        let mut submission = submission(&cli(&[])).unwrap();
        verdict(&submission).unwrap_err();
        let mut status =
            crds::SubmissionStatus { verdict: Some(crds::Verdict::WrongAnswer), ..Default::default() };
        status.message = Some("It differs.".to_owned());
        submission.status = Some(status.clone());
        let error = verdict(&submission).unwrap_err().to_string();
        assert!(error.contains("WrongAnswer") && error.contains("It differs."), "{error}");
        status.verdict = Some(crds::Verdict::Accepted);
        submission.status = Some(status);
        assert_eq!(verdict(&submission).unwrap(), "Accepted in python3: ?, ?");
    }
}
