//! Random stories: people do anything, watches and answers arrive in any order or never, requests fail, somebody edits
//! native objects, and leadership changes.

use bailiwick::core::object_ref::NativeRef;
use bailiwick::core::plan::Write;
use bailiwick::operator::writer::{Outcome, WriteRequest, WriteResult};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;

use super::Story;
use super::story::AT_ONCE;
use crate::cases;
use crate::fake::answers::{error, refused};
use crate::fake::{Kind, Op, widen};
use crate::histories::{crowd, op};

/// The most requests that stay unanswered until the end.
const HELD: usize = AT_ONCE - 1;

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Well,
    /// An error, and nothing is written.
    Fails,
    /// An error, although it is written.
    IsLost,
    Refused,
    /// It is written, and admission makes it grant more.
    Altered,
    /// No answer before the end of the story; it is written at once, or then.
    Never {
        written: bool,
    },
}

/// What somebody does to a native object.
#[derive(Clone, Copy, Debug)]
enum Drift {
    Delete,
    Widen,
    Unlabel,
}

#[derive(Clone, Debug)]
enum Step {
    Do(Op),
    /// Delivers so many events, each from one of the watches.
    Deliver(usize, Index),
    Answer(Index, Answer),
    Drift(Index, Drift),
    Relist(Index),
    LeadAgain,
}

/// `troubled`: whether anything is answered with an error.
fn step(troubled: bool) -> impl Strategy<Value = Step> {
    let error = if troubled {
        select(vec![Answer::Fails, Answer::IsLost, Answer::Refused, Answer::Altered])
    } else {
        select(vec![Answer::Well])
    };
    let answer = prop_oneof![
        8 => Just(Answer::Well),
        3 => error,
        2 => any::<bool>().prop_map(|written| Answer::Never { written }),
    ];
    let drift = prop_oneof![Just(Drift::Delete), Just(Drift::Widen), Just(Drift::Unlabel)];
    prop_oneof![
        4 => op().prop_map(Step::Do),
        4 => (1..6_usize, any::<Index>()).prop_map(|(n, which)| Step::Deliver(n, which)),
        8 => (any::<Index>(), answer).prop_map(|(which, answer)| Step::Answer(which, answer)),
        1 => (any::<Index>(), drift).prop_map(|(which, drift)| Step::Drift(which, drift)),
        1 => any::<Index>().prop_map(Step::Relist),
        1 => Just(Step::LeadAgain),
    ]
}

impl Story {
    fn take_step(&mut self, step: &Step) {
        match step {
            Step::Do(op) => self.server.act(op),
            Step::Deliver(times, which) => {
                for _ in 0..*times {
                    self.events.extend(self.server.watches.deliver_one(|n| which.index(n)));
                }
            }
            Step::Answer(which, answer) => self.answer(*which, *answer),
            Step::Drift(which, drift) => self.drift(*which, *drift),
            Step::Relist(which) => self.server.relist(*which.get(&Kind::ALL)),
            Step::LeadAgain => self.lead_again(),
        }
        self.work();
    }

    fn answer(&mut self, which: Index, answer: Answer) {
        if self.in_flight.is_empty() {
            return;
        }
        let request = self.in_flight.remove(which.index(self.in_flight.len()));
        let result = match (answer, &request) {
            (Answer::Never { written }, WriteRequest::Native(_) | WriteRequest::Claim(_)) if self.held.len() < HELD => {
                let result = written.then(|| self.server.carry_out(&request));
                self.held.push((request, result));
                return;
            }
            (Answer::Well | Answer::Never { .. }, _) => self.server.carry_out(&request),
            (Answer::Refused, WriteRequest::Native(write @ (Write::Create { .. } | Write::Apply { .. }))) => {
                WriteResult::Native(write.key().clone(), refused())
            }
            (Answer::Altered, WriteRequest::Native(write)) => {
                let key = write.key().clone();
                match self.server.carry_out(&request) {
                    WriteResult::Native(_, Outcome::Is(_)) => {
                        self.drift_of(&key, Drift::Widen);
                        WriteResult::Native(key.clone(), Outcome::Altered((*self.server.rbac.present[&key]).clone()))
                    }
                    otherwise => otherwise,
                }
            }
            (Answer::Fails | Answer::Refused | Answer::Altered, _) => error(&request, true),
            (Answer::IsLost, _) => {
                self.server.carry_out(&request);
                error(&request, false)
            }
        };
        self.answers.push(result);
    }

    fn drift(&mut self, which: Index, drift: Drift) {
        let keys: Vec<_> = self.server.rbac.present.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        self.drift_of(which.get(&keys), drift);
    }

    fn drift_of(&mut self, key: &NativeRef, drift: Drift) {
        match drift {
            Drift::Delete => return self.server.delete_native(key),
            Drift::Widen => self.server.rbac.edit(key, widen),
            Drift::Unlabel => self.server.rbac.edit(key, |observed| observed.labelled = false),
        }
        self.server.show_native(key);
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 500, ..cases(60) })]

    #[test]
    fn whatever_is_answered_revocations_happen_and_everything_converges(
        start in crowd(),
        (troubled, steps) in any::<bool>().prop_flat_map(|t| (Just(t), prop::collection::vec(step(t), 1..80))),
    ) {
        let mut story = Story::new();
        start.iter().for_each(|op| story.server.act(op));
        story.converge();
        for step in &steps {
            story.take_step(step);
        }
        if !troubled {
            story.settle_at_once();
            story.assert_revoked();
        }
        story.settle();
        story.assert_revoked();
        story.release();
        story.converge();
    }
}
