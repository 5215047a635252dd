//! A namespace records the organization that holds it, and nobody changes the record without `override`.

use super::{Site, VALUES};
use crate::support::RELEASE;
use crate::support::manifests::organization;

const EDITOR: &str = "[{apiGroups: [''], resources: [namespaces, namespaces/status, namespaces/finalize], \
                      verbs: [get, list, create, update, patch, delete]}]";

fn refusal(namespace: &str) -> String {
    format!(
        "to change the record of which organization holds namespace {namespace}, eve needs the verb \"override\" on the namespace"
    )
}

#[test]
fn the_record_of_a_claim_is_the_operators() {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    // Not created by the chart.
    cluster.run(&["create", "namespace", "plain"]);
    cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}") + &organization("beta", "{namespace: beta}")),
    );
    cluster.await_reason(&["organizations.bailiwick.dev", "beta"], "NamespaceAssigned", "Assigned");
    let eve = site.person("eve");
    eve.holds("", EDITOR);
    let own = |patch: &str| {
        ["patch", "namespace", "plain", "--type=merge", "-p"]
            .map(str::to_owned)
            .into_iter()
            .chain([patch.to_owned()])
            .collect::<Vec<_>>()
    };
    eve.soon_may_not(&["label", "namespace", "plain", "bailiwick.dev/organization=alpha"], &refusal("plain"));
    for key in ["organization-uid", "last-organization", "claimed-at"] {
        let patch = own(&format!("{{\"metadata\":{{\"annotations\":{{\"bailiwick.dev/{key}\":\"x\"}}}}}}"));
        let words: Vec<&str> = patch.iter().map(String::as_str).collect();
        eve.may_not(&words, &refusal("plain"));
    }
    let label = r#"{"metadata":{"labels":{"bailiwick.dev/organization":"alpha"}}}"#;
    for subresource in ["status", "finalize"] {
        let path = format!("/api/v1/namespaces/plain/{subresource}");
        let mut namespace = cluster.get(&["namespace", "plain"]);
        namespace["metadata"]["labels"]["bailiwick.dev/organization"] = "alpha".into();
        eve.may_not_with(&["replace", "--raw", &path], &namespace.to_string(), &refusal("plain"));
    }
    eve.may_not(
        &["patch", "namespace", "plain", "--subresource=status", "--type=merge", "-p", label],
        &refusal("plain"),
    );
    // Forged from the start, with or without a name, and with an apply.
    let forged =
        "{apiVersion: v1, kind: Namespace, metadata: {name: forged, labels: {bailiwick.dev/organization: alpha}}}";
    eve.may_not_create(forged, &refusal("forged"));
    eve.may_not_with(&["apply", "--server-side"], forged, &refusal("forged"));
    eve.may_not_create(
        &forged.replace("name: forged", "generateName: forged-"),
        "which organization holds namespace forged-",
    );
    eve.may_not_create(
        &forged.replace(
            "labels: {bailiwick.dev/organization: alpha}",
            "annotations: {bailiwick.dev/last-organization: alpha}",
        ),
        &refusal("forged"),
    );
    // Everything else about a namespace is as before.
    eve.does(&["label", "namespace", "plain", "a=b"]);
    eve.does(&["annotate", "namespace", "plain", "bailiwick.dev.example/x=y"]);
    eve.creates("{apiVersion: v1, kind: Namespace, metadata: {name: theirs}}");
    eve.does(&["delete", "namespace", "theirs"]);

    // The same applies in organizations' namespaces, even to a user with every right there.
    let nat = site.person("nat");
    cluster.run(&["-n", "plain", "create", "rolebinding", "nat", "--clusterrole=cluster-admin", "--user=nat"]);
    nat.may_not(
        &["label", "namespace", "plain", "bailiwick.dev/organization=alpha"],
        &refusal("plain").replace("eve", "nat"),
    );
    nat.does(&["label", "namespace", "plain", "c=d"]);

    // An administrator with the verb releases one, and it goes to the next claimant.
    let root = site.person("root");
    root.holds("", EDITOR)
        .holds("", "[{apiGroups: [''], resources: [namespaces], resourceNames: [beta], verbs: [override]}]");
    cluster.apply(&organization("heir", "{namespace: beta}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "heir"], "NamespaceAssigned", "AlreadyClaimed");
    cluster.run(&["delete", "organizations.bailiwick.dev", "beta"]);
    cluster.await_reason(&["organizations.bailiwick.dev", "heir"], "NamespaceAssigned", "ReservedFor");
    eve.may_not(&["label", "namespace", "beta", "bailiwick.dev/organization-"], "beta");
    root.does(&["label", "namespace", "beta", "bailiwick.dev/organization-"]);
    cluster.await_reason(&["organizations.bailiwick.dev", "heir"], "NamespaceAssigned", "Assigned");
    root.may_not(&["label", "namespace", RELEASE, "bailiwick.dev/organization=x"], "root needs the verb \"override\"");
}
