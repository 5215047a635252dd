//! What the kubelet and Prometheus ask for: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// Serves until the process ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .with_state(metrics);
    axum::serve(listener, app).await
}

/// Ready is who has seen everything and goes on seeing it, leading or not: a replica that stands by must be able to take
/// over.
async fn ready(State(metrics): State<Arc<Metrics>>) -> (StatusCode, String) {
    if !metrics.synced.load(Ordering::Acquire) {
        let unread = metrics.unreadable_configuration();
        let unread =
            if unread.is_empty() { String::new() } else { format!("; these ConfigMaps cannot be read: {unread:?}") };
        let restored = metrics.evidence().map_or_else(String::new, |evidence| {
            format!("the cluster has gone back to an older state ({evidence}); everything is read again: ")
        });
        let text = format!("{restored}not everything that is watched has been seen yet{unread}\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    match metrics.broken_watches().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        broken => (StatusCode::SERVICE_UNAVAILABLE, format!("these watches are broken: {broken:?}\n")),
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}
