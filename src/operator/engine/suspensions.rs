//! Suspended users, as the admission policies read them: a ConfigMap with all their names, and a label on those who were
//! suspended since the operator last wrote it.
//!
//! The list is the first thing that is written on a suspension. The label is taken off when the user is on the list that
//! the API server has: until then it is what keeps them from writing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Engine;
use crate::core::Name;
use crate::core::records::{User, digest};
use crate::core::suspended;
use crate::core::uid::Uid;
use crate::operator::retry;
use crate::operator::watch::OwnConfigMap;
use crate::operator::writer::{Failure, WriteRequest};

/// What is known of the list, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Suspensions {
    list: Option<OwnConfigMap>,
    /// What is being written, by its digest.
    writing: Option<u64>,
    /// Users who carry the label, by handle.
    labelled: BTreeSet<Name>,
    /// Those whose label is being taken off, and from which version of the User.
    unlabelling: BTreeMap<Name, u64>,
    /// There is something to look at.
    stale: bool,
    /// Labels are left for when no access is being taken away.
    later: bool,
    failures: u32,
    wait_until: Option<Instant>,
}

impl Suspensions {
    /// The list, as a watch or the answer to a write shows it.
    pub fn take_in(&mut self, list: OwnConfigMap) {
        if self.list.as_ref().is_none_or(|k| k.uid != list.uid || k.version < list.version) {
            self.list = Some(list);
            self.stale = true;
        }
    }

    /// The list is gone.
    pub fn take_out(&mut self, uid: &Uid) {
        if self.list.as_ref().is_some_and(|k| k.uid == *uid) {
            self.list = None;
            self.stale = true;
        }
    }

    /// The UID of the list, if it is there.
    pub fn uid(&self) -> Option<Uid> {
        self.list.as_ref().map(|list| list.uid.clone())
    }

    /// Which version of the list is known.
    pub fn version(&self) -> Option<u64> {
        self.list.as_ref().map(|list| list.version)
    }

    /// A User, or that it is gone.
    pub fn note_user(&mut self, handle: &Name, user: Option<&User>) {
        if user.is_some_and(|u| u.suspended_now) {
            self.labelled.insert(handle.clone());
            self.stale = true;
        } else {
            self.labelled.remove(handle);
        }
    }

    /// Somebody else is suspended now: that does not wait for the end of a pause that something else brought about.
    pub fn look_now(&mut self) {
        self.stale = true;
        self.wait_until = None;
    }

    /// The list may not be right.
    pub fn look_again(&mut self) {
        self.stale = true;
    }

    /// When it is to be tried again.
    pub fn waits_until(&self) -> Option<Instant> {
        self.wait_until.filter(|_| self.stale)
    }

    /// Forgets what was under way, and waits for nothing.
    pub fn start_over(&mut self) {
        *self = Self { stale: true, list: self.list.clone(), labelled: self.labelled.clone(), ..Self::default() };
    }
}

impl Engine {
    /// Writes the list if it is not right; if it is, takes the label off those who are on it.
    pub(super) fn keep_suspensions(&mut self) {
        let now = self.now.clock;
        let places = self.writing.places_for_statuses(!self.queue.is_empty(), now);
        let revoking = places == 0;
        if self.suspensions.later && self.suspensions.unlabelling.len() <= places / 2 && !revoking {
            self.suspensions.look_again();
        }
        let waits = self.suspensions.wait_until.is_some_and(|until| until > now);
        if !self.suspensions.stale || waits {
            return;
        }
        self.suspensions.stale = false;
        self.suspensions.later = false;
        self.suspensions.wait_until = None;
        let wanted = suspended::list(suspended::in_order(&self.cache));
        self.metrics.suspended_list_missing.set(self.suspensions.list.is_none().into());
        self.metrics.suspended_left_out.set(i64::try_from(wanted.left_out.len()).unwrap_or(i64::MAX));
        let right = self.suspensions.list.as_ref().is_some_and(|list| list.digest == digest(&wanted.texts));
        if let (false, None, Some(uid)) = (right, self.suspensions.writing, self.suspensions.uid()) {
            self.suspensions.writing = Some(digest(&wanted.texts));
            let _ = self.jobs.send(WriteRequest::Suspended { uid, texts: wanted.texts });
        }
        // Like a status, a label is one more write that those which take access away wait for in the API server.
        self.suspensions.later = revoking && !self.suspensions.labelled.is_empty();
        if revoking {
            return;
        }
        for handle in self.suspensions.labelled.clone() {
            let Some(user) = self.cache.users.get(&handle) else { continue };
            let is_listed = right && !wanted.left_out.contains(&user.username);
            if (is_listed || !user.suspended) && !self.suspensions.unlabelling.contains_key(&handle) {
                if self.suspensions.unlabelling.len() >= places {
                    self.suspensions.later = true;
                    break;
                }
                let version = user.meta.version;
                self.suspensions.unlabelling.insert(handle.clone(), version);
                let _ = self.jobs.send(WriteRequest::Unlabel { handle, version });
            }
        }
    }

    /// What became of the list.
    pub(super) fn list_written(&mut self, result: Result<OwnConfigMap, Failure>) {
        let written = self.suspensions.writing.take();
        match result {
            Ok(list) if Some(list.digest) != written => {
                self.suspensions.take_in(list);
                self.try_suspensions_again(&Failure::Refused("something changes the list on its way in".to_owned()));
            }
            Ok(list) => {
                self.suspensions.failures = 0;
                self.suspensions.take_in(list);
                self.suspensions.look_again();
            }
            Err(failure) => self.try_suspensions_again(&failure),
        }
    }

    /// What became of taking a label off.
    pub(super) fn label_taken_off(&mut self, handle: &Name, result: Result<(), Failure>) {
        let from = self.suspensions.unlabelling.remove(handle);
        match result {
            // The watch shows the User without it.
            Ok(()) | Err(Failure::Gone) => {}
            // Somebody wrote the User meanwhile, most often this operator its status: the watch shows that, or has shown it.
            Err(Failure::Conflict(_)) => {
                let now = self.cache.users.get(handle).map(|user| user.meta.version);
                self.suspensions.stale |= now != from;
            }
            Err(failure) => self.try_suspensions_again(&failure),
        }
    }

    fn try_suspensions_again(&mut self, failure: &Failure) {
        tracing::warn!(?failure, "the list of suspended users is not as it should be; it is written again");
        let suspensions = &mut self.suspensions;
        suspensions.stale = true;
        suspensions.failures += 1;
        let wait = retry::delay(suspensions.failures);
        suspensions.wait_until = Some(self.now.clock + wait);
    }
}
