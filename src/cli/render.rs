//! `bailiwick render`: turns our objects into native RBAC without a cluster, with the same core as the operator.
//!
//! Only bindings of more than 128 subjects have other names in a cluster, where a secret seed decides how subjects are
//! split.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;
use super::manifests::{self, Document, Problem};
use super::schema::Schemas;
use super::values::{SITE_ROLES, Values};
use crate::api::{self, ApiKind, GROUP, VERSION};
use crate::core::cache::Cache;
use crate::core::conditions::StatusDraft;
use crate::core::fixpoint::{Settled, settle};
use crate::core::object_ref::ApiRef;
use crate::core::policies::Report;
use crate::core::rbac::{self, Object};
use crate::core::records;

/// Options of `render`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Files or directories with manifests; `-` is standard input. Reads YAML and JSON as kubectl does, including
    /// lists. Skips objects of other API groups and lists them.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Read subdirectories too.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Fail on objects of other API groups, which may be misspelled, instead of skipping them.
    #[arg(long)]
    strict: bool,
    /// Values of the chart, as for `helm install --values`. May be given several times.
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// The namespace in which the chart would be installed.
    #[arg(long, value_name = "NAMESPACE", default_value = "bailiwick-system")]
    release_namespace: String,
    /// The time for which to render: bindings that expire before it grant nothing. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Renders. Native objects go to standard output, withheld requests to standard error.
///
/// # Errors
/// [`Error::Invalid`] with every problem of the input; other errors when files cannot be read.
pub fn run(options: &Options) -> Result<(), Error> {
    let now = options.at.unwrap_or_else(Timestamp::now);
    let values = Values::read(&options.values, &options.release_namespace)?;
    let (documents, problems) = manifests::read(&options.paths, options.recursive)?;
    let Intake { mut cache, seen: given, passed_over, .. } = intake(&values, documents, problems, now, options.strict)?;
    let settled = settle(&mut cache, now);
    // The author of these manifests cannot fix anything that the chart's own roles withhold.
    let theirs = |target: &ApiRef| {
        given.contains_key(&(target.kind.to_string(), target.namespace.to_string(), target.name.to_string()))
    };
    report(&passed_over);
    for draft in settled.statuses.iter().filter(|draft| theirs(&draft.target)) {
        warn(draft);
    }
    print(&settled)
}

/// The problems for which `render`, like the API server, refuses documents.
#[must_use]
pub fn check(documents: Vec<Document>) -> Vec<Problem> {
    let mut intake = Intake::default();
    documents.into_iter().for_each(|document| intake.check(document, false));
    intake.problems
}

/// Builds the cache from the manifests and values.
fn intake(
    values: &Values,
    documents: Vec<Document>,
    problems: Vec<Problem>,
    now: Timestamp,
    strict: bool,
) -> Result<Intake, Error> {
    let mut intake = Intake { problems, now, ..Intake::default() };
    for document in documents {
        intake.check(document, strict);
    }
    // The chart's own objects, unless the manifests have others of the same name.
    for document in serde_yaml::Deserializer::from_str(SITE_ROLES) {
        let role: Value = serde::Deserialize::deserialize(document)?;
        intake.built_in(&role)?;
    }
    if let Some(organization) = &values.default_organization {
        intake.built_in(organization)?;
    }
    if !intake.problems.is_empty() {
        intake.problems.sort();
        return Err(Error::Invalid(intake.problems));
    }
    let cache = &mut intake.cache;
    cache.ceilings = values.ceilings()?;
    for name in values.bounds.namespace_whitelist.iter().chain([&values.bounds.release_namespace]) {
        let metadata = ObjectMeta { name: Some(name.clone()), uid: Some(name.clone()), ..ObjectMeta::default() };
        cache.namespace(&name.as_str().into(), Some((&metadata).into()), None);
    }
    cache.set_settings(values.settings.clone());
    cache.set_bounds(values.bounds.clone());
    cache.set_policies(Some(Report { faults: Vec::new(), ownership: values.ownership.clone() }));
    Ok(intake)
}

