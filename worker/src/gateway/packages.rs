//! To the registries of packages: tunnels to the hosts of a list, and plain requests to those that are listed so. It keeps
//! no key and reads nothing of what is in a tunnel.

use std::convert::Infallible;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::{Body, empty};
use super::{Place, Refused, collect};

const CONNECT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_ANSWER_BYTES: usize = 8192;

/// Where a build may connect to: `registry.npmjs.org` (TLS, port 443), `host:port` (TLS), `http://host:port` (plain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Host>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Tunnel(String),
    Plain(String),
}

impl FromStr for Hosts {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let hosts = text.split(',').map(str::trim).filter(|host| !host.is_empty());
        Ok(Self(hosts.map(Host::of).collect()))
    }
}

impl Host {
    fn of(text: &str) -> Self {
        let text = text.trim_end_matches('/').to_ascii_lowercase();
        let host = |rest: &str, port| with_port(rest.split('/').next().unwrap_or_default(), port);
        if let Some(plain) = text.strip_prefix("http://") {
            Self::Plain(host(plain, 80))
        } else {
            Self::Tunnel(host(text.strip_prefix("https://").unwrap_or(&text), 443))
        }
    }
}

fn with_port(host: &str, usual: u16) -> String {
    if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:{usual}")
    }
}

impl Hosts {
    /// These, and the host of this address.
    #[must_use]
    pub fn and(mut self, address: Option<&str>) -> Self {
        self.0.extend(address.map(Host::of));
        self
    }
}

/// The registries.
#[derive(Debug)]
pub struct Packages {
    hosts: Hosts,
    proxy: Option<Uri>,
    client: reqwest::Client,
}

impl Packages {
    /// Those of the list, through the proxy that this machine needs, if it needs one.
    pub fn new(hosts: Hosts, proxy: Option<&str>, client: reqwest::Client) -> Self {
        Self { hosts, proxy: proxy.and_then(|proxy| proxy.parse().ok()), client }
    }

    pub(super) async fn pass(
        &self,
        request: Request<Incoming>,
        place: Place,
    ) -> Result<Response<Body>, Refused> {
        if request.method() == Method::CONNECT {
            return self.tunnel(request, place).await;
        }
        let host = request.uri().authority().map(|host| with_port(host.as_str(), 80)).unwrap_or_default();
        let allowed = request.uri().scheme_str() == Some("http")
            && self.allows(&Host::Plain(host.to_ascii_lowercase()));
        if !allowed || ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
            return Err(Refused::forbidden("it is no registry of packages (SANDBOX_REGISTRY_HOSTS)"));
        }
        self.plain(request).await
    }

    fn allows(&self, host: &Host) -> bool {
        self.hosts.0.contains(host)
    }

    /// It has the place of the connection that it was, to its end.
    async fn tunnel(&self, request: Request<Incoming>, place: Place) -> Result<Response<Body>, Refused> {
        let target =
            request.uri().authority().map(|target| target.as_str().to_ascii_lowercase()).unwrap_or_default();
        if !self.allows(&Host::Tunnel(target.clone())) {
            return Err(Refused::forbidden(format!(
                "{target} is no registry of packages (SANDBOX_REGISTRY_HOSTS)"
            )));
        }
        let connected = timeout(CONNECT, self.connect(&target)).await;
        let mut there = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| Refused::failed(format!("{target} could not be reached: {error}")))?;
        tokio::spawn(async move {
            if let Ok(here) = hyper::upgrade::on(request).await {
                copy_bidirectional(&mut TokioIo::new(here), &mut there).await.ok();
            }
            drop(place);
        });
        Ok(Response::new(empty()))
    }

    async fn connect(&self, target: &str) -> io::Result<TcpStream> {
        let Some(proxy) = self.proxy.as_ref().and_then(Uri::authority) else {
            return TcpStream::connect(target).await;
        };
        let mut stream = TcpStream::connect(with_port(proxy.host(), proxy.port_u16().unwrap_or(80))).await?;
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MAX_ANSWER_BYTES {
                return Err(io::Error::other("the proxy of this machine answers at length"));
            }
            answer.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        match line.split(' ').nth(1) {
            Some("200") => Ok(stream),
            _ => Err(io::Error::other(format!("the proxy of this machine says {line:?}"))),
        }
    }

    async fn plain(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let (parts, body) = request.into_parts();
        let body = collect(body, MAX_BODY_BYTES).await?;
        let sent_on = |name: &HeaderName| {
            *name != HOST && !name.as_str().starts_with("proxy-") && *name != hyper::header::CONNECTION
        };
        let headers = parts
            .headers
            .into_iter()
            .filter_map(|(name, value)| Some((name.filter(sent_on)?, value)))
            .collect();
        let asked = self.client.request(parts.method, parts.uri.to_string()).headers(headers).body(body);
        let answer = asked.send().await.map_err(|error| Refused::failed(error.without_url()))?;
        let (parts, body) = hyper::http::Response::<reqwest::Body>::from(answer).into_parts();
        let mut response = Response::new(http_body_util::BodyExt::boxed(body));
        *response.status_mut() = parts.status;
        let lengths = [hyper::header::TRANSFER_ENCODING, hyper::header::CONNECTION];
        response.headers_mut().extend(
            parts
                .headers
                .into_iter()
                .filter(|(name, _)| name.as_ref().is_none_or(|name| !lengths.contains(name))),
        );
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_allowed_and_only_as_it_is_listed() {
        let hosts: Hosts = "registry.npmjs.org, x.example:8443".parse().unwrap();
        let packages = Packages::new(
            hosts.and(Some("http://127.0.0.1:4873/npm/")),
            None,
            crate::gateway::client().unwrap(),
        );
        let tunnel = |host: &str| packages.allows(&Host::Tunnel(host.to_owned()));
        assert!(tunnel("registry.npmjs.org:443") && tunnel("x.example:8443"));
        assert!(packages.allows(&Host::Plain("127.0.0.1:4873".to_owned())));
        for bad in [
            "registry.npmjs.org:80",
            "x.example:443",
            "127.0.0.1:4873",
            "169.254.169.254:80",
            "evil.registry.npmjs.org:443",
            "",
        ] {
            assert!(!tunnel(bad), "{bad}");
        }
    }
}
