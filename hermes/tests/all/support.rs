//! One hermes in a temporary directory, without its loops: tests call what the loops call. In the test `mail_on_aws` queues, tables
//! and objects are those of an AWS-compatible endpoint instead.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use clap::Parser;
use common::clock::{Clock, SteppedClock};
use common::cloud::contract::endpoint::Endpoint;
use common::cloud::failing::{Failing, Plan};
use common::cloud::queue::Delivery;
use common::cloud::{Cloud, local};
use common::domain::budget::Usage;
use common::domain::claim::{ClaimVersion, Epoch, Take};
use common::domain::ids::{Nonce, Owner, ProjectUser, SessionId, WorkerId};
use common::domain::job::Job;
use common::domain::names::{Prefix, Queue};
use common::domain::outcome::JobOutcome;
use common::domain::timestamp::Timestamp;
use common::messages::JobResult;
use hermes::app::App;
use hermes::config::{MailSettings, ServeSettings, Settings};
use hermes::http::{Api, router};
use hermes::inbound::Inbound;
use hermes::ingest::record::MailRecord;
use hermes::ingest::sns::Sns;
use hermes::ingest::verify::{Dns, Records, Verifier};
use hermes::secrets::{AdminToken, SecretKey};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "a-token-for-the-tests";

pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) api: Arc<Api>,
    pub(crate) plan: Plan,
    pub(crate) clock: SteppedClock,
    pub(crate) folder: TempDir,
    time: Option<Endpoint>,
}

/// Whether this file is part of a test whose name says so.
fn is_on_aws() -> bool {
    module_path!().split("::").next().is_some_and(|test| test.ends_with("_on_aws"))
}

/// The settings of `hermes serve` with these arguments.
pub(crate) fn serve_settings(arguments: &[&str]) -> ServeSettings {
    let all = ["hermes", "serve"].iter().chain(arguments);
    match Settings::try_parse_from(all).unwrap().command {
        hermes::cli::Command::Serve(settings) => settings,
        other => panic!("{other:?}"),
    }
}

/// A name service that knows nothing.
fn no_names() -> Dns {
    Dns::Records(Arc::new(Records::all([])))
}

impl World {
    /// With the project amelia, whose user scott writes from scott@example.org.
    pub(crate) async fn with_scott() -> Self {
        Self::with(&["--trust", "all"]).await
    }

    /// The same with these settings.
    pub(crate) async fn with(settings: &[&str]) -> Self {
        Self::of(&serve_settings(settings).mail, no_names(), None).knowing_scott().await
    }

    /// With scott, and queues whose time passes for nobody else.
    pub(crate) async fn with_scott_and_time() -> Self {
        let time = is_on_aws().then(Endpoint::ministack);
        Self::of(&serve_settings(&["--trust", "all"]).mail, no_names(), time).knowing_scott().await
    }

    async fn knowing_scott(self) -> Self {
        self.project("amelia").await;
        self.sender("scott@example.org", "amelia", "scott").await;
        self
    }

    /// The same, with mail going out by this server.
    pub(crate) async fn sending_by(url: &str) -> Self {
        Self::with(&["--trust", "all", "--smtp-url", url]).await
    }

    /// Believes nobody without evidence; the name service knows these records only.
    pub(crate) async fn verifying(arguments: &[&str], records: &[(&str, &str)]) -> Self {
        let all = records.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let dns = Dns::Records(Arc::new(Records::all(all)));
        Self::of(&serve_settings(arguments).mail, dns, None).knowing_scott().await
    }

    pub(crate) fn empty(trust: &str) -> Self {
        Self::of(&serve_settings(&["--trust", trust]).mail, no_names(), None)
    }

    /// The same, with room for so many bytes of mails that are on their way in.
    pub(crate) async fn with_room(bytes: usize) -> Self {
        let made = |app: &mut App| app.inbound = Inbound::of_bytes(bytes);
        Self::made(&serve_settings(&["--trust", "all"]).mail, no_names(), None, made).knowing_scott().await
    }

    /// Believes nobody without evidence, which this name service gives.
    pub(crate) fn asking(dns: Dns) -> Self {
        Self::of(&serve_settings(&[]).mail, dns, None)
    }

