//! Nobody can use a guarded ServiceAccount: neither through a workload of any kind, nor through a token.

use super::{Person, Site, VALUES, pod, pod_spec};
use crate::support::RELEASE;

const EVERYTHING_THAT_RUNS: &str = r#"[
  {apiGroups: ["", apps, batch], verbs: [get, list, create, update, patch, delete, deletecollection], resources: [
    pods, pods/ephemeralcontainers, secrets, serviceaccounts, replicationcontrollers, podtemplates,
    deployments, statefulsets, daemonsets, replicasets, controllerrevisions, jobs, cronjobs]},
  {apiGroups: [""], resources: [serviceaccounts/token], verbs: [create]}]"#;
const USE: &str = "[{apiGroups: [''], resources: [serviceaccounts], resourceNames: [deployer], verbs: [use]}]";
const GUARDED: &str = "ServiceAccount alpha/deployer is guarded: eve needs the verb \"use\" on it";

/// Every built-in kind that creates Pods, with the Pod's `spec` in its place.
fn workloads(spec: &str) -> Vec<(&'static str, String)> {
    let template = format!("{{metadata: {{labels: {{a: b}}}}, spec: {spec}}}");
    let always = |version: &str, kind: &str, more: &str| {
        format!(
            "{{apiVersion: {version}, kind: {kind}, metadata: {{name: trial, namespace: alpha}}, spec: {{{more}\
             selector: {{matchLabels: {{a: b}}}}, template: {template}}}}}"
        )
    };
    let once = spec.replacen('{', "{restartPolicy: Never, ", 1);
    let simple = |version: &str, kind: &str, rest: &str| {
        format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: trial, namespace: alpha}}, {rest}}}")
    };
    vec![
        ("pods", simple("v1", "Pod", &format!("spec: {spec}"))),
        ("deployments.apps", always("apps/v1", "Deployment", "")),
        ("statefulsets.apps", always("apps/v1", "StatefulSet", "serviceName: x, ")),
        ("daemonsets.apps", always("apps/v1", "DaemonSet", "")),
        ("replicasets.apps", always("apps/v1", "ReplicaSet", "")),
        (
            "replicationcontrollers",
            simple("v1", "ReplicationController", &format!("spec: {{selector: {{a: b}}, template: {template}}}")),
        ),
        ("podtemplates", simple("v1", "PodTemplate", &format!("template: {template}"))),
        ("jobs.batch", simple("batch/v1", "Job", &format!("spec: {{template: {{spec: {once}}}}}"))),
        (
            "cronjobs.batch",
            simple(
                "batch/v1",
                "CronJob",
                &format!("spec: {{schedule: '@daily', jobTemplate: {{spec: {{template: {{spec: {once}}}}}}}}}"),
            ),
        ),
        (
            "controllerrevisions.apps",
            simple("apps/v1", "ControllerRevision", &format!("revision: 1, data: {{spec: {{template: {template}}}}}")),
        ),
    ]
}

#[test]
fn a_guarded_service_account_is_borrowed_by_nobody() {
    let site = Site::with_chart(VALUES);
    let eve = site.person("eve");
    for namespace in ["alpha", "beta", RELEASE] {
        eve.holds(namespace, EVERYTHING_THAT_RUNS);
    }
    for namespace in ["alpha", "beta"] {
        site.cluster.run(&["-n", namespace, "create", "serviceaccount", "deployer"]);
        site.cluster.run(&["-n", namespace, "create", "serviceaccount", "plain"]);
    }
    site.cluster.run(&["-n", "alpha", "label", "serviceaccount", "deployer", "bailiwick.dev/guarded=true"]);
    eve.soon_may_not_create(&pod("alpha", "trial", "serviceAccountName: deployer"), GUARDED);

    no_kind_of_workload_names_it(&eve);
    no_token_is_made_for_it(&eve);
    nobody_takes_the_guard_off(&eve);
    what_runs_as_it_is_not_changed(&eve);
    nobody_borrows_the_operators(&eve);

    // With the verb, all of it.
    eve.holds("alpha", USE);
    for (kind, object) in workloads(&pod_spec("serviceAccountName: deployer")) {
        eve.creates(&object);
        eve.does(&["-n", "alpha", "delete", kind, "trial", "--force"]);
    }
    eve.does(&["-n", "alpha", "create", "token", "deployer"]);
    eve.does(&["-n", "alpha", "annotate", "serviceaccount", "deployer", "a=b"]);
    eve.creates(&token_secret("deployer"));
    eve.does(&["-n", "alpha", "delete", "serviceaccount", "deployer"]);
}

