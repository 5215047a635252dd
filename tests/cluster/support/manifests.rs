//! Short manifests. Each begins with `---`, so that they can be concatenated.

/// An Organization; `spec` is YAML in flow style, as in `{namespace: alpha}`.
pub fn organization(name: &str, spec: &str) -> String {
    cluster_object("Organization", name, spec)
}

/// A User whose username is `<name>@example.com`.
pub fn user(name: &str) -> String {
    cluster_object("User", name, &format!("{{username: {name}@example.com}}"))
}

/// Several of them.
pub fn users(names: &[&str]) -> String {
    names.iter().map(|name| user(name)).collect()
}

/// A Group of people with names as in [`user`].
pub fn group(namespace: &str, name: &str, members: &[&str]) -> String {
    let members: Vec<String> = members.iter().map(|member| format!("{member}@example.com")).collect();
    object("Group", namespace, name, &format!("{{members: [{}]}}", members.join(", ")))
}

/// A CustomRole.
pub fn custom_role(namespace: &str, name: &str, spec: &str) -> String {
    object("CustomRole", namespace, name, spec)
}

/// A SiteRole.
pub fn site_role(name: &str, spec: &str) -> String {
    cluster_object("SiteRole", name, spec)
}

/// A RoleBinding. `role` is `Kind/name`; a subject is `Kind/name`, or a person's name as in [`user`].
pub fn binding(namespace: &str, name: &str, role: &str, subjects: &[&str]) -> String {
    object("RoleBinding", namespace, name, &binding_spec(role, subjects))
}

/// A SiteRoleBinding. A service account is `ServiceAccount/namespace/name`.
pub fn site_binding(name: &str, role: &str, subjects: &[&str]) -> String {
    cluster_object("SiteRoleBinding", name, &binding_spec(&format!("SiteRole/{role}"), subjects))
}

/// The `spec` of a binding.
pub fn binding_spec(role: &str, subjects: &[&str]) -> String {
    let (kind, role) = role.split_once('/').unwrap();
    let subjects: Vec<String> = subjects.iter().map(|subject| self::subject(subject)).collect();
    format!("{{roleRef: {{kind: {kind}, name: {role}}}, subjects: [{}]}}", subjects.join(", "))
}

fn subject(subject: &str) -> String {
    match subject.split_once('/') {
        Some(("ServiceAccount", name)) if name.contains('/') => {
            let (namespace, name) = name.split_once('/').unwrap();
            format!("{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}")
        }
        Some((kind, name)) => format!("{{kind: {kind}, name: {name:?}}}"),
        None => format!("{{kind: User, name: {subject}@example.com}}"),
    }
}

fn cluster_object(kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

pub fn object(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    let metadata = format!("{{name: {name}, namespace: {namespace}}}");
    format!("---\napiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n")
}
