//! A front before an endpoint: it passes calls on, answers them itself, or loses the answer of one that had its effect.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One call to AWS.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Call {
    /// The operation of a service that says it in a header (SQS, DynamoDB, Step Functions), such as `SendMessage`; the
    /// method for the others.
    pub fn operation(&self) -> &str {
        let target = self.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        target.map_or(self.method.as_str(), |target| target.rsplit('.').next().unwrap_or(target))
    }

    /// The operation with its service or table, as the bill has it.
    pub fn name(&self) -> String {
        let operation = self.operation();
        if self.path.starts_with("/v2/email") {
            return "SES SendEmail".to_owned();
        }
        match operation {
            "POST" if self.path == "/" => "STS GetCallerIdentity".to_owned(),
            "PUT" if self.header("x-amz-copy-source").is_some() => "S3 COPY".to_owned(),
            "GET" | "PUT" | "HEAD" | "DELETE" | "POST" => format!("S3 {operation}"),
            _ => match self.field("TableName") {
                Some(table) => format!("{operation} {}", table.split_once('-').map_or("", |(_, name)| name)),
                None => operation.to_owned(),
            },
        }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A field of a JSON body.
    pub fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It goes on to the endpoint.
    Pass,
    /// The front answers.
    Answer(u16, &'static str, String),
    /// It has its effect, and its answer is lost.
    LoseAnswer,
    /// The connection breaks before it has an effect.
    Break,
    /// It goes on to the endpoint, later.
    Delay(Duration),
}

impl Verdict {
    /// An error of a service that speaks JSON.
    pub fn json_error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"__type": format!("com.amazonaws#{code}"), "message": message});
        Self::Answer(status, "application/x-amz-json-1.0", body.to_string())
    }

    /// An error of S3.
    pub fn s3_error(status: u16, code: &str) -> Self {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self::Answer(status, "application/xml", body)
    }
}

/// Decides over every call; it may ask the endpoint itself.
pub type Judge = Arc<dyn Fn(Call, Upstream) -> Pin<Box<dyn Future<Output = Verdict> + Send>> + Send + Sync>;

/// A judge that needs to ask nobody.
pub fn judge(decide: impl Fn(&Call) -> Verdict + Send + Sync + 'static) -> Judge {
    Arc::new(move |call, _| {
        let verdict = decide(&call);
        Box::pin(async move { verdict })
    })
}

/// The endpoint behind a front.
#[derive(Clone)]
pub struct Upstream {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    /// Passes a call on.
    pub async fn ask(&self, call: Call) -> Result<Response<Bytes>, hyper_util::client::legacy::Error> {
        let uri: Uri = format!("{}{}", self.url, call.path).parse().unwrap();
        let mut request = Request::new(Full::new(call.body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
            (call.method, uri, call.headers);
        request.headers_mut().remove(HOST);
        request.headers_mut().remove(CONTENT_LENGTH);
        request.headers_mut().remove(TRANSFER_ENCODING);
        let (mut head, body) = self.client.request(request).await?.into_parts();
        let body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        head.headers.remove(TRANSFER_ENCODING);
        Ok(Response::from_parts(head, body))
    }
}

/// A running front; it ends when it is dropped.
pub struct Front {
    url: String,
    _task: JoinSet<()>,
}

impl Front {
    /// Before an endpoint.
    pub async fn before(url: &str, judge: Judge) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let upstream = Upstream { url: url.to_owned(), client };
        let mut task = JoinSet::new();
        task.spawn(serve(listener, upstream, judge));
        Self { url: format!("http://127.0.0.1:{port}"), _task: task }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(listener: TcpListener, upstream: Upstream, judge: Judge) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(talk(stream, upstream.clone(), Arc::clone(&judge)));
        while connections.try_join_next().is_some() {}
    }
}

async fn talk(stream: TcpStream, upstream: Upstream, judge: Judge) {
    let answer = service_fn(move |request| handle(request, upstream.clone(), Arc::clone(&judge)));
    // The other side hangs up when it likes.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// An error ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("on purpose")]
struct Broken;

async fn handle(
    request: Request<Incoming>,
    upstream: Upstream,
    judge: Judge,
) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let call = Call { method: head.method, path, headers: head.headers, body };
    let passed =
        |call| async { upstream.ask(call).await.map(|answer| answer.map(Full::new)).map_err(|_| Broken) };
    match judge(call.clone(), upstream.clone()).await {
        Verdict::Pass => passed(call).await,
        Verdict::Delay(by) => {
            tokio::time::sleep(by).await;
            passed(call).await
        }
        Verdict::LoseAnswer => passed(call).await.and(Err(Broken)),
        Verdict::Break => Err(Broken),
        Verdict::Answer(status, kind, text) => {
            Ok::<_, Infallible>(answer(status, kind, text)).map_err(|e| match e {})
        }
    }
}

fn answer(status: u16, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
