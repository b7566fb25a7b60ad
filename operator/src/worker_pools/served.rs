//! A `WorkerPool` that is valid, with what follows from its spec. Pure.

use crds::worker_pool::{ResourceAmounts, Resources};
use crds::{Quantity, WorkerPool, WorkerPoolSpec};
use queue::broker::Pool;

use crate::object::Raw;

/// Least memory of a runner, in bytes: below it the runner itself has no room.
const LEAST_MEMORY: u64 = 64 << 20;
/// Bytes of disk that a runner needs beside its cache: its own binary.
pub(super) const BINARY_BYTES: u64 = 64 << 20;
/// Least cache of a runner, in bytes.
const LEAST_CACHE: u64 = 1 << 20;
/// Most of any quantity, in bytes or thousandths: what JSON carries exactly.
const MOST: u64 = 1 << 53;

/// A valid `WorkerPool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its queue's name.
    pub pool: Pool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// What it says.
    pub spec: WorkerPoolSpec,
    /// Bytes that all boxes of one runner may have together: three quarters of its memory.
    pub memory_bytes: u64,
    /// Boxes of one runner that run at one time.
    pub slots: u64,
}

/// Why a `WorkerPool` cannot be used, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Served {
    /// Checks what came by on the watch, by the CRD's schema and rules and by what they cannot say.
    pub fn read(raw: &Raw<WorkerPool>) -> Result<Self, Invalid> {
        let document = Raw::<WorkerPool>::document(&raw.metadata, raw.spec.clone());
        let checked: WorkerPool = crds::validate(&document).map_err(|errors| {
            Invalid(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let spec = checked.spec;
        let namespace = raw.metadata.namespace.clone().unwrap_or_default();
        let name = raw.metadata.name.clone().unwrap_or_default();
        let pool = Pool::of_worker_pool(&namespace, &name)
            .map_err(|error| Invalid(format!("metadata.name: {error}")))?;
        let memory = checked_resources(&spec)?;
        Ok(Self {
            pool,
            namespace,
            name,
            uid: raw.metadata.uid.clone().unwrap_or_default(),
            generation: raw.metadata.generation,
            memory_bytes: memory / 4 * 3,
            slots: slots(&spec),
            spec,
        })
    }
}

fn slots(spec: &WorkerPoolSpec) -> u64 {
    const MOST_SLOTS: u64 = 64;
    let cores = spec.resources.limits.cpu.as_ref().map_or(1, Quantity::units);
    spec.slots.and_then(|slots| u64::try_from(slots).ok()).unwrap_or(cores).clamp(1, MOST_SLOTS)
}

/// The runner's memory, if all amounts go together.
fn checked_resources(spec: &WorkerPoolSpec) -> Result<u64, Invalid> {
    let Resources { limits, requests } = &spec.resources;
    let memory = limits.memory.as_ref().map_or(0, Quantity::units);
    let within = |path: &str, amount: u64, least: u64| match amount {
        amount if amount < least => Err(Invalid(format!("{path}: is {amount} bytes, at least {least}"))),
        amount if amount > MOST => Err(Invalid(format!("{path}: is more than {MOST} bytes"))),
        _ => Ok(()),
    };
    within("spec.resources.limits.memory", memory, LEAST_MEMORY)?;
    let cache = spec.cache_size_limit.units();
    within("spec.cacheSizeLimit", cache, LEAST_CACHE)?;
    if let Some(disk) = &limits.ephemeral_storage {
        // A pod that fills its cache must not be evicted for it.
        within("spec.resources.limits.ephemeral-storage", disk.units(), cache + BINARY_BYTES)?;
    }
    requests.as_ref().map_or(Ok(()), |requests| check_requests(requests, limits))?;
    Ok(memory)
}

/// Kubernetes refuses requests above limits, and a refusal here names the field.
fn check_requests(requests: &ResourceAmounts, limits: &ResourceAmounts) -> Result<(), Invalid> {
    let pairs = [
        ("cpu", &requests.cpu, &limits.cpu),
        ("memory", &requests.memory, &limits.memory),
        ("ephemeral-storage", &requests.ephemeral_storage, &limits.ephemeral_storage),
    ];
    for (name, request, limit) in pairs {
        if let (Some(request), Some(limit)) = (request, limit)
            && request.thousandths() > limit.thousandths()
        {
            return Err(Invalid(format!(
                "spec.resources.requests.{name}: is {request}, above its limit, {limit}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) fn raw(name: &str, change: &Value) -> Raw<WorkerPool> {
        let mut spec = json!({
            "languages": ["c17", "python3"], "image": "toolchains:1",
            "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
        });
        if let (Some(spec), Some(change)) = (spec.as_object_mut(), change.as_object()) {
            spec.extend(change.clone());
        }
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "judges", "uid": "u-1", "generation": 3, "resourceVersion": "7"},
            "spec": spec,
        }))
        .unwrap()
    }

    pub(in super::super) fn served(change: &Value) -> Served {
        Served::read(&raw("main", change)).unwrap()
    }

    fn refusal(change: &Value) -> String {
        Served::read(&raw("main", change)).unwrap_err().to_string()
    }

    #[test]
    fn what_follows_from_the_spec() {
        let pool = served(&json!({}));
        assert_eq!((pool.pool.as_str(), pool.slots, pool.memory_bytes), ("judges.main", 2, 768 << 20));
        let slots = |change: Value| served(&change).slots;
        assert_eq!(slots(json!({"slots": 5})), 5);
        assert_eq!(slots(json!({"resources": {"limits": {"memory": "64Mi"}}})), 1);
        assert_eq!(slots(json!({"resources": {"limits": {"memory": "64Mi", "cpu": 0}}})), 1);
        assert_eq!(slots(json!({"resources": {"limits": {"memory": "64Mi", "cpu": 96}}})), 64);
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_its_field() {
        let limits = |amounts: Value| json!({"resources": {"limits": amounts}});
        let too_little = refusal(&limits(json!({"memory": "512m"})));
        assert_eq!(too_little, "spec.resources.limits.memory: is 1 bytes, at least 67108864");
        assert!(
            refusal(&limits(json!({"memory": "64Ei"}))).starts_with("spec.resources.limits.memory: is more")
        );
        assert!(refusal(&json!({"cacheSizeLimit": "1"})).starts_with("spec.cacheSizeLimit: is 1 bytes"));
        let disk = refusal(&limits(json!({"memory": "1Gi", "ephemeral-storage": "1Gi"})));
        assert_eq!(disk, "spec.resources.limits.ephemeral-storage: is 1073741824 bytes, at least 1140850688");
        served(
            &json!({"cacheSizeLimit": "960Mi", "resources": {"limits": {"memory": "1Gi", "ephemeral-storage": "1Gi"}}}),
        );
        let above =
            json!({"resources": {"limits": {"memory": "1Gi", "cpu": 1}, "requests": {"cpu": "1001m"}}});
        assert_eq!(refusal(&above), "spec.resources.requests.cpu: is 1001m, above its limit, 1");
        served(
            &json!({"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 9, "memory": "1024Mi"}}}),
        );
        assert!(refusal(&json!({"languages": []})).starts_with("spec.languages: must not be empty"));
        let dotted = Served::read(&raw("a.b", &json!({}))).unwrap_err().to_string();
        assert!(dotted.contains("metadata.name must be at most 52"), "{dotted}");
    }
}
