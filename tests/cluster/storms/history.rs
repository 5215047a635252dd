//! Random histories: everything changes, in any order, during a storm of all faults, while the operator dies now and
//! then. The final state is core's decision for the objects, and nobody has access that they should not have.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{behind_a_proxy, faults};
use crate::support::manifests::{custom_role, group, organization, site_role};
use crate::support::{Cluster, Fault, Random, Storm};

const CHANGES: u64 = 320;
const NAMESPACES: [&str; 3] = ["alpha", "beta", "gamma"];
/// The last one has no User.
const PEOPLE: [&str; 9] = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "stranger"];
const SITE_ROLES: [&str; 4] = ["s0", "s1", "organization-manager", "site-manager"];

fn mixed() -> Storm {
    Storm::default()
        .with(Fault::TooManyRequests, 0.05)
        .with(Fault::ServerError, 0.08)
        .with(Fault::Conflict, 0.08)
        .with(Fault::Slow, 0.1)
        .with(Fault::LostAnswer, 0.1)
        .with(Fault::DroppedWatch, 0.02)
        .with(Fault::ExpiredWatch, 0.02)
}

struct History {
    cluster: Cluster,
    before: BTreeSet<String>,
    random: Random,
    /// Nothing expires by itself after this.
    last_end: Timestamp,
    /// Changes that the API server refused, for example because the object to delete was missing.
    refused: u64,
}

