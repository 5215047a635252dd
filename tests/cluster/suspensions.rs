//! Suspended users: the lists that the operator keeps for the admission policies, and how soon they take effect.

use std::path::{Path, PathBuf};

use crate::support::manifests::{binding, group, organization, user};
use crate::support::{Cluster, Question, RELEASE};

const VALUES: &str = "{namespaceWhitelist: [alpha], defaultOrganization: {create: false}}";

/// All users have access through a group of the identity provider, which RBAC cannot take from one of them.
fn cluster() -> Cluster {
    let cluster = Cluster::with_operator(VALUES);
    let users: String = ["ada", "bob", "nada"].iter().map(|name| user(name)).collect();
    let binding = binding("alpha", "staff", "SiteRole/organization-manager", &["ExternalGroup/staff"]);
    cluster.apply(&(organization("alpha", "{namespace: alpha}") + &users + &binding));
    cluster.can(&Question::of("ada@example.com", "alpha").with_groups(&["staff"]), &["create groups.bailiwick.dev"]);
    cluster.settle();
    cluster
}

fn of_staff(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.plane.user_kubeconfig(&format!("{name}@example.com"), &["staff"]).unwrap()
}

fn suspend(cluster: &Cluster, name: &str, suspended: bool) {
    let patch = format!(r#"{{"spec":{{"suspended":{suspended}}}}}"#);
    cluster.run(&["patch", "users.bailiwick.dev", name, "--type=merge", "-p", &patch]);
}

/// The API server's answer to a user that would create something, as a dry run.
fn answer(cluster: &Cluster, who: &Path) -> String {
    answer_to(cluster, who, &group("alpha", "trial", &[]))
}

fn answer_to(cluster: &Cluster, who: &Path, manifest: &str) -> String {
    let mut kubectl = cluster.plane.kubectl(who);
    kubectl.args(["create", "--dry-run=server", "-f", "-"]);
    crate::support::text(&crate::support::with_input(kubectl, manifest))
}

fn listed(cluster: &Cluster, username: &str) -> bool {
    let map = cluster.get(&["-n", RELEASE, "configmap", "bailiwick-suspended"]);
    let texts = map["data"].as_object().into_iter().flat_map(|data| data.values());
    texts.filter_map(|text| text.as_str()).any(|text| text.contains(&format!("\n{username}\n")))
}

fn label(cluster: &Cluster, name: &str) -> bool {
    cluster.get(&["users.bailiwick.dev", name])["metadata"]["labels"]["bailiwick.dev/suspension"] == "now"
}

#[test]
fn a_suspended_user_writes_nothing_whatever_group_they_come_with() {
    let mut cluster = cluster();
    let (ada, nada) = (of_staff(&cluster, "ada"), of_staff(&cluster, "nada"));
    assert!(answer(&cluster, &ada).contains("created"), "{}", answer(&cluster, &ada));

    suspend(&cluster, "ada", true);
    cluster.eventually("ada writes nothing", || answer(&cluster, &ada).contains("user ada@example.com is suspended"));
    cluster.eventually("ada is on the list", || listed(&cluster, "ada@example.com"));
    cluster.eventually("her label is taken off", || !label(&cluster, "ada"));
    assert!(answer(&cluster, &ada).contains("is suspended"), "{}", answer(&cluster, &ada));
    assert!(answer(&cluster, &nada).contains("created"), "{}", answer(&cluster, &nada));

    // No operator writes the list, and the suspension works anyway; but not where nothing sets the label.
    cluster.quiet();
    cluster.stop_operator();
    suspend(&cluster, "nada", true);
    if cluster.has_mutating_policies() {
        cluster.eventually("nada writes nothing", || answer(&cluster, &nada).contains("is suspended"));
        assert!(label(&cluster, "nada") && !listed(&cluster, "nada@example.com"));
        // Having somebody remove the label does not help either.
        cluster.run(&["label", "users.bailiwick.dev", "nada", "bailiwick.dev/suspension-"]);
        assert!(label(&cluster, "nada"), "the policy puts it back");
    } else {
        assert!(!label(&cluster, "nada") && answer(&cluster, &nada).contains("created"));
    }
    suspend(&cluster, "ada", false);
    assert!(answer(&cluster, &ada).contains("is suspended"), "until an operator takes note of it");

    cluster.start_operator();
    cluster.eventually("nada is on the list", || listed(&cluster, "nada@example.com") && !label(&cluster, "nada"));
    cluster.eventually("nada writes nothing", || answer(&cluster, &nada).contains("is suspended"));
    cluster.eventually("ada is not", || !listed(&cluster, "ada@example.com"));
    assert!(answer(&cluster, &ada).contains("created"), "{}", answer(&cluster, &ada));

    // An emptied list is written again.
    let patch = r#"{"data":{"names-0":"","names-1":""}}"#;
    cluster.run(&["-n", RELEASE, "patch", "configmap", "bailiwick-suspended", "-p", patch]);
    cluster.eventually("nada is on the list again", || listed(&cluster, "nada@example.com"));
    cluster.quiet();
    let before = cluster.writes();
    cluster.stop_operator();
    cluster.start_operator();
    cluster.quiet();
    assert_eq!(cluster.writes(), before, "a restart writes nothing");
}

/// Their objects there would take effect once an organization takes the namespace.
#[test]
fn where_no_organization_is_yet_they_write_nothing_of_bailiwicks() {
    let mut cluster =
        Cluster::with_operator("{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}");
    cluster.apply(&user("ada"));
    cluster.settle();
    let all = "--resource=configmaps,groups.bailiwick.dev";
    cluster.run(&["-n", "beta", "create", "role", "team", "--verb=*", all]);
    cluster.run(&["-n", "beta", "create", "rolebinding", "team", "--role=team", "--group=staff"]);
    let ada = of_staff(&cluster, "ada");
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: trial, namespace: beta}}";
    let ours = group("beta", "trial", &["ada"]);
    cluster.eventually("ada's team may write", || answer_to(&cluster, &ada, &ours).contains("created"));
    // Through the list, and, while no operator writes it, through the label.
    for operator_runs in [true, false] {
        if !operator_runs {
            suspend(&cluster, "ada", false);
            cluster.eventually("ada may write again", || answer_to(&cluster, &ada, &ours).contains("created"));
            cluster.quiet();
            cluster.stop_operator();
        }
        suspend(&cluster, "ada", true);
        if !operator_runs && !cluster.has_mutating_policies() {
            // Nothing sets the label: the next operator's list stops her.
            assert!(answer_to(&cluster, &ada, &ours).contains("created"));
            cluster.start_operator();
        }
        cluster.eventually("ada writes nothing of Bailiwick's", || {
            answer_to(&cluster, &ada, &ours).contains("user ada@example.com is suspended")
        });
        if operator_runs {
            cluster.eventually("it is by the list", || listed(&cluster, "ada@example.com") && !label(&cluster, "ada"));
            assert!(answer_to(&cluster, &ada, &ours).contains("is suspended"));
        }
        // Other objects are not Bailiwick's business.
        assert!(answer_to(&cluster, &ada, map).contains("created"));
    }
}

