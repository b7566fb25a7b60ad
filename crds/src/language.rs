//! Language: how a source is named, compiled, run and limited.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]
#![expect(clippy::duplicated_attributes, reason = "printer columns share the names of their keys")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};

/// How programs in a language are compiled, run and limited.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "kubejudge.dev",
    version = "v1alpha1",
    kind = "Language",
    plural = "languages",
    shortname = "lang",
    category = "judge",
    status = "LanguageStatus",
    derive = "PartialEq",
    doc = "A Language says how programs written in it are named, compiled, run and limited. Adding one takes no new release.",
    printcolumn(
        name = "Display",
        type_ = "string",
        json_path = ".spec.displayName",
        description = "The language's name for people."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether some runner can judge the language."
    ),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.sourceFile",
        priority = 1,
        description = "The name that the source gets."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "The time since the Language was created."
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LanguageSpec {
    /// displayName is the language's name for people, such as "C++17 (GCC)". 1 to 63 characters.
    #[schemars(length(min = 1, max = 63))]
    pub display_name: String,

    /// sourceFile is the name that the source gets in the box's working folder, /box. 1 to 63 characters, no slash.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$"))]
    pub source_file: String,

    /// compile is how the source becomes what is run. Unset means that the source itself is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile: Option<Compile>,

    /// run is how the program is started, once per test.
    pub run: Run,

    /// limits are what a test gets unless the Submission says otherwise, and the most that it may ask for.
    pub limits: LanguageLimits,

    /// reservesAddressSpace is true for runtimes that reserve far more address space than they use, such as the JVM: then only
    /// resident memory is limited. Defaults to false.
    #[serde(default)]
    pub reserves_address_space: bool,
}

/// How the source becomes what is run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compile {
    /// command is the compiler and its arguments; no shell takes it apart. 1 to 64 strings of 1 to 1024 characters.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,

    /// env is the compiler's whole environment. At most 32 variables with unique names; defaults to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,

    /// artifacts are the paths, relative to /box, of what the compiler makes and the run needs: a file, or a folder taken
    /// whole. 1 to 16 unique paths of 1 to 255 characters.
    #[schemars(
        length(min = 1, max = 16),
        inner(
            length(min = 1, max = 255),
            regex(pattern = r"^[A-Za-z0-9_][-A-Za-z0-9_.+$]*(/[A-Za-z0-9_][-A-Za-z0-9_.+$]*)*$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub artifacts: Vec<String>,

    /// limits bound the compiler.
    pub limits: CompileLimits,
}

/// How a program is started.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// command is the program and its arguments; no shell takes it apart. 1 to 64 strings of 1 to 1024 characters.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub command: Vec<String>,

    /// env is the program's whole environment. At most 32 variables with unique names; defaults to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
}

/// One variable of an environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// name is the variable's name. 1 to 255 letters, digits and underscores, no digit first.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,

    /// value is the variable's value. At most 4096 characters; defaults to nothing.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// What a test gets, and the most that a Submission may ask for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = within_maximum("timeMilliseconds"),
    validation = within_maximum("memoryBytes"),
    validation = within_maximum("outputBytes"),
    validation = within_maximum("processes"),
    validation = Rule::new("!has(self.maximum) || !has(self.maximum.wallTimeMilliseconds) || !has(self.default.wallTimeMilliseconds) || self.default.wallTimeMilliseconds <= self.maximum.wallTimeMilliseconds")
        .message("default.wallTimeMilliseconds is above maximum.wallTimeMilliseconds")
)]
pub struct LanguageLimits {
    /// default is what a test gets unless its Submission says otherwise.
    pub default: DefaultLimits,

    /// maximum is the most that a Submission may ask for. What is unset is bounded by the Submission's schema alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<MaximumLimits>,
}

/// A default above the maximum would make the Language refuse every Submission that asks for nothing.
fn within_maximum(field: &str) -> Rule {
    Rule::new(format!(
        "!has(self.maximum) || !has(self.maximum.{field}) || self.default.{field} <= self.maximum.{field}"
    ))
    .message(format!("default.{field} is above maximum.{field}").as_str())
}

/// The limits of a test whose Submission sets none.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefaultLimits {
    /// timeMilliseconds bounds the CPU time of all the program's processes together, in milliseconds. 1 to 600000 ms.
    #[schemars(range(min = 1, max = 600_000))]
    pub time_milliseconds: i64,

    /// wallTimeMilliseconds bounds the elapsed time in milliseconds. 1 to 1800000 ms; defaults to twice timeMilliseconds plus
    /// 1000 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_800_000))]
    pub wall_time_milliseconds: Option<i64>,

    /// memoryBytes bounds the memory of all the program's processes together, in bytes. 1048576 (1 MiB) to 17179869184
    /// (16 GiB).
    #[schemars(range(min = 1_048_576, max = 17_179_869_184i64))]
    pub memory_bytes: i64,

    /// outputBytes bounds standard output and standard error, each by itself, in bytes. 1 to 67108864 (64 MiB).
    #[schemars(range(min = 1, max = 67_108_864))]
    pub output_bytes: i64,

    /// processes bounds how many processes and threads there are at any one time. 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub processes: i32,
}

/// The most that a Submission may ask for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaximumLimits {
    /// timeMilliseconds is the largest CPU time limit in milliseconds. 1 to 600000 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600_000))]
    pub time_milliseconds: Option<i64>,

    /// wallTimeMilliseconds is the largest limit of elapsed time in milliseconds. 1 to 1800000 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_800_000))]
    pub wall_time_milliseconds: Option<i64>,

    /// memoryBytes is the largest memory limit in bytes. 1048576 (1 MiB) to 17179869184 (16 GiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_048_576, max = 17_179_869_184i64))]
    pub memory_bytes: Option<i64>,

    /// outputBytes is the largest output limit in bytes. 1 to 67108864 (64 MiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub output_bytes: Option<i64>,

    /// processes is the largest limit of processes and threads. 1 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub processes: Option<i32>,
}

/// The limits of the compiler.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompileLimits {
    /// timeMilliseconds bounds the CPU time of all the compiler's processes together, in milliseconds. 1 to 600000 ms.
    #[schemars(range(min = 1, max = 600_000))]
    pub time_milliseconds: i64,

    /// wallTimeMilliseconds bounds the elapsed time in milliseconds. 1 to 1800000 ms; defaults to twice timeMilliseconds plus
    /// 1000 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_800_000))]
    pub wall_time_milliseconds: Option<i64>,

    /// memoryBytes bounds the memory of all the compiler's processes together, in bytes. 1048576 (1 MiB) to 17179869184
    /// (16 GiB).
    #[schemars(range(min = 1_048_576, max = 17_179_869_184i64))]
    pub memory_bytes: i64,

    /// outputBytes bounds what the compiler prints, in bytes. 1 to 67108864 (64 MiB).
    #[schemars(range(min = 1, max = 67_108_864))]
    pub output_bytes: i64,

    /// processes bounds how many processes and threads there are at any one time. 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub processes: i32,

    /// diskBytes bounds all files in the working folder together, in bytes. 1048576 (1 MiB) to 17179869184 (16 GiB).
    #[schemars(range(min = 1_048_576, max = 17_179_869_184i64))]
    pub disk_bytes: i64,
}

/// What is known of a Language. Written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LanguageStatus {
    /// observedGeneration is the metadata.generation that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub observed_generation: Option<i64>,

    /// conditions say whether the Language is Ready: whether some runner can judge it. At most 8, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::conditions")]
    pub conditions: Vec<Condition>,
}
