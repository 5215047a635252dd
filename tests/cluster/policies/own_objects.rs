//! Own objects: a member changes and deletes what is theirs and nothing else. Attacked by a teammate with the same
//! rights, beside people with other rights.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Person, Site};
use crate::support::RELEASE;
use crate::support::manifests::{binding, custom_role, group, organization, users};

const VALUES: &str = "
namespaceWhitelist: [alpha]
defaultOrganization: {create: false}
config: {users: {joinDefaultOrganization: false}}
";
const OWNER: &str = "bailiwick.dev/owner";

fn deployment(name: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}, namespace: alpha}}, spec: {{\
         selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
         spec: {{containers: [{{name: c, image: example}}]}}}}}}}}"
    )
}

/// Organization alpha with the members ada and ben, and the manager max.
fn team() -> Site {
    let site = Site::with_operator(VALUES);
    let cluster = &site.cluster;
    cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &users(&["ada", "ben", "max"])
            + &group("alpha", "team", &["ada", "ben"])
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["max"])),
    );
    cluster.settle();
    site
}

impl Site {
    fn member(&self, name: &str) -> Person<'_> {
        self.person(&format!("{name}@example.com"))
    }

    /// The owner of an object in alpha, or of one of its templates.
    fn owner(&self, object: &str, metadata: &str) -> Value {
        let (kind, name) = object.split_once('/').unwrap();
        let object = self.cluster.get(&["-n", "alpha", kind, name]);
        object.pointer(metadata).unwrap_or(&Value::Null)["annotations"][OWNER].clone()
    }
}

impl Person<'_> {
    fn patch(&self, object: &str, patch: &Value) -> Result<String, String> {
        self.tries(&["-n", "alpha", "patch", object, "--type=merge", "-p", &patch.to_string()])
    }
}

fn annotated(owner: &Value) -> Value {
    json!({"metadata": {"annotations": {OWNER: owner}}})
}

/// What people do all day, without a pause: nothing may wait for the operator.
#[test]
fn a_member_changes_and_deletes_own_objects_at_once() {
    let site = team();
    let ada = site.member("ada");
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    for round in 0..rounds {
        let (web, api) = (format!("deployment/web-{round}"), format!("deployment/api-{round}"));
        let manifest = deployment(&format!("web-{round}"));
        ada.does_with(&["apply"], &manifest);
        ada.does_with(&["apply"], &manifest.replace("image: example", "image: other"));
        ada.does_with(&["apply", "--server-side"], &deployment(&format!("api-{round}")));
        ada.does_with(&["apply", "--server-side"], &deployment(&format!("api-{round}")));
        ada.does(&["-n", "alpha", "rollout", "restart", &web]);
        ada.does(&["-n", "alpha", "set", "image", &web, "c=third"]);
        let mut edit = site.cluster.plane.kubectl(&ada.kubeconfig);
        let edited = edit.args(["-n", "alpha", "edit", &web]).env("KUBE_EDITOR", "sed -i s/third/fourth/").output();
        assert!(edited.unwrap().status.success());
        ada.does(&["-n", "alpha", "label", &api, "tier=back"]);
        ada.does(&["-n", "alpha", "delete", &web, &api, "--wait=false"]);
    }
}

