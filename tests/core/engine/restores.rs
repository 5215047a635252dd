//! etcd is restored from an older copy: a list that shows what is older than what was known proves it, whatever else
//! happens does not. (That nothing else does is also checked after every turn of every test with this API server.)

use super::*;

/// What there is, to be put back.
struct Copy {
    store: Store,
    present: Present,
    version: u64,
    list: OwnConfigMap,
}

impl Model {
    fn copy(&self) -> Copy {
        let (store, present) = (self.store.clone(), self.present.clone());
        Copy { store, present, version: self.version, list: self.list.clone() }
    }

    /// The API server is gone, and comes back with this. Nothing is listed yet.
    fn restore(&mut self, copy: Copy) {
        for kind in Kind::ALL {
            self.floor(kind);
        }
        self.goes_back = true;
        self.to_show.clear();
        for job in std::mem::take(&mut self.in_flight) {
            self.answers.push(undone(&job, false));
        }
        let now = self.store.now;
        self.store = copy.store;
        self.store.now = now;
        (self.present, self.version, self.list) = (copy.present, copy.version, copy.list);
        self.turns();
    }

    fn lists(&mut self, kind: Kind) {
        self.relist(kind);
        self.see();
    }
}

fn converged() -> Model {
    let mut model = Model::new();
    apply(&mut model, ONE_ORGANIZATION);
    model.rest(true);
    model.check_converged();
    model
}

const ADA_IS_SUSPENDED: &str = "{kind: User, metadata: {name: ada}, spec: {username: ada, suspended: true}}";
const ADA_HOLDS_ANOTHER_ROLE: &str = "{kind: RoleBinding, metadata: {name: b, namespace: n0},
    spec: {roleRef: {kind: SiteRole, name: viewer}, subjects: [{kind: User, name: ada}]}}";
const ANOTHER_MEMBER: &str = "
{kind: User, metadata: {name: bob}, spec: {username: bob}}
---
{kind: RoleBinding, metadata: {name: b, namespace: n0}, spec: {roleRef: {kind: SiteRole, name: reader}, subjects: [{kind: User, name: ada}, {kind: User, name: bob}]}}
";

#[rstest]
#[case::a_user(ADA_IS_SUSPENDED, Kind::User, "User ada")]
#[case::the_list_of_suspended_users(ADA_IS_SUSPENDED, Kind::Suspended, "Suspended is")]
#[case::a_binding(ADA_HOLDS_ANOTHER_ROLE, Kind::RoleBinding, "RoleBinding n0 b")]
#[case::a_native_binding(ANOTHER_MEMBER, Kind::NativeRoleBinding, "NativeRoleBinding n0 ")]
fn a_list_that_shows_an_object_as_it_was_before_proves_a_restore(
    #[case] lost: &str,
    #[case] kind: Kind,
    #[case] object: &str,
) {
    let mut model = converged();
    let copy = model.copy();
    apply(&mut model, lost);
    model.rest(true);
    model.restore(copy);
    model.lists(kind);
    let evidence = model.engine.gone_back().unwrap_or_default();
    assert!(evidence.contains(object) && evidence.contains("resource version"), "{evidence:?}");
    // Nothing is begun any more, whatever is seen: it is made anew by whoever runs it.
    assert!(!model.engine.has_work());
    Kind::ALL.into_iter().for_each(|kind| model.lists(kind));
    model.engine.lead(true);
    model.turns();
    assert!(model.in_flight.is_empty(), "{:?}", model.in_flight);
}

#[test]
fn an_object_of_before_in_the_place_of_a_newer_one_proves_a_restore() {
    let mut model = converged();
    let copy = model.copy();
    let binding = objects(ONE_ORGANIZATION).remove(4);
    model.act(&Op::Replace(Box::new(binding)));
    model.rest(true);
    model.restore(copy);
    model.lists(Kind::RoleBinding);
    assert!(model.engine.gone_back().is_some());
}

/// The connection ends after the answer, and before the watch has shown the same.
#[test]
fn what_was_known_from_an_answer_alone_counts_too() {
    let mut model = converged();
    let copy = model.copy();
    apply(&mut model, ANOTHER_MEMBER);
    model.see();
    let writes_native = |job: &WriteRequest| matches!(job, WriteRequest::Native(Write::Apply { .. }));
    let which = model.in_flight.iter().position(writes_native).unwrap();
    let job = model.in_flight.remove(which);
    let done = model.carry_out(&job);
    model.answers.push(done);
    model.turns();
    model.restore(copy);
    model.lists(Kind::NativeRoleBinding);
    assert!(model.engine.gone_back().is_some());
}

/// A list is asked for, then a write is carried out and answered, and then the list is read: it is older than what is known.
#[test]
fn a_write_that_is_answered_before_an_older_list_is_read_proves_nothing() {
    let mut model = converged();
    apply(&mut model, ANOTHER_MEMBER);
    model.see();
    model.relist(Kind::NativeRoleBinding);
    model.relist(Kind::Organization);
    for job in std::mem::take(&mut model.in_flight) {
        let done = model.carry_out(&job);
        model.answers.push(done);
    }
    model.turns();
    model.see();
    model.rest(true);
    model.check_converged();
}

#[test]
fn what_is_lost_but_was_never_known_otherwise_proves_nothing_and_is_right_once_all_is_listed() {
    let mut model = converged();
    let copy = model.copy();
    // Gone, and new: neither is at another version in the copy.
    model.act(&Op::Delete((histories::Kind::RoleBinding, "n0".to_owned(), "b".to_owned())));
    model.see();
    model.restore(copy);
    for kind in [Kind::RoleBinding, Kind::User, Kind::SiteRole] {
        model.lists(kind);
    }
    assert_eq!(model.engine.gone_back(), None);
    model.rest(true);
    model.check_converged();
}

#[test]
fn while_it_is_in_doubt_nothing_is_begun_and_nothing_is_forgotten() {
    let mut model = converged();
    model.engine.hold(true);
    apply(&mut model, ADA_IS_SUSPENDED);
    model.see();
    assert!(model.in_flight.is_empty() && !model.engine.has_work(), "{:?}", model.in_flight);
    model.engine.hold(false);
    model.turns();
    assert!(!model.in_flight.is_empty());
    model.rest(true);
    model.check_converged();
}
