//! Kubeconfig files. Everything is embedded, so that copies work anywhere on the machine.
//!
//! They are written as JSON, which is YAML.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::files::write_private;
use crate::layout::Layout;
use crate::pki::{Identity, Subject};

/// How the holder of a kubeconfig authenticates.
pub(crate) enum Credential<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
}

/// Writes the kubeconfig `name`, and returns its path.
pub(crate) fn write(
    layout: &Layout,
    name: &str,
    server: &str,
    authority: &str,
    credential: &Credential<'_>,
) -> Result<PathBuf, Error> {
    let path = layout.kubeconfig(name);
    write_private(&path, &render(server, authority, credential).to_string())?;
    Ok(path)
}

fn render(server: &str, authority: &str, credential: &Credential<'_>) -> Value {
    let user = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "control-plane",
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(authority) },
        }],
        "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "control-plane", "context": { "cluster": "control-plane", "user": "user" } }],
        "current-context": "control-plane",
    })
}

/// A file name for a user with these groups: readable, and different for each user and set of groups.
pub(crate) fn user_file_name(subject: &Subject<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [subject.user].iter().chain(subject.groups) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("user-{}-{hash}", readable(subject.user))
}

/// A file name for a token with this name.
pub(crate) fn token_file_name(name: &str) -> String {
    user_file_name(&Subject { user: name, groups: &[] }).replacen("user-", "token-", 1)
}

/// `name` with unusual characters replaced, and short enough for a file system.
fn readable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '-' };
    name.chars().take(80).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_cannot_leave_the_directory_or_collide() {
        let name = |user, groups| user_file_name(&Subject { user, groups });
        assert!(name("../../etc/passwd", &[]).starts_with("user-..-..-etc-passwd-"));
        assert_ne!(name("a:b", &[]), name("a-b", &[]));
        assert_ne!(name("a", &["b"]), name("a", &["b", ""]));
        assert_eq!(name("a", &["b"]), name("a", &["b"]));
    }

    #[test]
    fn a_token_is_written_as_it_is() {
        let value = render("https://127.0.0.1:1", "ca", &Credential::Token("t"));
        assert_eq!(value["users"][0]["user"], json!({ "token": "t" }));
        assert_eq!(value["clusters"][0]["cluster"]["certificate-authority-data"], "Y2E=");
    }
}