impl History {
    fn some<'a>(&mut self, things: &[&'a str], most: u64) -> Vec<&'a str> {
        (0..=self.random.below(most)).map(|_| *self.random.one_of(things)).collect()
    }

    fn name(&mut self, prefix: &str, n: u64) -> String {
        format!("{prefix}{}", self.random.below(n))
    }

    /// An end, soon or past, or none.
    fn end(&mut self) -> String {
        let seconds = match self.random.below(10) {
            0 => -60,
            1..=3 => 1 + i64::try_from(self.random.below(15)).unwrap(),
            _ => return String::new(),
        };
        let end = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self.last_end = self.last_end.max(end);
        format!("expiresAt: {:?}, ", end.round(jiff::Unit::Second).unwrap().to_string())
    }

    fn change(&mut self) {
        let namespace = *self.random.one_of(&NAMESPACES);
        let deletes = self.random.happens(0.15);
        let result = match self.random.below(20) {
            0..=3 => self.user(deletes),
            4..=5 => self.group(namespace, deletes),
            6..=8 => self.custom_role(namespace, deletes),
            9..=12 => self.binding(namespace, deletes),
            13 => self.site_role(deletes),
            14..=15 => self.site_binding(deletes),
            16 => self.organization(namespace),
            _ => self.tamper(),
        };
        self.refused += u64::from(result.is_err());
    }

    fn user(&mut self, deletes: bool) -> kube::Result<()> {
        let name = *self.random.one_of(&PEOPLE[..8]);
        let suspended = self.random.happens(0.3);
        if deletes {
            return self.cluster.remove("User", "", name);
        }
        self.cluster.put(&format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {{name: {name}}}, \
             spec: {{username: {name}@example.com, suspended: {suspended}}}}}"
        ))
    }

    fn group(&mut self, namespace: &str, deletes: bool) -> kube::Result<()> {
        let name = self.name("g", 3);
        let members = self.some(&PEOPLE, 5);
        if deletes {
            return self.cluster.remove("Group", namespace, &name);
        }
        let manifest = group(namespace, &name, &members);
        let implies = format!("{{impliesMembership: {}, members:", self.random.happens(0.5));
        self.cluster.put(&manifest.replace("{members:", &implies))
    }

    fn permissions(&mut self) -> String {
        let resource = *self.random.one_of(&["templates", "services", "users", "configuration"]);
        let actions = self.some(&["create", "update", "delete"], 2).into_iter().collect::<BTreeSet<_>>();
        let actions: Vec<&str> = actions.into_iter().collect();
        format!("permissions: [{{resource: {resource}, actions: [{}]}}]", actions.join(", "))
    }

    /// Roles inherit from each other at random, including cycles.
    fn custom_role(&mut self, namespace: &str, deletes: bool) -> kube::Result<()> {
        let name = self.name("r", 4);
        if deletes {
            return self.cluster.remove("CustomRole", namespace, &name);
        }
        let inherits = match self.random.below(3) {
            0 => format!("{{kind: CustomRole, name: {}}}", self.name("r", 4)),
            1 => format!("{{kind: SiteRole, name: {}}}", self.random.one_of(&SITE_ROLES)),
            _ => String::new(),
        };
        let spec = format!("{{{}, inherits: [{inherits}]}}", self.permissions());
        self.cluster.put(&custom_role(namespace, &name, &spec))
    }

    fn subjects(&mut self) -> String {
        let mut subjects: BTreeSet<String> =
            self.some(&PEOPLE, 4).into_iter().map(|p| format!("{{kind: User, name: {p}@example.com}}")).collect();
        if self.random.happens(0.3) {
            subjects.insert("{kind: ExternalGroup, name: \"oidc:some\"}".to_owned());
        }
        subjects.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn binding(&mut self, namespace: &str, deletes: bool) -> kube::Result<()> {
        let name = self.name("b", 6);
        if deletes {
            return self.cluster.remove("RoleBinding", namespace, &name);
        }
        let role = match self.random.below(2) {
            0 => format!("{{kind: CustomRole, name: {}}}", self.name("r", 4)),
            _ => format!("{{kind: SiteRole, name: {}}}", self.random.one_of(&SITE_ROLES)),
        };
        let mut subjects = self.subjects();
        if self.random.happens(0.5) {
            subjects += &format!(", {{kind: Group, name: {}}}", self.name("g", 3));
        }
        let end = self.end();
        self.cluster.put(&format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: RoleBinding, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{{end}roleRef: {role}, subjects: [{subjects}]}}}}"
        ))
    }

    fn site_role(&mut self, deletes: bool) -> kube::Result<()> {
        let (name, single) = (self.name("s", 2), self.random.happens(0.3));
        if deletes {
            return self.cluster.remove("SiteRole", "", &name);
        }
        let places = if single { "Site" } else { "Site, Organization" };
        let permissions = self.permissions();
        self.cluster
            .put(&site_role(&name, &format!("{{assignableTo: [{places}], singleHolder: {single}, {permissions}}}")))
    }

    fn site_binding(&mut self, deletes: bool) -> kube::Result<()> {
        let name = self.name("t", 3);
        if deletes {
            return self.cluster.remove("SiteRoleBinding", "", &name);
        }
        let (role, subjects, end) = (*self.random.one_of(&SITE_ROLES), self.subjects(), self.end());
        self.cluster.put(&format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: SiteRoleBinding, metadata: {{name: {name}}}, \
             spec: {{{end}roleRef: {{kind: SiteRole, name: {role}}}, subjects: [{subjects}]}}}}"
        ))
    }

    /// An organization is deleted and recreated at once with another UID; or a rival requests the same namespace.
    fn organization(&mut self, namespace: &str) -> kube::Result<()> {
        let name = if self.random.happens(0.3) { format!("rival-of-{namespace}") } else { namespace.to_owned() };
        let gone = self.random.happens(0.6).then(|| self.cluster.remove("Organization", "", &name));
        if gone.is_some() && self.random.happens(0.3) {
            return gone.unwrap_or(Ok(()));
        }
        let default = self.random.happens(0.2);
        self.cluster.put(&organization(&name, &format!("{{namespace: {namespace}, default: {default}}}")))
    }

    /// Somebody tampers with a native object of ours.
    fn tamper(&mut self) -> kube::Result<()> {
        let mut there = self.cluster.rbac();
        there.retain(|name, _| !self.before.contains(name));
        let names: Vec<String> = there.into_keys().collect();
        if names.is_empty() {
            return Ok(());
        }
        let name = self.random.one_of(&names).clone();
        let (kind, path) = name.split_once(' ').unwrap();
        let (namespace, name) = path.split_once('/').unwrap();
        let kind = format!("native{kind}");
        let eve = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve@example.com"});
        let content = if kind.ends_with("Binding") {
            json!({"subjects": [eve]})
        } else {
            json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]})
        };
        let patch = match self.random.below(6) {
            0..=1 => return self.cluster.remove(&kind, namespace, name),
            2 => json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
            3 => json!({"metadata": {"annotations": {"bailiwick.dev/source": null}}}),
            4 => json!({"subjects": [], "rules": []}),
            _ => content,
        };
        self.cluster.merge(&kind, namespace, name, &patch)
    }

    /// The operator dies, and the kubelet starts another one.
    fn restart(&mut self) {
        self.cluster.kill_operator();
        self.cluster.operator = Some(self.cluster.spawn_operator("next"));
    }

    /// No native object of ours names a suspended or unknown user, or one with an expired grant.
    fn nobody_holds_too_much(&self) {
        let good = |user: &bailiwick::api::User| (!user.spec.suspended).then(|| user.spec.username.clone()).flatten();
        let good: BTreeSet<String> = self.cluster.users().iter().filter_map(good).collect();
        let now = Timestamp::now();
        let ended = |end: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
            end.as_ref().is_some_and(|end| end.0 <= now)
        };
        let bindings = self.cluster.bindings();
        let local = bindings.iter().filter(|b| ended(&b.spec.expires_at)).filter_map(|b| b.metadata.uid.clone());
        let site_bindings = self.cluster.site_bindings();
        let site = site_bindings.iter().filter(|b| ended(&b.spec.expires_at)).filter_map(|b| b.metadata.uid.clone());
        let ended: BTreeSet<String> = local.chain(site).collect();
        for (name, object) in self.cluster.rbac().into_iter().filter(|(name, _)| !self.before.contains(name)) {
            let owner = object["owners"][0]["uid"].as_str().unwrap_or_default();
            assert!(!ended.contains(owner), "{name} is of a binding that has ended: {object}");
            for subject in object["subjects"].as_array().unwrap().iter().filter(|s| s["kind"] == "User") {
                let user = subject["name"].as_str().unwrap_or_default();
                assert!(good.contains(user), "{user} is in {name}, but is suspended or no User: {object}");
            }
        }
        assert!(!good.is_empty(), "somebody may hold something, or nothing was tried");
    }
}