fn no_kind_of_workload_names_it(eve: &Person) {
    for fields in
        ["serviceAccountName: deployer", "serviceAccount: deployer", "serviceAccountName: '', serviceAccount: deployer"]
    {
        for (_, object) in workloads(&pod_spec(fields)) {
            eve.may_not_create(&object, GUARDED);
        }
    }
    // Another one, or none, works as before; but changing one into the other does not.
    for (kind, object) in workloads(&pod_spec("serviceAccountName: plain")) {
        eve.creates(&object);
        eve.does(&["-n", "alpha", "label", kind, "trial", "x=y"]);
        if ["deployments.apps", "statefulsets.apps", "daemonsets.apps", "podtemplates", "cronjobs.batch"]
            .contains(&kind)
        {
            let change = object.replace("serviceAccountName: plain", "serviceAccountName: deployer");
            eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], &change, GUARDED);
            eve.may_not_with(&["replace"], &change, GUARDED);
        }
        eve.does(&["-n", "alpha", "delete", kind, "trial", "--force"]);
    }
    for (kind, object) in workloads(&pod_spec("restartPolicy: Always").replace("restartPolicy: Always, ", "")) {
        eve.creates(&object);
        eve.does(&["-n", "alpha", "delete", kind, "trial", "--force"]);
    }
    let nameless = pod("alpha", "trial", "serviceAccountName: deployer").replace("name: trial", "generateName: trial-");
    eve.may_not_create(&nameless, GUARDED);
    // The same name in another namespace is another ServiceAccount.
    eve.creates(&pod("beta", "trial", "serviceAccountName: deployer"));
}

fn token_secret(account: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {{name: token-of-{account}, \
         namespace: alpha, annotations: {{kubernetes.io/service-account.name: {account}}}}}}}"
    )
}

fn no_token_is_made_for_it(eve: &Person) {
    eve.may_not(&["-n", "alpha", "create", "token", "deployer"], GUARDED);
    eve.may_not_create(&token_secret("deployer"), GUARDED);
    eve.does(&["-n", "alpha", "create", "token", "plain"]);
    eve.does(&["-n", "beta", "create", "token", "deployer"]);
    eve.creates(&token_secret("plain"));
    eve.may_not(
        &[
            "-n",
            "alpha",
            "annotate",
            "secret",
            "token-of-plain",
            "kubernetes.io/service-account.name=deployer",
            "--overwrite",
        ],
        GUARDED,
    );
    // A Secret with its name is something else.
    eve.does(&["-n", "alpha", "create", "secret", "generic", "deployer"]);
    eve.does(&["-n", "alpha", "annotate", "secret", "deployer", "kubernetes.io/service-account.name=deployer"]);
    eve.does(&["-n", "alpha", "delete", "secret", "deployer"]);
}

fn nobody_takes_the_guard_off(eve: &Person) {
    let account = ["-n", "alpha", "label", "serviceaccount", "deployer"];
    eve.may_not(&[&account[..], &["bailiwick.dev/guarded-"]].concat(), GUARDED);
    eve.may_not(&[&account[..], &["bailiwick.dev/guarded=false", "--overwrite"]].concat(), GUARDED);
    let bare = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: alpha}}";
    eve.may_not_with(&["replace"], bare, GUARDED);
    let other = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: alpha, labels: {bailiwick.dev/guarded: 'no'}}}";
    eve.may_not_with(&["apply", "--server-side", "--force-conflicts"], other, GUARDED);
    eve.may_not(&["-n", "alpha", "delete", "serviceaccount", "deployer"], GUARDED);
    eve.may_not(&["delete", "--raw", "/api/v1/namespaces/alpha/serviceaccounts"], GUARDED);
    assert!(eve.site.cluster.exists(&["-n", "alpha", "serviceaccount", "deployer"]));
    eve.does(&["-n", "beta", "delete", "serviceaccount", "deployer"]);
    eve.does(&["-n", "alpha", "annotate", "serviceaccount", "plain", "a=b"]);
}

