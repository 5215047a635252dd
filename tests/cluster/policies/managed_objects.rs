//! Nobody without `override` can change, delete or imitate the operator's and the chart's objects.

use super::{Person, Site, VALUES, pod};
use crate::support::manifests::{binding, custom_role, organization, users};
use crate::support::{Question, RELEASE, text};

/// The rights of a namespace's administrator in many clusters, and more: with `bind` and `escalate`, so that only the
/// policies stand in the way.
const NATIVE_ADMIN: &str = r#"[
  {apiGroups: ["", apps, batch, policy, coordination.k8s.io], resources: ["*"],
   verbs: [get, list, create, update, patch, delete, deletecollection]},
  {apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings, clusterroles, clusterrolebindings],
   verbs: [get, list, create, update, patch, delete, deletecollection, bind, escalate]},
  {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions, customresourcedefinitions/status],
   verbs: [get, update, patch, delete]}]"#;
const OPERATORS_ONLY: &str = "only the Bailiwick operator creates RBAC objects named bailiwick:… or labeled";
const DELETER: &str = "{permissions: [{resource: templates, actions: [delete]}]}";
const ROLE: &str = "role.rbac.authorization.k8s.io";
const BINDING: &str = "rolebinding.rbac.authorization.k8s.io";

#[test]
fn what_the_operator_wrote_is_changed_by_nobody_else() {
    let mut site = Site::with_operator(VALUES);
    site.cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &users(&["ada"])
            + &custom_role("alpha", "deleter", DELETER)
            + &binding("alpha", "deleters", "CustomRole/deleter", &["ada"])),
    );
    site.cluster.can(&Question::of("ada@example.com", "alpha"), &["delete podtemplates"]);
    site.cluster.settle();
    // No operator repairs anything now.
    site.cluster.stop_operator();
    native_objects_keep_what_they_say(&site);
    what_goes_goes(&site);
}

fn native_objects_keep_what_they_say(site: &Site) {
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("", NATIVE_ADMIN);
    let native = cluster.native();
    let named = |kind: &str, part: &str| {
        let found = native.iter().find(|o| {
            o["kind"] == kind
                && o["metadata"]["namespace"] == "alpha"
                && o["metadata"]["annotations"]["bailiwick.dev/source"].as_str().unwrap().contains(part)
        });
        found.unwrap_or_else(|| panic!("no {kind} of {part} in {native:?}"))["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (role, bound) = (named("Role", "deleter"), named("RoleBinding", "deleters"));
    eve.soon_may_not(&["-n", "alpha", "delete", BINDING, &bound], &format!("{bound} is generated from "));
    let refused = |name: &str| format!("{name} is generated from ");
    let add = r#"[{"op":"add","path":"/subjects/-","value":{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"eve"}}]"#;
    eve.may_not(&["-n", "alpha", "patch", BINDING, &bound, "--type=json", "-p", add], &refused(&bound));
    // Not the label first and the rest later, and not with another verb.
    eve.may_not(&["-n", "alpha", "label", BINDING, &bound, "app.kubernetes.io/managed-by-"], &refused(&bound));
    eve.may_not(
        &["-n", "alpha", "label", ROLE, &role, "app.kubernetes.io/managed-by=eve", "--overwrite"],
        &refused(&role),
    );
    let orphan = r#"[{"op":"replace","path":"/metadata/ownerReferences/0/uid","value":"none"}]"#;
    eve.may_not(&["-n", "alpha", "patch", ROLE, &role, "--type=json", "-p", orphan], &refused(&role));
    let empty = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: '{role}', namespace: alpha}}, rules: []}}"
    );
    eve.may_not_with(&["replace"], &empty, &refused(&role));
    eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], &empty, &refused(&role));
    eve.may_not(&["-n", "alpha", "delete", ROLE, &role], &refused(&role));
    eve.may_not(&["delete", "--raw", "/apis/rbac.authorization.k8s.io/v1/namespaces/alpha/roles"], "bailiwick:");
    for kind in ["clusterroles", "clusterrolebindings"] {
        let ours = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dbailiwick";
        eve.may_not(
            &["delete", "--raw", &format!("/apis/rbac.authorization.k8s.io/v1/{kind}?{ours}")],
            "is generated from",
        );
    }
    assert_eq!(cluster.native().len(), native.len());

    // Their own objects work as before, but not with the operator's labels.
    eve.does(&["-n", "alpha", "create", "role", "own", "--verb=get", "--resource=pods"]);
    eve.does(&["-n", "alpha", "annotate", ROLE, "own", "a=b"]);
    let label = ["-n", "alpha", "label", ROLE, "own", "app.kubernetes.io/managed-by=bailiwick"];
    eve.may_not(&label, "own is generated from a Bailiwick object");
    let forged = empty
        .replace(&role, "forged")
        .replace("namespace: alpha", "namespace: alpha, labels: {app.kubernetes.io/managed-by: bailiwick}");
    eve.may_not_create(&forged, OPERATORS_ONLY);
    // Nor can they take the name that it will need.
    eve.may_not_create(&empty.replace(&role, "bailiwick:next"), OPERATORS_ONLY);
    eve.may_not_create(&empty.replace(&format!("name: '{role}'"), "generateName: 'bailiwick:'"), OPERATORS_ONLY);
    eve.does(&["-n", "alpha", "delete", ROLE, "own"]);

    // With the verb, on this one, and not only where she may do as she pleases.
    eve.holds("alpha", r#"[{apiGroups: [rbac.authorization.k8s.io], resources: ["*"], verbs: ["*"]}]"#);
    eve.may_not(&["-n", "alpha", "annotate", ROLE, &role, "a=b"], &refused(&role));
    eve.holds("", &format!("[{{apiGroups: [rbac.authorization.k8s.io], resources: [roles], resourceNames: ['{role}'], verbs: [override]}}]"));
    eve.does(&["-n", "alpha", "annotate", ROLE, &role, "a=b"]);
    eve.may_not(&["-n", "alpha", "delete", BINDING, &bound], &refused(&bound));
    site.cluster.run(&["-n", "alpha", "annotate", ROLE, &role, "c=d"]);
}

