//! Measures rights on own objects by name: how long a person waits for the right to enter a new Pod, and what many owned
//! Pods cost.
//!
//! The administrator creates Pods in the name of people, as for a restore. Nothing runs them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kube::Client;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::error::Error;
use crate::recorder::Recorder;
use crate::scale::floor;
use crate::site::{Operator, Site, api};
use crate::stats::Sample;

/// Options of the measurement.
#[derive(clap::Args)]
pub struct Options {
    /// Organizations
    #[arg(long, default_value_t = 200)]
    organizations: usize,
    /// Users in each of them
    #[arg(long, default_value_t = 50)]
    users: usize,
    /// Pods that each user owns
    #[arg(long, default_value_t = 2)]
    pods: usize,
    /// The operator's binary
    #[arg(long, default_value = "target/release/bailiwick")]
    operator: PathBuf,
    /// The chart
    #[arg(long, default_value = "charts/bailiwick")]
    chart: String,
}

const AT_ONCE: usize = 64;
/// New Pods one after the other, and the time between them.
const ONE_BY_ONE: (usize, Duration) = (100, Duration::from_millis(200));
/// New Pods at once.
const BURST: usize = 50;
/// Pods that come and go in a minute.
const A_MINUTE: usize = 1_000;

/// Measures, and prints lines of Markdown.
///
/// # Errors
/// When the control plane, helm, the operator or a request fails.
pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<(), Error> {
    let spaces: Vec<String> = (0..options.organizations).map(|n| format!("org-{n}")).collect();
    let values = json!({"namespaceWhitelist": spaces, "replicas": 0, "defaultOrganization": {"create": false},
        "admissionPolicies": {"suspendedUsers": {"immediate": false}}});
    let site = Site::start(&options.chart, &values).await?;
    let admin = &site.admin;
    floor::create(admin, world(options), AT_ONCE).await?;
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = operator.memory();
    println!("- Without Pods: {:.0} MiB, {} watches", before.0, site.watches().await?);
    drop(operator);

    let pods: Vec<Value> = each_user(options)
        .flat_map(|(o, u)| (0..options.pods).map(move |n| (o, u, n)))
        .map(|(organization, user, n)| pod(organization, user, &format!("p-{user}-{n}")))
        .collect();
    let count = pods.len();
    floor::create(admin, pods, AT_ONCE).await?;
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    // It is idle for a moment before the first list of Pods arrives.
    while names(admin).await? < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let converged = operator.started.elapsed().as_secs_f64();
    operator.idle().await?;
    let after = operator.memory();
    println!(
        "- {count} Pods: {:.0} MiB (at most {:.0}), all names written {converged:.1} s after the start, {:.1} s of processor time",
        after.0,
        after.1,
        operator.cpu()
    );
    drop(operator);
    println!("- A bare client writes the same Roles and bindings in {:.1} s", bare(&site).await?);
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;

    let native = Recorder::of_native(admin);
    native.until(|state| state.last).await?;
    native.quiet(Duration::from_secs(1)).await;
    println!("- Entering a new Pod, one every 200 ms: {}", one_by_one(admin, &native).await?);
    println!("- {BURST} new Pods at once: {}", burst(admin, &native).await?);
    println!(
        "- {A_MINUTE} Pods that come and go in a minute: {:.1} s of processor time",
        a_minute(admin, &operator).await?
    );
    Ok(())
}

fn each_user(options: &Options) -> impl Iterator<Item = (usize, usize)> + use<> {
    let users = options.users;
    (0..options.organizations).flat_map(move |organization| (0..users).map(move |user| (organization, user)))
}

fn username(organization: usize, user: usize) -> String {
    format!("u-{organization}-{user}@example.com")
}

fn world(options: &Options) -> Vec<Value> {
    let ours = |kind: &str, metadata: Value, spec: Value| json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    let organizations = (0..options.organizations).map(|o| {
        let name = format!("org-{o}");
        ours("Organization", json!({"name": name}), json!({"namespace": name}))
    });
    let users = each_user(options)
        .map(|(o, u)| ours("User", json!({"name": format!("u-{o}-{u}")}), json!({"username": username(o, u)})));
    let groups = (0..options.organizations).map(|o| {
        let members: Vec<String> = (0..options.users).map(|u| username(o, u)).collect();
        ours("Group", json!({"name": "team", "namespace": format!("org-{o}")}), json!({"members": members}))
    });
    organizations.chain(users).chain(groups).collect()
}

fn pod(organization: usize, user: usize, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": format!("org-{organization}"),
            "annotations": {"bailiwick.dev/owner": username(organization, user)}},
        "spec": {"containers": [{"name": "c", "image": "c"}], "automountServiceAccountToken": false}})
}

