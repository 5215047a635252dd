//! Unreadable objects: they grant nothing, still protect what they protected, and revoke nothing from others.

use std::collections::BTreeSet;

use bailiwick::api;
use bailiwick::cli::schema::Schemas;
use bailiwick::core::Name;
use bailiwick::core::conditions::Status;
use bailiwick::core::salvage::{Found, Shallow, read};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use rstest::rstest;
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde_json::{Value, json};

use crate::build::given;
use crate::fake::{Kind, ODD, Op};
use crate::samples::samples;
use crate::shell::Shell;

const ROLE: &str = "rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]";

/// Two organizations, a role, a user and a group.
fn start() -> String {
    format!(
        "
{{kind: Organization, metadata: {{name: o}}, spec: {{namespace: n0, memberRole: ''}}}}
---
{{kind: Organization, metadata: {{name: home}}, spec: {{namespace: n1, default: true, memberRole: ''}}}}
---
{{kind: CustomRole, metadata: {{name: c, namespace: n0}}, spec: {{privileged: false, {ROLE}}}}}
---
{{kind: User, metadata: {{name: ada}}}}
---
{{kind: Group, metadata: {{name: g, namespace: n0}}, spec: {{members: [ada]}}}}
---
"
    )
}

/// An object, written under another schema.
fn odd(manifest: &str, fields: &str) -> String {
    manifest.replacen("metadata: {", &format!("metadata: {{annotations: {{{ODD}: '{fields}'}}, "), 1)
}

fn bind(name: &str, subject: &str) -> String {
    format!(
        "{{kind: RoleBinding, metadata: {{name: {name}, namespace: n0}}, \
         spec: {{roleRef: {{kind: CustomRole, name: c}}, subjects: [{subject}]}}}}"
    )
}

const UNREADABLE: &str = "False Unreadable";
const ADA: &str = "{kind: User, name: ada}";
const GROUP: &str = "{kind: Group, name: g}";

fn is_privileged(shell: &Shell, group: &str) -> bool {
    matches!(&shell.draft(Kind::Group, group).status, Status::Group(status) if status.privileged)
}

#[rstest]
#[case::a_time(r#"{"expiresAt": "2030-01-01T00:00:00+99:99"}"#)]
#[case::a_subject_of_another_kind(r#"{"subjects": [{"kind": "Group", "name": "g"}, {"kind": "Robot", "name": "r"}]}"#)]
#[case::a_group_by_another_kind(r#"{"subjects": [{"kind": "Team", "name": "g"}]}"#)]
#[case::a_role_of_another_kind(r#"{"roleRef": {"kind": "ClusterRole", "name": "c"}}"#)]
fn a_binding_gives_nothing_and_its_group_counts_as_privileged(#[case] fields: &str) {
    let mut shell = given(&(start() + &bind("b", GROUP) + "\n---\n" + &bind("mine", ADA)));
    assert!(!is_privileged(&shell, "g"));
    shell.apply(&odd(&bind("b", GROUP), fields));
    assert_eq!(shell.says(Kind::RoleBinding, "b", "Ready"), UNREADABLE);
    assert!(is_privileged(&shell, "g"));
    assert!(shell.can("ada", "n0", "get pods"), "by another binding");
    shell.delete(Kind::RoleBinding, "n0", "mine");
    assert!(!shell.can("ada", "n0", "get pods"));
    assert!(shell.condition(Kind::RoleBinding, "b", "Ready").message.to_string().contains('('), "the error is named");
    shell.apply(&bind("b", GROUP));
    assert!(shell.can("ada", "n0", "get pods"));
    assert!(!is_privileged(&shell, "g"));
}

