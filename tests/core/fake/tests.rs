//! The fake API server does what Kubernetes does, as far as other tests rely on it.

use std::sync::Arc;

use bailiwick::core::plan::Write;
use bailiwick::core::rbac::{Desired, Key, NativeKind, RbacSpec, Source, Subject};
use bailiwick::operator::watch::WatchEvent;
use bailiwick::operator::writer::{Outcome, WriteRequest, WriteResult};
use rstest::rstest;

use crate::build::objects;
use crate::fake::answers::failed;
use crate::fake::{ApiServer, Event, Kind, Object, Op, Store, slot, widen};

const ADA: &str = "{kind: User, metadata: {name: ada}, spec: {username: ada}}";
const ADA_SUSPENDED: &str = "{kind: User, metadata: {name: ada}, spec: {username: ada, suspended: true}}";

fn put(yaml: &str) -> Op {
    Op::Put(Box::new(objects(yaml).remove(0)))
}

fn ada(store: &Store) -> &Object {
    &store.objects[&slot(Kind::User, "", "ada")]
}

/// UID, generation and resource version.
fn numbers(store: &Store) -> (String, i64, u64) {
    let meta = ada(store).meta();
    let version = meta.resource_version.as_ref().unwrap().parse().unwrap();
    (meta.uid.clone().unwrap(), meta.generation.unwrap(), version)
}

#[test]
fn only_a_new_spec_raises_the_generation_and_only_a_new_object_has_a_new_uid() {
    let mut store = Store::new().0;
    store.act(&put(ADA));
    let first = numbers(&store);
    store.act(&put(ADA));
    let same = numbers(&store);
    assert!(same.0 == first.0 && same.1 == first.1 && same.2 > first.2, "{first:?}, then {same:?}");
    store.act(&put(ADA_SUSPENDED));
    let suspended = numbers(&store);
    assert!(suspended.0 == first.0 && suspended.1 == first.1 + 1 && suspended.2 > same.2, "{suspended:?}");

    let status = serde_json::json!({"grants": 1});
    let uid = ada(&store).uid();
    assert_eq!(store.write_status(&slot(Kind::User, "", "ada"), &"another".into(), &status).len(), 0);
    assert_eq!(store.write_status(&slot(Kind::User, "", "ada"), &uid, &status).len(), 1);
    let told = numbers(&store);
    assert!(told.1 == suspended.1 && told.2 > suspended.2, "{told:?}");
    store.act(&put(ADA));
    assert_eq!(ada(&store).status().unwrap()["grants"], 1, "an update keeps the status");

    store.act(&Op::Replace(Box::new(objects(ADA).remove(0))));
    let recreated = numbers(&store);
    assert!(recreated.0 != first.0 && recreated.1 == 1 && recreated.2 > told.2, "{recreated:?}");
    assert_eq!(ada(&store).status(), None);
    let Event::Gone(_, uid) = &store.act(&Op::Delete(slot(Kind::User, "", "ada")))[0] else { panic!() };
    assert_eq!(*uid, recreated.0.as_str().into());
}

fn key(kind: NativeKind, name: &str) -> Key {
    Key { kind, namespace: "n0".into(), name: name.into() }
}

fn desired(content: RbacSpec) -> Desired {
    let source = Source { kind: "RoleBinding", namespace: "n0".into(), name: "b".into(), uid: "uid-b".into() };
    Desired { content, source }
}

fn role() -> Write {
    Write::Create { key: key(NativeKind::Role, "r"), native: desired(RbacSpec::Rules(Arc::from([]))) }
}

fn binding(role: &str) -> (Key, Desired) {
    let subjects = [Subject::User("ada".into())].into();
    (key(NativeKind::RoleBinding, "b"), desired(RbacSpec::Binding { role: role.into(), subjects }))
}

fn create_binding(role: &str) -> Write {
    let (key, native) = binding(role);
    Write::Create { key, native }
}

/// The binding `b`, to which somebody refers by this UID.
fn apply_binding(role: &str, uid: &str) -> Write {
    let (key, native) = binding(role);
    Write::Apply { key, native, uid: uid.into(), revokes: false }
}

fn delete_binding(uid: &str) -> Write {
    Write::Delete { key: binding("r").0, uid: uid.into(), revokes: true }
}

