//! Questions to the API server about access.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, PATIENCE};

/// How many reviews are in flight at once.
const AT_ONCE: usize = 16;
/// The most wrong answers that a failing test names.
const SAID: usize = 60;

/// A user in a place.
#[derive(Clone)]
pub struct Question {
    user: String,
    groups: Vec<String>,
    namespace: String,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.namespace.is_empty() { "the cluster" } else { &self.namespace };
        write!(f, "{}", self.user)?;
        // Everybody is in the first one.
        if let [_, groups @ ..] = self.groups.as_slice()
            && !groups.is_empty()
        {
            write!(f, " in {}", groups.join(", "))?;
        }
        write!(f, " at {place}")
    }
}

impl Question {
    /// A user in a namespace; an empty namespace is the scope of the cluster.
    pub fn of(user: &str, namespace: &str) -> Self {
        Self { user: user.into(), groups: vec!["system:authenticated".into()], namespace: namespace.into() }
    }

    /// A service account.
    pub fn of_service_account(home: &str, name: &str, namespace: &str) -> Self {
        let mut question = Self::of(&format!("system:serviceaccount:{home}:{name}"), namespace);
        question.groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{home}")]);
        question
    }

    /// With groups as the identity provider asserts them.
    pub fn with_groups(mut self, groups: &[&str]) -> Self {
        self.groups.extend(groups.iter().map(ToString::to_string));
        self
    }
}

/// `<verb> <resource>[/<subresource>][.<group>] [<name>]`, as in `get pods/log`, `update deployments/scale.apps web`.
fn attributes(what: &str, namespace: &str) -> ResourceAttributes {
    let mut words = what.split_whitespace();
    let (verb, resource, name) = (words.next().unwrap(), words.next().unwrap(), words.next());
    assert!(words.next().is_none(), "cannot read {what:?}");
    let (plural, rest) = match resource.split_once('/') {
        Some((plural, rest)) => (plural, Some(rest)),
        None => (resource, None),
    };
    let split =
        |text: &str| text.split_once('.').map_or((text.to_owned(), None), |(a, b)| (a.to_owned(), Some(b.to_owned())));
    let (resource, subresource, group) = match rest {
        Some(rest) => {
            let (subresource, group) = split(rest);
            (plural.to_owned(), Some(subresource), group)
        }
        None => {
            let (resource, group) = split(plural);
            (resource, None, group)
        }
    };
    ResourceAttributes {
        verb: Some(verb.into()),
        resource: Some(resource),
        subresource,
        group: Some(group.unwrap_or_default()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        name: name.map(Into::into),
        ..Default::default()
    }
}

/// Asks from any number of threads, while the cluster is busy otherwise.
pub struct Asker {
    api: Api<SubjectAccessReview>,
    runtime: tokio::runtime::Handle,
}

impl Asker {
    /// The API server's answer, by SubjectAccessReview.
    pub fn allowed(&self, who: &Question, what: &str) -> bool {
        self.runtime.block_on(ask(self.api.clone(), who, what))
    }
}

impl Cluster {
    /// Somebody who asks from other threads.
    pub fn asker(&self) -> Asker {
        Asker { api: Api::all(self.client.clone()), runtime: self.runtime.handle().clone() }
    }

    /// The API server's answer, by SubjectAccessReview.
    pub fn allowed(&self, who: &Question, what: &str) -> bool {
        self.runtime.block_on(ask(Api::all(self.client.clone()), who, what))
    }

    /// The API server's answers to many questions.
    pub fn allowed_all(&self, questions: &[(Question, String)]) -> Vec<bool> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let reviews = questions.iter().map(|(who, what)| ask(api.clone(), who, what));
        self.runtime.block_on(futures::stream::iter(reviews).buffered(AT_ONCE).collect())
    }

    /// The API server's answers to a user about itself (namespace and right), with real credentials.
    pub fn allowed_as(&self, kubeconfig: &Path, questions: &[(String, String)]) -> Vec<bool> {
        self.runtime.block_on(async {
            let api: Api<SelfSubjectAccessReview> = Api::all(super::client(kubeconfig).await);
            let reviews = questions.iter().map(|(namespace, what)| ask_about_myself(api.clone(), namespace, what));
            futures::stream::iter(reviews).buffered(AT_ONCE).collect().await
        })
    }

    /// Waits until every answer is the expected one. If it had to wait, it asks everything again: a refusal before any
    /// grant proves nothing.
    #[track_caller]
    pub fn answers(&self, expected: &[(Question, String, bool)]) {
        let all: Vec<usize> = (0..expected.len()).collect();
        let start = Instant::now();
        let mut wrong = self.wrong(expected, &all);
        while !wrong.is_empty() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
            wrong = self.wrong(expected, &wrong);
            if wrong.is_empty() {
                wrong = self.wrong(expected, &all);
            }
        }
        let say = |i: &usize| {
            let (who, what, allowed) = &expected[*i];
            format!("{who:?} {} {what}", if *allowed { "cannot" } else { "can" })
        };
        let said: Vec<String> = wrong.iter().take(SAID).map(say).collect();
        let log = if wrong.is_empty() { String::new() } else { self.operator_log() };
        let (wrong, all) = (wrong.len(), all.len());
        assert!(wrong == 0, "{wrong} of {all} answers are wrong, among them:\n{}\n{log}", said.join("\n"));
    }

    /// The indexes of the wrong answers.
    fn wrong(&self, expected: &[(Question, String, bool)], which: &[usize]) -> Vec<usize> {
        let questions: Vec<_> = which.iter().map(|i| (expected[*i].0.clone(), expected[*i].1.clone())).collect();
        let answers = self.allowed_all(&questions);
        which.iter().zip(answers).filter(|(i, allowed)| expected[**i].2 != *allowed).map(|(i, _)| *i).collect()
    }

    /// Waits until a user may do all of this.
    #[track_caller]
    pub fn can(&self, who: &Question, what: &[&str]) {
        for what in what {
            self.eventually(&format!("{who:?} can {what}"), || self.allowed(who, what));
        }
    }

    /// Waits until a user may do none of this.
    #[track_caller]
    pub fn cannot(&self, who: &Question, what: &[&str]) {
        for what in what {
            self.eventually(&format!("{who:?} cannot {what}"), || !self.allowed(who, what));
        }
    }

    /// Asserts that a user may do none of this now, without waiting.
    #[track_caller]
    pub fn is_refused(&self, who: &Question, what: &[&str]) {
        for what in what {
            assert!(!self.allowed(who, what), "{who:?} can {what}\n{}", self.operator_log());
        }
    }
}

async fn ask(api: Api<SubjectAccessReview>, who: &Question, what: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(who.user.clone()),
            groups: Some(who.groups.clone()),
            resource_attributes: Some(attributes(what, &who.namespace)),
            ..Default::default()
        },
        ..Default::default()
    };
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

async fn ask_about_myself(api: Api<SelfSubjectAccessReview>, namespace: &str, what: &str) -> bool {
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes(what, namespace)), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}
