//! Calls to the API server, each with a bound on its time. Watches have a client of their own.

use std::time::Duration;

use crds::{Language, Submission, WorkerPool};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::{Api, Client, Resource};
use serde_json::Value;

use crate::object::{Live, Raw};
use crate::writer::Body;

/// Asks for no more of the changed object than its metadata: nobody reads the rest.
const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json;q=0.9";

/// Whose fields of a Deployment are the operator's.
const MANAGER: &str = "kubejudge-operator";

/// Why a call came to nothing, or may have.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time; the call may have been carried out.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
    /// The API server's answer, or none.
    #[error("the API server: {}", brief(.0))]
    Api(#[source] kube::Error),
}

/// Kinds of failed calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// 404.
    Gone,
    /// 409.
    Conflict,
    /// 400, 413 or 422: the same call will never pass.
    Rejected,
    /// 401 or 403.
    Forbidden,
    /// No answer in time.
    Timeout,
    /// Anything else; it may pass later.
    Unavailable,
}

impl Failure {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::Rejected => "rejected",
            Self::Forbidden => "forbidden",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
        }
    }
}

impl CallError {
    /// What kind of failure it is.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Timeout(_) => Failure::Timeout,
            Self::Api(kube::Error::Api(status)) => match status.code {
                404 => Failure::Gone,
                409 => Failure::Conflict,
                400 | 413 | 422 => Failure::Rejected,
                401 | 403 => Failure::Forbidden,
                _ => Failure::Unavailable,
            },
            Self::Api(_) => Failure::Unavailable,
        }
    }
}

/// The message alone: the whole status would repeat it three times.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// The calls that the operator makes.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    timeout: Duration,
}

impl Calls {
    /// Calls through `client`, each at most `timeout` long.
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    async fn bounded<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(CallError::Api),
            Err(_) => Err(CallError::Timeout(self.timeout)),
        }
    }

    /// Whether the API server answers, and is allowed to us.
    pub async fn probe(&self) -> Result<(), CallError> {
        self.bounded(self.client.apiserver_version()).await.map(drop)
    }

    /// Whether objects of this kind can be listed here.
    pub async fn can_list<K>(&self, api: &Api<Raw<K>>) -> Result<(), CallError>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + 'static,
    {
        self.bounded(api.list(&ListParams::default().limit(1))).await.map(drop)
    }

    /// A Submission as it is stored.
    pub async fn submission(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Raw<Submission>>, CallError> {
        let api = Api::<Raw<Submission>>::namespaced(self.client.clone(), namespace);
        self.bounded(api.get_opt(name)).await
    }

    /// A `ConfigMap`.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, CallError> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        self.bounded(api.get_opt(name)).await
    }

    /// A namespace's metadata.
    pub async fn namespace(&self, name: &str) -> Result<Option<ObjectMeta>, CallError> {
        let api = Api::<Namespace>::all(self.client.clone());
        let found = self.bounded(api.get_metadata_opt(name)).await?;
        Ok(found.map(|namespace| namespace.metadata))
    }

    /// Writes a Submission's status.
    pub async fn write_status(&self, namespace: &str, name: &str, body: &Body) -> Result<(), CallError> {
        self.write(&Submission::url_path(&(), Some(namespace)), name, body).await
    }

    /// Writes a Language's status.
    pub async fn write_language_status(&self, name: &str, body: &Body) -> Result<(), CallError> {
        self.write(&Language::url_path(&(), None), name, body).await
    }

    /// Writes a `WorkerPool`'s status.
    pub async fn write_worker_pool_status(
        &self,
        namespace: &str,
        name: &str,
        body: &Body,
    ) -> Result<(), CallError> {
        self.write(&WorkerPool::url_path(&(), Some(namespace)), name, body).await
    }

    /// Makes a Deployment be as `wanted` in all fields that it names, and says how it is then.
    pub async fn apply_deployment(
        &self,
        namespace: &str,
        name: &str,
        wanted: &Value,
    ) -> Result<Live, CallError> {
        let how = PatchParams::apply(MANAGER).force();
        let request = Request::new(Deployment::url_path(&(), Some(namespace)));
        let call = async {
            let request =
                request.patch(name, &how, &Patch::Apply(wanted)).map_err(kube::Error::BuildRequest)?;
            self.client.request::<Live>(request).await
        };
        self.bounded(call).await
    }

    async fn write(&self, resource: &str, name: &str, body: &Body) -> Result<(), CallError> {
        let request = Request::new(resource);
        let built = match body {
            Body::Merge(patch) => {
                request.patch_subresource("status", name, &PatchParams::default(), &Patch::Merge(patch))
            }
            Body::Replace(object) => {
                request.replace_subresource("status", name, &PostParams::default(), bytes(object))
            }
        };
        let call = async {
            let mut request = built.map_err(kube::Error::BuildRequest)?;
            if let Ok(accept) = METADATA_ONLY.parse() {
                request.headers_mut().insert("accept", accept);
            }
            self.client.request::<PartialObjectMeta<Submission>>(request).await
        };
        self.bounded(call).await.map(drop)
    }

    /// Deletes a Submission if it is still this one, unchanged.
    pub async fn delete_submission(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), CallError> {
        let only =
            Preconditions { uid: Some(uid.to_owned()), resource_version: Some(resource_version.to_owned()) };
        let how = DeleteParams::background().preconditions(only);
        let api = Api::<Submission>::namespaced(self.client.clone(), namespace);
        self.bounded(api.delete(name, &how)).await.map(drop)
    }
}

/// A JSON value always has bytes.
fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
