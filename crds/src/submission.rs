//! Submission: one program to be judged.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "printer columns share the names of their keys")]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    rules::{fixed_presence, immutable},
    status::SubmissionStatus,
};

/// What is asked for: the program, the tests it must pass, and how to schedule the judging.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kubejudge.dev",
    version = "v1alpha1",
    kind = "Submission",
    plural = "submissions",
    shortname = "sub",
    category = "judge",
    namespaced,
    status = "SubmissionStatus",
    derive = "PartialEq",
    doc = "A Submission is one program to be judged. It carries its tests itself or names a Problem that has them; the verdict appears in its status.",
    selectable = ".spec.language",
    selectable = ".spec.problemRef.name",
    selectable = ".status.phase",
    selectable = ".status.verdict",
    printcolumn(
        name = "Language",
        type_ = "string",
        json_path = ".spec.language",
        description = "The Language that the program is written in."
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "How far the judging is."
    ),
    printcolumn(
        name = "Verdict",
        type_ = "string",
        json_path = ".status.verdict",
        description = "What the judging found."
    ),
    printcolumn(
        name = "Tests",
        type_ = "string",
        json_path = ".status.testsSummary",
        description = "How many tests passed, of how many."
    ),
    printcolumn(
        name = "Time",
        type_ = "string",
        json_path = ".status.timeSummary",
        description = "The largest CPU time of a test."
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.memorySummary",
        description = "The largest memory use of a test."
    ),
    printcolumn(
        name = "Score",
        type_ = "integer",
        json_path = ".status.scoreMilli",
        priority = 1,
        description = "The score in thousandths of a point."
    ),
    printcolumn(
        name = "Judging",
        type_ = "integer",
        json_path = ".status.judging",
        priority = 1,
        description = "The number of the judging; each rejudge adds one."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1,
        description = "Why the verdict is what it is."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "The time since the Submission was created."
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.problemRef) != has(self.tests)").message("give exactly one of spec.problemRef and spec.tests"),
    validation = Rule::new("!has(self.problemRef) || !has(self.limits)").message("spec.limits must be unset beside spec.problemRef: a Problem brings its own limits"),
    validation = Rule::new("!has(self.problemRef) || !has(self.comparison)").message("spec.comparison must be unset beside spec.problemRef: a Problem brings its own comparison"),
    validation = fixed_presence("problemRef"),
    validation = fixed_presence("tests"),
    validation = fixed_presence("limits"),
    validation = fixed_presence("comparison"),
    validation = fixed_presence("activeDeadlineSeconds")
)]
pub struct SubmissionSpec {
    /// language is the name of the Language that the program is written in. 1 to 63 characters; immutable.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = immutable())]
    pub language: String,

    /// source is the program's text, inline or from a ConfigMap. Immutable.
    pub source: Source,

    /// problemRef names the Problem that brings tests, limits and comparison. Exactly one of problemRef and tests is
    /// given. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem_ref: Option<ProblemRef>,

    /// tests are the tests that the program must pass, judged in this order. 1 to 64 tests with unique names. Exactly one of
    /// problemRef and tests is given. Immutable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.map(t, t.name) == oldSelf.map(t, t.name)")
            .message("tests can be neither added, removed, renamed nor reordered")
            .reason(Reason::FieldValueForbidden)
    )]
    pub tests: Vec<InlineTest>,

    /// limits bound each test. What is unset comes from the Language. Must be unset beside problemRef. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// comparison is how output is compared to a test's answer. Unset means Lines. Must be unset beside problemRef.
    /// Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = immutable())]
    pub comparison: Option<Comparison>,

    /// priority is the queue that the Submission waits in. Defaults to Normal; may only be lowered, from Contest to Normal
    /// to Rejudge.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf || self == 'Rejudge' || oldSelf == 'Contest'")
        .message("may only be lowered (Contest, Normal, Rejudge)")
        .reason(Reason::FieldValueForbidden))]
    pub priority: Priority,

    /// suspend keeps the Submission from being judged while it is true, and cancels a judging under way. Defaults to false.
    #[serde(default)]
    pub suspend: bool,

    /// rejudge is the number of rejudges asked for; raising it starts a new judging. 0 to 1000000, defaults to 0; may only
    /// grow.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("may only grow").reason(Reason::FieldValueForbidden))]
    pub rejudge: i32,

    /// ttlSecondsAfterFinished is how many seconds the Submission is kept after it finished; then it is deleted. 0 to
    /// 31536000 seconds. Unset means the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,

    /// activeDeadlineSeconds bounds the whole judging, waiting included, in seconds. 1 to 604800 seconds. Unset means no
    /// bound. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    #[x_kube(validation = immutable())]
    pub active_deadline_seconds: Option<i32>,
}

