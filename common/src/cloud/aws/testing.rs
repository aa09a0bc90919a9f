//! What the contract suite needs to be there: task tokens that somebody waits for, and an address that mail may be sent
//! from.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    Tag, Tagging,
};
use aws_sdk_sfn::types::StateMachineType;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::connect::Clients;
use super::error::{failed, says};
use super::names::Names;
use crate::cloud::{CloudError, Result};
use crate::config::CloudSettings;
use crate::domain::names::Queue;

/// The id of a rule of forgetting, its prefix and its days.
pub type BucketRule = (String, String, i32);
/// Key and value.
pub type BucketTag = (String, String);

/// A token of an execution that waits for its answer.
pub async fn task_token(settings: &CloudSettings) -> Result<String> {
    let clients = Clients::connect(&settings.aws).await;
    let name = format!("{}-tokens", settings.prefix.as_str());
    let queue = clients.sqs.create_queue().queue_name(&name).send().await;
    let queue = queue.map_err(|error| failed("making a queue", &error))?.queue_url.unwrap_or_default();
    let machine = clients
        .sfn
        .create_state_machine()
        .name(&name)
        .role_arn("arn:aws:iam::000000000000:role/test")
        .r#type(StateMachineType::Standard)
        .definition(definition(&queue))
        .send()
        .await
        .map_err(|error| failed("making a state machine", &error))?;
    let start = clients.sfn.start_execution().state_machine_arn(machine.state_machine_arn).input("{}");
    start.send().await.map_err(|error| failed("starting an execution", &error))?;
    let received = clients.sqs.receive_message().queue_url(&queue).wait_time_seconds(5).send().await;
    let messages = received.map_err(|error| failed("receiving a token", &error))?.messages;
    let body = messages.and_then(|mut all| all.pop()).and_then(|message| message.body);
    body.and_then(|body| {
        let body: serde_json::Value = serde_json::from_str(&body).ok()?;
        body.get("token")?.as_str().map(str::to_owned)
    })
    .ok_or_else(|| CloudError::unavailable("receiving a token", "there is none"))
}

/// How the execution of a command stands: `RUNNING`, `SUCCEEDED`, `FAILED`; none before it was started. Its output or error
/// comes along.
pub async fn execution(settings: &CloudSettings, command: &str) -> Result<Option<(String, String)>> {
    let clients = Clients::connect(&settings.aws).await;
    let names = Names::new(settings, &clients);
    let machine = names.state_machine_arn().await?;
    let arn = format!("{}:{command}", machine.replace(":stateMachine:", ":execution:"));
    match clients.sfn.describe_execution().execution_arn(arn).send().await {
        Ok(found) => {
            Ok(Some((found.status.as_str().to_owned(), found.output.or(found.error).unwrap_or_default())))
        }
        Err(error) if says(&error, &["ExecutionDoesNotExist"]) => Ok(None),
        Err(error) => Err(failed("looking at an execution", &error)),
    }
}

/// Changes the state machine that was provisioned, such as a number in it.
pub async fn change_machine(settings: &CloudSettings, change: impl Fn(&str) -> String) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    let arn = Names::new(settings, &clients).state_machine_arn().await?;
    let found = clients.sfn.describe_state_machine().state_machine_arn(&arn).send().await;
    let before = found.map_err(|error| failed("looking at the state machine", &error))?.definition;
    let request = clients.sfn.update_state_machine().state_machine_arn(arn).definition(change(&before));
    request.send().await.map(drop).map_err(|error| failed("changing the state machine", &error))
}

/// The names of the states that the execution of a command has entered, sorted: its branches run at once.
pub async fn states_entered(settings: &CloudSettings, command: &str) -> Result<Vec<String>> {
    let clients = Clients::connect(&settings.aws).await;
    let machine = Names::new(settings, &clients).state_machine_arn().await?;
    let arn = format!("{}:{command}", machine.replace(":stateMachine:", ":execution:"));
    let history = clients.sfn.get_execution_history().execution_arn(arn).max_results(1000).send().await;
    let events = history.map_err(|error| failed("reading a history", &error))?.events;
    let entered = events.into_iter().filter_map(|event| Some(event.state_entered_event_details?.name));
    let mut entered: Vec<String> = entered.collect();
    entered.sort();
    Ok(entered)
}

/// Takes the table of claims away.
pub async fn delete_claims(settings: &CloudSettings) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    let table = Names::new(settings, &clients).ownership_table();
    let answer = clients.dynamodb.delete_table().table_name(table).send().await;
    answer.map(drop).map_err(|error| failed("deleting a table", &error))
}

/// Takes a queue away behind the back of who knows it.
pub async fn delete_queue(settings: &CloudSettings, queue: &Queue) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    let url = clients.sqs.get_queue_url().queue_name(queue.name(&settings.prefix)).send().await;
    let url = url.map_err(|error| failed("looking for a queue", &error))?.queue_url.unwrap_or_default();
    let answer = clients.sqs.delete_queue().queue_url(url).send().await;
    answer.map(drop).map_err(|error| failed("deleting a queue", &error))
}

