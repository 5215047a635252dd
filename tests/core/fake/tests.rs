//! The fake API server behaves like Kubernetes, as far as other tests depend on it.

use std::sync::Arc;

use bailiwick::api::ApiKind;
use bailiwick::core::object_ref::{NativeKind, NativeRef, ObjectRef};
use bailiwick::core::plan::Write;
use bailiwick::core::rbac::{Desired, RbacSpec, Subject};
use bailiwick::operator::watch_event::{Item, WatchEvent};
use bailiwick::operator::writer::{WriteRequest, WriteResult};
use rstest::rstest;

use crate::build::objects;
use crate::fake::answers::failed;
use crate::fake::{ApiServer, Kind, Op, Store, slot, widen};

fn ada(suspended: bool) -> Box<crate::fake::Object> {
    let yaml = format!("{{kind: User, metadata: {{name: ada}}, spec: {{username: ada, suspended: {suspended}}}}}");
    Box::new(objects(&yaml).remove(0))
}

#[test]
fn a_new_spec_raises_the_generation_and_a_new_object_has_a_new_uid() {
    let mut store = Store::new().0;
    let at = slot(Kind::User, "", "ada");
    let mut versions = vec![store.version()];
    // UID, generation, and the number of grants in the status.
    let mut seen = |store: &Store| {
        let object = &store.objects[&at];
        let version = object.meta().resource_version.as_ref().unwrap().parse().unwrap();
        assert!(version > *versions.last().unwrap(), "every write has a higher version");
        versions.push(version);
        (object.uid(), object.meta().generation.unwrap(), object.status().map(|status| status["grants"].to_string()))
    };
    store.act(&Op::Put(ada(false)));
    let (uid, ..) = seen(&store);
    let one = Some("1".to_owned());
    store.act(&Op::Put(ada(false)));
    assert_eq!(seen(&store), (uid.clone(), 1, None));
    store.write_status(&at, &uid, &serde_json::json!({"grants": 1}));
    assert_eq!(seen(&store), (uid.clone(), 1, one.clone()));
    store.act(&Op::Put(ada(true)));
    assert_eq!(seen(&store), (uid.clone(), 2, one));
    store.act(&Op::Replace(ada(true)));
    let recreated = seen(&store);
    assert!(recreated.0 != uid && (recreated.1, &recreated.2) == (1, &None), "{recreated:?}");
    assert_eq!(store.write_status(&at, &uid, &serde_json::json!({"grants": 1})).len(), 0, "it has another UID");
}

fn key(kind: NativeKind) -> NativeRef {
    NativeRef::new(kind, "n0", "x")
}

fn desired(content: RbacSpec) -> Desired {
    let source = ObjectRef::new(ApiKind::RoleBinding, "n0", "b").with_uid("uid-b");
    Desired { content, source }
}

fn bind(role: &str) -> Desired {
    desired(RbacSpec::Binding { role: role.into(), subjects: [Subject::User("ada".into())].into() })
}

fn create_role() -> Write {
    Write::Create { key: key(NativeKind::Role), native: desired(RbacSpec::Rules(Arc::from([]))) }
}

fn create(role: &str) -> Write {
    Write::Create { key: key(NativeKind::RoleBinding), native: bind(role) }
}

fn apply(uid: &str, role: &str) -> Write {
    Write::Apply { key: key(NativeKind::RoleBinding), native: bind(role), uid: uid.into(), revokes: false }
}

fn delete(uid: &str) -> Write {
    Write::Delete { key: key(NativeKind::RoleBinding), uid: uid.into(), revokes: true }
}

/// The outcome by its name.
fn send(server: &mut ApiServer, write: Write) -> String {
    let WriteResult::Native(_, outcome) = server.carry_out(&WriteRequest::Native(write)) else { panic!() };
    format!("{outcome:?}").split(['(', ' ']).next().unwrap().to_owned()
}

/// What the watch of RoleBindings delivers, with versions.
fn delivered(server: &mut ApiServer) -> Vec<String> {
    let short = |event| match event {
        WatchEvent::Restarted(Kind::NativeRoleBinding, floor) => Some(format!("Restarted {floor}")),
        WatchEvent::Synced(Kind::NativeRoleBinding) => Some("Synced".to_owned()),
        WatchEvent::Gone(id) if id.kind == Kind::NativeRoleBinding => Some("Gone".to_owned()),
        WatchEvent::Item(item) => match *item {
            Item::Native(k, observed) if k == key(NativeKind::RoleBinding) => Some(format!("Is {}", observed.version)),
            _ => None,
        },
        _ => None,
    };
    server.watches.deliver_all().into_iter().filter_map(short).collect()
}

