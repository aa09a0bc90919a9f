//! Messages that cannot be work: each is put aside with its reason, and what stands behind them goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "the figure is part of the answer")]

use std::time::{Duration, Instant};

use common::clock::Clock;
use common::cloud::local;
use common::cloud::queue::Outgoing;
use common::domain::ids::ProjectUser;
use common::domain::names::Queue;
use e2e::figures::{bakery, order};
use e2e::world::demo_agent;
use serde_json::{Value, json};

/// One visibility of an input queue.
const VISIBILITY: Duration = Duration::from_secs(45);

/// Fifty shapes that are no work of amelia's for the bakery.
fn poison() -> Vec<String> {
    let texts = [
        "{",
        "}",
        "[]",
        "[[[[[[[[]]]]]]]]",
        "null",
        "true",
        "0",
        "-1e308",
        "\"work\"",
        "{}",
        "work",
        "\u{feff}{}",
        "<work/>",
        "type=work&projectId=bakery",
        "{\"type\":\"work\"",
        "{'type':'work'}",
        "\u{7f}",
        "\n\n\n",
        "{\"type\":\"work\",}",
        "NaN",
    ];
    let good = json!({"type": "work", "projectId": "bakery", "userId": "amelia", "threadId": "poison1",
        "repoUrl": "file:///nowhere", "instruction": "go"});
    let wrong = [Value::Null, json!(1), json!([]), json!({}), json!(true)];
    let ids = ["", "-", "Bakery!", "a b", "../../etc", "b\u{e4}ckerei", "a#b"].map(|id| json!(id));
    let long = json!("x".repeat(400));
    let mut shapes: Vec<String> = texts.map(str::to_owned).to_vec();
    let mut with = |field: &str, value: &Value| {
        let mut shape = good.clone();
        shape[field] = value.clone();
        shapes.push(shape.to_string());
    };
    for value in wrong.iter().chain(&ids).chain([&long]) {
        with("projectId", value);
    }
    for value in &wrong {
        with("userId", value);
        with("instruction", value);
    }
    for value in [json!("florist"), json!("bob")] {
        with(if value == "bob" { "userId" } else { "projectId" }, &value);
    }
    for value in
        [json!("CLAIM_REQUEST"), json!("response"), json!("unheard-of"), json!("INTERRUPT"), json!("CONTROL")]
    {
        with("type", &value);
    }
    shapes
}

#[tokio::test]
async fn r6_fifty_shapes_of_poison_keep_no_work_of_the_key_waiting_for_a_visibility() {
    let (mut world, api, _site) = bakery(&[]).await.unwrap();
    let cloud = local::open(&world.data_dir(), "webordinary".parse().unwrap(), Clock::System).unwrap();
    let key = ProjectUser::parse("bakery#amelia").unwrap();
    let shapes = poison();
    assert_eq!(shapes.len(), 50);
    for (number, shape) in shapes.iter().enumerate() {
        let message = Outgoing::fifo(shape.clone(), key.to_string(), format!("poison-{number}"));
        cloud.queues.send(&Queue::Input(key.clone()), message).await.unwrap();
    }
    let command = order(&api, "amelia", "change \"7 to 18\" to \"8 to 20\"").await.unwrap();
    let begun = Instant::now();
    world.start_worker(&demo_agent("").unwrap(), &[]).await.unwrap();
    let job = api.job_done(&command, Duration::from_mins(2)).await.unwrap();
    let took = begun.elapsed();
    println!("50 shapes of poison, then the good work was done after {:.1} s", took.as_secs_f64());
    assert_eq!(job["outcome"], "changed", "{job}");
    assert!(took <= VISIBILITY, "{took:?}");

    let letters = api.get("/v1/dead-letters").await.unwrap();
    let letters = letters["deadLetters"].as_array().unwrap();
    assert_eq!(letters.len(), 10, "of one key ten are shown");
    assert!(letters.iter().all(|letter| letter["reason"].is_string()), "{letters:?}");
    let depth = cloud.queues.depth(&Queue::Dead).await.unwrap();
    assert_eq!(depth.visible + depth.in_flight, 50, "each is kept for people to look at");
    assert_eq!(world.sent_mails().unwrap().len(), 1, "nobody is told of what was never theirs");
    world.stop().await.unwrap();
}
