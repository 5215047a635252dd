//! The writer: the one place from which anything is written to the API server.
//!
//! Everything is begun at once, but for statuses and labels, of which no more than so many are. How much else is under way,
//! and in which order, the engine decides (see its work queue and write budget). A write that meets something unexpected looks at what is there and
//! reports it; what to do about it is decided again by the engine.

mod apply;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) use self::apply::Applier;
use super::engine::kind_and_version;
use super::history::History;
use super::watch::{Item, Kind, OwnConfigMap};
use crate::core::Name;
use crate::core::claims::Claim;
use crate::core::object_ref::{ApiRef, NativeRef};
use crate::core::plan::Write;
use crate::core::rbac::Observed;
use crate::core::records;
use crate::core::suspended::TEXTS;
use crate::core::uid::Uid;

/// Something to write.
#[derive(Debug)]
pub enum WriteRequest {
    /// A native object.
    Native(Write),
    /// The record of a claim on a Namespace.
    Claim(Claim),
    /// The list of suspended users.
    Suspended {
        /// Of the ConfigMap: one that is gone is not recreated.
        uid: Uid,
        #[allow(missing_docs)]
        texts: [String; TEXTS],
    },
    /// The record of decisions.
    Keep {
        /// Of the ConfigMap: one that is gone is not recreated.
        uid: Uid,
        #[allow(missing_docs)]
        text: String,
    },
    /// The label of a User who was suspended a moment ago comes off.
    Unlabel {
        #[allow(missing_docs)]
        handle: Name,
        /// Of the User as it was when it was found on a list: who was activated and suspended again since keeps the label.
        version: u64,
    },
    /// An Event on a ConfigMap of the chart that cannot be read.
    Unread {
        /// Its name.
        map: &'static str,
        #[allow(missing_docs)]
        uid: Uid,
        #[allow(missing_docs)]
        why: String,
    },
    /// A status, and the Event that goes with it, if any.
    Status {
        #[allow(missing_docs)]
        target: ApiRef,
        #[allow(missing_docs)]
        document: Value,
        /// What it says that was not so before.
        news: Option<News>,
        /// What the object weighs: the answer brings all of it.
        weight: usize,
    },
    /// An object for which there was no room is read again.
    Read {
        #[allow(missing_docs)]
        target: ApiRef,
        #[allow(missing_docs)]
        weight: usize,
    },
}

/// An object of this weight takes one more of the places for statuses: the places are a limit to memory too.
const WEIGHT_OF_A_PLACE: usize = 64 * 1024;

impl WriteRequest {
    /// How metrics call it.
    fn verb(&self) -> &'static str {
        match self {
            WriteRequest::Native(Write::Create { .. }) => "create",
            WriteRequest::Native(Write::Apply { .. }) => "apply",
            WriteRequest::Native(Write::Delete { .. }) => "delete",
            WriteRequest::Claim(_) => "claim",
            WriteRequest::Suspended { .. } => "suspended",
            WriteRequest::Keep { .. } => "decisions",
            WriteRequest::Unlabel { .. } => "unlabel",
            WriteRequest::Status { .. } => "status",
            WriteRequest::Unread { .. } => "event",
            WriteRequest::Read { .. } => "read",
        }
    }

    fn undone(&self, outcome: Outcome, failure: Failure) -> WriteResult {
        match self {
            WriteRequest::Native(write) => WriteResult::Native(write.key().clone(), outcome),
            WriteRequest::Claim(claim) => WriteResult::Claim(claim.namespace.clone(), Err(failure)),
            WriteRequest::Suspended { .. } => WriteResult::Suspended(Err(failure)),
            WriteRequest::Keep { .. } => WriteResult::Kept(Err(failure)),
            WriteRequest::Unlabel { handle, .. } => WriteResult::Unlabelled(handle.clone(), Err(failure)),
            WriteRequest::Status { target, .. } => WriteResult::Status(target.clone(), Err(failure)),
            WriteRequest::Unread { .. } => WriteResult::Unread,
            WriteRequest::Read { target, .. } => WriteResult::Read(target.clone(), Err(failure)),
        }
    }

    /// How many of the places for statuses it takes; `None` for what begins at once.
    fn places(&self, most: usize) -> Option<usize> {
        match self {
            WriteRequest::Unlabel { .. } => Some(1),
            WriteRequest::Status { weight, .. } | WriteRequest::Read { weight, .. } => {
                Some((1 + weight / WEIGHT_OF_A_PLACE).min(most))
            }
            WriteRequest::Native(_)
            | WriteRequest::Claim(_)
            | WriteRequest::Suspended { .. }
            | WriteRequest::Keep { .. }
            | WriteRequest::Unread { .. } => None,
        }
    }
}

