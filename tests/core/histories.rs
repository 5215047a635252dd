//! Random histories: what people and the platform may do to the objects of a small cluster, and a store that keeps them
//! as an API server does (UIDs, versions, generations, times, set-once fields).

use std::collections::BTreeMap;

use bailiwick::api::vocabulary as v;
use bailiwick::api::{self, Action, Permission, Place, PolicyRule, RoleKind, RoleRef, Scope, SubjectKind};
use bailiwick::core::Name;
use bailiwick::core::cache::{Affected, Cache};
use bailiwick::core::catalog::{Bounds, Settings};
use bailiwick::core::rules::{Ceiling, Rule, words};
use bailiwick::core::salvage::{self, Found, Withhold};
use bailiwick::core::uid::Uid;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta, Time};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

pub const RELEASE: &str = "release";
pub const SPACES: [&str; 4] = ["n0", "n1", "n2", RELEASE];
pub const USERNAMES: [&str; 4] = ["ada", "bob", "cyd", "dan"];
/// What stands where a username should: known ones, one that nobody has, and two that must never be granted anything.
const MENTIONS: [&str; 7] = ["ada", "bob", "cyd", "dan", "ghost", "system:masters", "tab\tname"];
const SITE_ROLES: [&str; 5] = ["member", "organization-member", "s0", "s1", "s2"];

/// The time at which histories begin.
pub fn base() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// So many half seconds later: created times are whole seconds, so that neighbours often share one.
pub fn tick(halves: i64) -> Timestamp {
    base() + SignedDuration::from_millis(halves * 500)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Organization,
    User,
    Namespace,
    Group,
    RoleBinding,
    CustomRole,
    SiteRole,
    SiteRoleBinding,
}

/// Where an object can be: kind, namespace (empty for the cluster kinds), name.
pub type Slot = (Kind, String, String);

#[derive(Clone)]
pub enum Object {
    Organization(api::Organization),
    User(api::User),
    Namespace(ObjectMeta),
    Group(api::Group),
    RoleBinding(api::RoleBinding),
    CustomRole(api::CustomRole),
    SiteRole(api::SiteRole),
    SiteRoleBinding(api::SiteRoleBinding),
}

macro_rules! each {
    ($object:expr, $o:ident => $does:expr, $m:ident => $namespace:expr) => {
        match $object {
            Object::Organization($o) => $does,
            Object::User($o) => $does,
            Object::Namespace($m) => $namespace,
            Object::Group($o) => $does,
            Object::RoleBinding($o) => $does,
            Object::CustomRole($o) => $does,
            Object::SiteRole($o) => $does,
            Object::SiteRoleBinding($o) => $does,
        }
    };
}

/// As short as a failing case has to be.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, ns, name) = self.slot();
        let spec = each!(self, o => serde_json::to_string(&o.spec).unwrap(), m => format!("{:?}", m.labels));
        let status = self.status().unwrap_or_default();
        write!(f, "{kind:?} {ns}/{name} {spec}{}", if status.is_null() { String::new() } else { format!(" {status}") })
    }
}

impl Object {
    pub fn meta(&self) -> &ObjectMeta {
        each!(self, o => &o.metadata, m => m)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        each!(self, o => &mut o.metadata, m => m)
    }

    pub fn kind(&self) -> Kind {
        match self {
            Object::Organization(_) => Kind::Organization,
            Object::User(_) => Kind::User,
            Object::Namespace(_) => Kind::Namespace,
            Object::Group(_) => Kind::Group,
            Object::RoleBinding(_) => Kind::RoleBinding,
            Object::CustomRole(_) => Kind::CustomRole,
            Object::SiteRole(_) => Kind::SiteRole,
            Object::SiteRoleBinding(_) => Kind::SiteRoleBinding,
        }
    }

