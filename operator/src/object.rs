//! Objects as the watch sees them: anything with metadata is taken, what decisions need is kept, the rest is let go.

use std::borrow::Cow;
use std::marker::PhantomData;

use crds::{Phase, Priority, Submission};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// An object of the kind `K` of which only the metadata is believed. One that does not parse can't stop the others.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "")]
pub struct Raw<K> {
    /// The few fields of the metadata that are used.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// The spec, whatever it is.
    #[serde(default)]
    pub spec: Value,
    /// The status, whatever it is.
    #[serde(default)]
    pub status: Value,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

/// Everything else in the metadata, annotations with whole copies of the object among it, is not even kept while parsing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slim {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let Slim { name, namespace, uid, resource_version, generation, creation_timestamp, deletion_timestamp } =
        Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        generation,
        creation_timestamp,
        deletion_timestamp,
        ..ObjectMeta::default()
    })
}

impl<K: Resource<DynamicType = ()>> Raw<K> {
    /// The object as its user wrote it, for [`crds::validate()`].
    pub fn document(metadata: &ObjectMeta, spec: Value) -> Value {
        let mut object = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": metadata.name },
        });
        object["spec"] = spec;
        object
    }
}

macro_rules! as_resource {
    ([$($generic:tt)*] $kind:ty, $like:ty) => {
        impl<$($generic)*> Resource for $kind {
            type DynamicType = ();
            type Scope = <$like as Resource>::Scope;

            fn kind((): &()) -> Cow<'_, str> {
                <$like>::kind(&())
            }
            fn group((): &()) -> Cow<'_, str> {
                <$like>::group(&())
            }
            fn version((): &()) -> Cow<'_, str> {
                <$like>::version(&())
            }
            fn plural((): &()) -> Cow<'_, str> {
                <$like>::plural(&())
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
as_resource!([K: Resource<DynamicType = ()>] Raw<K>, K);
as_resource!([] Head, Submission);
as_resource!([] Live, Deployment);

/// What is kept of a Deployment: its metadata without what is large and not used, and how its pods fare.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Live {
    /// Without annotations and managed fields.
    #[serde(deserialize_with = "lean")]
    pub metadata: ObjectMeta,
    /// What the Deployment's controller says.
    #[serde(default)]
    pub status: DeploymentStatus,
}

fn lean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = ObjectMeta::deserialize(deserializer)?;
    Ok(ObjectMeta { annotations: None, managed_fields: None, ..metadata })
}

/// What is kept of a Submission: all that decisions need, none of its program and tests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Raw<Submission>")]
pub struct Head {
    /// Name, namespace, UID, resourceVersion, generation and times.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub asked: Asked,
    /// What its status says.
    pub standing: Standing,
}

/// What decisions need of a spec. A field that does not parse has its default; planning refuses the object for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The Language's name.
    pub language: String,
    /// The queue to wait in.
    pub priority: Priority,
    /// Whether not to judge.
    pub suspend: bool,
    /// Rejudges asked for.
    pub rejudge: u32,
    /// Seconds to live after it finished.
    pub ttl: Option<u32>,
    /// Seconds that a judging may take, waiting included.
    pub deadline: Option<u32>,
    /// Bytes of memory of each test.
    pub memory: Option<i64>,
    /// Bytes of each of a test's outputs.
    pub output: Option<i64>,
}

/// What decisions need of a status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// The judging it speaks of.
    pub judging: u32,
    /// Whether that is over.
    pub finished: bool,
    /// How far it is.
    pub phase: Option<Phase>,
    /// When it was put on the queue.
    pub queued: Option<Timestamp>,
    /// When it was over.
    pub completed: Option<Timestamp>,
    /// Its conditions, unless it is over.
    pub conditions: Vec<Condition>,
}

fn field<T: DeserializeOwned>(object: &Value, name: &str) -> Option<T> {
    T::deserialize(object.get(name)?).ok()
}

fn time(object: &Value, name: &str) -> Option<Timestamp> {
    field::<Time>(object, name).map(|time| time.0)
}

impl From<Raw<Submission>> for Head {
    fn from(raw: Raw<Submission>) -> Self {
        Self::of(&raw)
    }
}

impl Head {
    /// What is kept of `raw`.
    pub fn of(raw: &Raw<Submission>) -> Self {
        let Raw { metadata, spec, status, kind: _ } = raw;
        Self { metadata: metadata.clone(), asked: Asked::of(spec), standing: Standing::of(status) }
    }

