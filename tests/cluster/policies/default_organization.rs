//! The default organization cannot be deleted while there is another one.

use super::{Site, VALUES};
use crate::support::manifests::organization;

const DELETE: &str = "[{apiGroups: [bailiwick.dev], resources: [organizations], verbs: [get, list, create, update, patch, delete, deletecollection]}]";
const DEFAULT: &str = "Organization alpha is the default: make another one the default first (";

fn default_is(site: &Site, name: &str) {
    site.cluster.eventually(&format!("{name} is the default organization"), || {
        site.cluster.get(&["organizations.bailiwick.dev", name])["status"]["default"] == true
    });
}

#[test]
fn the_default_organization_goes_last() {
    let mut site = Site::with_operator(VALUES);
    site.cluster.apply(
        &(organization("alpha", "{namespace: alpha, default: true}") + &organization("beta", "{namespace: beta}")),
    );
    default_is(&site, "alpha");
    let delete = ["delete", "organizations.bailiwick.dev"];
    {
        let eve = site.person("eve");
        eve.holds("", DELETE);
        eve.soon_may_not(&[&delete[..], &["alpha"]].concat(), DEFAULT);
        eve.may_not(&[&delete[..], &["alpha"]].concat(), "(beta, for example)");
        // The operator's record counts, not the request.
        eve.does(&[
            "patch",
            "organizations.bailiwick.dev",
            "alpha",
            "--type=merge",
            "-p",
            r#"{"spec":{"default":false}}"#,
        ]);
        site.cluster.settle();
        eve.may_not(&[&delete[..], &["alpha"]].concat(), DEFAULT);
        let owner = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}"#;
        eve.does(&["patch", "organizations.bailiwick.dev", "alpha", "--type=merge", "-p", owner]);
        eve.may_not(&["delete", "--raw", "/apis/bailiwick.dev/v1alpha1/organizations"], DEFAULT);
    }
    // Nobody else can delete it either, with any right: neither the administrator nor the garbage collector.
    let refused = site.cluster.kubectl(&["delete", "organizations.bailiwick.dev", "alpha"]);
    super::refused(crate::support::outcome(refused), DEFAULT, "the administrator");
    assert!(site.cluster.exists(&["organizations.bailiwick.dev", "alpha"]));
    site.cluster.run(&[
        "patch",
        "organizations.bailiwick.dev",
        "alpha",
        "--type=merge",
        "-p",
        r#"{"metadata":{"ownerReferences":null}}"#,
    ]);

    // Another one is the default, so this one can be deleted.
    site.cluster.apply(&organization("gamma", "{default: true}"));
    default_is(&site, "gamma");
    let eve = site.person("eve");
    eve.does(&[&delete[..], &["alpha"]].concat());
    eve.may_not(&[&delete[..], &["gamma"]].concat(), "Organization gamma is the default");
    // One that is about to go is no other.
    let hold = r#"{"metadata":{"finalizers":["example.com/hold"]}}"#;
    site.cluster.run(&["patch", "organizations.bailiwick.dev", "beta", "--type=merge", "-p", hold]);
    eve.does(&[&delete[..], &["beta", "--wait=false"]].concat());
    site.cluster.eventually("the last one that stays can be deleted", || {
        eve.tries(&[&delete[..], &["gamma"]].concat()).is_ok()
    });
    site.cluster.run(&[
        "patch",
        "organizations.bailiwick.dev",
        "beta",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    // Uninstalling: all of them, and no operator records a default.
    site.cluster.apply(&organization("alpha", "{default: true}"));
    default_is(&site, "alpha");
    site.cluster.stop_operator();
    site.cluster.run(&["delete", "organizations.bailiwick.dev", "--all"]);
}
