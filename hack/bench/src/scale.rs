//! How fast and how small the operator is at a given size of the site: the rows of `4-bars`, each beside the floor that
//! a bare client with the same credentials reaches in the same run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::error::Error;
use crate::recorder::{Key, Recorder, grants};
use crate::site::{Operator, Site, api, ours};
use crate::world::{self, GRANTS, MARKED, Size};

/// How many requests the bare client has under way.
const IN_FLIGHT: usize = 64;

/// What is measured.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    size: Size,
    /// The operator's binary
    #[arg(long, default_value = "target/release/bailiwick")]
    operator: PathBuf,
    /// The chart
    #[arg(long, default_value = "charts/bailiwick")]
    chart: String,
    /// Where the figures go, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many changes each latency is measured over
    #[arg(long, default_value_t = 100)]
    changes: usize,
}

/// One line of the table.
struct Row {
    what: &'static str,
    measured: String,
    bar: String,
    holds: bool,
}

/// Measures, prints a table, and writes JSON.
pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<(), Error> {
    let size = options.size;
    let whitelist: Vec<String> = (0..size.organizations).map(world::namespace).collect();
    let values = json!({"namespaceWhitelist": whitelist, "replicas": 0, "defaultOrganization": {"create": false}});
    say("starting a control plane, and installing the chart");
    let site = Site::start(&options.chart, &values).await?;
    say("applying the world");
    apply_all(&site.admin, world::generate(size)).await?;
    let (native, own) = (Recorder::of_native(&site.admin), Recorder::of_ours(&site.admin));
    let mut rows = Vec::new();
    let mut figures = json!({"organizations": size.organizations, "users": size.users, "bindings": size.bindings});

    say("converging from nothing");
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    all_told(&own).await?;
    let count = native.look(|s| s.objects.len());
    let converged = seconds(operator.started, native.look(|s| s.last));
    let ready = seconds(operator.started, own.look(|s| s.last));
    let statuses = own.look(|s| s.objects.len());
    let (resident, peak) = operator.memory();
    figures["converge"] = json!({"native": count, "statuses": statuses, "seconds": converged, "ready_seconds": ready,
        "resident_mib": resident, "peak_mib": peak, "cpu_seconds": operator.cpu()});

    say("changing things one at a time");
    let bare = bare_writes(&site.admin, options.changes).await?;
    latencies(&site, &native, options, &bare, &mut rows, &mut figures).await?;

    say("touching every object");
    let before = site.requests(is_native_write).await?;
    touch_all(&site.admin, &own).await?;
    operator.idle().await?;
    let touched = site.requests(is_native_write).await? - before;
    rows.push(row("a touch of every object: native writes", touched.to_string(), "0", touched == 0));

    say("restarting");
    drop(operator);
    let operator = restart(&site, &own, &native, options, &mut rows, &mut figures).await?;
    drop(operator);

    say("the floor: a bare client with the same credentials");
    let bare = site.as_operator().await?;
    let floor = floor_native(&site.admin, &bare, &native).await?;
    let floor_status = floor_statuses(&bare, &own).await?;
    figures["floor"] = json!({"native_seconds": floor, "status_seconds": floor_status});
    let rate = floor / converged;
    let at = format!("{converged:.2} s for {count} objects; floor {floor:.2} s; {rate:.2} of its rate");
    rows.insert(0, row("converge from nothing: every native object", at, "≥ 0.80 of the floor's rate", rate >= 0.8));
    let limit = (floor + floor_status) / 0.8;
    let at = format!("{ready:.2} s; floor {:.2} s", floor + floor_status);
    rows.insert(1, row("the same until everything is Ready", at, &format!("≤ {limit:.2} s"), ready <= limit));
    let at = format!("{resident:.0} MiB converged, {peak:.0} MiB peak");
    rows.push(row("memory", at, "≤ 64 and ≤ 128 MiB at full size", resident <= 64.0 && peak <= 128.0));
    report(&rows, &figures, options)
}