/// The garbage collector and the namespace controller carry out authorized deletions.
fn what_goes_goes(site: &Site) {
    let cluster = &site.cluster;
    let of = |part: &str| {
        cluster
            .native()
            .iter()
            .filter(|o| o["metadata"]["annotations"]["bailiwick.dev/source"].as_str().is_some_and(|s| s.contains(part)))
            .count()
    };
    assert!(of("deleters") > 0);
    cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", "deleters"]);
    cluster.eventually("the garbage collector takes the native binding", || of("deleters") == 0);
    cluster.run(&["delete", "namespace", "alpha", "--timeout=60s"]);
}

#[test]
fn what_the_chart_installs_is_changed_through_the_chart_only() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("", NATIVE_ADMIN);
    eve.soon_may_not(
        &["-n", RELEASE, "delete", "configmap", "bailiwick-bounds"],
        "bailiwick-bounds belongs to the Bailiwick installation: change it through the values of the chart. To change it directly, eve needs the verb \"override\" on it",
    );
    every_object_of_the_chart_is_kept(&eve);
    nobody_imitates_it(&eve);
    a_namespace_is_its_teams_but_for_the_release_namespace(&site);
    // `override` on one object is limited to that object.
    eve.holds(
        RELEASE,
        r#"[{apiGroups: [apps], resources: [deployments], resourceNames: [bailiwick], verbs: [override]}]"#,
    );
    eve.does(&["-n", RELEASE, "annotate", "deployment", "bailiwick", "a=b"]);
    eve.may_not(&["-n", RELEASE, "delete", "configmap", "bailiwick-bounds"], "belongs to the Bailiwick installation");
    // Helm, by who has everything.
    let output =
        cluster.helm_upgrade("{namespaceWhitelist: [alpha, beta], replicas: 1, defaultOrganization: {create: false}}");
    assert!(output.status.success(), "{}", text(&output));
}

