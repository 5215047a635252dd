//! The command lines of the three servers: small and fast where tests cannot tell the difference, and Kubernetes'
//! defaults where they can. RBAC and ServiceAccount admission are as in any cluster.
//!
//! It must not start anything.

use std::path::Path;

use crate::layout::Layout;

/// The controllers that Bailiwick and its tests need. Without a kubelet the others would only cost time.
const CONTROLLERS: [&str; 7] = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
];

/// Admission plugins for nodes and storage, which do not exist here.
const DISABLED_ADMISSION: [&str; 5] = [
    "TaintNodesByCondition",
    "RuntimeClass",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
];

fn flag(name: &str, value: impl AsRef<Path>) -> String {
    format!("--{name}={}", value.as_ref().display())
}

fn flags<const N: usize>(pairs: [(&str, &str); N]) -> impl Iterator<Item = String> {
    pairs.map(|(name, value)| format!("--{name}={value}")).into_iter()
}

/// etcd on a unix socket, as in Kubernetes' own integration tests: there is no port to compete for, and no other user
/// can reach it. etcd refuses a socket as advertised URL, so that one is a dummy, and so is its peer URL.
pub(crate) fn etcd(layout: &Layout) -> Vec<String> {
    let mut arguments = vec![
        flag("data-dir", layout.etcd_data()),
        format!("--listen-client-urls=unix://{}", layout.etcd_socket().display()),
    ];
    arguments.extend(flags([
        ("advertise-client-urls", "http://127.0.0.111:0"),
        ("listen-peer-urls", "http://127.0.0.1:0"),
        ("log-level", "warn"),
        // The data lives no longer than the instance.
        ("unsafe-no-fsync", "true"),
    ]));
    arguments
}

/// kube-apiserver on `port` of 127.0.0.1. `extra` comes last, and the last of two equal flags wins.
pub(crate) fn api_server(layout: &Layout, port: u16, extra: &[String]) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers=unix://{}", layout.etcd_socket().display()),
        format!("--secure-port={port}"),
        format!("--disable-admission-plugins={}", DISABLED_ADMISSION.join(",")),
        flag("cert-dir", layout.pki("")),
        flag("tls-cert-file", layout.pki("apiserver.crt")),
        flag("tls-private-key-file", layout.pki("apiserver.key")),
        flag("client-ca-file", layout.pki("ca.crt")),
        flag("service-account-key-file", layout.pki("service-account.pub")),
        flag("service-account-signing-key-file", layout.pki("service-account.key")),
    ];
    arguments.extend(flags([
        ("bind-address", "127.0.0.1"),
        // By default the server needs the address of a network interface, which a machine may not have.
        ("advertise-address", "127.0.0.1"),
        ("endpoint-reconciler-type", "none"),
        // The supervisor holds the port too, so that nobody else takes it while the server is down: see port.rs.
        ("permit-port-sharing", "true"),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        // Tests send many requests at once, which must not be throttled.
        ("enable-priority-and-fairness", "false"),
        ("max-requests-inflight", "0"),
        ("max-mutating-requests-inflight", "0"),
        // Otherwise a stop waits a minute for watches, and the controller manager always has some.
        ("shutdown-watch-termination-grace-period", "2s"),
        ("profiling", "false"),
        ("event-ttl", "5m"),
    ]));
    // The API server refuses the combination of both.
    if !extra.iter().any(|argument| argument.starts_with("--authorization-config")) {
        arguments.push("--authorization-mode=RBAC".to_owned());
    }
    arguments.extend_from_slice(extra);
    arguments
}

/// kube-controller-manager, without a serving port.
pub(crate) fn controller_manager(layout: &Layout, kubeconfig: &Path) -> Vec<String> {
    let mut arguments = vec![
        flag("kubeconfig", kubeconfig),
        flag("authentication-kubeconfig", kubeconfig),
        flag("authorization-kubeconfig", kubeconfig),
        flag("service-account-private-key-file", layout.pki("service-account.key")),
        flag("root-ca-file", layout.pki("ca.crt")),
        format!("--controllers={}", CONTROLLERS.join(",")),
    ];
    arguments.extend(flags([
        ("secure-port", "0"),
        ("leader-elect", "false"),
        ("use-service-account-credentials", "true"),
        ("concurrent-namespace-syncs", "20"),
        ("profiling", "false"),
    ]));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_flags_come_last_and_replace_the_authorization_mode() {
        let layout = Layout::new(Path::new("/x"));
        let plain = api_server(&layout, 1, &[]);
        assert!(plain.contains(&"--authorization-mode=RBAC".to_owned()));
        let extra = ["--authorization-config=/y".to_owned()];
        let configured = api_server(&layout, 1, &extra);
        assert_eq!(configured.last(), extra.last());
        assert!(!configured.contains(&"--authorization-mode=RBAC".to_owned()));
    }

    #[test]
    fn service_account_admission_stays_on() {
        assert!(!DISABLED_ADMISSION.contains(&"ServiceAccount"));
    }
}