/// The objects of the manifests, by kind, namespace and name, and the file of each.
type Given = BTreeMap<(String, String, String), String>;

#[derive(Default)]
struct Intake {
    schemas: Schemas,
    cache: Cache,
    problems: Vec<Problem>,
    seen: Given,
    /// Objects of other API groups, for the report.
    passed_over: Vec<String>,
    now: Timestamp,
}

impl Intake {
    fn check(&mut self, mut document: Document, strict: bool) {
        let version = document.text(&["apiVersion"]);
        let kind = document.text(&["kind"]).to_owned();
        if version.is_empty() || kind.is_empty() {
            self.problems.push(document.problem("", "is not a Kubernetes object: apiVersion or kind is missing"));
            return;
        }
        if version.split_once('/').is_none_or(|(group, _)| group != GROUP) {
            if strict {
                let message = format!("{version:?} is not {GROUP}/{VERSION}, and --strict accepts no other objects");
                self.problems.push(document.problem("apiVersion", message));
            }
            let name = [document.text(&["metadata", "namespace"]), document.text(&["metadata", "name"])].join("/");
            self.passed_over.push(format!("{kind} {} ({version})", name.trim_start_matches('/')));
            return;
        }
        if version != format!("{GROUP}/{VERSION}") {
            let message = format!("{version:?} is unknown; use {GROUP}/{VERSION}");
            self.problems.push(document.problem("apiVersion", message));
            return;
        }
        let Some(findings) = self.schemas.check(&kind, &mut document.value) else {
            let kinds: Vec<&str> = self.schemas.kinds().collect();
            let message = format!("{kind:?} is unknown; the kinds are {}", kinds.join(", "));
            self.problems.push(document.problem("kind", message));
            return;
        };
        if !findings.is_empty() {
            self.problems.extend(findings.into_iter().map(|(field, message)| document.problem(&field, message)));
            return;
        }
        let id = (
            kind.clone(),
            document.text(&["metadata", "namespace"]).to_owned(),
            document.text(&["metadata", "name"]).to_owned(),
        );
        if let Some(other) = self.seen.insert(id, document.file.display().to_string()) {
            self.problems.push(document.problem("metadata.name", format!("{other} already has a {kind} of this name")));
            return;
        }
        if let Err(error) = self.take(&kind, &document.value) {
            self.problems.push(document.problem("", error.to_string()));
        }
    }