#[test]
fn a_teammate_cannot_touch_them_and_others_can() {
    let site = team();
    let [ada, ben, max] = ["ada", "ben", "max"].map(|name| site.member(name));
    let eve = site.person("eve");
    site.cluster.run(&["-n", "alpha", "create", "rolebinding", "eve", "--clusterrole=edit", "--user=eve"]);
    ada.creates(&deployment("web"));
    ada.creates(&deployment("api"));
    assert_eq!(site.owner("deployment/web", "/metadata"), "ada@example.com");

    let scale = json!({"spec": {"replicas": 3}});
    let change =
        "deployments web belongs to ada@example.com, and ben@example.com may change only their own. Ask the owner";
    super::refused(ben.patch("deployment/web", &scale), change, "a merge patch");
    ben.may_not_with(&["apply", "--server-side", "--force-conflicts"], &deployment("web"), change);
    ben.may_not_with(&["apply"], &deployment("web").replace("example", "evil"), change);
    ben.may_not(&["-n", "alpha", "patch", "deployment/web", "--dry-run=server", "-p", &scale.to_string()], change);
    ben.may_not(&["-n", "alpha", "delete", "deployment/web"], "may delete only their own");
    ben.may_not(&["-n", "alpha", "delete", "deployments", "--all"], "may delete only their own");
    ben.may_not(&["delete", "--raw", "/apis/apps/v1/namespaces/alpha/deployments"], "cannot deletecollection");
    ben.may_not(&["-n", "alpha", "scale", "deployment/web", "--replicas=9"], "deployments/scale");
    ben.may_not_with(&["replace"], &deployment("web"), "cannot update resource");
    let status = ["-n", "alpha", "patch", "deployment/web", "--subresource=status", "-p", "{}"];
    ben.may_not(&status, "resource \"deployments/status\"");
    // Rights that do not come from Bailiwick, and those on all objects, are as before.
    assert!(eve.patch("deployment/web", &scale).is_ok());
    assert!(max.patch("deployment/web", &scale).is_ok());
    eve.does(&["-n", "alpha", "delete", "deployment/web", "--wait=false"]);
    max.does(&["-n", "alpha", "delete", "deployment/api", "--wait=false"]);

    // Whoever holds both holds the sum: a native right by name reaches what it names.
    ada.creates(&deployment("named"));
    let named = "[{apiGroups: [apps], resources: [deployments], resourceNames: [named], verbs: [update, patch]}]";
    ben.holds("alpha", named);
    site.cluster.eventually("the native right takes effect", || ben.patch("deployment/named", &scale).is_ok());
    ben.may_not(&["-n", "alpha", "delete", "deployment/named"], "may delete only their own");
}

/// Rights on all objects to change, and on own ones to delete: neither reaches further because of the other.
#[test]
fn changing_all_and_deleting_own_stay_apart() {
    let site = team();
    let permissions = "{permissions: [{resource: workspaces, actions: [update]}]}";
    let wide = custom_role("alpha", "wide", permissions) + &binding("alpha", "wide", "CustomRole/wide", &["ben"]);
    site.cluster.apply(&wide);
    site.cluster.settle();
    let (ada, ben) = (site.member("ada"), site.member("ben"));
    ada.creates(&deployment("web"));
    assert!(ben.patch("deployment/web", &json!({"spec": {"replicas": 2}})).is_ok());
    ben.may_not(&["-n", "alpha", "delete", "deployment/web"], "may delete only their own");
}

