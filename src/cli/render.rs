//! `bailiwick render`: our objects in, native RBAC out, without a cluster, by the same core as the operator.
//!
//! Only bindings of more than 128 subjects have other names in a cluster, where a secret decides who is in which.

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
use crate::core::rbac::{self, Object};
use crate::core::records;

/// What `render` is asked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Files or directories with manifests; `-` is standard input. YAML and JSON are read as kubectl reads them, lists too.
    /// Objects of other API groups are passed over and named.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Go into the directories of directories.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Fail if an object is passed over: one of another API group, or of a misspelled one.
    #[arg(long)]
    strict: bool,
    /// Values of the chart, as for `helm install --values`. May be given several times.
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// The namespace into which the chart would be installed.
    #[arg(long, value_name = "NAMESPACE", default_value = "bailiwick-system")]
    release_namespace: String,
    /// The time for which to render: bindings that end before it give nothing. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Renders. The native objects go to standard output, what is withheld to standard error.
///
/// # Errors
/// [`Error::Invalid`] with every problem of the input; other errors when files cannot be read.
pub fn run(options: &Options) -> Result<(), Error> {
    let now = options.at.unwrap_or_else(Timestamp::now);
    let values = Values::read(&options.values, &options.release_namespace)?;
    let (documents, problems) = manifests::read(&options.paths, options.recursive)?;
    let Intake { mut cache, seen: given, passed_over, .. } = intake(&values, documents, problems, now, options.strict)?;
    let settled = settle(&mut cache, now);
    // What the chart's own roles withhold is nothing that the author of these manifests could mend.
    let theirs = |target: &ApiRef| {
        given.contains_key(&(target.kind.to_string(), target.namespace.to_string(), target.name.to_string()))
    };
    report(&passed_over);
    for draft in settled.statuses.iter().filter(|draft| theirs(&draft.target)) {
        warn(draft);
    }
    print(&settled)
}

/// What the API server would refuse, and so does `render`.
#[must_use]
pub fn check(documents: Vec<Document>) -> Vec<Problem> {
    let mut intake = Intake::default();
    documents.into_iter().for_each(|document| intake.check(document, false));
    intake.problems
}

/// Builds the world that the manifests and values describe.
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
    Ok(intake)
}

/// The objects of the manifests, by kind, namespace and name, and the file in which each stands.
type Given = BTreeMap<(String, String, String), String>;

#[derive(Default)]
struct Intake {
    schemas: Schemas,
    cache: Cache,
    problems: Vec<Problem>,
    seen: Given,
    /// Objects of other API groups, for a person to read.
    passed_over: Vec<String>,
    now: Timestamp,
}

impl Intake {
    fn check(&mut self, mut document: Document, strict: bool) {
        let version = document.text(&["apiVersion"]);
        let kind = document.text(&["kind"]).to_owned();
        if version.is_empty() || kind.is_empty() {
            self.problems.push(document.problem("", "is no Kubernetes object: it has no apiVersion and kind"));
            return;
        }
        if version.split_once('/').is_none_or(|(group, _)| group != GROUP) {
            if strict {
                let message = format!("{version:?} is not {GROUP}/{VERSION}, and --strict passes over nothing");
                self.problems.push(document.problem("apiVersion", message));
            }
            let name = [document.text(&["metadata", "namespace"]), document.text(&["metadata", "name"])].join("/");
            self.passed_over.push(format!("{kind} {} ({version})", name.trim_start_matches('/')));
            return;
        }
        if version != format!("{GROUP}/{VERSION}") {
            let message = format!("{version:?} is not known; it is {GROUP}/{VERSION}");
            self.problems.push(document.problem("apiVersion", message));
            return;
        }
        let Some(findings) = self.schemas.check(&kind, &mut document.value) else {
            let kinds: Vec<&str> = self.schemas.kinds().collect();
            let message = format!("{kind:?} is not known; the kinds are {}", kinds.join(", "));
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
            self.problems.push(document.problem("metadata.name", format!("{kind} of this name stands in {other} too")));
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
            // What was dumped from a cluster has the chart's own roles, too.
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
        // The schemas know no other kinds.
        let Some(kind) = ApiKind::named(kind) else { return Ok(()) };
        let cache = &mut self.cache;
        // Files come in the order in which kubectl would apply them: that is who is first.
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

/// How many objects that were passed over are named.
const NAMED: usize = 10;

fn report(passed_over: &[String]) {
    if passed_over.is_empty() {
        return;
    }
    let named = passed_over.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if passed_over.len() > NAMED { ", …" } else { "" };
    eprintln!("passed over: {}: {named}{more}", passed_over.len());
}

fn warn(draft: &StatusDraft) {
    let ready = draft.ready().is_none_or(|f| f.good);
    for finding in &draft.findings {
        use crate::api::conditions::ConditionType as C;
        // `Ready` repeats what another condition says, unless it is the only one; not to be the default is no warning.
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

/// Without a cluster there are no UIDs, so no owners. The annotation says where the object comes from.
fn unowned<K>(mut object: K, metadata: fn(&mut K) -> &mut ObjectMeta) -> K {
    metadata(&mut object).owner_references = None;
    object
}
