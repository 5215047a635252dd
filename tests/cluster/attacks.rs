//! Attacks with the rights that the attacker has: each one worked once, or might occur to a reader of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bailiwick::core::names::Seed;
use bailiwick::core::rbac::Subject;
use bailiwick::core::shards::{self};

use crate::support::manifests::{binding, group, user as user_of};
use crate::support::{Cluster, Question};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

const WORLD: &str = r#"
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: alpha}
spec: {namespace: alpha}
---
apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: beta}
spec: {namespace: beta, default: true}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: ada}
spec: {}
---
apiVersion: bailiwick.dev/v1alpha1
kind: User
metadata: {name: bob}
spec: {}
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: managers, namespace: alpha}
spec:
  roleRef: {kind: SiteRole, name: organization-manager}
  subjects: [{kind: User, name: ada}]
---
apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: managers, namespace: beta}
spec:
  roleRef: {kind: SiteRole, name: organization-manager}
  subjects: [{kind: User, name: bob}]
"#;

fn cluster() -> Cluster {
    let cluster = Cluster::with_operator(VALUES);
    cluster.apply(WORLD);
    cluster.can(&Question::of("ada", "alpha"), &["delete deployments.apps"]);
    cluster.can(&Question::of("bob", "beta"), &["delete deployments.apps"]);
    cluster
}

fn suspend(cluster: &Cluster, user: &str) {
    cluster.run(&["patch", "users.bailiwick.dev", user, "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
}

#[test]
fn an_object_that_is_deleted_while_its_status_is_written_stays_gone() {
    let cluster = cluster();
    for round in 0..40 {
        let name = format!("brief-{round}");
        cluster.apply(&format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: RoleBinding, metadata: {{name: {name}, namespace: alpha}}, \
             spec: {{roleRef: {{kind: SiteRole, name: organization-manager}}, \
             subjects: [{{kind: User, name: bob}}, {{kind: User, name: nobody}}]}}}}"
        ));
        // The status is being written about now.
        cluster.run(&["-n", "alpha", "delete", "rolebindings.bailiwick.dev", &name, "--wait=false"]);
    }
    cluster.settle();
    cluster.cannot(&Question::of("bob", "alpha"), &["delete deployments.apps"]);
    let left = cluster.native().iter().filter(|o| o.to_string().contains("brief-")).count();
    assert_eq!(left, 0);
}

#[test]
fn roles_that_inherit_each_other_in_layers_keep_nobody_waiting() {
    let cluster = cluster();
    let mut roles = String::new();
    for layer in 0..40 {
        for side in ["a", "b"] {
            let next = layer + 1;
            let inherits = if layer == 39 {
                String::new()
            } else {
                format!("{{kind: CustomRole, name: l{next}-a}}, {{kind: CustomRole, name: l{next}-b}}")
            };
            roles += &format!(
                "---\n{{apiVersion: bailiwick.dev/v1alpha1, kind: CustomRole, metadata: {{name: l{layer}-{side}, \
                 namespace: alpha}}, spec: {{inherits: [{inherits}], permissions: [{{resource: services, actions: [read]}}]}}}}\n"
            );
        }
    }
    cluster.apply(&roles);
    suspend(&cluster, "bob");
    cluster.cannot(&Question::of("bob", "beta"), &["update deployments.apps"]);
    cluster.settle();
    let top = ["-n", "alpha", "customroles.bailiwick.dev", "l0-a"];
    cluster.await_reason(&top, "Ready", "Reconciled");
}

#[test]
fn names_that_the_api_server_would_refuse_never_reach_a_shared_binding() {
    let cluster = cluster();
    let error = cluster
        .try_apply(
            "{apiVersion: bailiwick.dev/v1alpha1, kind: RoleBinding, metadata: {name: poison, namespace: alpha}, spec: \
             {roleRef: {kind: SiteRole, name: organization-manager}, subjects: [{kind: ServiceAccount, name: Bad Name}]}}",
        )
        .unwrap_err();
    assert!(error.contains("spec.subjects[0]") && error.contains("name of a ServiceAccount"), "{error}");
    let names = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", ");
    let error = cluster
        .try_apply(&format!(
            "{{apiVersion: bailiwick.dev/v1alpha1, kind: CustomRole, metadata: {{name: huge, namespace: alpha}}, spec: {{rules: \
             [{{apiGroups: [{}], resources: [{}], resourceNames: [{}], verbs: [{}]}}]}}}}",
            names(20),
            names(50),
            names(100),
            names(20)
        ))
        .unwrap_err();
    assert!(error.contains("at most 2,000 combinations"), "{error}");
}

