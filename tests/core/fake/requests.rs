//! The API server's answers to the operator's requests.

use bailiwick::api::ApiKind;
use bailiwick::core::plan::Write;
use bailiwick::core::rbac::RbacSpec;
use bailiwick::core::records::digest;
use bailiwick::operator::watch_event::{Item, OwnConfigMap};
use bailiwick::operator::writer::{Failure, Outcome, WriteRequest, WriteResult};

use super::answers::{Claims, error};
use super::{ApiServer, Kind, slot, slot_of};
use crate::access::role_key;

impl ApiServer {
    /// Carries out a request, and answers.
    pub fn carry_out(&mut self, request: &WriteRequest) -> WriteResult {
        match request {
            WriteRequest::Native(write) => WriteResult::Native(write.key().clone(), self.write(write)),
            WriteRequest::Claim(claim) => {
                let slot = slot(Kind::Namespace, "", &claim.namespace);
                if self.store.objects.get(&slot).is_none_or(|object| object.uid() != claim.namespace_uid) {
                    return error(request, true);
                }
                self.claims_tried += 1;
                match self.claims {
                    Claims::Records => {
                        let events = self.store.record_claim(claim);
                        self.show(events);
                    }
                    Claims::Strips => {}
                    Claims::Refuses => return error(request, true),
                    Claims::IsOutOfReach => return error(request, false),
                }
                WriteResult::Claim(claim.namespace.clone(), Ok(self.store.objects[&slot].meta().into()))
            }
            WriteRequest::Unread { .. } => WriteResult::Unread,
            WriteRequest::Suspended { uid, texts } => {
                let version = self.suspended.version + 1;
                self.suspended = OwnConfigMap { uid: uid.clone(), version, digest: digest(texts) };
                self.watches.show_item(Kind::Suspended, Item::Suspended(self.suspended.clone()));
                WriteResult::Suspended(Ok(self.suspended.clone()))
            }
            WriteRequest::Keep { uid, text } => {
                let version = self.rbac.version;
                WriteResult::Kept(Ok(OwnConfigMap { uid: uid.clone(), version, digest: digest(&[text]) }))
            }
            WriteRequest::Unlabel { handle, .. } => WriteResult::Unlabelled(handle.clone(), Ok(())),
            WriteRequest::Read { target, .. } => {
                let object = self.store.objects.get(&slot_of(target));
                let item = object.map(|object| Box::new(object.item()));
                WriteResult::Read(target.clone(), item.ok_or(Failure::Gone))
            }
            WriteRequest::Status { target, document, .. } => {
                self.user_statuses += usize::from(target.kind == ApiKind::User);
                let slot = slot_of(target);
                let events = self.store.write_status(&slot, &target.uid, &document["status"]);
                let written = (!events.is_empty()).then(|| Box::new(self.store.objects[&slot].item()));
                self.show(events);
                WriteResult::Status(target.clone(), written.ok_or(Failure::Gone))
            }
        }
    }

    fn write(&mut self, write: &Write) -> Outcome {
        if let Some(outcome) = (self.fault)(write) {
            return outcome;
        }
        let (admitted, was_there) = (self.admits(write), self.rbac.present.contains_key(write.key()));
        let outcome = self.rbac.write(write, admitted);
        match (&outcome, write) {
            (Outcome::Is(_), _) => self.show_native(write.key()),
            (Outcome::Gone(Some(uid)), Write::Delete { key, .. }) if was_there => self.show_deleted(key, uid.clone()),
            _ => {}
        }
        outcome
    }

    /// Kubernetes refuses to create anything in a terminating namespace, and to bind a missing role.
    fn admits(&self, write: &Write) -> bool {
        let terminates = |namespace: &str| {
            let namespace = self.store.objects.get(&slot(Kind::Namespace, "", namespace));
            namespace.is_none_or(|object| object.meta().deletion_timestamp.is_some())
        };
        match write {
            Write::Create { key, .. } if !key.namespace.is_empty() && terminates(&key.namespace) => false,
            Write::Create { key, native } | Write::Apply { key, native, .. } => match &native.content {
                RbacSpec::Binding { role, .. } => self.rbac.present.contains_key(&role_key(key, role)),
                RbacSpec::Rules(_) => true,
            },
            Write::Delete { .. } => true,
        }
    }
}