    pub fn slot(&self) -> Slot {
        let meta = self.meta();
        (self.kind(), meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    }

    pub fn uid(&self) -> Uid {
        self.meta().uid.as_deref().unwrap().into()
    }

    pub fn created(&self) -> Timestamp {
        self.meta().creation_timestamp.as_ref().unwrap().0
    }

    /// The spec, to tell whether a write changes the generation.
    fn spec(&self) -> String {
        each!(self, o => format!("{:?}", o.spec), _m => String::new())
    }

    fn odd(&self) -> Option<&String> {
        self.meta().annotations.as_ref()?.get(ODD)
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        macro_rules! status {
            ($o:expr) => {
                $o.status.as_ref().map(|s| serde_json::to_value(s).unwrap())
            };
        }
        each!(self, o => status!(o), _m => None)
    }

    pub fn set_status(&mut self, status: &serde_json::Value) {
        macro_rules! set {
            ($o:expr) => {
                $o.status = Some(serde_json::from_value(status.clone()).unwrap())
            };
        }
        each!(self, o => set!(o), _m => ());
    }
}

/// What a watch shows, and what the platform team sets.
#[derive(Clone, Debug)]
pub enum Event {
    Is(Box<Object>),
    Gone(Slot, Uid),
    Bounds(Bounds),
    Settings(Settings),
    Ceiling(Which, Option<Ceiling>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    Organization,
    Home,
    Cluster,
    Release,
}

impl Event {
    /// Events with one stream arrive in their order; of different streams in any order.
    pub fn stream(&self) -> String {
        match self {
            Event::Is(object) => format!("{:?}", object.slot()),
            Event::Gone(slot, _) => format!("{slot:?}"),
            Event::Bounds(_) => "bounds".to_owned(),
            Event::Settings(_) => "settings".to_owned(),
            Event::Ceiling(which, _) => format!("{which:?}"),
        }
    }

