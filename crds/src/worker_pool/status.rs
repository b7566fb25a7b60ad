//! A WorkerPool's status: its pods, and what they proved.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a WorkerPool. Written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// observedGeneration is the metadata.generation that the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub observed_generation: Option<i64>,

    /// replicas is how many runner pods there are.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub replicas: i32,

    /// readyReplicas is how many runner pods are ready.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub ready_replicas: i32,

    /// selector is the label selector of the runner pods, for autoscalers. At most 253 characters.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub selector: String,

    /// languages are the declared languages with what the runners made of them. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub languages: Vec<PoolLanguage>,

    /// surroundings say what boxes enforce in these pods and by which means, as the runners found. At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub surroundings: Option<String>,

    /// readySummary is readyReplicas of the wanted replicas for printing, such as "2/3". At most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub ready_summary: Option<String>,

    /// languagesSummary is how many languages are proven, of how many, for printing, such as "4/4". At most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub languages_summary: Option<String>,

    /// conditions are Ready (a runner is ready, and every declared language is proven) and Progressing (the pods are being
    /// brought to what is asked for). At most 8, one per type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::conditions::conditions")]
    pub conditions: Vec<Condition>,
}

/// What the runners made of a language.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolLanguage {
    /// name is the Language's name. At most 63 characters.
    #[schemars(length(max = 63))]
    pub name: String,

    /// state is Ready if some runner proved it, Broken if its toolchain failed in all that tried, Pending if none tried yet,
    /// and Unknown if there is no such Language.
    pub state: PoolLanguageState,

    /// runners is how many runners proved it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub runners: i32,

    /// message says why the language is not ready. At most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// What the runners made of a language.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum PoolLanguageState {
    /// A runner proved it.
    Ready,
    /// Its toolchain failed in all runners that tried.
    Broken,
    /// No runner tried yet.
    Pending,
    /// There is no such Language.
    Unknown,
}
