//! What a WorkerPool says of its pods: subsets of Kubernetes' own types, with bounds.
#![expect(unreachable_pub, reason = "KubeSchema repeats a public struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{labels, quantity::Quantity};

/// When an image is pulled.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum ImagePullPolicy {
    /// Before every start.
    Always,
    /// If the node has it not.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// A Secret for pulling images.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagePullSecret {
    /// name is the Secret's name. 1 to 253 characters.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// What each runner may use, and what is reserved for it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.limits.memory)").message("limits.memory is required: boxes share it out among themselves"))]
pub struct Resources {
    /// limits are the most that each runner may use.
    pub limits: ResourceAmounts,

    /// requests are what is reserved for each runner. What is unset is as much as its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
}

/// Amounts of CPU, memory and disk.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ResourceAmounts {
    /// cpu is a number of cores. A quantity such as 2 or 1500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,

    /// memory is a number of bytes. A quantity such as 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,

    /// ephemeral-storage is a number of bytes of local disk. A quantity such as 4Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
}

/// A seccomp profile.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.type == 'Localhost') == has(self.localhostProfile)").message("localhostProfile must be given for Localhost, and for nothing else"))]
pub struct SeccompProfile {
    /// type is where the profile comes from: RuntimeDefault, Unconfined or Localhost.
    #[serde(rename = "type")]
    pub type_: SeccompType,

    /// localhostProfile is the path of the profile on the node, relative to the kubelet's folder for them. 1 to 255
    /// characters; for Localhost alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9_][-A-Za-z0-9_.]*(/[A-Za-z0-9_][-A-Za-z0-9_.]*)*$")
    )]
    pub localhost_profile: Option<String>,
}

impl Default for SeccompProfile {
    fn default() -> Self {
        Self { type_: SeccompType::RuntimeDefault, localhost_profile: None }
    }
}

/// Where a seccomp profile comes from.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum SeccompType {
    /// The container runtime's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A file on the node.
    Localhost,
}

/// A taint that is tolerated.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')").message("operator must be Exists where key is unset"),
    validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator == 'Equal'").message("value must be unset for Exists"),
    validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')").message("tolerationSeconds is for NoExecute alone")
)]
pub struct Toleration {
    /// key is the taint's key. 1 to 317 characters; unset means any, with the operator Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = labels::KEY))]
    pub key: Option<String>,

    /// operator is how the taint's value is compared: Equal or Exists. Unset means Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// value is the taint's value for Equal. At most 63 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = labels::VALUE))]
    pub value: Option<String>,

    /// effect is the taint's effect: NoSchedule, PreferNoSchedule or NoExecute. Unset means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TolerationEffect>,

    /// tolerationSeconds is how many seconds a NoExecute taint is tolerated. 0 to 31536000 seconds; unset means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a taint's value is compared.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum TolerationOperator {
    /// It is this value.
    Equal,
    /// It is any value.
    Exists,
}

/// What a taint does.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum TolerationEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only if there is no other node.
    PreferNoSchedule,
    /// No pods.
    NoExecute,
}

/// How the pool's pods are spread over one kind of places. It counts the pods of this pool.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologySpread {
    /// maxSkew is how many more pods one place may have than another. 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_skew: i32,

    /// topologyKey is the node label whose values are the places. 1 to 317 characters.
    #[schemars(length(min = 1, max = 317), regex(pattern = labels::KEY))]
    pub topology_key: String,

    /// whenUnsatisfiable is what happens to a pod that cannot be placed so: DoNotSchedule or ScheduleAnyway.
    pub when_unsatisfiable: WhenUnsatisfiable,
}

/// What happens to a pod that cannot be placed as wished.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = crate::rules::without_description)]
pub enum WhenUnsatisfiable {
    /// It waits.
    DoNotSchedule,
    /// It is placed where it fits best.
    ScheduleAnyway,
}