/// What a status says about `Ready` that people should notice.
#[derive(Debug)]
pub struct News {
    /// It is ready.
    pub good: bool,
    #[allow(missing_docs)]
    pub reason: &'static str,
    #[allow(missing_docs)]
    pub message: String,
    /// It was otherwise before, or is seen for the first time and not ready: that is logged.
    pub changes: bool,
    /// An Event goes with it.
    pub event: bool,
}

/// What became of it.
#[derive(Debug)]
pub enum WriteResult {
    /// Of a native object.
    Native(NativeRef, Outcome),
    /// Of a claim.
    Claim(Name, Result<records::Namespace, Failure>),
    /// Of an object that was read again.
    Read(ApiRef, Result<Box<Item>, Failure>),
    /// Of a status: the object as it is now.
    Status(ApiRef, Result<Box<Item>, Failure>),
    /// Of the list of suspended users.
    Suspended(Result<OwnConfigMap, Failure>),
    /// Of the record of decisions.
    Kept(Result<OwnConfigMap, Failure>),
    /// An Event is on its way.
    Unread,
    /// Of a User's label.
    Unlabelled(Name, Result<(), Failure>),
}

impl WriteResult {
    /// What was answered, and its version.
    fn saw(&self) -> Option<(Kind, u64)> {
        match self {
            WriteResult::Native(key, Outcome::Is(observed) | Outcome::Altered(observed) | Outcome::Found(observed)) => {
                Some((key.kind.into(), observed.version))
            }
            WriteResult::Claim(_, Ok(namespace)) => Some((Kind::Namespace, namespace.version)),
            WriteResult::Read(_, Ok(item)) | WriteResult::Status(_, Ok(item)) => kind_and_version(item),
            WriteResult::Suspended(Ok(list)) => Some((Kind::Suspended, list.version)),
            _ => None,
        }
    }
}

/// What became of a write to a native object.
#[derive(Debug)]
pub enum Outcome {
    /// This is there now, as it was written.
    Is(Observed),
    /// This is there now, and it is not what was written: something between us and the store changed it.
    Altered(Observed),
    /// The write was in conflict with this, which is there now.
    Found(Observed),
    /// It is not there (any more); the UID is the one that was written to, if any.
    Gone(Option<Uid>),
    /// It is there, but not ours.
    Taken,
    /// The API server refuses it.
    Refused {
        /// What it said.
        message: String,
        /// Whether the operator may write this kind in this place at all.
        authorized: bool,
    },
    /// It may work another time.
    Failed {
        #[allow(missing_docs)]
        message: String,
        /// Whether the API server said so, and is not overwhelmed: a webhook of the cluster may be what does not work. Of what
        /// takes access away also that it gave up waiting.
        answered: bool,
    },
    /// This replica does not lead.
    NotLeading,
}

/// Why something beside native objects was not written.
#[derive(Debug)]
pub enum Failure {
    /// The object is gone.
    Gone,
    /// Somebody else wrote it meanwhile.
    Conflict(String),
    /// The API server says no.
    Refused(String),
    /// It may work another time.
    Failed(String),
    /// This replica does not lead.
    NotLeading,
}

/// Writes what it is given, until nobody can give it anything any more.
pub(super) async fn run(
    applier: Applier,
    most_statuses: usize,
    mut jobs: mpsc::UnboundedReceiver<WriteRequest>,
    done: mpsc::UnboundedSender<WriteResult>,
    history: Arc<History>,
) {
    let mut running = JoinSet::<(usize, WriteResult)>::new();
    // Statuses, labels and reads: the places that they take, and those that wait for one.
    let (mut taken, mut waiting) = (0, VecDeque::<(usize, WriteRequest)>::new());
    let spawn = |running: &mut JoinSet<_>, places, job| {
        let applier = applier.clone();
        running.spawn(async move { (places, applier.write(job).await) });
    };
    let mut state = history.state();
    loop {
        tokio::select! {
            biased;
            _ = state.changed() => {}
            Some(finished) = running.join_next() => {
                let Ok((places, outcome)) = finished else { return };
                taken -= places;
                if let Some((kind, version)) = outcome.saw() {
                    history.saw(kind, version);
                }
                if done.send(outcome).is_err() {
                    return;
                }
            }
            job = jobs.recv() => match job {
                Some(job) => match job.places(most_statuses) {
                    Some(places) => waiting.push_back((places, job)),
                    None => spawn(&mut running, 0, job),
                },
                None => return,
            }
        }
        // What waits for a place waits for the end of a doubt, too. The engine asks for nothing else meanwhile.
        let is_in_doubt = state.borrow_and_update().is_in_doubt();
        while waiting.front().is_some_and(|(places, _)| !is_in_doubt && taken + places <= most_statuses)
            && let Some((places, job)) = waiting.pop_front()
        {
            taken += places;
            spawn(&mut running, places, job);
        }
    }
}
