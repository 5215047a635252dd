//! Asking the API server who may do what.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::Cluster;

/// Somebody, doing something, somewhere.
#[derive(Clone, Debug)]
pub struct Question {
    user: String,
    groups: Vec<String>,
    namespace: String,
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
    let split = |text: &str| text.split_once('.').map_or((text.to_owned(), None), |(a, b)| (a.to_owned(), Some(b.to_owned())));
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

impl Cluster {
    /// The API server's answer, by SubjectAccessReview.
    pub fn allowed(&self, who: &Question, what: &str) -> bool {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(who.user.clone()),
                groups: Some(who.groups.clone()),
                resource_attributes: Some(attributes(what, &who.namespace)),
                ..Default::default()
            },
            ..Default::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = self.runtime.block_on(api.create(&PostParams::default(), &review)).unwrap();
        answer.status.unwrap().allowed
    }

    /// The API server's answers to many questions.
    pub fn allowed_all(&self, questions: &[(Question, String)]) -> Vec<bool> {
        questions.iter().map(|(who, what)| self.allowed(who, what)).collect()
    }

    /// Waits until somebody may do all of this.
    #[track_caller]
    pub fn can(&self, who: &Question, what: &[&str]) {
        for what in what {
            self.eventually(&format!("{who:?} can {what}"), || self.allowed(who, what));
        }
    }

    /// Waits until somebody may not do any of this.
    #[track_caller]
    pub fn cannot(&self, who: &Question, what: &[&str]) {
        for what in what {
            self.eventually(&format!("{who:?} cannot {what}"), || !self.allowed(who, what));
        }
    }
}
