//! Task tokens.

use super::Stage;
use super::queues::assert_invalid;
use crate::cloud::callback::Heard;

pub(super) async fn a_success_is_heard(stage: Stage) {
    let token = (stage.tokens)();
    assert_eq!(stage.cloud.callback.success(&token, r#"{"ok":true}"#).await.unwrap(), Heard::Yes);
}

pub(super) async fn a_failure_is_heard(stage: Stage) {
    let token = (stage.tokens)();
    assert_eq!(stage.cloud.callback.failure(&token, "PREEMPTED", "newer work").await.unwrap(), Heard::Yes);
}

pub(super) async fn only_the_first_answer_is_heard(stage: Stage) {
    let token = (stage.tokens)();
    stage.cloud.callback.success(&token, "1").await.unwrap();
    assert_eq!(stage.cloud.callback.success(&token, "1").await.unwrap(), Heard::NoLonger);
    assert_eq!(stage.cloud.callback.failure(&token, "e", "c").await.unwrap(), Heard::NoLonger);
}

pub(super) async fn a_sign_of_life_is_heard_until_the_answer(stage: Stage) {
    let token = (stage.tokens)();
    assert_eq!(stage.cloud.callback.heartbeat(&token).await.unwrap(), Heard::Yes);
    assert_eq!(stage.cloud.callback.heartbeat(&token).await.unwrap(), Heard::Yes);
    assert_eq!(stage.cloud.callback.failure(&token, "e", "c").await.unwrap(), Heard::Yes);
    assert_eq!(stage.cloud.callback.heartbeat(&token).await.unwrap(), Heard::NoLonger);
}

pub(super) async fn long_errors_are_cut(stage: Stage) {
    let token = (stage.tokens)();
    let answer = stage.cloud.callback.failure(&token, &"ä".repeat(300), &"ä".repeat(40_000)).await;
    assert_eq!(answer.unwrap(), Heard::Yes);
}

pub(super) async fn output_that_is_no_json_is_invalid(stage: Stage) {
    let token = (stage.tokens)();
    for output in ["", "{", "hello"] {
        assert_invalid(stage.cloud.callback.success(&token, output).await);
    }
}

pub(super) async fn an_empty_token_is_invalid(stage: Stage) {
    assert_invalid(stage.cloud.callback.success("", "1").await);
    assert_invalid(stage.cloud.callback.heartbeat("").await);
    assert_invalid(stage.cloud.callback.failure(&"t".repeat(2049), "e", "c").await);
}