fn every_object_of_the_chart_is_kept(eve: &Person) {
    let at_home = |kind: &'static str, name: &'static str| (vec!["-n", RELEASE], kind, name);
    let of_cluster = |kind: &'static str, name: &'static str| (vec![], kind, name);
    for (place, kind, name) in [
        at_home("configmap", "bailiwick-bounds"),
        at_home("configmap", "bailiwick-suspended"),
        at_home("deployment", "bailiwick"),
        at_home("poddisruptionbudget", "bailiwick"),
        at_home(ROLE, "bailiwick-operator"),
        at_home(BINDING, "bailiwick-projector"),
        of_cluster("clusterrole", "bailiwick-grantable"),
        of_cluster("clusterrolebinding", "bailiwick-operator"),
        of_cluster("customresourcedefinition", "users.bailiwick.dev"),
    ] {
        for words in [
            vec!["delete", kind, name],
            vec!["label", kind, name, "app.kubernetes.io/part-of=x", "--overwrite"],
            vec!["annotate", kind, name, "a=b"],
        ] {
            eve.may_not(&[&place[..], &words].concat(), &format!("{name} belongs to the Bailiwick installation"));
        }
    }
    // If two policies refuse, either may answer.
    let all = |kind: &str| format!("/api/v1/namespaces/{RELEASE}/{kind}");
    eve.may_not(&["delete", "--raw", &all("serviceaccounts")], "bailiwick");
    let ours = "?labelSelector=app.kubernetes.io%2Fpart-of%3Dbailiwick";
    eve.may_not(&["delete", "--raw", &(all("configmaps") + ours)], "belongs to the Bailiwick installation");
    eve.may_not(
        &["-n", RELEASE, "scale", "deployment", "bailiwick", "--replicas=0"],
        "bailiwick belongs to the Bailiwick operator: eve needs",
    );
    // The metadata, through a subresource.
    let owned = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"u"}]}}"#;
    for metadata in [
        r#"{"metadata":{"labels":{"app.kubernetes.io/part-of":null}}}"#,
        r#"{"metadata":{"annotations":{"a":"b"}}}"#,
        r#"{"metadata":{"finalizers":["example.com/never"]}}"#,
        owned,
    ] {
        let (place, kind, name) = at_home("poddisruptionbudget", "bailiwick");
        let patch = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", metadata];
        eve.may_not(&[&place[..], &patch].concat(), &format!("{name} belongs to the Bailiwick installation"));
    }
    let deployment = ["patch", "deployment", "bailiwick", "--subresource=status", "--type=merge", "-p", owned];
    eve.may_not(&[&at_home("", "").0[..], &deployment].concat(), "bailiwick belongs to the Bailiwick installation");
    let release = ["patch", "namespace", RELEASE, "--subresource=status", "--type=merge", "-p", owned];
    eve.may_not(&release, "bailiwick-system belongs to the Bailiwick operator");
    // Without its finalizer a namespace is gone before what is in it.
    let mut namespace = eve.site.cluster.get(&["namespace", RELEASE]);
    namespace["spec"]["finalizers"] = serde_json::json!([]);
    let path = format!("/api/v1/namespaces/{RELEASE}/finalize");
    let refused = format!("{RELEASE} belongs to the Bailiwick operator");
    eve.may_not_with(&["replace", "--raw", &path], &namespace.to_string(), &refused);
    // The status of a definition controls whether its kind is served at all.
    for patch in
        [r#"{"status":{"acceptedNames":{"kind":"User","plural":"others"}}}"#, r#"{"status":{"conditions":[]}}"#]
    {
        let words = ["patch", "crd", "users.bailiwick.dev", "--subresource=status", "--type=merge", "-p", patch];
        eve.may_not(&words, "users.bailiwick.dev belongs to the Bailiwick installation");
    }
    // Controllers write statuses.
    let status = ["patch", "deployment", "bailiwick", "--subresource=status", "--type=merge", "-p"];
    eve.does(&[&at_home("", "").0[..], &status, &[r#"{"status":{"replicas":0}}"#]].concat());
    // A rollback applies the state that Helm stored.
    let memory = "sh.helm.release.v1.bailiwick.v1";
    let helms = format!("{memory} belongs to the Bailiwick operator");
    eve.may_not(
        &["-n", RELEASE, "patch", "secret", memory, "--type=merge", "-p", r#"{"data":{"release":"eA=="}}"#],
        &helms,
    );
    eve.may_not(&["-n", RELEASE, "delete", "secret", memory], &helms);
    eve.may_not(&["delete", "--raw", &all("secrets")], &helms);
    eve.may_not(
        &["-n", RELEASE, "create", "secret", "generic", "sh.helm.release.v1.bailiwick.v9"],
        "belongs to the Bailiwick operator",
    );
    eve.does(&["-n", RELEASE, "create", "secret", "generic", "sh.helm.release.v1.theirs.v1"]);
    // Other objects beside it work as before.
    eve.does(&["-n", RELEASE, "create", "configmap", "theirs"]);
    eve.does(&["-n", RELEASE, "create", "deployment", "theirs", "--image=example"]);
    eve.does(&["-n", RELEASE, "scale", "deployment", "theirs", "--replicas=0"]);
    eve.does(&["-n", RELEASE, "delete", "deployment", "theirs"]);
    eve.does(&["-n", RELEASE, "delete", "configmap", "theirs"]);
}

/// The managers of the namespace could not remove an object with these labels; and the operator's Deployment would
/// adopt one with its selector's labels.
fn nobody_imitates_it(eve: &Person) {
    let label = "labels: {app.kubernetes.io/part-of: bailiwick}, ";
    let posing = "the label app.kubernetes.io/part-of: bailiwick is reserved for the Bailiwick installation";
    let config =
        |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{{label}{name}, namespace: alpha}}}}");
    eve.may_not_create(&config("name: x"), posing);
    eve.may_not_create(&config("generateName: x"), posing);
    eve.creates(&config("name: x").replace(label, ""));
    eve.may_not(
        &["-n", "alpha", "label", "configmap", "x", "app.kubernetes.io/part-of=bailiwick"],
        "x belongs to the Bailiwick installation",
    );
    let selected = "labels: {app.kubernetes.io/name: bailiwick, app.kubernetes.io/instance: bailiwick, pod-template-hash: x}, name: ";
    let stray = pod(RELEASE, "stray", "serviceAccountName: default");
    eve.may_not_create(&stray.replacen("name: ", selected, 1), "stray belongs to the Bailiwick operator");
    eve.may_not_create(
        &stray.replacen("name: ", selected, 1).replace("name: stray", "generateName: stray-"),
        "belongs to the Bailiwick operator",
    );
    eve.creates(&stray);
    eve.may_not(
        &[
            "-n",
            RELEASE,
            "label",
            "pod",
            "stray",
            "app.kubernetes.io/name=bailiwick",
            "app.kubernetes.io/instance=bailiwick",
        ],
        "stray belongs to the Bailiwick operator",
    );
    eve.creates(&stray.replacen("name: ", selected, 1).replace(RELEASE, "alpha"));
    nobody_has_a_controller_imitate_it(eve);
    // Helm finds its stored state of a release by these labels.
    let memory = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: theirs, namespace: {RELEASE}, labels: {{owner: helm, name: bailiwick}}}}}}"
    );
    eve.may_not_create(&memory, "theirs belongs to the Bailiwick operator");
    eve.creates(&memory.replace("name: bailiwick", "name: theirs"));
}

