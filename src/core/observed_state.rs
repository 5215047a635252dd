//! The native side as decisions see it: our existing objects, and the writes that the API server refuses.

use super::Name;
use super::object_ref::{NativeKind, NativeRef};
use super::plan::Present;
use super::rbac::Observed;
use super::write_failures::WriteFailures;

/// The observed state of our native objects.
pub trait ObservedState {
    /// One object.
    fn get(&self, key: &NativeRef) -> Option<&Observed>;

    /// The bindings in a namespace, or the cluster's if the namespace is empty.
    fn bindings(&self, namespace: &Name) -> Vec<&Observed>;

    /// The writes that the API server currently refuses.
    fn write_failures(&self) -> &WriteFailures;
}

/// Observed state without refused writes.
impl ObservedState for Present {
    fn get(&self, key: &NativeRef) -> Option<&Observed> {
        Present::get(self, key).map(|observed| &**observed)
    }

    fn bindings(&self, namespace: &Name) -> Vec<&Observed> {
        let kind = match namespace.is_empty() {
            true => NativeKind::ClusterRoleBinding,
            false => NativeKind::RoleBinding,
        };
        let first = NativeRef::new(kind, namespace.clone(), Name::default());
        let here = self.range(first..).take_while(|(key, _)| key.kind == kind && key.namespace == *namespace);
        here.map(|(_, observed)| &**observed).collect()
    }

    fn write_failures(&self) -> &WriteFailures {
        static NONE: WriteFailures = WriteFailures::new();
        &NONE
    }
}
