//! The examples for Argo CD, Flux and Kustomize, as far as they can be tested without these tools: health checks with
//! Argo CD's interpreter, overlays with kubectl, our objects with `render`, and in the tools' own kinds the fields that
//! affect access. For a real API server see `tests/cluster/gitops.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bailiwick::api::crds;
use rstest::rstest;
use serde::Deserialize as _;
use serde_json::{Value, json};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text).map(|d| Value::deserialize(d).expect("it is YAML"));
    documents.filter(|value| !value.is_null()).collect()
}

/// Every YAML file of a folder and its subfolders.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![repository().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn objects(folder: &str) -> Vec<Value> {
    files(folder).iter().flat_map(|path| yaml(&std::fs::read_to_string(path).unwrap())).collect()
}

/// The objects of one kind, by name.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let found = objects.iter().filter(|o| o["kind"] == kind);
    found.map(|o| (o["metadata"]["name"].as_str().unwrap(), o)).collect()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|s| s.as_str().unwrap()).collect()
}

/// Renders our objects, for a site with the quickstart's whitelist.
fn render(manifests: &[Value]) -> (Vec<Value>, String) {
    let text: String = manifests.iter().map(|o| format!("---\n{}", serde_yaml::to_string(o).unwrap())).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["render", "-f", "-", "--values", "examples/quickstart/chart/values.yaml"])
        .current_dir(repository())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warnings}");
    (yaml(&String::from_utf8(output.stdout).unwrap()), warnings)
}

