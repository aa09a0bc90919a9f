//! Provisioning: from nothing to ready, once more without a change, and never where another environment lives.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: a panic is how it fails")]

use std::collections::BTreeSet;

use common::clock::Clock;
use common::cloud::CloudError;
use common::cloud::aws::{self, testing};
use common::cloud::contract::endpoint::{Endpoint, fresh_prefix, settings, settings_under};
use common::cloud::provision::{self, Item, Kind, Standing};
use common::cloud::queue::Outgoing;
use common::cloud::store::Table;
use common::domain::ids::ProjectUser;
use common::domain::names::{OBJECTS_KEPT_FOR_DAYS, Queue};
use serde_json::{Value, json};

fn standings(items: &[Item]) -> BTreeSet<&'static str> {
    let word = |item: &Item| match item.standing {
        Standing::Ready => "ready",
        Standing::Missing => "missing",
        Standing::Differs(_) => "differs",
        Standing::Foreign(_) => "foreign",
    };
    items.iter().map(word).collect()
}

#[tokio::test]
async fn what_is_missing_is_made_once() {
    let settings = settings(Endpoint::shared().url());
    let plan = provision::look(&settings).await.unwrap();
    assert_eq!(standings(&plan), BTreeSet::from(["missing"]));
    assert_eq!(plan.iter().filter(|item| item.kind == Kind::Table).count(), Table::ALL.len() + 1);
    assert_eq!(plan.iter().filter(|item| item.kind == Kind::Queue).count(), 7);
    assert!(plan.iter().all(|item| item.name.starts_with(settings.prefix.as_str())), "{plan:?}");

    assert_eq!(provision::make(&settings).await.unwrap(), plan, "the plan is what was done");
    let after = provision::look(&settings).await.unwrap();
    assert_eq!(standings(&after), BTreeSet::from(["ready"]), "{after:?}");
    assert_eq!(provision::make(&settings).await.unwrap(), after, "a second run changes nothing");
    assert_eq!(provision::look(&settings).await.unwrap(), after);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let settings = settings(Endpoint::shared().url());
    let plan = provision::look(&settings).await.unwrap();
    assert_eq!(provision::look(&settings).await.unwrap(), plan);
}

#[tokio::test]
async fn what_was_made_on_first_use_is_what_would_have_been_made() {
    let settings = settings(Endpoint::shared().url());
    let cloud = aws::open(&settings, Clock::System).await.unwrap();
    let key = ProjectUser::parse("amelia#scott").unwrap();
    cloud.queues.send(&Queue::Email, Outgoing::standard("x")).await.unwrap();
    cloud.queues.send(&Queue::Input(key), Outgoing::fifo("x", "g", "id")).await.unwrap();
    let plan = provision::look(&settings).await.unwrap();
    let ready: BTreeSet<_> = plan
        .iter()
        .filter(|item| item.standing == Standing::Ready)
        .map(|item| item.name.strip_prefix(settings.prefix.as_str()).unwrap())
        .collect();
    assert_eq!(ready, BTreeSet::from(["-email-dead", "-dead.fifo"]));
    let email = plan.iter().find(|item| item.name.ends_with("-email")).unwrap();
    let who = Standing::Differs("SNS and S3 may not put notices on it".into());
    assert_eq!(email.standing, who, "who else may write to it is said by provisioning alone");
}