    /// As `shell::engine::intake` does it.
    pub fn feed(&self, cache: &mut Cache) -> Affected {
        match self {
            Event::Is(object) => {
                let (_, ns, name) = object.slot();
                let (ns, name) = (Name::from(ns), Name::from(name));
                match &**object {
                    Object::Organization(o) => cache.organization(&name, Some(record(o)), None),
                    Object::User(o) => cache.user(&name, Some(record(o)), None),
                    Object::Namespace(o) => cache.namespace(&name, Some(o.into()), None),
                    Object::Group(o) => cache.group(&ns, &name, Some(record(o)), None),
                    Object::RoleBinding(o) => cache.binding(&ns, &name, Some(record(o)), None),
                    Object::CustomRole(o) => cache.custom_role(&ns, &name, Some(record(o)), None),
                    Object::SiteRole(o) => cache.site_role(&name, Some(record(o)), None),
                    Object::SiteRoleBinding(o) => cache.site_binding(&name, Some(record(o)), None),
                }
            }
            Event::Gone((kind, ns, name), uid) => {
                let (ns, name, uid) = (Name::from(ns.as_str()), Name::from(name.as_str()), Some(uid));
                match kind {
                    Kind::Organization => cache.organization(&name, None, uid),
                    Kind::User => cache.user(&name, None, uid),
                    Kind::Namespace => cache.namespace(&name, None, uid),
                    Kind::Group => cache.group(&ns, &name, None, uid),
                    Kind::RoleBinding => cache.binding(&ns, &name, None, uid),
                    Kind::CustomRole => cache.custom_role(&ns, &name, None, uid),
                    Kind::SiteRole => cache.site_role(&name, None, uid),
                    Kind::SiteRoleBinding => cache.site_binding(&name, None, uid),
                }
            }
            Event::Bounds(bounds) => cache.set_bounds(bounds.clone()),
            Event::Settings(settings) => cache.set_settings(settings.clone()),
            Event::Ceiling(Which::Organization, c) => cache.set_ceiling(|all| &mut all.organization, c.clone()),
            Event::Ceiling(Which::Home, c) => cache.set_ceiling(|all| &mut all.home, c.clone()),
            Event::Ceiling(Which::Cluster, c) => cache.set_ceiling(|all| &mut all.cluster, c.clone()),
            Event::Ceiling(Which::Release, c) => cache.set_ceiling(|all| &mut all.release, c.clone()),
        }
    }
}

/// The annotation of an object that was written under another schema: these fields of its spec are as no type of ours has
/// them.
pub const ODD: &str = "odd";

/// A record of an object, as `shell::guarded` makes it.
fn record<K, R>(object: &K) -> R
where
    K: kube::Resource + serde::Serialize + serde::de::DeserializeOwned,
    R: for<'a> From<&'a K> + Withhold<K>,
{
    let Some(odd) = object.meta().annotations.as_ref().and_then(|a| a.get(ODD)) else { return object.into() };
    let mut value = serde_json::to_value(object).unwrap();
    let odd: serde_json::Map<String, serde_json::Value> = serde_json::from_str(odd).unwrap();
    value["spec"].as_object_mut().unwrap().extend(odd);
    match salvage::read::<K>(value) {
        Found::Whole(object) => R::from(&object),
        Found::Part(part) => {
            let mut record = R::from(&part.object);
            record.withhold(&part);
            record
        }
        Found::Nothing(_, error) => panic!("{error}"),
    }
}

/// Something that somebody does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Create, or update.
    Put(Box<Object>),
    /// Delete, if it is there.
    Delete(Slot),
    /// Delete and create in one: a watch that was away shows only the new one.
    Replace(Box<Object>),
    /// An administrator takes the record off a namespace.
    Release(&'static str),
    /// A namespace begins to go.
    Terminate(&'static str),
    /// The whitelist, and whether an admission policy vouches for Groups.
    Bounds(Vec<&'static str>, bool),
    /// Whether users who belong nowhere join the default organization.
    Join(bool),
    /// None, one that lacks rules (`false`), or the full one.
    Ceiling(Which, Option<bool>),
    /// Nothing, for so many half seconds.
    Wait(i64),
}

/// Objects as an API server keeps them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    pub now: i64,
    version: u64,
    pub uids: u64,
    pub bounds: Bounds,
    pub settings: Settings,
    pub ceilings: BTreeMap<Which, Ceiling>,
    pub objects: BTreeMap<Slot, Object>,
}

impl Store {
    /// A store with the usual whitelist, catalog, ceilings and namespaces, and the events that show it.
    pub fn new() -> (Self, Vec<Event>) {
        let mut store = Self::default();
        let mut events = Vec::new();
        let mut ops = vec![Op::Bounds(vec!["n0", "n1", RELEASE], false)];
        for which in [Which::Organization, Which::Cluster, Which::Release] {
            ops.push(Op::Ceiling(which, Some(true)));
        }
        ops.extend(SPACES.map(|name| Op::Put(Box::new(namespace(name)))));
        for op in ops {
            events.extend(store.act(&op));
        }
        store.now = 2;
        (store, events)
    }

    pub fn time(&self) -> Timestamp {
        tick(self.now)
    }

    /// The newest version of anything.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Does something; returns what a watch shows of it.
    pub fn act(&mut self, op: &Op) -> Vec<Event> {
        match op {
            Op::Put(object) => self.put((**object).clone(), false),
            Op::Replace(object) => self.put((**object).clone(), true),
            Op::Delete(slot) => match self.objects.remove(slot) {
                Some(object) => {
                    self.version += 1;
                    vec![Event::Gone(slot.clone(), object.uid())]
                }
                None => Vec::new(),
            },
            Op::Release(name) => {
                self.edit_namespace(name, |m| drop(m.labels.as_mut().map(|l| l.remove(v::ORGANIZATION))))
            }
            Op::Terminate(name) => self.edit_namespace(name, |m| m.deletion_timestamp = Some(Time(base()))),
            Op::Bounds(whitelist, vouched) => {
                self.bounds = bounds(whitelist, *vouched);
                vec![Event::Bounds(self.bounds.clone())]
            }
            Op::Join(join) => {
                self.settings.users.join_default_organization = *join;
                vec![Event::Settings(self.settings.clone())]
            }
            Op::Ceiling(which, full) => {
                let ceiling = full.map(|full| ceiling(*which, full));
                match &ceiling {
                    Some(ceiling) => drop(self.ceilings.insert(*which, ceiling.clone())),
                    None => drop(self.ceilings.remove(which)),
                }
                vec![Event::Ceiling(*which, ceiling)]
            }
            Op::Wait(halves) => {
                self.now += halves;
                Vec::new()
            }
        }
    }

    pub fn edit_namespace(&mut self, name: &str, edit: impl FnOnce(&mut ObjectMeta)) -> Vec<Event> {
        let slot = (Kind::Namespace, String::new(), name.to_owned());
        let Some(Object::Namespace(meta)) = self.objects.get_mut(&slot) else { return Vec::new() };
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        edit(meta);
        vec![Event::Is(Box::new(self.objects[&slot].clone()))]
    }

    /// Writes a status, as the operator does.
    pub fn write_status(&mut self, slot: &Slot, uid: &Uid, status: &serde_json::Value) -> Vec<Event> {
        let Some(object) = self.objects.get_mut(slot).filter(|o| o.uid() == *uid) else { return Vec::new() };
        self.version += 1;
        object.meta_mut().resource_version = Some(self.version.to_string());
        object.set_status(status);
        vec![Event::Is(Box::new(object.clone()))]
    }

    fn put(&mut self, mut new: Object, replace: bool) -> Vec<Event> {
        let slot = new.slot();
        let second = Timestamp::from_second(self.time().as_second()).unwrap();
        self.version += 1;
        let old = if replace { None } else { self.objects.get(&slot).cloned() };
        if let Some(old) = &old {
            if !merge(old, &mut new) {
                return Vec::new();
            }
            let generation =
                old.meta().generation.unwrap() + i64::from(old.spec() != new.spec() || old.odd() != new.odd());
            let meta = new.meta_mut();
            meta.uid = old.meta().uid.clone();
            meta.creation_timestamp = old.meta().creation_timestamp.clone();
            meta.generation = Some(generation);
        } else {
            self.uids += 1;
            let meta = new.meta_mut();
            // Of either form.
            let uuid = |n: u64| format!("00000000-0000-4000-8000-{n:012x}");
            meta.uid = Some(if self.uids.is_multiple_of(2) { uuid(self.uids) } else { format!("uid-{}", self.uids) });
            meta.creation_timestamp = Some(Time(second));
            meta.generation = Some(1);
        }
        let meta = new.meta_mut();
        meta.resource_version = Some(self.version.to_string());
        meta.managed_fields = Some(vec![ManagedFieldsEntry {
            fields_v1: Some(FieldsV1(serde_json::json!({"f:spec": {}}))),
            time: Some(Time(second)),
            ..Default::default()
        }]);
        self.objects.insert(slot, new.clone());
        vec![Event::Is(Box::new(new))]
    }

    /// The newest version of every object, as a list shows it.
    pub fn list(&self) -> Vec<Event> {
        let mut events = vec![Event::Bounds(self.bounds.clone()), Event::Settings(self.settings.clone())];
        events.extend(self.ceilings.iter().map(|(which, c)| Event::Ceiling(*which, Some(c.clone()))));
        events.extend(self.objects.values().map(|o| Event::Is(Box::new(o.clone()))));
        events
    }

    /// A world that has seen everything and nothing else.
    pub fn cache(&self) -> Cache {
        let mut cache = Cache::default();
        for event in self.list() {
            event.feed(&mut cache);
        }
        cache
    }
}

/// What an update leaves of the old object: its status, and what admission refuses to change. `false`: nothing changes.
fn merge(old: &Object, new: &mut Object) -> bool {
    match (old, &mut *new) {
        (Object::Organization(old), Object::Organization(new)) => {
            new.status = old.status.clone();
            if old.spec.namespace.is_some() {
                new.spec.namespace = old.spec.namespace.clone();
            }
        }
        (Object::User(old), Object::User(new)) => {
            // `lastSeenTime` comes from the generator: somebody was seen.
            let seen = new.status.as_ref().and_then(|s| s.last_seen_time.clone());
            new.status = old.status.clone().or(new.status.take());
            if let Some(status) = &mut new.status {
                status.last_seen_time = seen;
            }
            new.spec.username = old.spec.username.clone();
        }
        (Object::Namespace(_), Object::Namespace(_)) => return false,
        (Object::Group(old), Object::Group(new)) => {
            new.status = old.status.clone();
            let odd = new.metadata.annotations.take().and_then(|mut all| all.remove_entry(ODD));
            let mut annotations = old.metadata.annotations.clone().unwrap_or_default();
            annotations.remove(ODD);
            annotations.extend(odd);
            new.metadata.annotations = Some(annotations);
        }
        (Object::RoleBinding(old), Object::RoleBinding(new)) => new.status = old.status.clone(),
        (Object::CustomRole(old), Object::CustomRole(new)) => new.status = old.status.clone(),
        (Object::SiteRole(old), Object::SiteRole(new)) => new.status = old.status.clone(),
        (Object::SiteRoleBinding(old), Object::SiteRoleBinding(new)) => new.status = old.status.clone(),
        _ => panic!("one slot, two kinds"),
    }
    true
}

pub fn bounds(whitelist: &[&str], groups_are_vouched: bool) -> Bounds {
    let catalog = r"
workspaces:
  rules:
    deployments: {apiGroups: [apps], resources: [deployments]}
    pods: {apiGroups: ['', metrics], resources: [pods]}
    exec: {apiGroups: [''], resources: [pods/exec], actions: [use]}
templates:
  target: release
  rules:
    all: {apiGroups: [''], resources: [configmaps], resourceNames: [t0, t1]}
    others: {apiGroups: [templates.dev], resources: [templates]}
users:
  target: cluster
  rules:
    users: {apiGroups: [bailiwick.dev], resources: [users]}
nothing: {}
";
    Bounds {
        release_namespace: RELEASE.to_owned(),
        namespace_whitelist: whitelist.iter().map(|s| (*s).to_owned()).collect(),
        groups_are_vouched,
        catalog: serde_yaml::from_str(catalog).unwrap(),
    }
}

/// The ceilings: a full one covers the catalog (but for `pods` in the group `metrics`), one that lacks rules less.
pub fn ceiling(which: Which, full: bool) -> Ceiling {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| Rule {
        groups: words(groups),
        resources: words(resources),
        verbs: words(verbs),
        ..Rule::default()
    };
    let read = ["get", "list", "watch"];
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind"];
    let verbs: &[&str] = if full { &all } else { &read };
    Ceiling::new(match which {
        Which::Organization => vec![
            rule(&["", "apps"], &["pods", "deployments", "configmaps"], verbs),
            rule(&[""], &["*/exec"], if full { &["get", "create"] } else { &["get"] }),
            Rule { names: words(&["one"]), ..rule(&[""], &["secrets"], &["get"]) },
        ],
        Which::Home => vec![rule(&[""], &["pods"], verbs)],
        Which::Cluster => vec![
            rule(&["bailiwick.dev"], &["users", "organizations"], verbs),
            Rule { paths: words(&["/healthz", "/healthz/*"]), verbs: words(&["get"]), ..Rule::default() },
        ],
        Which::Release => vec![rule(&["", "templates.dev"], &["configmaps", "templates"], verbs)],
    })
}

pub fn namespace(name: &str) -> Object {
    Object::Namespace(ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() })
}

fn metadata(ns: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: (!ns.is_empty()).then(|| ns.to_owned()),
        ..ObjectMeta::default()
    }
}

fn few<T: Clone + std::fmt::Debug + 'static>(all: &'static [T], most: usize) -> BoxedStrategy<Vec<T>> {
    subsequence(all, 0..=most.min(all.len())).boxed()
}

