//! What a decision must know of the native side: our objects that are there, and the writes that the API server refuses.

use super::Name;
use super::object_ref::NativeRef;
use super::plan::Present;
use super::rbac::{NativeKind, Observed};
use super::write_failures::WriteFailures;

/// The observed state of the native objects of ours.
pub trait ObservedState {
    /// One of them.
    fn get(&self, key: &NativeRef) -> Option<&Observed>;

    /// The bindings in a namespace, or of the cluster where the namespace is empty.
    fn bindings(&self, namespace: &Name) -> Vec<&Observed>;

    /// What the API server refuses for now.
    fn write_failures(&self) -> &WriteFailures;
}

/// Where nothing is refused.
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