#[test]
fn nobody_forges_drops_or_copies_an_owner() {
    let site = team();
    let [ada, ben, max] = ["ada", "ben", "max"].map(|name| site.member(name));
    site.cluster.run(&["-n", "alpha", "create", "rolebinding", "eve", "--clusterrole=edit", "--user=eve"]);
    let eve = site.person("eve");

    // On create, also in templates.
    let mut forged: Value = serde_yaml::from_str(&deployment("web")).unwrap();
    forged["metadata"]["annotations"] = json!({OWNER: "ben@example.com"});
    forged["spec"]["template"]["metadata"]["annotations"] = json!({OWNER: "ben@example.com"});
    ada.creates(&forged.to_string());
    for place in ["/metadata", "/spec/template/metadata"] {
        assert_eq!(site.owner("deployment/web", place), "ada@example.com", "{place}");
    }
    // On update, by the owner and by people with more rights: changed, removed, in a PUT, in a status.
    for owner in [json!("ben@example.com"), json!(""), Value::Null] {
        for person in [&ada, &eve] {
            drop(person.patch("deployment/web", &annotated(&owner)));
            drop(person.patch("deployment/web", &json!({"spec": {"template": annotated(&owner)}})));
            for place in ["/metadata", "/spec/template/metadata"] {
                assert_eq!(site.owner("deployment/web", place), "ada@example.com", "{owner} by {}", person.name);
            }
        }
    }
    eve.does_with(&["replace"], &deployment("web"));
    assert_eq!(site.owner("deployment/web", "/metadata"), "ada@example.com");
    site.give(
        "{apiGroup: rbac.authorization.k8s.io, kind: User, name: eve}",
        "alpha",
        "[{apiGroups: [apps], resources: [deployments/status], verbs: [get, update, patch]}]",
    );
    let forge = annotated(&json!("eve")).to_string();
    let status = ["-n", "alpha", "patch", "deployment/web", "--subresource=status", "--type=merge", "-p", &forge];
    site.cluster.eventually("eve may write the status", || eve.tries(&status).is_ok());
    assert_eq!(site.owner("deployment/web", "/metadata"), "ada@example.com");

    // Kubernetes' controllers copy the owner from the template. (The controllers that do are in hack/e2e.)
    site.cluster.run(&["-n", "kube-system", "create", "serviceaccount", "replicaset-controller"]);
    let controller = site.service_account("kube-system", "replicaset-controller");
    controller.holds("alpha", "[{apiGroups: [''], resources: [pods], verbs: [create]}]");
    let pod = super::pod("alpha", "web-1", "serviceAccountName: default");
    let owned =
        pod.replace("namespace: alpha", "namespace: alpha, annotations: {bailiwick.dev/owner: ada@example.com}");
    site.cluster.eventually("the controller creates the Pod", || controller.tries_with(&["create"], &owned).is_ok());
    assert_eq!(site.owner("pod/web-1", "/metadata"), "ada@example.com");
    ada.does(&["-n", "alpha", "label", "pod/web-1", "a=b"]);

    // A Job adopts by labels, and an owner reference blocks a deletion.
    let job = "{apiVersion: batch/v1, kind: Job, metadata: {name: thief, namespace: alpha}, spec: {manualSelector: true, \
               selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Never, \
               containers: [{name: c, image: example}]}}}}";
    let jobs = "{permissions: [{resource: jobs, actions: [create, read]}]}";
    site.cluster.apply(&(custom_role("alpha", "jobs", jobs) + &binding("alpha", "jobs", "CustomRole/jobs", &["ben"])));
    site.cluster.settle();
    ben.may_not_create(job, "`manualSelector` is only for those who may update every Job");
    let uid = site.cluster.get(&["-n", "alpha", "deployment", "web"])["metadata"]["uid"].clone();
    let reference =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "blockOwnerDeletion": true});
    let mut dependent: Value = serde_yaml::from_str(&deployment("dependent")).unwrap();
    dependent["metadata"]["ownerReferences"] = json!([reference]);
    ben.may_not_create(&dependent.to_string(), "owner references with `controller` or `blockOwnerDeletion`");

    // Nor is there a way in two steps.
    let mut harmless = dependent["metadata"]["ownerReferences"][0].clone();
    harmless.as_object_mut().unwrap().remove("blockOwnerDeletion");
    dependent["metadata"]["ownerReferences"] = json!([harmless]);
    ben.creates(&dependent.to_string());
    for flag in ["controller", "blockOwnerDeletion"] {
        let mut raised = harmless.clone();
        raised[flag] = true.into();
        let patch = json!({"metadata": {"ownerReferences": [raised]}});
        super::refused(ben.patch("deployment/dependent", &patch), "owner references with `controller`", flag);
    }
    assert!(ben.patch("deployment/dependent", &json!({"spec": {"replicas": 2}})).is_ok());

    // Holders of `transfer` give an object to somebody else, or restore it with its owner. An update that only drops the
    // annotation is no transfer.
    assert!(max.patch("deployment/web", &annotated(&json!("ben@example.com"))).is_ok());
    assert_eq!(site.owner("deployment/web", "/metadata"), "ben@example.com");
    assert!(max.patch("deployment/web", &annotated(&Value::Null)).is_ok());
    assert_eq!(site.owner("deployment/web", "/metadata"), "ben@example.com");
    assert!(ben.patch("deployment/web", &json!({"spec": {"replicas": 2}})).is_ok());
    super::refused(ada.patch("deployment/web", &json!({"spec": {"replicas": 3}})), "belongs to ben@example.com", "ada");
    forged["metadata"]["name"] = "restored".into();
    site.cluster.apply(&forged.to_string());
    assert_eq!(site.owner("deployment/restored", "/metadata"), "ben@example.com");
    assert_eq!(site.owner("deployment/restored", "/spec/template/metadata"), "ben@example.com");
}