/// Controllers' objects from a template are not checked again; orphaned ones would be adopted by the operator's own
/// controller.
fn nobody_has_a_controller_imitate_it(eve: &Person) {
    let workload = |version: &str, kind: &str, labels: &str| {
        let restart = if kind.ends_with("Job") { "restartPolicy: Never, " } else { "" };
        let template = format!(
            "template: {{metadata: {{labels: {{{labels}}}}}, spec: {{{restart}containers: [{{name: c, image: example}}]}}}}"
        );
        let body = match kind {
            "PodTemplate" => template,
            "Job" => format!("spec: {{{template}}}"),
            "CronJob" => format!("spec: {{schedule: '0 0 1 1 *', jobTemplate: {{spec: {{{template}}}}}}}"),
            "ReplicationController" => format!("spec: {{selector: {{{labels}}}, {template}}}"),
            _ => format!("spec: {{selector: {{matchLabels: {{{labels}}}}}, {template}}}"),
        };
        let name = format!("stray-{}", kind.to_lowercase());
        format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}, namespace: {RELEASE}}}, {body}}}\n")
    };
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "ReplicationController"),
        ("batch/v1", "Job"),
        ("batch/v1", "CronJob"),
        ("v1", "PodTemplate"),
    ] {
        let refusal = format!("stray-{} belongs to the Bailiwick operator", kind.to_lowercase());
        let imitating =
            workload(version, kind, "app.kubernetes.io/name: bailiwick, app.kubernetes.io/instance: bailiwick");
        eve.may_not_create(&imitating, &refusal);
        eve.creates(&workload(version, kind, "app.kubernetes.io/name: theirs"));
        // The others' templates, or their labels, are immutable.
        if matches!(kind, "CronJob" | "PodTemplate") {
            eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], &imitating, &refusal);
        }
    }
}

