//! One world over AWS for a test: an endpoint of its own, both programs behind fronts that count and may meddle, and what
//! lies at the endpoint looked at from outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::cloud::contract::endpoint::front::{Call, Front, Verdict, judge};
use common::cloud::contract::endpoint::{Endpoint, arguments, fresh_prefix};
use e2e::api::Api;
use e2e::process::{Program, binary};
use e2e::remote::Remote;
use e2e::wait;
use e2e::world::{World, demo_agent, plain_site};
use serde_json::{Value, json};

pub(crate) const LIMIT: Duration = Duration::from_mins(2);
/// Nothing that one call brings about comes later than that.
const QUIET: Duration = Duration::from_secs(1);
pub(crate) const OWNER: &str = "amelia@example.org";
const SENDER: &str = "hermes@example.org";
const ROLE: &str = "arn:aws:iam::000000000000:role/hermes";
const ACCOUNT: &str = "000000000000";

/// How often each operation was called.
pub(crate) type Calls = BTreeMap<String, usize>;

/// One object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) content_type: String,
    pub(crate) cache_control: String,
    pub(crate) bytes: Vec<u8>,
}

/// What stands between a program and the endpoint.
pub(crate) struct Gate {
    front: Front,
    calls: Arc<Mutex<Calls>>,
    /// While it is set every connection breaks.
    pub(crate) outage: Arc<AtomicBool>,
}

impl Gate {
    async fn before(endpoint: &Endpoint, meddle: impl Fn(&Call) -> Verdict + Send + Sync + 'static) -> Self {
        let calls = Arc::<Mutex<Calls>>::default();
        let outage = Arc::<AtomicBool>::default();
        let (counted, out) = (Arc::clone(&calls), Arc::clone(&outage));
        let front = Front::before(
            endpoint.url(),
            judge(move |call| {
                let mut calls = counted.lock().unwrap_or_else(PoisonError::into_inner);
                *calls.entry(call.name()).or_default() += 1;
                if out.load(Ordering::SeqCst) { Verdict::Break } else { meddle(call) }
            }),
        );
        Self { front: front.await, calls, outage }
    }

    /// Waits until an operation was called so often since then.
    pub(crate) async fn called(&self, operation: &str, times: usize) {
        let what = format!("{operation} number {times}");
        wait::until(&what, LIMIT, || async {
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let count: usize =
                calls.iter().filter(|(name, _)| name.starts_with(operation)).map(|(_, count)| count).sum();
            Ok((count >= times).then_some(()))
        })
        .await
        .unwrap();
    }

