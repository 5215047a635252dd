//! Faults of the API server that tests can script.

use bailiwick::operator::writer::{Failure, Outcome, WriteRequest, WriteResult};

/// The fate of a claim's record in admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// It is written.
    Records,
    /// A webhook of the cluster refuses it.
    Refuses,
    /// There is no answer.
    IsOutOfReach,
    /// A webhook accepts the write and removes the record from it.
    Strips,
}

/// An error from the API server, for example because a webhook is broken.
pub fn failed() -> Outcome {
    Outcome::Failed { message: "it failed".to_owned(), answered: true }
}

pub fn refused() -> Outcome {
    Outcome::Refused { message: "no".to_owned(), authorized: true }
}

/// An error for any request: from the API server (`answered`), or for lack of an answer.
pub fn error(request: &WriteRequest, answered: bool) -> WriteResult {
    let message = || "it failed".to_owned();
    let failure = || Failure::Failed(message());
    match request {
        WriteRequest::Native(write) => {
            WriteResult::Native(write.key().clone(), Outcome::Failed { message: message(), answered })
        }
        WriteRequest::Claim(claim) => {
            let failure = if answered { Failure::Refused(message()) } else { failure() };
            WriteResult::Claim(claim.namespace.clone(), Err(failure))
        }
        WriteRequest::Suspended { .. } => WriteResult::Suspended(Err(failure())),
        WriteRequest::Keep { .. } => WriteResult::Kept(Err(failure())),
        WriteRequest::Unlabel { handle, .. } => WriteResult::Unlabelled(handle.clone(), Err(failure())),
        WriteRequest::Status { target, .. } => WriteResult::Status(target.clone(), Err(failure())),
        WriteRequest::Unread { .. } => WriteResult::Unread,
        WriteRequest::Read { target, .. } => WriteResult::Read(target.clone(), Err(failure())),
    }
}