/// Controllers label it, set its Pod Security level, or delete it, as native RBAC allows; the record of the claim has
/// its own policy (`namespace_claims.rs`).
fn a_namespace_is_its_teams_but_for_the_release_namespace(site: &Site) {
    let controller = site.person("controller");
    controller.holds(
        "",
        "[{apiGroups: [''], resources: [namespaces, namespaces/status, namespaces/finalize], verbs: ['*']}]",
    );
    // An older chart labelled the namespaces that it created.
    for label in ["a=b", "pod-security.kubernetes.io/enforce=restricted", "app.kubernetes.io/part-of=bailiwick", "c=d"]
    {
        controller.does(&["label", "namespace", "alpha", "--overwrite", label]);
    }
    controller.does(&["annotate", "namespace", "alpha", "a=b"]);
    let metadata = r#"{"metadata":{"annotations":{"c":"d"},"finalizers":["example.com/mine"]}}"#;
    controller.does(&["patch", "namespace", "alpha", "--type=merge", "-p", metadata]);
    controller.does(&["patch", "namespace", "alpha", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    controller.does(&["patch", "namespace", "alpha", "--subresource=status", "--type=merge", "-p", metadata]);
    let mut namespace = site.cluster.get(&["namespace", "alpha"]);
    namespace["spec"]["finalizers"] = serde_json::json!(["kubernetes", "example.com/mine"]);
    controller.does_with(&["replace", "--raw", "/api/v1/namespaces/alpha/finalize"], &namespace.to_string());
    controller.creates(
        "{apiVersion: v1, kind: Namespace, metadata: {name: more, labels: {app.kubernetes.io/part-of: bailiwick}}}",
    );
    controller.does(&["delete", "namespace", "more", "--wait=false"]);
    // Kubernetes lets an administrator of a namespace change the Namespace itself, except for the operator's.
    let nat = site.person("nat");
    site.cluster.run(&["-n", RELEASE, "create", "rolebinding", "nat", "--clusterrole=cluster-admin", "--user=nat"]);
    nat.may_not(&["delete", "namespace", RELEASE], "bailiwick-system belongs to the Bailiwick operator: nat needs");
    let owned = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"u"}]}}"#;
    nat.may_not(
        &["patch", "namespace", RELEASE, "--type=merge", "-p", owned],
        "bailiwick-system belongs to the Bailiwick operator: nat needs",
    );
    nat.does(&["label", "namespace", RELEASE, "a=b"]);
    // As before, one with the chart's label is guarded as a whole.
    site.cluster.run(&["label", "namespace", RELEASE, "app.kubernetes.io/part-of=bailiwick"]);
    nat.may_not(&["label", "namespace", RELEASE, "a=c", "--overwrite"], "belongs to the Bailiwick installation");
}

#[test]
fn the_operators_pods_and_its_lease_are_left_alone() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("", NATIVE_ADMIN);
    eve.soon_may_not(
        &["-n", RELEASE, "scale", "deployment", "bailiwick", "--replicas=0"],
        "bailiwick belongs to the Bailiwick operator",
    );
    let labelled = "labels: {app.kubernetes.io/part-of: bailiwick}, name: ";
    cluster.apply(&pod(RELEASE, "bailiwick-1", "serviceAccountName: default").replacen("name: ", labelled, 1));
    cluster.apply(&pod(RELEASE, "other", "serviceAccountName: default"));
    cluster.apply(&pod("alpha", "bailiwick-1", "serviceAccountName: default"));
    for subresource in ["exec?command=ls&container=c", "attach?container=c", "portforward", "proxy"] {
        let refusal = "bailiwick-1 belongs to the Bailiwick operator: eve needs the verb \"override\" on it";
        super::refused(eve.connects(RELEASE, "bailiwick-1", subresource), refusal, subresource);
        for (namespace, pod) in [(RELEASE, "other"), ("alpha", "bailiwick-1")] {
            let answer = eve.connects(namespace, pod, subresource).unwrap_err();
            assert!(!answer.contains("ValidatingAdmissionPolicy") && !answer.contains("cannot"), "{answer}");
        }
    }
    let proxied = eve.tries(&["get", "--raw", &format!("/api/v1/namespaces/{RELEASE}/pods/bailiwick-1/proxy/metrics")]);
    super::refused(proxied, "bailiwick-1 belongs to the Bailiwick operator", "proxy");
    for words in
        [vec!["delete", "pod", "bailiwick-1"], vec!["label", "pod", "bailiwick-1", "app.kubernetes.io/part-of-"]]
    {
        eve.may_not(&[vec!["-n", RELEASE], words].concat(), "bailiwick-1 belongs to the Bailiwick installation");
    }
    let debug = r#"{"spec":{"ephemeralContainers":[{"name":"d","image":"example"}]}}"#;
    let strip = r#"{"metadata":{"labels":{"app.kubernetes.io/part-of":null}}}"#;
    for (subresource, patch) in [("ephemeralcontainers", debug), ("status", strip)] {
        let words = [
            "-n",
            RELEASE,
            "patch",
            "pod",
            "bailiwick-1",
            "--type=strategic",
            "--subresource",
            subresource,
            "-p",
            patch,
        ];
        eve.may_not(&words, "bailiwick-1 belongs to the Bailiwick installation");
    }
    eve.does(&["-n", RELEASE, "delete", "pod", "other", "--force"]);

    // The Lease, which the operator writes itself, without labels.
    let lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: bailiwick, namespace: bailiwick-system}, spec: {holderIdentity: eve}}";
    eve.may_not_create(lease, "bailiwick belongs to the Bailiwick operator");
    cluster.apply(lease);
    let all = format!("/apis/coordination.k8s.io/v1/namespaces/{RELEASE}/leases");
    eve.may_not(&["delete", "--raw", &all], "bailiwick belongs to the Bailiwick operator");
    for words in [vec!["delete", "lease", "bailiwick"], vec!["annotate", "lease", "bailiwick", "a=b"]] {
        eve.may_not(&[vec!["-n", RELEASE], words].concat(), "bailiwick belongs to the Bailiwick operator");
    }
    eve.creates(&lease.replace("name: bailiwick,", "name: theirs,"));
    eve.does(&["-n", RELEASE, "delete", "lease", "theirs"]);
}