fn quickstart() -> Vec<Value> {
    let entries = std::fs::read_dir(repository().join("examples/quickstart")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.flat_map(|path| yaml(&std::fs::read_to_string(path).unwrap())).collect()
}

/// The holders of one of our roles in a namespace, and its rights: `verb resource.group`.
fn role_of(native: &[Value], namespace: &str, source: &str) -> BTreeSet<String> {
    let of = |o: &&Value| {
        o["kind"] == "Role"
            && o["metadata"]["namespace"] == namespace
            && o["metadata"]["annotations"]["bailiwick.dev/source"] == source
    };
    let rules = native.iter().filter(of).flat_map(|role| role["rules"].as_array().unwrap());
    rules
        .flat_map(|rule| {
            let names = strings(&rule["resourceNames"]).join(",");
            let each = |verb: &str| {
                let of = |group: &str| {
                    let one = |resource: &str| format!("{verb} {resource}.{group} {names}").trim_end().to_owned();
                    strings(&rule["resources"]).into_iter().map(one).collect::<Vec<_>>()
                };
                strings(&rule["apiGroups"]).into_iter().flat_map(of).collect::<Vec<_>>()
            };
            strings(&rule["verbs"]).into_iter().flat_map(each).collect::<Vec<_>>()
        })
        .collect()
}

/// An organization's repository may only write its access, and assign its own roles.
fn is_a_deployer(rights: &BTreeSet<String>) {
    let kinds = ["groups", "rolebindings", "customroles"];
    let verbs = ["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"];
    let mut expected: BTreeSet<String> =
        kinds.iter().flat_map(|kind| verbs.map(|verb| format!("{verb} {kind}.bailiwick.dev"))).collect();
    expected.insert("bind groups.bailiwick.dev".to_owned());
    expected.insert("bind customroles.bailiwick.dev".to_owned());
    expected.insert("bind siteroles.bailiwick.dev organization-member".to_owned());
    assert_eq!(*rights, expected);
}

// --- Argo CD ---

const CUSTOMIZATIONS: &str = "examples/argocd/resource_customizations";

#[test]
fn health_checks_pass_their_cases_in_argo_cds_closed_sandbox() {
    let mut folders = vec![repository().join(CUSTOMIZATIONS).join("argoproj.io/Application")];
    for crd in crds::all() {
        folders.push(repository().join(CUSTOMIZATIONS).join("bailiwick.dev").join(crd.spec.names.kind));
    }
    let go = Command::new("go")
        .args(["run", "-mod=readonly", "-buildvcs=false", "."])
        .args(&folders)
        .current_dir(repository().join("hack/argocd-lua"))
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .output();
    let output: Output = match go {
        Ok(output) => output,
        // A machine with prebuilt servers may lack Go.
        Err(error) if std::env::var_os("KUBEBUILDER_ASSETS").is_some_and(|value| !value.is_empty()) => {
            let _ = writeln!(std::io::stderr(), "skipped: the health checks of Argo CD need go, to run Lua ({error})");
            return;
        }
        Err(error) => panic!("the health checks of Argo CD need go, to run Lua as Argo CD does: {error}"),
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    for folder in &folders {
        assert!(out.contains(&format!("ok {}/", folder.display())), "no case of {}: {out}", folder.display());
    }
}

/// A case for each answer, with valid objects.
#[test]
fn every_kind_has_a_case_for_every_health() {
    for crd in crds::all() {
        let kind = crd.spec.names.kind.as_str();
        let folder = format!("{CUSTOMIZATIONS}/bailiwick.dev/{kind}");
        let text = std::fs::read_to_string(repository().join(&folder).join("health_test.yaml")).unwrap();
        let cases = yaml(&text).remove(0);
        let mut named = BTreeSet::new();
        let mut found = BTreeSet::new();
        for case in cases["tests"].as_array().unwrap() {
            found.insert(case["healthStatus"]["status"].as_str().unwrap().to_owned());
            named.insert(repository().join(&folder).join(case["inputPath"].as_str().unwrap()));
        }
        let expected = BTreeSet::from(["Healthy", "Progressing", "Degraded"].map(str::to_owned));
        assert_eq!(found, expected, "{kind}");
        let there: BTreeSet<PathBuf> = files(&format!("{folder}/testdata")).into_iter().collect();
        assert_eq!(named, there, "a case for each object of {kind}, and an object for each case");
        for path in there {
            let object = yaml(&std::fs::read_to_string(&path).unwrap()).remove(0);
            assert_eq!(object["kind"], kind, "{}", path.display());
            render(&[object]);
        }
    }
}

/// One suspended person must not make the Application of the whole site `Suspended`, which an app-of-apps waits for.
#[test]
fn a_user_who_is_suspended_by_the_manifest_is_healthy_and_the_message_says_so() {
    let folder = format!("{CUSTOMIZATIONS}/bailiwick.dev/User");
    let read = |file: &str| yaml(&std::fs::read_to_string(repository().join(&folder).join(file)).unwrap()).remove(0);
    let cases = read("health_test.yaml");
    let of_suspended = |case: &&Value| {
        let user = read(case["inputPath"].as_str().unwrap());
        user["spec"]["suspended"] == true && user["status"]["state"] == "Suspended"
    };
    let cases: Vec<&Value> = cases["tests"].as_array().unwrap().iter().filter(of_suspended).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let health = json!({"status": "Healthy", "message": "The user is suspended and holds nothing."});
        assert_eq!(case["healthStatus"], health);
    }
}

#[test]
fn a_projects_account_and_lists_bound_what_an_organization_can_sync() {
    let all = objects("examples/argocd/apps");
    let (projects, sets) = (of_kind(&all, "AppProject"), of_kind(&all, "ApplicationSet"));
    assert_eq!(projects.keys().collect::<Vec<_>>(), [&"data-science", &"platform"]);
    assert!(projects.keys().eq(sets.keys()));
    for (name, project) in projects {
        let spec = &project["spec"];
        let server = "https://kubernetes.default.svc";
        assert_eq!(spec["destinations"], json!([{"server": server, "namespace": name}]));
        let account = json!([{"server": server, "namespace": name, "defaultServiceAccount": "argocd-deployer"}]);
        assert_eq!(spec["destinationServiceAccounts"], account);
        let kinds = ["Group", "RoleBinding", "CustomRole"].map(|kind| json!({"group": "bailiwick.dev", "kind": kind}));
        assert_eq!(spec["namespaceResourceWhitelist"], Value::from(kinds.to_vec()));
        assert!(spec["clusterResourceWhitelist"].is_null(), "nothing that is cluster-scoped");

        let template = &sets[name]["spec"]["template"]["spec"];
        assert_eq!(template["project"], name, "written out, not from the repository");
        assert_eq!(template["destination"], json!({"server": server, "namespace": name}));
        assert_eq!(spec["sourceRepos"], json!([template["source"]["repoURL"]]));
        assert_eq!(sets[name]["spec"]["generators"][0]["git"]["repoURL"], template["source"]["repoURL"]);
        let accounts = all.iter().filter(|o| o["kind"] == "ServiceAccount" && o["metadata"]["namespace"] == name);
        assert_eq!(accounts.map(|o| &o["metadata"]["name"]).collect::<Vec<_>>(), ["argocd-deployer"]);
    }
}

#[test]
fn every_application_is_in_a_project_that_allows_it_and_applies_on_the_server() {
    let all = objects("examples/argocd");
    let projects = of_kind(&all, "AppProject");
    let sets = of_kind(&all, "ApplicationSet");
    let cases = |o: &&Value| o["metadata"]["name"] != "bailiwick" || o["spec"]["source"].is_object();
    let single = all.iter().filter(|o| o["kind"] == "Application").filter(cases);
    let specs = single.map(|o| &o["spec"]).chain(sets.values().map(|set| &set["spec"]["template"]["spec"]));
    let mut count = 0;
    for spec in specs {
        count += 1;
        let project = projects[spec["project"].as_str().unwrap()];
        assert!(
            strings(&project["spec"]["sourceRepos"]).contains(&spec["source"]["repoURL"].as_str().unwrap()),
            "{spec}"
        );
        let here = &spec["destination"]["namespace"];
        let matches = |entry: &Value| entry["namespace"] == "*" || entry["namespace"] == *here;
        for list in ["destinations", "destinationServiceAccounts"] {
            assert!(project["spec"][list].as_array().unwrap().iter().any(matches), "{list} for {spec}");
        }
        let policy = &spec["syncPolicy"];
        assert!(strings(&policy["syncOptions"]).contains(&"ServerSideApply=true"), "{spec}");
        assert_eq!(policy["retry"]["refresh"], true, "{spec}");
    }
    assert_eq!(count, 5);
    // Waves order Applications only: a `Degraded` object would stop all later waves.
    for object in &all {
        let wave = &object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
        let ours = object["apiVersion"] == "bailiwick.dev/v1alpha1";
        assert!(!ours || wave.is_null(), "{object}");
    }
}

/// Argo CD applies the chart's manifests again and again, and cannot look up existing namespaces.
#[test]
fn argo_cd_leaves_the_pod_security_level_of_a_namespace_that_exists() {
    let all = objects("examples/argocd/apps");
    let spec = &of_kind(&all, "Application")["bailiwick"]["spec"];
    let pointer = "/metadata/labels/pod-security.kubernetes.io~1enforce";
    assert_eq!(spec["ignoreDifferences"], json!([{"group": "", "kind": "Namespace", "jsonPointers": [pointer]}]));
    assert!(strings(&spec["syncPolicy"]["syncOptions"]).contains(&"RespectIgnoreDifferences=true"));
}

#[test]
fn an_organizations_account_in_argo_cd_may_write_its_access_and_nothing_else() {
    let mut manifests = quickstart();
    manifests.extend(objects("examples/argocd/site"));
    manifests.extend(objects("examples/argocd/data-science"));
    let (native, warnings) = render(&manifests);
    assert!(!warnings.contains("deployer") && !warnings.contains("on-call"), "{warnings}");
    for namespace in ["data-science", "platform"] {
        is_a_deployer(&role_of(&native, namespace, "SiteRole/organization-deployer"));
    }
    assert!(role_of(&native, "sandbox", "SiteRole/organization-deployer").is_empty());
}

// --- Flux ---

#[test]
fn flux_applies_an_organizations_repository_as_the_organizations_account() {
    let all = objects("examples/flux");
    let versions: BTreeMap<&str, &str> =
        all.iter().map(|o| (o["kind"].as_str().unwrap(), o["apiVersion"].as_str().unwrap())).collect();
    for (kind, version) in [
        ("GitRepository", "source.toolkit.fluxcd.io/v1"),
        ("OCIRepository", "source.toolkit.fluxcd.io/v1"),
        ("HelmRelease", "helm.toolkit.fluxcd.io/v2"),
        ("Kustomization", "kustomize.toolkit.fluxcd.io/v1"),
    ] {
        assert_eq!(versions[kind], version);
    }
    let kustomizations = of_kind(&all, "Kustomization");
    for name in ["site", "tenants"] {
        assert_eq!(kustomizations[name]["spec"]["dependsOn"], json!([{"name": "bailiwick"}]), "the CRDs first");
    }
    let team = kustomizations["access"];
    assert_eq!(team["metadata"]["namespace"], "data-science");
    assert_eq!(team["spec"]["targetNamespace"], "data-science");
    assert_eq!(team["spec"]["serviceAccountName"], "flux-deployer");
    for kustomization in kustomizations.values() {
        let source = &kustomization["spec"]["sourceRef"];
        assert!(source["namespace"].is_null(), "of its own namespace: {kustomization}");
        let name = source["name"].as_str().unwrap();
        let there = of_kind(&all, "GitRepository");
        let place = &kustomization["metadata"]["namespace"];
        // `flux bootstrap` creates flux-system.
        assert!(name == "flux-system" || there[name]["metadata"]["namespace"] == *place, "{kustomization}");
    }
    let release = of_kind(&all, "HelmRelease")["bailiwick"];
    assert_eq!(release["spec"]["upgrade"]["crds"], "CreateReplace");
    let source = of_kind(&all, "OCIRepository")[release["spec"]["chartRef"]["name"].as_str().unwrap()];
    assert_eq!(source["metadata"]["namespace"], release["metadata"]["namespace"]);

    let mut manifests = quickstart();
    manifests.extend(all);
    let (native, warnings) = render(&manifests);
    let warned = warnings.lines().filter(|line| line.starts_with("warning:"));
    assert_eq!(warned.filter(|line| line.contains("deployer")).collect::<Vec<_>>(), [""; 0]);
    is_a_deployer(&role_of(&native, "data-science", "CustomRole/data-science/flux-deployer"));
}

/// Both deploy the same chart with the same values, which the chart's schema accepts, as `render` checks.
#[test]
fn the_charts_values_are_those_of_the_quickstart() {
    let text = std::fs::read_to_string(repository().join("examples/quickstart/chart/values.yaml")).unwrap();
    let values = yaml(&text).remove(0);
    let flux = objects("examples/flux");
    assert_eq!(of_kind(&flux, "HelmRelease")["bailiwick"]["spec"]["values"], values);
    let argo = objects("examples/argocd/apps");
    assert_eq!(of_kind(&argo, "Application")["bailiwick"]["spec"]["source"]["helm"]["valuesObject"], values);
    let chart = yaml(&std::fs::read_to_string(repository().join("charts/bailiwick/Chart.yaml")).unwrap()).remove(0);
    assert_eq!(of_kind(&argo, "Application")["bailiwick"]["spec"]["source"]["targetRevision"], chart["version"]);
    assert_eq!(of_kind(&flux, "OCIRepository")["bailiwick"]["spec"]["ref"]["tag"], chart["version"]);
}

// --- Kustomize ---

#[rstest]
#[case::staging("staging", &["Group/data-scientists"], true)]
#[case::production("production", &["User/ada@example.com"], false)]
fn an_overlay_builds_and_renders(#[case] overlay: &str, #[case] leads: &[&str], #[case] may_exec: bool) {
    let tools = control_plane::Tools::locate().expect("kubectl is there or can be built");
    let built = Command::new(tools.kubectl())
        .args(["kustomize", &format!("examples/kustomize/overlays/{overlay}")])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let objects = yaml(&String::from_utf8(built.stdout).unwrap());
    assert_eq!(objects.len(), 6);
    assert!(objects.iter().all(|o| o["metadata"]["labels"]["example.com/stage"] == overlay));
    let subjects = of_kind(&objects, "RoleBinding")["team-leads"]["spec"]["subjects"].as_array().unwrap();
    let named = |s: &Value| format!("{}/{}", s["kind"].as_str().unwrap(), s["name"].as_str().unwrap());
    assert_eq!(subjects.iter().map(named).collect::<Vec<_>>(), leads);

    let (native, warnings) = render(&objects);
    assert_eq!(warnings, "");
    let rights = role_of(&native, "data-science", "CustomRole/data-science/team-lead");
    assert_eq!(rights.contains("create pods/exec."), may_exec, "{rights:?}");
}
