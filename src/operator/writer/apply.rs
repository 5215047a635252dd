//! Performs one write: sends its requests and interprets the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::core::v1 as corev1;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Failure, News, Outcome, WriteRequest, WriteResult};
use crate::api::ApiKind;
use crate::api::conditions::Reason;
use crate::api::vocabulary as v;
use crate::api::{self, GROUP, VERSION};
use crate::core::Name;
use crate::core::claims::Claim;
use crate::core::object_ref::{ApiRef, NativeKind, NativeRef};
use crate::core::plan::Write;
use crate::core::rbac::{self, Desired, Object, Observed, Owner};
use crate::core::salvage::Withhold;
use crate::core::uid::Uid;
use crate::operator::guarded::Guarded;
use crate::operator::lease::Gate;
use crate::operator::metrics::{Metrics, WriteLabels};
use crate::operator::retry;
use crate::operator::watch_event::{Item, OwnConfigMap};

/// The time limit of a write. It exceeds a webhook's longest timeout of 30 seconds, so that the API server itself
/// reports a webhook that does not answer.
const PATIENCE: Duration = Duration::from_secs(35);

/// The most Events in a [`WINDOW`]; anything more appears in statuses only. kube keeps each Event in memory for six
/// minutes, so an unlimited number would fill the memory.
const EVENTS_IN_A_WINDOW: usize = 32;
const WINDOW: Duration = Duration::from_secs(2);

/// Status fields that earlier versions of the CRDs lack. The operator leaves them out there.
const NEWER_FIELDS: [(ApiKind, &str); 7] = [
    (ApiKind::Group, "organization"),
    (ApiKind::RoleBinding, "organization"),
    (ApiKind::RoleBinding, "olderGroups"),
    (ApiKind::CustomRole, "organization"),
    (ApiKind::User, "organizations"),
    (ApiKind::User, "siteRoles"),
    (ApiKind::User, "grants"),
];

/// The longest note of an Event in bytes, a limit of the API.
const LONGEST_NOTE: usize = 1024;

/// Performs writes; each task has a clone.
#[derive(Clone)]
pub(in crate::operator) struct Applier {
    client: Client,
    /// The release namespace.
    namespace: String,
    recorder: Recorder,
    /// Limits the Events in a [`WINDOW`].
    events: Arc<Semaphore>,
    gate: Gate,
    metrics: Arc<Metrics>,
}

