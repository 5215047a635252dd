//! `hack/release`, without its parts that compile: the dry run passes on what `--prepare` has made of the repository's own
//! files, packages charts that belong together, and refuses files that disagree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

const VERSION: &str = "99.1.0";
const IMAGE: &str = "registry.example/team/bailiwick";

/// A repository of its own with what the checklist reads.
struct Repository(TempDir);

/// What a command printed, and whether it succeeded.
struct Said {
    success: bool,
    text: String,
}

impl Repository {
    fn new() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repository = Self(tempfile::tempdir().unwrap());
        fs::create_dir(repository.path("hack")).unwrap();
        for name in ["Cargo.toml", "Cargo.lock", "CHANGELOG.md", "charts", "hack/release"] {
            let copied = Command::new("cp").arg("-r").arg(source.join(name)).arg(repository.path(name)).status();
            assert!(copied.unwrap().success(), "{name}");
        }
        fs::write(repository.path(".gitignore"), "/target\n").unwrap();
        // After a release nothing is under this heading until somebody changes something.
        repository.edit("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- A change that users notice.\n");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit();
        repository
    }

    fn prepared() -> Self {
        let repository = Self::new();
        let said = repository.release(&["--prepare", VERSION]);
        assert!(said.success, "{}", said.text);
        repository.commit();
        repository
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "{name} has no {old:?}");
        fs::write(self.path(name), text.replacen(old, new, 1)).unwrap();
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Said {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            // Nobody's own settings of git count, and the folder that cargo builds into is not that of this repository.
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("HELM", control_plane::Tools::locate().expect("helm is there or can be built").helm())
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Said { success: output.status.success(), text: text.into_owned() }
    }

    fn git(&self, arguments: &[&str]) {
        let said = self.run("git", arguments);
        assert!(said.success, "git {arguments:?}: {}", said.text);
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "."]);
    }

    fn release(&self, arguments: &[&str]) -> Said {
        self.run("hack/release", arguments)
    }

    fn dry_run(&self) -> Said {
        self.release(&["--dry-run", "--quick", "--image-repository", IMAGE, VERSION])
    }

    /// A file of a packaged chart.
    fn packaged(&self, chart: &str, file: &str) -> Value {
        let archive = format!("target/dist/{chart}-{VERSION}.tgz");
        let said = self.run("tar", &["--extract", "--to-stdout", "--file", &archive, &format!("{chart}/{file}")]);
        assert!(said.success, "{}", said.text);
        serde_yaml::from_str(&said.text).unwrap()
    }
}

#[test]
fn what_was_prepared_can_be_released() {
    let repository = Repository::prepared();
    let said = repository.dry_run();
    assert!(said.success, "{}", said.text);

    for chart in ["bailiwick", "bailiwick-crds"] {
        let about = repository.packaged(chart, "Chart.yaml");
        assert_eq!((&about["version"], &about["appVersion"]), (&VERSION.into(), &VERSION.into()), "{chart}");
    }
    assert_eq!(repository.packaged("bailiwick", "values.yaml")["image"]["repository"], IMAGE);
    assert_eq!(repository.read("target/dist/NOTES.md").lines().next(), Some("- A change that users notice."));
    let sums = repository.read("target/dist/SHA256SUMS");
    let named: BTreeSet<&str> = sums.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(named, BTreeSet::from(["bailiwick-99.1.0.tgz", "bailiwick-crds-99.1.0.tgz"]));

    // The workflow runs it again, on the tag; and nothing else than the folder of cargo was written to.
    repository.git(&["tag", "v99.1.0"]);
    let said = repository.dry_run();
    assert!(said.success, "{}", said.text);
}

#[rstest]
#[case::version_of_the_binary("Cargo.toml", "version = \"99.1.0\"", "version = \"99.0.0\"", "Cargo.toml says 99.0.0")]
#[case::locked_version("Cargo.lock", "version = \"99.1.0\"", "version = \"99.0.0\"", "Cargo.lock says 99.0.0 99.1.0")]
#[case::chart(
    "charts/bailiwick/Chart.yaml",
    "\nversion: 99.1.0",
    "\nversion: 1.0.0",
    "Chart.yaml (version) says 1.0.0"
)]
#[case::image(
    "charts/bailiwick-crds/Chart.yaml",
    "appVersion: 99.1.0",
    "appVersion: 1.0.0",
    "bailiwick-crds/Chart.yaml (appVersion) says 1.0.0"
)]
#[case::no_date("CHANGELOG.md", "## [99.1.0] - ", "## [99.1.0] by ", "the newest section is '## [99.1.0] by ")]
#[case::left_over("CHANGELOG.md", "## [Unreleased]\n", "## [Unreleased]\n\n- More.\n", "[Unreleased] has lines")]
#[case::broken_chart("charts/bailiwick/Chart.yaml", "apiVersion: v2", "apiVersion: v9", "'v9' is not valid")]
fn what_does_not_agree_is_not_released(#[case] file: &str, #[case] old: &str, #[case] new: &str, #[case] why: &str) {
    let repository = Repository::prepared();
    repository.edit(file, old, new);
    repository.commit();
    let said = repository.dry_run();
    assert!(!said.success && said.text.contains(why), "{}", said.text);
}

#[test]
fn what_is_not_committed_or_was_released_before_is_not_released() {
    let repository = Repository::prepared();
    repository.git(&["tag", "v99.1.0"]);
    fs::write(repository.path("forgotten"), "").unwrap();
    let said = repository.dry_run();
    assert!(!said.success && said.text.contains("?? forgotten"), "{}", said.text);

    repository.commit();
    let said = repository.dry_run();
    assert!(!said.success && said.text.contains("FAIL  the tag v99.1.0 is free"), "{}", said.text);

    let said = repository.release(&["--prepare", VERSION]);
    assert!(!said.success && said.text.contains("has a section 99.1.0 already"), "{}", said.text);
}

/// What Artifact Hub shows of the chart.
#[test]
fn the_chart_names_the_kinds_that_it_installs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| serde_yaml::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    let chart = read(&root.join("charts/bailiwick/Chart.yaml"));
    let listed: Vec<Value> =
        serde_yaml::from_str(chart["annotations"]["artifacthub.io/crds"].as_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed: BTreeSet<_> =
        listed.iter().map(|c| (text(&c["kind"]), text(&c["name"]), text(&c["version"]))).collect();
    let crds = fs::read_dir(root.join("crds")).unwrap().map(|file| read(&file.unwrap().path()));
    let there: BTreeSet<_> = crds
        .map(|crd| {
            let (spec, name) = (&crd["spec"], text(&crd["metadata"]["name"]));
            (text(&spec["names"]["kind"]), name, text(&spec["versions"][0]["name"]))
        })
        .collect();
    assert_eq!(listed, there);
}