/// One change after the other: a grant that comes, users who are suspended, native objects that somebody breaks.
async fn latencies(
    site: &Site,
    native: &Recorder,
    options: &Options,
    bare: &[f64],
    rows: &mut Vec<Row>,
    figures: &mut Value,
) -> Result<(), Error> {
    let write = percentile(bare, 50.0);
    figures["bare_write_ms"] = json!(spread(bare));

    let mut granted = Vec::new();
    for n in 0..options.changes {
        let robot = format!("new-robot-{n}");
        let home = world::namespace(n % options.size.organizations);
        let name = format!("binding-{:05}", n % options.size.organizations);
        let binding = api(
            &site.admin,
            &json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": "RoleBinding", "metadata": {"namespace": home}}),
        );
        let patch =
            json!([{"op": "add", "path": "/spec/subjects/-", "value": {"kind": "ServiceAccount", "name": robot}}]);
        let patch: Patch<Value> = Patch::Json(serde_json::from_value(patch)?);
        binding.patch(&name, &PatchParams::default(), &patch).await?;
        let accepted = Instant::now();
        let (seen, ()) = native.until(|s| (grants(s, &robot) > 0).then_some(())).await?;
        granted.push(milliseconds(accepted, seen));
    }
    figures["one_binding_ms"] = json!(spread(&granted));
    let at = latency(&granted, write);
    let holds = percentile(&granted, 50.0) <= 5.0 && percentile(&granted, 99.0) <= 20.0;
    rows.push(row(
        "one role binding changed, until a watch shows the native one",
        at,
        "p50 ≤ 5 ms, p99 ≤ 20 ms",
        holds,
    ));

    let mut suspended = Vec::new();
    for n in 0..options.changes.min(MARKED) {
        let username = world::marked(n);
        let held = native.look(|s| grants(s, &username));
        let users = ours(&site.admin, "User");
        suspend(&users, world::handle(&username), true).await?;
        let accepted = Instant::now();
        let (seen, ()) = native.until(|s| (grants(s, &username) == 0).then_some(())).await?;
        suspended.push(milliseconds(accepted, seen));
        suspend(&users, world::handle(&username), false).await?;
        native.until(|s| (grants(s, &username) == held).then_some(())).await?;
    }
    figures["suspend_ms"] = json!(spread(&suspended));
    let holds = percentile(&suspended, 50.0) <= 25.0 && percentile(&suspended, 99.0) <= 100.0;
    let what = "a user with 20 grants suspended, until none is left";
    rows.push(row(what, latency(&suspended, write), "p50 ≤ 25 ms, p99 ≤ 100 ms", holds && GRANTS == 20));

    let mut repaired = Vec::new();
    let mut keys: Vec<Key> = native.look(|s| s.objects.keys().filter(|k| k.0 == "RoleBinding").cloned().collect());
    keys.sort();
    for key in keys.into_iter().take(options.changes) {
        let Some(uid) = native.look(|s| s.objects.get(&key).and_then(|(_, o)| o.uid())) else { continue };
        let broken =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": key.0, "metadata": {"namespace": key.1}});
        api(&site.admin, &broken).delete(&key.2, &DeleteParams::default()).await?;
        let accepted = Instant::now();
        let anew = |s: &crate::recorder::State| s.objects.get(&key).is_some_and(|(_, o)| o.uid() != Some(uid.clone()));
        let (seen, ()) = native.until(|s| anew(s).then_some(())).await?;
        repaired.push(milliseconds(accepted, seen));
    }
    figures["drift_ms"] = json!(spread(&repaired));
    let holds = percentile(&repaired, 50.0) <= 15.0;
    rows.push(row("a native binding deleted, until it is back", latency(&repaired, write), "p50 ≤ 15 ms", holds));
    Ok(())
}

