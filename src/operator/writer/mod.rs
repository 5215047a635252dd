//! The writer: the only part that writes to the API server.
//!
//! It begins every request at once, except for statuses, labels and reads, of which a limited number is in flight. The
//! engine decides the number and the order of all others (see its work queue and write budget). After an unexpected
//! answer, the writer reads the object and reports it; the engine decides how to proceed.

mod apply;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) use self::apply::Applier;

use super::history::History;
use super::watch_event::{Item, Kind, OwnConfigMap};
use crate::core::Name;
use crate::core::claims::Claim;
use crate::core::object_ref::{ApiRef, NativeRef};
use crate::core::plan::Write;
use crate::core::rbac::Observed;
use crate::core::records;
use crate::core::suspended::TEXTS;
use crate::core::uid::Uid;

/// A request to write.
#[derive(Debug)]
pub enum WriteRequest {
    /// A native object.
    Native(Write),
    /// The record of a claim on a Namespace.
    Claim(Claim),
    /// The list of suspended users.
    Suspended {
        /// The UID of the ConfigMap: a deleted one is not recreated.
        uid: Uid,
        /// The texts of the ConfigMap.
        texts: [String; TEXTS],
    },
    /// The record of decisions.
    Keep {
        /// The UID of the ConfigMap: a deleted one is not recreated.
        uid: Uid,
        /// The text of the ConfigMap.
        text: String,
    },
    /// Removes the label from a User that is now on the list of suspended users.
    Unlabel {
        /// The handle of the User.
        handle: Name,
        /// The version of the User when it was found on the list: a user that was activated and suspended again since
        /// keeps the label.
        version: u64,
    },
    /// Sends an Event about an unreadable ConfigMap of the chart.
    Unread {
        /// Its name.
        map: &'static str,
        /// The UID of the ConfigMap; empty if it does not exist.
        uid: Uid,
        /// The error.
        why: String,
    },
    /// Writes a status, and sends its Event if it has one.
    Status {
        /// The object with this status.
        target: ApiRef,
        /// The document to apply.
        document: Value,
        /// News for people in this status.
        news: Option<News>,
        /// The object's weight: the answer contains the whole object.
        weight: usize,
    },
    /// Reads an object again for which there was no room.
    Read {
        /// The object to read.
        target: ApiRef,
        /// The weight of the object.
        weight: usize,
    },
}

/// An object takes a place for statuses for each so many bytes of its weight: the places also limit memory.
const WEIGHT_OF_A_PLACE: usize = 64 * 1024;

impl WriteRequest {
    /// The label in metrics.
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

    /// How many places for statuses it takes; `None` if it begins at once.
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

/// News about `Ready` in a status.
#[derive(Debug)]
pub struct News {
    /// It is ready.
    pub good: bool,
    /// The reason of the condition.
    pub reason: &'static str,
    /// The message of the condition.
    pub message: String,
    /// The condition changed, or is false from the beginning: that is logged.
    pub changes: bool,
    /// Send an Event as well.
    pub event: bool,
}

/// The result of a request.
#[derive(Debug)]
pub enum WriteResult {
    /// Result for a native object.
    Native(NativeRef, Outcome),
    /// Result for a claim.
    Claim(Name, Result<records::Namespace, Failure>),
    /// Result of reading an object again.
    Read(ApiRef, Result<Box<Item>, Failure>),
    /// Result for a status: the object afterwards.
    Status(ApiRef, Result<Box<Item>, Failure>),
    /// Result for the list of suspended users.
    Suspended(Result<OwnConfigMap, Failure>),
    /// Result for the record of decisions.
    Kept(Result<OwnConfigMap, Failure>),
    /// An Event is being sent.
    Unread,
    /// Result for a User's label.
    Unlabelled(Name, Result<(), Failure>),
}

impl WriteResult {
    /// The kind and version of the answer.
    fn saw(&self) -> Option<(Kind, u64)> {
        match self {
            WriteResult::Native(key, Outcome::Is(observed) | Outcome::Altered(observed) | Outcome::Found(observed)) => {
                Some((key.kind.into(), observed.version))
            }
            WriteResult::Claim(_, Ok(namespace)) => Some((Kind::Namespace, namespace.version)),
            WriteResult::Read(_, Ok(item)) | WriteResult::Status(_, Ok(item)) => item.kind_and_version(),
            WriteResult::Suspended(Ok(list)) => Some((Kind::Suspended, list.version)),
            _ => None,
        }
    }
}

/// The result of writing a native object.
#[derive(Debug)]
pub enum Outcome {
    /// The object as it is now, equal to the write.
    Is(Observed),
    /// The object as it is now, different from the write: cluster admission changed it.
    Altered(Observed),
    /// The object as it is now; the write was in conflict with it.
    Found(Observed),
    /// The object does not exist (any more). The UID is that of the write, if any.
    Gone(Option<Uid>),
    /// The object exists, but is not ours.
    Taken,
    /// The API server refuses the write.
    Refused {
        /// The API server's message.
        message: String,
        /// Whether the operator may write this kind here at all.
        authorized: bool,
    },
    /// A later attempt may succeed.
    Failed {
        /// The error.
        message: String,
        /// Whether the API server itself answered and is not overloaded, so that a webhook of the cluster may be at
        /// fault. For a revocation this includes a timeout of the API server.
        answered: bool,
    },
    /// This replica does not lead.
    NotLeading,
}

/// Why another object was not written.
#[derive(Debug)]
pub enum Failure {
    /// The object is gone.
    Gone,
    /// Somebody else wrote it meanwhile.
    Conflict(String),
    /// The API server refuses the write.
    Refused(String),
    /// A later attempt may succeed.
    Failed(String),
    /// This replica does not lead.
    NotLeading,
}

/// Carries out requests until their sender is gone.
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
        // Requests that wait for a place also wait for the end of a doubt. The engine sends no others meanwhile.
        let is_in_doubt = state.borrow_and_update().is_in_doubt();
        while waiting.front().is_some_and(|(places, _)| !is_in_doubt && taken + places <= most_statuses)
            && let Some((places, job)) = waiting.pop_front()
        {
            taken += places;
            spawn(&mut running, places, job);
        }
    }
}