fn strings(list: Vec<&str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

fn organization() -> impl Strategy<Value = Object> {
    let ns = prop_oneof![2 => Just(None), 5 => select(&SPACES[..]).prop_map(Some)];
    let role = select(&["", "organization-member", "s0", "s1", "gone"][..]);
    (select(&["o0", "o1", "o2"][..]), ns, prop::bool::weighted(0.3), role).prop_map(|(name, ns, default, role)| {
        Object::Organization(api::Organization {
            metadata: metadata("", name),
            spec: api::OrganizationSpec {
                display_name: None,
                namespace: ns.map(str::to_owned),
                default,
                member_role: role.to_owned(),
            },
            status: None,
        })
    })
}

fn user() -> impl Strategy<Value = Object> {
    let handle = select(&["ada", "bob", "cyd", "dan", "eve"][..]);
    let username =
        prop_oneof![4 => Just(None), 2 => select(&USERNAMES[..]).prop_map(Some), 1 => Just(Some("system:masters"))];
    let seen = prop::option::of((0i64..20).prop_map(|s| 2 * s));
    (handle, username, prop::bool::weighted(0.3), seen).prop_map(|(handle, username, suspended, seen)| {
        Object::User(api::User {
            metadata: metadata("", handle),
            spec: api::UserSpec { username: username.map(str::to_owned), suspended, ..Default::default() },
            status: seen.map(|seen| api::UserStatus {
                // Dormant when so many half seconds of the history have gone by.
                last_seen_time: Some(Time(tick(seen) - SignedDuration::from_hours(90 * 24))),
                ..Default::default()
            }),
        })
    })
}

fn group() -> impl Strategy<Value = Object> {
    let external = few(&["oidc:all", "oidc:few", "system:authenticated"], 2);
    (select(&SPACES[..]), select(&["g0", "g1"][..]), few(&MENTIONS, 4), external, any::<bool>(), any::<bool>())
        .prop_map(|(ns, name, members, external, implies_membership, vouched)| {
            let mut metadata = metadata(ns, name);
            metadata.annotations = vouched.then(|| [(v::VOUCHED.to_owned(), "true".to_owned())].into());
            Object::Group(api::Group {
                metadata,
                spec: api::GroupSpec {
                    display_name: None,
                    members: strings(members),
                    external_groups: strings(external),
                    implies_membership,
                },
                status: None,
            })
        })
}

fn expiry() -> BoxedStrategy<Option<Time>> {
    prop_oneof![3 => Just(None), 2 => (0i64..60).prop_map(|at| Some(Time(tick(at))))].boxed()
}

fn subject() -> impl Strategy<Value = api::Subject> {
    let of = |kind, names: &'static [&'static str]| {
        select(names).prop_map(move |name: &str| api::Subject { kind, name: name.to_owned() })
    };
    prop_oneof![
        4 => of(SubjectKind::User, &MENTIONS),
        3 => of(SubjectKind::Group, &["g0", "g1", "g2"]),
        1 => of(SubjectKind::ExternalGroup, &["oidc:all", "oidc:few", "system:masters"]),
        1 => of(SubjectKind::ServiceAccount, &["ci", "cd"]),
    ]
}

