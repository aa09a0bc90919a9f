//! Amazon Bedrock: requests for a model of Anthropic, signed here. The child has no credentials, only a key of this run.

use common::cloud::aws::bedrock::{Signer, runtime_url};
use hyper::Uri;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::Refused;
use super::model::NoModel;
use super::provider::{address, below, picked};

/// What is asked of a model: `/model/{modelId}/{action}`.
const ACTIONS: [&str; 2] = ["invoke-with-response-stream", "invoke"];
/// Others have prices and ways of their own, which nobody here counts or checks.
const FAMILY: &str = "anthropic.claude-";
/// Sent on; what is paid for otherwise (tiers, latencies) is not.
const SENT_ON: [&str; 2] = ["accept", "user-agent"];
const JSON: &str = "application/json";

/// One region of it.
#[derive(Debug)]
pub(super) struct Bedrock {
    base: Url,
    signer: Signer,
}

impl Bedrock {
    pub(super) fn new(base: Option<&str>, signer: Signer) -> Result<Self, NoModel> {
        let usual = runtime_url(signer.region());
        let base = address("ANTHROPIC_BEDROCK_BASE_URL", base.unwrap_or(&usual))?;
        Ok(Self { base, signer })
    }

    pub(super) fn target(&self, asked: &Uri) -> Option<Url> {
        path(asked.path()).map(|path| below(&self.base, &path))
    }

    pub(super) async fn headers(
        &self,
        target: &Url,
        of_child: &HeaderMap,
        body: &[u8],
    ) -> Result<HeaderMap, Refused> {
        let mut headers = picked(of_child, |name| SENT_ON.contains(&name.as_str()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        let signed = self.signer.sign(target.as_str(), &[(CONTENT_TYPE.as_str(), JSON)], body).await;
        for (name, value) in signed.map_err(Refused::failed)? {
            let mut value = HeaderValue::from_str(&value).map_err(Refused::failed)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }

    /// The CLI signs nothing then, and gives the key of the run as a token.
    pub(super) fn environment(&self, address: String, key: &str) -> Vec<(&'static str, String)> {
        vec![
            ("CLAUDE_CODE_USE_BEDROCK", "1".to_owned()),
            ("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "1".to_owned()),
            ("AWS_BEARER_TOKEN_BEDROCK", key.to_owned()),
            ("AWS_REGION", self.signer.region().to_owned()),
            ("ANTHROPIC_BEDROCK_BASE_URL", address),
        ]
    }
}

/// The path of a request that goes on, written as the SDKs of AWS write it.
fn path(asked: &str) -> Option<String> {
    let (model, action) = asked.strip_prefix("/model/")?.split_once('/')?;
    let model = model.replace("%3A", ":");
    (ACTIONS.contains(&action) && is_ours(&model))
        .then(|| format!("/model/{}/{action}", model.replace(':', "%3A")))
}

/// A model of the family, or its inference profile for a part of the world (`eu.`).
fn is_ours(model: &str) -> bool {
    let Some((whose, name)) = model.split_once(FAMILY) else { return false };
    let is_part = whose.is_empty()
        || whose.strip_suffix('.').is_some_and(|part| {
            (1..=12).contains(&part.len()) && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'-'))
        });
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    is_part && (1..=100).contains(&name.len()) && name.bytes().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_family_are_invoked_and_nothing_else_is() {
        for (asked, goes_to) in [
            ("eu.anthropic.claude-opus-5-5/invoke", "eu.anthropic.claude-opus-5-5/invoke"),
            ("anthropic.claude-3-v1:0/invoke", "anthropic.claude-3-v1%3A0/invoke"),
            (
                "us-gov.anthropic.claude-3-v1%3A0/invoke-with-response-stream",
                "us-gov.anthropic.claude-3-v1%3A0/invoke-with-response-stream",
            ),
        ] {
            assert_eq!(path(&format!("/model/{asked}")), Some(format!("/model/{goes_to}")));
        }
        for asked in [
            "/model/anthropic.claude-3/converse",
            "/model/anthropic.claude-3/async-invoke",
            "/model/anthropic.claude-3/count-tokens",
            "/model/anthropic.claude-/invoke",
            "/model/other.titan-v1/invoke",
            "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Acustom-model%2Fanthropic.claude-3/invoke",
            "/model/anthropic.claude-3%2F..%2Fx/invoke",
            "/model/anthropic.claude-3/../x/invoke",
            "/model/EU.anthropic.claude-3/invoke",
            "/inference-profiles",
            "/v1/messages",
        ] {
            assert_eq!(path(asked), None, "{asked}");
        }
    }
}