#[test]
fn after_any_history_in_any_storm_native_rbac_is_what_the_objects_say() {
    let seed = Random::seed();
    let start = Instant::now();
    let (cluster, before) = behind_a_proxy(seed);
    let mut history = History { cluster, before, random: Random::new(seed), last_end: Timestamp::now(), refused: 0 };
    for namespace in NAMESPACES {
        history.cluster.apply(&organization(namespace, &format!("{{namespace: {namespace}}}")));
    }
    faults(&history.cluster).storm(mixed());
    for change in 0..CHANGES {
        history.change();
        match change % 80 {
            40 => history.restart(),
            60 => faults(&history.cluster).refuse(),
            70 => faults(&history.cluster).storm(mixed()),
            _ => {}
        }
        // The operator is working on some changes when the next ones arrive; some arrive all at once.
        if change % 10 == 9 && !(60..70).contains(&(change % 80)) {
            let hits = faults(&history.cluster).all_hits();
            history.cluster.eventually("the storm goes on", || faults(&history.cluster).all_hits() >= hits + 4);
        }
    }
    println!("{CHANGES} changes, {} refused, after {:?}", history.refused, start.elapsed());
    assert!(history.refused < CHANGES / 3, "most changes are real ones");
    faults(&history.cluster).calm();
    let cluster = &history.cluster;
    cluster.eventually("everything has ended that ends by itself", || Timestamp::now() > history.last_end);
    cluster.is_as_desired(&history.before);
    history.nobody_holds_too_much();
    println!("settled after {:?}; {} native objects", start.elapsed(), cluster.native().len());

    println!("{}", cluster.operator.as_ref().unwrap().lines("not_ready"));
    let writes = history.cluster.writes();
    history.cluster.stop_operator();
    history.cluster.start_operator();
    history.cluster.settle();
    let operator = history.cluster.operator.as_ref().unwrap();
    assert_eq!(operator.sum("writes"), 0.0, "{}\n{}", operator.lines("writes"), operator.log());
    assert_eq!(history.cluster.writes(), writes, "{}", operator.lines("writes"));
    println!("done after {:?}", start.elapsed());
}