    fn built_in(&mut self, value: &Value) -> Result<(), Error> {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, id) = (text("/kind"), (text("/kind"), String::new(), text("/metadata/name")));
        if self.seen.contains_key(&id) {
            // A dump of a cluster contains the chart's own roles too.
            let record =
                (kind == "SiteRole").then(|| read::<api::SiteRole>(value, None)).transpose().map_err(Error::Json)?;
            let record = record.as_ref().map(records::Role::from);
            if record.as_ref().is_some_and(|record| self.cache.site_roles.get(&record.meta.name) == Some(record)) {
                self.seen.remove(&id);
            }
            return Ok(());
        }
        self.take(&kind, value).map_err(Error::Json)
    }

    fn take(&mut self, kind: &str, value: &Value) -> Result<(), serde_json::Error> {
        // The schemas accept no other kinds.
        let Some(kind) = ApiKind::named(kind) else { return Ok(()) };
        let cache = &mut self.cache;
        // Files come in kubectl's order, which determines which object is older.
        let count = cache.organizations.len() + cache.users.len() + cache.site_bindings.len();
        let age = SignedDuration::from_secs(1_000_000 - i64::try_from(count).unwrap_or(0));
        let created = self.now.checked_sub(age).ok();
        match kind {
            ApiKind::Organization => {
                let record = records::Organization::from(&read::<api::Organization>(value, created)?);
                cache.organization(&record.meta.name.clone(), Some(record), None);
            }
            ApiKind::User => {
                let record = records::User::from(&read::<api::User>(value, created)?);
                cache.user(&record.meta.name.clone(), Some(record), None);
            }
            ApiKind::SiteRoleBinding => {
                let record = records::Binding::from(&read::<api::SiteRoleBinding>(value, created)?);
                cache.site_binding(&record.meta.name.clone(), Some(record), None);
            }
            ApiKind::SiteRole => {
                let record = records::Role::from(&read::<api::SiteRole>(value, None)?);
                cache.site_role(&record.meta.name.clone(), Some(record), None);
            }
            ApiKind::Group => {
                let record = records::Group::from(&read::<api::Group>(value, None)?);
                cache.group(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
            }
            ApiKind::CustomRole => {
                let record = records::Role::from(&read::<api::CustomRole>(value, None)?);
                cache.custom_role(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
            }
            ApiKind::RoleBinding => {
                let record = records::Binding::from(&read::<api::RoleBinding>(value, None)?);
                cache.binding(&record.meta.namespace.clone(), &record.meta.name.clone(), Some(record), None);
            }
        }
        Ok(())
    }
}

/// Reads an object as the API server would show it: with a UID, and no status.
fn read<K>(value: &Value, created: Option<Timestamp>) -> Result<K, serde_json::Error>
where
    K: kube::Resource<DynamicType = ()> + DeserializeOwned,
{
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    let mut object: K = serde_json::from_value(value)?;
    let kind = K::kind(&()).into_owned();
    let metadata = object.meta_mut();
    let name = metadata.name.clone().unwrap_or_default();
    metadata.uid = Some(format!("{kind}/{}/{name}", metadata.namespace.as_deref().unwrap_or_default()));
    metadata.resource_version = Some("1".to_owned());
    metadata.generation = Some(1);
    metadata.creation_timestamp = created.map(Time);
    metadata.managed_fields = None;
    Ok(object)
}

/// The most skipped objects to name.
const NAMED: usize = 10;

fn report(passed_over: &[String]) {
    if passed_over.is_empty() {
        return;
    }
    let named = passed_over.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if passed_over.len() > NAMED { ", …" } else { "" };
    eprintln!("skipped: {}: {named}{more}", passed_over.len());
}

fn warn(draft: &StatusDraft) {
    let ready = draft.ready().is_none_or(|f| f.good);
    for finding in &draft.findings {
        use crate::api::conditions::ConditionType as C;
        // `Ready` repeats another condition, unless it is the only one. Not being the default needs no warning.
        let repeats = finding.kind == C::Ready && draft.findings.len() > 1;
        let neutral = finding.kind == C::Default && finding.reason != crate::api::conditions::Reason::AlreadyTaken;
        let legal = finding.kind == C::NamespaceAssigned && ready;
        if finding.status() == "False" && !repeats && !neutral && !legal {
            eprintln!("warning: {}: {} ({}): {}", draft.target.path(), finding.kind, finding.reason, finding.message);
        }
    }
}

fn print(settled: &Settled) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    for (key, native) in &settled.desired {
        let text = match rbac::to_object(key, native, None) {
            Object::Role(o) => serde_yaml::to_string(&unowned(o, |o| &mut o.metadata))?,
            Object::RoleBinding(o) => serde_yaml::to_string(&unowned(o, |o| &mut o.metadata))?,
            Object::ClusterRole(o) => serde_yaml::to_string(&unowned(o, |o| &mut o.metadata))?,
            Object::ClusterRoleBinding(o) => serde_yaml::to_string(&unowned(o, |o| &mut o.metadata))?,
        };
        writeln!(out, "---\n{}", text.trim_end())?;
    }
    Ok(())
}

/// Without a cluster there are no UIDs, and so no owners. The annotation names the source.
fn unowned<K>(mut object: K, metadata: fn(&mut K) -> &mut ObjectMeta) -> K {
    metadata(&mut object).owner_references = None;
    object
}
