//! The first hour with Bailiwick: the commands of the README and the chart's notes, pasted literally.

use rstest::rstest;

use crate::support::helm::Helm;
use crate::support::{Cluster, repository};

/// The README's commands in order: every block marked as `sh`.
fn readme() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    text.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```\n").next().unwrap().to_owned()).collect()
}

/// The only block with this prefix.
fn block<'a>(blocks: &'a [String], start: &str) -> &'a str {
    let found: Vec<&String> = blocks.iter().filter(|block| block.starts_with(start)).collect();
    assert_eq!(found.len(), 1, "{start}: {found:?}");
    found[0]
}

/// The commands in Helm's output below `NOTES:`, with the lines that they read.
fn commands(output: &str) -> String {
    let mut commands = String::new();
    let mut lines = output.split("NOTES:\n").nth(1).expect("there are notes").lines();
    while let Some(line) = lines.next() {
        if line.starts_with("kubectl ") {
            commands.push_str(&format!("{line}\n"));
            if line.ends_with("<<'EOF'") {
                lines.by_ref().take_while(|line| *line != "EOF").for_each(|l| commands.push_str(&format!("{l}\n")));
                commands.push_str("EOF\n");
            }
        }
    }
    commands
}

/// Starts the Pods, as the cluster does after an installation while Helm's user waits.
fn start(cluster: &mut Cluster) {
    cluster.start_operator();
    cluster.pretend_that_the_pods_run();
    // Pulling an image takes longer than this.
    cluster.await_policies();
}

#[test]
fn the_readmes_steps_work_word_for_word() {
    let mut cluster = Cluster::bare();
    // A tenant that existed before.
    cluster.run(&["create", "namespace", "payments"]);
    let native =
        ["-n", "payments", "create", "rolebinding", "payments-team", "--clusterrole=edit", "--user=ben@example.com"];
    cluster.run(&native);
    let blocks = readme();
    let run = |cluster: &Cluster, start: &str| cluster.shell(Helm::Four, repository(), block(&blocks, start));
    let done = |cluster: &Cluster, start: &str| run(cluster, start).unwrap_or_else(|error| panic!("{start}: {error}"));
    let answer = |output: &str| output.lines().last().unwrap().to_owned();

    done(&cluster, "helm install");
    start(&mut cluster);
    done(&cluster, "kubectl -n bailiwick-system rollout status");
    done(
        &cluster,
        "kubectl apply -f - <<'EOF'\napiVersion: bailiwick.dev/v1alpha1\nkind: Organization\nmetadata: {name: data-science}",
    );
    assert_eq!(answer(&done(&cluster, "kubectl -n data-science wait")), "yes");
    // kubectl also reports `no` by its exit code.
    let suspended = run(&cluster, "kubectl patch users.bailiwick.dev ada").unwrap_err();
    assert!(suspended.contains("condition met") && suspended.trim_end().ends_with("no"), "{suspended}");

    let before = cluster.get(&["namespace", "payments"])["metadata"]["labels"].clone();
    done(&cluster, "helm upgrade");
    assert_eq!(cluster.get(&["namespace", "payments"])["metadata"]["labels"], before);
    done(
        &cluster,
        "kubectl apply -f - <<'EOF'\napiVersion: bailiwick.dev/v1alpha1\nkind: Organization\nmetadata: {name: payments}",
    );
    let both = done(&cluster, "kubectl get rolebindings.rbac.authorization.k8s.io -n payments");
    let (theirs, ours) = both.split_once("apiVersion:").unwrap();
    assert_eq!(theirs.lines().count(), 2, "a heading, and the one that is not Bailiwick's: {theirs}");
    assert!(theirs.contains("payments-team") && ours.contains("kind: Role") && ours.contains("deployments"), "{both}");
    assert_eq!(answer(&done(&cluster, "kubectl delete rolebindings.rbac.authorization.k8s.io payments-team")), "yes");
    assert_eq!(blocks.len(), 9, "this test runs every block of the README");
}

#[rstest]
fn the_notes_of_the_chart_can_be_pasted(#[values(Helm::Three, Helm::Four)] helm: Helm) {
    let mut cluster = Cluster::bare();
    cluster.run(&["create", "namespace", "busy"]);
    let values = "{namespaceWhitelist: [busy, fresh]}";
    let notes = helm.chart(&cluster, &["install", "bailiwick", "--create-namespace"], values, &[]).unwrap();
    let wide =
        notes.split("NOTES:\n").nth(1).unwrap().lines().filter(|line| line.len() > 100 && !line.starts_with("kubectl"));
    assert_eq!(wide.collect::<Vec<_>>(), [""; 0], "fits a terminal");
    assert!(notes.contains("  busy (existed already, and stays as it is)\n  fresh (created now)\n"), "{notes}");
    start(&mut cluster);
    let pasted = cluster.shell(helm, repository(), &commands(&notes)).unwrap();
    assert!(pasted.contains("rolebinding.bailiwick.dev/managers created") && pasted.contains("\nyes\n"), "{pasted}");
    assert!(
        pasted.contains("namespace/busy labeled (server dry run)"),
        "the warning only shows what a level would refuse"
    );

    // Later notes leave people's objects alone, and detect a whitelist without a name, or with a misspelled one.
    let upgrade = |values: &str| helm.chart(&cluster, &["upgrade", "bailiwick"], values, &[]).unwrap();
    let notes = upgrade(values);
    assert!(!notes.contains("apply") && !notes.contains("WARNING: Organization"), "{notes}");
    cluster.shell(helm, repository(), &commands(&notes)).unwrap();
    let notes = upgrade("{namespaceWhitelist: [bussy, fresh]}");
    assert!(notes.contains("bussy (created now)"), "{notes}");
    assert!(
        notes.contains("WARNING: Organization busy is for namespace busy, which is not in namespaceWhitelist."),
        "{notes}"
    );
    let message = cluster.await_reason(&["organization", "busy"], "NamespaceAssigned", "NotWhitelisted");
    assert!(message.contains("Did you mean bussy?"), "{message}");

    // Installed again over people's objects: the example is for an unclaimed namespace.
    helm.run(&cluster, &["uninstall", "bailiwick"]).unwrap();
    let notes = helm.chart(&cluster, &["install", "bailiwick"], "{namespaceWhitelist: [busy]}", &[]).unwrap();
    assert!(!notes.contains("apply"), "{notes}");
}
