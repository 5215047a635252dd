//! Clients for very many watches. kube's own client speaks HTTP/1.1, so each watch takes a connection: 45 KiB here, and as
//! much at the API server. With HTTP/2, hundreds of watches share one.

use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceBuilder};

use super::watch;

/// How many namespaces share a connection. Their watches must not be more than the requests that an API server answers
/// at once on one (`--http2-max-streams-per-connection`, 250 by default), because others would wait.
const NAMESPACES: usize = 16;
/// How often a silent connection is tested, and how long the answer may take.
const TEST: Duration = Duration::from_secs(10);

/// Clients, each for the watches of some namespaces.
pub(super) struct Clients {
    config: Config,
    /// Each with the number of its namespaces.
    clients: Vec<(Client, usize)>,
}

impl Clients {
    pub fn new(config: Config) -> Self {
        Self { config, clients: Vec::new() }
    }

    /// A client for the watches of one more namespace, and its number.
    ///
    /// # Errors
    /// When the configuration has credentials that cannot be used.
    pub fn take(&mut self) -> kube::Result<(usize, Client)> {
        let number = match self.clients.iter().position(|(_, namespaces)| *namespaces < NAMESPACES) {
            Some(number) => number,
            None => {
                self.clients.push((client(&self.config)?, 0));
                self.clients.len() - 1
            }
        };
        self.clients[number].1 += 1;
        Ok((number, self.clients[number].0.clone()))
    }

    /// A namespace has no watches any more.
    pub fn give_back(&mut self, number: usize) {
        self.clients[number].1 -= 1;
    }
}

fn client(config: &Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_connect_timeout(config.connect_timeout);
    let mut https = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    let name = config.tls_server_name.clone().and_then(|name| name.try_into().ok());
    if let Some(name) = name {
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(TEST)
        .http2_keep_alive_timeout(TEST)
        .build(https.enable_http2().wrap_connector(connector));
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(watch::consistent))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(Client::new(service, config.default_namespace.clone()))
}
