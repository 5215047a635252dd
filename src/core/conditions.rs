//! Builds statuses: conditions with reasons and messages, and the document to apply.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use serde_json::Value;

use super::object_ref::ApiRef;
use super::records::{Meta, digest};
use super::withheld::Withheld;
use crate::api::ApiKind;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::{
    BindingStatus, GROUP, GroupStatus, OrganizationStatus, RoleStatus, SiteRoleStatus, UserStatus, VERSION,
};

/// One condition, without its transition time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The type of the condition.
    pub kind: ConditionType,
    /// Whether this is the desired state.
    pub good: bool,
    /// The reason of the condition.
    pub reason: Reason,
    /// The message of the condition.
    pub message: Message,
}

impl Finding {
    /// The status of the condition: `True`, `False`, or `Unknown` if nothing reports it.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match (self.good, self.reason) {
            (true, _) => "True",
            (false, Reason::NotReported) => "Unknown",
            (false, _) => "False",
        }
    }
}

/// The message of a condition. A list becomes text only when the status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A sentence.
    Text(String),
    /// The withheld requests, with reasons.
    Withheld(Withheld),
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Text(text) => f.write_str(text),
            Message::Withheld(withheld) => withheld.fmt(f),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::Text(text)
    }
}

/// A condition that is `True`.
#[must_use]
pub fn good(kind: ConditionType, reason: Reason, message: impl Into<Message>) -> Finding {
    Finding { kind, good: true, reason, message: message.into() }
}

/// A condition that is not `True`.
#[must_use]
pub fn bad(kind: ConditionType, reason: Reason, message: impl Into<Message>) -> Finding {
    Finding { kind, good: false, reason, message: message.into() }
}

/// A condition about withheld requests: good if there are none.
#[must_use]
pub fn about(kind: ConditionType, fine: (Reason, &str), withheld: Withheld) -> Finding {
    match withheld.worst() {
        None => good(kind, fine.0, fine.1),
        Some(reason) => bad(kind, reason, Message::Withheld(withheld)),
    }
}

/// A status in the API's shape, except for the times of its conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Of an Organization.
    Organization(OrganizationStatus),
    /// Of a User.
    User(UserStatus),
    /// Of a Group.
    Group(GroupStatus),
    /// Of a RoleBinding or SiteRoleBinding.
    Binding(BindingStatus),
    /// Of a CustomRole.
    Role(RoleStatus),
    /// Of a SiteRole.
    SiteRole(SiteRoleStatus),
}

/// The status that an object should have.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusDraft {
    /// The object that has this status.
    pub target: ApiRef,
    /// Everything but generation and conditions.
    pub status: Status,
    /// For `observedGeneration`.
    pub generation: i64,
    /// In the order of the written status.
    pub findings: Vec<Finding>,
}

impl StatusDraft {
    /// The status of `meta`'s object.
    #[must_use]
    pub fn new(kind: ApiKind, meta: &Meta, status: Status, mut findings: Vec<Finding>) -> Self {
        if let Some(error) = &meta.unreadable {
            // An unreadable object explains every other problem, so this comes first.
            findings.retain(|finding| finding.kind != ConditionType::Ready);
            let message = format!("{} ({error})", Reason::Unreadable.meaning());
            findings.insert(0, bad(ConditionType::Ready, Reason::Unreadable, message));
        }
        Self { target: meta.source(kind), status, generation: meta.generation, findings }
    }

    /// The document to apply, if it differs from the current status.
    #[must_use]
    pub fn document(&self, meta: &Meta, now: Timestamp) -> Option<Value> {
        let (digest, status) = self.complete(meta, now);
        (digest != meta.status.digest).then(|| {
            let mut metadata = serde_json::json!({"name": &*self.target.name, "uid": self.target.uid.to_string()});
            if !self.target.namespace.is_empty() {
                metadata["namespace"] = Value::from(&*self.target.namespace);
            }
            serde_json::json!({
                "apiVersion": format!("{GROUP}/{VERSION}"),
                "kind": self.target.kind.as_str(),
                "metadata": metadata,
                "status": status,
            })
        })
    }

    fn complete(&self, meta: &Meta, now: Timestamp) -> (u64, Value) {
        let conditions: Vec<Condition> = self.findings.iter().map(|f| self.condition(f, meta, now)).collect();
        let generation = Some(self.generation);
        macro_rules! fill {
            ($status:expr) => {{
                let mut status = $status.clone();
                status.observed_generation = generation;
                status.conditions = conditions;
                (digest(&status), to_value(&status))
            }};
        }
        match &self.status {
            Status::Organization(s) => fill!(s),
            Status::User(s) => fill!(s),
            Status::Group(s) => fill!(s),
            Status::Binding(s) => fill!(s),
            Status::Role(s) => fill!(s),
            Status::SiteRole(s) => fill!(s),
        }
    }

    fn condition(&self, finding: &Finding, meta: &Meta, now: Timestamp) -> Condition {
        let since = meta.status.transitions.iter().find(|t| t.kind == finding.kind && t.good == finding.good);
        let second = since.map_or(now.as_second(), |t| t.second);
        Condition {
            type_: finding.kind.as_str().to_owned(),
            status: finding.status().to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: finding.message.to_string(),
            observed_generation: Some(self.generation),
            last_transition_time: Time(Timestamp::from_second(second).unwrap_or(now)),
        }
    }

    /// The condition `Ready`.
    #[must_use]
    pub fn ready(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.kind == ConditionType::Ready)
    }
}

fn to_value(status: &impl Serialize) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}
