//! Withheld requests: counted by reason, with the first few of each reason kept for the condition's message.
//!
//! An organization may request hundreds of thousands of things that it cannot have. As text they would let one tenant
//! fill the operator's memory, so text is built only when a status is written.

use std::fmt;

use super::Name;
use super::records::SubjectRef;
use super::rules::Atom;
use crate::api::RoleKind;
use crate::api::conditions::Reason;

/// How many items of each reason a message names before it counts the rest.
const NAMED: usize = 5;

/// The most characters of one name in a message. A schema allows names of up to 256 characters.
const LONGEST: usize = 128;

/// One request, by its place in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `subjects[n]` of a binding.
    Subject(usize, SubjectRef),
    /// `members[n]` of a Group.
    Member(usize, Name),
    /// `externalGroups[n]` of a Group.
    ExternalGroup(usize, Name),
    /// `permissions[n]` of a role, and the catalog's word.
    Permission(usize, Name),
    /// `rules[n]` or `clusterRules[n]` of a role.
    Rule(&'static str, usize),
    /// `inherits[n]` of a role.
    Inherits(usize, RoleKind, Name),
    /// One right.
    Right(Atom),
    /// A number of rights.
    Rights(usize),
    /// An item with a hint for the reader.
    Known(Box<Item>, String),
}

impl Item {
    /// Adds a hint to the item, if there is one.
    #[must_use]
    pub fn with(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => Item::Known(Box::new(self), hint),
            None => self,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Subject(n, subject) => write!(f, "subjects[{n}] ({})", short(&subject.to_string())),
            Item::Member(n, name) => write!(f, "members[{n}] ({:?})", short(name)),
            Item::ExternalGroup(n, name) => write!(f, "externalGroups[{n}] ({:?})", short(name)),
            Item::Permission(n, word) => write!(f, "permissions[{n}] ({})", short(word)),
            Item::Rule(field, n) => write!(f, "{field}[{n}]"),
            Item::Inherits(n, kind, name) => write!(f, "inherits[{n}] ({} {:?})", kind.as_str(), short(name)),
            Item::Right(atom) => f.write_str(&short(&atom.to_string())),
            Item::Rights(count) => write!(f, "{count} rights"),
            Item::Known(item, hint) => write!(f, "{item} [{hint}]"),
        }
    }
}

/// A name, truncated for a message.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The requests of one object that are withheld.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld(Vec<OfReason>);

/// The requests withheld for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfReason {
    reason: Reason,
    count: usize,
    /// At most [`NAMED`].
    first: Vec<Item>,
}

impl Withheld {
    /// All items of a list, for one reason.
    pub fn all(reason: Reason, items: impl ExactSizeIterator<Item = Item>) -> Self {
        let count = items.len();
        Self(if count == 0 { Vec::new() } else { vec![OfReason { reason, count, first: items.take(NAMED).collect() }] })
    }

    /// Adds one item. Calls `item` only if a message would name it.
    pub fn add(&mut self, reason: Reason, item: impl FnOnce() -> Item) {
        self.add_many(reason, 1, std::iter::once_with(item));
    }

    /// Adds `count` items; `items` yields at least the first few.
    pub fn add_many(&mut self, reason: Reason, count: usize, items: impl Iterator<Item = Item>) {
        if count == 0 {
            return;
        }
        let index = self.0.iter().position(|of| of.reason == reason).unwrap_or_else(|| {
            self.0.push(OfReason { reason, count: 0, first: Vec::new() });
            self.0.len() - 1
        });
        let of = &mut self.0[index];
        of.count += count;
        of.first.extend(items.take(NAMED - of.first.len()));
    }

    /// How many items are withheld.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|of| of.count).sum()
    }

    /// Whether nothing is withheld.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many items somebody has to fix.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.0.iter().filter(|of| !expected(of.reason)).map(|of| of.count).sum()
    }

    /// How many items are refused, rather than missing in this version or this cluster.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.0.iter().filter(|of| !is_missing(of.reason)).map(|of| of.count).sum()
    }

    /// The reasons, in the order of their first item.
    pub fn reasons(&self) -> impl Iterator<Item = Reason> {
        self.0.iter().map(|of| of.reason)
    }

    /// The reason for the condition: the first that somebody has to fix, otherwise the first.
    #[must_use]
    pub fn worst(&self) -> Option<Reason> {
        self.reasons().min_by_key(|reason| expected(*reason))
    }

    /// Only the items with matching reasons.
    #[must_use]
    pub fn only(&self, which: impl Fn(Reason) -> bool) -> Self {
        Self(self.0.iter().filter(|of| which(of.reason)).cloned().collect())
    }
}

/// Whether a reason is part of normal operation, so that the object is still ready.
#[must_use]
pub fn expected(reason: Reason) -> bool {
    matches!(reason, Reason::Suspended | Reason::Expired) || is_missing(reason)
}

/// Whether this version or cluster has nothing to grant: conditions name such items, but counts of withheld items leave
/// them out.
fn is_missing(reason: Reason) -> bool {
    matches!(reason, Reason::OwnScopeNotEnabled | Reason::EmptyResource | Reason::UnsupportedAction)
}

/// The message of a condition: the first few items of each reason, those that somebody has to fix first.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_reason: Vec<&OfReason> = self.0.iter().collect();
        by_reason.sort_by_key(|of| (expected(of.reason), of.reason));
        f.write_str("Withheld:")?;
        for of in by_reason {
            let named: Vec<String> = of.first.iter().map(Item::to_string).collect();
            write!(f, " {}", named.join(", "))?;
            if of.count > of.first.len() {
                write!(f, " and {} more", of.count - of.first.len())?;
            }
            write!(f, ": {}", of.reason.meaning())?;
        }
        Ok(())
    }
}
