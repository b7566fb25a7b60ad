//! Statuses: what is said, in which order of weight, and that it is said once.

use queue::contract::BrokenLanguage;

use super::*;
use crate::worker_pools::served::tests::served;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn runner(languages: &[&str], broken: &[&str]) -> RunnerStatus {
    let reason = |name: &&str| BrokenLanguage { name: (*name).to_owned(), reason: format!("no {name}") };
    RunnerStatus {
        name: "r".into(),
        release: "1".into(),
        slots: 1,
        jobs: 0,
        draining: false,
        languages: languages.iter().map(|name| (*name).to_owned()).collect(),
        broken: broken.iter().map(reason).collect(),
        surroundings: "gVisor".into(),
    }
}

fn deployment(ready: i32, conditions: &[(&str, &str, &str)]) -> DeploymentStatus {
    let conditions = conditions.iter().map(|(kind, status, message)| DeploymentCondition {
        type_: (*kind).to_owned(),
        status: (*status).to_owned(),
        reason: Some("Why".to_owned()),
        message: Some((*message).to_owned()),
        ..DeploymentCondition::default()
    });
    DeploymentStatus {
        replicas: Some(3),
        ready_replicas: Some(ready),
        conditions: Some(conditions.collect()),
        ..DeploymentStatus::default()
    }
}

fn all_known(_: &str) -> bool {
    true
}

/// The status of a valid pool for c17 and python3.
fn told(deployment: Option<&DeploymentStatus>, runners: &[RunnerStatus]) -> WorkerPoolStatus {
    let served = served(&json!({"replicas": 3}));
    let seen = Seen {
        served: Ok(&served),
        generation: Some(3),
        deployment,
        trouble: None,
        runners: Some(runners),
        known: &all_known,
    };
    status("main", &WorkerPoolStatus::default(), &seen, NOW)
}

fn ready_condition(status: &WorkerPoolStatus) -> (&str, &str, &str) {
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY).unwrap();
    (&ready.status, &ready.reason, &ready.message)
}

#[test]
fn the_first_status_has_all_that_autoscalers_need() {
    let status = told(None, &[]);
    assert_eq!((status.replicas, status.selector.as_str()), (0, "kubejudge.dev/worker-pool=main"));
    assert_eq!(ready_condition(&status), ("False", "NoRunnerReady", "no runner is ready yet"));
    let summaries = (status.ready_summary.as_deref(), status.languages_summary.as_deref());
    assert_eq!(summaries, (Some("0/3"), Some("0/2")));
    assert_eq!(status.surroundings, None);
    let stored = serde_json::to_value(&status).unwrap();
    assert_eq!((&stored["replicas"], &stored["readyReplicas"]), (&json!(0), &json!(0)));
}

#[test]
fn it_is_ready_when_a_runner_is_and_all_languages_are_proven() {
    let both = runner(&["c17", "python3"], &[]);
    let reason = |runners: &[RunnerStatus]| {
        let status = told(Some(&deployment(2, &[])), runners);
        let (holds, reason, message) = ready_condition(&status);
        (holds.to_owned(), reason.to_owned(), message.to_owned())
    };
    let (holds, why, message) = reason(std::slice::from_ref(&both));
    assert_eq!((holds.as_str(), why.as_str()), ("True", "RunnersReady"));
    assert_eq!(message, "2 of 3 runners are ready, and all 2 languages proven");
    assert_eq!(reason(&[runner(&["c17"], &[])]).1, "LanguagesPending");
    let (_, why, message) = reason(&[runner(&["c17"], &["python3"])]);
    assert_eq!((why.as_str(), message.as_str()), ("LanguagesBroken", "python3: no python3"));
    assert_eq!(reason(&[runner(&["c17"], &["python3"]), both.clone()]).1, "RunnersReady");
    assert_eq!(reason(&[RunnerStatus { draining: true, ..both }]).1, "LanguagesPending");
}