#[test]
fn a_label_on_a_namespace_of_ones_own_takes_nothing_from_an_organization() {
    let cluster = cluster();
    cluster.run(&["create", "namespace", "aaa-mine"]);
    cluster.run(&["label", "namespace", "aaa-mine", "bailiwick.dev/organization=alpha"]);
    cluster.run(&["label", "organizations.bailiwick.dev", "alpha", "touched=yes"]);
    cluster.run(&[
        "patch",
        "organizations.bailiwick.dev",
        "alpha",
        "--type=merge",
        "-p",
        r#"{"spec":{"displayName":"A"}}"#,
    ]);
    cluster.settle();
    assert!(cluster.allowed(&Question::of("ada", "alpha"), "delete deployments.apps"));
    cluster.cannot(&Question::of("ada", "aaa-mine"), &["get pods"]);
    cluster.await_reason(&["organizations.bailiwick.dev", "alpha"], "NamespaceAssigned", "Assigned");
}

#[test]
fn a_binding_is_never_made_to_a_role_that_somebody_else_put_there() {
    let cluster = cluster();
    cluster.apply(
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: 'bailiwick:custom-role:view', namespace: \
         alpha}, rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}",
    );
    cluster.apply(
        "{apiVersion: bailiwick.dev/v1alpha1, kind: CustomRole, metadata: {name: view, namespace: alpha}, spec: {permissions: \
         [{resource: services, actions: [read]}]}}\n---\n\
         {apiVersion: bailiwick.dev/v1alpha1, kind: RoleBinding, metadata: {name: viewers, namespace: alpha}, spec: {roleRef: \
         {kind: CustomRole, name: view}, subjects: [{kind: User, name: bob}]}}",
    );
    cluster.await_reason(&["-n", "alpha", "customroles.bailiwick.dev", "view"], "Ready", "NameTaken");
    cluster.settle();
    assert!(!cluster.allowed(&Question::of("bob", "alpha"), "get secrets"));
    let (_, reason, _) = cluster.condition(&["-n", "alpha", "rolebindings.bailiwick.dev", "viewers"], "Ready").unwrap();
    assert_eq!(reason, "NameTaken", "who reads the binding must see that it gives nothing");

    // A role that was replaced by one that cannot be written still ends.
    cluster.run(&[
        "-n",
        "alpha",
        "patch",
        "rolebindings.bailiwick.dev",
        "managers",
        "--type=merge",
        "-p",
        r#"{"spec":{"roleRef":{"kind":"CustomRole","name":"view"}}}"#,
    ]);
    cluster.cannot(&Question::of("ada", "alpha"), &["update deployments.apps", "get secrets"]);
}

#[test]
fn a_finalizer_keeps_no_access_alive() {
    let cluster = cluster();
    let native = cluster.native();
    let binding = native
        .iter()
        .find(|o| o["metadata"]["annotations"]["bailiwick.dev/source"] == "RoleBinding/alpha/managers")
        .expect("the binding is projected");
    let name = binding["metadata"]["name"].as_str().unwrap();
    let keep = r#"{"metadata":{"finalizers":["example.com/keep"]}}"#;
    cluster.run(&["-n", "alpha", "patch", "rolebindings.rbac.authorization.k8s.io", name, "--type=merge", "-p", keep]);
    suspend(&cluster, "ada");
    cluster.cannot(&Question::of("ada", "alpha"), &["update deployments.apps"]);

    // Nor one on an object of ours.
    cluster.run(&["-n", "beta", "patch", "rolebindings.bailiwick.dev", "managers", "--type=merge", "-p", keep]);
    cluster.run(&["-n", "beta", "delete", "rolebindings.bailiwick.dev", "managers", "--wait=false"]);
    cluster.cannot(&Question::of("bob", "beta"), &["update deployments.apps"]);
    assert!(
        cluster.exists(&["-n", "beta", "rolebindings.bailiwick.dev", "managers"]),
        "the finalizer keeps the object"
    );
}

