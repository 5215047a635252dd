//! Measures what each admission policy costs a write.
//!
//! It sends the same request one at a time, alternating between the policy on and off. The requests are dry runs, which
//! include all of admission but exclude the variance of etcd. The result is the difference of the medians, in
//! milliseconds.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::error::Error;
use crate::scale::floor;
use crate::site::{RELEASE, Site, api};
use crate::stats::Sample;

/// Options of the measurement.
#[derive(clap::Args)]
pub struct Options {
    /// Requests of each kind in a round
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Rounds, each with the policy off and on
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this policy, by the name of its value
    #[arg(long)]
    only: Option<String>,
    /// The chart
    #[arg(long, default_value = "charts/bailiwick")]
    chart: String,
}

/// How many Users to create in parallel.
const AT_ONCE: usize = 64;
const TEAM: &str = "team";

/// One request, which can be repeated.
struct Write {
    what: &'static str,
    object: Value,
}

/// A policy, and the request that costs it the most.
struct Case {
    policy: &'static str,
    write: Write,
    /// How many Users there are, and how many of them are suspended.
    users: usize,
    suspended: usize,
}

fn object(api: &str, kind: &str, namespace: Option<&str>, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api, "kind": kind, "metadata": {"name": "measured", "namespace": namespace}});
    if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
        object.extend(rest);
    }
    object
}

fn cases() -> Vec<Case> {
    let ours = "bailiwick.dev/v1alpha1";
    let config_map = || Write { what: "ConfigMap", object: object("v1", "ConfigMap", Some(TEAM), json!({})) };
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "c"}]}});
    let labels = json!({"app": "measured"});
    let template = json!({"metadata": {"labels": labels}, "spec": pod["spec"]});
    let deployment = json!({"spec": {"selector": {"matchLabels": labels}, "template": template}});
    let binding = json!({"spec": {"roleRef": {"kind": "SiteRole", "name": "organization-member"}, "subjects": []}});
    let role = json!({"spec": {"inherits": [{"kind": "SiteRole", "name": "organization-member"}]}});
    let write = |what, object| Write { what, object };
    let case = |policy, write| Case { policy, write, users: 0, suspended: 0 };
    let suspended = |users, suspended| Case { policy: "suspendedUsers", write: config_map(), users, suspended };
    vec![
        case("operatorGuard", config_map()),
        case("managedObjects", config_map()),
        case("guardedServiceAccounts", write("Pod", object("v1", "Pod", Some(TEAM), pod))),
        case("handingOutRoles", write("RoleBinding of ours", object(ours, "RoleBinding", Some(TEAM), binding))),
        case("handingOutRoles", write("CustomRole that inherits one", object(ours, "CustomRole", Some(TEAM), role))),
        case("groupVouched", write("Group", object(ours, "Group", Some(TEAM), json!({"spec": {}})))),
        case("namespaceClaims", write("Namespace", object("v1", "Namespace", None, json!({})))),
        case("ownObjects", config_map()),
        case("ownObjects", write("Deployment", object("apps/v1", "Deployment", Some(TEAM), deployment))),
        case("suspending", write("User", object(ours, "User", None, json!({"spec": {}})))),
        suspended(0, 0),
        suspended(0, 1_000),
        suspended(0, 10_000),
        suspended(1_000, 0),
        suspended(1_000, 1_000),
        suspended(10_000, 0),
        suspended(10_000, 10_000),
    ]
}

/// Measures, and prints a table in Markdown.
///
/// # Errors
/// When the control plane, helm or a request fails.
pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure_all(options))
}

async fn measure_all(options: &Options) -> Result<(), Error> {
    let site = Site::start(&options.chart, &values("")).await?;
    site.kubectl(&["label", "namespace", TEAM, "bailiwick.dev/organization=team"])?;
    let user = site.as_user("measured@example.com").await?;
    println!("| policy | request | off, ms | on, ms | more, ms |\n|---|---|---|---|---|");
    let mut users = 0;
    for case in cases().into_iter().filter(|case| options.only.as_ref().is_none_or(|only| case.policy == only)) {
        floor::create(&site.admin, (users..case.users).map(somebody).collect(), AT_ONCE).await?;
        users = users.max(case.users);
        suspend(&site, case.suspended).await?;
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            switch(&site, case.policy).await?;
            off.extend(measure(&user, &case.write, options.requests).await?);
            switch(&site, "").await?;
            on.extend(measure(&user, &case.write, options.requests).await?);
        }
        let (off, on) = (Sample::from(off).median(), Sample::from(on).median());
        let site = match (case.users, case.suspended) {
            (0, 0) => String::new(),
            (users, suspended) => format!(", {users} Users, {suspended} names suspended"),
        };
        println!("| `{}`{site} | {} | {off:.2} | {on:.2} | {:.2} |", case.policy, case.write.what, on - off);
    }
    Ok(())
}

/// A User with the labels that Argo CD or Kustomize would add.
fn somebody(n: usize) -> Value {
    let labels = json!({"app.kubernetes.io/instance": "users", "app.kubernetes.io/part-of": "site"});
    json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "metadata": {"name": format!("somebody-{n}"), "labels": labels}, "spec": {}})
}

/// The chart's values, with one policy off if one is named.
fn values(off: &str) -> Value {
    let policies = if off.is_empty() { json!({}) } else { json!({off: {"enabled": false}}) };
    json!({"namespaceWhitelist": [TEAM], "replicas": 0, "admissionPolicies": policies})
}

async fn switch(site: &Site, off: &str) -> Result<(), Error> {
    site.helm(&values(off))?;
    // A policy takes effect within a second or two of its change, and nothing reports when.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

/// Writes this many names to the list, as the operator would.
async fn suspend(site: &Site, count: usize) -> Result<(), Error> {
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(site.admin.clone(), RELEASE);
    let text = |key: usize| {
        let names: String = (0..count / 2).map(|i| format!("somebody-{key}-{i:06}@example.com\n")).collect();
        format!("\n{names}")
    };
    let document = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"names-0": text(0), "names-1": text(1)}});
    maps.patch("bailiwick-suspended", &PatchParams::apply("bench").force(), &Patch::Apply(document)).await?;
    Ok(())
}

/// The times of one round, in milliseconds.
async fn measure(client: &kube::Client, write: &Write, requests: usize) -> Result<Vec<f64>, Error> {
    let api = api(client, &write.object);
    let object: DynamicObject = serde_json::from_value(write.object.clone())?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        api.create(&params, &object).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}
