//! Waits for the chart's admission policies: the API server looks for policies and new kinds every few seconds.

use kube::api::{DeleteParams, PatchParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::{Cluster, RELEASE, manifests};

impl Cluster {
    /// Waits until the admission policies work, if the chart has them. Until then the API server answers 503 if a
    /// policy has to change an object. If a policy has objects of a new kind as parameters, the API server refuses
    /// every matching request until it has seen them, even those that the policy exempts.
    pub fn await_policies(&self) {
        if self.exists(&["mutatingadmissionpolicybinding", "bailiwick-group-vouched"]) {
            let group = manifests::group("default", "trial", &[]);
            self.eventually("the policy on Groups works", || {
                let answer = self.dry_run(&group);
                answer.is_ok_and(|group| group["metadata"]["annotations"].to_string().contains("bailiwick.dev/vouched"))
            });
        }
        if self.exists(&["validatingadmissionpolicybinding", "bailiwick-operator-guard"]) {
            self.eventually("the policies act", || {
                let answer = self.dry_run_of_the_operator();
                // The second text is that of tests/previous-chart.
                let texts = ["uses only its own token", "acts with a token of its own"];
                answer.is_err_and(|error| texts.iter().any(|text| error.to_string().contains(text)))
            });
        }
        self.eventually("the policies have their parameters", || self.dry_run(&manifests::user("trial")).is_ok());
    }

    /// The same for the policy on the deletion of Organizations, which needs one for a trial: no operator may run. An
    /// API server that starts with the policies has not seen our kinds yet when it reads them.
    pub(super) fn await_policy_on_organizations(&self) {
        let trial = manifests::organization("trial", "{}");
        let delete = |dry_run: bool| -> kube::Result<Value> {
            let parameters = DeleteParams { dry_run, ..DeleteParams::default() };
            let organizations = Request::new("/apis/bailiwick.dev/v1alpha1/organizations");
            self.runtime.block_on(self.client.request(organizations.delete("trial", &parameters).unwrap()))
        };
        self.apply(&trial);
        self.eventually("the policy on Organizations has its parameters", || delete(true).is_ok());
        delete(false).unwrap();
    }

    /// Applies an object of ours as the administrator, as a dry run.
    fn dry_run(&self, yaml: &str) -> kube::Result<Value> {
        let object: Value = serde_yaml::from_str(yaml).unwrap();
        self.patch_by_apply(&object, &PatchParams { dry_run: true, ..PatchParams::apply("trial") })
    }

    /// Creates a Lease as the operator in a dry run, but without a token of its ServiceAccount.
    fn dry_run_of_the_operator(&self) -> kube::Result<Value> {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "trial"}});
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{RELEASE}/leases");
        let request = Request::new(leases).create(&parameters, lease.to_string().into_bytes());
        let mut request = request.unwrap();
        let operator = format!("system:serviceaccount:{RELEASE}:bailiwick");
        request.headers_mut().insert("Impersonate-User", operator.parse().unwrap());
        self.runtime.block_on(self.client.request(request))
    }
}
