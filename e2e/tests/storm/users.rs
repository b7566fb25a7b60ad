//! Those who send Submissions in, and what else they do with them; and what then has to come of each.
use std::time::{Duration, Instant};

use crds::{Submission, Verdict};
use e2e::{fixtures, process::POLL};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::rng::Rng;

pub(crate) const NAMESPACES: [&str; 3] = ["blue", "green", "red"];
/// A Language whose compiler finds faults.
pub(crate) const CHECKED: &str = "checked-shell";
const PRIORITIES: [&str; 3] = ["Contest", "Normal", "Rejudge"];
/// How long the API server may be away.
const AWAY: Duration = Duration::from_mins(2);
/// More than travels in a job, so that it travels as a blob.
const LONG: usize = 6000;

/// What a program does with a number, of which it is to print the double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Right,
    RightSlowly,
    WrongOnce,
    CrashesOnce,
    Sleeps,
    DoesNotCompile,
}

const KINDS: [Kind; 8] = [
    Kind::Right,
    Kind::Right,
    Kind::Right,
    Kind::RightSlowly,
    Kind::WrongOnce,
    Kind::CrashesOnce,
    Kind::Sleeps,
    Kind::DoesNotCompile,
];

/// One Submission, and what it is to come to.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) tests: usize,
    pub(crate) rejudges: i32,
    /// Where its fault shows, from 1.
    fault: usize,
    checked: bool,
    long: bool,
    priority: &'static str,
    version: usize,
}

impl Sent {
    fn new(number: usize, rng: &mut Rng) -> Self {
        let mut sent = Self {
            namespace: rng.one_of(&NAMESPACES),
            name: format!("s{number}"),
            kind: Kind::Right,
            tests: 1,
            rejudges: 0,
            fault: 1,
            checked: false,
            long: false,
            priority: rng.one_of(&PRIORITIES),
            version: 0,
        };
        sent.program(rng.one_of(&KINDS), rng);
        sent
    }

    fn program(&mut self, kind: Kind, rng: &mut Rng) {
        self.kind = kind;
        self.tests = if kind == Kind::Sleeps { 1 } else { 1 + rng.below(5) };
        self.fault = 1 + rng.below(self.tests);
        self.checked = kind == Kind::DoesNotCompile || rng.one_in(4);
        self.long = rng.one_in(5);
        self.rejudges = 0;
        self.version += 1;
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.kind {
            Kind::Right | Kind::RightSlowly => Verdict::Accepted,
            Kind::WrongOnce => Verdict::WrongAnswer,
            Kind::CrashesOnce => Verdict::RuntimeError,
            Kind::Sleeps => Verdict::IdlenessLimitExceeded,
            Kind::DoesNotCompile => Verdict::CompilationError,
        }
    }

    pub(crate) fn summary(&self) -> String {
        let passed = match self.kind {
            Kind::Right | Kind::RightSlowly => self.tests,
            Kind::WrongOnce | Kind::CrashesOnce => self.tests - 1,
            Kind::Sleeps | Kind::DoesNotCompile => 0,
        };
        format!("{passed}/{}", self.tests)
    }

    fn source(&self) -> String {
        let at = self.fault;
        let program = match self.kind {
            Kind::Right => "read n; echo $((n * 2))".to_owned(),
            Kind::RightSlowly => "read n; sleep 0.2; echo $((n * 2))".to_owned(),
            Kind::WrongOnce => format!("read n; [ $n = {at} ] && n=0; echo $((n * 2))"),
            Kind::CrashesOnce => format!("read n; [ $n = {at} ] && exit 3; echo $((n * 2))"),
            Kind::Sleeps => "sleep 60".to_owned(),
            Kind::DoesNotCompile => "read n; if".to_owned(),
        };
        // Some programs are the same as others, so that artifacts are shared.
        let own = if self.long { format!("# {}{}\n", self.name, "x".repeat(LONG)) } else { String::new() };
        format!("{own}{program}\n")
    }

    fn submission(&self) -> Submission {
        let tests = (1..=self.tests).map(|n| json!({ "name": format!("t{n}"), "input": format!("{n}\n"), "answer": format!("{}\n", n * 2) }));
        let mut spec = json!({
            "language": if self.checked { CHECKED } else { fixtures::SHELL },
            "source": { "inline": self.source() },
            "tests": tests.collect::<Vec<_>>(),
            "priority": self.priority,
        });
        if self.kind == Kind::Sleeps {
            spec["limits"] = json!({ "wallTimeMilliseconds": 300 });
        }
        Submission::new(&self.name, serde_json::from_value(spec).unwrap())
    }
}