fn what_runs_as_it_is_not_changed(eve: &Person) {
    let cluster = &eve.site.cluster;
    cluster.apply(&pod("alpha", "running", "serviceAccountName: deployer"));
    let debug = r#"{"spec":{"ephemeralContainers":[{"name":"d","image":"example"}]}}"#;
    let patch = [
        "-n",
        "alpha",
        "patch",
        "pod",
        "running",
        "--subresource=ephemeralcontainers",
        "--type=strategic",
        "-p",
        debug,
    ];
    eve.may_not(&patch, GUARDED);
    let image = r#"[{"op":"replace","path":"/spec/containers/0/image","value":"mine"}]"#;
    eve.may_not(&["-n", "alpha", "patch", "pod", "running", "--type=json", "-p", image], GUARDED);
    // Adding or removing a label does not use it.
    eve.does(&["-n", "alpha", "label", "pod", "running", "x=y"]);
    eve.does(&["-n", "alpha", "delete", "pod", "running", "--force"]);
}

fn nobody_borrows_the_operators(eve: &Person) {
    let guarded = "ServiceAccount bailiwick-system/bailiwick is guarded: eve needs the verb \"use\" on it";
    eve.may_not_create(&pod(RELEASE, "trial", "serviceAccountName: bailiwick"), guarded);
    eve.may_not(&["-n", RELEASE, "create", "token", "bailiwick"], guarded);
    // Two policies refuse this, and either may answer.
    eve.may_not(&["-n", RELEASE, "delete", "serviceaccount", "bailiwick"], "ValidatingAdmissionPolicy");
    eve.creates(&pod(RELEASE, "trial", "serviceAccountName: default"));
}

#[test]
fn kubernetes_itself_goes_on_with_what_was_admitted() {
    let site = Site::with_chart(VALUES);
    let cluster = &site.cluster;
    let eve = site.person("eve");
    eve.holds("alpha", EVERYTHING_THAT_RUNS);
    cluster.run(&["-n", "alpha", "create", "serviceaccount", "deployer"]);
    cluster.run(&["-n", "alpha", "label", "serviceaccount", "deployer", "bailiwick.dev/guarded=true"]);
    let runs = pod("alpha", "trial", "serviceAccountName: deployer");
    eve.soon_may_not_create(&runs, GUARDED);
    // The controllers that create Pods do not run here, so this simulates them with an identity of theirs.
    let controller = site.service_account("kube-system", "default");
    controller.holds("alpha", EVERYTHING_THAT_RUNS);
    controller.creates(&runs);
    let node = site.person_in("system:node:one", &["system:nodes"]);
    node.holds("alpha", EVERYTHING_THAT_RUNS);
    // The API server binds such a token to the Pod, and requires more of a node than we do.
    let answer = node.tries(&["-n", "alpha", "create", "token", "deployer"]);
    assert!(!format!("{answer:?}").contains("is guarded"), "{answer:?}");
    // The chart's own Deployment names a guarded one: the administrator can still install it.
    let output =
        cluster.helm_upgrade("{namespaceWhitelist: [alpha, beta], replicas: 1, defaultOrganization: {create: false}}");
    assert!(output.status.success(), "{}", crate::support::text(&output));
    // And a namespace with a guarded one can be deleted.
    cluster.run(&["create", "namespace", "gamma"]);
    cluster.run(&["-n", "gamma", "create", "serviceaccount", "deployer"]);
    cluster.run(&["-n", "gamma", "label", "serviceaccount", "deployer", "bailiwick.dev/guarded=true"]);
    cluster.run(&["delete", "namespace", "gamma", "--timeout=60s"]);
}