/// What the policies of the private bucket and the email queue allow, as AWS keeps them.
#[tokio::test]
async fn only_services_of_this_account_may_bring_mails_and_what_others_said_stays() {
    let settings = settings(Endpoint::shared().url());
    provision::make(&settings).await.unwrap();
    let bucket = statements(&testing::bucket_policy(&settings).await.unwrap());
    let queue = statements(&testing::email_queue_policy(&settings).await.unwrap());
    assert_eq!((bucket.len(), queue.len()), (1, 2));
    for statement in bucket.iter().chain(&queue) {
        assert_eq!(
            statement["Condition"]["StringEquals"]["aws:SourceAccount"], "000000000000",
            "{statement}"
        );
        let source = statement["Condition"]["StringLike"]["aws:SourceArn"].as_str().unwrap();
        assert!(source.contains("000000000000"), "{statement}");
    }
    assert_eq!(bucket[0]["Principal"]["Service"], "ses.amazonaws.com");
    assert!(bucket[0]["Resource"].as_str().unwrap().ends_with("/mail/inbound/*"), "{bucket:?}");

    let theirs = json!({"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject",
        "Resource": bucket[0]["Resource"]});
    let policy = json!({"Version": "2012-10-17", "Statement": [theirs]}).to_string();
    testing::set_bucket_policy(&settings, policy).await.unwrap();
    assert_eq!(standings(&provision::make(&settings).await.unwrap()), BTreeSet::from(["differs", "ready"]));
    assert_eq!(statements(&testing::bucket_policy(&settings).await.unwrap()), [theirs, bucket[0].clone()]);
}

/// Whoever shares the bucket may have it forget more, and count its costs by tags.
#[tokio::test]
async fn rules_and_tags_that_others_gave_the_bucket_stay() {
    let settings = settings(Endpoint::shared().url());
    provision::make(&settings).await.unwrap();
    let (ours, tags) = testing::bucket_rules_and_tags(&settings).await.unwrap();
    let rule = |(prefix, days): (&str, u16)| (format!("hermes {prefix}"), prefix.to_owned(), days.into());
    let mut wanted = OBJECTS_KEPT_FOR_DAYS.map(rule);
    wanted.sort();
    assert_eq!(ours, wanted);

    let theirs = ("theirs".to_owned(), "exports/".to_owned(), 7);
    let costs = ("costs".to_owned(), "web".to_owned());
    let theirs_and_owner = [tags.clone(), vec![costs]].concat();
    testing::set_bucket_rule_and_tags(&settings, theirs.clone(), theirs_and_owner.clone()).await.unwrap();
    assert_eq!(standings(&provision::make(&settings).await.unwrap()), BTreeSet::from(["differs", "ready"]));
    let (rules, after) = testing::bucket_rules_and_tags(&settings).await.unwrap();
    assert_eq!(rules, [ours, vec![theirs]].concat(), "sorted by their ids");
    let mut all = theirs_and_owner;
    all.sort();
    assert_eq!(after, all);
    assert_eq!(standings(&provision::look(&settings).await.unwrap()), BTreeSet::from(["ready"]));
}

fn statements(policy: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_carries_another_prefix_is_not_touched() {
    let theirs = settings(Endpoint::shared().url());
    provision::make(&theirs).await.unwrap();
    let mut ours = settings_under(Endpoint::shared().url(), &fresh_prefix());
    ours.aws.tables.session_table = Some(format!("{}-edit-sessions", theirs.prefix.as_str()));
    let plan = provision::look(&ours).await.unwrap();
    assert_eq!(plan.iter().filter(|item| matches!(item.standing, Standing::Foreign(_))).count(), 1);
    let refused = provision::make(&ours).await;
    assert!(matches!(refused, Err(CloudError::Invalid(_))), "{refused:?}");
    assert_eq!(provision::look(&ours).await.unwrap(), plan, "nothing else was made either");
}

/// The name of a table says nothing here, but its tag does.
#[tokio::test]
async fn what_is_tagged_by_another_environment_is_not_touched() {
    let endpoint = Endpoint::shared().url();
    let (mut theirs, mut ours) = (settings(endpoint), settings(endpoint));
    let table = format!("{}x", fresh_prefix());
    theirs.aws.tables.active_jobs_table = Some(table.clone());
    ours.aws.tables.active_jobs_table = Some(table.clone());
    provision::make(&theirs).await.unwrap();
    let refused = provision::make(&ours).await.unwrap_err().to_string();
    assert!(refused.contains(&table) && refused.contains(theirs.prefix.as_str()), "{refused}");
}
