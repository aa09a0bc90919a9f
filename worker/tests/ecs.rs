//! A worker as a task of ECS: it goes by the task's id, is protected from a scale-in while it is busy and only then, and has
//! the time that ECS gives it. The endpoints of ECS are played on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser as _;
use common::domain::container::Container;
use common::domain::outcome::JobOutcome;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::{AGENT, World, work};
use tokio::net::TcpListener;
use worker::config::{Action, Cli};

const AMELIA: &str = "bakery#amelia";
const TASK: &str = "0123456789abcdef0123456789abcdef";

fn arn() -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task/web/{TASK}")
}

/// What a container is told of ECS, and what ECS was told.
struct Ecs {
    url: String,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Ecs {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let heard = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let heard = Arc::clone(&heard);
                let answer = service_fn(move |request| answer(request, Arc::clone(&heard)));
                let served = hyper::server::conn::http1::Builder::new();
                tokio::spawn(served.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { url, told }
    }

    fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    told: Arc<Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let said = match path.as_str() {
        "/v4/abc/task" => {
            json!({"TaskARN": arn()})
        }
        "/api/abc/task-protection/v1/state" => {
            told.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            json!({"protection": {}})
        }
        other => panic!("nobody asks for {other}"),
    };
    Ok(Response::new(Full::new(said.to_string().into())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_goes_by_its_own_id_and_is_protected_while_it_is_busy_and_only_then() {
    let (world, ecs) = (World::new(), Ecs::start().await);
    world.bakery().await;
    let (metadata, agent) = (format!("{}/v4/abc", ecs.url), format!("{}/api/abc", ecs.url));
    let there = ["--ecs-container-metadata-uri-v4", &metadata, "--ecs-agent-uri", &agent];
    let slow = format!("'{AGENT}' --delay-ms 500");
    let worker = world.worker_with_agent(&slow, &there);
    world.order(AMELIA, work("c-1", "aaaaaa1", "change \"7 to 18\" to \"8 to 20\"")).await;
    let result = world.result().await;
    assert_eq!((result.outcome, result.worker_id.as_str()), (JobOutcome::Changed, TASK));
    let freed = async || ecs.told().last().filter(|last| last["ProtectionEnabled"] == false).cloned();
    world.until("the end of the protection", freed).await;
    assert_eq!(ecs.told()[0], json!({"ProtectionEnabled": true, "ExpiresInMinutes": 60}));
    let row = world.cloud.store.load::<Container>(&TASK.parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(row.task_arn, Some(arn()));
    assert_eq!(world.holder(AMELIA).await.as_deref(), Some(TASK), "an idle claim needs no protection");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_metadata_cannot_be_had_goes_by_another_name() {
    let world = World::new();
    world.bakery().await;
    let nobody = ["--ecs-container-metadata-uri-v4", "http://127.0.0.1:9/v4/abc", "--container-id", "w-1"];
    let worker = world.worker(&nobody);
    world.order(AMELIA, work("c-1", "aaaaaa1", "change \"7 to 18\" to \"8 to 20\"")).await;
    assert_eq!(world.result().await.worker_id.as_str(), "w-1");
    worker.stop().await;
}

/// How long a shutdown may take with these arguments.
fn grace(arguments: &[&str]) -> Duration {
    let all = ["worker", "run"].iter().chain(arguments);
    let Action::Run(settings) = Cli::try_parse_from(all).unwrap().command else { unreachable!() };
    settings.claims.under(&settings.ecs).shutdown_grace()
}

#[test]
fn a_task_has_the_time_that_ecs_gives_it_to_shut_down() {
    let there = ["--ecs-container-metadata-uri-v4", "http://169.254.170.2/v4/abc"];
    assert_eq!(grace(&[]), Duration::from_secs(25));
    assert_eq!(grace(&there), Duration::from_secs(110));
    assert_eq!(grace(&[&there[..], &["--shutdown-grace-secs", "60"]].concat()), Duration::from_mins(1));
}