impl Applier {
    pub fn new(client: Client, namespace: String, gate: Gate, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: v::FIELD_MANAGER.into(), instance: None };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, namespace, recorder, events: Arc::new(Semaphore::new(EVENTS_IN_A_WINDOW)), gate, metrics }
    }

    /// Performs a write if this replica leads.
    pub async fn write(&self, job: WriteRequest) -> WriteResult {
        if !self.gate.is_open() {
            return job.undone(Outcome::NotLeading, Failure::NotLeading);
        }
        let started = Instant::now();
        let late = "the API server did not answer in time".to_owned();
        let failed = Outcome::Failed { message: late.clone(), answered: false };
        let undone = job.undone(failed, Failure::Failed(late));
        let verb = job.verb();
        let done = tokio::time::timeout(PATIENCE, self.perform(verb, job)).await.unwrap_or_else(|_| {
            self.count(verb, "failed");
            undone
        });
        self.metrics.write_seconds.observe(started.elapsed().as_secs_f64());
        done
    }

    async fn perform(&self, verb: &'static str, job: WriteRequest) -> WriteResult {
        match job {
            WriteRequest::Native(write) => self.native(verb, write).await,
            WriteRequest::Claim(claim) => self.claim(claim).await,
            WriteRequest::Suspended { uid, texts } => {
                WriteResult::Suspended(self.map(verb, v::SUSPENDED_CONFIG_MAP, &uid, v::SUSPENDED_KEYS, texts).await)
            }
            WriteRequest::Keep { uid, text } => {
                WriteResult::Kept(self.map(verb, v::DECISIONS_CONFIG_MAP, &uid, [v::DECISIONS_KEY], [text]).await)
            }
            WriteRequest::Unlabel { handle, version } => {
                let result = self.unlabel(&handle, version).await;
                WriteResult::Unlabelled(handle, result)
            }
            WriteRequest::Status { target, document, news, .. } => self.status(target, document, news).await,
            WriteRequest::Read { target, .. } => {
                let result = self.read(&target).await;
                WriteResult::Read(target, result)
            }
            WriteRequest::Unread { map, uid, why } => {
                let reference = corev1::ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("ConfigMap".to_owned()),
                    name: Some(map.to_owned()),
                    namespace: Some(self.namespace.clone()),
                    uid: Some(uid.to_string()),
                    ..Default::default()
                };
                self.announce(reference, EventType::Warning, Reason::Unreadable.as_str(), why);
                WriteResult::Unread
            }
        }
    }

    fn count(&self, verb: &'static str, result: &'static str) {
        self.metrics.writes.get_or_create(&WriteLabels { verb, result }).inc();
    }

    async fn native(&self, verb: &'static str, write: Write) -> WriteResult {
        let (key, uid) = match &write {
            Write::Create { key, .. } => (key.clone(), None),
            Write::Apply { key, uid, .. } | Write::Delete { key, uid, .. } => (key.clone(), Some(uid.clone())),
        };
        let result = match &write {
            Write::Create { key, native, .. } => self.put(key, native, None).await,
            Write::Apply { key, native, uid, .. } => self.put(key, native, Some(uid)).await,
            Write::Delete { key, uid, .. } => self.delete(key, uid).await,
        };
        let outcome = match result {
            Ok(Some(observed)) if is_altered(&write, &observed) => {
                self.count(verb, "altered");
                Outcome::Altered(observed)
            }
            Ok(Some(observed)) => {
                self.count(verb, "ok");
                Outcome::Is(observed)
            }
            Ok(None) => {
                self.count(verb, "ok");
                Outcome::Gone(uid)
            }
            Err(error) => self.explain(verb, &write, uid, error).await,
        };
        if !matches!(outcome, Outcome::Is(_) | Outcome::Gone(_)) {
            tracing::debug!(%key, verb, ?outcome, "a write did not succeed");
        }
        WriteResult::Native(key, outcome)
    }

    async fn explain(&self, verb: &'static str, write: &Write, uid: Option<Uid>, error: kube::Error) -> Outcome {
        let key = write.key();
        let Some(status) = api_status(&error) else {
            self.count(verb, "failed");
            return Outcome::Failed { message: error.to_string(), answered: false };
        };
        match status.code {
            // A webhook may answer with any code, so the code means nothing here.
            code if is_of_a_webhook(status) && code < 500 && code != 429 => {
                self.count(verb, "refused");
                Outcome::Refused { message: status.message.clone(), authorized: true }
            }
            404 if verb == "delete" => {
                self.count(verb, "conflict");
                Outcome::Gone(uid)
            }
            // An apply also gets 404 when the role of a binding is missing; the binding exists and still grants.
            404 if verb == "apply" => match self.look(key).await {
                Outcome::Found(observed) if uid.as_ref() == Some(&observed.uid) => {
                    self.count(verb, "refused");
                    Outcome::Refused { message: status.message.clone(), authorized: true }
                }
                outcome => {
                    self.count(verb, "conflict");
                    if matches!(outcome, Outcome::Gone(_)) { Outcome::Gone(uid) } else { outcome }
                }
            },
            409 => {
                self.count(verb, "conflict");
                self.look(key).await
            }
            // A create gets 404 when the namespace or the role of a binding is missing.
            400 | 403 | 404 | 413 | 422 => {
                self.count(verb, "refused");
                let authorized = status.code != 403 || self.authorized(key).await;
                Outcome::Refused { message: status.message.clone(), authorized }
            }
            _ => {
                self.count(verb, "failed");
                // A 504 may mean that the write is too expensive for the API server or a webhook. Deleting may still
                // work.
                let answered = !is_server_trouble(status) || (status.code == 504 && write.revokes());
                Outcome::Failed { message: status.message.clone(), answered }
            }
        }
    }

    /// Reads the object that has this name now.
    async fn look(&self, key: &NativeRef) -> Outcome {
        match self.get(key).await {
            Ok(None) => Outcome::Gone(None),
            Ok(Some(object)) if rbac::is_ours(rbac::metadata(&object)) => match rbac::observe(&object) {
                Some((_, observed)) => Outcome::Found(observed),
                None => Outcome::Taken,
            },
            Ok(Some(_)) => Outcome::Taken,
            Err(error) => Outcome::Failed { message: error.to_string(), answered: false },
        }
    }

    /// Whether the operator may create this kind here at all. If so, the ceiling refused the write.
    async fn authorized(&self, key: &NativeRef) -> bool {
        let resource = match key.kind {
            NativeKind::Role => "roles",
            NativeKind::RoleBinding => "rolebindings",
            NativeKind::ClusterRole => "clusterroles",
            NativeKind::ClusterRoleBinding => "clusterrolebindings",
        };
        let attributes = authorization::ResourceAttributes {
            group: Some("rbac.authorization.k8s.io".into()),
            resource: Some(resource.into()),
            namespace: (!key.namespace.is_empty()).then(|| key.namespace.to_string()),
            verb: Some("create".into()),
            ..Default::default()
        };
        let review = authorization::SelfSubjectAccessReview {
            spec: authorization::SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..Default::default()
            },
            ..Default::default()
        };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await;
        answer.is_ok_and(|review| review.status.is_some_and(|s| s.allowed))
    }

    async fn put(&self, key: &NativeRef, native: &Desired, uid: Option<&Uid>) -> kube::Result<Option<Observed>> {
        let client = self.client.clone();
        let namespace = &*key.namespace;
        let stored = match rbac::to_object(key, native, uid) {
            Object::Role(o) => Object::Role(put(Api::namespaced(client, namespace), &key.name, o, uid).await?),
            Object::RoleBinding(o) => {
                Object::RoleBinding(put(Api::namespaced(client, namespace), &key.name, o, uid).await?)
            }
            Object::ClusterRole(o) => Object::ClusterRole(put(Api::all(client), &key.name, o, uid).await?),
            Object::ClusterRoleBinding(o) => {
                Object::ClusterRoleBinding(put(Api::all(client), &key.name, o, uid).await?)
            }
        };
        Ok(rbac::observe(&stored).map(|(_, observed)| observed))
    }

    async fn get(&self, key: &NativeRef) -> kube::Result<Option<Object>> {
        let (client, namespace, name) = (self.client.clone(), &*key.namespace, &*key.name);
        Ok(match key.kind {
            NativeKind::Role => Api::namespaced(client, namespace).get_opt(name).await?.map(Object::Role),
            NativeKind::RoleBinding => Api::namespaced(client, namespace).get_opt(name).await?.map(Object::RoleBinding),
            NativeKind::ClusterRole => Api::all(client).get_opt(name).await?.map(Object::ClusterRole),
            NativeKind::ClusterRoleBinding => Api::all(client).get_opt(name).await?.map(Object::ClusterRoleBinding),
        })
    }

    /// Deletes an object. One with a finalizer still exists, still grants, and is returned.
    async fn delete(&self, key: &NativeRef, uid: &Uid) -> kube::Result<Option<Observed>> {
        let (client, namespace) = (self.client.clone(), &*key.namespace);
        let kept = match key.kind {
            NativeKind::Role => delete(Api::namespaced(client, namespace), key, uid).await?.map(Object::Role),
            NativeKind::RoleBinding => {
                delete(Api::namespaced(client, namespace), key, uid).await?.map(Object::RoleBinding)
            }
            NativeKind::ClusterRole => delete(Api::all(client), key, uid).await?.map(Object::ClusterRole),
            NativeKind::ClusterRoleBinding => delete(Api::all(client), key, uid).await?.map(Object::ClusterRoleBinding),
        };
        Ok(kept.and_then(|object| rbac::observe(&object)).map(|(_, observed)| observed))
    }

    async fn claim(&self, claim: Claim) -> WriteResult {
        let (last, uid) = &claim.last_organization;
        let annotations: BTreeMap<&str, String> = [
            (v::LAST_ORGANIZATION, Some(last.to_string())),
            (v::ORGANIZATION_UID, uid.as_ref().map(Uid::to_string)),
            (v::CLAIMED_AT, claim.claimed_at.map(|at| at.to_string())),
            (v::VACATED_AT, claim.vacated_at.map(|at| at.to_string())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
        let labels: BTreeMap<&str, &str> =
            claim.organization.iter().map(|organization| (v::ORGANIZATION, &**organization)).collect();
        let document = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": &*claim.namespace,
                "uid": claim.namespace_uid.to_string(),
                "labels": labels,
                "annotations": annotations,
            },
        });
        let api = Api::<Guarded<corev1::Namespace>>::all(self.client.clone());
        let result = api.patch(&claim.namespace, &apply(), &Patch::Apply(document)).await;
        WriteResult::Claim(claim.namespace, self.outcome("claim", result).map(|n| n.meta().into()))
    }

    /// Writes texts into a ConfigMap of the chart.
    async fn map<const N: usize>(
        &self,
        verb: &'static str,
        name: &str,
        uid: &Uid,
        keys: [&str; N],
        texts: [String; N],
    ) -> Result<OwnConfigMap, Failure> {
        let data: BTreeMap<&str, String> = keys.into_iter().zip(texts).collect();
        let document = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "uid": uid.to_string()},
            "data": data,
        });
        let api = Api::<corev1::ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let result = api.patch(name, &apply(), &Patch::Apply(document)).await;
        self.outcome(verb, result).map(|map| OwnConfigMap::of(&map, keys))
    }

    /// An apply cannot remove the label, because somebody else owns it.
    async fn unlabel(&self, handle: &Name, version: u64) -> Result<(), Failure> {
        let metadata = serde_json::json!({"resourceVersion": version.to_string(), "labels": {v::SUSPENSION: null}});
        let document = serde_json::json!({"metadata": metadata});
        let api = Api::<Guarded<api::User>>::all(self.client.clone());
        let result = api.patch(handle, &PatchParams::default(), &Patch::Merge(document)).await;
        self.outcome("unlabel", result).map(drop)
    }

    fn outcome<T>(&self, verb: &'static str, result: kube::Result<T>) -> Result<T, Failure> {
        result.inspect(|_| self.count(verb, "ok")).map_err(|error| {
            let failure = match api_status(&error) {
                Some(status) if is_of_a_webhook(status) => Failure::Refused(error.to_string()),
                Some(status) if status.code == 404 => Failure::Gone,
                // Either another object has this name, or others keep changing it. The cache tells which.
                Some(status) if status.code == 409 => Failure::Conflict(error.to_string()),
                Some(status) if !is_server_trouble(status) => Failure::Refused(error.to_string()),
                _ => Failure::Failed(error.to_string()),
            };
            let conflicts = matches!(failure, Failure::Gone | Failure::Conflict(_));
            self.count(verb, if conflicts { "conflict" } else { "failed" });
            failure
        })
    }

    /// Reads an object of ours. A failure is returned after a pause, so that the caller can retry at once.
    async fn read(&self, target: &ApiRef) -> Result<Box<Item>, Failure> {
        match (Request { client: &self.client, target, status: None }).send().await {
            Ok(Some(item)) => Ok(Box::new(item)),
            Ok(None) => Err(Failure::Gone),
            Err(error) => {
                tokio::time::sleep(retry::delay(5)).await;
                self.outcome("read", Err(error))
            }
        }
    }

    async fn status(&self, target: ApiRef, mut document: Value, news: Option<News>) -> WriteResult {
        let send = |document| Request { client: &self.client, target: &target, status: Some(document) }.send();
        let mut result = send(document.clone()).await;
        // Helm does not upgrade CRDs, so older ones may lack newer fields.
        if result.as_ref().is_err_and(is_of_an_older_schema)
            && let Some(status) = document["status"].as_object_mut()
        {
            status.retain(|field, _| !NEWER_FIELDS.contains(&(target.kind, field.as_str())));
            result = send(document).await;
        }
        let result = match result {
            Ok(None) => Err(Failure::Gone),
            Ok(Some(item)) => {
                self.count("status", "ok");
                if let Some(news) = news {
                    self.tell(&target, news);
                }
                Ok(Box::new(item))
            }
            Err(error) => self.outcome("status", Err(error)),
        };
        WriteResult::Status(target, result)
    }

    /// Logs a status that was written, and sends its Event.
    fn tell(&self, target: &ApiRef, news: News) {
        let News { good, reason, message, changes, event } = news;
        if changes {
            let (object, said) = (target.path(), &message[..message.floor_char_boundary(LONGEST_NOTE)]);
            let ready = if good { "ready" } else { "not ready" };
            tracing::info!(object, reason, details = said, "an object is {ready}");
        }
        if event {
            let kind = if good { EventType::Normal } else { EventType::Warning };
            self.announce(reference(target), kind, reason, message);
        }
    }

    /// Sends an Event. Nothing depends on Events, so nobody waits for them, and a lost one is only logged.
    fn announce(&self, reference: corev1::ObjectReference, kind: EventType, reason: &'static str, message: String) {
        let Ok(place) = self.events.clone().try_acquire_owned() else { return };
        let applier = self.clone();
        tokio::spawn(async move {
            let published = tokio::time::timeout(PATIENCE, applier.publish(reference, kind, reason, message));
            let _ = tokio::join!(published, tokio::time::sleep(WINDOW));
            drop(place);
        });
    }

    async fn publish(&self, reference: corev1::ObjectReference, type_: EventType, reason: &str, message: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(message[..message.floor_char_boundary(LONGEST_NOTE)].to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::debug!(%error, kind = reference.kind, name = reference.name, "cannot write an Event");
        }
    }
}

