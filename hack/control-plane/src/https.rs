//! The few requests of the supervisor itself, as the administrator. It checks ten times a second whether its servers
//! are ready, and each kubectl would take a tenth of a second of CPU.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Error;
use crate::pki::Identity;

/// The time limit of an answer. The caller asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The holder of a client certificate.
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    /// `authority`: the server's certificate authority, in PEM.
    pub(crate) fn new(authority: &str, identity: &Identity) -> Result<Self, Error> {
        let reason = |reason: String| Error::Certificate { subject: "the supervisor".to_owned(), reason };
        let pem = |error: rustls::pki_types::pem::Error| reason(error.to_string());
        let tls = |error: rustls::Error| reason(error.to_string());
        let certificate = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).map_err(pem);
        let mut roots = RootCertStore::empty();
        roots.add(certificate(authority)?).map_err(tls)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(pem)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate(&identity.certificate)?], key)
            .map_err(tls)?;
        Ok(Self(Arc::new(config)))
    }

    /// Whether a request to this port of 127.0.0.1 succeeds.
    pub(crate) fn does(&self, port: u16, method: &str, path: &str) -> bool {
        self.status(port, method, path).is_ok_and(|status| (200..300).contains(&status))
    }

    fn status(&self, port: u16, method: &str, path: &str) -> io::Result<u16> {
        let address = Ipv4Addr::LOCALHOST;
        let stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::from(std::net::IpAddr::from(address));
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| io::Error::other(line))
    }
}