#[test]
fn languages_say_what_runners_made_of_them() {
    let status = told(None, &[runner(&["c17"], &["python3"]), runner(&["c17", "python3"], &["c17"])]);
    let languages: Vec<_> = status.languages.iter().map(|l| (l.name.as_str(), l.state, l.runners)).collect();
    assert_eq!(languages, [("c17", PoolLanguageState::Ready, 2), ("python3", PoolLanguageState::Ready, 1)]);
    assert_eq!(status.languages[1].message.as_deref(), Some("fails in 1 runner: no python3"));
    assert_eq!(status.surroundings.as_deref(), Some("gVisor"));
}

#[test]
fn what_weighs_more_is_said_first() {
    let why = |served: Result<&Served, &Invalid>, trouble: Option<Trouble>| {
        let (deployment, known) = (deployment(1, &[]), |name: &str| name == "c17");
        let seen = Seen {
            served,
            generation: None,
            deployment: Some(&deployment),
            trouble,
            runners: Some(&[]),
            known: &known,
        };
        status("main", &WorkerPoolStatus::default(), &seen, NOW).conditions.remove(0).reason
    };
    let (pool, idle) = (served(&json!({})), served(&json!({"replicas": 0})));
    let trouble = Trouble { reason: "DeploymentForbidden", message: "no".to_owned() };
    assert_eq!(why(Err(&Invalid("spec.image: is required".into())), Some(trouble.clone())), "Invalid");
    assert_eq!(why(Ok(&idle), Some(trouble)), "DeploymentForbidden");
    assert_eq!(why(Ok(&idle), None), "ScaledToZero");
    assert_eq!(why(Ok(&pool), None), "LanguagesUnknown");
}

#[test]
fn what_keeps_pods_away_is_repeated_and_progress_copied() {
    let stuck = [("Progressing", "False", "too slow"), ("ReplicaFailure", "True", "exceeded quota")];
    let status = told(Some(&deployment(0, &stuck)), &[]);
    assert_eq!(ready_condition(&status).2, "no runner is ready: exceeded quota");
    let status = told(Some(&deployment(0, &stuck[..1])), &[]);
    assert_eq!(ready_condition(&status).2, "no runner is ready: too slow");
    let progressing = &status.conditions[1];
    assert_eq!((progressing.type_.as_str(), progressing.status.as_str()), (PROGRESSING, "False"));
}

#[test]
fn an_invalid_one_keeps_what_was_said_of_its_pods() {
    let old = told(Some(&deployment(2, &[])), &[runner(&["c17"], &[])]);
    let invalid = Invalid("spec.image: is required".to_owned());
    let seen = Seen {
        served: Err(&invalid),
        generation: Some(4),
        deployment: Some(&deployment(1, &[])),
        trouble: None,
        runners: Some(&[]),
        known: &all_known,
    };
    let new = status("main", &old, &seen, NOW);
    assert_eq!(ready_condition(&new), ("False", "Invalid", "spec.image: is required"));
    assert_eq!((new.languages, new.ready_replicas, new.observed_generation), (old.languages, 1, Some(4)));
}

#[test]
fn it_is_written_once_and_what_is_gone_is_removed() {
    let old = told(Some(&deployment(2, &[("Progressing", "True", "")])), &[runner(&["c17"], &[])]);
    let mut stored = serde_json::to_value(&old).unwrap();
    assert_eq!(patch(Some("7"), &stored, &old), None);
    let later = Timestamp::from_second(9).unwrap();
    let pool = served(&json!({"replicas": 3}));
    let deployment = deployment(2, &[("Progressing", "True", "")]);
    let at = |runners: Option<&[RunnerStatus]>| {
        let (served, deployment) = (Ok(&pool), Some(&deployment));
        let seen =
            Seen { served, generation: Some(3), deployment, trouble: None, runners, known: &all_known };
        status("main", &old, &seen, later)
    };
    assert_eq!(at(Some(&[runner(&["c17"], &[])])), old, "the time alone is no news");
    assert_eq!(at(None), old, "runners that were not asked yet say nothing else");
    let new = at(Some(&[]));
    stored["stray"] = json!(1);
    let patch = patch(Some("7"), &stored, &new).unwrap();
    assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!((&patch["status"]["surroundings"], &patch["status"]["stray"]), (&Value::Null, &Value::Null));
    for garbage in [json!(null), json!(5), json!({"replicas": "x"})] {
        assert!(super::patch(None, &garbage, &new).is_some(), "{garbage}");
    }
}
