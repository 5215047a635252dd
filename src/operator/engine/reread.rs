//! Reads objects again once there is room for them: objects beyond a limit are kept as names only.

use super::key::ReconcileKey;
use super::{Engine, WriteRequest};
use crate::api::ApiKind;
use crate::core::object_ref::ApiRef;
use crate::operator::watch_event::Item;
use crate::operator::writer::Failure;

impl Engine {
    /// Reads the objects of a namespace that have room again.
    pub(super) fn reread_due(&mut self, key: &ReconcileKey) {
        let Some(local) = key.namespace().and_then(|name| self.cache.local.get(name)) else { return };
        if !local.is_over() {
            return;
        }
        let due = local.groups.due().map(|meta| meta.source(ApiKind::Group));
        let due = due.chain(local.bindings.due().map(|meta| meta.source(ApiKind::RoleBinding)));
        let due = due.chain(local.roles.due().map(|meta| meta.source(ApiKind::CustomRole))).collect();
        self.reread(due);
    }

    /// Reads the cluster-scoped objects that have room again.
    pub(super) fn reread_due_of_site(&mut self) {
        let cache = &self.cache;
        let due = cache.users.due().map(|meta| meta.source(ApiKind::User));
        let due = due.chain(cache.organizations.due().map(|meta| meta.source(ApiKind::Organization)));
        let due = due.chain(cache.site_roles.due().map(|meta| meta.source(ApiKind::SiteRole)));
        let due = due.chain(cache.site_bindings.due().map(|meta| meta.source(ApiKind::SiteRoleBinding))).collect();
        self.reread(due);
    }

    fn reread(&mut self, due: Vec<ApiRef>) {
        for target in due {
            if self.rereading.insert(target.clone()) {
                let weight = self.cache.weight(&target);
                let _ = self.writer.send(WriteRequest::Read { target, weight });
            }
        }
    }

    /// The result of reading an object again.
    pub(super) fn was_reread(&mut self, target: &ApiRef, result: Result<Box<Item>, Failure>) {
        match result {
            // If the watch showed the deletion meanwhile, the answer must not bring the object back.
            Ok(item) if self.cache.meta(target).is_some() => self.item(*item),
            // The watch will show the deletion. Until then the object is not read again.
            Ok(_) | Err(Failure::Gone) => return,
            // It is still due.
            Err(_) => self.requeue_status(target),
        }
        self.rereading.remove(target);
    }
}