#[test]
fn a_namespace_that_is_handed_over_by_its_label_takes_no_grants_along() {
    let cluster = cluster();
    cluster.run(&["delete", "organizations.bailiwick.dev", "alpha"]);
    cluster.apply(
        "{apiVersion: bailiwick.dev/v1alpha1, kind: Organization, metadata: {name: gamma}, spec: {namespace: alpha}}",
    );
    cluster.await_reason(&["organizations.bailiwick.dev", "gamma"], "NamespaceAssigned", "ReservedFor");
    cluster.run(&["label", "namespace", "alpha", "bailiwick.dev/organization=gamma", "--overwrite"]);
    cluster.await_reason(&["organizations.bailiwick.dev", "gamma"], "NamespaceAssigned", "Assigned");
    let managers = ["-n", "alpha", "rolebindings.bailiwick.dev", "managers"];
    cluster.await_reason(&managers, "Ready", "FromFormerOrganization");
    assert!(!cluster.allowed(&Question::of("ada", "alpha"), "delete deployments.apps"));
}

#[test]
fn being_a_member_never_hands_out_a_privileged_role() {
    let cluster = cluster();
    cluster.run(&[
        "patch",
        "organizations.bailiwick.dev",
        "beta",
        "--type=merge",
        "-p",
        r#"{"spec":{"memberRole":"organization-manager"}}"#,
    ]);
    cluster.await_reason(&["organizations.bailiwick.dev", "beta"], "MemberRoleResolved", "PrivilegedMemberRole");
    // ada belongs to alpha, so put her into a Group of beta.
    cluster.apply("{apiVersion: bailiwick.dev/v1alpha1, kind: Group, metadata: {name: all, namespace: beta}, spec: {members: [ada]}}");
    cluster.settle();
    assert!(!cluster.allowed(&Question::of("ada", "beta"), "delete deployments.apps"));
}

#[test]
fn a_label_that_was_taken_off_while_no_operator_ran_hides_nothing() {
    let mut cluster = cluster();
    let native = cluster.native();
    let source =
        |o: &&serde_json::Value| o["metadata"]["annotations"]["bailiwick.dev/source"] == "RoleBinding/alpha/managers";
    let binding = native.iter().find(source).expect("the binding is projected");
    let name = binding["metadata"]["name"].as_str().unwrap();
    cluster.stop_operator();
    let label = "app.kubernetes.io/managed-by-";
    cluster.run(&["-n", "alpha", "label", "rolebindings.rbac.authorization.k8s.io", name, label]);
    // Another role is another native binding: the old one would go on granting, unseen.
    let member = r#"{"spec":{"roleRef":{"kind":"SiteRole","name":"organization-member"}}}"#;
    cluster.run(&["-n", "alpha", "patch", "rolebindings.bailiwick.dev", "managers", "--type=merge", "-p", member]);
    cluster.start_operator();
    cluster.cannot(&Question::of("ada", "alpha"), &["update deployments.apps"]);
    cluster.can(&Question::of("ada", "alpha"), &["create deployments.apps"]);
    assert!(!cluster.exists(&["-n", "alpha", "rolebindings.rbac.authorization.k8s.io", name]));
}