/// Who may do what with the private bucket.
pub async fn bucket_policy(settings: &CloudSettings) -> Result<String> {
    let clients = Clients::connect(&settings.aws).await;
    let bucket = Names::new(settings, &clients).objects_bucket().await?;
    let answer = clients.s3.get_bucket_policy().bucket(bucket).send().await;
    Ok(answer.map_err(|error| failed("reading a policy", &error))?.policy.unwrap_or_default())
}

/// Says who may do what with the private bucket.
pub async fn set_bucket_policy(settings: &CloudSettings, policy: String) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    let bucket = Names::new(settings, &clients).objects_bucket().await?;
    let answer = clients.s3.put_bucket_policy().bucket(bucket).policy(policy).send().await;
    answer.map(drop).map_err(|error| failed("setting a policy", &error))
}

/// What the private bucket forgets (the id of each rule, its prefix and days), and its tags, sorted.
pub async fn bucket_rules_and_tags(settings: &CloudSettings) -> Result<(Vec<BucketRule>, Vec<BucketTag>)> {
    let clients = Clients::connect(&settings.aws).await;
    let bucket = Names::new(settings, &clients).objects_bucket().await?;
    let answer = clients.s3.get_bucket_lifecycle_configuration().bucket(&bucket).send().await;
    let rules = answer.map_err(|error| failed("reading the lifecycle", &error))?.rules.unwrap_or_default();
    let rule = |rule: LifecycleRule| {
        let prefix = rule.filter.and_then(|filter| filter.prefix).unwrap_or_default();
        let days = rule.expiration.and_then(|expiration| expiration.days).unwrap_or_default();
        (rule.id.unwrap_or_default(), prefix, days)
    };
    let answer = clients.s3.get_bucket_tagging().bucket(&bucket).send().await;
    let tags = answer.map_err(|error| failed("reading tags", &error))?.tag_set;
    let mut rules: Vec<_> = rules.into_iter().map(rule).collect();
    let mut tags: Vec<_> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    rules.sort();
    tags.sort();
    Ok((rules, tags))
}

/// Gives the private bucket this rule of forgetting and these tags, and no others.
pub async fn set_bucket_rule_and_tags(
    settings: &CloudSettings,
    (id, prefix, days): BucketRule,
    tags: Vec<BucketTag>,
) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    let bucket = Names::new(settings, &clients).objects_bucket().await?;
    let rule = LifecycleRule::builder()
        .id(id)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .expiration(LifecycleExpiration::builder().days(days).build())
        .build()
        .map_err(invalid)?;
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().map_err(invalid)?;
    let request = clients.s3.put_bucket_lifecycle_configuration().bucket(&bucket);
    let answer = request.lifecycle_configuration(rules).send().await;
    answer.map_err(|error| failed("setting the lifecycle", &error))?;
    let tag = |(key, value): BucketTag| Tag::builder().key(key).value(value).build();
    let tags = tags.into_iter().map(tag).collect::<std::result::Result<_, _>>().map_err(invalid)?;
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build().map_err(invalid)?;
    let answer = clients.s3.put_bucket_tagging().bucket(bucket).tagging(tagging).send().await;
    answer.map(drop).map_err(|error| failed("setting tags", &error))
}

fn invalid(error: impl std::fmt::Display) -> CloudError {
    CloudError::Invalid(error.to_string())
}

/// Who may do what with the email queue.
pub async fn email_queue_policy(settings: &CloudSettings) -> Result<String> {
    let clients = Clients::connect(&settings.aws).await;
    let name = Queue::Email.name(&settings.prefix);
    let url = clients.sqs.get_queue_url().queue_name(name).send().await;
    let url = url.map_err(|error| failed("looking for a queue", &error))?.queue_url.unwrap_or_default();
    let asked = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::Policy);
    let answer = asked.send().await.map_err(|error| failed("reading a policy", &error))?;
    let mut attributes = answer.attributes.unwrap_or_default();
    Ok(attributes.remove(&QueueAttributeName::Policy).unwrap_or_default())
}

/// Lets mail be sent from an address.
pub async fn verify_sender(settings: &CloudSettings, address: &str) -> Result<()> {
    let clients = Clients::connect(&settings.aws).await;
    match clients.sesv2.create_email_identity().email_identity(address).send().await {
        Ok(_) => Ok(()),
        Err(error) if says(&error, &["AlreadyExistsException"]) => Ok(()),
        Err(error) => Err(failed("verifying a sender", &error)),
    }
}

fn definition(queue: &str) -> String {
    json!({
        "StartAt": "Wait",
        "States": {"Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
            "End": true
        }}
    })
    .to_string()
}