    fn of(settings: &MailSettings, dns: Dns, time: Option<Endpoint>) -> Self {
        Self::made(settings, dns, time, |_| {})
    }

    fn made(
        settings: &MailSettings,
        dns: Dns,
        time: Option<Endpoint>,
        change: impl FnOnce(&mut App),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = SteppedClock::starting_at(Timestamp::parse("2026-03-03T10:00:00Z").unwrap());
        let plan = Plan::passing();
        let prefix = Prefix::parse("webordinary").unwrap();
        let mut cloud = local::open(folder.path(), prefix, Clock::Stepped(clock.clone())).unwrap();
        if is_on_aws() {
            let endpoint = match &time {
                Some(own) => own,
                None => Endpoint::shared(),
            };
            cloud = Cloud { mailer: cloud.mailer, ..on_aws(endpoint, Clock::Stepped(clock.clone())) };
        }
        let cloud = Failing::wrap(cloud, plan.clone());
        let secret = SecretKey::kept_in(folder.path()).unwrap();
        let mut app = App::new(cloud, settings, secret, 8025);
        app.verifier = Verifier::new(settings).asking(dns);
        change(&mut app);
        let app = Arc::new(app);
        let repos =
            common::domain::repo_url::RepoRules { hosts: vec!["github.com".into()], allow_files: false };
        let api = Arc::new(Api {
            app: app.clone(),
            token: AdminToken::given(TOKEN),
            repos,
            inbound: serve_settings(&[]).inbound,
            sns: Sns::new(Vec::new()),
        });
        Self { app, api, plan, clock, folder, time }
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.app.cloud
    }

    /// Time goes by, for queues that have it to themselves too.
    pub(crate) fn pass(&self, by: Duration) {
        self.clock.advance(by);
        if let Some(endpoint) = &self.time {
            endpoint.advance(by);
        }
    }