#[test]
fn templates_of_volumes_and_jobs_have_the_owner_too() {
    let site = team();
    let ada = site.member("ada");
    let set = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: alpha}, spec: {serviceName: db, \
               selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, \
               spec: {containers: [{name: c, image: example}]}}, volumeClaimTemplates: [{metadata: {name: data, \
               annotations: {bailiwick.dev/owner: ben@example.com}}, spec: {accessModes: [ReadWriteOnce], \
               resources: {requests: {storage: 1Gi}}}}]}}";
    ada.creates(set);
    assert_eq!(site.owner("statefulset/db", "/spec/volumeClaimTemplates/0/metadata"), "ada@example.com");
    ada.does(&["-n", "alpha", "label", "statefulset/db", "tier=back"]);
    // Nobody may change these templates afterwards, and a manifest that is applied again has them without the owner.
    let plain = set.replace("annotations: {bailiwick.dev/owner: ben@example.com}", "");
    for (name, apply) in [("client", &["apply"][..]), ("server", &["apply", "--server-side"])] {
        let set = plain.replace("name: db", &format!("name: {name}"));
        ada.does_with(apply, &set);
        ada.does_with(apply, &set.replace("image: example", "image: other"));
        let owner = site.owner(&format!("statefulset/{name}"), "/spec/volumeClaimTemplates/0/metadata");
        assert_eq!(owner, "ada@example.com");
    }
    // A forged one is no change either.
    let forged =
        "[{op: add, path: /spec/volumeClaimTemplates/0/metadata/annotations, value: {bailiwick.dev/owner: eve}}]";
    ada.does(&["-n", "alpha", "patch", "statefulset/client", "--type=json", "-p", forged]);

    let cron_job = "{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: alpha}, \
                    spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, \
                    containers: [{name: c, image: example}]}}}}}}";
    site.cluster.apply(cron_job);
    for place in ["/metadata", "/spec/jobTemplate/metadata", "/spec/jobTemplate/spec/template/metadata"] {
        assert_eq!(site.owner("cronjob/nightly", place), "admin", "{place}");
    }
}

/// Objects from before have no owner. Their templates stay as they are, so that no Pod is replaced.
#[test]
fn an_object_from_before_belongs_to_nobody_until_it_is_given_to_somebody() {
    let site = Site::with_operator(VALUES);
    site.cluster.apply(&deployment("old"));
    site.cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}")
            + &users(&["ada", "max"])
            + &group("alpha", "team", &["ada"])
            + &binding("alpha", "managers", "SiteRole/organization-manager", &["max"])),
    );
    site.cluster.settle();
    let (ada, max) = (site.member("ada"), site.member("max"));
    let scale = json!({"spec": {"replicas": 2}});
    let refusal = "deployments old belongs to nobody, and ada@example.com may change only their own";
    site.cluster
        .eventually("ada is refused", || ada.patch("deployment/old", &scale).is_err_and(|e| e.contains(refusal)));
    let claim = ada.patch("deployment/old", &annotated(&json!("ada@example.com")));
    super::refused(claim, "belongs to nobody", "ada makes herself the owner");

    let template = || site.cluster.get(&["-n", "alpha", "deployment", "old"])["spec"]["template"].clone();
    let before = template();
    assert!(max.patch("deployment/old", &annotated(&json!("ada@example.com"))).is_ok());
    assert_eq!(template(), before, "no Pod is replaced");
    assert!(ada.patch("deployment/old", &scale).is_ok());
    // A template without an owner does not get a forged one either.
    let forged = json!({"spec": {"template": annotated(&json!("max@example.com"))}});
    assert!(ada.patch("deployment/old", &forged).is_ok());
    assert_eq!(site.owner("deployment/old", "/spec/template/metadata"), Value::Null);
}

