//! `/healthz`, `/readyz` and `/metrics` over plain HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::health::Health;

/// The text form of metrics (`OpenMetrics` 1.0, section "Content Type").
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Serving ended with an error.
    #[error("serving health and metrics: {0}")]
    Serve(#[source] io::Error),
}

#[derive(Clone)]
struct Shown {
    health: Health,
    registry: Arc<Registry>,
}

/// Listens on `address`. The first thing a program does: it is alive from then on, and ready when its parts are.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "Serving health and metrics."),
        Err(source) => return Err(ServeError::Listen { address, source }),
    }
    Ok(listener)
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, health: Health, registry: Registry) -> Result<(), ServeError> {
    let shown = Shown { health, registry: Arc::new(registry) };
    axum::serve(listener, router(shown)).await.map_err(ServeError::Serve)
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shown)
}

async fn ready(State(shown): State<Shown>) -> Response {
    match shown.health.check() {
        Ok(()) => "ok\n".into_response(),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons + "\n").into_response(),
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn what_is_known_is_served() {
        let (health, mut registry) = (Health::default(), Registry::with_prefix("kubejudge"));
        let jobs = Counter::<u64>::default();
        registry.register("jobs", "Jobs", jobs.clone());
        jobs.inc();
        let redis = health.part("redis");
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, health, registry));
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("redis: is starting"), "{answer}");
        redis.set(Ok::<(), String>(()));
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(address, "/metrics").await;
        assert!(answer.contains("kubejudge_jobs_total 1") && answer.contains("openmetrics-text"), "{answer}");
        assert!(fetch(address, "/other").await.starts_with("HTTP/1.1 404"));
        let taken = listen(address).await.unwrap_err().to_string();
        assert!(taken.contains(&address.to_string()), "{taken}");
    }
}