#[test]
fn a_policy_that_is_missing_or_changed_is_reported() {
    let cluster = Cluster::with_operator("{namespaceWhitelist: [alpha]}");
    let default = ["organizations.bailiwick.dev", "default"];
    cluster.await_reason(&default, "PoliciesInPlace", "InPlace");
    let state = |state: &str| {
        let lines = cluster.operator.as_ref().unwrap().lines("policies");
        let line = lines.lines().find(|line| line.contains(&format!("\"{state}\""))).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
    };
    assert!(state("InPlace").is_some_and(|count| count > 20), "{:?}", state("InPlace"));

    let policy = "validatingadmissionpolicy";
    cluster.run(&[
        "patch",
        policy,
        "bailiwick-bindings",
        "--type=merge",
        "-p",
        r#"{"spec":{"failurePolicy":"Ignore"}}"#,
    ]);
    let message = cluster.await_reason(&default, "PoliciesInPlace", "PolicyChanged");
    assert!(message.contains("ValidatingAdmissionPolicy bailiwick-bindings (PolicyChanged)"), "{message}");
    cluster.run(&["delete", "validatingadmissionpolicybinding", "bailiwick-suspending"]);
    let message = cluster.await_reason(&default, "PoliciesInPlace", "PolicyMissing");
    assert!(message.contains("ValidatingAdmissionPolicyBinding bailiwick-suspending (PolicyMissing)"), "{message}");
    assert_eq!((state("PolicyMissing"), state("PolicyChanged")), (Some(1), Some(1)));
    // Without our kinds, the policies keep nobody else from working.
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization=alpha"]);
    cluster.run(&["delete", "crd", "users.bailiwick.dev"]);
    for n in 0..20 {
        cluster.run(&["-n", "alpha", "create", "configmap", &format!("written-{n}")]);
    }
    // No grant depends on them.
    assert_eq!(cluster.condition(&default, "Ready").unwrap().0, "True");
}
