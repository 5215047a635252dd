//! The chart's README on CRDs: Helm never upgrades crds/, the chart `bailiwick-crds` does, and neither loses people's
//! objects.

use rstest::rstest;

use crate::support::helm::{Helm, documented, install};
use crate::support::manifests::{binding, organization, users};
use crate::support::{Cluster, Question, repository};

/// The charts of a later version with a changed CRD. Returns their directory.
fn later_version() -> tempfile::TempDir {
    let later = tempfile::tempdir().unwrap();
    let from = repository().join("charts");
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(later.path()).status().unwrap();
    assert!(copied.success());
    for directory in ["bailiwick/crds", "bailiwick-crds/files"] {
        let file = later.path().join("charts").join(directory).join("users.bailiwick.dev.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let changed = text.replace(
            "description: A name for people to read. Bailiwick does not use it.",
            "description: A later text.",
        );
        assert_ne!(text, changed);
        std::fs::write(&file, changed).unwrap();
    }
    later
}

fn users_crd_is_later(cluster: &Cluster) -> bool {
    cluster.run(&["get", "crd", "users.bailiwick.dev", "-o", "yaml"]).contains("A later text.")
}

#[rstest]
fn crds_are_upgraded_by_the_documented_command(
    #[values(Helm::Three, Helm::Four)] helm: Helm,
    #[values(true, false)] by_their_own_chart_from_the_beginning: bool,
) {
    let mut cluster = Cluster::bare();
    let values = "{namespaceWhitelist: [alpha]}";
    let upgrade_crds = documented("### CRDs");
    if by_their_own_chart_from_the_beginning {
        cluster.shell(helm, repository(), &upgrade_crds).unwrap();
        helm.chart(&cluster, &["install", "bailiwick"], values, &["--skip-crds"]).unwrap();
        cluster.await_policies();
    } else {
        install(&cluster, helm, values);
    }
    cluster.start_operator();
    cluster.apply(&(organization("alpha", "{namespace: alpha}") + &users(&["ada"])));
    cluster.apply(&binding("alpha", "managers", "SiteRole/organization-manager", &["ada"]));
    let ada = Question::of("ada@example.com", "alpha");
    cluster.can(&ada, &["create deployments.apps"]);
    cluster.quiet();
    let granted = cluster.native_content();

    let later = later_version();
    let of_later = later.path().join("charts/bailiwick");
    let upgrade = ["upgrade", "bailiwick", of_later.to_str().unwrap(), "--reuse-values"];
    helm.run(&cluster, &upgrade).unwrap();
    assert!(!users_crd_is_later(&cluster), "Helm does not upgrade crds/");
    cluster.shell(helm, later.path(), &upgrade_crds).unwrap();
    assert!(users_crd_is_later(&cluster));
    // Again, and back to the original.
    cluster.shell(helm, later.path(), &upgrade_crds).unwrap();
    cluster.shell(helm, repository(), &upgrade_crds).unwrap();
    assert!(!users_crd_is_later(&cluster));
    cluster.quiet();
    assert_eq!(cluster.native_content(), granted, "nobody gained or lost anything");

    // They outlive the release, and so do people's objects.
    for release in ["bailiwick-crds", "bailiwick"] {
        helm.run(&cluster, &["uninstall", release]).unwrap();
    }
    cluster.kill_operator();
    assert!(cluster.exists(&["users.bailiwick.dev", "ada"]));
    cluster.can(&ada, &["create deployments.apps"]);
    cluster.shell(helm, repository(), &documented("### Removing everything")).unwrap();
    assert!(!cluster.exists(&["crd", "users.bailiwick.dev"]));
    cluster.cannot(&ada, &["create deployments.apps"]);
}
