//! Where an endpoint accepts what AWS refuses, the front refuses it, in the words of AWS's documentation.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use hyper::header::{ETAG, HeaderMap};

use super::front::{Call, Judge, Upstream, Verdict};

/// A judge that makes ministack answer as AWS does.
pub fn as_aws_does() -> Judge {
    let (answered, given_back) = (Arc::<Mutex<HashSet<_>>>::default(), Arc::<Mutex<HashSet<_>>>::default());
    Arc::new(move |call, upstream| {
        let (answered, given_back) = (Arc::clone(&answered), Arc::clone(&given_back));
        Box::pin(async move {
            match call.operation() {
                "PUT" if call.header("x-amz-copy-source").is_some() => {
                    copy_on_condition(&call, &upstream).await
                }
                "ChangeMessageVisibility" => keep_in_flight(&call, &given_back),
                "SendTaskSuccess" | "SendTaskFailure" => answer_once(&call, &answered, Answer::Last),
                "SendTaskHeartbeat" => answer_once(&call, &answered, Answer::Beat),
                _ => Verdict::Pass,
            }
        })
    })
}

/// CopyObject's `If-Match` and `If-None-Match` speak of what is at the target.
async fn copy_on_condition(call: &Call, upstream: &Upstream) -> Verdict {
    let (wanted, absent) = (call.header("if-match"), call.header("if-none-match"));
    if wanted.is_none() && absent.is_none() {
        return Verdict::Pass;
    }
    let head = Call {
        method: Method::HEAD,
        path: call.path.split('?').next().unwrap_or("/").to_owned(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
    };
    let found = upstream.ask(head).await.unwrap();
    let etag = found.status().is_success().then(|| found.headers().get(ETAG)).flatten();
    match (wanted, etag.and_then(|etag| etag.to_str().ok())) {
        (Some(_), None) => Verdict::s3_error(404, "NoSuchKey"),
        (Some(wanted), Some(etag)) if wanted != etag => Verdict::s3_error(412, "PreconditionFailed"),
        (None, Some(_)) => Verdict::s3_error(412, "PreconditionFailed"),
        _ => Verdict::Pass,
    }
}

/// What was given back is not in flight any more, and its receipt keeps nothing.
fn keep_in_flight(call: &Call, given_back: &Mutex<HashSet<String>>) -> Verdict {
    let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let receipt = call.field("ReceiptHandle").unwrap_or_default();
    let mut given_back = given_back.lock().unwrap_or_else(PoisonError::into_inner);
    if given_back.contains(&receipt) {
        return Verdict::json_error(400, "MessageNotInflight", "The specified message isn't in flight.");
    }
    if body["VisibilityTimeout"] == 0 {
        given_back.insert(receipt);
    }
    Verdict::Pass
}

#[derive(PartialEq, Eq)]
enum Answer {
    Last,
    Beat,
}

/// A task is answered once.
fn answer_once(call: &Call, answered: &Mutex<HashSet<String>>, answer: Answer) -> Verdict {
    let token = call.field("taskToken").unwrap_or_default();
    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let late = answered.contains(&token);
    if answer == Answer::Last {
        answered.insert(token);
    }
    if late {
        Verdict::json_error(400, "TaskTimedOut", "Provided task does not exist anymore")
    } else {
        Verdict::Pass
    }
}
