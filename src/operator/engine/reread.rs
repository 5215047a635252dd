//! Reading objects again for which there is room: those beyond a limit are kept as names only.

use super::key::ReconcileKey;
use super::{Engine, WriteRequest};
use crate::api::ApiKind;
use crate::core::object_ref::ApiRef;
use crate::operator::watch::Item;
use crate::operator::writer::Failure;

impl Engine {
    /// Asks for the objects of a namespace for which there is room again.
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

    /// Asks for the cluster-scoped objects for which there is room again.
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

    /// An object was read again, or could not be.
    pub(super) fn was_reread(&mut self, target: &ApiRef, result: Result<Box<Item>, Failure>) {
        match result {
            // The watch may have shown by now that the object is gone: an answer brings nothing back.
            Ok(item) if self.cache.meta(target).is_some() => self.item(*item),
            // The watch will show that it is gone. Until then it is not asked for again.
            Ok(_) | Err(Failure::Gone) => return,
            // It is still due.
            Err(_) => self.requeue_status(target),
        }
        self.rereading.remove(target);
    }
}
