//! Follows the chart's ConfigMaps.
//!
//! People write some of their texts, so each text is parsed on a thread of its own, and a newer one does not wait for
//! an older one. An unreadable text changes nothing: the last readable one stays in effect.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::task::JoinHandle;

use super::guarded::Guarded;
use super::history::LIFE;
use super::history::{self, History};
use super::metrics::{MapLabels, Metrics};
use super::watch_event::{Item, Kind};
use crate::api::vocabulary as v;
use crate::core::catalog::{Bounds, Settings};
use crate::core::policies::{self, Policies};
use crate::core::text::{self, brief};
use crate::core::uid::Uid;

/// A ConfigMap of the chart, and its parser.
pub(super) struct Source<T> {
    pub kind: Kind,
    pub map: &'static str,
    pub parse: fn(&ConfigMap) -> Result<T, Error>,
}

/// Why a ConfigMap cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("it does not exist: apply the chart again")]
    Missing,
    #[error("it has no key {0}")]
    NoKey(&'static str),
    #[error("{key}: {}", brief(.source))]
    Text { key: String, source: text::Error },
    #[error("it cannot be parsed")]
    Parser,
    #[error("{0} (it is immutable: delete it and apply the chart again)")]
    Immutable(Box<Error>),
}

/// The current content of a ConfigMap.
pub(super) struct News<T> {
    pub map: &'static str,
    /// The ConfigMap's UID; empty if it does not exist.
    pub uid: Uid,
    pub read: Result<T, Error>,
}

impl<T> News<T> {
    /// The event for the engine.
    pub fn report(&self) -> Item {
        Item::Configuration {
            map: self.map,
            uid: self.uid.clone(),
            fault: self.read.as_ref().err().map(ToString::to_string),
        }
    }
}

pub(super) const BOUNDS: Source<Item> = Source {
    kind: Kind::Bounds,
    map: v::BOUNDS_CONFIG_MAP,
    parse: |map| one(map, v::BOUNDS_KEY, Bounds::parse).map(Item::Bounds),
};

pub(super) const SETTINGS: Source<Item> = Source {
    kind: Kind::Settings,
    map: v::SETTINGS_CONFIG_MAP,
    parse: |map| one(map, v::SETTINGS_KEY, Settings::parse).map(Item::Settings),
};

pub(super) const POLICIES: Source<Policies> =
    Source { kind: Kind::Policies, map: v::POLICIES_CONFIG_MAP, parse: all_policies };

fn one<T>(map: &ConfigMap, key: &'static str, parse: fn(&str) -> Result<T, text::Error>) -> Result<T, Error> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).ok_or(Error::NoKey(key))?;
    parse(text).map_err(|source| Error::Text { key: key.to_owned(), source })
}

fn all_policies(map: &ConfigMap) -> Result<Policies, Error> {
    let mut all = Policies::new();
    for (key, text) in map.data.iter().flatten() {
        all.extend(policies::parse(text).map_err(|source| Error::Text { key: key.clone(), source })?);
    }
    Ok(all)
}

type Events = BoxStream<'static, Result<Event<Guarded<ConfigMap>>, watcher::Error>>;

/// The events of one ConfigMap.
pub(super) fn watch(client: &Client, namespace: &str, map: &str, history: Arc<History>) -> Events {
    let config = watcher::Config::default().fields(&format!("metadata.name={map}")).timeout(LIFE);
    history::events(Api::namespaced(client.clone(), namespace), config, history)
}

