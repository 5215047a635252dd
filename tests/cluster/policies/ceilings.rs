//! A label adds a ClusterRole to a ceiling, which requires `override` on that ClusterRole.

use super::{Site, VALUES};
use crate::support::text;

const WRITES_CLUSTER_ROLES: &str = "[{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], \
                                    verbs: [get, list, create, update, patch, delete, escalate]}]";

fn role(name: &str, metadata: &str, rest: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {name}{metadata}}}, {rest}}}"
    )
}

#[test]
fn nobody_widens_a_ceiling_with_a_label_alone() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("", WRITES_CLUSTER_ROLES);
    let refused = |name: &str| {
        format!(
            "ClusterRole {name} is part of a ceiling, the most that Bailiwick can grant (label bailiwick.dev/aggregate-to-grantable…): to write it, eve needs the verb \"override\" on it"
        )
    };
    let secrets = "rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]";
    let labelled = |label: &str| role("mine", &format!(", labels: {{{label}: 'true'}}"), secrets);
    let label = "bailiwick.dev/aggregate-to-grantable";
    eve.soon_may_not_create(&labelled(label), &refused("mine"));
    eve.creates(&role("mine", "", secrets));
    for suffix in ["", "-cluster", "-release"] {
        let key = format!("{label}{suffix}");
        eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], &labelled(&key), &refused("mine"));
        eve.may_not_with(&["replace"], &labelled(&key), &refused("mine"));
        eve.may_not(&["label", "clusterrole", "mine", &format!("{key}=true")], &refused("mine"));
        eve.does(&["label", "clusterrole", "mine", &format!("{key}=false")]);
    }

    // One that an administrator labelled.
    cluster.apply(&role("theirs", &format!(", labels: {{{label}: 'true'}}"), secrets));
    let json = |patch: &'static str| ["patch", "clusterrole", "theirs", "--type=json", "-p", patch];
    let rule =
        r#"[{"op":"add","path":"/rules/-","value":{"apiGroups":[""],"resources":["nodes"],"verbs":["delete"]}}]"#;
    let collect =
        r#"[{"op":"add","path":"/aggregationRule","value":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]}}]"#;
    let owner = r#"[{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"u"}]}]"#;
    for patch in [rule, collect, owner, r#"[{"op":"remove","path":"/rules"}]"#] {
        eve.may_not(&json(patch), &refused("theirs"));
    }
    for change in ["bailiwick.dev/aggregate-to-grantable-", "bailiwick.dev/aggregate-to-grantable-cluster=true"] {
        eve.may_not(&["label", "clusterrole", "theirs", change], &refused("theirs"));
    }
    eve.may_not(&["delete", "clusterrole", "theirs"], &refused("theirs"));
    eve.does(&["annotate", "clusterrole", "theirs", "a=b"]);
    eve.does(&["label", "clusterrole", "theirs", "team=a"]);
    let holds = |what: &str| cluster.get(&["clusterrole", "bailiwick-grantable"])["rules"].to_string().contains(what);
    cluster.eventually("Kubernetes collects what the administrator labelled", || holds("secrets"));
    assert!(!holds("nodes"));

    // With the verb, on this one. The control plane aggregates as before.
    eve.holds("", "[{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], resourceNames: [theirs], verbs: [override]}]");
    eve.does(&json(rule));
    cluster.eventually("Kubernetes collects the new rule", || holds("nodes"));
    eve.may_not(
        &["label", "clusterrole", "mine", "bailiwick.dev/aggregate-to-grantable=true", "--overwrite"],
        &refused("mine"),
    );
    eve.does(&["delete", "clusterrole", "theirs"]);
    cluster.eventually("the ceiling is as before", || !holds("nodes") && !holds("secrets"));
    eve.does(&["delete", "clusterrole", "mine"]);
    let output =
        cluster.helm_upgrade("{namespaceWhitelist: [alpha, beta], replicas: 1, defaultOrganization: {create: false}}");
    assert!(output.status.success(), "{}", text(&output));
}
