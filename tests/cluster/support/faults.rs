//! A faulty network between the operator and the API server: a proxy that forwards everything unchanged, with the
//! operator's own credentials, and on demand answers badly, late, partially or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, header, request};
use futures::{Stream, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Random;

/// How often a fault may hit an open watch.
const TICK: Duration = Duration::from_millis(100);
/// The slowest answer: longer than the operator's shortest pauses, shorter than its time limit.
const SLOWEST_MS: u64 = 800;

/// Codes of denials with other meanings, too: an error of the API server, a missing object, a conflict.
pub const DENIALS: [u16; 3] = [500, 404, 409];

/// A fault of one request, or of an open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 429: the API server protects itself. Nothing is carried out.
    TooManyRequests,
    /// 500 or 503. Nothing is carried out.
    ServerError,
    /// 409 to a write. Nothing is carried out.
    Conflict,
    /// A webhook denies a change with this code. Nothing is carried out.
    Denied(u16),
    /// A slow etcd.
    Slow,
    /// A write is carried out only after the faults change, as with a slow webhook.
    Held,
    /// The request is carried out; the connection closes before the answer.
    LostAnswer,
    /// The connection of a watch closes, perhaps in the middle of an event.
    DroppedWatch,
    /// A watch sends 410 in an event: it cannot resume.
    ExpiredWatch,
}

impl Fault {
    /// All faults under which every request succeeds sooner or later.
    pub const ALL: [Fault; 7] = [
        Fault::TooManyRequests,
        Fault::ServerError,
        Fault::Conflict,
        Fault::Slow,
        Fault::LostAnswer,
        Fault::DroppedWatch,
        Fault::ExpiredWatch,
    ];

    /// Whether it can hit this request.
    fn fits(self, request: &request::Parts) -> bool {
        match self {
            Fault::Denied(_) => request.method == Method::PATCH,
            Fault::Conflict | Fault::Held => request.method != Method::GET,
            // These hit open watches.
            Fault::DroppedWatch | Fault::ExpiredWatch => false,
            Fault::LostAnswer => !is_watch(request),
            Fault::TooManyRequests | Fault::ServerError | Fault::Slow => true,
        }
    }
}

/// The rates of the faults.
#[derive(Clone, Default)]
pub struct Storm {
    rates: BTreeMap<Fault, f64>,
    spares_lease: bool,
    only: Option<&'static str>,
}

impl Storm {
    /// The share of requests that this hits; for watches the share of events, and of tenths of a second.
    pub fn with(mut self, fault: Fault, rate: f64) -> Self {
        self.rates.insert(fault, rate);
        self
    }

    /// Leaves leader election alone.
    pub fn sparing_the_lease(mut self) -> Self {
        self.spares_lease = true;
        self
    }

    /// Hits only requests with this in their path.
    pub fn only(mut self, path: &'static str) -> Self {
        self.only = Some(path);
        self
    }

    fn reaches(&self, request: &request::Parts) -> bool {
        let path = request.uri.path();
        !(self.spares_lease && path.contains("/leases")) && self.only.is_none_or(|only| path.contains(only))
    }
}

/// State shared by all connections.
struct Weather {
    storm: watch::Sender<Storm>,
    random: Mutex<Random>,
    hits: Mutex<BTreeMap<Fault, u64>>,
    refusing: watch::Sender<bool>,
}

impl Weather {
    /// Whether this fault hits this request now.
    fn strikes(&self, fault: Fault, request: &request::Parts) -> bool {
        let rate = {
            let storm = self.storm.borrow();
            if storm.reaches(request) { storm.rates.get(&fault).copied().unwrap_or_default() } else { 0.0 }
        };
        let strikes = rate > 0.0 && self.random.lock().unwrap().happens(rate);
        if strikes {
            *self.hits.lock().unwrap().entry(fault).or_default() += 1;
        }
        strikes
    }

    fn below(&self, n: u64) -> u64 {
        self.random.lock().unwrap().below(n)
    }
}

/// The proxy. It ends with the runtime of its cluster.
pub struct Faults {
    weather: Arc<Weather>,
    address: std::net::SocketAddr,
}

impl Faults {
    /// Starts to forward to the kubeconfig's API server, without its credentials.
    pub(super) async fn start(kubeconfig: &Path, seed: u64) -> Self {
        let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
        let known = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let mut config = kube::Config::new(known.cluster_url);
        config.root_cert = known.root_cert;
        config.default_retry = false;
        config.read_timeout = None;
        let api_server = kube::Client::try_from(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(Weather {
            storm: watch::Sender::default(),
            random: Mutex::new(Random::new(seed)),
            hits: Mutex::default(),
            refusing: watch::Sender::new(false),
        });
        tokio::spawn(accept(listener, weather.clone(), api_server));
        Self { weather, address }
    }

    /// Starts these faults.
    pub fn storm(&self, storm: Storm) {
        self.weather.storm.send_replace(storm);
        self.weather.refusing.send_replace(false);
        self.weather.hits.lock().unwrap().clear();
    }

    /// Stops all faults.
    pub fn calm(&self) {
        self.storm(Storm::default());
    }

    /// Stops serving: connections are closed, and no new ones are accepted.
    pub fn refuse(&self) {
        self.weather.refusing.send_replace(true);
    }

    /// How often a fault occurred since the storm began.
    pub fn hits(&self, fault: Fault) -> u64 {
        self.weather.hits.lock().unwrap().get(&fault).copied().unwrap_or_default()
    }

    /// How often any fault occurred since the storm began.
    pub fn all_hits(&self) -> u64 {
        self.weather.hits.lock().unwrap().values().sum()
    }

    /// The same kubeconfig, with the proxy in place of the API server.
    pub(super) fn redirect(&self, kubeconfig: &Path, scratch: &Path) -> PathBuf {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let mut value: Value = serde_yaml::from_str(&text).unwrap();
        for cluster in value["clusters"].as_array_mut().unwrap() {
            cluster["cluster"] = json!({"server": format!("http://{}", self.address)});
        }
        let redirected = scratch.join("through-the-storm.kubeconfig");
        std::fs::write(&redirected, serde_yaml::to_string(&value).unwrap()).unwrap();
        redirected
    }
}

async fn accept(listener: TcpListener, weather: Arc<Weather>, api_server: kube::Client) {
    while let Ok((socket, _)) = listener.accept().await {
        let (weather, api_server) = (weather.clone(), api_server.clone());
        let mut refusing = weather.refusing.subscribe();
        let answer = service_fn(move |request| answer(weather.clone(), api_server.clone(), request));
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
            tokio::select! {
                biased;
                _ = refusing.wait_for(|refusing| *refusing) => {}
                // Connections that are closed by a fault end with an error.
                _ = connection => {}
            }
        });
    }
}

