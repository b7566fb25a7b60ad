//! Routes anew what the pools, the namespaces' labels or the runners' reports leave in the wrong place: has the Submissions
//! reconciled whose pool may not judge them any more, and those that waited for one.

use std::sync::Arc;
use std::time::Duration;

use super::route::{route, stays};
use crate::context::{Operator, Stop};

/// Changes that come so close together are one.
const SETTLE: Duration = Duration::from_millis(100);
/// Submissions that are looked at in one go.
const IN_ONE_GO: usize = 256;

/// Routes anew whenever something changed until told to stop.
pub async fn run(operator: Arc<Operator>, stop: Stop) {
    let mut changes = operator.pools.subscribe();
    let routing = async {
        while changes.changed().await.is_ok() {
            tokio::time::sleep(SETTLE).await;
            changes.mark_unchanged();
            round(&operator).await;
        }
    };
    tokio::select! {
        () = stop.requested() => {}
        () = routing => {}
    }
}

async fn round(operator: &Operator) {
    let facts = operator.pools.facts();
    let mut moved = 0_usize;
    for (number, (place, pool)) in operator.registry.placed().into_iter().enumerate() {
        if number % IN_ONE_GO == 0 {
            tokio::task::yield_now().await;
        }
        let Some(head) = operator.head(&place) else { continue };
        let Some(sought) = operator.sought(&head) else { continue };
        let due = match &pool {
            Some(pool) => !stays(&facts, pool, &sought.wanted()),
            None => route(&facts, &sought.wanted()).is_ok(),
        };
        if due {
            moved += 1;
            operator.trigger_surely(&place).await;
        }
    }
    if moved > 0 {
        tracing::info!(submissions = moved, "Routing anew.");
    }
}
