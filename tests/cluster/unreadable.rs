//! Objects that an older schema accepted and that this operator cannot read.

use serde_json::{Value, json};

use crate::support::manifests::{binding, custom_role, group, organization, site_binding, site_role, user, users};
use crate::support::{Cluster, Question, outcome, repository, text};

const VALUES: &str = "{namespaceWhitelist: [alpha, beta], defaultOrganization: {create: false}}";

/// Dates that the format `date-time` accepts.
const ODD_TIMES: [&str; 3] =
    ["2027-01-31T18:00:00.01234567890123456789Z", "2027-01-31T18:00:00+99:99", "2027-01-31T18:00:00Zt-foo"];

fn expiring(manifest: &str, time: &str) -> String {
    manifest.replacen("spec: {", &format!("spec: {{expiresAt: {time:?}, "), 1)
}

/// Makes the API server accept any spec of these kinds, as a schema of another version may.
fn forget_the_schema(cluster: &Cluster, kinds: &[&str]) {
    for kind in kinds {
        let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
            "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            {"op": "remove", "path": "/spec/versions/0/selectableFields"},
            {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"}]);
        let name = format!("{kind}.bailiwick.dev");
        let all = serde_json::to_string(&patch).unwrap();
        let one = serde_json::to_string(&patch.as_array().unwrap()[..2]).unwrap();
        let has_rules = cluster.get(&["crd", &name])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            .get("x-kubernetes-validations")
            .is_some();
        cluster.run(&["patch", "crd", &name, "--type=json", "-p", if has_rules { &all } else { &one }]);
    }
}

/// Merges a value into the spec that none of our types has; retries until the API server uses the new schema.
fn make_odd(cluster: &Cluster, object: &[&str], spec: &Value) {
    let patch = json!({"spec": spec}).to_string();
    let words = [&["patch"][..], object, &["--type=merge", "-p", &patch]].concat();
    let mut answer = String::new();
    let last = std::cell::RefCell::new(&mut answer);
    let accepts = || {
        let output = cluster.kubectl(&words);
        **last.borrow_mut() = text(&output);
        output.status.success()
    };
    cluster.eventually_or(accepts, |_| format!("the API server accepts {object:?}: {}", last.borrow()));
}

fn unreadable(cluster: &Cluster, object: &[&str]) -> String {
    cluster.await_reason(object, "Ready", "Unreadable")
}

#[test]
fn the_api_server_refuses_times_that_cannot_be_read() {
    let cluster = Cluster::with_operator(VALUES);
    let world = [organization("alpha", "{namespace: alpha, default: true}"), users(&["ada"])];
    cluster.apply(&world.concat());
    let one = binding("alpha", "b", "SiteRole/organization-manager", &["ada"]);
    let all = site_binding("b", "auditor", &["ada"]);
    for time in ODD_TIMES.into_iter().chain(["2027-01-31t18:00:00z", "2027-02-30T18:00:00Z", "2027-01-31", ""]) {
        for manifest in [&one, &all] {
            let error = cluster.try_apply(&expiring(manifest, time)).unwrap_err();
            assert!(error.contains("spec.expiresAt"), "{time}: {error}");
        }
    }
    for time in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999-23:59", "2999-01-31T18:00:00.5+14:00"] {
        cluster.apply(&(expiring(&one, time) + &expiring(&all, time)));
        cluster.can(&Question::of("ada@example.com", "alpha"), &["update pods", "list events"]);
        cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "b"], "Ready", "Reconciled");
        cluster.settle();
    }
    cluster.apply(&expiring(&one, "0000-01-01T00:00:00+23:59"));
    cluster.await_reason(&["-n", "alpha", "rolebindings.bailiwick.dev", "b"], "Ready", "Expired");
}

