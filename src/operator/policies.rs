//! Watches the chart's admission policies, and reports missing and changed ones to the engine.
//!
//! A ConfigMap of the chart holds the expected policies. A kind of policy that it lacks is not watched, because an
//! older cluster may not serve that kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::configuration;
use super::history::LIFE;
use super::history::{self, History};
use super::inbox::Sender;
use super::metrics::{Metrics, StateLabels};
use super::watch_event::{Item, WatchEvent};
use crate::api::conditions::Reason;
use crate::api::vocabulary as v;
use crate::core::policies::{Policies, Report};

/// How long decisions wait for the state of the policies, so that a start neither revokes rights on own objects nor
/// writes a status twice.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a policy must have been in place before rights depend on it. API servers read policies once a second, so
/// for as long they may still act on those of before.
const POLICY_LAG: Duration = Duration::from_secs(3);

/// An event of one of the watches.
enum News {
    Expected(Result<Policies, configuration::Error>),
    Live(String, Box<Event<DynamicObject>>),
}

/// Follows the policies until the receiver is gone.
pub(super) async fn follow(
    client: Client,
    namespace: String,
    sender: Sender,
    metrics: Arc<Metrics>,
    history: Arc<History>,
) {
    let mut watches = SelectAll::new();
    let (news_in, news) = mpsc::unbounded_channel();
    let unfold = futures::stream::unfold(news, async |mut news| Some((News::Expected(news.recv().await?), news)));
    watches.push(unfold.boxed());
    let reports = sender.clone();
    let events = configuration::watch(&client, &namespace, v::POLICIES_CONFIG_MAP, history.clone());
    // The reader ends with this task.
    let mut reader = JoinSet::new();
    reader.spawn(configuration::follow(events, configuration::POLICIES, metrics.clone(), async move |news| {
        let told = reports.send(WatchEvent::Item(Box::new(news.report()))).await;
        told.is_ok() && news_in.send(news.read).is_ok()
    }));
    let (mut watched, mut listed) = (BTreeSet::new(), BTreeSet::new());
    let (mut expected, mut live) = (None::<Policies>, Policies::new());
    // The policies as last expected and found in place.
    let mut trusted = Policies::new();
    let mut relisting: BTreeMap<String, Policies> = BTreeMap::new();
    let (mut known, mut told) = (false, false);
    // As last told. What an operator finds when it starts has been in place for longer.
    let mut ownership = None;
    let (mut settled, mut waits) = (Instant::now(), false);
    let tell = async |report| sender.send(WatchEvent::Item(Box::new(Item::Policies(report)))).await;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    loop {
        let news = tokio::select! {
            news = watches.next() => news.map(Some),
            () = tokio::time::sleep_until(settled), if waits => Some(None),
            () = &mut patience, if !told => {
                tracing::warn!("cannot read the admission policies; PoliciesInPlace is not reported until then");
                told = true;
                if tell(None).await.is_err() { return }
                continue;
            }
        };
        let Some(news) = news else { return };
        let before = live.clone();
        match news {
            None => {}
            Some(News::Expected(read)) => {
                known = true;
                match read {
                    Ok(policies) => {
                        for (kind, _) in policies.keys() {
                            if watched.insert(kind.clone()) {
                                watches.push(of_kind(client.clone(), kind.clone(), history.clone()));
                            }
                        }
                        expected = Some(policies);
                    }
                    Err(configuration::Error::Missing) => expected = None,
                    // The last readable policies are still the expected ones.
                    Err(_) => {}
                }
            }
            Some(News::Live(kind, event)) => match *event {
                Event::Init => drop(relisting.insert(kind, Policies::new())),
                Event::InitApply(object) => {
                    drop(relisting.entry(kind.clone()).or_default().insert(key(kind, &object), spec(object)))
                }
                Event::InitDone => {
                    live.retain(|(k, _), _| *k != kind);
                    live.extend(relisting.remove(&kind).unwrap_or_default());
                    listed.insert(kind);
                }
                Event::Apply(object) => drop(live.insert(key(kind, &object), spec(object))),
                Event::Delete(object) => drop(live.remove(&key(kind, &object))),
            },
        }
        if live != before {
            settled = Instant::now() + POLICY_LAG;
        }
        waits = false;
        // Until every kind has been listed, policies would seem to be missing.
        if known && watched.is_subset(&listed) && relisting.is_empty() {
            let mut report = expected.as_ref().map(|expected| Report::new(expected, &trusted, &live));
            if let (Some(report), Some(before)) = (&mut report, &ownership)
                && Instant::now() < settled
            {
                (report.ownership, waits) = std::mem::take(&mut report.ownership).within(before);
            }
            ownership = Some(report.as_ref().map(|report| report.ownership.clone()).unwrap_or_default());
            if let (Some(report), Some(expected)) = (&report, &expected)
                && report.faults.is_empty()
            {
                trusted.clone_from(expected);
            }
            let faults = report.as_ref().map_or(&[][..], |report| &report.faults);
            count(&metrics, expected.as_ref().map_or(0, BTreeMap::len), faults);
            told = true;
            if tell(report).await.is_err() {
                return;
            }
        }
    }
}

fn count(metrics: &Metrics, expected: usize, faults: &[(Reason, String)]) {
    let set = |reason: Reason, count: usize| {
        let gauge = metrics.policies.get_or_create(&StateLabels { state: reason.as_str() }).clone();
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    };
    for reason in [Reason::PolicyMissing, Reason::PolicyChanged] {
        set(reason, faults.iter().filter(|(r, _)| *r == reason).count());
    }
    set(Reason::InPlace, expected - faults.len());
}

/// The policies of a kind that the chart installed.
fn of_kind(client: Client, kind: String, history: Arc<History>) -> BoxStream<'static, News> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", &kind));
    let api: Api<DynamicObject> = Api::all_with(client, &resource);
    let config = watcher::Config::default().labels(&format!("{}={}", v::PART_OF, v::FIELD_MANAGER)).timeout(LIFE);
    let news = history::events(api, config, history).filter_map(move |event| {
        let kind = kind.clone();
        std::future::ready(match event {
            Ok(event) => Some(News::Live(kind, Box::new(event))),
            Err(error) => {
                tracing::warn!(kind, %error, "the watch of admission policies failed; restarting it");
                None
            }
        })
    });
    news.boxed()
}

/// An object in a list does not have its kind.
fn key(kind: String, object: &DynamicObject) -> (String, String) {
    (kind, object.name_any())
}

fn spec(mut object: DynamicObject) -> serde_json::Value {
    object.data["spec"].take()
}
