//! The life of a control plane with the real programs: what tests can do with it, and that nothing is left afterwards,
//! however it or its user ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use control_plane::pins::{KUBERNETES, SUPPORTED};
use control_plane::{ControlPlane, Error, Options};
use serde_json::Value;

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_control-plane");

fn start(options: Options) -> ControlPlane {
    ControlPlane::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn options() -> Options {
    Options { executable: Some(PathBuf::from(EXECUTABLE)), ..Options::default() }
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(command: &mut Command) -> Value {
    serde_json::from_str(&output_of(command)).unwrap()
}

/// The programs whose command line contains `directory`, as those of the supervisor and its servers do. A zombie has
/// none.
fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    entries
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(directory))
        .collect()
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_everything_ends(directory: &Path) {
    wait_until("the end of all processes", || processes_of(directory).is_empty());
}

/// `make test-versions` sets the variable to pinned versions, or to the minor version alone.
fn expected_version() -> &'static str {
    let wanted = std::env::var("BAILIWICK_KUBERNETES").unwrap_or_default();
    let wanted = wanted.trim_start_matches('v');
    let pinned =
        SUPPORTED.iter().find(|version| version[1..] == *wanted || version.starts_with(&format!("v{wanted}.")));
    if wanted.is_empty() { KUBERNETES } else { pinned.expect("the variable names a supported version") }
}

/// Sends SIGKILL and waits.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_instances_run_side_by_side_and_know_their_users() {
    let (one, two) = std::thread::scope(|scope| {
        // As a test of another package does: without `executable`, it asks cargo.
        let one = scope.spawn(|| start(Options::default()));
        (start(options()), one.join().unwrap())
    });
    assert_ne!(one.server(), two.server());

    let version = json_of(one.kubectl(&one.admin_kubeconfig()).args(["version", "--output=json"]));
    let expected = expected_version();
    for side in ["clientVersion", "serverVersion"] {
        assert_eq!(version[side]["gitVersion"], expected);
        assert_eq!(version[side]["minor"].as_str(), expected.split('.').nth(1));
    }
    let helm = output_of(one.helm(&one.admin_kubeconfig()).args(["version", "--short"]));
    assert!(helm.starts_with(control_plane::pins::HELM), "{helm}");
    assert_eq!(output_of(one.helm(&one.admin_kubeconfig()).args(["list", "--short"])), "");

    let alice = one.user_kubeconfig("alice@example.com", &["org-a:coder", "org-b, \"coder\""]).unwrap();
    let whoami = json_of(one.kubectl(&alice).args(["auth", "whoami", "--output=json"]));
    assert_eq!(whoami["status"]["userInfo"]["username"], "alice@example.com");
    let groups: Vec<&str> = whoami["status"]["userInfo"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group.as_str().unwrap())
        .collect();
    assert_eq!(groups, ["org-a:coder", "org-b, \"coder\"", "system:authenticated"]);

    let mut refused = two.kubectl(&alice);
    assert!(!refused.args(["--server", two.server(), "auth", "whoami"]).output().unwrap().status.success());

    let mut token = one.kubectl(&one.admin_kubeconfig());
    let token = output_of(token.args(["create", "token", "default"]));
    let account = one.token_kubeconfig("default", token.trim()).unwrap();
    let whoami = json_of(one.kubectl(&account).args(["auth", "whoami", "--output=json"]));
    assert_eq!(whoami["status"]["userInfo"]["username"], "system:serviceaccount:default:default");

    let directories = [one.dir().to_owned(), two.dir().to_owned()];
    drop((one, two));
    for directory in directories {
        assert_eq!(processes_of(&directory), Vec::<String>::new());
        assert!(!directory.exists());
    }
}