/// With a role, and a binding with the UID `native-2` to it.
fn with_binding() -> ApiServer {
    let mut server = ApiServer::new();
    assert_eq!([create_role(), create("x")].map(|write| send(&mut server, write)), ["Is", "Is"]);
    server.watches.deliver_all();
    server
}

#[rstest]
#[case::of_what_is_there(vec![], create("x"), "Found", &[])]
#[case::with_its_uid(vec![], apply("native-2", "x"), "Is", &["Is 3"])]
#[case::with_another_uid(vec![], apply("native-1", "x"), "Found", &[])]
#[case::with_another_role(vec![], apply("native-2", "y"), "Refused", &[])]
#[case::that_deletes_it(vec![], delete("native-2"), "Gone", &["Gone"])]
#[case::that_deletes_another(vec![], delete("native-1"), "Found", &[])]
#[case::of_what_is_gone(vec![delete("native-2")], apply("native-2", "x"), "Gone", &["Gone"])]
#[case::that_deletes_what_is_gone(vec![delete("native-2")], delete("native-2"), "Gone", &["Gone"])]
#[case::that_creates_it_again(vec![delete("native-2")], create("x"), "Is", &["Gone", "Is 3"])]
#[case::whose_role_is_not_there(vec![delete("native-2")], create("y"), "Refused", &["Gone"])]
fn a_write(#[case] before: Vec<Write>, #[case] write: Write, #[case] outcome: &str, #[case] shown: &[&str]) {
    let mut server = with_binding();
    before.into_iter().for_each(|write| drop(send(&mut server, write)));
    assert_eq!(send(&mut server, write), outcome);
    assert_eq!(delivered(&mut server), shown);
}

#[test]
fn a_terminating_namespace_lets_nothing_in_and_takes_all_with_it() {
    let mut server = with_binding();
    server.act(&Op::Terminate("n0"));
    let writes = [apply("native-2", "x"), delete("native-2"), create("x")];
    assert_eq!(writes.map(|write| send(&mut server, write)), ["Is", "Gone", "Refused"]);
    server.act(&Op::Delete(slot(Kind::Namespace, "", "n0")));
    assert!(server.rbac.present.is_empty());
}

#[test]
fn a_scripted_fault_answers_and_nothing_is_written() {
    let mut server = ApiServer::new();
    server.fault = |write| matches!(write, Write::Create { .. }).then(failed);
    assert_eq!(send(&mut server, create_role()), "Failed");
    assert!(server.rbac.present.is_empty());
}

#[test]
fn a_watch_keeps_its_order_and_a_list_shows_what_is_left() {
    let mut server = with_binding();
    let change = |server: &mut ApiServer| {
        server.rbac.edit(&key(NativeKind::RoleBinding), widen);
        server.show_native(&key(NativeKind::RoleBinding));
    };
    change(&mut server);
    change(&mut server);
    server.act(&Op::Put(ada(false)));
    let mut next = |which: usize| server.watches.deliver_one(|n| which % n).map(|event| format!("{event:?}"));
    assert!(next(1).unwrap().contains("Native") && next(0).unwrap().contains("User"), "kinds in any order");
    assert_eq!(delivered(&mut server), ["Is 4"]);

    // The watch does not show events from the time when it was disconnected.
    change(&mut server);
    change(&mut server);
    server.relist(Kind::NativeRoleBinding);
    change(&mut server);
    assert_eq!(delivered(&mut server), ["Restarted 6", "Is 6", "Synced", "Is 7"]);
}

#[test]
fn a_restore_turns_back_versions_and_not_time_or_what_a_list_promises() {
    let mut server = with_binding();
    let snapshot = server.snapshot();
    server.act(&Op::Put(ada(false)));
    assert_eq!(send(&mut server, apply("native-2", "x")), "Is");
    let time = server.now().time;
    server.restore(snapshot);
    assert!(!server.store.objects.contains_key(&slot(Kind::User, "", "ada")));
    assert_eq!((server.now().time, server.rbac.version), (time, 2));
    assert!(server.watches.deliver_all().is_empty(), "the connections have ended");
    server.relist(Kind::NativeRoleBinding);
    assert_eq!(delivered(&mut server), ["Restarted 3", "Is 2", "Synced"]);
}