/// Whether the API server does not know a field. It reports that as text, with the code of an internal error.
fn is_of_an_older_schema(error: &kube::Error) -> bool {
    api_status(error).is_some_and(|status| status.message.contains("field not declared in schema"))
}

fn reference(target: &ApiRef) -> corev1::ObjectReference {
    corev1::ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(target.kind.to_string()),
        name: Some(target.name.to_string()),
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.to_string()),
        uid: Some(target.uid.to_string()),
        ..Default::default()
    }
}

/// Whether the API server stored something other than the write. An owner that somebody else added does not count: it
/// survives every apply.
fn is_altered(write: &Write, observed: &Observed) -> bool {
    let (native, others) = match write {
        Write::Create { native, .. } => (native, false),
        Write::Apply { native, .. } => (native, observed.owner == Owner::Several),
        Write::Delete { .. } => return false,
    };
    observed.content.as_ref() != Some(&native.content) || !(others || observed.described_as(&native.source))
}

fn apply() -> PatchParams {
    PatchParams::apply(v::FIELD_MANAGER).force()
}

/// Whether an error concerns the API server rather than the object: overload, failed authentication, timeout, or a 500
/// without a reason (etcd has no leader). A webhook that cannot be called (`InternalError`) does concern the object.
fn is_server_trouble(status: &Status) -> bool {
    match status.code {
        _ if is_of_a_webhook(status) => false,
        401 | 408 | 429 => true,
        code => code >= 500 && status.reason != "InternalError",
    }
}

