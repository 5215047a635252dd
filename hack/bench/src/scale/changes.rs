//! Changes, one after the other, and the time until each takes effect.

use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::figures::{Everywhere, Figures};
use super::floor;
use crate::error::Error;
use crate::recorder::{Key, Recorder, State, subjects};
use crate::site::{Operator, Site, api, ours};
use crate::stats::Sample;
use crate::world::{self, EVERYWHERE, MARKED, Size, TEAM};

/// The cluster counts as idle after this long without an event. Some of the API server's own work has a period of 100
/// ms.
const PAUSE: Duration = Duration::from_millis(300);

/// A right of every member of an organization there, and of an auditor everywhere: verb and resource.
const AS_MEMBER: (&str, &str) = ("get", "pods");
const AS_AUDITOR: (&str, &str) = ("list", "events");

/// Makes changes, and observes their effects.
pub struct Changes<'a> {
    pub site: &'a Site,
    pub native: &'a Recorder,
    pub own: &'a Recorder,
    pub size: Size,
    /// The number of changes of each sort.
    pub count: usize,
}

impl Changes<'_> {
    async fn idle(&self) {
        self.native.quiet(PAUSE).await;
        self.own.quiet(PAUSE).await;
    }

    /// Writes that nobody reacts to, one after the other.
    pub async fn bare_writes(&self) -> Result<Sample, Error> {
        let mut times = Vec::new();
        for n in 0..self.count {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("bare-{n}"), "namespace": "default"}});
            let api = api(&self.site.admin, &map);
            let map: DynamicObject = serde_json::from_value(map)?;
            let started = Instant::now();
            api.create(&PostParams::default(), &map).await?;
            times.push(milliseconds(started, Instant::now()));
        }
        Ok(times.into())
    }

    /// A new grant: until the operator's write arrives, and until a watch shows it.
    pub async fn grants(&self, figures: &mut Figures) -> Result<(), Error> {
        let mut granted = Vec::new();
        let log = self.site.audited()?.len();
        for n in 0..self.count {
            let robot = format!("new-robot-{n}");
            self.idle().await;
            self.add(n, &robot).await?;
            let accepted = Instant::now();
            let (seen, ()) = self.native.until(|s| (s.grants(&robot) > 0).then_some(())).await?;
            granted.push(milliseconds(accepted, seen));
        }
        figures.granted_ms = granted.into();
        figures.reaction_ms = reactions(&self.site.audited()?[log..]).into();
        Ok(())
    }

    /// Adds a service account to one of the bindings.
    async fn add(&self, n: usize, robot: &str) -> Result<(), Error> {
        let home = world::namespace(n % self.size.organizations);
        let binding =
            json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "RoleBinding", "metadata": {"namespace": home}});
        let patch =
            json!([{"op": "add", "path": "/spec/subjects/-", "value": {"kind": "ServiceAccount", "name": robot}}]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch)?);
        api(&self.site.admin, &binding)
            .patch(&format!("binding-{:05}", n % self.size.bindings()), &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Suspends and reactivates users with 20 grants on an idle cluster.
    pub async fn suspensions(&self) -> Result<Sample, Error> {
        let mut times = Vec::new();
        for n in 0..self.count {
            let username = world::marked(n % MARKED);
            let held = self.native.look(|s| s.grants(&username));
            self.idle().await;
            times.push(self.suspend(&username, AS_MEMBER).await?);
            self.activate(&username).await?;
            self.native.until(|s| (s.grants(&username) == held).then_some(())).await?;
        }
        Ok(times.into())
    }

    /// The same writes by a bare client, while no operator runs.
    pub async fn bare_suspensions(&self, bare: &Client) -> Result<Sample, Error> {
        let mut times = Vec::new();
        for n in 0..self.count.min(MARKED) {
            self.idle().await;
            times.push(floor::without(bare, self.native, &world::marked(n)).await? * 1000.0);
        }
        Ok(times.into())
    }

    /// Suspends a user with a site role in every organization.
    pub async fn everywhere(&self) -> Result<Everywhere, Error> {
        let held = self.native.look(|s| s.grants(EVERYWHERE));
        self.idle().await;
        let seconds = self.suspend(EVERYWHERE, AS_AUDITOR).await? / 1000.0;
        self.activate(EVERYWHERE).await?;
        self.native.until(|s| (s.grants(EVERYWHERE) == held).then_some(())).await?;
        Ok(Everywhere { grants: held, seconds, bare_seconds: 0.0 })
    }

    /// Adds one subject to every binding while no operator runs.
    pub async fn prepare_load(&self) -> Result<(), Error> {
        let bindings: Vec<usize> = (0..self.size.bindings()).collect();
        let robot = |n: usize| json!([{"op": "add", "path": "/spec/subjects/-", "value": {"kind": "ServiceAccount", "name": format!("late-robot-{n}")}}]);
        floor::concurrently(64, &bindings, async |n| {
            let home = world::namespace(n % self.size.organizations);
            let binding =
                json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "RoleBinding", "metadata": {"namespace": home}});
            let patch: Patch<Value> = Patch::Json(serde_json::from_value(robot(*n)).map_err(kube::Error::SerdeError)?);
            let name = format!("binding-{n:05}");
            api(&self.site.admin, &binding).patch(&name, &PatchParams::default(), &patch).await.map(drop)
        })
        .await
    }

    /// Suspends one user after the other until the operator has projected everything else.
    pub async fn suspensions_under_load(&self, operator: &Operator) -> Result<Sample, Error> {
        let before = self.native.look(|s| s.events);
        self.native.until(|s| (s.events > before).then_some(())).await?;
        let mut times = Vec::new();
        for n in 0..MARKED {
            let took = self.suspend(&world::marked(n), AS_MEMBER).await?;
            // Suspensions after the end of the load do not count.
            if operator.metric("units_busy") == Some(0) {
                break;
            }
            times.push(took);
        }
        operator.idle().await?;
        for n in 0..MARKED {
            self.activate(&world::marked(n)).await?;
        }
        operator.idle().await?;
        Ok(times.into())
    }

    /// Deletes native bindings.
    pub async fn repairs(&self) -> Result<Sample, Error> {
        let mut times = Vec::new();
        for key in self.broken() {
            let Some(uid) = self.native.look(|s| s.objects.get(&key).and_then(|(_, o)| o.uid())) else { continue };
            let object =
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": key.0, "metadata": {"namespace": key.1}});
            self.idle().await;
            api(&self.site.admin, &object).delete(&key.2, &DeleteParams::default()).await?;
            let accepted = Instant::now();
            let anew = |s: &State| s.objects.get(&key).is_some_and(|(_, o)| o.uid() != Some(uid.clone()));
            let (seen, ()) = self.native.until(|s| anew(s).then_some(())).await?;
            times.push(milliseconds(accepted, seen));
        }
        Ok(times.into())
    }

    /// The same writes by a bare client, while no operator runs.
    pub async fn bare_repairs(&self, bare: &Client) -> Result<Sample, Error> {
        let mut times = Vec::new();
        for key in self.broken() {
            self.idle().await;
            times.push(floor::again(&self.site.admin, bare, self.native, &key).await? * 1000.0);
        }
        Ok(times.into())
    }

    fn broken(&self) -> Vec<Key> {
        let of_bindings = |key: &&Key| key.0 == "RoleBinding";
        let mut keys: Vec<Key> = self.native.look(|s| s.objects.keys().filter(of_bindings).cloned().collect());
        keys.sort();
        // Spread over the whole site: those of one namespace are adjacent.
        let step = (keys.len() / self.count.max(1)).max(1);
        keys.into_iter().step_by(step).take(self.count).collect()
    }

    /// Returns the milliseconds from the answer until no grant is left and the API server denies access, checked in one
    /// of the organizations for a right that a grant there gave.
    async fn suspend(&self, username: &str, right: (&str, &str)) -> Result<f64, Error> {
        let place = self.native.look(|s| {
            let bindings = s
                .objects
                .iter()
                .filter(|(key, (_, o))| key.1.starts_with(TEAM) && subjects(o).any(|name| name == username));
            bindings.map(|(key, _)| key.1.clone()).min()
        });
        let place = place.ok_or_else(|| Error::Program(format!("{username} holds nothing in an organization")))?;
        if !self.may(username, right, &place).await? {
            return Err(Error::Program(format!("{username} may not {right:?} in {place} to begin with")));
        }
        self.patch(username, true).await?;
        let accepted = Instant::now();
        let (seen, ()) = self.native.until(|s| (s.grants(username) == 0).then_some(())).await?;
        let mut over = seen;
        while self.may(username, right, &place).await? {
            over = Instant::now();
        }
        Ok(milliseconds(accepted, over))
    }

    /// The API server's answer to whether a user may do something.
    async fn may(&self, username: &str, (verb, resource): (&str, &str), namespace: &str) -> Result<bool, Error> {
        let attributes = ResourceAttributes {
            namespace: Some(namespace.to_owned()),
            verb: Some(verb.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(username.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let review = Api::all(self.site.admin.clone()).create(&PostParams::default(), &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }

    async fn activate(&self, username: &str) -> Result<(), Error> {
        self.patch(username, false).await
    }

    async fn patch(&self, username: &str, suspended: bool) -> Result<(), Error> {
        let patch = Patch::Merge(json!({"spec": {"suspended": suspended}}));
        ours(&self.site.admin, "User").patch(world::handle(username), &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// For each change of a RoleBinding in the API server's log: how many milliseconds after its answer the next write of
/// the operator arrived.
fn reactions(log: &[Value]) -> Vec<f64> {
    let wrote = |event: &&Value| !matches!(event["verb"].as_str(), Some("get" | "list"));
    let ours = |event: &Value| event["objectRef"]["apiGroup"] == "bailiwick.dev";
    let time = |event: &Value, field: &str| event[field].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let writes: Vec<jiff::Timestamp> =
        log.iter().filter(wrote).filter(|e| !ours(e)).filter_map(|e| time(e, "requestReceivedTimestamp")).collect();
    let changes = log.iter().filter(wrote).filter(|e| ours(e));
    changes
        .filter_map(|event| {
            let (asked, answered) = (time(event, "requestReceivedTimestamp")?, time(event, "stageTimestamp")?);
            let write = writes.iter().find(|write| **write > asked)?;
            // The watch may be faster than the answer.
            Some(write.duration_since(answered).as_secs_f64().max(0.0) * 1000.0)
        })
        .collect()
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}
