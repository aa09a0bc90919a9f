//! The way out of the sandbox. A child reaches the model or the registries of packages through this and nothing else; the
//! keys are added, or requests signed, here, outside. It is open while a child runs, on a socket in the child's folder or on a port of loopback.

mod asked;
#[cfg(feature = "aws")]
mod bedrock;
mod body;
mod model;
mod packages;
mod provider;
mod tap;
mod turns;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::meter::Meter;
use body::Body;
pub use model::{Model, NoModel};
pub use packages::{Hosts, Packages};
use turns::Turns;

const CONNECT: Duration = Duration::from_secs(10);
/// A model may think for so long before it says something.
const SILENCE: Duration = Duration::from_mins(5);

/// So many connections a run has at once. Whoever wants more waits.
const MAX_CONNECTIONS: usize = 128;
/// After a connection that could not be taken (no file is left).
const AFTER_TROUBLE: Duration = Duration::from_millis(100);

/// What is let through.
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    model: Option<Arc<Model>>,
    packages: Option<Arc<Packages>>,
    meter: Meter,
}

/// Which way is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// To the model, for agents.
    Model,
    /// To the registries of packages, for builds.
    Packages,
}

/// A way that is open until this is dropped.
#[derive(Debug)]
pub struct Opened {
    /// What is behind it, when it is the model.
    model: Option<Arc<Model>>,
    key: Arc<str>,
    port: Option<u16>,
    _listens: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum Passage {
    Model(Arc<Model>, Arc<str>, Meter, Turns),
    Packages(Arc<Packages>),
}

impl Gateway {
    /// Lets this through.
    pub fn new(model: Option<Model>, packages: Packages) -> Self {
        Self { model: model.map(Arc::new), packages: Some(Arc::new(packages)), meter: Meter::default() }
    }

    /// The same, with what the model answers counted by this meter, and nothing let through to it when a bound is met.
    #[must_use]
    pub fn metered(&self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self.clone() }
    }

    /// Lets nothing through.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Opens a way on a socket in a folder that is made for it, and not there yet. None when there is nothing to be let through.
    pub fn open_on_socket(&self, door: Door, folder: &Path, name: &str) -> io::Result<Option<Opened>> {
        let Some((passage, key)) = self.passage(door) else { return Ok(None) };
        std::fs::create_dir(folder)?;
        let listener = Arc::new(listen_in(folder, name)?);
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o666))?;
        let listens = tokio::spawn(take_all(passage, move || {
            let listener = Arc::clone(&listener);
            async move { Ok(listener.accept().await?.0) }
        }));
        Ok(Some(self.opened(door, key, None, listens)))
    }

    /// Opens a way on a free port of loopback.
    pub async fn open_on_loopback(&self, door: Door) -> io::Result<Option<Opened>> {
        let Some((passage, key)) = self.passage(door) else { return Ok(None) };
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await?);
        let port = Some(listener.local_addr()?.port());
        let listens = tokio::spawn(take_all(passage, move || {
            let listener = Arc::clone(&listener);
            async move { Ok(listener.accept().await?.0) }
        }));
        Ok(Some(self.opened(door, key, port, listens)))
    }

    fn opened(&self, door: Door, key: Arc<str>, port: Option<u16>, listens: JoinHandle<()>) -> Opened {
        let model = self.model.clone().filter(|_| door == Door::Model);
        Opened { model, key, port, _listens: AbortOnDropHandle::new(listens) }
    }

    /// Each opening has a key of its own: on loopback others could call.
    fn passage(&self, door: Door) -> Option<(Passage, Arc<str>)> {
        let key: Arc<str> = format!("hermes-{}", Uuid::new_v4().simple()).into();
        let passage = match door {
            Door::Model => {
                let model = self.model.clone()?;
                self.meter.sees_the_model();
                Passage::Model(model, Arc::clone(&key), self.meter.clone(), Turns::default())
            }
            Door::Packages => Passage::Packages(self.packages.clone()?),
        };
        Some((passage, key))
    }
}

/// What goes out, by the proxy and the certificates that this machine needs. Nobody is followed to another address.
pub fn client() -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE);
    builder.redirect(reqwest::redirect::Policy::none()).build()
}