fn role_binding() -> impl Strategy<Value = Object> {
    let role = prop_oneof![
        select(&["c0", "c1", "c2"][..]).prop_map(|name| (RoleKind::CustomRole, name)),
        select(&SITE_ROLES[..]).prop_map(|name| (RoleKind::SiteRole, name)),
    ];
    let subjects = prop::collection::vec(subject(), 0..5);
    (select(&SPACES[..]), select(&["b0", "b1", "b2"][..]), role, subjects, expiry()).prop_map(
        |(ns, name, (kind, role), subjects, expires_at)| {
            Object::RoleBinding(api::RoleBinding {
                metadata: metadata(ns, name),
                spec: api::RoleBindingSpec { role_ref: RoleRef { kind, name: role.to_owned() }, subjects, expires_at },
                status: None,
            })
        },
    )
}

fn site_role_binding() -> impl Strategy<Value = Object> {
    use api::SiteSubjectKind as K;
    let of = |kind, names: &'static [&'static str], ns: Option<&'static str>| {
        select(names).prop_map(move |name: &str| api::SiteSubject {
            kind,
            name: name.to_owned(),
            namespace: ns.map(str::to_owned),
        })
    };
    let subject = prop_oneof![
        4 => of(K::User, &MENTIONS, None),
        1 => of(K::ExternalGroup, &["oidc:all", "oidc:few", "system:masters"], None),
        1 => of(K::ServiceAccount, &["ci"], Some("n0")),
        1 => of(K::ServiceAccount, &["ci"], None),
    ];
    let subjects = prop::collection::vec(subject, 0..4);
    (select(&["t0", "t1", "t2"][..]), select(&SITE_ROLES[..]), subjects, expiry()).prop_map(
        |(name, role, subjects, expires_at)| {
            Object::SiteRoleBinding(api::SiteRoleBinding {
                metadata: metadata("", name),
                spec: api::SiteRoleBindingSpec {
                    role_ref: api::SiteRoleRef { kind: Default::default(), name: role.to_owned() },
                    subjects,
                    expires_at,
                },
                status: None,
            })
        },
    )
}

