//! The engine with the fake API server. Each test is a story: the initial objects, the events, and the access
//! afterwards. The API server answers late, never, with an error before or after it wrote, or with somebody else's
//! concurrent write.
//!
//! Two invariants hold throughout, and `chaos` checks them in random stories: in the end everything is as desired
//! ([`Story::assert_converged`]), and a revocation waits only for writes of the same object
//! ([`Story::assert_revoked`]).

mod chaos;
mod checks;
mod claims;
mod leadership;
mod own_objects;
mod replacements;
mod restores;
mod resync;
mod revocations;
mod shards;
mod statuses;
mod story;
mod words;

use self::story::Story;
use self::words::given;