async fn restart(
    site: &Site,
    own: &Recorder,
    native: &Recorder,
    options: &Options,
    rows: &mut Vec<Row>,
    figures: &mut Value,
) -> Result<Operator, Error> {
    let (writes, reads, watches) =
        (site.requests(is_write).await?, site.requests(is_read).await?, site.watches().await?);
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    let took = operator.started.elapsed().as_secs_f64();
    let (writes, reads) = (site.requests(is_write).await? - writes, site.requests(is_read).await? - reads);
    rows.push(row("restart over a converged world: writes", writes.to_string(), "0", writes == 0));
    // A list that streams is a watch. Some are of single objects: configuration, ceilings, the lists of suspended users.
    let watches = site.watches().await?.saturating_sub(watches);
    let at = format!("{reads} lists and gets, {watches} watches");
    rows.push(row("restart: requests that read", at, "a list and a watch per kind (30)", reads <= 30 && watches <= 30));
    let bare = site.as_operator().await?;
    let started = Instant::now();
    let mut listed = 0;
    for kind in ["Organization", "User", "Group", "RoleBinding", "CustomRole", "SiteRole", "SiteRoleBinding"] {
        listed += ours(&bare, kind).list(&Default::default()).await?.items.len();
    }
    for kind in ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"] {
        let all = api(&bare, &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind}));
        listed += all.list(&Default::default()).await?.items.len();
    }
    let floor = started.elapsed().as_secs_f64();
    figures["restart"] = json!({"seconds": took, "writes": writes, "reads": reads, "list_seconds": floor, "listed": listed,
        "objects": own.look(|s| s.objects.len()) + native.look(|s| s.objects.len())});
    let at = format!("{took:.2} s; a bare client lists the same in {floor:.2} s");
    rows.push(row("restart: until it leads and is idle", at, "≤ 2 × the list", took <= 2.0 * floor));
    Ok(operator)
}

/// Everything is there again, as a bare client writes it. The operator is stopped.
async fn floor_native(admin: &Client, bare: &Client, native: &Recorder) -> Result<f64, Error> {
    let objects: Vec<DynamicObject> = native.look(|s| s.objects.values().map(|(_, o)| o.clone()).collect());
    let kinds = native.look(|s| s.objects.keys().map(|k| (k.1.clone(), k.2.clone(), k.0.clone())).collect::<Vec<_>>());
    let of_kind: std::collections::HashMap<(String, String, String), ()> = kinds.into_iter().map(|k| (k, ())).collect();
    debug_assert_eq!(of_kind.len(), objects.len());
    let described: Vec<Value> = native.look(|s| {
        let plain = |(key, (_, o)): (&Key, &(Instant, DynamicObject))| {
            let mut value = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": key.0, "metadata": {
                "name": key.2, "labels": o.metadata.labels, "annotations": o.metadata.annotations,
                "ownerReferences": o.metadata.owner_references}});
            if !key.1.is_empty() {
                value["metadata"]["namespace"] = json!(key.1);
            }
            for field in ["rules", "subjects", "roleRef"] {
                if !o.data[field].is_null() {
                    value[field] = o.data[field].clone();
                }
            }
            value
        };
        s.objects.iter().map(plain).collect()
    });
    concurrently(described.iter().map(|o| {
        let (api, name) = (api(admin, o), o["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        async move { api.delete(&name, &DeleteParams::default()).await.map(drop) }
    }))
    .await?;
    let (roles, bindings): (Vec<Value>, Vec<Value>) = described.into_iter().partition(|o| o.get("roleRef").is_none());
    let started = Instant::now();
    apply_all(bare, roles).await?;
    apply_all(bare, bindings).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Every status written once, each with something new in it.
async fn floor_statuses(bare: &Client, own: &Recorder) -> Result<f64, Error> {
    let statuses: Vec<Value> = own.look(|s| {
        let document = |(key, (_, o)): (&Key, &(Instant, DynamicObject))| {
            let mut status = o.data["status"].clone();
            if let Some(condition) = status["conditions"].get_mut(0) {
                condition["message"] = json!("Measured.");
            }
            let mut value = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": key.0, "metadata": {"name": key.2}, "status": status});
            if !key.1.is_empty() {
                value["metadata"]["namespace"] = json!(key.1);
            }
            value
        };
        s.objects.iter().filter(|(_, (_, o))| !o.data["status"].is_null()).map(document).collect()
    });
    let started = Instant::now();
    let params = PatchParams::apply("bailiwick").force();
    concurrently(statuses.iter().map(|o| {
        let (api, name) = (api(bare, o), o["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        let params = params.clone();
        async move { api.patch_status(&name, &params, &Patch::Apply(o)).await.map(drop) }
    }))
    .await?;
    Ok(started.elapsed().as_secs_f64())
}

async fn apply_all(client: &Client, objects: Vec<Value>) -> Result<(), Error> {
    concurrently(objects.into_iter().map(|object| {
        let api = api(client, &object);
        async move {
            let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            let params = PostParams { field_manager: Some("bailiwick".to_owned()), ..PostParams::default() };
            api.create(&params, &object).await.map(drop)
        }
    }))
    .await
}

async fn touch_all(client: &Client, own: &Recorder) -> Result<(), Error> {
    let keys: Vec<Key> = own.look(|s| s.objects.keys().cloned().collect());
    concurrently(keys.into_iter().map(|(kind, namespace, name)| {
        let mut object = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": {}});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let api = api(client, &object);
        let patch = json!({"metadata": {"labels": {"touched": "yes"}}});
        async move { api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop) }
    }))
    .await
}

/// Some at once; the first error ends it.
async fn concurrently<F>(work: impl Iterator<Item = F>) -> Result<(), Error>
where
    F: Future<Output = kube::Result<()>>,
{
    let mut running = futures::stream::iter(work).buffer_unordered(IN_FLIGHT);
    while let Some(result) = running.next().await {
        result?;
    }
    Ok(())
}

/// One write after the other that nobody reacts to, in milliseconds.
async fn bare_writes(client: &Client, count: usize) -> Result<Vec<f64>, Error> {
    let mut times = Vec::new();
    for n in 0..count {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("bare-{n}"), "namespace": "default"}});
        let api = api(client, &map);
        let map: DynamicObject = serde_json::from_value(map)?;
        let started = Instant::now();
        api.create(&PostParams::default(), &map).await?;
        times.push(milliseconds(started, Instant::now()));
    }
    Ok(times)
}