const ACTIONS: [Action; 6] = [Action::Create, Action::Read, Action::List, Action::Update, Action::Delete, Action::Use];

pub fn permission() -> impl Strategy<Value = Permission> {
    let word = select(&["workspaces", "workspaces", "templates", "users", "nothing", "unheard-of"][..]);
    let names = prop_oneof![3 => Just(None), 1 => few(&["t0", "one", "two"], 2).prop_map(|n| (!n.is_empty()).then(|| strings(n)))];
    (word, subsequence(&ACTIONS[..], 1..4), prop::bool::weighted(0.15), names).prop_map(
        |(word, actions, own, names)| Permission {
            resource: word.to_owned(),
            actions,
            scope: if own { Scope::Own } else { Scope::All },
            names,
        },
    )
}

fn policy_rule() -> impl Strategy<Value = PolicyRule> {
    let groups = subsequence(&["", "apps"][..], 1..=2);
    let resources = subsequence(&["pods", "deployments", "pods/exec", "secrets"][..], 1..3);
    let verbs = subsequence(&["get", "list", "delete", "create", "escalate"][..], 1..4);
    let names = prop_oneof![2 => Just(None), 1 => Just(Some(vec!["one".to_owned()]))];
    (groups, resources, verbs, names).prop_map(|(groups, resources, verbs, resource_names)| PolicyRule {
        api_groups: strings(groups),
        resources: strings(resources),
        resource_names,
        verbs: strings(verbs),
    })
}

