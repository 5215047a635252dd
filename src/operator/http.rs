//! Serves the kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.
//!
//! Every Pod of the cluster may be able to connect, so a connection is short, takes little memory, and locks nobody
//! else out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::metrics::Metrics;

/// The most connections. One more closes the oldest, so that the kubelet can always connect.
const CONNECTIONS: usize = 256;
/// The longest connection, with one request and its answer.
const LIFE: Duration = Duration::from_secs(10);
/// The largest request, in bytes.
const REQUEST: usize = 16 * 1024;
/// The pause after a connection could not be accepted, for example because too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let app = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(text))
        .with_state(metrics);
    let service = TowerToHyperService::new(app);
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(REQUEST);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(tokio::time::timeout(LIFE, connection)).abort_handle());
    }
}

/// A replica is ready once every watch has listed its objects, and while none is broken. Leading does not matter: a
/// standby has to be able to take over.
async fn ready(State(metrics): State<Arc<Metrics>>) -> (StatusCode, String) {
    if !metrics.synced.load(Ordering::Acquire) {
        let unread = metrics.unreadable_configuration();
        let unread =
            if unread.is_empty() { String::new() } else { format!("; these ConfigMaps cannot be read: {unread:?}") };
        let restored = metrics.evidence().map_or_else(String::new, |evidence| {
            format!("the cluster has gone back to an older state ({evidence}), so everything is read again: ")
        });
        let text = format!("{restored}not every watch has listed its objects yet{unread}\n");
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