/// By default the default organization holds the release namespace, and its managers have nearly every right there.
#[test]
fn the_managers_of_the_default_organization_work_beside_the_operator_and_not_on_it() {
    let site = Site::with_operator("{}");
    let cluster = &site.cluster;
    cluster.apply(&(users(&["ada"]) + &binding(RELEASE, "managers", "SiteRole/organization-manager", &["ada"])));
    let username = "ada@example.com";
    cluster.can(&Question::of(username, RELEASE), &["create deployments.apps", "create rolebindings.bailiwick.dev"]);
    let ada = site.person(username);
    let at_home = |words: &[&'static str]| [&["-n", RELEASE][..], words].concat();
    for words in [&["delete", "deployment", "bailiwick"][..], &["delete", "deployments", "--all"]] {
        ada.may_not(&at_home(words), "bailiwick belongs to the Bailiwick installation");
    }
    // Two policies refuse these, and either may answer.
    for words in [
        &["set", "image", "deployment", "bailiwick", "bailiwick=mine"][..],
        &["patch", "deployment", "bailiwick", "--type=merge", "-p", r#"{"spec":{"replicas":0}}"#],
    ] {
        ada.may_not(&at_home(words), "deployments.apps \"bailiwick\" is forbidden: ValidatingAdmissionPolicy");
    }
    let guarded = "ServiceAccount bailiwick-system/bailiwick is guarded: ada@example.com needs the verb \"use\" on it";
    ada.may_not_create(&pod(RELEASE, "mine", "serviceAccountName: bailiwick"), guarded);
    cluster.apply(&pod(RELEASE, "bailiwick-1", "serviceAccountName: default"));
    let refused = ada.connects(RELEASE, "bailiwick-1", "exec?command=ls");
    // A manager may not `use` workspaces; with that right, the policy refuses.
    assert!(refused.unwrap_err().contains("cannot create resource \"pods/exec\""));
    ada.holds(RELEASE, "[{apiGroups: [''], resources: [pods/exec], verbs: [get, create]}]");
    super::refused(
        ada.connects(RELEASE, "bailiwick-1", "exec?command=ls"),
        "bailiwick-1 belongs to the Bailiwick operator",
        "exec",
    );
    // Their own work continues.
    ada.does(&at_home(&["create", "deployment", "theirs", "--image=example"]));
    ada.does(&at_home(&["patch", "deployment", "theirs", "--type=merge", "-p", r#"{"spec":{"replicas":3}}"#]));
    ada.creates(&custom_role(RELEASE, "deleter", DELETER));
    ada.creates(&binding(RELEASE, "deleters", "CustomRole/deleter", &["ada"]));
    ada.does(&at_home(&["delete", "deployment", "theirs"]));
    cluster.settle();
    // And the administrator can uninstall it.
    let output =
        cluster.plane.helm(&cluster.admin).args(["uninstall", "bailiwick", "--namespace", RELEASE]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
