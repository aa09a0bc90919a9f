//! Whose model it is: which requests go on, to where, and with what in place of the child's key.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use url::Url;

use super::Refused;
#[cfg(feature = "aws")]
use super::bedrock::Bedrock;
use super::model::NoModel;
use crate::secrets::Secret;

/// Where the Messages API is, unless told otherwise.
const USUAL: &str = "https://api.anthropic.com";
const ROUTES: [&str; 2] = ["/v1/messages", COUNTS];
/// Nothing is paid for this.
const COUNTS: &str = "/v1/messages/count_tokens";
/// Sent on; everything else a child says of itself is not.
const SENT_ON: [&str; 6] = [
    "accept",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "content-type",
    "user-agent",
];

/// A way to have a model answer.
#[derive(Debug)]
pub(super) enum Provider {
    /// The Messages API, with its key.
    Messages(Messages),
    /// Amazon Bedrock, signed for.
    #[cfg(feature = "aws")]
    Bedrock(Bedrock),
}

/// The Messages API.
#[derive(Debug)]
pub(super) struct Messages {
    base: Url,
    key: Option<HeaderValue>,
}

impl Provider {
    pub(super) fn messages(base: Option<&str>, key: Option<&Secret>) -> Result<Self, NoModel> {
        let base = address("ANTHROPIC_BASE_URL", base.unwrap_or(USUAL))?;
        let header = |key: &Secret| {
            let mut value = HeaderValue::from_str(key.expose()).map_err(|_| NoModel::Key)?;
            value.set_sensitive(true);
            Ok::<_, NoModel>(value)
        };
        Ok(Self::Messages(Messages { base, key: key.map(header).transpose()? }))
    }

    #[cfg(feature = "aws")]
    pub(super) fn bedrock(
        base: Option<&str>,
        signer: common::cloud::aws::bedrock::Signer,
    ) -> Result<Self, NoModel> {
        Ok(Self::Bedrock(Bedrock::new(base, signer)?))
    }

    /// Where a request goes, if it goes anywhere.
    pub(super) fn target(&self, method: &Method, asked: &Uri) -> Option<Url> {
        if method != Method::POST {
            return None;
        }
        match self {
            Self::Messages(messages) => messages.target(asked),
            #[cfg(feature = "aws")]
            Self::Bedrock(bedrock) => bedrock.target(asked),
        }
    }

    /// Whose price a request to there has, that names this model; none when it is free.
    pub(super) fn paid(&self, target: &Url, named: String) -> Option<String> {
        match self {
            Self::Messages(_) => (!target.path().ends_with(COUNTS)).then_some(named),
            // What a body says there counts for nothing.
            #[cfg(feature = "aws")]
            Self::Bedrock(_) => Some(target.path().to_owned()),
        }
    }

    /// The headers of a request to there.
    #[cfg_attr(
        not(feature = "aws"),
        allow(
            clippy::unused_async,
            unused_variables,
            reason = "a signature takes time, and covers all of it"
        )
    )]
    pub(super) async fn headers(
        &self,
        target: &Url,
        of_child: &HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, Refused> {
        match self {
            Self::Messages(messages) => Ok(messages.headers(of_child)),
            #[cfg(feature = "aws")]
            Self::Bedrock(bedrock) => bedrock.headers(target, of_child, body).await,
        }
    }

    /// What a child is told.
    pub(super) fn environment(&self, address: String, key: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Messages(_) => {
                vec![("ANTHROPIC_BASE_URL", address), ("ANTHROPIC_API_KEY", key.to_owned())]
            }
            #[cfg(feature = "aws")]
            Self::Bedrock(bedrock) => bedrock.environment(address, key),
        }
    }
}

impl Messages {
    fn target(&self, asked: &Uri) -> Option<Url> {
        let path = Some(asked.path()).filter(|path| ROUTES.contains(path))?;
        let mut target = below(&self.base, path);
        target.set_query(asked.query());
        Some(target)
    }

    fn headers(&self, of_child: &HeaderMap) -> HeaderMap {
        let sent_on =
            |name: &HeaderName| SENT_ON.contains(&name.as_str()) || name.as_str().starts_with("x-stainless-");
        let mut headers = picked(of_child, sent_on);
        if let Some(key) = &self.key {
            headers.insert("x-api-key", key.clone());
        }
        headers
    }
}

/// The address that a setting gives.
pub(super) fn address(setting: &'static str, text: &str) -> Result<Url, NoModel> {
    let wrong = || NoModel::Address(setting, text.to_owned());
    let base = Url::parse(text.trim_end_matches('/')).map_err(|_| wrong())?;
    if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
        return Err(wrong());
    }
    Ok(base)
}

pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut target = base.clone();
    target.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    target
}

pub(super) fn picked(headers: &HeaderMap, is_sent_on: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let all = headers.iter().filter(|(name, _)| is_sent_on(name));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused() {
        assert!(Provider::messages(Some("ftp://x"), None).is_err());
        assert!(Provider::messages(Some("nonsense"), None).is_err());
    }

    #[test]
    fn two_routes_lead_on() {
        let target = |base: Option<&str>, method: Method, path: &'static str| {
            let provider = Provider::messages(base, None).unwrap();
            provider.target(&method, &Uri::from_static(path)).map(String::from)
        };
        let usual = target(None, Method::POST, "/v1/messages?beta=true");
        assert_eq!(usual.as_deref(), Some("https://api.anthropic.com/v1/messages?beta=true"));
        let below = target(Some("http://h:1/at/"), Method::POST, "/v1/messages/count_tokens");
        assert_eq!(below.as_deref(), Some("http://h:1/at/v1/messages/count_tokens"));
        assert_eq!(target(None, Method::GET, "/v1/messages"), None);
        assert_eq!(target(None, Method::POST, "/v1/files"), None);
    }
}