fn cluster_rule() -> impl Strategy<Value = api::ClusterPolicyRule> {
    let nothing = || api::ClusterPolicyRule {
        api_groups: None,
        resources: None,
        resource_names: None,
        non_resource_urls: None,
        verbs: Vec::new(),
    };
    let paths =
        subsequence(&["/healthz", "/healthz/ping", "/healthz/*", "/metrics"][..], 1..3).prop_map(move |paths| {
            api::ClusterPolicyRule {
                non_resource_urls: Some(strings(paths)),
                verbs: vec!["get".to_owned()],
                ..nothing()
            }
        });
    let kinds = subsequence(&["users", "organizations", "nodes"][..], 1..3);
    let kinds = (kinds, subsequence(&["get", "list", "bind"][..], 1..3)).prop_map(move |(kinds, verbs)| {
        api::ClusterPolicyRule {
            api_groups: Some(vec!["bailiwick.dev".to_owned()]),
            resources: Some(strings(kinds)),
            verbs: strings(verbs),
            ..nothing()
        }
    });
    prop_oneof![paths, kinds]
}

fn custom_role() -> impl Strategy<Value = Object> {
    let custom = subsequence(&["c0", "c1", "c2"][..], 0..=2);
    let site = subsequence(&SITE_ROLES[..], 0..=1);
    let inherits = (custom, site).prop_map(|(custom, site)| {
        let of = |kind, names: Vec<&str>| {
            names.into_iter().map(move |n| RoleRef { kind, name: n.to_owned() }).collect::<Vec<_>>()
        };
        [of(RoleKind::CustomRole, custom), of(RoleKind::SiteRole, site)].concat()
    });
    let inherits = prop_oneof![2 => Just(Vec::new()), 1 => inherits];
    let name = select(&["c0", "c1", "c2"][..]);
    let rules = (prop::collection::vec(permission(), 0..3), prop::collection::vec(policy_rule(), 0..2));
    (select(&SPACES[..]), name, rules, inherits, any::<bool>(), any::<bool>()).prop_map(
        |(ns, name, (permissions, rules), inherits, privileged, implies_membership)| {
            Object::CustomRole(api::CustomRole {
                metadata: metadata(ns, name),
                spec: api::CustomRoleSpec {
                    permissions,
                    rules,
                    inherits,
                    privileged,
                    implies_membership,
                    ..Default::default()
                },
                status: None,
            })
        },
    )
}