/// How long people keep rights on all objects of a type when a policy is deleted is in docs/security.md.
#[test]
fn the_rights_end_when_a_policy_is_deleted_or_changed() {
    let site = team();
    let (cluster, ada, ben) = (&site.cluster, site.member("ada"), site.member("ben"));
    ada.creates(&deployment("web"));
    let may = |verb: &str| ada.tries(&["-n", "alpha", "auth", "can-i", verb, "deployments"]).is_ok();
    let patch = |policy| json!({"spec": {"failurePolicy": policy}}).to_string();
    let (change, repair) = (patch("Ignore"), patch("Fail"));
    let templates = ["patch", "mutatingadmissionpolicy", "bailiwick-owner", "--type=merge", "-p"];
    let (changes, repairs) = ([&templates[..], &[&change]].concat(), [&templates[..], &[&repair]].concat());
    let excluded = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]);
    let exclude = |rules: Value| json!({"spec": {"matchConstraints": {"excludeResourceRules": rules}}}).to_string();
    let (exclude, include) = (exclude(excluded), exclude(Value::Null));
    let fence = ["patch", "validatingadmissionpolicy", "bailiwick-own-fence", "--type=merge", "-p"];
    let (excludes, includes) = ([&fence[..], &[&exclude]].concat(), [&fence[..], &[&include]].concat());
    let faults: [&[&str]; 5] = [
        &["delete", "validatingadmissionpolicybinding", "bailiwick-own-fence"],
        &["delete", "mutatingadmissionpolicy", "bailiwick-owner"],
        &["delete", "validatingadmissionpolicy", "bailiwick-namespace-claims"],
        &changes,
        &excludes,
    ];
    let role = ["siterole.bailiwick.dev", "organization-member"];
    for fault in faults {
        assert!(may("patch") && may("delete"));
        cluster.run(fault);
        let start = Instant::now();
        while may("patch") || may("delete") {
            assert!(start.elapsed() < Duration::from_secs(10), "{fault:?}: {}", cluster.operator_log());
        }
        println!("{fault:?}: revoked after at most {:?}", start.elapsed());
        assert!(may("get") && may("create"), "other rights stay");
        cluster.await_reason(&role, "PermissionsResolved", "OwnershipNotEnforced");
        if fault[0] == "patch" {
            cluster.run(if fault == excludes { &includes } else { &repairs });
        } else {
            let upgraded = cluster.helm_upgrade(VALUES);
            assert!(upgraded.status.success(), "{}", crate::support::text(&upgraded));
        }
        // They return when the API server evaluates the policy again, and not before.
        let evil = json!({"metadata": {"labels": {"evil": "true"}}});
        cluster.eventually("the rights are back", || {
            assert!(ben.patch("deployment/web", &evil).is_err(), "{fault:?}");
            may("patch") && may("delete")
        });
    }
}

#[test]
fn service_accounts_own_what_they_create_and_nothing_else() {
    let site = team();
    site.cluster.run(&["-n", "alpha", "create", "serviceaccount", "ci"]);
    let role = binding("alpha", "ci", "SiteRole/organization-member", &["ServiceAccount/ci"]);
    site.cluster.apply(&role);
    site.cluster.settle();
    let (ada, ci) = (site.member("ada"), site.service_account("alpha", "ci"));
    ada.creates(&deployment("web"));
    ci.creates(&deployment("built"));
    assert_eq!(site.owner("deployment/built", "/metadata"), "system:serviceaccount:alpha:ci");
    let scale = json!({"spec": {"replicas": 2}});
    assert!(ci.patch("deployment/built", &scale).is_ok());
    super::refused(ci.patch("deployment/web", &scale), "belongs to ada@example.com", "the service account");
    super::refused(ada.patch("deployment/built", &scale), "belongs to system:serviceaccount:alpha:ci", "ada");
}