/// Where the program's text comes from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.inline) != has(self.configMapRef)").message("give exactly one of inline and configMapRef"),
    validation = fixed_presence("inline"),
    validation = fixed_presence("configMapRef")
)]
pub struct Source {
    /// inline is the program's text itself. 1 to 262144 characters; the operator's own bound, 65536 bytes by default, is
    /// usually lower. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    #[x_kube(validation = immutable())]
    pub inline: Option<String>,

    /// configMapRef names the ConfigMap in the Submission's namespace that holds the program's text. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
}

/// One key of a ConfigMap in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapKeyRef {
    /// name is the ConfigMap's name, a DNS subdomain. 1 to 253 characters; immutable.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[x_kube(validation = immutable())]
    pub name: String,

    /// key is the key in the ConfigMap's data. 1 to 253 characters; immutable.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    #[x_kube(validation = immutable())]
    pub key: String,
}

/// A reference to a Problem in the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProblemRef {
    /// name is the Problem's name, a DNS subdomain. 1 to 253 characters; immutable.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[x_kube(validation = immutable())]
    pub name: String,
}

/// One test: what the program reads and what it must print.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InlineTest {
    /// name tells the test from its neighbors. 1 to 63 characters, unique in the Submission; immutable.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"))]
    pub name: String,

    /// input is what the program reads from its standard input. At most 16384 characters; defaults to nothing; immutable.
    #[serde(default)]
    #[schemars(length(max = 16_384))]
    #[x_kube(validation = immutable())]
    pub input: String,

    /// answer is what the program must print. At most 16384 characters; immutable.
    #[schemars(length(max = 16_384))]
    #[x_kube(validation = immutable())]
    pub answer: String,
}

/// The limits of one test. What is unset comes from the Language's defaults.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = fixed_presence("timeMilliseconds"),
    validation = fixed_presence("wallTimeMilliseconds"),
    validation = fixed_presence("memoryBytes"),
    validation = fixed_presence("outputBytes"),
    validation = fixed_presence("processes")
)]
pub struct Limits {
    /// timeMilliseconds bounds the CPU time of all the program's processes together, in milliseconds. 1 to 600000 ms;
    /// immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600_000))]
    #[x_kube(validation = immutable())]
    pub time_milliseconds: Option<i64>,

    /// wallTimeMilliseconds bounds the elapsed time in milliseconds. 1 to 1800000 ms; defaults to twice timeMilliseconds plus
    /// 1000 ms; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_800_000))]
    #[x_kube(validation = immutable())]
    pub wall_time_milliseconds: Option<i64>,

    /// memoryBytes bounds the memory of all the program's processes together, in bytes. 1048576 (1 MiB) to 17179869184
    /// (16 GiB); immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_048_576, max = 17_179_869_184i64))]
    #[x_kube(validation = immutable())]
    pub memory_bytes: Option<i64>,

    /// outputBytes bounds standard output and standard error, each by itself, in bytes. 1 to 67108864 (64 MiB); immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 67_108_864))]
    #[x_kube(validation = immutable())]
    pub output_bytes: Option<i64>,

    /// processes bounds how many processes and threads there are at any one time. 1 to 1024; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    #[x_kube(validation = immutable())]
    pub processes: Option<i32>,
}

/// How a program's output is compared to a test's answer.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum Comparison {
    /// Line by line; white space at the ends of lines and empty lines at the end do not count.
    #[default]
    Lines,
    /// Byte by byte.
    Exact,
}

/// The queue that a Submission waits in, most urgent first.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum Priority {
    /// A running contest: judged before all else.
    Contest,
    /// Everyday work.
    #[default]
    Normal,
    /// Judged when there is room, and never starved.
    Rejudge,
}
