//! The engine against the fake API server. Each test is a story: what is there, what happens, who has access then. The
//! API server answers late, not at all, with an error before or after it wrote, or with what somebody else wrote
//! meanwhile.
//!
//! However that goes, two things hold, and `chaos` checks them in random stories: in the end everything is as it should
//! be ([`Story::assert_converged`]), and a revocation waits for nothing but writes of the same object
//! ([`Story::assert_revoked`]).

mod chaos;
mod checks;
mod claims;
mod leadership;
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