#[test]
fn people_change_name_and_address_of_their_own_user() {
    let site = team();
    let (ada, ben) = (site.member("ada"), site.member("ben"));
    let user = |person: &Person<'_>, patch: Value| {
        person.tries(&["patch", "users.bailiwick.dev", "ada", "--type=merge", "-p", &patch.to_string()])
    };
    let harmless = json!({"spec": {"displayName": "Ada Lovelace", "email": "ada@example.org"}});
    user(&ada, harmless.clone()).unwrap();
    assert_eq!(site.cluster.get(&["users.bailiwick.dev", "ada"])["spec"]["email"], "ada@example.org");
    let refusal = "may change only displayName and email of their own User";
    super::refused(
        user(&ben, harmless),
        &format!("ben@example.com {refusal}, and User ada is somebody else"),
        "somebody else's",
    );
    // Two policies refuse this.
    super::refused(user(&ada, json!({"spec": {"suspended": true}})), "denied request", "suspending oneself");
    for more in [
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"annotations": {"a": "b"}}}),
        json!({"metadata": {"finalizers": ["example.com/x"]}}),
    ] {
        super::refused(user(&ada, more.clone()), refusal, &more.to_string());
    }
    let reference = json!({"apiVersion": "v1", "kind": "Namespace", "name": "alpha", "uid": "x"});
    let owners = user(&ada, json!({"metadata": {"ownerReferences": [reference]}}));
    super::refused(owners, "denied request", "an owner reference");
    ada.may_not(&["delete", "users.bailiwick.dev", "ada"], "cannot delete");
}

/// Admission sees no owner when somebody enters a Pod, scales or reads metrics, so that is granted by name.
#[test]
fn a_member_enters_and_scales_what_is_theirs() {
    let site = team();
    let [ada, ben] = ["ada", "ben"].map(|name| site.member(name));
    let enter = |person: &Person<'_>, pod: &str| person.connects("alpha", pod, "exec?command=sh&container=c");
    let admitted = |outcome: Result<String, String>| outcome.is_err_and(|error| error.contains("does not have a host"));
    for name in ["one", "two"] {
        ada.creates(&super::pod("alpha", name, "serviceAccountName: default"));
        let created = Instant::now();
        site.cluster.eventually("ada enters her Pod", || admitted(enter(&ada, name)));
        println!("ada enters her Pod after at most {:?}", created.elapsed());
        super::refused(enter(&ben, name), "cannot create resource \"pods/exec\"", "ben enters ada's Pod");
    }
    ada.creates(&deployment("web"));
    let scale = ["-n", "alpha", "scale", "deployment/web", "--replicas=2"];
    site.cluster.eventually("ada scales her Deployment", || ada.tries(&scale).is_ok());
    ben.may_not(&scale, "cannot patch resource \"deployments/scale\"");

    // A Pod of the same name that somebody else creates afterwards is not ada's.
    ada.does(&["-n", "alpha", "delete", "pod/one", "--grace-period=0", "--force"]);
    ben.creates(&super::pod("alpha", "one", "serviceAccountName: default"));
    site.cluster.eventually("ben enters his Pod", || admitted(enter(&ben, "one")));
    site.cluster.eventually("ada does not", || enter(&ada, "one").is_err_and(|e| e.contains("cannot create resource")));
    assert!(admitted(enter(&ada, "two")));

    // Leaving the organization ends it, and does not change the owner.
    site.cluster.apply(&group("alpha", "team", &["ben"]));
    site.cluster.eventually("ada is out", || enter(&ada, "two").is_err_and(|e| e.contains("cannot create resource")));
    assert_eq!(site.owner("pod/two", "/metadata"), "ada@example.com");
}

/// An operator that starts takes nothing away, and notices what happened meanwhile.
#[test]
fn rights_by_name_outlast_a_restart_and_follow_what_happened_meanwhile() {
    let mut site = team();
    let pod = |name: &str| super::pod("alpha", name, "serviceAccountName: default");
    let kept = |site: &Site| {
        let review = ["-n", "alpha", "auth", "can-i", "create", "pods/kept", "--subresource=exec"];
        site.member("ada").tries(&review).is_ok()
    };
    site.member("ada").creates(&(pod("kept") + "---\n" + &pod("gone")));
    site.cluster.eventually("ada may enter", || kept(&site));
    site.cluster.kill_operator();
    site.cluster.run(&["-n", "alpha", "delete", "pod/gone", "--grace-period=0", "--force"]);
    let before = site.cluster.native_writes();
    site.cluster.start_operator();
    site.cluster.eventually("the name is off the list", || {
        let roles = site.cluster.native().into_iter();
        let roles = roles.filter(|o| o["metadata"]["name"].as_str().unwrap().starts_with("bailiwick:own:"));
        assert!(kept(&site));
        !roles.map(|role| role["rules"].to_string()).collect::<String>().contains("gone")
    });
    site.cluster.quiet();
    assert_eq!(site.cluster.native_writes(), before + 1);
}

