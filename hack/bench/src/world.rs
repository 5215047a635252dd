//! Generates the objects of a site with a given number of organizations; the same seed gives the same objects.

use serde_json::{Value, json};

/// The size of a site.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Organizations, each with a namespace of its own
    pub organizations: usize,
    /// The same seed gives the same world
    pub seed: u64,
}

impl Size {
    /// The number of Users.
    pub fn users(self) -> usize {
        self.organizations * 10
    }

    /// The number of our RoleBindings, with three subjects each.
    pub fn bindings(self) -> usize {
        self.organizations * 20
    }
}

/// How many users exactly [`GRANTS`] bindings name, so that their suspensions are comparable.
pub const MARKED: usize = 50;
/// See [`MARKED`].
pub const GRANTS: usize = 20;
/// The username of a user whose site role holds in every organization.
pub const EVERYWHERE: &str = "everywhere@example.com";

/// The prefix of the organizations' namespaces.
pub const TEAM: &str = "team-";

/// The namespace of an organization.
pub fn namespace(organization: usize) -> String {
    format!("{TEAM}{organization:04}")
}

/// The username of an ordinary user.
pub fn username(user: usize) -> String {
    format!("user-{user:05}@example.com")
}

/// The username of one of the marked users.
pub fn marked(user: usize) -> String {
    format!("marked-{user:02}@example.com")
}

/// The object's handle of a username.
pub fn handle(username: &str) -> &str {
    username.split('@').next().unwrap_or(username)
}

/// All objects to apply, each after those that it refers to.
pub fn generate(size: Size) -> Vec<Value> {
    let mut random = Random(size.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut objects = Vec::new();
    for o in 0..size.organizations {
        let name = namespace(o);
        objects.push(object("Organization", None, &name, json!({"namespace": name, "default": o == 0})));
    }
    let plain = size.users().saturating_sub(MARKED);
    let usernames = (0..plain).map(username).chain((0..MARKED).map(marked)).chain([EVERYWHERE.to_owned()]);
    for username in usernames {
        objects.push(object("User", None, handle(&username), json!({"username": username})));
    }
    for o in 0..size.organizations {
        let home = namespace(o);
        // A few very large groups, as every site has.
        let large = o < 3;
        let members = if large { size.users().min(5_000) / 2 } else { 8 };
        let members: Vec<String> =
            (0..members).map(|m| if large { username(m) } else { random.user(size, o) }).collect();
        let mut unique = members;
        unique.sort();
        unique.dedup();
        objects.push(object("Group", Some(&home), "everyone", json!({"members": unique})));
        for (name, resource) in [("lead", "workspaces"), ("librarian", "templates")] {
            let permissions = json!([{"resource": resource, "actions": ["read", "update"]}, {"resource": "services", "actions": ["read"]}]);
            objects.push(object("CustomRole", Some(&home), name, json!({"permissions": permissions})));
        }
    }
    let spread = (size.bindings() / GRANTS).max(1);
    for b in 0..size.bindings() {
        let o = b % size.organizations;
        let role = match b % 4 {
            0 => json!({"kind": "CustomRole", "name": "lead"}),
            1 => json!({"kind": "CustomRole", "name": "librarian"}),
            2 => json!({"kind": "SiteRole", "name": "organization-member"}),
            _ => json!({"kind": "SiteRole", "name": "organization-manager"}),
        };
        let first = if b % spread < MARKED { marked(b % spread) } else { random.user(size, o) };
        let (second, third) = (random.user(size, o), format!("robot-{b}"));
        let subjects = json!([{"kind": "User", "name": first}, {"kind": "User", "name": second}, {"kind": "ServiceAccount", "name": third}]);
        objects.push(object(
            "RoleBinding",
            Some(&namespace(o)),
            &format!("binding-{b:05}"),
            json!({"roleRef": role, "subjects": subjects}),
        ));
    }
    for (name, role) in [("auditors", "auditor"), ("templates", "template-admin")] {
        let subjects: Vec<Value> = (0..3).map(|_| json!({"kind": "User", "name": random.user(size, 0)})).collect();
        let mut unique = subjects;
        unique.dedup();
        if name == "auditors" {
            unique.push(json!({"kind": "User", "name": EVERYWHERE}));
        }
        objects.push(object("SiteRoleBinding", None, name, json!({"roleRef": {"name": role}, "subjects": unique})));
    }
    objects
}

fn object(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// xorshift: the same on every machine and version.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n.max(1) as u64).unwrap_or(0)
    }

    /// Usually a user of the organization, sometimes any user.
    fn user(&mut self, size: Size, organization: usize) -> String {
        let plain = size.users().saturating_sub(MARKED).max(1);
        let own = (plain / size.organizations.max(1)).max(1);
        let number = if self.below(10) < 8 { organization * own + self.below(own) } else { self.below(plain) };
        username(number % plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world_and_another_gives_another() {
        let world = |seed| generate(Size { organizations: 10, seed });
        assert_eq!(world(1), world(1));
        assert_ne!(world(1), world(2));
    }

    #[test]
    fn a_world_has_what_its_size_says() {
        let size = Size { organizations: 20, seed: 1 };
        let objects = generate(size);
        let count = |kind: &str| objects.iter().filter(|o| o["kind"] == kind).count();
        assert_eq!((count("Organization"), count("Group"), count("CustomRole")), (20, 20, 40));
        assert_eq!((count("RoleBinding"), count("SiteRoleBinding")), (size.bindings(), 2));
        // Plus the one with a role everywhere.
        assert_eq!(count("User"), size.users() + 1);
        let members = |o: &Value| o["spec"]["members"].as_array().map_or(0, Vec::len);
        let groups: Vec<usize> = objects.iter().filter(|o| o["kind"] == "Group").map(members).collect();
        assert!(
            groups[..3].iter().all(|n| *n == size.users() / 2) && groups[3..].iter().all(|n| *n <= 8),
            "{groups:?}"
        );
    }
}