/// Whether an admission webhook gave this answer. It may use any code and reason.
fn is_of_a_webhook(status: &Status) -> bool {
    status.message.starts_with("admission webhook \"")
}

fn api_status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Creates by POST, which is faster than an apply and never overwrites. Changes by server-side apply with the UID, so
/// that the API server refuses to recreate an object that was deleted meanwhile.
async fn put<K>(api: Api<K>, name: &str, object: K, uid: Option<&Uid>) -> kube::Result<K>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    match uid {
        None => api.create(&PostParams { field_manager: Some(v::FIELD_MANAGER.into()), dry_run: false }, &object).await,
        Some(_) => api.patch(name, &apply(), &Patch::Apply(&object)).await,
    }
}

async fn delete<K>(api: Api<K>, key: &NativeRef, uid: &Uid) -> kube::Result<Option<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug + kube::Resource,
{
    let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let left = api.delete(&key.name, &params).await?.left();
    Ok(left.filter(|object| object.meta().finalizers.as_ref().is_some_and(|f| !f.is_empty())))
}

/// Applies the status of an object of ours, or only reads the object.
struct Request<'a> {
    client: &'a Client,
    target: &'a ApiRef,
    status: Option<Value>,
}

impl Request<'_> {
    /// Sends the request. Returns the object afterwards, unless it is being deleted.
    async fn send(self) -> kube::Result<Option<Item>> {
        match self.target.kind {
            ApiKind::Organization => self.cluster::<api::Organization, _>(Item::Organization).await,
            ApiKind::User => self.cluster::<api::User, _>(Item::User).await,
            ApiKind::SiteRole => self.cluster::<api::SiteRole, _>(Item::SiteRole).await,
            ApiKind::SiteRoleBinding => self.cluster::<api::SiteRoleBinding, _>(Item::SiteRoleBinding).await,
            ApiKind::Group => self.namespaced::<api::Group, _>(Item::Group).await,
            ApiKind::RoleBinding => self.namespaced::<api::RoleBinding, _>(Item::RoleBinding).await,
            ApiKind::CustomRole => self.namespaced::<api::CustomRole, _>(Item::CustomRole).await,
        }
    }

    async fn cluster<K, R>(self, item: fn(R) -> Item) -> kube::Result<Option<Item>>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
        R: for<'a> From<&'a K> + Withhold<K>,
    {
        let api = Api::all(self.client.clone());
        self.with(api, item).await
    }

    async fn namespaced<K, R>(self, item: fn(R) -> Item) -> kube::Result<Option<Item>>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
        R: for<'a> From<&'a K> + Withhold<K>,
    {
        let api = Api::namespaced(self.client.clone(), &self.target.namespace);
        self.with(api, item).await
    }

    async fn with<K, R>(self, api: Api<Guarded<K>>, item: fn(R) -> Item) -> kube::Result<Option<Item>>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
        R: for<'a> From<&'a K> + Withhold<K>,
    {
        let object = match self.status {
            Some(document) => Some(api.patch_status(&self.target.name, &apply(), &Patch::Apply(document)).await?),
            None => api.get_opt(&self.target.name).await?,
        };
        Ok(object.and_then(|object| record(object, item)))
    }
}