fn site_role() -> impl Strategy<Value = Object> {
    let places = prop_oneof![
        1 => Just(vec![]),
        2 => Just(vec![Place::Site]),
        3 => Just(vec![Place::Organization]),
        3 => Just(vec![Place::Site, Place::Organization]),
    ];
    let rules = (
        prop::collection::vec(permission(), 0..3),
        prop::collection::vec(policy_rule(), 0..2),
        prop::collection::vec(cluster_rule(), 0..2),
    );
    let inherits = prop_oneof![2 => Just(Vec::new()), 1 => subsequence(&SITE_ROLES[..], 0..=2)];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (select(&SITE_ROLES[..]), places, rules, inherits, flags).prop_map(
        |(name, assignable_to, (permissions, rules, cluster_rules), inherits, (privileged, implies, single_holder))| {
            Object::SiteRole(api::SiteRole {
                metadata: metadata("", name),
                spec: api::SiteRoleSpec {
                    assignable_to,
                    single_holder: single_holder && name.starts_with('s'),
                    permissions,
                    rules,
                    cluster_rules,
                    inherits: strings(inherits),
                    privileged,
                    implies_membership: implies,
                    ..Default::default()
                },
                status: None,
            })
        },
    )
}

/// One object as people write it.
pub fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        6 => organization(),
        6 => user(),
        1 => select(&SPACES[..]).prop_map(namespace),
        4 => group(),
        7 => role_binding(),
        4 => custom_role(),
        5 => site_role(),
        4 => site_role_binding(),
    ]
}

/// One thing that somebody does.
pub fn op() -> impl Strategy<Value = Op> {
    let which = || select(&[Which::Organization, Which::Home, Which::Cluster, Which::Release][..]);
    prop_oneof![
        40 => object().prop_map(|o| Op::Put(Box::new(o))),
        8 => object().prop_map(|o| Op::Delete(o.slot())),
        2 => object().prop_map(|o| Op::Replace(Box::new(o))),
        2 => select(&SPACES[..]).prop_map(Op::Release),
        1 => select(&SPACES[..]).prop_map(Op::Terminate),
        1 => (subsequence(&SPACES[..], 0..=4), any::<bool>()).prop_map(|(list, vouched)| Op::Bounds(list, vouched)),
        1 => any::<bool>().prop_map(Op::Join),
        1 => (which(), prop::option::of(any::<bool>())).prop_map(|(which, full)| Op::Ceiling(which, full)),
        4 => (1i64..12).prop_map(Op::Wait),
    ]
}

/// A history: first things that make a lively cluster, then whatever happens.
pub fn history(most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..most)
}

/// A history in which some objects are written under another schema.
pub fn strange_history(most: usize) -> impl Strategy<Value = Vec<Op>> {
    let odd = prop::collection::vec(prop::bool::weighted(0.15), most);
    (history(most), odd).prop_map(|(mut ops, odd)| {
        for (op, _) in ops.iter_mut().zip(odd).filter(|(_, odd)| *odd) {
            if let Op::Put(object) | Op::Replace(object) = op
                && object.kind() != Kind::Namespace
            {
                let fields = match object.kind() {
                    Kind::RoleBinding | Kind::SiteRoleBinding => r#"{"expiresAt": "never"}"#,
                    _ => r#"{"displayName": 5}"#,
                };
                let annotations = object.meta_mut().annotations.get_or_insert_default();
                annotations.insert(ODD.to_owned(), fields.to_owned());
            }
        }
        ops
    })
}

/// Many objects put at once, for properties that are about a state and not about how it came about.
pub fn crowd() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(prop_oneof![12 => object().prop_map(|o| Op::Put(Box::new(o))), 1 => op()], 15..60)
}