/// Closes the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
struct Lost;

async fn answer(
    weather: Arc<Weather>,
    api_server: kube::Client,
    request: Request<Incoming>,
) -> Result<Response<Body>, Lost> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.map_err(|_| Lost)?;
    let strikes = |fault: Fault| fault.fits(&parts) && weather.strikes(fault, &parts);
    if strikes(Fault::Slow) {
        tokio::time::sleep(Duration::from_millis(weather.below(SLOWEST_MS))).await;
    }
    let mut change = weather.storm.subscribe();
    if strikes(Fault::Held) {
        change.changed().await.map_err(|_| Lost)?;
    }
    if strikes(Fault::TooManyRequests) {
        return Ok(failure(429, "TooManyRequests", "the server has received too many requests"));
    }
    if strikes(Fault::ServerError) {
        return Ok(match weather.below(3) {
            0 => failure(500, "InternalError", "etcdserver: request timed out"),
            1 => failure(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
            // As a load balancer answers: without a Status.
            _ => plain(503, "upstream connect error"),
        });
    }
    if strikes(Fault::Conflict) {
        let message = "Operation cannot be fulfilled: the object has been modified; please apply your changes to the \
                       latest version and try again";
        return Ok(failure(409, "Conflict", message));
    }
    for code in DENIALS {
        if strikes(Fault::Denied(code)) {
            return Ok(failure(code, "", "admission webhook \"somebodys.example\" denied the request: not today"));
        }
    }
    let lost = strikes(Fault::LostAnswer);
    let forwarded = forward(&parts, body);
    let response = api_server.send(forwarded).await.map_err(|_| Lost)?;
    if lost {
        return Err(Lost);
    }
    let (mut head, body) = response.into_parts();
    // These headers belong to the connection to the API server.
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    let body = Body::new(body);
    let body = if is_watch(&parts) { Body::from_stream(events(weather, parts, body)) } else { body };
    Ok(Response::from_parts(head, body))
}

/// The original request, including Authorization.
fn forward(parts: &request::Parts, body: Bytes) -> Request<kube::client::Body> {
    // The kube client adds the API server's address to the path.
    let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(parts.method.clone()).uri(uri);
    let of_the_connection = [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    for (name, value) in parts.headers.iter().filter(|(name, _)| !of_the_connection.contains(name)) {
        request = request.header(name, value);
    }
    request.body(kube::client::Body::from(body)).unwrap()
}

fn is_watch(request: &request::Parts) -> bool {
    request.uri.query().is_some_and(|query| query.split('&').any(|word| word == "watch=true" || word == "watch=1"))
}

/// The body of a watch, until a fault hits it.
fn events(weather: Arc<Weather>, request: request::Parts, body: Body) -> impl Stream<Item = Result<Bytes, Lost>> {
    struct Open {
        weather: Arc<Weather>,
        request: request::Parts,
        body: axum::body::BodyDataStream,
        /// The received part ends with a whole event.
        whole: bool,
        over: bool,
    }
    let open = Open { weather, request, body: body.into_data_stream(), whole: true, over: false };
    futures::stream::unfold(open, async |mut open| {
        if open.over {
            return None;
        }
        loop {
            let next = tokio::time::timeout(TICK, open.body.next()).await;
            let strikes = |fault| open.weather.strikes(fault, &open.request);
            if let Ok(None) = next {
                return None;
            }
            if open.whole && strikes(Fault::ExpiredWatch) {
                open.over = true;
                let status = status(410, "Expired", "too old resource version");
                return Some((Ok(Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status})))), open));
            }
            let dropped = strikes(Fault::DroppedWatch);
            match next {
                Ok(Some(Ok(bytes))) if dropped => {
                    // Half of it, so that the operator has the beginning of an event; then the end.
                    open.body =
                        Body::from_stream(futures::stream::once(async { Err::<Bytes, Lost>(Lost) })).into_data_stream();
                    return Some((Ok(bytes.slice(..bytes.len() / 2)), open));
                }
                Ok(Some(Ok(bytes))) => {
                    open.whole = bytes.last() == Some(&b'\n');
                    return Some((Ok(bytes), open));
                }
                Err(_) if !dropped => {}
                _ => {
                    open.over = true;
                    return Some((Err(Lost), open));
                }
            }
        }
    })
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
           "reason": reason, "code": code})
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Body> {
    let mut response = plain(code, &status(code, reason, message).to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    if code == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, "1".parse().unwrap());
    }
    response
}

fn plain(code: u16, text: &str) -> Response<Body> {
    Response::builder().status(code).body(Body::from(text.to_owned())).unwrap()
}
