//! The admin API as an outsider uses it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use crate::wait;

/// A client with a token.
#[derive(Clone)]
pub struct Api {
    http: Client,
    base: String,
    token: String,
}

impl Api {
    /// Talks to `http://127.0.0.1:PORT`.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: token.trim().to_owned() })
    }

    /// Where it talks to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One request with the token, whatever comes back.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request.send().await?).await
    }

    /// A GET that must succeed.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        ok(path, self.request(Method::GET, path, None).await?)
    }

    /// A PUT that must succeed.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        ok(path, self.request(Method::PUT, path, Some(body)).await?)
    }

    /// Posts a raw mail.
    pub async fn post_mail(&self, raw: Vec<u8>) -> anyhow::Result<(StatusCode, Value)> {
        let request = self.http.post(format!("{}/v1/inbound/raw", self.base)).bearer_auth(&self.token);
        answer(request.header("content-type", "message/rfc822").body(raw).send().await?).await
    }

    /// Posts a raw mail that must be accepted with the ending `routed`; gives the answer.
    pub async fn order(&self, raw: Vec<u8>) -> anyhow::Result<Value> {
        let (status, body) = self.post_mail(raw).await?;
        if status != StatusCode::ACCEPTED || body["ending"] != "routed" {
            bail!("the mail was not routed: {status} {body}");
        }
        Ok(body)
    }

    /// Waits until a job is done and gives its record.
    pub async fn job_done(&self, command_id: &str, limit: Duration) -> anyhow::Result<Value> {
        let path = format!("/v1/jobs/{command_id}");
        wait::until(&format!("the end of job {command_id}"), limit, || async {
            let (status, job) = self.request(Method::GET, &path, None).await?;
            Ok((status == StatusCode::OK && job["state"] == "done").then_some(job))
        })
        .await
    }

    /// Waits until the answer to a mail has been sent and gives the mail's record.
    pub async fn answered(&self, mail_id: &str, limit: Duration) -> anyhow::Result<Value> {
        let path = format!("/v1/mails/{mail_id}");
        wait::until(&format!("the answer to mail {mail_id}"), limit, || async {
            let mail = self.get(&path).await?;
            Ok(mail["replyMessageId"].is_string().then_some(mail))
        })
        .await
    }

    /// Fetches a page of a local site: the address is kept in the `Host` header, the connection goes to hermes.
    pub async fn page(&self, host: &str, path: &str) -> anyhow::Result<Response> {
        Ok(self.http.get(format!("{}{path}", self.base)).header("host", host).send().await?)
    }
}

async fn answer(response: Response) -> anyhow::Result<(StatusCode, Value)> {
    let status = response.status();
    let text = response.text().await?;
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    Ok((status, body))
}

fn ok(path: &str, (status, body): (StatusCode, Value)) -> anyhow::Result<Value> {
    if status.is_success() {
        Ok(body)
    } else {
        Err(anyhow::anyhow!("{status} {body}")).with_context(|| path.to_owned())
    }
}
