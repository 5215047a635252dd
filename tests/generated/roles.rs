//! The reference of the built-in roles: what each allows, by words of the catalog and by native rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::api::{Permission, Place, Scope, SiteRole};
use bailiwick::core::catalog::{Bounds, Target};
use bailiwick::core::rbac::from_rules;
use bailiwick::core::rules::{Rule, RuleSet};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// What runs Pods, of Kubernetes' own kinds. To create a Pod is to choose which Secrets of its namespace it mounts.
const WORKLOADS: [&str; 8] =
    ["pods", "deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers", "jobs", "cronjobs"];

/// The whole page.
pub fn reference() -> String {
    let chart = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/bailiwick");
    let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap();
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let bounds =
        json!({"releaseNamespace": "bailiwick-system", "namespaceWhitelist": [], "catalog": values["catalog"]});
    let bounds: Bounds = serde_json::from_value(bounds).unwrap();
    let mut text = String::from(
        "# Built-in roles\n\n\
         <!-- Generated from charts/bailiwick/files/site-roles.yaml and values.yaml by `make generate`. -->\n\n\
         This page shows exactly what each built-in role allows with the chart's default `catalog`. In your cluster, \
         `kubectl get siteroles.bailiwick.dev NAME -o yaml` shows the role, and the ConfigMap `bailiwick-catalog` in the \
         release namespace shows the meaning of its words.\n\n\
         - The rights of several roles add up. Every User who is not suspended also holds [member](#member), and everyone in an \
         organization also holds its member role, by default [organization-member](#organization-member).\n\
         - Permissions on [own objects](../tasks/own-objects.md) are in the first table only.\n\
         - An organization that lives in the release namespace gets no words with `inReleaseNamespace: false`.\n\
         - The verbs `bind`, `suspend` and `transfer` are Bailiwick's own: `bind` allows assigning a role or changing a \
         privileged Group, `suspend` allows suspending and activating a User, and `transfer` allows giving an object to \
         another owner.\n",
    );
    let roles = read("files/site-roles.yaml");
    let roles = serde_yaml::Deserializer::from_str(&roles).map(|role| SiteRole::deserialize(role).unwrap());
    let roles: Vec<SiteRole> = roles.collect();
    text.push_str("\n| role | purpose |\n|---|---|\n");
    for role in &roles {
        let (name, about) = (role.metadata.name.as_deref().unwrap(), role.spec.description.as_deref().unwrap());
        writeln!(text, "| [{name}](#{name}) | {about} |").unwrap();
    }
    for role in &roles {
        describe(role, &bounds, &mut text);
    }
    text
}

fn describe(role: &SiteRole, bounds: &Bounds, text: &mut String) {
    let (name, spec) = (role.metadata.name.as_deref().unwrap(), &role.spec);
    assert!(spec.inherits.is_empty(), "{name}: this page does not resolve what a role inherits");
    let assignable: Vec<&str> = spec.assignable_to.iter().map(|place| assigned(*place)).collect();
    let assignable = if assignable.is_empty() { "Nobody assigns it.".into() } else { assignable.join(" ") };
    let single = if spec.single_holder { " Only one user can hold it." } else { "" };
    let privileged = if spec.privileged { "Privileged." } else { "Not privileged." };
    let about = spec.description.as_deref().unwrap();
    write!(text, "\n## {name}\n\n{about}\n\n{assignable}{single} {privileged}\n\n").unwrap();

    text.push_str("In words of the catalog:\n\n| word | actions | objects |\n|---|---|---|\n");
    let mut native = BTreeMap::<Target, Vec<Rule>>::new();
    for permission in &spec.permissions {
        let Permission { resource, actions, scope, names } = permission;
        assert!(names.is_none(), "{name}: this page does not show `names`");
        let own = *scope == Scope::Own;
        let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
        let (target, rules) = bounds.rules(permission).unwrap();
        let objects = match (own, rules.is_empty()) {
            (true, _) => "own",
            (false, true) => "none in this version",
            (false, false) => "all",
        };
        writeln!(text, "| `{resource}` | {} | {objects} |", actions.join(", ")).unwrap();
        native.entry(target).or_default().extend(rules.into_iter().filter(|_| !own));
    }
    let rules = |rules: Value| from_rules(&serde_json::from_value::<Vec<_>>(rules).unwrap());
    native.entry(Target::Organization).or_default().extend(rules(json!(spec.rules)));
    native.entry(Target::Cluster).or_default().extend(rules(json!(spec.cluster_rules)));

    for (target, rules) in native {
        let rules = RuleSet::from_rules(&rules).to_rules();
        if rules.is_empty() {
            continue;
        }
        let place = match target {
            Target::Organization if name == "member" => {
                "In the namespace of each organization that the user belongs to"
            }
            Target::Organization if spec.assignable_to == [Place::Site] => "In the namespace of every organization",
            Target::Organization => "In the organization's namespace",
            Target::Cluster => "On cluster-scoped objects",
            Target::Release => "In the release namespace",
        };
        write!(text, "\n{place}:\n\n| verbs | resources (API group) |\n|---|---|\n").unwrap();
        for Rule { groups, resources, names, verbs, paths } in &rules {
            assert!(paths.is_empty(), "{name}: this page does not show non-resource URLs");
            let list =
                |words: &[bailiwick::core::Name]| words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let groups: Vec<&str> =
                groups.iter().map(|group| if group.is_empty() { "core" } else { group.as_str() }).collect();
            let only = if names.is_empty() { String::new() } else { format!(", only {}", list(names)) };
            writeln!(text, "| {} | {} ({}){only} |", list(verbs), list(resources), groups.join(", ")).unwrap();
        }
        let workloads = workloads(&rules);
        if let Some((last, others)) = workloads.split_last() {
            let all = if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
            writeln!(text, "\nThe {all} that a holder creates can mount any Secret of the namespace.").unwrap();
        }
    }
}

fn workloads(rules: &[Rule]) -> Vec<&'static str> {
    let has = |words: &[bailiwick::core::Name], word: &str| words.iter().any(|known| known.to_string() == word);
    let created = |kind: &&str| rules.iter().any(|rule| has(&rule.verbs, "create") && has(&rule.resources, kind));
    WORKLOADS.into_iter().filter(created).collect()
}

fn assigned(place: Place) -> &'static str {
    match place {
        Place::Site => "Assigned by a SiteRoleBinding, for the whole site.",
        Place::Organization => "Assigned by a RoleBinding, in one organization.",
    }
}
