//! WorkerPool: a set of sandbox-runner pods, what they can judge, and for whom.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]

mod pod;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};

pub use pod::{
    ImagePullPolicy, ImagePullSecret, ResourceAmounts, Resources, SeccompProfile, SeccompType, Toleration,
    TolerationEffect, TolerationOperator, TopologySpread, WhenUnsatisfiable,
};
pub use status::{PoolLanguage, PoolLanguageState, WorkerPoolStatus};

use crate::{labels::LabelSelector, quantity::Quantity};

/// A set of sandbox-runner pods.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "kubejudge.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    plural = "workerpools",
    shortname = "wp",
    category = "judge",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    doc = "A WorkerPool is a set of runner pods: what they can judge, whose Submissions they serve, and how they run. It is used only in namespaces that the operator is told of.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("size(self.metadata.name) <= 52 && !self.metadata.name.contains('.')")
        .message("metadata.name must be at most 52 characters without dots"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.readySummary",
        description = "How many runners are ready, of how many."
    ),
    printcolumn(
        name = "Languages",
        type_ = "string",
        json_path = ".status.languagesSummary",
        description = "How many of its languages are proven, of how many."
    ),
    printcolumn(
        name = "Runtime",
        type_ = "string",
        json_path = ".spec.runtimeClassName",
        description = "The RuntimeClass of its pods."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.image",
        priority = 1,
        description = "The toolchain image."
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1,
        description = "Why it is ready or not, for people."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "The time since the WorkerPool was created."
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = own_label("app.kubernetes.io/name"),
    validation = own_label("app.kubernetes.io/component"),
    validation = own_label("app.kubernetes.io/managed-by"),
    validation = own_label("kubejudge.dev/worker-pool")
)]
pub struct WorkerPoolSpec {
    /// languages are the names of the Languages that the pool is for. 1 to 64 unique names of 1 to 63 characters.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub languages: Vec<String>,

    /// namespaceSelector says by their labels whose namespaces' Submissions the pool serves. Unset or empty means those of
    /// every namespace that the operator serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,

    /// replicas is the number of runner pods. 0 to 1000, defaults to 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,

    /// image is the toolchain image: any image that has the languages' compilers and interpreters. 1 to 512 characters.
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE))]
    pub image: String,

    /// imagePullPolicy is when images are pulled: Always, IfNotPresent or Never. Unset means the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// imagePullSecrets name Secrets in the pool's namespace for pulling images. At most 8; defaults to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// runnerImage is the image whose sandbox-runner is installed beside the toolchain. 1 to 512 characters; unset means the
    /// operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = IMAGE))]
    pub runner_image: Option<String>,

    /// slots is how many boxes of one runner run at one time. 1 to 64; unset means one per core of resources.limits.cpu,
    /// rounded up, and at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub slots: Option<i32>,

    /// resources are what each runner may use and what is reserved for it. limits.memory is required: three quarters of it
    /// are shared out among boxes.
    pub resources: Resources,

    /// runtimeClassName is the RuntimeClass of the pods. At most 253 characters, defaults to gvisor; empty means the
    /// cluster's default runtime.
    #[serde(default = "gvisor")]
    #[schemars(length(max = 253), regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"))]
    pub runtime_class_name: String,

    /// seccompProfile is the pods' seccomp profile. Defaults to RuntimeDefault; pools on ordinary runtimes need Unconfined or
    /// Localhost, because RuntimeDefault forbids the namespaces that boxes are made of.
    #[serde(default)]
    pub seccomp_profile: SeccompProfile,

    /// nodeSelector are labels of the nodes that pods may run on. At most 32 values of at most 63 characters; defaults to
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::labels::labels")]
    pub node_selector: BTreeMap<String, String>,

    /// tolerations are the taints that pods tolerate. At most 32; defaults to none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,

    /// topologySpreadConstraints say how the pool's pods are spread. At most 8; unset means evenly over nodes as far as
    /// possible, an empty list anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub topology_spread_constraints: Option<Vec<TopologySpread>>,

    /// priorityClassName is the pods' PriorityClass. 1 to 253 characters; unset means the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class_name: Option<String>,

    /// podLabels are further labels of the pods, those of the operator aside. At most 32 values of at most 63 characters;
    /// defaults to none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::labels::labels")]
    pub pod_labels: BTreeMap<String, String>,

    /// podAnnotations are annotations of the pods. At most 32 values of at most 4096 characters; defaults to none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::labels::annotations")]
    pub pod_annotations: BTreeMap<String, String>,

    /// terminationGracePeriodSeconds is how many seconds a runner that is told to stop has for the jobs it holds; what is
    /// left is handed back 5 seconds before the end. 5 to 3600 seconds, defaults to 60.
    #[serde(default = "minute")]
    #[schemars(range(min = 5, max = 3600))]
    pub termination_grace_period_seconds: i32,

    /// cacheSizeLimit bounds each runner's disk cache of compiled programs, in bytes. A quantity, defaults to 1Gi.
    #[serde(default = "gibibyte")]
    pub cache_size_limit: Quantity,

    /// redisSecretName is the Secret in the pool's namespace that says how runners reach Redis: url, password and, for a CA of
    /// one's own, ca.crt. 1 to 253 characters; unset means the operator's default, kubejudge-runner-redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub redis_secret_name: Option<String>,
}

/// An image's name, with a registry, a tag or a digest.
const IMAGE: &str = r"^[A-Za-z0-9][-A-Za-z0-9_.:/@+]*$";

/// A label that the operator sets.
fn own_label(key: &str) -> Rule {
    Rule::new(format!("!has(self.podLabels) || !('{key}' in self.podLabels)"))
        .message(format!("podLabels must not have {key}: the operator sets it").as_str())
}

fn one() -> i32 {
    1
}

fn minute() -> i32 {
    60
}

fn gvisor() -> String {
    "gvisor".to_owned()
}

fn gibibyte() -> Quantity {
    Quantity::gibibytes(1)
}