/// The Language [`CHECKED`].
pub(crate) fn checked_shell() -> Value {
    let limits = json!({ "timeMilliseconds": 10_000, "memoryBytes": 64 << 20, "outputBytes": 1 << 20, "processes": 16 });
    let path = json!([{ "name": "PATH", "value": "/usr/bin:/bin" }]);
    let mut compile = limits.clone();
    compile["diskBytes"] = json!(1 << 20);
    json!({
        "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Language", "metadata": { "name": CHECKED },
        "spec": {
            "displayName": "Checked shell", "sourceFile": "main.sh",
            "compile": {
                "command": ["/bin/sh", "-c", "/bin/sh -n main.sh && cp main.sh checked.sh"], "env": path,
                "artifacts": ["checked.sh"], "limits": compile,
            },
            "run": { "command": ["/bin/sh", "checked.sh"], "env": path },
            "limits": { "default": limits },
        },
    })
}

/// All users, who try again until the API server has taken in what they want.
pub(crate) struct Users {
    client: Client,
    rng: Rng,
    number: usize,
    /// What is there, as they know it.
    pub(crate) sent: Vec<Sent>,
    /// What they did, for people.
    pub(crate) deeds: Vec<String>,
}

impl Users {
    pub(crate) fn new(client: Client, rng: Rng) -> Self {
        Self { client, rng, number: 0, sent: Vec::new(), deeds: Vec::new() }
    }

    /// Sends `count` Submissions in over about `time`, and does something with an earlier one now and then.
    pub(crate) async fn act(&mut self, count: usize, time: Duration) {
        let start = Instant::now();
        for number in 0..count {
            let at = time * u32::try_from(number).unwrap() / u32::try_from(count).unwrap();
            tokio::time::sleep_until((start + at).into()).await;
            self.send().await;
            if self.rng.one_in(6) {
                self.meddle().await;
            }
        }
    }

    async fn send(&mut self) {
        let sent = Sent::new(self.number, &mut self.rng);
        self.number += 1;
        self.create(&sent).await;
        self.sent.push(sent);
    }

    async fn meddle(&mut self) {
        let chosen = self.rng.below(self.sent.len());
        let mut sent = self.sent[chosen].clone();
        match self.rng.below(8) {
            0 => {
                self.deeds.push(format!("delete {}/{}", sent.namespace, sent.name));
                self.delete(&sent).await;
                self.sent.swap_remove(chosen);
                return;
            }
            1 | 2 => {
                let kinds: Vec<_> = KINDS.into_iter().filter(|kind| *kind != sent.kind).collect();
                let kind = self.rng.one_of(&kinds);
                self.delete(&sent).await;
                sent.program(kind, &mut self.rng);
                self.deeds.push(format!("recreate {}/{} as {kind:?}", sent.namespace, sent.name));
                self.create(&sent).await;
            }
            3 | 4 => {
                self.deeds.push(format!("suspend and resume {}/{}", sent.namespace, sent.name));
                self.change(&sent, &json!({ "suspend": true })).await;
                tokio::time::sleep(self.rng.millis(0, 600)).await;
                self.change(&sent, &json!({ "suspend": false })).await;
            }
            _ => {
                sent.rejudges += 1;
                self.deeds
                    .push(format!("rejudge {}/{} for the {}.", sent.namespace, sent.name, sent.rejudges));
                self.change(&sent, &json!({ "rejudge": sent.rejudges })).await;
            }
        }
        self.sent[chosen] = sent;
    }

    fn api(&self, sent: &Sent) -> Api<Submission> {
        Api::namespaced(self.client.clone(), sent.namespace)
    }

    async fn create(&self, sent: &Sent) {
        let (api, submission) = (self.api(sent), sent.submission());
        // It is there already if the answer to an earlier try was lost.
        stubborn(409, async || api.create(&PostParams::default(), &submission).await.map(drop)).await;
    }

    async fn delete(&self, sent: &Sent) {
        let api = self.api(sent);
        stubborn(404, async || api.delete(&sent.name, &DeleteParams::default()).await.map(drop)).await;
    }

    async fn change(&self, sent: &Sent, spec: &Value) {
        let (api, patch) = (self.api(sent), Patch::Merge(json!({ "spec": spec })));
        stubborn(0, async || api.patch(&sent.name, &PatchParams::default(), &patch).await.map(drop)).await;
    }
}

/// Tries until it succeeds, or is answered with `done`.
async fn stubborn(done: u16, call: impl AsyncFn() -> kube::Result<()>) {
    let deadline = Instant::now() + AWAY;
    loop {
        match call().await {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == done => return,
            Err(error) => assert!(Instant::now() < deadline, "the API server is away: {error}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
