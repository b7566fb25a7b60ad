//! Wrong values are refused, by both Helms, with words that say which and why.
use crate::chart::{self, HELMS};

/// Arguments of Helm, and what its complaint has to contain.
const REFUSED: &[(&[&str], &[&str])] = &[
    // Typos.
    (&["--set=operatr.replicas=2"], &["operatr"]),
    (&["--set=operator.replica=2"], &["operator", "replica"]),
    (&["--set=redis.persistance.enabled=true"], &["redis", "persistance"]),
    (&["--set=workerPools.default.specs.slots=2"], &["workerPools", "default", "specs"]),
    (&["--set=workerPools.default.spec.runtimeClas=gvisor"], &["workerPools", "default", "runtimeClas"]),
    (&["--set=workerPoolDefaults.spec.resource.limits.cpu=1"], &["workerPoolDefaults", "resource"]),
    (&["--set=networkPolicy.dns.ports=53"], &["networkPolicy", "dns", "ports"]),
    // Wrong types and values.
    (&["--set-string=operator.replicas=two"], &["operator", "replicas", "integer"]),
    (&["--set=operator.replicas=11"], &["operator", "replicas", "10"]),
    (&["--set-string=crds.install=yes"], &["crds", "install", "bool"]),
    (&["--set=operator.namespaces=team-a"], &["operator", "namespaces", "array"]),
    (&["--set=operator.image.digest=latest"], &["operator", "digest", "sha256"]),
    (&["--set=operator.image.tag=a:b"], &["operator", "tag"]),
    (&["--set=operator.image.pullPolicy=Sometimes"], &["operator", "pullPolicy", "IfNotPresent"]),
    (&["--set=operator.logFormat=xml"], &["operator", "logFormat"]),
    (&["--set=operator.defaultTtlSeconds=-1"], &["operator", "defaultTtlSeconds", "0"]),
    (&["--set=operator.resources.limits.memory=1GB"], &["operator", "resources", "limits", "memory"]),
    (&["--set=operator.flags.--pool=x"], &["operator", "flags"]),
    (&["--set=languages.names={cobol}"], &["languages", "names", "cpp17"]),
    (&["--set=redis.maxMemory=lots"], &["redis", "maxMemory"]),
    (&["--set=redis.runAsUser=0"], &["redis", "runAsUser", "1"]),
    (&["--set=runtimeClass.name=g_visor"], &["runtimeClass", "name"]),
    (&["--set=workerPools.Java.spec.slots=2"], &["workerPools", "Java"]),
    (&["--set=workerPools.default.spec.slots=65"], &["workerPools", "default", "slots", "64"]),
    (&["--set=workerPools.default.spec.languages={a,a}"], &["workerPools", "default", "languages"]),
    (
        &["--set=workerPools.default.spec.seccompProfile.type=None"],
        &["workerPools", "default", "seccompProfile"],
    ),
    (&["--set=networkPolicy.apiServer.ports={0}"], &["networkPolicy", "apiServer", "ports"]),
    (&["--set=helmTest.timeoutSeconds=0"], &["helmTest", "timeoutSeconds", "1"]),
    // What does not go together.
    (&["--set=redis.enabled=false"], &["redis.external.existingSecret: name a Secret"]),
    (&["--set=redis.external.existingSecret=a"], &["redis.external: set redis.enabled=false"]),
    (&["--set=redis.external.ca=true"], &["redis.external.ca: the chart's own Redis has no TLS"]),
    (
        &["--set=redis.enabled=false,redis.external.existingSecret=a"],
        &["workerPools.default.spec.redisSecretName: name a Secret"],
    ),
    (&["--set=operator.namespaces={a},helmTest.namespace=b"], &["helmTest.namespace: b is not one of"]),
    (&["--set=languages.names={c17}"], &["helmTest.language: python3 is not one of languages.names"]),
    (
        &["--set=workerPoolDefaults.spec.resources.limits.memory=null"],
        &["workerPools.default.spec.resources.limits.memory: is required"],
    ),
    (
        &["--set=languages.names=null,languages.install=false"],
        &["workerPools.default.spec.languages: name at least"],
    ),
    (
        &["--set=workerPools.default.autoscaling.enabled=true,workerPools.default.spec.replicas=2"],
        &["workerPools.default.spec.replicas: leave it unset where autoscaling"],
    ),
    (
        &["--set=workerPools.default.autoscaling.enabled=true,workerPools.default.autoscaling.minReplicas=6"],
        &["workerPools.default.autoscaling: minReplicas is above maxReplicas"],
    ),
];

#[test]
fn wrong_values_are_refused_with_a_reason() {
    let mut bad = Vec::new();
    for helm in HELMS {
        for (arguments, expected) in REFUSED {
            let output = chart::template(helm, &[], arguments);
            let message = String::from_utf8_lossy(&output.stderr);
            let missing: Vec<_> = expected.iter().filter(|part| !message.contains(*part)).collect();
            if output.status.success() || !missing.is_empty() {
                bad.push(format!("{helm} {arguments:?} lacks {missing:?}: {message}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// What is refused by the defaults' neighbours must be right by itself, or the table above would show nothing.
#[test]
fn right_values_of_these_kinds_are_taken() {
    for arguments in [
        ["--set=operator.replicas=2,operator.image.tag=1.0,operator.logFormat=text"],
        ["--set=operator.namespaces={team-a},operator.flags.batch-tests=5,redis.maxMemory=1gb"],
        ["--set=workerPools.java-17.spec.slots=64,workerPools.java-17.spec.languages={java17}"],
        ["--set=workerPools.default=null,operator.resources.limits.memory=1Gi"],
        ["--set=workerPools.default.spec.resources.limits.cpu=4"],
        ["--set=languages.names={c17},helmTest.language=c17"],
    ] {
        for helm in HELMS {
            let output = chart::template(helm, &[], &arguments);
            assert!(
                output.status.success(),
                "{helm} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