/// A path of a socket has at most 108 bytes: the folder is named by its descriptor.
fn listen_in(folder: &Path, name: &str) -> io::Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    let opened = std::fs::File::open(folder)?;
    UnixListener::bind(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()))
}

impl Opened {
    /// Its port of loopback, if that is where it is heard.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What a child that hears it on this port is told.
    pub fn environment(&self, port: u16, no_proxy: Option<&str>) -> BTreeMap<String, String> {
        let address = format!("http://127.0.0.1:{port}");
        let all: Vec<(&str, String)> = match &self.model {
            Some(model) => {
                let direct =
                    ["127.0.0.1", "localhost"].into_iter().chain(no_proxy).collect::<Vec<_>>().join(",");
                let direct = [("NO_PROXY", direct.clone()), ("no_proxy", direct)];
                model.environment(address, &self.key).into_iter().chain(direct).collect()
            }
            None => ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
                .map(|name| (name, address.clone()))
                .to_vec(),
        };
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The place of a connection, for whatever comes of it.
type Place = Arc<OwnedSemaphorePermit>;

/// Serves whoever connects; one that cannot be taken is no reason to take no more.
async fn take_all<S, Taken>(passage: Passage, mut next: impl FnMut() -> Taken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    Taken: Future<Output = io::Result<S>>,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match next().await {
            Ok(stream) => serve(stream, passage.clone(), place),
            Err(error) => {
                tracing::warn!(%error, "the gateway could not take a connection");
                tokio::time::sleep(AFTER_TROUBLE).await;
            }
        }
    }
}

/// One connection, served until either side ends it.
fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    passage: Passage,
    place: OwnedSemaphorePermit,
) {
    let place = Arc::new(place);
    let answer = service_fn(move |request| {
        let (passage, place) = (passage.clone(), Arc::clone(&place));
        async move { Ok::<_, Infallible>(pass(passage, request, place).await) }
    });
    tokio::spawn(async move {
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
        // A child that hangs up in the middle has its reasons.
        connection.with_upgrades().await.ok();
    });
}

async fn pass(passage: Passage, request: Request<Incoming>, place: Place) -> Response<Body> {
    let (method, target) = (request.method().clone(), request.uri().to_string());
    let passed = match passage {
        Passage::Model(model, key, meter, turns) => model.pass(&key, &meter, &turns, request).await,
        Passage::Packages(packages) => packages.pass(request, place).await,
    };
    passed.unwrap_or_else(|refused| {
        let Refused { status, reason } = refused;
        tracing::warn!(%method, target = crate::text::plain_line(&target, 200), "the gateway refused: {reason}");
        let mut response = Response::new(body::full(format!("refused by the gateway of this sandbox: {reason}\n")));
        *response.status_mut() = status;
        response
    })
}

/// Something that is not let through.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    reason: String,
}

impl Refused {
    fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }

    fn failed(error: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, reason: error.to_string() }
    }
}