#[test]
fn an_unreadable_binding_is_never_ready_and_its_group_stays_guarded() {
    let cluster = Cluster::with_operator(VALUES);
    let world = [
        organization("alpha", "{namespace: alpha, default: true}"),
        users(&["ada", "bob", "eve", "uma"]),
        group("alpha", "team", &["ada"]),
        custom_role("alpha", "lead", "{permissions: [{resource: templates, actions: [read]}]}"),
        site_binding("user-admins", "user-admin", &["uma"]),
        binding("alpha", "managers", "SiteRole/organization-manager", &["Group/team"]),
        binding("alpha", "leads", "CustomRole/lead", &["bob"]),
    ];
    cluster.apply(&world.concat());
    cluster.can(&Question::of("ada@example.com", "alpha"), &["update pods"]);
    cluster.can(&Question::of("uma@example.com", "alpha"), &["update groups.bailiwick.dev"]);
    cluster.settle();
    // As in the previous version's schema.
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/expiresAt";
    let remove = ["maxLength", "x-kubernetes-validations"];
    let remove = remove.map(|key| json!({"op": "remove", "path": format!("{field}/{key}")}));
    cluster.run(&["patch", "crd", "rolebindings.bailiwick.dev", "--type=json", "-p", &json!(remove).to_string()]);
    let managers = ["-n", "alpha", "rolebindings.bailiwick.dev", "managers"];
    let uma = cluster.plane.user_kubeconfig("uma@example.com", &[]).unwrap();
    let team = ["-n", "alpha", "groups.bailiwick.dev", "team"];
    let in_the_group = |member: &str| {
        let members = json!({"spec": {"members": ["ada@example.com", member]}}).to_string();
        let words = [&["patch"][..], &team, &["--type=merge", "-p", &members]].concat();
        outcome(cluster.kubectl_as(&uma, &words))
    };
    for time in ODD_TIMES {
        make_odd(&cluster, &managers, &json!({"expiresAt": time}));
        // The status for the previous time stays until the operator has seen this one.
        cluster.eventually("the operator says which time it cannot read", || {
            unreadable(&cluster, &managers).contains(time)
        });
        cluster.cannot(&Question::of("ada@example.com", "alpha"), &["update pods"]);
        let status = &cluster.get(&managers)["status"];
        assert_eq!((&status["grants"], &status["withheld"]), (&json!(0), &json!(1)));
        cluster.settle();
        assert_eq!(cluster.get(&team)["status"]["privileged"], json!(true));
        let error = in_the_group("eve@example.com").unwrap_err();
        assert!(error.contains("bind"), "{error}");
        cluster.can(&Question::of("bob@example.com", "alpha"), &["get podtemplates"]);
        assert!(cluster.operator.as_ref().unwrap().lines("not_ready_objects").contains("reason=\"Unreadable\"} 1"));
    }
    // One that was never readable: for a role that is not privileged, with nobody else in its Group.
    let fresh =
        custom_role("alpha", "small", "{privileged: false, permissions: [{resource: templates, actions: [read]}]}")
            + &group("alpha", "fresh", &[])
            + &expiring(&binding("alpha", "fresh", "CustomRole/small", &["Group/fresh"]), ODD_TIMES[1]);
    cluster.apply(&fresh);
    unreadable(&cluster, &["-n", "alpha", "rolebindings.bailiwick.dev", "fresh"]);
    cluster.eventually("its Group is privileged", || {
        cluster.get(&["-n", "alpha", "groups.bailiwick.dev", "fresh"])["status"]["privileged"] == json!(true)
    });
    // Under this version's schema it stays unchanged until somebody repairs it, and so does its status.
    let crds = repository().join("charts/bailiwick/crds");
    cluster.run(&["apply", "--server-side", "--force-conflicts", "-f", crds.to_str().unwrap()]);
    let two = json!({"subjects": [{"kind": "Group", "name": "team"}, {"kind": "User", "name": "bob@example.com"}]});
    make_odd(&cluster, &managers, &two);
    cluster.settle();
    unreadable(&cluster, &managers);
    assert_eq!(cluster.get(&managers)["status"]["withheld"], json!(2));
    make_odd(&cluster, &managers, &json!({"expiresAt": null}));
    cluster.can(&Question::of("ada@example.com", "alpha"), &["update pods"]);
    cluster.await_reason(&managers, "Ready", "Reconciled");
}

