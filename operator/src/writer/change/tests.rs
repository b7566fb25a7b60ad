//! Tests of what may be written.

use proptest::prelude::*;

use super::*;
use crate::decide::tests::{at, heads};

const NOW: i64 = 1_800_000_000;

fn changes() -> impl Strategy<Value = Change> {
    let ending = prop_oneof![Just(Ending::Judged), Just(Ending::Invalid), Just(Ending::Overdue)];
    let progress = Progress { phase: Phase::Running, queued: at(NOW), started: None, total: 3 };
    let what = prop_oneof![
        ending.prop_map(|ending| What::Final { ending, status: Box::default() }),
        Just(What::Rejudge),
        Just(What::Wait(Lack::suspended())),
        Just(What::Wait(Lack::new("LanguageNotFound", "Language x not found"))),
        Just(What::Progress(progress)),
    ];
    ("[uv]", 1..4_u32, what).prop_map(|(uid, judging, what)| Change { uid, judging, what })
}

/// The object after `change` was made to it.
fn applied(head: &Head, change: &Change) -> Head {
    let (Body::Replace(object) | Body::Merge(object)) = body(head, change, at(NOW));
    let mut spec = json!({ "rejudge": head.asked.rejudge, "suspend": head.asked.suspend });
    spec["activeDeadlineSeconds"] = json!(head.asked.deadline);
    let mut raw: crate::object::Raw<Submission> =
        serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": object["status"] })).unwrap();
    raw.metadata = head.metadata.clone();
    Head::of(&raw)
}

proptest! {
    #[test]
    fn a_final_status_changes_by_a_rejudge_alone(head in heads(), change in changes()) {
        if head.standing.finished && permit(&head, &change) == Permit::Write {
            prop_assert_eq!(&change.what, &What::Rejudge);
            prop_assert!(change.judging > head.standing.judging && change.judging == head.wanted());
        }
    }

    #[test]
    fn no_other_object_no_other_judging_and_nothing_suspended_gets_a_verdict(head in heads(), change in changes()) {
        if permit(&head, &change) == Permit::Write {
            prop_assert_eq!(head.uid(), &change.uid);
            prop_assert_eq!(head.wanted(), change.judging);
            prop_assert!(head.metadata.deletion_timestamp.is_none());
            let judged = matches!(change.what, What::Final { ending: Ending::Judged, .. });
            prop_assert!(!(judged && head.asked.suspend));
        }
    }

    #[test]
    fn what_was_written_is_not_written_again(head in heads(), change in changes()) {
        if permit(&head, &change) != Permit::Write {
            return Ok(());
        }
        let change = match change.what {
            What::Final { ending, .. } => {
                let judging = queue::verdict::Judging {
                    number: change.judging, generation: None, deliveries: None, queued: None,
                };
                let status = Box::new(queue::verdict::invalid("no", Some(judging), at(NOW)));
                Change { what: What::Final { ending, status }, ..change }
            }
            _ => change,
        };
        let after = applied(&head, &change);
        let expected = match change.what {
            What::Final { .. } => Permit::Settled,
            _ => Permit::Unchanged,
        };
        prop_assert_eq!(permit(&after, &change), expected, "{:?}", after);
    }

    #[test]
    fn every_write_carries_what_it_was_decided_on(head in heads(), change in changes()) {
        let (Body::Replace(object) | Body::Merge(object)) = body(&head, &change, at(NOW));
        prop_assert_eq!(&object["metadata"]["resourceVersion"], head.resource_version());
        prop_assert_eq!(&object["metadata"]["uid"], head.uid());
    }
}

fn waiting_head() -> Head {
    let mut head = Head::default();
    head.metadata.uid = Some("u".into());
    head.metadata.generation = Some(3);
    head.standing.conditions =
        vec![condition("Admitted", false, "LanguageNotFound", "Language x not found", Some(2), at(NOW - 50))];
    head.standing.judging = 1;
    head
}

#[test]
fn a_transition_keeps_its_time_while_the_status_stays() {
    let head = waiting_head();
    let lack = Lack::new("ConfigMapNotFound", "ConfigMap y not found");
    let change = Change { uid: "u".into(), judging: 1, what: What::Wait(lack) };
    let after = applied(&head, &change);
    assert_eq!(after.standing.conditions[0].reason, "ConfigMapNotFound");
    assert_eq!(after.standing.conditions[0].last_transition_time.0, at(NOW - 50));
    let judging = queue::verdict::Judging { number: 1, generation: None, deliveries: None, queued: None };
    let status = Box::new(queue::verdict::invalid("no", Some(judging), at(NOW)));
    let what = What::Final { ending: Ending::Invalid, status };
    let Body::Replace(object) = body(&head, &Change { what, ..change }, at(NOW)) else {
        panic!("a final one")
    };
    let status: SubmissionStatus = serde_json::from_value(object["status"].clone()).unwrap();
    let times: Vec<_> = status.conditions.iter().map(|c| c.last_transition_time.0.as_second()).collect();
    assert_eq!(times, [NOW - 50, NOW, NOW], "Admitted was False before, the others are new");
    assert_eq!(status.observed_generation, Some(3));
}

#[test]
fn a_rejudge_keeps_verdict_and_figures_and_says_that_it_is_underway() {
    let mut head = waiting_head();
    (head.asked.rejudge, head.standing.finished) = (1, true);
    let change = Change { uid: "u".into(), judging: 2, what: What::Rejudge };
    assert_eq!(permit(&head, &change), Permit::Write);
    let Body::Merge(patch) = body(&head, &change, at(NOW)) else { panic!("no final one") };
    let status = patch["status"].as_object().unwrap();
    assert!(!status.contains_key("verdict") && !status.contains_key("tests"));
    assert_eq!((&status["completionTime"], &status["judging"]), (&Value::Null, &json!(2)));
    let after = applied(&head, &change);
    assert!(!after.done() && after.standing.queued == Some(at(NOW)));
}
