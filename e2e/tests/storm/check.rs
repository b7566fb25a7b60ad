//! What must hold when all is well again.
use std::{collections::BTreeMap, time::Duration};

use anyhow::{bail, ensure};
use crds::Submission;
use e2e::{History, User, World, backlog::until, history, world::is_finished};
use kube::{Api, ResourceExt, api::ListParams};

use crate::users::{Sent, Users};

/// Every Submission that is there has come to what it had to, once per judging, and nothing is left over.
pub(crate) async fn all(world: &World, users: &Users, watched: &History, api_server_died: usize) {
    let ended =
        until("finished: all Submissions", async || every_one_ended(world, &users.sent).await).await.unwrap();
    world.until_queue_is_empty().await.unwrap();
    for sent in &users.sent {
        judged_right(sent, &ended[&(sent.namespace.to_owned(), sent.name.clone())]);
    }
    assert_eq!(watched.changes_after_the_end(), Vec::<String>::new());
    one_end_per_judging(world, &ended, api_server_died).await;
    // What is settled stays so: several audits find nothing to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(list(world).await.unwrap(), ended, "something was written after the end");
    world.until_queue_is_empty().await.unwrap();
}

/// The time between two looks at all Submissions.
const LOOK: Duration = Duration::from_secs(1);

type Stored = BTreeMap<(String, String), Submission>;

async fn list(world: &World) -> anyhow::Result<Stored> {
    let all = Api::<Submission>::all(world.client()).list(&ListParams::default()).await?.items;
    Ok(all.into_iter().map(|s| ((s.namespace().unwrap_or_default(), s.name_any()), s)).collect())
}

async fn every_one_ended(world: &World, sent: &[Sent]) -> anyhow::Result<Stored> {
    let stored = list(world).await?;
    ensure!(stored.len() == sent.len(), "{} Submissions instead of {}", stored.len(), sent.len());
    let mut open = Vec::new();
    for Sent { namespace, name, rejudges, .. } in sent {
        let Some(submission) = stored.get(&((*namespace).to_owned(), name.clone())) else {
            bail!("{namespace}/{name} is gone")
        };
        let judging = submission.status.as_ref().and_then(|status| status.judging);
        if !is_finished(submission) || judging != Some(rejudges + 1) {
            open.push(submission);
        }
    }
    if !open.is_empty() {
        // A list of all costs the API server as much as a dozen judgings.
        tokio::time::sleep(LOOK).await;
        bail!("{} are open, such as {:#?}", open.len(), open[0]);
    }
    Ok(stored)
}

fn judged_right(sent: &Sent, submission: &Submission) {
    let status = submission.status.clone().unwrap();
    assert_eq!(status.verdict, Some(sent.verdict()), "{sent:?}: {status:#?}");
    assert_eq!(status.tests_summary, Some(sent.summary()), "{sent:?}: {status:#?}");
    assert_eq!(status.tests_total, i32::try_from(sent.tests).ok(), "{sent:?}");
    assert!(status.deliveries.is_some_and(|deliveries| deliveries > 0), "{sent:?}: {status:#?}");
}

/// Status writes of an API server that was killed before it could log them: at most one per writer of the operator.
const WRITERS: usize = 32;

/// By the API server's own log. A write whose client was gone before the answer may have been made, whatever the code says; one
/// that was answered with 2xx was made.
async fn one_end_per_judging(world: &World, ended: &Stored, api_server_died: usize) {
    let writes = world.control_plane.audit().await.unwrap().by(User::Operator).of("submissions/status");
    let mut ends: BTreeMap<(String, i64), Vec<u16>> = BTreeMap::new();
    for write in &writes {
        let Some(body) = &write.body else { continue };
        let uid = body["metadata"]["uid"].as_str().unwrap().to_owned();
        let codes = ends.entry((uid, body["status"]["judging"].as_i64().unwrap())).or_default();
        if history::is_finished(&body["status"]) {
            codes.push(write.code);
        } else if (200..300).contains(&write.code) {
            assert!(!codes.iter().any(|code| made(*code)), "written after its end: {body}");
        }
    }
    let twice: Vec<_> =
        ends.iter().filter(|(_, codes)| codes.iter().filter(|code| made(**code)).count() > 1).collect();
    assert!(twice.is_empty(), "ended more than once: {twice:?}");
    let unlogged = ended.values().filter_map(|submission| {
        let judging = submission.status.as_ref().and_then(|status| status.judging).unwrap_or_default();
        let codes = ends.get(&(submission.uid().unwrap_or_default(), i64::from(judging)));
        let codes = codes.cloned().unwrap_or_default();
        let logged = codes.iter().any(|code| made(*code) || uncertain(*code));
        (!logged).then(|| (submission.name_any(), codes))
    });
    let unlogged: Vec<_> = unlogged.collect();
    assert!(unlogged.len() <= WRITERS * api_server_died, "ended and not logged: {unlogged:?}");
}

fn made(code: u16) -> bool {
    (200..300).contains(&code)
}

/// The request was given up half-way.
fn uncertain(code: u16) -> bool {
    code == 0 || code >= 500
}
