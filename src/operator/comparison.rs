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

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
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
/// The number of objects on a page, which has only their metadata.
const PAGE: u32 = 500;

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
    let (mut listed, mut params) = (HashMap::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list_metadata(&params).await?;
        for object in page.items.iter().map(|object| &object.metadata).filter(|metadata| is_known(metadata)) {
            let text = |field: &Option<String>| field.as_deref().unwrap_or_default().to_owned();
            let id = ObjectRef::new(kind, text(&object.namespace), text(&object.name)).with_uid(object.uid.as_ref());
            listed.insert(id, version(object));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(listed),
        }
    }
}
