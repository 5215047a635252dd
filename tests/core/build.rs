//! Builds small sites from YAML and answers questions about them, so that test tables read as sentences.

use bailiwick::core::Name;
use bailiwick::core::conditions::{Finding, Status, StatusDraft};
use bailiwick::core::rbac::Subject;
use bailiwick::core::rules::Atom;
use serde::Deserialize;

use crate::access::Access;
use crate::fake::{Kind, Object, Op, namespace, slot, slot_of};
use crate::shell::Shell;

/// Parses manifests as a user would apply them.
pub fn objects(yaml: &str) -> Vec<Object> {
    let documents = serde_yaml::Deserializer::from_str(yaml);
    let mut objects = Vec::new();
    for document in documents {
        let mut value = serde_yaml::Value::deserialize(document).unwrap();
        if value.is_null() {
            continue;
        }
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        value["apiVersion"] = "bailiwick.dev/v1alpha1".into();
        if value.get("spec").is_none() {
            value["spec"] = serde_yaml::Value::Mapping(Default::default());
        }
        macro_rules! object {
            ($kind:ident) => {
                Object::$kind(serde_yaml::from_value(value).unwrap())
            };
        }
        objects.push(match kind.as_str() {
            "Organization" => object!(Organization),
            "User" => object!(User),
            "Group" => object!(Group),
            "RoleBinding" => object!(RoleBinding),
            "CustomRole" => object!(CustomRole),
            "SiteRole" => object!(SiteRole),
            "SiteRoleBinding" => object!(SiteRoleBinding),
            "Namespace" => namespace(value["metadata"]["name"].as_str().unwrap()),
            other => panic!("no such kind: {other:?}"),
        });
    }
    objects
}

/// A settled cluster with these objects, each two seconds younger than the one before.
pub fn given(yaml: &str) -> Shell {
    let mut shell = Shell::new();
    shell.apply(yaml);
    shell
}

impl Shell {
    /// Applies manifests one after the other and lets everything settle after each.
    pub fn apply(&mut self, yaml: &str) {
        for object in objects(yaml) {
            self.act(&Op::Wait(2));
            self.play(&[Op::Put(Box::new(object))]);
        }
        self.check();
    }

    pub fn delete(&mut self, kind: Kind, ns: &str, name: &str) {
        assert!(self.store.objects.contains_key(&slot(kind, ns, name)), "nothing to delete: {name}");
        self.play(&[Op::Delete(slot(kind, ns, name))]);
        self.check();
    }

    /// Whether somebody may do something in a namespace (or on the cluster: ""): `get apps/deployments`,
    /// `get configmaps:one`, `get /healthz`.
    pub fn can(&self, who: &str, place: &str, what: &str) -> bool {
        let (verb, resource) = what.split_once(' ').unwrap();
        let atom = if resource.starts_with('/') {
            Atom::Path { path: resource.into(), verb: verb.into() }
        } else {
            let (resource, name) = resource.split_once(':').map_or((resource, None), |(r, n)| (r, Some(n)));
            let (group, resource) = match resource.split_once('/') {
                Some(("pods", _)) | None => ("", resource),
                Some(both) => both,
            };
            Atom::Resource {
                group: group.into(),
                resource: resource.into(),
                name: name.map(Name::from),
                verb: verb.into(),
            }
        };
        let grantee = match who.split_once(':') {
            Some(("group", name)) => Subject::Group(name.into()),
            Some(("sa", name)) => {
                let (namespace, name) = name.split_once('/').unwrap();
                Subject::ServiceAccount { namespace: namespace.into(), name: name.into() }
            }
            _ => Subject::User(who.into()),
        };
        Access::desired(&self.all.desired()).has(&(place.into(), grantee, atom))
    }

    pub fn draft(&self, kind: Kind, name: &str) -> &StatusDraft {
        let found = self.all.statuses().find(|d| {
            let (k, _, n) = slot_of(&d.target);
            k == kind && n == name
        });
        found.unwrap_or_else(|| panic!("no status of {kind:?} {name}"))
    }

    pub fn condition(&self, kind: Kind, name: &str, condition: &str) -> &Finding {
        let draft = self.draft(kind, name);
        draft
            .findings
            .iter()
            .find(|f| f.kind.as_str() == condition)
            .unwrap_or_else(|| panic!("no {condition}: {draft:?}"))
    }

    /// A condition as `True Reason`, `False Reason` or `Unknown Reason`.
    pub fn says(&self, kind: Kind, name: &str, condition: &str) -> String {
        let finding = self.condition(kind, name, condition);
        format!("{} {}", finding.status(), finding.reason)
    }

    /// The organization that is the default one by status, if exactly one is.
    pub fn defaults(&self) -> Vec<String> {
        let is = |draft: &&StatusDraft| matches!(&draft.status, Status::Organization(s) if s.default);
        self.all.organizations.values().filter(is).map(|d| d.target.name.to_string()).collect()
    }

    /// The namespace that an organization holds.
    pub fn holds(&self, organization: &str) -> Option<String> {
        match &self.draft(Kind::Organization, organization).status {
            Status::Organization(s) => s.namespace.clone(),
            other => panic!("{other:?}"),
        }
    }
}