/// The native objects with rights by name.
async fn own_objects(admin: &Client, kind: &str) -> Result<Vec<Value>, Error> {
    let native = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind});
    let list =
        api(admin, &native).list(&ListParams::default().labels("app.kubernetes.io/managed-by=bailiwick")).await?;
    let own =
        list.items.into_iter().filter(|o| o.metadata.name.as_deref().is_some_and(|n| n.starts_with("bailiwick:own:")));
    own.map(|mut object| {
        object.metadata.managed_fields = None;
        object.metadata.uid = None;
        object.metadata.resource_version = None;
        object.metadata.creation_timestamp = None;
        let mut value = serde_json::to_value(object)?;
        value["apiVersion"] = native["apiVersion"].clone();
        value["kind"] = json!(kind);
        Ok(value)
    })
    .collect()
}

/// How many Pods may be entered by name.
async fn names(admin: &Client) -> Result<usize, Error> {
    let roles = own_objects(admin, "Role").await?;
    let exec = |rule: &&Value| rule["resources"].as_array().is_some_and(|r| r.iter().any(|r| r == "pods/exec"));
    let rules = roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten());
    Ok(rules.filter(exec).map(|rule| rule["resourceNames"].as_array().map_or(0, Vec::len)).sum())
}

/// The seconds that a client with the operator's credentials takes to write the same. No operator may run.
async fn bare(site: &Site) -> Result<f64, Error> {
    let client = site.as_operator().await?;
    let (roles, bindings) = (own_objects(&site.admin, "Role").await?, own_objects(&site.admin, "RoleBinding").await?);
    for objects in [&bindings, &roles] {
        floor::delete(&site.admin, objects).await?;
    }
    let started = Instant::now();
    for objects in [roles, bindings] {
        floor::create(&client, objects, AT_ONCE).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn create(admin: &Client, name: &str) -> Result<Instant, Error> {
    let pod = pod(0, 0, name);
    let object = serde_json::from_value(pod.clone())?;
    api(admin, &pod).create(&PostParams::default(), &object).await?;
    Ok(Instant::now())
}

/// The milliseconds until the names are in the owner's Role. The API server knows a Role milliseconds after a watch shows
/// it. (Asking it all the time whether the owner may enter would take the processor from it.)
async fn entered(native: &Recorder, name: &str, since: Instant) -> Result<f64, Error> {
    let is_there = |rule: &Value| {
        let on = |resource: &Value| resource.as_array().is_some_and(|r| r.iter().any(|r| r == "pods/exec"));
        on(&rule["resources"]) && rule["resourceNames"].as_array().is_some_and(|names| names.iter().any(|n| n == name))
    };
    let (at, ()) = native
        .until(|state| {
            let own = state.objects.iter().filter(|(key, _)| key.1 == "org-0" && key.2.starts_with("bailiwick:own:"));
            let mut rules = own.flat_map(|(_, (_, role))| role.data["rules"].as_array().into_iter().flatten());
            rules.any(is_there).then_some(())
        })
        .await?;
    Ok(at.saturating_duration_since(since).as_secs_f64() * 1000.0)
}

async fn one_by_one(admin: &Client, native: &Recorder) -> Result<Sample, Error> {
    let mut waits = Vec::new();
    for n in 0..ONE_BY_ONE.0 {
        let (name, began) = (format!("single-{n}"), Instant::now());
        let created = create(admin, &name).await?;
        waits.push(entered(native, &name, created).await?);
        tokio::time::sleep(ONE_BY_ONE.1.saturating_sub(began.elapsed())).await;
    }
    Ok(waits.into())
}

async fn burst(admin: &Client, native: &Recorder) -> Result<Sample, Error> {
    let one = async |n: usize| {
        let name = format!("burst-{n}");
        let created = create(admin, &name).await?;
        entered(native, &name, created).await
    };
    Ok(try_join_all((0..BURST).map(one)).await?.into())
}

async fn a_minute(admin: &Client, operator: &Operator) -> Result<f64, Error> {
    let before = operator.cpu();
    let mut next = tokio::time::interval(Duration::from_secs(60) / u32::try_from(A_MINUTE).unwrap_or(u32::MAX));
    for n in 0..A_MINUTE {
        next.tick().await;
        let name = format!("short-{n}");
        create(admin, &name).await?;
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        api(admin, &pod(0, 0, &name)).delete(&name, &now).await?;
    }
    operator.idle().await?;
    Ok(operator.cpu() - before)
}