/// The Group that it names is unknown now.
#[test]
fn a_group_stays_privileged_when_the_subjects_of_its_binding_are_lost() {
    let privileged = "{kind: CustomRole, metadata: {name: c, namespace: n0}}";
    let mut shell = given(&[start(), privileged.to_owned(), bind("b", GROUP)].join("\n---\n"));
    assert!(is_privileged(&shell, "g"));
    shell.apply(&odd(&bind("b", GROUP), r#"{"subjects": {"kind": "Group", "name": "g"}}"#));
    assert!(is_privileged(&shell, "g"));
    shell.apply(&bind("b", ADA));
    assert!(!is_privileged(&shell, "g"));
}

#[test]
fn it_counts_as_privileged_where_nobody_holds_the_namespace_too() {
    let shell = given(&format!(
        "{{kind: Group, metadata: {{name: g, namespace: n2}}}}\n---\n{}",
        odd(&bind("b", GROUP).replace("n0", "n2"), r#"{"expiresAt": "never"}"#)
    ));
    assert!(is_privileged(&shell, "g"));
}

#[rstest]
#[case::whose_name_is_odd(r#"{"displayName": 5}"#)]
#[case::whose_suspension_is_odd(r#"{"suspended": "no"}"#)]
#[case::whose_username_is_odd(r#"{"username": 5}"#)]
fn a_suspended_user_stays_suspended(#[case] fields: &str) {
    let user = "{kind: User, metadata: {name: ada}, spec: {suspended: true}}";
    let mut shell = given(&(start() + user + "\n---\n" + &bind("b", ADA)));
    shell.apply(&odd(user, fields));
    assert_eq!(shell.says(Kind::User, "ada", "Ready"), UNREADABLE);
    assert_eq!(shell.cache.suspended, [Name::from("ada")].into());
    assert!(!shell.can("ada", "n0", "get pods"));
}

#[test]
fn an_active_user_holds_nothing_and_is_not_on_the_list_of_suspended_ones() {
    let mut shell = given(&(start() + &bind("b", ADA)));
    assert!(shell.can("ada", "n0", "get pods"));
    shell.apply(&odd("{kind: User, metadata: {name: ada}}", r#"{"displayName": 5}"#));
    assert!(!shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.cache.suspended, BTreeSet::new());
    assert_eq!(shell.says(Kind::RoleBinding, "b", "SubjectsResolved"), UNREADABLE);
    shell.apply("{kind: User, metadata: {name: ada}}");
    assert!(shell.can("ada", "n0", "get pods"));
}

#[test]
fn a_younger_user_takes_over_from_nobody() {
    let twin = "{kind: User, metadata: {name: twin}, spec: {username: ada, suspended: true}}";
    let mut shell = given(&(start() + &bind("b", ADA) + "\n---\n" + &odd(twin, r#"{"displayName": 5}"#)));
    assert!(shell.can("ada", "n0", "get pods"), "an unreadable younger one takes nothing away");
    shell.apply(&odd("{kind: User, metadata: {name: ada}}", r#"{"displayName": 5}"#));
    shell.apply("{kind: User, metadata: {name: twin}, spec: {username: ada}}");
    assert!(!shell.can("ada", "n0", "get pods"), "a readable younger one does not take over");
    assert_eq!(shell.says(Kind::User, "twin", "Ready"), "False UsernameTaken");
}

/// Its object name is not its username.
#[test]
fn a_user_without_a_username_stands_for_nobody_else() {
    let mut shell = given(&odd("{kind: User, metadata: {name: ada}, spec: {username: zed}}", r#"{"username": 5}"#));
    shell.apply(&start().replace("{name: ada}", "{name: real}, spec: {username: ada}"));
    shell.apply(&bind("b", ADA));
    assert!(shell.can("ada", "n0", "get pods"));
    assert_eq!(shell.says(Kind::User, "ada", "Ready"), UNREADABLE);
}

#[test]
fn the_members_of_a_group_hold_nothing_by_it_and_still_belong_there() {
    let group = "{kind: Group, metadata: {name: g, namespace: n0}, spec: {members: [ada], externalGroups: [x]}}";
    let mut shell = given(&(start() + group + "\n---\n" + &bind("b", GROUP)));
    assert!(shell.can("ada", "n0", "get pods") && shell.can("group:x", "n0", "get pods"));
    shell.apply(&odd(group, r#"{"members": ["ada", 5]}"#));
    assert_eq!(shell.says(Kind::Group, "g", "Ready"), UNREADABLE);
    assert!(!shell.can("ada", "n0", "get pods") && !shell.can("group:x", "n0", "get pods"));
    assert!(shell.cache.belongs_somewhere(&"ada".into()), "and not to the default organization");
}

#[test]
fn a_custom_role_gives_nothing_and_counts_as_privileged() {
    let role =
        format!("{{kind: CustomRole, metadata: {{name: c, namespace: n0}}, spec: {{privileged: false, {ROLE}}}}}");
    let heir = "{kind: CustomRole, metadata: {name: heir, namespace: n0}, spec: {privileged: false, \
                inherits: [{kind: CustomRole, name: c}], rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]}}";
    let by_heir = bind("by-heir", GROUP).replace("name: c}", "name: heir}");
    let mut shell = given(&[start(), bind("b", ADA), heir.to_owned(), by_heir].join("\n---\n"));
    assert!(shell.can("ada", "n0", "get pods") && !is_privileged(&shell, "g"));
    shell.apply(&odd(&role, r#"{"rules": [{"apiGroups": "", "resources": ["pods"], "verbs": ["get"]}]}"#));
    assert_eq!(shell.says(Kind::CustomRole, "c", "Ready"), UNREADABLE);
    assert!(!shell.can("ada", "n0", "get pods"));
    assert!(shell.can("ada", "n0", "get configmaps"), "by a role that inherits it");
    assert!(is_privileged(&shell, "g"));
    assert_eq!(shell.says(Kind::CustomRole, "heir", "InheritsResolved"), UNREADABLE);
}

#[test]
fn a_role_with_one_holder_keeps_its_holder() {
    let role = "{kind: SiteRole, metadata: {name: s0}, spec: {assignableTo: [Site], singleHolder: true, \
                clusterRules: [{apiGroups: [''], resources: [namespaces], verbs: [get]}]}}";
    let site_bind = |name: &str, user: &str| {
        format!(
            "{{kind: SiteRoleBinding, metadata: {{name: {name}}}, \
             spec: {{roleRef: {{kind: SiteRole, name: s0}}, subjects: [{{kind: User, name: {user}}}]}}}}"
        )
    };
    let bob = "{kind: User, metadata: {name: bob}}";
    let all = [start(), bob.to_owned(), role.to_owned(), site_bind("one", "ada"), site_bind("two", "bob")];
    let mut shell = given(&all.join("\n---\n"));
    let holder = |shell: &Shell| match &shell.draft(Kind::SiteRole, "s0").status {
        Status::SiteRole(status) => status.holder.clone(),
        other => panic!("{other:?}"),
    };
    let ada = Some("ada".to_owned());
    assert_eq!(holder(&shell), ada);
    // The binding, the user, the role.
    shell.apply(&odd(&site_bind("one", "ada"), r#"{"expiresAt": "never"}"#));
    assert_eq!((holder(&shell), shell.says(Kind::SiteRoleBinding, "one", "Ready")), (ada.clone(), UNREADABLE.into()));
    shell.apply(&site_bind("one", "ada"));
    shell.apply(&odd("{kind: User, metadata: {name: ada}}", r#"{"displayName": 5}"#));
    assert_eq!(holder(&shell), ada);
    shell.apply("{kind: User, metadata: {name: ada}}");
    shell.apply(&odd(role, r#"{"singleHolder": "yes", "description": 5}"#));
    assert_eq!((holder(&shell), shell.says(Kind::SiteRole, "s0", "Ready")), (ada, UNREADABLE.into()));
}

#[test]
fn whoever_an_unreadable_site_binding_names_stays_a_privileged_user() {
    let binding = "{kind: SiteRoleBinding, metadata: {name: b}, \
                   spec: {roleRef: {kind: SiteRole, name: s0}, subjects: [{kind: User, name: ada}]}}";
    let role = "{kind: SiteRole, metadata: {name: s0}, spec: {assignableTo: [Site], privileged: false}}";
    let mut shell = given(&[start(), role.to_owned(), binding.to_owned()].join("\n---\n"));
    let is_privileged =
        |shell: &Shell| matches!(&shell.draft(Kind::User, "ada").status, Status::User(status) if status.privileged);
    assert!(!is_privileged(&shell));
    shell.apply(&odd(binding, r#"{"expiresAt": "never"}"#));
    assert!(is_privileged(&shell));
}

#[test]
fn an_organization_keeps_its_namespace_and_what_bindings_give_there() {
    let organization = "{kind: Organization, metadata: {name: o}, spec: {namespace: n0, memberRole: s0}}";
    let member = "{kind: SiteRole, metadata: {name: s0}, spec: {assignableTo: [Organization], privileged: false, \
                  rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]}}";
    let rival = "{kind: Organization, metadata: {name: rival}, spec: {namespace: n0}}";
    let mut shell = given(&[start(), member.to_owned(), organization.to_owned(), bind("b", ADA)].join("\n---\n"));
    assert!(shell.can("ada", "n0", "get configmaps"));
    shell.apply(&odd(organization, r#"{"displayName": 5}"#));
    shell.apply(rival);
    assert_eq!(shell.says(Kind::Organization, "o", "Ready"), UNREADABLE);
    assert_eq!((shell.holds("o"), shell.holds("rival")), (Some("n0".to_owned()), None));
    assert_eq!(shell.says(Kind::Organization, "rival", "NamespaceAssigned"), "False AlreadyClaimed");
    assert!(shell.can("ada", "n0", "get pods"), "by the binding");
    assert!(!shell.can("ada", "n0", "get configmaps"), "its member role is withheld");
}

#[test]
fn a_new_organization_claims_nothing_and_the_default_one_stays_it() {
    let home = "{kind: Organization, metadata: {name: home}, spec: {namespace: n1, default: true, memberRole: ''}}";
    let organization = "{kind: Organization, metadata: {name: new}, spec: {namespace: n0}}";
    let mut shell = given(&(home.to_owned() + "\n---\n" + &odd(organization, r#"{"displayName": 5}"#)));
    assert_eq!(shell.holds("new"), None);
    assert_eq!(shell.says(Kind::Organization, "new", "NamespaceAssigned"), UNREADABLE);
    shell.apply(&odd(home, r#"{"default": "yes"}"#));
    shell.play(&[Op::Wait(10)]);
    assert_eq!(shell.defaults(), ["home"]);
}

/// The path of every field and item, as JSON pointers.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let path = format!("{path}/{key}");
        found.push(path.clone());
        paths(child, &path, found);
    }
}

/// The fields of a schema, with a `*` for each item.
fn fields(schema: &JSONSchemaProps, path: &str, found: &mut BTreeSet<String>) {
    for (key, of) in schema.properties.iter().flatten() {
        let path = format!("{path}/{key}");
        found.insert(path.clone());
        fields(of, &path, found);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        fields(items, &format!("{path}/*"), found);
    }
}

fn strange() -> Vec<Value> {
    let times = [
        "9999-12-31T23:59:59Z",
        "2027-01-01T00:00:00.01234567890123456789Z",
        "2027-01-01T00:00:00+99:99",
        "2027-01-01T00:00:00Zt-foo",
        "0000-01-01T00:00:00+23:59",
        "2027-01-01t00:00:00z",
        "2027-12-31T23:59:60Z",
    ];
    let others = json!([
        null, true, 0, -1, 4_294_967_296_u64, 9_223_372_036_854_775_808_u64, 1e300, "", "x", "Robot", "a\u{0}b", [], [null],
        [[]], {}, {"kind": "Robot", "name": "n"}, [{"kind": "Robot"}]
    ]);
    times.into_iter().map(Value::from).chain(others.as_array().unwrap().clone()).collect()
}

fn try_all<K: DeserializeOwned>(kind: &str, sample: &Value, schemas: &Schemas) {
    let mut all = Vec::new();
    paths(sample, "", &mut all);
    assert!(matches!(read::<K>(sample.clone()), Found::Whole(_)), "{kind}");
    for path in all.into_iter().filter(|path| path.starts_with("/s")) {
        for value in strange() {
            let mut object = sample.clone();
            *object.pointer_mut(&path).unwrap() = value.clone();
            let found = read::<K>(Shallow::default().deserialize(&object).unwrap());
            let accepted = schemas.check(kind, &mut object).unwrap().is_empty();
            let what = format!("{kind} {path} = {value}");
            assert!(!matches!(found, Found::Nothing(..)), "{what}: nothing is left");
            let withheld = matches!(found, Found::Part(_));
            assert!(!(withheld && path.starts_with("/status")), "{what}: a status withholds nothing");
            assert!(!(withheld && accepted), "{what}: the schema lets through what cannot be read");
        }
    }
}

#[test]
fn the_schema_accepts_what_can_be_read_and_the_rest_leaves_a_record() {
    let schemas = Schemas::default();
    let crds = api::crds::all();
    for (kind, mut sample) in samples() {
        let crd = crds.iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let schema = crd.spec.versions[0].schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).unwrap();
        let mut known = BTreeSet::new();
        fields(schema, "", &mut known);
        let mut tried = Vec::new();
        paths(&sample, "", &mut tried);
        let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit());
        let general = |path: &String| {
            let words = path.split('/').map(|word| if !word.is_empty() && is_number(word) { "*" } else { word });
            words.collect::<Vec<_>>().join("/")
        };
        let tried: BTreeSet<String> = tried.iter().map(general).collect();
        let missing: Vec<&String> =
            known.iter().filter(|path| path.starts_with("/s") && !tried.contains(*path)).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?}");
        sample["metadata"] =
            json!({"name": "n", "uid": "00000000-0000-4000-8000-000000000001", "resourceVersion": "1"});
        if crd.spec.scope == "Namespaced" {
            sample["metadata"]["namespace"] = json!("n");
        }
        sample["apiVersion"] = json!("bailiwick.dev/v1alpha1");
        sample["kind"] = json!(kind);
        match kind {
            "Organization" => try_all::<api::Organization>(kind, &sample, &schemas),
            "User" => try_all::<api::User>(kind, &sample, &schemas),
            "Group" => try_all::<api::Group>(kind, &sample, &schemas),
            "CustomRole" => try_all::<api::CustomRole>(kind, &sample, &schemas),
            "RoleBinding" => try_all::<api::RoleBinding>(kind, &sample, &schemas),
            "SiteRole" => try_all::<api::SiteRole>(kind, &sample, &schemas),
            _ => try_all::<api::SiteRoleBinding>(kind, &sample, &schemas),
        }
    }
}

/// serde_json gives up at 128 levels, and a list with it.
#[test]
fn managed_fields_of_any_depth_and_time_withhold_nothing() {
    let deep = "{\"f:a\":".repeat(100_000) + "{}" + &"}".repeat(100_000);
    let text = format!(
        r#"{{"apiVersion": "bailiwick.dev/v1alpha1", "kind": "User", "metadata": {{"name": "ada", "managedFields":
            [{{"time": "9999-12-31T23:59:59Z", "fieldsV1": {deep}}}]}}, "spec": {{"username": "a"}}}}"#
    );
    let value = Shallow::default().deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap();
    let Found::Whole(user) = read::<api::User>(value) else { panic!("it cannot be read") };
    assert_eq!(user.spec.username.as_deref(), Some("a"));
}