/// The whole body of a request, up to a size.
async fn collect(body: Incoming, max_bytes: usize) -> Result<bytes::Bytes, Refused> {
    let collected = http_body_util::Limited::new(body, max_bytes).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| Refused {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        reason: format!("the body could not be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::turns::MAX_AT_ONCE;
    use super::*;
    use crate::meter::Allowance;
    use common::domain::budget::{Limits, Usage};
    use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    /// A model that answers nobody, and how many ask it.
    async fn silent_model() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asking) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asking);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                held.push(stream);
            }
        });
        (format!("http://{address}"), asking)
    }

    #[tokio::test]
    async fn no_more_than_a_few_requests_of_a_run_are_at_the_model_at_once() {
        let (base, asking) = silent_model().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let model = Model::new(Some(&base), None, client.clone()).unwrap();
        let gateway = Gateway { model: Some(Arc::new(model)), ..Gateway::default() };
        let opened = gateway.open_on_loopback(Door::Model).await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/messages", opened.port.unwrap());
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..3 * MAX_AT_ONCE {
            let request = client.post(&url).header(CONTENT_TYPE, "application/json");
            let request = request.body(r#"{"max_tokens":1}"#);
            asked.spawn(request.header(AUTHORIZATION, format!("Bearer {}", opened.key)).send());
        }
        let full = async {
            while asking.load(Ordering::SeqCst) < MAX_AT_ONCE {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), full).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(300), asked.join_next()).await;
        assert!(more.is_err(), "nobody is answered, and nobody is refused: {more:?}");
        assert_eq!(asking.load(Ordering::SeqCst), MAX_AT_ONCE);
        asked.abort_all();
        let gone = async { while asked.join_next().await.is_some() {} };
        gone.await;
        let next = client.post(&url).header(AUTHORIZATION, format!("Bearer {}", opened.key)).body("{}");
        let asks = tokio::spawn(next.send());
        let heard = async {
            while asking.load(Ordering::SeqCst) == MAX_AT_ONCE {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("whoever hangs up makes room");
        asks.abort();
    }

    #[tokio::test]
    async fn what_an_agent_says_is_no_money_where_a_model_is_behind_the_gateway() {
        let (base, _) = silent_model().await;
        for model in [Some(Model::new(Some(&base), None, client().unwrap()).unwrap()), None] {
            let (is_seen, meter) = (model.is_some(), Meter::default());
            let gateway = Gateway { model: model.map(Arc::new), ..Gateway::default() }.metered(&meter);
            let _opened = gateway.open_on_loopback(Door::Model).await.unwrap();
            let said = r#"{"id":"m","model":"unheard-of","usage":{"output_tokens":4294967295}}"#;
            meter.count_turn(&serde_json::from_str(said).unwrap());
            assert_eq!((meter.usage().turns, meter.met().is_some()), (1, !is_seen));
        }
    }

    #[tokio::test]
    async fn requests_at_once_do_not_use_up_together_what_is_left_for_one() {
        let (base, asking) = silent_model().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let limits = Limits { max_cost_usd: Some(0.01), ..Limits::default() };
        let meter = Meter::new(Allowance::of(&limits, Usage::default(), 0.0, 0.0));
        let model = Model::new(Some(&base), None, client.clone()).unwrap();
        let gateway = Gateway { model: Some(Arc::new(model)), ..Gateway::default() }.metered(&meter);
        let opened = gateway.open_on_loopback(Door::Model).await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/messages", opened.port.unwrap());
        let words = "word ".repeat(12_000);
        let body = format!(r#"{{"model":"haiku","max_tokens":1,"system":"{words}"}}"#);
        let ask = || client.post(&url).header("x-api-key", &*opened.key).body(body.clone()).send();
        let first = tokio::spawn(ask());
        let heard = async |count| {
            while asking.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard(1)).await.unwrap();
        let mut others: tokio::task::JoinSet<_> = (1..MAX_AT_ONCE).map(|_| ask()).collect();
        let more = tokio::time::timeout(Duration::from_millis(300), heard(2)).await;
        assert!(more.is_err(), "{} at the model", asking.load(Ordering::SeqCst));
        first.abort();
        while let Some(answer) = others.join_next().await {
            assert_eq!(answer.unwrap().unwrap().status(), StatusCode::FORBIDDEN, "the bound is met now");
        }
        assert_eq!(asking.load(Ordering::SeqCst), 1);
    }

    /// A registry that says nothing, and how many are on the line to it.
    async fn silent_registry() -> (Packages, String, Arc<AtomicUsize>) {
        let (base, asking) = silent_model().await;
        let address = base.trim_start_matches("http://").to_owned();
        let packages = Packages::new(address.parse().unwrap(), None, client().unwrap());
        (packages, address, asking)
    }

    #[tokio::test]
    async fn a_tunnel_is_a_connection_as_any_other_for_as_long_as_it_lasts() {
        let (packages, address, asking) = silent_registry().await;
        let gateway = Gateway { packages: Some(Arc::new(packages)), ..Gateway::default() };
        let opened = gateway.open_on_loopback(Door::Packages).await.unwrap().unwrap();
        let mut lines = Vec::new();
        for _ in 0..MAX_CONNECTIONS + 20 {
            let mut line = TcpStream::connect(("127.0.0.1", opened.port.unwrap())).await.unwrap();
            line.write_all(format!("CONNECT {address} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
            lines.push(line);
        }
        let wait = async |count| {
            while asking.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait(MAX_CONNECTIONS)).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(300), wait(MAX_CONNECTIONS + 1)).await;
        assert!(more.is_err(), "{} tunnels at once", asking.load(Ordering::SeqCst));
        drop(lines.remove(0));
        let next = tokio::time::timeout(Duration::from_secs(20), wait(MAX_CONNECTIONS + 1)).await;
        next.expect("whoever hangs up makes room");
    }

    /// What a run used that asked this and hung up when the model had heard it.
    async fn cost_of_hanging_up(path: &str, body: &str) -> f64 {
        let (base, asking) = silent_model().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let model = Model::new(Some(&base), None, client.clone()).unwrap();
        let meter = Meter::default();
        let gateway = Gateway { model: Some(Arc::new(model)), ..Gateway::default() }.metered(&meter);
        let opened = gateway.open_on_loopback(Door::Model).await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}{path}", opened.port.unwrap());
        let request = client.post(&url).header("x-api-key", &*opened.key).body(body.to_owned());
        let asks = tokio::spawn(request.send());
        let gone = async {
            while asking.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            asks.abort();
            let mut waited = 0;
            while meter.usage().cost_usd <= 0.0 && waited < 20 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                waited += 1;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
        meter.usage().cost_usd
    }

    #[tokio::test]
    async fn whoever_hangs_up_before_the_answer_has_asked_all_the_same() {
        let body = format!(r#"{{"model":"claude-sonnet-4-5","system":"{}"}}"#, "word ".repeat(60_000));
        let cost = cost_of_hanging_up("/v1/messages", &body).await;
        assert!((0.29..0.31).contains(&cost), "100,000 tokens went in: {cost}");
        let counted = cost_of_hanging_up("/v1/messages/count_tokens", &body).await;
        assert!(counted.abs() < 1e-9, "counting tokens is free: {counted}");
    }

    /// What a run used whose provider hangs up, or waits longer than anybody would.
    async fn cost_of_no_answer(hangs_up: bool) -> f64 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let provider = async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                held.extend((!hangs_up).then_some(stream));
            }
        };
        let provider = tokio::spawn(provider);
        let impatient = reqwest::Client::builder().no_proxy().read_timeout(Duration::from_millis(300));
        let model = Model::new(Some(&base), None, impatient.build().unwrap()).unwrap();
        let meter = Meter::default();
        let gateway = Gateway { model: Some(Arc::new(model)), ..Gateway::default() }.metered(&meter);
        let opened = gateway.open_on_loopback(Door::Model).await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/messages", opened.port.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client.post(&url).header("x-api-key", &*opened.key).body(r#"{"model":"m"}"#);
        assert_eq!(asked.send().await.unwrap().status(), StatusCode::BAD_GATEWAY);
        provider.abort();
        meter.usage().cost_usd
    }

    #[tokio::test]
    async fn a_provider_that_hangs_up_is_not_paid_and_one_that_only_takes_long_is() {
        assert!(cost_of_no_answer(true).await.abs() < 1e-9);
        assert!(cost_of_no_answer(false).await > 0.0);
    }

    #[tokio::test]
    async fn what_the_provider_refuses_costs_nothing() {
        for status in ["400 Bad Request", "529 Overloaded"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4096];
                assert!(stream.read(&mut asked).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let model = Model::new(Some(&base), None, client.clone()).unwrap();
            let meter = Meter::default();
            let gateway = Gateway { model: Some(Arc::new(model)), ..Gateway::default() }.metered(&meter);
            let opened = gateway.open_on_loopback(Door::Model).await.unwrap().unwrap();
            let url = format!("http://127.0.0.1:{}/v1/messages", opened.port.unwrap());
            let asked = client.post(&url).header("x-api-key", &*opened.key).body(r#"{"model":"m"}"#);
            let answer = asked.send().await.unwrap();
            assert!(status.starts_with(answer.status().as_str()), "{answer:?}");
            answer.bytes().await.unwrap();
            assert!(meter.usage().cost_usd.abs() < 1e-9, "{status}");
        }
    }
}
