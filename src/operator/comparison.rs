//! Lists each kind from time to time and compares it with what the watches showed, because a watch may stall or miss an
//! event.
//!
//! A list may be newer than the engine's state, so a difference counts only if a second list shows it again a while
//! later. Such a difference is a bug: it is counted and logged, and the watch lists everything again.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, WatchEvent as ApiEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot};

use super::inbox::Sender;
use super::metrics::Metrics;
use super::watch_event::{Comparison, Kind, Versions, WatchEvent};
use crate::core::object_ref::ObjectRef;
use crate::core::records::version;

/// The number of resync periods between two comparisons of a kind: a list costs more than a decision.
pub(super) const PERIODS: u32 = 6;
/// The time before the second list. A working watch has delivered everything by then.
const GRACE: Duration = Duration::from_secs(20);
/// The number of objects on a page, where the API server cannot stream lists. A page has only metadata, but labels and
/// managed fields may take more than 1 MiB an object, and ten times that when parsed.
const PAGE: u32 = 16;
/// The annotation of the bookmark that ends a streamed list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Compares a kind periodically. `is_known`: whether the engine watches objects with this metadata.
pub(super) async fn run<K>(
    kind: Kind,
    api: Api<K>,
    is_known: fn(&ObjectMeta) -> bool,
    interval: Duration,
    sender: Sender,
    metrics: Arc<Metrics>,
    relist: Arc<Notify>,
) where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let position = Kind::ALL.iter().position(|other| *other == kind).unwrap_or_default();
    // Spreads the kinds over the interval.
    tokio::time::sleep(interval.mul_f64(position as f64 / Kind::ALL.len() as f64)).await;
    loop {
        tokio::time::sleep(interval).await;
        let mut before = None;
        for _ in 0..2 {
            let works = metrics.synced.load(Ordering::Acquire) && !metrics.broken_watches().contains(&kind);
            // After a failed list, waits for the next comparison.
            let Some(listed) = list(kind, &api, is_known).await.ok().filter(|_| works) else { break };
            let is_second = before.is_some();
            let (answer, differs) = oneshot::channel();
            if sender.send(WatchEvent::Compared(Comparison { kind, listed, before, answer })).await.is_err() {
                return;
            }
            match differs.await {
                Ok(differs) if differs.is_empty() => break,
                Ok(_) if is_second => {
                    relist.notify_one();
                    break;
                }
                Ok(differs) => before = Some(differs),
                Err(_) => break,
            }
            tokio::time::sleep(GRACE).await;
        }
    }
}

async fn list<K>(kind: Kind, api: &Api<K>, is_known: fn(&ObjectMeta) -> bool) -> kube::Result<Versions>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut listed = HashMap::new();
    let mut note = |object: &ObjectMeta| {
        if is_known(object) {
            let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
            let id = ObjectRef::new(kind, text(&object.namespace), text(&object.name)).with_uid(object.uid.as_ref());
            listed.insert(id, version(object));
        }
    };
    match stream(api, &mut note).await {
        // It cannot stream.
        Err(kube::Error::Api(status)) if status.code == 422 => {}
        ended => return ended.map(|()| listed),
    }
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list_metadata(&params).await?;
        page.items.iter().for_each(|object| note(&object.metadata));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(listed),
        }
    }
}

/// A list that holds one object at a time in memory. Changes since it began are left out.
async fn stream<K>(api: &Api<K>, note: &mut impl FnMut(&ObjectMeta)) -> kube::Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut events = std::pin::pin!(api.watch_metadata(&WatchParams::streaming_lists(), "0").await?);
    while let Some(event) = events.try_next().await? {
        match event {
            ApiEvent::Added(object) => note(&object.metadata),
            ApiEvent::Bookmark(bookmark) if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) => {
                return Ok(());
            }
            ApiEvent::Error(status) => return Err(kube::Error::Api(status)),
            // They come after the initial events.
            ApiEvent::Modified(_) | ApiEvent::Deleted(_) | ApiEvent::Bookmark(_) => {}
        }
    }
    Err(kube::Error::Api(Box::new(Status::failure("the list ended early", "Timeout"))))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use http::{Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;

    use super::*;
    use crate::api::RoleBinding;

    const OBJECT: &str = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"}}"#;

    /// Lists from an API server that can stream lists, or not. Also returns the queries.
    async fn listed(can_stream: bool) -> (Versions, Vec<String>) {
        let queries: Arc<Mutex<Vec<String>>> = Arc::default();
        let asked = queries.clone();
        let answer = move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let (status, body) = match (query.contains("sendInitialEvents=true"), can_stream) {
                (true, true) => {
                    let end = r#"{"type":"BOOKMARK","object":{"kind":"RoleBinding","apiVersion":"bailiwick.dev/v1alpha1","metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
                    (StatusCode::OK, format!("{{\"type\":\"ADDED\",\"object\":{OBJECT}}}\n{end}\n"))
                }
                (true, false) => (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"forbidden","reason":"Invalid","code":422}"#.to_owned(),
                ),
                (false, _) => (
                    StatusCode::OK,
                    format!(r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{{}},"items":[{OBJECT}]}}"#),
                ),
            };
            asked.lock().unwrap().push(query);
            let response = Response::builder().status(status).body(Body::from(body.into_bytes())).unwrap();
            async move { Ok::<_, Infallible>(response) }
        };
        let api: Api<RoleBinding> = Api::all(Client::new(tower::service_fn(answer), "default"));
        let listed = list(Kind::RoleBinding, &api, |_| true).await.unwrap();
        (listed, queries.lock().unwrap().clone())
    }

    /// Found by attacking: the manager of one organization wrote RoleBindings with 1 MB of labels or managed fields each.
    /// A page of 500 of them took more than 10 MB an object.
    #[tokio::test]
    async fn a_list_holds_one_object_at_a_time_or_a_small_page() {
        let (streamed, queries) = listed(true).await;
        assert_eq!(streamed.values().collect::<Vec<_>>(), [&7]);
        assert_eq!(queries.len(), 1, "{queries:?}");
        let (paged, queries) = listed(false).await;
        assert_eq!(paged, streamed);
        assert!(queries.len() == 2 && queries[1].contains("limit=16"), "{queries:?}");
    }
}
