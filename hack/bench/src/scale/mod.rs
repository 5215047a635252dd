//! Measures how fast and small the operator is at given sizes of the site, beside the floor that a bare client with the
//! same credentials reaches in the same run.

mod bars;
mod changes;
mod figures;
pub mod floor;
mod pictures;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use self::changes::Changes;
use self::figures::{Converge, Figures, Program, Report, Restart};
use crate::error::Error;
use crate::recorder::{Key, Recorder};
use crate::site::{Site, api, ours};
use crate::world::{self, Size};

/// Above this many Users, the site follows the advice in docs/scaling.md, so that the API server does not go through
/// all Users at each write of a person.
const MANY_USERS: usize = 5_000;

/// Options of the measurement.
#[derive(clap::Args)]
pub struct Options {
    /// Organizations, each with ten users and twenty role bindings; several sizes are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "10,100")]
    organizations: Vec<usize>,
    /// How often each size is measured, smallest first; the last number holds for all larger sizes
    #[arg(long, value_delimiter = ',', default_value = "1")]
    runs: Vec<usize>,
    /// The same seed gives the same world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The operator's binary
    #[arg(long, default_value = "target/release/bailiwick")]
    operator: PathBuf,
    /// The chart
    #[arg(long, default_value = "charts/bailiwick")]
    chart: String,
    /// The JSON file for the figures
    #[arg(long)]
    json: Option<PathBuf>,
    /// The directory for the pictures
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// After everything has converged, keep running until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// The number of changes for each latency
    #[arg(long, default_value_t = 100)]
    changes: usize,
}

/// Measures, prints a table, and writes JSON and pictures.
///
/// # Errors
/// When the control plane, helm, the operator or a request fails.
pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut report = Report { program: program(&options.operator)?, runs: Vec::new() };
    let mut sizes = options.organizations.clone();
    sizes.sort_unstable();
    let mut runs = 1;
    for (n, organizations) in sizes.into_iter().enumerate() {
        let size = Size { organizations, seed: options.seed };
        runs = options.runs.get(n).copied().unwrap_or(runs);
        for _ in 0..runs {
            report.runs.push(runtime.block_on(measure(size, options))?);
            // After each size, in case the run is interrupted.
            if let Some(path) = &options.json {
                std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
                std::fs::remove_file(path.with_extension("part.json"))?;
            }
        }
    }
    bars::print(&report);
    options.pictures.as_deref().map_or(Ok(()), |directory| pictures::draw(&report, directory))
}

async fn measure(size: Size, options: &Options) -> Result<Figures, Error> {
    let whitelist: Vec<String> = (0..size.organizations).map(world::namespace).collect();
    let immediate = size.users() <= MANY_USERS;
    let values = json!({"namespaceWhitelist": whitelist, "replicas": 0, "defaultOrganization": {"create": false},
        "admissionPolicies": {"suspendedUsers": {"immediate": immediate}}});
    say(&format!("{} organizations: starting a control plane, and installing the chart", size.organizations));
    let site = Site::start(&options.chart, &values).await?;
    say("applying the world");
    floor::create(&site.admin, world::generate(size), 64).await?;
    let (native, own) = (Recorder::of_native(&site.admin), Recorder::of_ours(&site.admin));
    let mut figures = Figures {
        organizations: size.organizations,
        users: size.users(),
        bindings: size.bindings(),
        ..Figures::default()
    };

    say("converging from nothing");
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    all_told(&own).await?;
    let (resident_mib, peak_mib) = operator.memory();
    figures.converge = Converge {
        native: native.look(|s| s.objects.len()),
        seconds: seconds(operator.started, native.look(|s| s.last)),
        statuses: own.look(|s| s.objects.len()),
        ready_seconds: seconds(operator.started, own.look(|s| s.last)),
        course: native.look(|s| s.course(operator.started)),
        cpu_seconds: operator.cpu(),
        resident_mib,
        peak_mib,
    };

    keep(options, &figures)?;
    if options.stay {
        say(&format!("KUBECONFIG={}", site.admin_kubeconfig().display()));
        tokio::signal::ctrl_c().await?;
        return Ok(figures);
    }

    say("changing things one at a time");
    let changes = Changes { site: &site, native: &native, own: &own, size, count: options.changes };
    figures.bare_write_ms = changes.bare_writes().await?;
    changes.grants(&mut figures).await?;
    figures.suspended_ms = changes.suspensions().await?;
    figures.everywhere = changes.everywhere().await?;
    figures.repaired_ms = changes.repairs().await?;

    keep(options, &figures)?;
    say("touching every object");
    operator.idle().await?;
    let before = site.requests(is_native_write).await?;
    touch_all(&site, &own).await?;
    operator.idle().await?;
    figures.touch_writes = site.requests(is_native_write).await? - before;

    say("restarting");
    drop(operator);
    figures.restart = restart(&site, options).await?;

    keep(options, &figures)?;
    say("suspending while every binding is projected again");
    changes.prepare_load().await?;
    let operator = site.operator(&options.operator)?;
    figures.suspended_under_load_ms = changes.suspensions_under_load(&operator).await?;
    all_told(&own).await?;
    drop(operator);

    keep(options, &figures)?;
    say("the floor: a bare client with the same credentials");
    let bare = site.as_operator().await?;
    figures.bare_suspension_ms = changes.bare_suspensions(&bare).await?;
    figures.unchecked_suspension_ms = changes.bare_suspensions(&site.admin).await?;
    figures.everywhere.bare_seconds = floor::without(&bare, &native, world::EVERYWHERE).await?;
    figures.bare_repair_ms = changes.bare_repairs(&bare).await?;
    figures.floor = floor::measure(&site, &native, &own).await?;
    Ok(figures)
}