/// `None` if the object is being deleted.
fn record<K, R>(object: Guarded<K>, item: fn(R) -> Item) -> Option<Item>
where
    K: kube::Resource<DynamicType = ()>,
    R: for<'a> From<&'a K> + Withhold<K>,
{
    let lives = object.meta().deletion_timestamp.is_none();
    object.record().filter(|_| lives).map(item)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use rstest::rstest;

    use super::is_server_trouble;

    #[rstest]
    #[case::a_webhook_that_fails(500, "InternalError", false)]
    #[case::a_conversion_that_fails(422, "Invalid", false)]
    #[case::etcd_has_no_leader(500, "", true)]
    #[case::etcd_is_slow(500, "ServerTimeout", true)]
    #[case::a_proxy_finds_nobody(502, "Failed to parse error data", true)]
    #[case::nobody_knows_us(401, "Unauthorized", true)]
    #[case::too_much_to_do(429, "TooManyRequests", true)]
    fn what_an_answer_says_of_a_write(#[case] code: u16, #[case] reason: &str, #[case] nothing: bool) {
        let status = Status { code, reason: reason.to_owned(), ..Status::default() };
        assert_eq!(is_server_trouble(&status), nothing);
    }

    #[rstest]
    #[case::a_webhook_in_trouble(500, "admission webhook \"x.example\" denied the request: no leader")]
    #[case::a_webhook_that_is_busy(429, "admission webhook \"x.example\" denied the request")]
    fn whatever_a_webhook_says_is_about_the_write(#[case] code: u16, #[case] message: &str) {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        assert!(!is_server_trouble(&status));
    }
}