/// Follows a ConfigMap until the receiver is gone.
pub(super) async fn follow<T: Send + 'static>(
    mut events: Events,
    source: Source<T>,
    metrics: Arc<Metrics>,
    mut tell: impl AsyncFnMut(News<T>) -> bool,
) {
    let Source { kind, map, parse } = source;
    let mut parsing = None;
    let mut is_there = false;
    loop {
        let news = tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return };
                let unread = |error| News { map, uid: Uid::default(), read: Err(error) };
                match event {
                    Err(error) => {
                        // No grant depends on the policies.
                        if kind != Kind::Policies {
                            metrics.watch_broke(kind);
                        }
                        tracing::warn!(?kind, %error, "a watch failed; restarting it");
                        continue;
                    }
                    // No answer has arrived yet.
                    Ok(Event::Init) => {
                        is_there = false;
                        continue;
                    }
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        metrics.watch_works(kind);
                        is_there = true;
                        parsing = Some(tokio::task::spawn_blocking(move || read(map, object, parse)));
                        continue;
                    }
                    Ok(Event::InitDone) if is_there => {
                        metrics.watch_works(kind);
                        continue;
                    }
                    Ok(Event::InitDone | Event::Delete(_)) => {
                        metrics.watch_works(kind);
                        parsing = None;
                        unread(Error::Missing)
                    }
                }
            }
            news = finished(&mut parsing) => {
                parsing = None;
                news.unwrap_or_else(|_| News { map, uid: Uid::default(), read: Err(Error::Parser) })
            }
        };
        let unreadable = metrics.configuration_unreadable.get_or_create(&MapLabels { config_map: map }).clone();
        unreadable.set(news.read.is_err().into());
        if let Err(error) = &news.read {
            tracing::error!(config_map = map, %error, "cannot read a ConfigMap; the last readable one stays in effect");
        }
        if !tell(news).await {
            return;
        }
    }
}

fn read<T>(map: &'static str, object: Guarded<ConfigMap>, parse: fn(&ConfigMap) -> Result<T, Error>) -> News<T> {
    let Some(object) = object.whole() else { return News { map, uid: Uid::default(), read: Err(Error::Parser) } };
    let read = parse(&object).map_err(|error| match object.immutable {
        Some(true) => Error::Immutable(Box::new(error)),
        _ => error,
    });
    News { map, uid: object.metadata.uid.as_ref().into(), read }
}

async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use kube::core::ObjectMeta;
    use tokio::sync::mpsc;

    use super::*;
    use crate::core::salvage::Found;

    static SLOW: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());

    fn parse(map: &ConfigMap) -> Result<String, Error> {
        let text = map.data.as_ref().unwrap()["text"].clone();
        if text == "slow" {
            drop(SLOW.1.wait_while(SLOW.0.lock().unwrap(), |slow| *slow).unwrap());
        }
        Ok(text)
    }

    fn applied(text: &str) -> Event<Guarded<ConfigMap>> {
        let data = Some([("text".to_owned(), text.to_owned())].into());
        let metadata = ObjectMeta { name: Some("map".to_owned()), ..ObjectMeta::default() };
        Event::Apply(Guarded(Found::Whole(ConfigMap { data, metadata, ..ConfigMap::default() })))
    }

    /// Everything but the parser runs on one thread, and the parser blocks on the first text until the second was read.
    #[tokio::test]
    async fn a_repair_is_read_while_an_older_text_is_parsed() {
        let (events_in, events) = mpsc::unbounded_channel();
        let events = futures::stream::unfold(events, async |mut events| Some((events.recv().await?, events))).boxed();
        let (told_in, mut told) = mpsc::unbounded_channel();
        let source = Source { kind: Kind::Settings, map: "map", parse };
        let task = tokio::spawn(follow(events, source, Arc::default(), async move |news: News<String>| {
            told_in.send(news.read.unwrap()).is_ok()
        }));
        events_in.send(Ok(applied("slow"))).unwrap();
        tokio::task::yield_now().await;
        events_in.send(Ok(applied("repaired"))).unwrap();
        assert_eq!(told.recv().await.as_deref(), Some("repaired"));
        *SLOW.0.lock().unwrap() = false;
        SLOW.1.notify_all();
        events_in.send(Ok(applied("last"))).unwrap();
        assert_eq!(told.recv().await.as_deref(), Some("last"), "the slow one is nobody's any more");
        drop(events_in);
        task.await.unwrap();
    }
}