/// A policy reads in a Group's status whether it holds a privileged role. A manager that changes objects continuously,
/// each time so that the site has to be written too, must not keep that from being reported.
#[test]
fn who_writes_all_the_time_keeps_no_group_from_being_known_as_privileged() {
    let cluster = cluster();
    let over = AtomicBool::new(false);
    let (plane, admin) = (&cluster.plane, &cluster.admin);
    const WRITERS: usize = 4;
    let rounds: [AtomicUsize; WRITERS] = Default::default();
    let write = |writer: usize| {
        while !over.load(Ordering::Acquire) {
            let round = rounds[writer].load(Ordering::Acquire);
            let patch = serde_json::json!({"spec": {"subjects": [
                {"kind": "ServiceAccount", "name": format!("robot-{writer}-{round}")},
            ]}});
            let mut kubectl = plane.kubectl(admin);
            kubectl.args(["-n", "alpha", "patch", "rolebindings.bailiwick.dev", &format!("noise-{writer}")]);
            let output = kubectl.args(["--type=merge", "-p", &patch.to_string()]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            rounds[writer].store(round + 1, Ordering::Release);
        }
    };
    for writer in 0..WRITERS {
        cluster.apply(&binding("alpha", &format!("noise-{writer}"), "SiteRole/organization-manager", &["ada"]));
    }
    std::thread::scope(|scope| {
        let (write, rounds) = (&write, &rounds);
        (0..WRITERS).for_each(|writer| drop(scope.spawn(move || write(writer))));
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for n in 0..5 {
                cluster.eventually("everybody goes on writing", || {
                    rounds.iter().all(|rounds| rounds.load(Ordering::Acquire) > n)
                });
                let crew = format!("crew-{n}");
                let role = "SiteRole/organization-manager";
                cluster.apply(
                    &(group("alpha", &crew, &["ada"]) + &binding("alpha", &crew, role, &[&format!("Group/{crew}")])),
                );
                let started = std::time::Instant::now();
                cluster.eventually("the Group says that it holds a privileged role", || {
                    cluster.get(&["-n", "alpha", "groups.bailiwick.dev", &crew])["status"]["privileged"] == true
                });
                println!("{crew} after {:?}", started.elapsed());
            }
        }));
        over.store(true, Ordering::Release);
        found.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// People that invent subjects must not know which binding of a SiteRole's cluster-scoped part a subject is in: so many
/// beside one victim made that binding too large to write.
#[test]
fn invented_subjects_keep_nobody_elsewhere_out_of_a_role() {
    const CROWD: usize = 1600;
    const ROLE: &str = "bailiwick:site-role:organization-manager";
    let cluster = cluster();
    // Names of a kilobyte, and a victim: all in one of the shards, if only their names decided.
    let shards = |all: &BTreeSet<Subject>| {
        let shards = shards::split(all, shards::needed(CROWD), Seed::default());
        shards.into_iter().map(|(shard, list)| (shard.index, list)).collect::<BTreeMap<_, _>>()
    };
    let some = |name: &dyn Fn(usize) -> Subject, count| (0..count).map(name).collect::<BTreeSet<_>>();
    let group = |n| Subject::Group(format!("{n:06}{}", "\u{10348}".repeat(250)).into());
    let index = 3;
    let crowd: Vec<String> = shards(&some(&group, 18 * CROWD))[&index]
        .iter()
        .take(CROWD)
        .map(|grantee| if let Subject::Group(name) = grantee { format!("ExternalGroup/{name}") } else { String::new() })
        .collect();
    assert_eq!(crowd.len(), CROWD);
    let user = |n| Subject::User(format!("v{n}@example.com").into());
    let Subject::User(victim) = &shards(&some(&user, 400))[&index][0] else { panic!() };
    let victim = victim.strip_suffix("@example.com").unwrap();

    for (n, some) in crowd.chunks(1000).enumerate() {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        cluster.apply(&binding("alpha", &format!("crowd-{n}"), "SiteRole/organization-manager", &some));
    }
    let bound = |cluster: &Cluster| -> Vec<usize> {
        let kinds =
            format!(r#"jsonpath={{range .items[?(@.roleRef.name=="{ROLE}")]}}{{.subjects[*].kind}}{{"\n"}}{{end}}"#);
        let kinds = cluster.run(&["get", "clusterrolebindings.rbac.authorization.k8s.io", "-o", &kinds]);
        kinds.lines().map(|line| line.split_whitespace().count()).collect()
    };
    cluster.eventually("the crowd is bound", || bound(&cluster).iter().sum::<usize>() > CROWD);
    cluster.apply(&user_of(victim));
    let question = Question::of(&format!("{victim}@example.com"), "");
    cluster.cannot(&question, &["get organizations.bailiwick.dev"]);
    cluster.apply(&binding("beta", "new", "SiteRole/organization-manager", &[victim]));
    cluster.can(&question, &["get organizations.bailiwick.dev"]);
    let bound = bound(&cluster);
    assert!(bound.iter().all(|subjects| *subjects < 2 * shards::SHARD_SIZE), "{bound:?}");
}

/// Any Pod of the cluster can connect to the metrics port, unless a NetworkPolicy limits that. A thousand incomplete
/// requests took 250 MiB.
#[test]
fn who_can_connect_to_the_operator_neither_fills_its_memory_nor_keeps_others_out() {
    let cluster = cluster();
    let operator = cluster.operator.as_ref().unwrap();
    let before = operator.highest_memory();
    let address = operator.address().unwrap();
    let connect = |_| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        // It may be closed by now.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Endless: ");
        stream
    };
    let mut open: Vec<TcpStream> = (0..1000).map(connect).collect();
    let closed = open.iter_mut().filter_map(|stream| stream.write_all(&[b'a'; 300_000]).err()).count();
    assert!(operator.is_ready());
    suspend(&cluster, "ada");
    cluster.cannot(&Question::of("ada", "alpha"), &["update deployments.apps"]);
    let more = operator.highest_memory() - before;
    assert!(more < 64, "{more} MiB more, and {closed} of {} connections were closed", open.len());
}