/// Whoever may create an object may write anything into its managed fields. The operator must go on reading the others.
#[test]
fn managed_fields_of_any_depth_do_not_hide_who_owns_what() {
    let site = team();
    let [ada, ben] = ["ada", "ben"].map(|name| site.member(name));
    let enters = |person: &Person<'_>, pod: &str| {
        let outcome = person.connects("alpha", pod, "exec?command=sh&container=c");
        outcome.is_err_and(|error| error.contains("does not have a host"))
    };
    let pod = |name: &str| super::pod("alpha", name, "serviceAccountName: default");
    ada.creates(&pod("one"));
    site.cluster.eventually("ada enters her Pod", || enters(&ada, "one"));
    let fields = (0..200).fold(json!({}), |fields, _| json!({"f:a": fields}));
    let mut deep: Value = serde_yaml::from_str(&pod("deep")).unwrap();
    deep["metadata"]["managedFields"] = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    ben.creates(&deep.to_string());
    site.cluster.eventually("ben enters it", || enters(&ben, "deep"));
    ada.does(&["-n", "alpha", "delete", "pod/one", "--grace-period=0", "--force"]);
    ben.creates(&pod("one"));
    site.cluster.eventually("ada is out", || !enters(&ada, "one"));
    assert!(!site.cluster.operator_log().contains("a watch of owners broke"));
}

/// A group may serve some of its kinds only in a version that is not its preferred one.
#[test]
fn rights_by_name_reach_kinds_of_any_version() {
    let site = team();
    let kind = |plural: &str, kind: &str, version: &str| {
        format!(
            "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: {plural}.kubeflow.org}}, \
             spec: {{group: kubeflow.org, scope: Namespaced, names: {{kind: {kind}, plural: {plural}}}, versions: [{{name: {version}, \
             served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]}}}}"
        )
    };
    site.cluster.apply(&(kind("profiles", "Profile", "v1") + "\n---\n" + &kind("notebooks", "Notebook", "v1beta1")));
    let permissions = "{impliesMembership: false, permissions: [{resource: workspaces, actions: [create]}, \
                       {resource: workspaces, actions: [read], scope: Own}]}";
    site.cluster.apply(
        &(users(&["eve"])
            + &custom_role("alpha", "guest", permissions)
            + &binding("alpha", "guest", "CustomRole/guest", &["eve"])),
    );
    let eve = site.member("eve");
    let notebook = "{apiVersion: kubeflow.org/v1beta1, kind: Notebook, metadata: {name: mine, namespace: alpha}}";
    site.cluster
        .eventually("eve creates a Notebook", || eve.tries_with(&["create", "--validate=false"], notebook).is_ok());
    site.cluster.eventually("eve reads it", || {
        eve.tries(&["-n", "alpha", "get", "notebooks.v1beta1.kubeflow.org", "mine"]).is_ok()
    });
}

/// The operator has the marker, because it gives it to others. Beside an organization, its own ConfigMaps are among the
/// objects that people could own.
#[test]
fn the_operator_goes_on_beside_an_organization() {
    let site = Site::with_operator("{}");
    let user = |suspended: bool| {
        format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: User, metadata: {{name: ben}}, \
             spec: {{username: ben@example.com, suspended: {suspended}}}}}"
        )
    };
    for suspended in [true, false] {
        site.cluster.apply(&user(suspended));
        let text = || site.cluster.get(&["-n", RELEASE, "configmap", "bailiwick-suspended"])["data"].to_string();
        site.cluster.eventually("the operator writes the list", || text().contains("ben@example.com") == suspended);
    }
    let log = site.cluster.operator_log();
    assert!(!log.contains("bailiwick-own-fence"), "{log}");
}