    /// As [`Head::of`], with the conditions even of one that is finished.
    pub fn whole(raw: &Raw<Submission>) -> Self {
        let mut head = Self::of(raw);
        head.standing.conditions = field(&raw.status, "conditions").unwrap_or_default();
        head
    }

    /// Its UID; the API server gives one to every object.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its resourceVersion.
    pub fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// The judging that is asked for, from 1.
    pub fn wanted(&self) -> u32 {
        self.asked.rejudge.saturating_add(1)
    }

    /// Whether the judging that is asked for is over.
    pub fn done(&self) -> bool {
        self.standing.finished && self.standing.judging >= self.wanted()
    }
}

impl Asked {
    fn of(spec: &Value) -> Self {
        let limits = spec.get("limits").unwrap_or(&Value::Null);
        Self {
            language: field(spec, "language").unwrap_or_default(),
            priority: field(spec, "priority").unwrap_or_default(),
            suspend: field(spec, "suspend").unwrap_or_default(),
            rejudge: field(spec, "rejudge").unwrap_or_default(),
            ttl: field(spec, "ttlSecondsAfterFinished"),
            deadline: field(spec, "activeDeadlineSeconds"),
            memory: field(limits, "memoryBytes"),
            output: field(limits, "outputBytes"),
        }
    }
}

impl Standing {
    fn of(status: &Value) -> Self {
        let conditions: Vec<Condition> = field(status, "conditions").unwrap_or_default();
        let is_finished = |c: &Condition| c.type_ == "Finished" && c.status == "True";
        let finished = conditions.iter().any(is_finished);
        Self {
            // A status that is over and names no judging is the first one's.
            judging: field(status, "judging").unwrap_or(u32::from(finished)),
            finished,
            phase: field(status, "phase"),
            queued: time(status, "queuedTime"),
            completed: time(status, "completionTime"),
            conditions: if finished { Vec::new() } else { conditions },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(object: Value) -> Raw<Submission> {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_decisions_need_is_kept() {
        let raw = raw(json!({
            "apiVersion": "kubejudge.dev/v1alpha1", "kind": "Submission",
            "metadata": {"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
                "annotations": {"a": "b"}, "managedFields": [{"manager": "m"}], "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"language": "c17", "suspend": true, "rejudge": 2, "priority": "Contest",
                "ttlSecondsAfterFinished": 5, "activeDeadlineSeconds": 6, "limits": {"memoryBytes": 7, "outputBytes": "x"}},
            "status": {"judging": 3, "phase": "Running", "queuedTime": "2026-01-01T00:00:00Z"},
        }));
        let head = Head::of(&raw);
        assert!(head.metadata.annotations.is_none() && head.metadata.managed_fields.is_none());
        assert_eq!(
            (head.uid(), head.name(), head.namespace(), head.resource_version()),
            ("u", "s", "n", "7")
        );
        let asked = Asked {
            language: "c17".into(),
            priority: Priority::Contest,
            suspend: true,
            rejudge: 2,
            ttl: Some(5),
            deadline: Some(6),
            memory: Some(7),
            output: None,
        };
        assert_eq!(head.asked, asked);
        assert_eq!((head.standing.judging, head.standing.phase), (3, Some(Phase::Running)));
        assert_eq!(head.standing.queued, head.metadata.creation_timestamp.map(|time| time.0));
    }

    #[test]
    fn nothing_in_spec_and_status_stops_the_watch() {
        for garbage in
            [json!(null), json!(3), json!([]), json!({"rejudge": -1, "language": 4, "conditions": "x"})]
        {
            let raw = raw(json!({"metadata": {"name": "s"}, "spec": garbage, "status": garbage}));
            let head = Head::of(&raw);
            assert_eq!((head.wanted(), head.done()), (1, false));
            let document = Raw::<Submission>::document(&raw.metadata, raw.spec);
            assert!(crds::validate::<Submission>(&document).is_err());
        }
    }

    #[test]
    fn a_judging_is_over_when_its_condition_says_so() {
        let finished = json!({"type": "Finished", "status": "True", "reason": "Judged", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let object = |rejudge: u32| json!({"metadata": {"name": "s"}, "spec": {"rejudge": rejudge}, "status": {"conditions": [finished.clone()]}});
        assert!(Head::of(&raw(object(0))).done());
        assert!(!Head::of(&raw(object(1))).done());
    }
}
