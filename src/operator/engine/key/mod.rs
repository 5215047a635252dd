//! Reconcile keys, and what the engine knows of each.
//!
//! ```text
//!              a change                 its turn: writes            all answered
//!   Idle ──────────────────▶ Queued ──────────────────▶ Writing ───────────────────▶ Queued
//!    ▲                        │  ▲                        │
//!    └─ nothing is left to do ┘  └── the time is over ────┴─ an answer was an error ─▶ BackingOff
//! ```

mod failures;
mod objects;
mod work;

use std::time::Instant;

use jiff::Timestamp;

pub(super) use self::failures::{ObjectFailures, Streak};
pub(super) use self::objects::NativeObjects;
pub(super) use self::work::{Turn, Work};
use super::log::Changes;
use crate::core::Name;
use crate::core::cache::Contribution;
use crate::core::claims::Claim;
use crate::core::desired::{Counts, DesiredState};
use crate::core::names::RELEASE_PREFIX;
use crate::core::object_ref::NativeRef;
use crate::core::plan::InFlight;
use crate::core::rbac::NativeKind;

/// What is reconciled as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ReconcileKey {
    /// Cluster-scoped native objects, and those of the site in the release namespace.
    Site,
    /// The native objects of a namespace.
    Namespace(Name),
    /// The status of a User, by handle.
    User(Name),
    /// The status of an Organization.
    Organization(Name),
    /// The list of suspended users, and the label of those who were suspended a moment ago.
    SuspendedUsers,
    /// The record of decisions that a backup must bring back.
    DecisionRecord,
}

impl ReconcileKey {
    /// The key that a native object belongs to.
    pub fn of(key: &NativeRef) -> Self {
        let cluster = matches!(key.kind, NativeKind::ClusterRole | NativeKind::ClusterRoleBinding);
        // By name alone: an answer that could change (with the release namespace, say) would leave the object, and a write in
        // flight, with a key that does not expect it.
        let site = cluster || key.name.starts_with(RELEASE_PREFIX);
        if site { Self::Site } else { Self::Namespace(key.namespace.clone()) }
    }

    /// The namespace, if the key is one.
    pub fn namespace(&self) -> Option<&Name> {
        if let Self::Namespace(name) = self { Some(name) } else { None }
    }
}

/// What is known of the site or of a namespace.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// The native objects that are there.
    pub objects: NativeObjects,
    /// Where it is between a change and the last write that follows from it.
    pub work: Work,
    /// When nothing was left to do, the last time.
    pub converged_at: Option<Instant>,
    /// The last decision.
    pub decision: Decision,
    /// Native objects that cannot be written.
    pub failures: ObjectFailures,
    /// Native objects that are being written.
    pub in_flight: InFlight,
    /// The claim on the namespace that is being recorded.
    pub claiming: Option<Claim>,
    /// How often the API server has refused to record it.
    pub claim_refused: Option<Streak>,
    /// For the log.
    pub changes: Changes,
}

/// What was decided about a key.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// What should be there. Large, so it is kept only while there is something to write.
    pub desired: Option<DesiredState>,
    /// Something has changed since. It is kept nevertheless until writes are done, or something is urgent.
    pub is_stale: bool,
    /// What it means for the rest of the site.
    pub contribution: Contribution,
    /// What the Organization's status counts.
    pub counts: Counts,
    /// When it changes by itself.
    pub next_change: Option<Timestamp>,
    /// At which revision, and for which time, it was made.
    pub made_at: (u64, Timestamp),
}

impl KeyState {
    /// Whether writes are in flight.
    pub fn is_writing(&self) -> bool {
        self.claiming.is_some() || !self.in_flight.is_empty()
    }

    /// Forgets what failed again and again: another replica may have led since.
    pub fn start_over(&mut self) {
        self.claim_refused = None;
        self.failures.start_over();
        self.changes = Changes::default();
    }

    /// Whether the time of something that was decided is over.
    pub fn ends_by(&self, now: Timestamp) -> bool {
        self.decision.next_change.is_some_and(|at| at <= now)
    }
}
