//! Task tokens that a real execution waits for, and what a worker says to them.

use std::sync::{Arc, Mutex};

use common::clock::Clock;
use common::cloud::aws;
use common::cloud::callback::Errand;
use common::cloud::contract::endpoint::front::{Call, Front, Verdict, judge};
use common::cloud::contract::endpoint::{Endpoint, arguments, fresh_prefix, settings_under};
use common::cloud::provision;
use common::config::CloudSettings;
use common::domain::active_job::ActiveJob;
use common::domain::ids::ProjectUser;
use common::domain::names::Queue;
use common::domain::outcome::JobOutcome;
use serde_json::{Value, json};

use crate::support::{AGENT, SITE, World, input, work};

const AMELIA: &str = "bakery#amelia";
const ROLE: &str = "arn:aws:iam::000000000000:role/hermes";
/// Builds when a file is there.
const BUILD: &str = "const fs=require('fs');const t=setInterval(()=>{if(fs.existsSync(process.argv[1])){clearInterval(t);\
                     fs.cpSync('site','dist',{recursive:true})}},20)";

/// A world with the state machine, whose workers are heard when they speak to a token.
struct Stage {
    world: World,
    settings: CloudSettings,
    said: Arc<Mutex<Vec<(String, String)>>>,
    _front: Front,
}

impl Stage {
    /// A call about a token goes where this says.
    async fn new(token_call: fn() -> Verdict) -> Self {
        let (url, prefix) = (Endpoint::shared().url(), fresh_prefix());
        let mut settings = settings_under(url, &prefix);
        settings.aws.state_machine_role_arn = Some(ROLE.to_owned());
        provision::make(&settings).await.unwrap();
        let said = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&said);
        let note = move |call: &Call| {
            let Some(token) = call.field("taskToken") else { return Verdict::Pass };
            noted.lock().unwrap().push((call.operation().to_owned(), token));
            token_call()
        };
        let front = Front::before(url, judge(note)).await;
        let cloud = aws::open(&settings, Clock::System).await.unwrap();
        let world = World::over(cloud, arguments(front.url(), &prefix));
        Self { world, settings, said, _front: front }
    }

    /// Orders work by an execution, as hermes does.
    async fn hand_over(&self, command: &str, work: &Value) {
        let key = ProjectUser::parse(AMELIA).unwrap();
        let announcement = json!({"type": "CLAIM_REQUEST", "projectId": key.project, "userId": key.user,
            "timestamp": "2026-03-03T10:00:00Z"});
        let errand = Errand {
            command: command.parse().unwrap(),
            key,
            work: work.to_string(),
            announcement: announcement.to_string(),
        };
        self.world.cloud.callback.hand_over(&errand).await.unwrap();
    }

    /// The operations so far, of one token.
    fn operations(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        assert!(said.windows(2).all(|pair| pair[0].1 == pair[1].1), "one execution, one token");
        said.iter().map(|(operation, _)| operation.clone()).collect()
    }

    async fn execution(&self, command: &str) -> (String, String) {
        aws::testing::execution(&self.settings, command).await.unwrap().expect("it was started")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s38_s39_an_execution_hears_of_its_work_at_once_and_again_and_is_answered_once() {
    // The first beat of a lease of 45 s would be at 15 s; that of a short one comes again and again.
    for (lease, beats) in [("45", 1), ("3", 4)] {
        let stage = Stage::new(|| Verdict::Pass).await;
        let world = &stage.world;
        let remote = world.remote("bakery", SITE);
        let go = world.path("go").display().to_string();
        world.project_built_by("bakery", &remote, &["node", "-e", BUILD, &go]).await;
        let worker = world.worker(&["--lease-secs", lease]);
        stage.hand_over("c-1", &work("c-1", "aaaaaa1", "change \"7 to 18\" to \"8 to 20\"")).await;
        world.until("the job", async || world.job("c-1").await.filter(|job| job.attempts == 1)).await;
        assert_eq!(stage.operations().first().map(String::as_str), Some("SendTaskHeartbeat"), "at once");
        let enough = async || (stage.operations().len() >= beats).then_some(());
        world.until("heartbeats", enough).await;
        assert_eq!(stage.execution("c-1").await.0, "RUNNING");

        std::fs::write(&go, "").unwrap();
        assert_eq!(world.result().await.outcome, JobOutcome::Changed);
        world
            .until("the delivery's end", async || (world.depth(input(AMELIA)).await == 0).then_some(()))
            .await;
        worker.stop().await;
        let said = stage.operations();
        // A beat may cross the answer; AWS refuses it then, and it is the last.
        let answers: Vec<_> = said.iter().filter(|operation| *operation != "SendTaskHeartbeat").collect();
        assert_eq!(answers, ["SendTaskSuccess"], "answered once: {said:?}");
        let (status, output) = stage.execution("c-1").await;
        assert_eq!(status, "SUCCEEDED", "{output}");
        assert!(output.contains("\"changed\""), "{output}");
        let key = ProjectUser::parse(AMELIA).unwrap();
        assert_eq!(world.cloud.store.load::<ActiveJob>(&key).await.unwrap(), None);
        assert_eq!((world.depth(input(AMELIA)).await, world.depth(Queue::Output).await), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_a_token_that_has_expired_is_spoken_to_once_and_its_job_ends_as_any_other() {
    // Endpoints answer late tokens as if somebody waited; AWS says this.
    let stage = Stage::new(|| {
        Verdict::json_error(400, "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    })
    .await;
    let world = &stage.world;
    world.bakery().await;
    let slow = format!("'{AGENT}' --delay-ms 3000");
    let worker = world.worker_with_agent(&slow, &["--lease-secs", "3"]);
    stage.hand_over("c-1", &work("c-1", "aaaaaa1", "change \"7 to 18\" to \"8 to 20\"")).await;
    assert_eq!(world.result().await.outcome, JobOutcome::Changed);
    world.until("the delivery's end", async || (world.depth(input(AMELIA)).await == 0).then_some(())).await;
    worker.stop().await;
    assert_eq!(stage.operations(), ["SendTaskHeartbeat", "SendTaskSuccess"], "neither is said again");
    assert_eq!(world.depth(Queue::Output).await, 0, "told once");
}