    pub(crate) async fn project(&self, id: &str) {
        let body = json!({"repoUrl": format!("https://github.com/you/{id}.git")});
        let (status, answer) = self.call("PUT", &format!("/v1/projects/{id}"), Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    pub(crate) async fn sender(&self, address: &str, project: &str, user: &str) {
        let body = json!({"projectId": project, "userId": user});
        let (status, answer) = self.call("PUT", &format!("/v1/senders/{address}"), Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// A request as it is, over the whole router.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        router(&self.api).oneshot(request).await.unwrap()
    }

    /// A JSON request with the token.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
        read(self.send(request.body(body).unwrap()).await).await
    }

    pub(crate) async fn post(&self, raw: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::post("/v1/inbound/raw")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "message/rfc822");
        read(self.send(request.body(raw.into()).unwrap()).await).await
    }

    /// Posts a mail that must be taken; gives the answer.
    pub(crate) async fn accepted(&self, raw: impl Into<Body>) -> Value {
        let (status, answer) = self.post(raw).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer
    }

    /// Everything on a queue, deleted.
    pub(crate) async fn drain(&self, queue: &Queue) -> Vec<Delivery> {
        let mut all = Vec::new();
        loop {
            let batch = self.cloud().queues.receive(queue, 10, Duration::ZERO).await.unwrap();
            if batch.is_empty() {
                return all;
            }
            for delivery in batch {
                self.cloud().queues.delete(&delivery.receipt).await.unwrap();
                all.push(delivery);
            }
        }
    }

    /// What waits for a project+user, as JSON.
    pub(crate) async fn works(&self, key: &str) -> Vec<Value> {
        let queue = Queue::Input(ProjectUser::parse(key).unwrap());
        let all = self.drain(&queue).await;
        all.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect()
    }

    pub(crate) async fn announcements(&self) -> usize {
        self.drain(&Queue::Unclaimed).await.len()
    }

    /// A worker holds the claim from now on.
    pub(crate) async fn claimed(&self, key: &str) {
        let owner =
            Owner { worker: WorkerId::parse("worker-1").unwrap(), nonce: Nonce::parse("0a1b2c3d").unwrap() };
        self.claimed_by(key, &owner).await;
    }

    /// This process holds the claim from now on.
    pub(crate) async fn claimed_by(&self, key: &str, owner: &Owner) {
        let take = Take {
            owner: owner.clone(),
            version: ClaimVersion::from_stored("v1".into()),
            lapsed: None,
            lease_secs: 45,
            control_queue: None,
            now: self.cloud().clock.now(),
        };
        self.cloud().claims.take(&ProjectUser::parse(key).unwrap(), &take).await.unwrap();
    }

    pub(crate) async fn job(&self, command: &str) -> Job {
        let id = common::domain::ids::CommandId::parse(command).unwrap();
        self.cloud().store.load::<Job>(&id).await.unwrap().unwrap().value
    }

    pub(crate) async fn mail(&self, id: &str) -> MailRecord {
        let id = common::domain::ids::MailId::parse(id).unwrap();
        self.cloud().store.load::<MailRecord>(&id).await.unwrap().unwrap().value
    }

    /// What a worker reports about a job.
    pub(crate) async fn result(&self, command: &str) -> JobResult {
        let job = self.job(command).await;
        JobResult {
            command_id: job.command_id,
            session_id: SessionId::of_thread(&job.thread_id),
            thread_id: job.thread_id,
            project_id: job.project_id,
            user_id: job.user_id,
            success: true,
            outcome: JobOutcome::Changed,
            note: None,
            summary: "The site says 8 now.".into(),
            s3_bucket: Some("0123456789abcdef01234567.amelia.localhost".into()),
            s3_url: None,
            deployment_time: None,
            branch: Some(job.branch),
            commit_id: Some("c0ffee".into()),
            files_changed: vec!["src/index.astro".into()],
            aside: Vec::new(),
            error: None,
            error_code: None,
            interrupted: false,
            usage: Usage::default(),
            worker_id: WorkerId::parse("worker-1").unwrap(),
            epoch: Epoch(1),
        }
    }

    /// Sends a result and lets hermes handle what is on the output queue.
    pub(crate) async fn report(&self, body: String) {
        let message = common::cloud::queue::Outgoing::standard(body);
        self.cloud().queues.send(&Queue::Output, message).await.unwrap();
        self.handle_output().await.unwrap();
    }

    pub(crate) async fn handle_output(&self) -> common::cloud::Result<()> {
        for delivery in self.cloud().queues.receive(&Queue::Output, 10, Duration::ZERO).await? {
            hermes::results::take(&self.app, &delivery).await?;
        }
        Ok(())
    }

    /// The mails that were sent.
    pub(crate) fn outbox(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("outbox")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "eml"));
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }
}

/// An environment with its tables. It is opened on a thread of its own: worlds are made outside of any waiting.
#[cfg(feature = "aws")]
fn on_aws(endpoint: &Endpoint, clock: Clock) -> Cloud {
    use common::cloud::aws;
    let settings = common::cloud::contract::endpoint::settings(endpoint.url());
    let open = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            aws::provision::make_tables(&settings).await.unwrap();
            aws::open(&settings, clock).await.unwrap()
        })
    };
    std::thread::scope(|scope| scope.spawn(open).join().unwrap())
}

#[cfg(not(feature = "aws"))]
fn on_aws(_: &Endpoint, _: Clock) -> Cloud {
    unreachable!("this test needs the feature")
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A body that begins with so many bytes and never ends.
pub(crate) fn begun(bytes: usize) -> Body {
    let first = Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b'x'; bytes]));
    let pieces = futures_util::stream::iter([first]);
    Body::from_stream(futures_util::StreamExt::chain(pieces, futures_util::stream::pending()))
}

/// A mail of scott's.
pub(crate) fn mail(id: &str, text: &str) -> String {
    format!(
        "From: Scott <scott@example.org>\r\nTo: edit@hermes.localhost\r\nSubject: Hours\r\nMessage-ID: <{id}@example.org>\r\n\r\n{text}\r\n"
    )
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Waits until something is the case.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let watch = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), watch)
        .await
        .unwrap_or_else(|_| panic!("waited for {what} in vain"));
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three =
            chunk.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = char::from(DIGITS[(three >> (18 - 6 * at)) as usize & 63]);
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}
