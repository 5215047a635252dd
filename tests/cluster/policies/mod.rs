//! The admission policies, one file each: tested as users with certificates and rights that the API server knows, and
//! as the operator with its token. A refusal has a message that names the missing right, and allowed requests keep
//! working.

use std::cell::Cell;
use std::path::PathBuf;

use crate::support::{Cluster, RELEASE, outcome, with_input};

mod ceilings;
mod configuration;
mod default_organization;
mod garbage_collector;
mod guarded_serviceaccounts;
mod handing_out_roles;
mod managed_objects;
mod namespace_claims;
mod one_bind;
mod operator_guard;
mod own_objects;
mod suspended_everywhere;
mod suspended_users;
mod suspending;

/// Two namespaces for organizations, without any organization.
const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

/// Signs that a policy did not work at all. `failurePolicy: Fail` refuses then, too, but for the wrong reason.
const BROKEN: [&str; 4] = ["no such key", "no such overload", "resulted in error", "cost"];

/// A cluster with the chart and several users.
struct Site {
    cluster: Cluster,
    given: Cell<u32>,
}

impl Site {
    fn with_chart(values: &str) -> Self {
        Self { cluster: Cluster::with_chart(values), given: Cell::new(0) }
    }

    fn with_operator(values: &str) -> Self {
        Self { cluster: Cluster::with_operator(values), given: Cell::new(0) }
    }

    /// A user with a certificate, and without any rights yet.
    fn person(&self, username: &str) -> Person<'_> {
        self.person_in(username, &[])
    }

    /// A user in groups from the identity provider.
    fn person_in(&self, username: &str, groups: &[&str]) -> Person<'_> {
        let kubeconfig = self.cluster.plane.user_kubeconfig(username, groups).unwrap();
        Person { site: self, name: username.to_owned(), kubeconfig }
    }

    /// A ServiceAccount with a token.
    fn service_account(&self, namespace: &str, name: &str) -> Person<'_> {
        let token = self.cluster.run(&["-n", namespace, "create", "token", name, "--duration", "2h"]);
        let kubeconfig = self.cluster.plane.token_kubeconfig(&format!("{namespace}-{name}"), token.trim()).unwrap();
        Person { site: self, name: format!("system:serviceaccount:{namespace}:{name}"), kubeconfig }
    }

    /// The operator's own ServiceAccount.
    fn the_operator(&self) -> Person<'_> {
        self.service_account(RELEASE, "bailiwick")
    }

    /// Grants a subject native rules (`[{apiGroups: …}]`) in a namespace, or in the cluster if that is empty.
    fn give(&self, subject: &str, namespace: &str, rules: &str) {
        let number = self.given.get();
        self.given.set(number + 1);
        let (prefix, place) = match namespace {
            "" => ("Cluster", String::new()),
            namespace => ("", format!(", namespace: {namespace}")),
        };
        self.cluster.apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {prefix}Role, metadata: {{name: given-{number}{place}}}, rules: {rules}}}\n---\n\
             {{apiVersion: rbac.authorization.k8s.io/v1, kind: {prefix}RoleBinding, metadata: {{name: given-{number}{place}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {prefix}Role, name: given-{number}}}, subjects: [{subject}]}}\n"
        ));
    }
}

/// A user with credentials.
struct Person<'a> {
    site: &'a Site,
    name: String,
    kubeconfig: PathBuf,
}

impl Person<'_> {
    /// Grants native rules in a namespace, or in the cluster if that is empty.
    fn holds(&self, namespace: &str, rules: &str) -> &Self {
        let subject = match self.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((home, name)) => format!("{{kind: ServiceAccount, name: {name}, namespace: {home}}}"),
            None => format!("{{apiGroup: rbac.authorization.k8s.io, kind: User, name: \"{}\"}}", self.name),
        };
        self.site.give(&subject, namespace, rules);
        self
    }

    fn tries(&self, arguments: &[&str]) -> Result<String, String> {
        outcome(self.site.cluster.kubectl_as(&self.kubeconfig, arguments))
    }

    fn tries_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut kubectl = self.site.cluster.plane.kubectl(&self.kubeconfig);
        kubectl.args(arguments).args(["-f", "-"]);
        outcome(with_input(kubectl, input))
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) {
        self.tries(arguments).unwrap_or_else(|error| panic!("{} {arguments:?}: {error}", self.name));
    }

    #[track_caller]
    fn creates(&self, yaml: &str) {
        self.does_with(&["create", "--validate=false"], yaml);
    }

    #[track_caller]
    fn does_with(&self, arguments: &[&str], yaml: &str) {
        let log = || self.site.cluster.operator_log();
        self.tries_with(arguments, yaml)
            .unwrap_or_else(|error| panic!("{} {arguments:?}: {error}\n{yaml}\n{}", self.name, log()));
    }

    #[track_caller]
    fn may_not(&self, arguments: &[&str], because: &str) {
        refused(self.tries(arguments), because, &format!("{} {arguments:?}", self.name));
    }

    #[track_caller]
    fn may_not_create(&self, yaml: &str, because: &str) {
        self.may_not_with(&["create", "--validate=false"], yaml, because);
    }

    #[track_caller]
    fn may_not_with(&self, arguments: &[&str], yaml: &str, because: &str) {
        refused(self.tries_with(arguments, yaml), because, &format!("{} {arguments:?} {yaml}", self.name));
    }

    /// Waits until a policy takes effect, with a request that it refuses and that is a dry run until then.
    #[track_caller]
    fn soon_may_not_create(&self, yaml: &str, because: &str) {
        self.soon(because, || self.tries_with(&["create", "--validate=false", "--dry-run=server"], yaml));
    }

    /// The same, with any request.
    #[track_caller]
    fn soon_may_not(&self, arguments: &[&str], because: &str) {
        let dry = [arguments, &["--dry-run=server"]].concat();
        self.soon(because, || self.tries(&dry));
    }

    #[track_caller]
    fn soon(&self, because: &str, tries: impl Fn() -> Result<String, String>) {
        let last = std::cell::RefCell::new(String::new());
        self.site.cluster.eventually_or(
            || {
                let outcome = tries();
                *last.borrow_mut() = format!("{outcome:?}");
                outcome.is_err_and(|error| error.contains(because))
            },
            |_| format!("{} is refused because {because:?}, and not: {}", self.name, last.borrow()),
        );
    }

    /// Connects: an admitted client learns that the Pod runs nowhere.
    fn connects(&self, namespace: &str, pod: &str, subresource: &str) -> Result<String, String> {
        self.tries_with(&["create", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/{pod}/{subresource}")], "")
    }
}

#[track_caller]
fn refused(outcome: Result<String, String>, because: &str, what: &str) {
    match outcome {
        Ok(_) => panic!("it is not refused: {what}"),
        Err(error) => {
            assert!(error.contains(because), "not because {because:?}, but: {error}\n{what}");
            assert!(!BROKEN.iter().any(|sign| error.contains(sign)), "{error}\n{what}");
        }
    }
}

/// A Pod without a node: it exists, and nothing runs.
fn pod(namespace: &str, name: &str, account: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}}}, spec: {}}}\n",
        pod_spec(account)
    )
}

fn pod_spec(account: &str) -> String {
    format!("{{{account}, containers: [{{name: c, image: example}}]}}")
}