async fn suspend(users: &kube::Api<DynamicObject>, name: &str, suspended: bool) -> Result<(), Error> {
    let patch = json!({"spec": {"suspended": suspended}});
    users.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Waits until every object of ours has a status about its newest generation.
async fn all_told(own: &Recorder) -> Result<(), Error> {
    let told = |o: &DynamicObject| o.data["status"]["observedGeneration"].as_i64() == o.metadata.generation;
    own.until(|s| s.objects.values().all(|(_, o)| told(o)).then_some(())).await.map(drop)
}

fn report(rows: &[Row], figures: &Value, options: &Options) -> Result<(), Error> {
    println!("| what | measured | bar | verdict |\n|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} |",
            row.what,
            row.measured,
            row.bar,
            if row.holds { "holds" } else { "**missed**" }
        );
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{figures:#}\n"))?;
    }
    Ok(())
}

fn row(what: &'static str, measured: String, bar: &str, holds: bool) -> Row {
    Row { what, measured, bar: bar.to_owned(), holds }
}

fn is_write(line: &str) -> bool {
    let verb = ["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|v| line.contains(&format!("verb=\"{v}\"")));
    let other = ["leases", "events", "subjectaccessreviews", "selfsubjectaccessreviews", "serviceaccounts"];
    verb && !other.iter().any(|r| line.contains(&format!("resource=\"{r}\"")))
}

fn is_native_write(line: &str) -> bool {
    is_write(line) && line.contains("group=\"rbac.authorization.k8s.io\"")
}

fn is_read(line: &str) -> bool {
    let verb = ["GET", "LIST"].iter().any(|v| line.contains(&format!("verb=\"{v}\"")));
    verb && !line.contains("resource=\"leases\"") && !line.contains("resource=\"\"")
}

fn milliseconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1000.0
}

fn seconds(from: Instant, to: Option<Instant>) -> f64 {
    to.map_or(Duration::ZERO, |to| to.saturating_duration_since(from)).as_secs_f64()
}

/// The value below which so many per cent are.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn spread(values: &[f64]) -> Value {
    let at = |percent| (percentile(values, percent) * 100.0).round() / 100.0;
    json!({"min": at(0.0), "p50": at(50.0), "p90": at(90.0), "p99": at(99.0), "max": at(100.0), "count": values.len()})
}

fn latency(values: &[f64], write: f64) -> String {
    let (p50, p99) = (percentile(values, 50.0), percentile(values, 99.0));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms ({:.1} and {:.1} bare writes)", p50 / write, p99 / write)
}

fn say(what: &str) {
    eprintln!("bench: {what}");
}
