//! The vocabulary of the stories: given objects, events, and observations.

use std::collections::BTreeSet;

use bailiwick::api::ApiKind;
use bailiwick::core::object_ref::NativeRef;
use bailiwick::core::plan::Write;
use bailiwick::core::rbac::{Observed, RbacSpec};
use bailiwick::operator::writer::Outcome;
use serde_json::Value;

use super::Story;
use crate::build::objects;
use crate::fake::answers::{Claims, failed};
use crate::fake::{Kind, Op, slot};

/// Ada holds the role `reader` in the namespace n0 of the organization acme. There is another role, `viewer`.
pub const ACME: &str = "
{kind: Organization, metadata: {name: acme}, spec: {namespace: n0}}
---
{kind: User, metadata: {name: ada}, spec: {username: ada}}
---
{kind: SiteRole, metadata: {name: reader}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}}
---
{kind: SiteRole, metadata: {name: viewer}, spec: {privileged: false, assignableTo: [Organization], rules: [{apiGroups: [''], resources: [pods], verbs: [list]}]}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}]}}
";
pub const BOB: &str = "{kind: User, metadata: {name: bob}, spec: {username: bob}}";
pub const ADA_SUSPENDED: &str = "{kind: User, metadata: {name: ada}, spec: {username: ada, suspended: true}}";

pub fn organization(name: &str, namespace: &str) -> String {
    format!("{{kind: Organization, metadata: {{name: {name}}}, spec: {{namespace: {namespace}}}}}")
}

/// A RoleBinding of a SiteRole to these subjects, each as `User ada`.
pub fn binding<S: AsRef<str>>(namespace: &str, name: &str, role: &str, subjects: &[S]) -> String {
    let subject = |subject: &S| {
        let (kind, name) = subject.as_ref().split_once(' ').unwrap();
        format!("{{kind: {kind}, name: {name}}}")
    };
    let subjects: Vec<String> = subjects.iter().map(subject).collect();
    format!(
        "{{kind: RoleBinding, metadata: {{name: {name}, namespace: {namespace}}}, \
         spec: {{roleRef: {{kind: SiteRole, name: {role}}}, subjects: [{}]}}}}",
        subjects.join(", ")
    )
}

/// Both hold the role `viewer` through the binding `both`.
pub fn ada_and_bob() -> String {
    binding("n0", "both", "viewer", &["User ada", "User bob"])
}

pub fn creations_fail(write: &Write) -> Option<Outcome> {
    matches!(write, Write::Create { .. }).then(failed)
}

pub fn updates_fail(write: &Write) -> Option<Outcome> {
    matches!(write, Write::Apply { .. }).then(failed)
}

pub fn revocations_fail(write: &Write) -> Option<Outcome> {
    write.revokes().then(failed)
}

/// A cluster with these objects, in which everything has converged.
pub fn given(manifests: &[&str]) -> Story {
    let mut story = Story::new();
    manifests.iter().for_each(|yaml| story.apply(yaml));
    story.converge();
    story
}

/// Events.
impl Story {
    pub fn apply(&mut self, yaml: &str) {
        for object in objects(yaml) {
            self.server.act(&Op::Put(Box::new(object)));
        }
    }

    pub fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.server.act(&Op::Delete(slot(kind, namespace, name)));
    }

    /// Deletes the first of these objects and recreates it at once.
    pub fn recreate(&mut self, yaml: &str) {
        self.server.act(&Op::Replace(Box::new(objects(yaml).remove(0))));
    }

    /// Lets everything settle, and asserts that it has converged.
    pub fn converge(&mut self) {
        self.settle();
        self.assert_converged();
    }

    /// The API server works again.
    pub fn recover(&mut self) {
        self.server.fault = |_| None;
        self.server.claims = Claims::Records;
        self.converge();
    }

    /// Loses and regains leadership.
    pub fn lead_again(&mut self) {
        self.engine.lead(false);
        self.work();
        self.engine.lead(true);
        self.work();
    }

    /// Somebody edits the status of an object.
    pub fn edit_status(&mut self, kind: Kind, namespace: &str, name: &str) {
        let slot = slot(kind, namespace, name);
        let mut status = self.status(kind, namespace, name);
        status["conditions"][0]["message"] = "All is well.".into();
        let uid = self.server.store.objects[&slot].uid();
        let events = self.server.store.write_status(&slot, &uid, &status);
        assert_ne!(events.len(), 0);
        self.server.show(events);
    }
}

/// Observations.
impl Story {
    pub fn status(&self, kind: Kind, namespace: &str, name: &str) -> Value {
        self.server.store.objects[&slot(kind, namespace, name)].status().expect("it has no status")
    }

    /// The condition of an Organization about its namespace: reason and message.
    pub fn assignment(&self, organization: &str) -> String {
        let status = self.status(Kind::Organization, "", organization);
        let conditions = status["conditions"].as_array().unwrap();
        let assigned = conditions.iter().find(|c| c["type"] == "NamespaceAssigned").unwrap();
        format!("{} {}", assigned["reason"].as_str().unwrap(), assigned["message"].as_str().unwrap())
    }

    /// The native objects that come from RoleBindings.
    pub fn grants(&self) -> Vec<NativeRef> {
        let by_binding = |o: &Observed| o.source().is_some_and(|source| source.kind == ApiKind::RoleBinding);
        let present = self.server.rbac.present.iter();
        present.filter(|(_, o)| by_binding(o)).map(|(key, _)| key.clone()).collect()
    }

    /// The subjects bound because of this object.
    pub fn bound_by(&self, kind: &str, name: &str) -> BTreeSet<String> {
        let of_it =
            |o: &&Observed| o.source().is_some_and(|source| source.kind.as_str() == kind && *source.name == *name);
        let present = self.server.rbac.present.values().map(|o| &**o);
        let subjects = present.filter(of_it).filter_map(|o| match &o.content {
            Some(RbacSpec::Binding { subjects, .. }) => Some(subjects.iter().map(|s| format!("{s:?}"))),
            _ => None,
        });
        subjects.flatten().collect()
    }
}
