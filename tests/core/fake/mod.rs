//! The fake API server of this test target. Everything it does is a function call: it has no threads, and its clock
//! stands still until a test advances it.
//!
//! - [`Store`] keeps the objects that people and the platform write ([`Op`]); each change returns the [`Event`]s that a
//!   watch shows.
//! - [`Rbac`] keeps the native objects that the operator writes.
//! - [`ApiServer`] puts both behind the operator's own interface: it answers each `WriteRequest` with a `WriteResult`,
//!   and [`Watches`] hold back `WatchEvent`s until a test delivers them.
//! - [`answers`] has the faults that tests can script.

pub mod answers;
mod event;
mod object;
mod platform;
mod rbac;
mod requests;
mod server;
mod store;
mod update;
mod watches;

pub use bailiwick::operator::watch_event::Kind;

pub use self::event::Event;
pub use self::object::{ODD, Object, Slot, slot, slot_of};
pub use self::platform::{RELEASE, SPACES, bounds, namespace};
pub use self::rbac::{Rbac, stored, widen};
pub use self::server::{ApiServer, Snapshot};
pub use self::store::{Op, Store, base, tick};
pub use self::watches::Watches;
