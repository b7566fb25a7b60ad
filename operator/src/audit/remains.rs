//! What is left in Redis of pools whose `WorkerPool` is gone.

use queue::broker::Dissolved;

use super::AuditError;
use crate::context::Operator;

/// Cached entries that one call removes, and calls for one pool in one round.
const ENTRIES: usize = 1000;
const CALLS: usize = 10;

/// Finds pools that nobody remembers, and removes those that nobody uses any more: no job, no runner. Their jobs go by the sweep,
/// which looks at these pools too.
pub(super) async fn remove(operator: &Operator) -> Result<(), AuditError> {
    let pools = &operator.pools;
    if !pools.are_routed() {
        return Ok(());
    }
    for pool in operator.redis(pools.connection().noted_pools().await)? {
        if pools.is_ours(&pool) && pools.found(&pool) {
            tracing::info!(%pool, "A pool without WorkerPool is in Redis; it is removed when nobody uses it any more.");
        }
    }
    for pool in pools.leaving() {
        for _ in 0..CALLS {
            match operator.redis(pool.broker.dissolve(ENTRIES).await)? {
                Dissolved::Used => break,
                Dissolved::More => {}
                Dissolved::Empty => {
                    operator.redis(pool.broker.forget_pool(&pool.name).await)?;
                    pools.dissolved(&pool.name);
                    tracing::info!(pool = %pool.name, "Nothing is left of the pool in Redis.");
                    break;
                }
            }
        }
    }
    Ok(())
}
