//! Every second: leases that ran out, the queues in numbers, and whether Redis and the API server can be used.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use queue::BrokerError;
use telemetry::Part;
use tokio::time::MissedTickBehavior;

use crate::context::{Operator, Stop};

/// Leases that are taken back at one time.
const AT_ONCE: usize = 1000;
const BEAT: Duration = Duration::from_secs(1);
/// Pools that are asked at one time.
const POOLS_AT_ONCE: usize = 8;
/// Beats between two looks at what changes slowly.
const SLOW: u32 = 3;

/// Beats until told to stop.
pub async fn pulse(operator: Arc<Operator>, redis: Part, api: Part, stop: Stop) {
    let beating = async {
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in 0_u32.. {
            ticks.tick().await;
            if beat % SLOW == 0 {
                tokio::join!(inspect(&operator, &redis, &api), measure(&operator));
            }
            reap(&operator).await;
        }
    };
    tokio::select! {
        () = stop.requested() => {}
        () = beating => {}
    }
}

async fn inspect(operator: &Operator, redis: &Part, api: &Part) {
    let (broker, server) = tokio::join!(operator.pools.connection().check(), operator.calls.probe());
    redis.set(broker);
    api.set(operator.api(server));
}

async fn measure(operator: &Operator) {
    operator.metrics.memory(operator.registry.len(), operator.stored(), operator.fresh.size());
    let measures = stream::iter(operator.pools.open()).map(async |pool| {
        let gauges = operator.redis(pool.broker.gauges().await)?;
        Ok::<_, BrokerError>((pool.name.clone(), gauges))
    });
    match measures.buffered(POOLS_AT_ONCE).try_collect::<Vec<_>>().await {
        Ok(gauges) => operator.metrics.queues(&gauges),
        Err(error) => tracing::debug!(%error, "The queues could not be measured."),
    }
}

/// Errors are counted; readiness tells of them.
async fn reap(operator: &Operator) {
    let pools = stream::iter(operator.pools.all());
    pools.for_each_concurrent(POOLS_AT_ONCE, async |pool| {
        match operator.redis(pool.broker.reap(AT_ONCE).await) {
            Ok(reaped) => {
                operator.metrics.reaped(reaped);
                if reaped.expired > 0 {
                    tracing::warn!(pool = %pool.name, expired = reaped.expired, lost = reaped.lost, "Leases ran out.");
                }
            }
            Err(error) => tracing::debug!(%error, "Leases could not be taken back."),
        }
    })
    .await;
}