async fn restart(site: &Site, options: &Options) -> Result<Restart, Error> {
    let (writes, watches, log) = (site.requests(is_write).await?, site.watches().await?, site.audited()?.len());
    let operator = site.operator(&options.operator)?;
    operator.idle().await?;
    let seconds = operator.started.elapsed().as_secs_f64();
    let writes = site.requests(is_write).await? - writes;
    // A running replica reads the Lease all the time.
    let read = |event: &&Value| {
        matches!(event["verb"].as_str(), Some("get" | "list")) && event["objectRef"]["resource"] != "leases"
    };
    let reads = site.audited()?[log..].iter().filter(read).count() as u64;
    // A streamed list is a watch. Some are of single objects: configuration, ceilings, the list of suspended users.
    let watches = site.watches().await?.saturating_sub(watches);
    let (resident_mib, peak_mib) = operator.memory();
    drop(operator);

    let bare = site.as_operator().await?;
    let started = Instant::now();
    for kind in crate::recorder::OURS {
        ours(&bare, kind).list(&Default::default()).await?;
    }
    for kind in crate::recorder::NATIVE {
        api(&bare, &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind}))
            .list(&Default::default())
            .await?;
    }
    let list_seconds = started.elapsed().as_secs_f64();
    Ok(Restart { seconds, list_seconds, writes, reads, watches, resident_mib, peak_mib })
}

async fn touch_all(site: &Site, own: &Recorder) -> Result<(), Error> {
    let keys: Vec<Key> = own.look(|s| s.objects.keys().cloned().collect());
    floor::concurrently(64, &keys, async |(kind, namespace, name)| {
        let mut object = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": {}});
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let patch = json!({"metadata": {"labels": {"touched": "yes"}}});
        let api = api(&site.admin, &object);
        api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    })
    .await
}

/// Saves the figures of a size so far: the largest takes long, and may be interrupted.
fn keep(options: &Options, figures: &Figures) -> Result<(), Error> {
    if let Some(path) = &options.json {
        std::fs::write(path.with_extension("part.json"), serde_json::to_string_pretty(figures)? + "\n")?;
    }
    Ok(())
}

/// Waits until every object of ours has a status about its newest generation.
async fn all_told(own: &Recorder) -> Result<(), Error> {
    own.until(|s| s.all_told().then_some(())).await.map(drop)
}

/// The size of the program, and how fast it prints its help.
fn program(path: &Path) -> Result<Program, Error> {
    let bytes = std::fs::metadata(path)?.len();
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        Command::new(path).arg("--help").stdout(Stdio::null()).status()?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    let start_ms = times.into();
    // The program header that names a loader, which a static program lacks.
    let loader = std::fs::read(path)?.windows(9).any(|window| window == b"ld-linux-");
    Ok(Program { mib: bytes as f64 / 1048576.0, linked_statically: !loader, start_ms })
}

fn is_write(line: &str) -> bool {
    let verb = ["POST", "PUT", "PATCH", "APPLY", "DELETE"].iter().any(|v| line.contains(&format!("verb=\"{v}\"")));
    let other = ["leases", "events", "subjectaccessreviews", "selfsubjectaccessreviews", "serviceaccounts"];
    verb && !other.iter().any(|r| line.contains(&format!("resource=\"{r}\"")))
}

fn is_native_write(line: &str) -> bool {
    is_write(line) && line.contains("group=\"rbac.authorization.k8s.io\"")
}

fn seconds(from: Instant, to: Option<Instant>) -> f64 {
    to.map_or(Duration::ZERO, |to| to.saturating_duration_since(from)).as_secs_f64()
}

fn say(what: &str) {
    eprintln!("bench: {what}");
}
