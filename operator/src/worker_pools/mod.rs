//! `WorkerPool`s: known to the router, made into Deployments, and told how their runners fare.
//!
//! Dereference ([`Served::read`]), plan ([`deployment::deployment`]), apply, report ([`status::status`]). A Deployment is
//! applied when the plan has changed, when the Deployment is missing or deleted, and when its generation is another than
//! after the last apply: then somebody changed its spec, and what is ours of it is put back. Fields are not compared one by
//! one, for the API server stores defaults and other spellings of quantities, and webhooks change what passes them: whoever
//! compares would apply for ever. What was applied is known to the process alone; after a start each Deployment is applied
//! once more, which changes nothing.

pub mod deployment;
mod keeper;
mod ledger;
mod metrics;
pub mod served;
pub mod status;
mod store;
mod watch;

pub use metrics::Metrics;
pub use served::{Invalid, Served};
pub use store::WorkerPools;
pub use watch::{Setup, run};
