//! The contract suite on AWS-compatible endpoints, each case a test of its own. docs/aws-endpoints.md lists which endpoint
//! proves which case; there is no case without one.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is how it fails")]
#![allow(clippy::print_stdout, reason = "a test says where it failed")]

use std::sync::Arc;

use common::clock::Clock;
use common::cloud::aws;
use common::cloud::contract::endpoint::front::Front;
use common::cloud::contract::endpoint::{Endpoint, as_aws_does, settings};
use common::cloud::contract::{CASES, Case, Passing, Stage};
use common::config::CloudSettings;

/// An endpoint that proves a case, besides the local cloud (`local_cloud.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// ministack as it is.
    Ministack,
    /// ministack of our own, with its clock moved.
    Moved,
    /// ministack behind a stub that refuses what AWS refuses.
    Stub,
    /// localemu as it is.
    Localemu,
    /// moto as it is.
    Moto,
}

impl Proof {
    /// Where a case is proven: on ministack where that is right, and wherever another endpoint is known to be more exact.
    fn all_of(name: &str) -> &'static [Self] {
        match name {
            "fifo::a_duplicate_is_known_for_five_minutes" => &[Self::Moved],
            "queues::an_older_receipt_cannot_extend"
            | "files::a_copy_is_made_once"
            | "files::a_copy_replaces_on_its_etag"
            | "callback::only_the_first_answer_is_heard"
            | "callback::a_sign_of_life_is_heard_until_the_answer" => &[Self::Stub],
            _ if name.starts_with("callback::") => &[Self::Ministack, Self::Localemu],
            _ if name.starts_with("limits::") => &[Self::Ministack, Self::Moto],
            _ => &[Self::Ministack],
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ministack => "ministack",
            Self::Moved => "ministack, clock moved",
            Self::Stub => "stub before ministack",
            Self::Localemu => "localemu",
            Self::Moto => "moto",
        }
    }
}

fn run(name: &str) {
    let proofs = Proof::all_of(name);
    assert!(!proofs.is_empty(), "no endpoint proves it");
    for proof in proofs {
        // Said when it fails.
        println!("on {}", proof.word());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(prove(name, *proof));
    }
}

async fn prove(name: &str, proof: Proof) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let as_it_is = async |endpoint: &Endpoint| stage(name, &settings(endpoint.url()), Passing::Real).await;
    match proof {
        Proof::Ministack => (case.run)(as_it_is(Endpoint::shared()).await).await,
        Proof::Localemu => (case.run)(as_it_is(Endpoint::shared_localemu()).await).await,
        Proof::Moto => (case.run)(as_it_is(Endpoint::shared_moto()).await).await,
        Proof::Moved => {
            let endpoint = Arc::new(Endpoint::ministack());
            let settings = settings(endpoint.url());
            (case.run)(stage(name, &settings, Passing::Moved(endpoint)).await).await;
        }
        Proof::Stub => {
            let front = Front::before(Endpoint::shared().url(), as_aws_does()).await;
            (case.run)(stage(name, &settings(front.url()), Passing::Real).await).await;
        }
    }
}

/// A fresh environment with what the case's door needs.
async fn stage(name: &str, settings: &CloudSettings, time: Passing) -> Stage {
    let door = name.split("::").next().unwrap();
    if matches!(door, "claims" | "store" | "lists") {
        aws::provision::make_tables(settings).await.unwrap();
    }
    if door == "mailer" {
        aws::testing::verify_sender(settings, "hermes@example.org").await.unwrap();
    }
    let mut stage = Stage::new(aws::open(settings, Clock::System).await.unwrap(), time);
    if door == "callback" {
        let token = aws::testing::task_token(settings).await.unwrap();
        stage.tokens = Arc::new(move || token.clone());
    }
    stage
}

macro_rules! tests {
    ($($door:ident { $($fact:ident: $needs:ident,)+ })+) => {
        $(mod $door {
            $(#[test]
            fn $fact() {
                super::run(concat!(stringify!($door), "::", stringify!($fact)));
            })+
        })+
    };
}

common::contract_cases!(tests);

#[test]
fn the_page_says_which_endpoint_proves_which_case() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aws-endpoints.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `") && line.contains("::")).collect();
    let row = |case: &Case| {
        let words: Vec<_> = Proof::all_of(case.name).iter().map(|proof| proof.word()).collect();
        format!("| `{}` | local, {} |", case.name, words.join(", "))
    };
    let expected: Vec<String> = CASES.iter().map(row).collect();
    assert_eq!(rows, expected);
}