    /// Waits until nothing was called for a while, receives aside.
    pub(crate) async fn quiet(&self) {
        let so_far = || -> usize {
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.iter().filter(|(name, _)| *name != "ReceiveMessage").map(|(_, count)| count).sum()
        };
        let mut before = so_far();
        loop {
            tokio::time::sleep(QUIET).await;
            let now = so_far();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// What was called since the last time that somebody asked.
    pub(crate) fn taken(&self) -> Calls {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All of it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) endpoint: Endpoint,
    pub(crate) hermes: Gate,
    pub(crate) worker: Gate,
    pub(crate) prefix: String,
    http: reqwest::Client,
    orchestrator: &'static str,
    sites: Vec<tempfile::TempDir>,
}

impl Stage {
    /// Provisioned, with nothing running yet; `meddle` decides over the worker's calls.
    pub(crate) async fn new(
        orchestrator: &'static str,
        meddle: impl Fn(&Call) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        let endpoint = Endpoint::ministack();
        let stage = Self {
            world: World::temporary().unwrap(),
            hermes: Gate::before(&endpoint, |_| Verdict::Pass).await,
            worker: Gate::before(&endpoint, meddle).await,
            prefix: fresh_prefix(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            orchestrator,
            endpoint,
            sites: Vec::new(),
        };
        stage.provision().await;
        for address in [SENDER, OWNER] {
            stage.verify(address).await;
        }
        stage
    }

    /// `hermes provision`
    pub(crate) async fn provision(&self) {
        let further = arguments(self.endpoint.url(), &self.prefix);
        let words: Vec<&str> = ["provision"].into_iter().chain(further.iter().map(String::as_str)).collect();
        let env = [("HERMES_STATE_MACHINE_ROLE_ARN", ROLE)];
        let mut program = Program::start(&binary("hermes").unwrap(), &words, &env).unwrap();
        let status = program.ended(LIMIT).await.unwrap();
        assert!(status.success(), "{}", program.log());
    }

    /// hermes, ready.
    pub(crate) async fn start_hermes(&mut self) -> Api {
        self.world.further = arguments(self.hermes.front.url(), &self.prefix);
        let from = format!("Hermes <{SENDER}>");
        let env = [("HERMES_MAIL_FROM", from.as_str()), ("HERMES_ORCHESTRATOR", self.orchestrator)];
        self.world.start_hermes_with(&binary("hermes").unwrap(), "127.0.0.1:0", &env).await.unwrap()
    }

    /// A worker with the demo agent, ready.
    pub(crate) async fn start_worker(&mut self, env: &[(&str, &str)]) {
        self.world.further = arguments(self.worker.front.url(), &self.prefix);
        self.world.start_worker(&demo_agent("").unwrap(), env).await.unwrap();
    }

    /// The bakery of amelia.
    pub(crate) async fn bakery(&mut self) -> Remote {
        self.bakery_with("site", &[]).await
    }

    /// The same with further files, and with this folder as what is published.
    pub(crate) async fn bakery_with(&mut self, published: &str, files: &[(&str, &str)]) -> Remote {
        let (folder, mut build) = plain_site().unwrap();
        build["command"][2] = published.into();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let remote = self.world.add_project("bakery", folder.path(), Some(build), (OWNER, "amelia")).await;
        self.sites.push(folder);
        remote.unwrap()
    }

    async fn verify(&self, address: &str) {
        let request = self.http.post(format!("{}/v2/email/identities", self.endpoint.url()));
        let request = request.header("authorization", signed("ses")).json(&json!({"EmailIdentity": address}));
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// What SES was given to send.
    pub(crate) async fn sent(&self) -> Vec<Value> {
        let url = format!("{}/_ministack/ses/messages", self.endpoint.url());
        let all: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        all["messages"][ACCOUNT].as_array().cloned().unwrap_or_default()
    }

    /// One call of our own.
    pub(crate) async fn ask(&self, service: &str, target: &str, body: Value) -> Value {
        let request = self.http.post(self.endpoint.url()).header("authorization", signed(service));
        let request =
            request.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.0");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{target}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The private bucket.
    pub(crate) fn objects_bucket(&self) -> String {
        format!("{}-objects-{ACCOUNT}", self.prefix)
    }

    /// Puts an object there as somebody else would.
    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        self.s3(&format!("{bucket}/{key}"), bytes).await;
    }

    /// Lets S3 tell the email queue of new objects below a prefix.
    pub(crate) async fn notify_email_queue_of(&self, bucket: &str, prefix: &str) {
        let queue = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{}-email", self.prefix);
        let rules = format!("<FilterRule><Name>prefix</Name><Value>{prefix}</Value></FilterRule>");
        let configuration = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>mail</Id><Queue>{queue}</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key>{rules}</S3Key></Filter></QueueConfiguration></NotificationConfiguration>"
        );
        self.s3(&format!("{bucket}?notification"), configuration.into_bytes()).await;
    }

    /// What a bucket holds, as anybody may fetch it; nothing where there is no such bucket.
    pub(crate) async fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        let listed = self.fetch(&format!("{bucket}?list-type=2")).await;
        if !listed.status().is_success() {
            return BTreeMap::new();
        }
        let listed = listed.text().await.unwrap();
        assert!(!listed.contains("<IsTruncated>true"), "{listed}");
        let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let mut objects = BTreeMap::new();
        for (key, _) in keys {
            let answer = self.fetch(&format!("{bucket}/{key}")).await;
            let header = |name: &str| {
                let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            let (content_type, cache_control) = (header("content-type"), header("cache-control"));
            let bytes = answer.bytes().await.unwrap().to_vec();
            objects.insert(key.to_owned(), Object { content_type, cache_control, bytes });
        }
        objects
    }

    async fn fetch(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}/{path}", self.endpoint.url()));
        request.header("authorization", signed("s3")).send().await.unwrap()
    }

    async fn s3(&self, path: &str, body: Vec<u8>) {
        let request = self.http.put(format!("{}/{path}", self.endpoint.url()));
        let answer = request.header("authorization", signed("s3")).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// A topic whose messages go to the email queue.
    pub(crate) async fn topic_to_email_queue(&self, name: &str) -> String {
        let topic = format!("arn:aws:sns:us-east-1:{ACCOUNT}:{}-{name}", self.prefix);
        let name = format!("{}-{name}", self.prefix);
        self.sns(&[("Action", "CreateTopic"), ("Name", &name)]).await;
        let queue = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{}-email", self.prefix);
        let ours =
            [("Action", "Subscribe"), ("TopicArn", &*topic), ("Protocol", "sqs"), ("Endpoint", &queue)];
        self.sns(&ours).await;
        topic
    }

    /// Publishes on a topic.
    pub(crate) async fn publish(&self, topic: &str, message: &str) {
        self.sns(&[("Action", "Publish"), ("TopicArn", topic), ("Message", message)]).await;
    }

    async fn sns(&self, form: &[(&str, &str)]) {
        let request = self.http.post(self.endpoint.url()).header("authorization", signed("sns"));
        let encoded = reqwest::Url::parse_with_params("http://form", form).unwrap();
        let body = encoded.query().unwrap_or_default().to_owned();
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{form:?}: {}", answer.text().await.unwrap());
    }

    fn machine(&self) -> String {
        format!("arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:{}-email-processor", self.prefix)
    }

    /// The execution of a command as it stands.
    pub(crate) async fn execution(&self, command: &str) -> Value {
        let arn = format!("{}:{command}", self.machine().replace(":stateMachine:", ":execution:"));
        self.ask("states", "AWSStepFunctions.DescribeExecution", json!({"executionArn": arn})).await
    }

    /// The execution of a command once it has ended.
    pub(crate) async fn execution_ended(&self, command: &str) -> Value {
        wait::until("the end of an execution", LIMIT, || async {
            let execution = self.execution(command).await;
            Ok((execution["status"] != "RUNNING").then_some(execution))
        })
        .await
        .unwrap()
    }

    /// How many executions there were.
    pub(crate) async fn executions(&self) -> usize {
        let body = json!({"stateMachineArn": self.machine()});
        let all = self.ask("states", "AWSStepFunctions.ListExecutions", body).await;
        all["executions"].as_array().map_or(0, Vec::len)
    }

    /// Takes the state machine out.
    pub(crate) async fn delete_machine(&self) {
        let body = json!({"stateMachineArn": self.machine()});
        self.ask("states", "AWSStepFunctions.DeleteStateMachine", body).await;
    }
}

/// Endpoints find the service in the signature, which they do not check.
fn signed(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}