#[test]
fn what_one_instance_saved_is_what_others_start_from() {
    let saved = tempfile::tempdir().unwrap();
    let one = start(options());
    let uid = |plane: &ControlPlane| {
        let account = json_of(plane.kubectl(&plane.admin_kubeconfig()).args(["get", "sa", "default", "-o", "json"]));
        account["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let admin = one.admin_kubeconfig();
    output_of(one.kubectl(&admin).args(["create", "namespace", "saved"]));
    output_of(one.kubectl(&admin).args(["-n", "saved", "create", "serviceaccount", "robot"]));
    let token = output_of(one.kubectl(&admin).args(["-n", "saved", "create", "token", "robot"]));
    one.save(saved.path()).unwrap();
    output_of(one.kubectl(&admin).args(["create", "namespace", "later"]));

    let others = [0, 1].map(|_| start(Options { from: Some(saved.path().to_owned()), ..options() }));
    for other in &others {
        let get = |namespace| {
            let mut kubectl = other.kubectl(&other.admin_kubeconfig());
            kubectl.args(["get", "namespace", namespace]).output().unwrap().status.success()
        };
        assert!(get("saved") && !get("later"));
        let robot = other.token_kubeconfig("robot", token.trim()).unwrap();
        output_of(other.kubectl(&robot).args(["auth", "whoami"]));
        assert_ne!(uid(&one), uid(other), "the controllers have shown that they work");
    }
    let [two, three] = &others;
    output_of(two.kubectl(&two.admin_kubeconfig()).args(["create", "namespace", "mine"]));
    let seen = output_of(three.kubectl(&three.admin_kubeconfig()).args(["get", "namespaces"]));
    assert!(!seen.contains("mine"), "{seen}");
}

#[test]
fn the_api_server_restarts_with_its_data_on_its_port() {
    let plane = start(options());
    let admin = plane.admin_kubeconfig();
    let api_server = || plane.status().unwrap().components[1].clone();
    output_of(plane.kubectl(&admin).args(["create", "namespace", "kept"]));
    let before = api_server();
    assert_eq!(before.name, "kube-apiserver");

    plane.restart_api_server().unwrap();
    assert_ne!(api_server().pid, before.pid);
    output_of(plane.kubectl(&admin).args(["get", "namespace", "kept"]));

    let get = || plane.kubectl(&admin).args(["get", "namespace", "kept"]).output().unwrap().status.success();
    plane.kill_api_server().unwrap();
    assert_eq!((api_server().pid, api_server().ended), (None, None));
    assert!(!get());
    plane.start_api_server().unwrap();
    assert!(get());
    plane.stop_api_server().unwrap();
    assert!(!get());
    plane.start_api_server().unwrap();
    assert!(get());
    // The controllers have reconnected. Their informers (client-go's reflector) wait 30 s, with jitter of as much
    // again, between two attempts.
    output_of(plane.kubectl(&admin).args(["create", "namespace", "later"]));
    let mut account = plane.kubectl(&admin);
    output_of(account.args(["wait", "--for=create", "--timeout=120s", "--namespace=later", "serviceaccount/default"]));
}

#[test]
fn the_cluster_goes_back_to_a_copy() {
    let plane = start(options());
    let admin = plane.admin_kubeconfig();
    let create = |name: &str| output_of(plane.kubectl(&admin).args(["create", "namespace", name]));
    let exists = |name: &str| plane.kubectl(&admin).args(["get", "namespace", name]).output().unwrap().status.success();
    assert!(plane.restore_etcd().is_err(), "there is no copy");
    create("kept");
    plane.copy_etcd().unwrap();
    create("lost");
    // It can be repeated.
    for _ in 0..2 {
        plane.restore_etcd().unwrap();
        assert!(exists("kept") && !exists("lost"));
    }
}

#[test]
fn killing_the_process_that_used_the_library_leaves_nothing() {
    let mut user = Command::new(EXECUTABLE).arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut directory = String::new();
    BufReader::new(user.stdout.take().unwrap()).read_line(&mut directory).unwrap();
    let directory = PathBuf::from(directory.trim_end());
    assert_eq!(processes_of(&directory).len(), 4, "{:?}", processes_of(&directory));

    kill(user);
    assert_everything_ends(&directory);
    wait_until("the end of the directory", || !directory.exists());
}

#[test]
fn killing_the_supervisor_leaves_no_server_and_its_directory_can_be_used_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("instance");
    let supervisor = Command::new(EXECUTABLE)
        .args(["up", "--foreground", "--dir"])
        .arg(&directory)
        .stdout(Stdio::piped())
        .spawn()
        .map(|mut child| {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert!(line.starts_with("ready at https://127.0.0.1:"), "{line}");
            child
        })
        .unwrap();
    assert_eq!(processes_of(&directory).len(), 4);

    kill(supervisor);
    assert_everything_ends(&directory);
    assert!(matches!(ControlPlane::attach(&directory), Err(Error::NotRunning { .. })));

    let control_plane = |command: &str| {
        let mut process = Command::new(EXECUTABLE);
        process.arg(command).arg("--dir").arg(&directory);
        process
    };
    output_of(&mut control_plane("up"));
    assert!(output_of(&mut control_plane("up")).starts_with("already up at "));
    let attached = ControlPlane::attach(&directory).unwrap();
    output_of(attached.kubectl(&attached.admin_kubeconfig()).args(["get", "namespaces"]));
    output_of(&mut control_plane("down"));
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(!directory.exists());
}

#[test]
fn a_server_that_does_not_start_is_explained_and_cleared_away() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("instance");
    let mistaken = Options {
        directory: Some(directory.clone()),
        api_server_flags: vec!["--no-such-flag".to_owned()],
        ..options()
    };
    let message = ControlPlane::start(mistaken).unwrap_err().to_string();
    assert!(message.contains("kube-apiserver ended"), "{message}");
    assert!(message.contains("unknown flag: --no-such-flag"), "{message}");
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(!directory.exists());
}
