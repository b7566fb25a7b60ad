//! What a Submission needs and is not there, and what it must not say.
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::{Language, Verdict};
use e2e::{Setup, User, World, backlog::until, world::NAMESPACE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{RIGHT, accepted, config_map, from_map, invalid, language, object, waits};

#[tokio::test]
async fn what_is_missing_is_waited_for_and_then_found() {
    let world = World::start(Setup::default()).await.unwrap();
    world.create(&config_map("keyless", "other.sh", RIGHT)).await.unwrap();
    world
        .create(&language("broken", |spec| spec["limits"]["maximum"] = json!({ "timeMilliseconds": 1 })))
        .await
        .unwrap();
    world.create(&from_map("mapless", "absent")).await.unwrap();
    world.create(&from_map("keyless", "keyless")).await.unwrap();
    world.create(&object("unknown", |spec| spec["language"] = json!("unheard-of"))).await.unwrap();
    world.create(&object("broken", |spec| spec["language"] = json!("broken"))).await.unwrap();
    world.create(&object("fine", |_| {})).await.unwrap();
    waits(&world, "mapless", "ConfigMapNotFound", "ConfigMap absent not found").await;
    waits(&world, "keyless", "KeyNotFound", "ConfigMap keyless has no key main.sh").await;
    waits(&world, "unknown", "LanguageNotFound", "Language unheard-of not found").await;
    waits(&world, "broken", "LanguageInvalid", "Language broken is invalid: spec.limits").await;
    accepted(&world, "fine").await;
    let languages: Api<Language> = Api::all(world.client());
    until("told: that a Language is invalid", async || {
        let status = languages.get("broken").await?.status.context("no status")?;
        ensure!(status.conditions.iter().any(|c| c.reason == "Invalid" && c.status == "False"), "{status:?}");
        Ok(())
    })
    .await
    .unwrap();
    // Several more looks change nothing: a state that stands is written once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let writes = world.control_plane.audit().await.unwrap().by(User::Operator).writes();
    for name in ["mapless", "keyless", "unknown", "broken"] {
        assert_eq!(writes.clone().of("submissions/status").about(NAMESPACE, name).len(), 1, "{name}");
    }

    world.create(&config_map("absent", "main.sh", RIGHT)).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
    let key = Patch::Merge(json!({ "data": { "main.sh": RIGHT } }));
    maps.patch("keyless", &PatchParams::default(), &key).await.unwrap();
    world.create(&language("unheard-of", |_| {})).await.unwrap();
    let mended = Patch::Merge(json!({ "spec": { "limits": { "maximum": null } } }));
    languages.patch("broken", &PatchParams::default(), &mended).await.unwrap();
    for name in ["mapless", "keyless", "unknown", "broken"] {
        accepted(&world, name).await;
    }
}

#[tokio::test]
async fn a_problem_is_waited_for_and_a_language_without_its_program_blames_nobody() {
    let world = World::start(Setup::default()).await.unwrap();
    let problem = |spec: &mut Value| {
        spec.as_object_mut().unwrap().remove("tests");
        spec["problemRef"] = json!({ "name": "sum" });
    };
    world.create(&object("problem", problem)).await.unwrap();
    waits(&world, "problem", "ProblemNotFound", "Problem sum not found").await;
    let absent =
        language("programless", |spec| spec["run"]["command"] = json!(["/usr/bin/no-such-shell", "main.sh"]));
    world.create(&absent).await.unwrap();
    let languages: Api<Language> = Api::all(world.client());
    until("told: that no runner has the program", async || {
        let status = languages.get("programless").await?.status.context("no status")?;
        let broken = status.conditions.iter().find(|c| c.reason == "Broken").context("not broken")?;
        ensure!(broken.message.contains("/usr/bin/no-such-shell"), "{broken:?}");
        Ok(())
    })
    .await
    .unwrap();
    world.create(&object("programless", |spec| spec["language"] = json!("programless"))).await.unwrap();
    world.create(&object("fine", |_| {})).await.unwrap();
    accepted(&world, "fine").await;
    let verdict = world.verdict_of("programless").await.unwrap();
    assert_eq!(verdict, Some(Verdict::InternalError));
}

#[tokio::test]
async fn what_the_server_lets_pass_and_the_rules_forbid_is_invalid() {
    let world = World::start(Setup::default()).await.unwrap();
    world.create(&config_map("large", "main.sh", &"#".repeat((64 << 10) + 1))).await.unwrap();
    world.create(&config_map("empty", "main.sh", "")).await.unwrap();
    let cases: [(&str, Value, &[&str]); 7] = [
        (
            "both",
            object("both", |spec| spec["problemRef"] = json!({ "name": "p" })),
            &["spec.problemRef", "spec.tests"],
        ),
        (
            "neither",
            object("neither", |spec| drop(spec.as_object_mut().unwrap().remove("tests"))),
            &["spec.problemRef", "spec.tests"],
        ),
        (
            "two-sources",
            object("two-sources", |spec| spec["source"]["configMapRef"] = json!({ "name": "m", "key": "k" })),
            &["spec.source", "inline", "configMapRef"],
        ),
        (
            "long",
            object("long", |spec| spec["source"]["inline"] = json!("#".repeat((64 << 10) + 1))),
            &["spec.source.inline", "65536"],
        ),
        (
            "large",
            from_map("large", "large"),
            &["spec.source.configMapRef.key", "65537 bytes, at most 65536"],
        ),
        ("empty", from_map("empty", "empty"), &["spec.source.configMapRef.key", "is empty"]),
        (
            "greedy",
            object("greedy", |spec| {
                spec["language"] = json!("bounded");
                spec["limits"] = json!({ "timeMilliseconds": 9000 });
            }),
            &["spec.limits.timeMilliseconds"],
        ),
    ];
    world
        .create(&language("bounded", |spec| spec["limits"]["maximum"] = json!({ "timeMilliseconds": 6000 })))
        .await
        .unwrap();
    for (_, object, _) in &cases {
        world.create(object).await.unwrap();
    }
    for (name, _, words) in &cases {
        invalid(&world, name, words).await;
    }
    world.create(&object("fine", |_| {})).await.unwrap();
    accepted(&world, "fine").await;
    world.until_queue_is_empty().await.unwrap();
}
