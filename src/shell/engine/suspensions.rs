//! Suspended users, as the admission policies read them: ConfigMaps with all their names, and a label on those who were
//! suspended since the operator last wrote them.
//!
//! The lists are the first thing that is written on a suspension. The label is taken off when the user is on a list that
//! the API server has: until then it is what keeps them from writing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use jiff::Timestamp;

use super::{Engine, Timer, signed};
use crate::core::Name;
use crate::core::records::{User, digest};
use crate::core::suspended::{self, SHARDS};
use crate::core::uid::Uid;
use crate::shell::retry;
use crate::shell::watch::SuspendedList;
use crate::shell::writer::{Failure, Job};

/// What is known of the lists, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Suspensions {
    lists: [Option<SuspendedList>; SHARDS as usize],
    writing: [bool; SHARDS as usize],
    /// Users who carry the label, by handle.
    labelled: BTreeSet<Name>,
    /// Those whose label is being taken off, and from which version of the User.
    unlabelling: BTreeMap<Name, u64>,
    /// There is something to look at.
    stale: bool,
    failures: u32,
    wait_until: Option<Instant>,
}

impl Suspensions {
    /// A list, as a watch or the answer to a write shows it.
    pub fn take_in(&mut self, shard: u8, list: SuspendedList) {
        let known = &mut self.lists[usize::from(shard)];
        if known.as_ref().is_none_or(|k| k.uid != list.uid || k.version < list.version) {
            *known = Some(list);
            self.stale = true;
        }
    }

    /// A list is gone.
    pub fn take_out(&mut self, shard: u8, uid: &Uid) {
        let known = &mut self.lists[usize::from(shard)];
        if known.as_ref().is_some_and(|k| k.uid == *uid) {
            *known = None;
            self.stale = true;
        }
    }

    /// The UID of a list that is there.
    pub fn uid(&self, shard: u8) -> Option<Uid> {
        self.lists[usize::from(shard)].as_ref().map(|list| list.uid.clone())
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

    /// The lists may not be right.
    pub fn look_again(&mut self) {
        self.stale = true;
    }

    /// Forgets what was under way, and waits for nothing.
    pub fn start_over(&mut self) {
        *self = Self { stale: true, lists: self.lists.clone(), labelled: self.labelled.clone(), ..Self::default() };
    }
}

impl Engine {
    /// Writes the lists that are not right, and takes the label off those who are on one that is.
    pub(super) fn keep_suspensions(&mut self) {
        let waits = self.suspensions.wait_until.is_some_and(|until| until > Instant::now());
        if !self.suspensions.stale || waits {
            return;
        }
        self.suspensions.stale = false;
        self.suspensions.wait_until = None;
        let (mut missing, mut left_out) = (0, BTreeSet::new());
        let mut right = [false; SHARDS as usize];
        for shard in 0..SHARDS {
            let index = usize::from(shard);
            let Some(list) = &self.suspensions.lists[index] else {
                missing += 1;
                continue;
            };
            let wanted = suspended::list(&self.world.suspended, shard);
            left_out.extend(wanted.left_out);
            right[index] = list.digest == digest(&wanted.text);
            if right[index] || self.suspensions.writing[index] {
                continue;
            }
            self.suspensions.writing[index] = true;
            let _ = self.jobs.send(Job::Suspended { shard, uid: list.uid.clone(), text: wanted.text });
        }
        self.metrics.suspended_lists_missing.set(missing);
        self.metrics.suspended_left_out.set(i64::try_from(left_out.len()).unwrap_or(i64::MAX));
        for handle in self.suspensions.labelled.clone() {
            let Some(user) = self.world.users.get(&handle) else { continue };
            let on_a_list = right[usize::from(suspended::shard(&user.username))] && !left_out.contains(&user.username);
            if (on_a_list || !user.suspended) && !self.suspensions.unlabelling.contains_key(&handle) {
                let version = user.meta.version;
                self.suspensions.unlabelling.insert(handle.clone(), version);
                let _ = self.jobs.send(Job::Unlabel { handle, version });
            }
        }
    }

    /// What became of a list.
    pub(super) fn list_written(&mut self, shard: u8, result: Result<SuspendedList, Failure>) {
        self.suspensions.writing[usize::from(shard)] = false;
        match result {
            Ok(list) => {
                self.suspensions.failures = 0;
                self.suspensions.take_in(shard, list);
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
                let now = self.world.users.get(handle).map(|user| user.meta.version);
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
        suspensions.wait_until = Some(Instant::now() + wait);
        self.set_timer(Timer::Suspensions, Some(Timestamp::now() + signed(wait)));
    }
}
