//! `bailiwick render`, as a person or a pipeline runs it: golden output for every example, and clear errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use rstest::rstest;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn render(arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .arg("render")
        .args(arguments)
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The lines of standard error.
fn errors(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect()
}

#[rstest]
#[case("quickstart")]
#[case("tiered-rbac")]
#[case("group-templates")]
#[case("external-groups")]
#[case("namespaces")]
#[case("personal-workspaces")]
fn every_example_renders_as_it_did(#[case] example: &str) {
    let directory = format!("examples/{example}");
    let values = format!("{directory}/chart/values.yaml");
    let output = render(&["-f", &directory, "--values", &values, "--at", "2026-12-01T00:00:00Z"], "");
    assert!(output.status.success(), "{:?}", errors(&output));
    let warnings = errors(&output).join("\n");
    let text = String::from_utf8(output.stdout).unwrap();
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!(example, format!("{}\n# warnings\n{warnings}\n", text.trim_end()));
    });
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let run =
        || render(&["-f", "examples/tiered-rbac", "--values", "examples/tiered-rbac/chart/values.yaml"], "").stdout;
    assert_eq!(run(), run());
}

#[test]
fn the_order_of_files_decides_only_who_came_first() {
    let one = render(&["-f", "examples/quickstart", "--values", "examples/quickstart/chart/values.yaml"], "").stdout;
    let mut files: Vec<_> = std::fs::read_dir(repository().join("examples/quickstart"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    let mut arguments = vec!["--values", "examples/quickstart/chart/values.yaml"];
    for file in &files {
        arguments.extend(["-f", file]);
    }
    assert_eq!(one, render(&arguments, "").stdout);
}

const ROLE_BINDING: &str = "apiVersion: bailiwick.dev/v1alpha1
kind: RoleBinding
metadata: {name: leads, namespace: alpha}
spec:
  roleRef: {kind: SiteRole, name: organization-manager}
  subjects:
  - {kind: User, name: ada}
";
const ALPHA: &str = "apiVersion: bailiwick.dev/v1alpha1
kind: Organization
metadata: {name: alpha}
spec: {namespace: alpha}
";

fn with_whitelist() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "namespaceWhitelist: [alpha]\n").unwrap();
    file
}

#[test]
fn a_withheld_subject_is_a_warning_and_no_failure() {
    let values = with_whitelist();
    let output =
        render(&["-f", "-", "--values", values.path().to_str().unwrap()], &format!("{ROLE_BINDING}---\n{ALPHA}"));
    assert!(output.status.success());
    let warnings = errors(&output);
    let expected = "RoleBinding/alpha/leads: SubjectsResolved (UserNotFound): Withheld: subjects[0] (User \"ada\")";
    assert!(warnings.iter().any(|w| w.contains(expected)), "{warnings:#?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ada"));
}

/// As in a dump of a cluster, which has defaults filled in.
#[test]
fn the_roles_that_the_chart_ships_are_no_warning_unless_they_were_changed() {
    let file = std::fs::read_to_string(repository().join("charts/bailiwick/files/site-roles.yaml")).unwrap();
    let dumped = file.replace("actions: [read]}", "actions: [read], scope: All}");
    assert_ne!(dumped, file);
    assert_eq!(errors(&render(&["-f", "-"], &dumped)), [""; 0]);
    let changed = dumped.replacen("resource: metrics", "resource: metriks", 1);
    let warnings = errors(&render(&["-f", "-"], &changed));
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("PermissionsResolved (UnknownResource)"), "{warnings:#?}");
}

#[rstest]
#[case::not_yaml("a: [1\n", "-:1", "unclosed")]
#[case::unknown_anchor("a: *b\n---\na: 1\n", "-:1", "unknown anchor")]
#[case::twice("a: 1\nb: {c: 1, c: 2}\n", "-:2: b.c", "this key appears twice")]
#[case::no_kind("a: 1\n", "-:1", "is not a Kubernetes object")]
#[case::unknown_kind(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: RoleBindng\nmetadata: {name: a}\n",
    "-:2: kind",
    "\"RoleBindng\" is unknown"
)]
#[case::unknown_version(
    "apiVersion: bailiwick.dev/v1\nkind: User\nmetadata: {name: a}\n",
    "-:1: apiVersion",
    "is unknown"
)]
#[case::no_name(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {}\nspec: {}\n",
    "-:3: metadata.name",
    "is required"
)]
#[case::no_spec("apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: a}\n", "-:1: spec", "is required")]
#[case::typo(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: a}\nspec:\n  usrname: b\n",
    "-:5: spec.usrname",
    "unknown field"
)]
#[case::type_(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: a}\nspec:\n  suspended: sometimes\n",
    "-:5: spec.suspended",
    "must be of type boolean"
)]
#[case::word(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: RoleBinding\nmetadata: {name: a, namespace: b}\nspec:\n  roleRef: {kind: Role, name: c}\n",
    "-:5: spec.roleRef.kind",
    "must be one of CustomRole, SiteRole"
)]
#[case::time(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: RoleBinding\nmetadata: {name: a, namespace: b}\nspec:\n  roleRef: {kind: SiteRole, name: c}\n  expiresAt: tomorrow\n",
    "-:6: spec.expiresAt",
    "must be a time"
)]
#[case::cel(
    "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: a}\nspec:\n  username: system:admin\n",
    "-:5: spec.username",
    "names that begin with system: are Kubernetes' own"
)]
fn input_that_is_not_valid_ends_with_2_and_names_file_line_and_field(
    #[case] input: &str,
    #[case] place: &str,
    #[case] message: &str,
) {
    let output = render(&["-f", "-"], input);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let errors = errors(&output);
    assert!(errors.iter().any(|e| e.starts_with(place) && e.contains(message)), "{errors:#?}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let input = "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: A}\nspec: {suspended: 1, mail: x}\n";
    assert_eq!(errors(&render(&["-f", "-"], input)).len(), 3);
}

#[test]
fn the_same_object_twice_is_refused() {
    let output = render(&["-f", "-"], &format!("{ALPHA}---\n{ALPHA}"));
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output)[0].starts_with("-:8: metadata.name"), "{:?}", errors(&output));
}

#[test]
fn a_values_file_with_a_typo_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "namespaceWhitelst: [alpha]\n").unwrap();
    let output = render(&["-f", "-", "--values", file.path().to_str().unwrap()], ALPHA);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output)[0].contains("namespaceWhitelst"), "{:?}", errors(&output));
}

#[test]
fn a_binding_that_has_ended_gives_nothing() {
    let values = with_whitelist();
    let user = "apiVersion: bailiwick.dev/v1alpha1\nkind: User\nmetadata: {name: ada}\nspec: {}\n";
    let binding = format!("{ROLE_BINDING}  expiresAt: \"2027-01-01T00:00:00Z\"\n");
    let input = format!("{ALPHA}---\n{user}---\n{binding}");
    let at = |time: &str| {
        let values = values.path().to_str().unwrap();
        let output = render(&["-f", "-", "--values", values, "--at", time], &input);
        String::from_utf8(output.stdout).unwrap().contains("bailiwick:role-binding:leads")
    };
    assert!(at("2026-12-31T23:59:59Z"));
    assert!(!at("2027-01-01T00:00:00Z"));
}
