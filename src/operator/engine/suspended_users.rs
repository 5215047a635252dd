//! Suspended users for the admission policies: a ConfigMap with all their usernames, and a label on Users that were
//! suspended after the operator last wrote it.
//!
//! A suspension writes the list first. The label blocks the user's writes until the API server has the user on the
//! list; then the label is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::key::{ReconcileKey, Turn, Work};
use super::{Engine, WriteRequest};
use crate::core::Name;
use crate::core::records::{User, digest};
use crate::core::suspended;
use crate::core::uid::Uid;
use crate::operator::watch_event::OwnConfigMap;
use crate::operator::writer::Failure;

/// The known list and labels, and the writes in flight.
#[derive(Debug, Default)]
pub(super) struct SuspendedUsers {
    list: Option<OwnConfigMap>,
    work: Work,
    /// The digest of the list in flight.
    writing: Option<u64>,
    /// Users with the label, by handle.
    labelled: BTreeSet<Name>,
    /// Users whose label is being removed, with the version of the User.
    unlabelling: BTreeMap<Name, u64>,
    /// Labels remain for which there was no place.
    more_labels: bool,
}

impl SuspendedUsers {
    /// The list from a watch or from the answer to a write.
    pub fn take_in(&mut self, list: OwnConfigMap) {
        if self.list.as_ref().is_none_or(|k| k.uid != list.uid || k.version < list.version) {
            self.list = Some(list);
            self.changed(false);
        }
    }

    /// The list was deleted.
    pub fn take_out(&mut self, uid: &Uid) {
        if self.list.as_ref().is_some_and(|k| k.uid == *uid) {
            self.list = None;
            self.changed(false);
        }
    }

    /// The UID of the list, if it exists.
    pub fn uid(&self) -> Option<Uid> {
        self.list.as_ref().map(|list| list.uid.clone())
    }

    /// The known version of the list.
    pub fn version(&self) -> Option<u64> {
        self.list.as_ref().map(|list| list.version)
    }

    /// A User, or its deletion.
    pub fn note_user(&mut self, handle: &Name, user: Option<&User>) {
        if user.is_some_and(|u| u.suspended_now) {
            self.labelled.insert(handle.clone());
            self.changed(false);
        } else {
            self.labelled.remove(handle);
        }
    }

    /// The list or a label may be wrong. `urgent`: another user is suspended, which does not wait for the end of a
    /// pause.
    pub fn changed(&mut self, urgent: bool) {
        self.work.changed(0, urgent);
    }

    /// Whether labels remain and there are places again.
    pub fn has_more_labels(&self, places: usize) -> bool {
        self.more_labels && places > 0 && self.unlabelling.len() <= places / 2
    }

    /// A pause is over.
    pub fn pause_is_over(&mut self, now: Instant) {
        self.work.pause_is_over(now, false);
    }

    /// Forgets the writes in flight, and any pause.
    pub fn start_over(&mut self) {
        *self = Self { list: self.list.clone(), labelled: self.labelled.clone(), ..Self::default() };
        self.changed(false);
    }
}

impl Engine {
    /// Writes the list if it differs, and removes the label from users that are on the API server's list.
    pub(super) fn write_suspended_users(&mut self) {
        if self.suspended.has_more_labels(self.places_for_statuses()) {
            self.suspended.changed(false);
        }
        if self.suspended.work.take_turn() != Turn::Reconcile {
            return;
        }
        let wanted = suspended::list(suspended::in_order(&self.cache));
        self.metrics.suspended_list_missing.set(self.suspended.list.is_none().into());
        self.metrics.suspended_left_out.set(i64::try_from(wanted.left_out.len()).unwrap_or(i64::MAX));
        let digest = digest(&wanted.texts);
        let is_right = self.suspended.list.as_ref().is_some_and(|list| list.digest == digest);
        match self.suspended.uid().filter(|_| !is_right) {
            Some(uid) => {
                self.suspended.work.begin_writing();
                self.suspended.writing = Some(digest);
                let _ = self.writer.send(WriteRequest::Suspended { uid, texts: wanted.texts });
            }
            None => drop(self.suspended.work.converged()),
        }
        self.remove_labels(|username| is_right && !wanted.left_out.contains(username));
    }

    /// Removes the label from users that are on the list or no longer suspended. Like a status, such a write makes
    /// revocations wait in the API server.
    fn remove_labels(&mut self, is_listed: impl Fn(&Name) -> bool) {
        let places = self.places_for_statuses();
        let (suspended, users) = (&mut self.suspended, &self.cache.users);
        suspended.more_labels = false;
        for handle in &suspended.labelled {
            let Some(user) = users.get(handle) else { continue };
            if suspended.unlabelling.contains_key(handle) || (user.suspended && !is_listed(&user.username)) {
                continue;
            }
            if suspended.unlabelling.len() >= places {
                suspended.more_labels = true;
                break;
            }
            let version = user.meta.version;
            suspended.unlabelling.insert(handle.clone(), version);
            let _ = self.writer.send(WriteRequest::Unlabel { handle: handle.clone(), version });
        }
    }

    /// The result of writing the list.
    pub(super) fn suspended_users_written(&mut self, result: Result<OwnConfigMap, Failure>) {
        let written = self.suspended.writing.take();
        match result {
            Ok(list) => {
                let is_as_written = Some(list.digest) == written;
                self.suspended.take_in(list);
                if !is_as_written {
                    self.back_off_suspended(&Failure::Refused(
                        "something changes the list while it is written".to_owned(),
                    ));
                }
            }
            Err(failure) => self.back_off_suspended(&failure),
        }
        self.suspended.work.all_answered(self.now.clock);
    }

    /// The result of removing a label.
    pub(super) fn label_removed(&mut self, handle: &Name, result: Result<(), Failure>) {
        let from = self.suspended.unlabelling.remove(handle);
        match result {
            // The watch will show the User without it.
            Ok(()) | Err(Failure::Gone) => {}
            // Another write came first, most often the operator's own status: the watch has shown it, or will.
            Err(Failure::Conflict(_)) => {
                if self.cache.users.get(handle).map(|user| user.meta.version) != from {
                    self.suspended.changed(false);
                }
            }
            Err(failure) => self.back_off_suspended(&failure),
        }
    }

    fn back_off_suspended(&mut self, failure: &Failure) {
        tracing::warn!(?failure, "cannot write the list of suspended users, or something changed it; retrying");
        if let Some(until) = self.suspended.work.back_off(self.now.clock) {
            self.queue.add_after(ReconcileKey::SuspendedUsers, until);
        }
    }
}