#[test]
fn each_kind_withholds_what_it_gives_and_keeps_what_it_guards() {
    let mut cluster = Cluster::with_operator(VALUES);
    let reads = |word: &str| format!("{{permissions: [{{resource: {word}, actions: [read]}}]}}");
    let world = [
        organization("alpha", "{namespace: alpha, default: true}"),
        organization("beta", "{namespace: beta}"),
        users(&["ada", "bob", "cyd", "dan"]),
        custom_role("alpha", "lead", &reads("templates")),
        custom_role("alpha", "other", &reads("provisioners")),
        site_role("watcher", "{assignableTo: [Site], permissions: [{resource: organizations, actions: [delete]}]}"),
        group("alpha", "team", &["bob"]),
        group("alpha", "extra", &[]),
        binding("alpha", "leads", "CustomRole/lead", &["ada", "Group/extra"]),
        binding("alpha", "others", "CustomRole/other", &["ada", "Group/team", "dan"]),
        site_binding("watchers", "watcher", &["cyd"]),
        binding("beta", "managers", "SiteRole/organization-manager", &["ada"]),
        group("beta", "members", &["bob"]),
    ];
    cluster.apply(&world.concat());
    cluster.run(&["patch", "users.bailiwick.dev", "dan", "--type=merge", "-p", r#"{"spec":{"suspended":true}}"#]);
    let ask = |name: &str, place: &str, what: &str, may: bool| {
        (Question::of(&format!("{name}@example.com"), place), what.to_owned(), may)
    };
    let before = [
        ask("ada", "alpha", "get podtemplates", true),
        ask("ada", "alpha", "get jobs.batch", true),
        ask("bob", "alpha", "get jobs.batch", true),
        ask("cyd", "", "delete organizations.bailiwick.dev", true),
        ask("ada", "beta", "update pods", true),
        ask("bob", "beta", "create pods", true),
        ask("dan", "alpha", "get jobs.batch", false),
    ];
    cluster.answers(&before);
    cluster.settle();
    let objects: [(&[&str], Value); 7] = [
        (&["organizations.bailiwick.dev", "beta"], json!({"displayName": 5})),
        (&["users.bailiwick.dev", "dan"], json!({"displayName": 5})),
        (&["-n", "alpha", "groups.bailiwick.dev", "team"], json!({"members": ["bob@example.com", 5]})),
        (&["-n", "alpha", "customroles.bailiwick.dev", "lead"], json!({"description": 5})),
        (&["siteroles.bailiwick.dev", "watcher"], json!({"description": 5})),
        (&["siterolebindings.bailiwick.dev", "watchers"], json!({"expiresAt": 5})),
        (
            &["-n", "beta", "rolebindings.bailiwick.dev", "managers"],
            json!({"subjects": [{"kind": "Robot", "name": "r"}]}),
        ),
    ];
    forget_the_schema(
        &cluster,
        &["organizations", "users", "groups", "customroles", "siteroles", "siterolebindings", "rolebindings"],
    );
    for (object, spec) in &objects {
        make_odd(&cluster, object, spec);
        unreadable(&cluster, object);
    }
    let after = [
        ask("ada", "alpha", "get podtemplates", false),
        ask("ada", "alpha", "get jobs.batch", true),
        ask("bob", "alpha", "get jobs.batch", false),
        ask("cyd", "", "delete organizations.bailiwick.dev", false),
        ask("ada", "beta", "update pods", false),
        ask("bob", "beta", "create pods", false),
        ask("dan", "alpha", "get jobs.batch", false),
    ];
    let holds = |cluster: &Cluster| {
        cluster.answers(&after);
        cluster.settle();
        let namespace = cluster.get(&["namespace", "beta"]);
        assert_eq!(namespace["metadata"]["labels"]["bailiwick.dev/organization"], json!("beta"));
        let list = cluster.get(&["-n", crate::support::RELEASE, "configmap", "bailiwick-suspended"]);
        assert!(list["data"].to_string().contains("dan@example.com"), "{list}");
        let extra = cluster.get(&["-n", "alpha", "groups.bailiwick.dev", "extra"]);
        assert_eq!(extra["status"]["privileged"], json!(true));
    };
    holds(&cluster);
    // Nothing takes over: neither a younger User nor another Organization.
    cluster.apply(&organization("rival", "{namespace: beta}"));
    cluster.await_reason(&["organizations.bailiwick.dev", "rival"], "NamespaceAssigned", "AlreadyClaimed");
    cluster.apply(&user("dan").replace("name: dan}", "name: twin}"));
    cluster.await_reason(&["users.bailiwick.dev", "twin"], "Ready", "UsernameTaken");
    holds(&cluster);
    cluster.stop_operator();
    cluster.start_operator();
    holds(&cluster);
    // Once repaired, everything is as before.
    for (object, spec) in &objects {
        let field = spec.as_object().unwrap().keys().next().unwrap();
        let repaired = match field.as_str() {
            "members" => json!({field: ["bob@example.com"]}),
            "subjects" => json!({field: [{"kind": "User", "name": "ada@example.com"}]}),
            _ => json!({field: null}),
        };
        make_odd(&cluster, object, &repaired);
    }
    cluster.answers(&before);
}