fn send(server: &mut ApiServer, write: Write) -> Outcome {
    match server.carry_out(&WriteRequest::Native(write)) {
        WriteResult::Native(_, outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// A role `r` and a binding `b` to it, which has the UID `native-2`.
fn with_binding() -> ApiServer {
    let mut server = ApiServer::new();
    for write in [role(), create_binding("r")] {
        let outcome = send(&mut server, write);
        assert!(matches!(outcome, Outcome::Is(_)), "{outcome:?}");
    }
    server.watches.deliver_all();
    server
}

#[rstest]
#[case::create_what_is_there(create_binding("r"), "Found", 0)]
#[case::apply(apply_binding("r", "native-2"), "Is", 1)]
#[case::apply_to_another_object(apply_binding("r", "native-1"), "Found", 0)]
#[case::change_the_role(apply_binding("s", "native-2"), "Refused", 0)]
#[case::delete(delete_binding("native-2"), "Gone", 1)]
#[case::delete_another_object(delete_binding("native-1"), "Found", 0)]
fn a_write_to_a_binding_that_is_there(#[case] write: Write, #[case] answer: &str, #[case] events: usize) {
    let mut server = with_binding();
    let outcome = format!("{:?}", send(&mut server, write));
    assert!(outcome.starts_with(answer), "{outcome}");
    assert_eq!(server.watches.deliver_all().len(), events);
}

#[rstest]
#[case::create_without_its_role(create_binding("gone"), "Refused")]
#[case::apply(apply_binding("r", "native-2"), "Gone")]
#[case::delete(delete_binding("native-2"), "Gone")]
fn a_write_to_a_binding_that_is_not_there(#[case] write: Write, #[case] answer: &str) {
    let mut server = ApiServer::new();
    server.watches.deliver_all();
    let outcome = format!("{:?}", send(&mut server, write));
    assert!(outcome.starts_with(answer), "{outcome}");
    assert_eq!(server.watches.deliver_all().len(), 0);
}

#[test]
fn nothing_is_created_in_a_namespace_that_terminates() {
    let mut server = with_binding();
    server.act(&Op::Terminate("n0"));
    assert!(matches!(send(&mut server, apply_binding("r", "native-2")), Outcome::Is(_)));
    assert!(matches!(send(&mut server, delete_binding("native-2")), Outcome::Gone(_)));
    assert!(matches!(send(&mut server, create_binding("r")), Outcome::Refused { .. }));
}

#[test]
fn a_scripted_fault_answers_and_nothing_is_written() {
    let mut server = ApiServer::new();
    server.fault = |write| matches!(write, Write::Create { .. }).then(failed);
    assert!(matches!(send(&mut server, role()), Outcome::Failed { .. }));
    assert!(server.rbac.present.is_empty());
}

/// What the watches deliver, in short: `Is 3` is an object at version 3.
fn delivered(server: &mut ApiServer, kind: Kind) -> Vec<String> {
    let short = |event: WatchEvent| match event {
        WatchEvent::Restarted(of, floor) if of == kind => Some(format!("Restarted {floor}")),
        WatchEvent::Synced(of) if of == kind => Some("Synced".to_owned()),
        WatchEvent::Item(item) => match *item {
            bailiwick::operator::watch::Item::Native(key, o) if Kind::from(key.kind) == kind => {
                Some(format!("Is {}", o.version))
            }
            _ => None,
        },
        WatchEvent::Gone(id) if id.kind == kind => Some("Gone".to_owned()),
        _ => None,
    };
    server.watches.deliver_all().into_iter().filter_map(short).collect()
}

#[test]
fn a_watch_delivers_in_order_and_a_list_shows_only_what_is_left() {
    let mut server = with_binding();
    let key = binding("r").0;
    let change = |server: &mut ApiServer| {
        server.rbac.edit(&key, widen);
        server.show_native(&key);
    };
    change(&mut server);
    change(&mut server);
    send(&mut server, delete_binding("native-2"));
    assert_eq!(delivered(&mut server, Kind::NativeRoleBinding), ["Is 3", "Is 4", "Gone"]);

    // What happens while the watch is away is not shown.
    send(&mut server, create_binding("r"));
    change(&mut server);
    server.relist(Kind::NativeRoleBinding);
    change(&mut server);
    let expected = ["Restarted 6", "Is 6", "Synced", "Is 7"];
    assert_eq!(delivered(&mut server, Kind::NativeRoleBinding), expected);
}

#[test]
fn watches_of_different_kinds_deliver_in_any_order() {
    let mut server = with_binding();
    server.act(&put(ADA));
    send(&mut server, apply_binding("r", "native-2"));
    let mut first = |which: usize| match server.watches.deliver_one(|n| which % n) {
        Some(WatchEvent::Item(item)) => format!("{item:?}").split('(').next().unwrap().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!([first(1), first(0), first(0)], ["Native", "User", "None"]);
}

#[test]
fn a_restore_brings_everything_back_but_the_time_and_what_watches_must_show() {
    let mut server = with_binding();
    let snapshot = server.snapshot();
    server.act(&put(ADA));
    server.rbac.edit(&binding("r").0, widen);
    let (time, floor) = (server.now().time, server.rbac.version);
    server.restore(snapshot);
    assert!(!server.store.objects.contains_key(&slot(Kind::User, "", "ada")));
    assert!(server.rbac.version < floor);
    assert_eq!(server.now().time, time);
    assert_eq!(delivered(&mut server, Kind::User).len(), 0, "the connections have ended");
    server.relist(Kind::NativeRoleBinding);
    let expected = [format!("Restarted {floor}"), format!("Is {}", server.rbac.version), "Synced".to_owned()];
    assert_eq!(delivered(&mut server, Kind::NativeRoleBinding), expected);
}

#[test]
fn deleting_a_namespace_deletes_its_native_objects() {
    let mut server = with_binding();
    server.act(&Op::Delete(slot(Kind::Namespace, "", "n0")));
    assert!(server.rbac.present.is_empty());
    assert_eq!(delivered(&mut server, Kind::NativeRoleBinding), ["Gone"]);
}
