//! The six doors over SQS, DynamoDB, S3, SES and Step Functions. The only home of the AWS SDK: nothing above sees a type
//! of it.
//!
//! Queues and buckets are made on first use; tables are made by [`provision`].

mod attempts;
pub mod bedrock;
mod buckets;
mod callback;
mod claim_row;
mod claims;
mod connect;
mod error;
mod files;
mod files_copy;
mod mailer;
mod names;
mod pointer;
pub mod provision;
mod queue;
mod queue_urls;
mod store;
mod store_item;
mod store_pages;
mod tables;
#[cfg(feature = "contract")]
pub mod testing;

use std::sync::Arc;

use super::{Cloud, CloudError, Result};
use crate::clock::Clock;
use crate::config::CloudSettings;
use connect::Clients;

/// Opens the cloud of an account. Nothing is asked of it yet.
pub async fn open(settings: &CloudSettings, clock: Clock) -> Result<Cloud> {
    let sites = settings.aws.site_buckets();
    if sites.preview == sites.live {
        return Err(CloudError::Invalid(format!(
            "previews and live sites would both lie in {}: set S3_BUCKET_PATTERN or S3_LIVE_BUCKET_PATTERN",
            sites.live
        )));
    }
    let clients = Clients::connect(&settings.aws).await;
    let names = Arc::new(names::Names::new(settings, &clients));
    let buckets = Arc::new(buckets::Buckets::new(clients.s3.clone(), Arc::clone(&names), &clients.region));
    let files = Arc::new(files::AwsFiles::new(clients.s3, buckets));
    let urls = Arc::new(queue_urls::QueueUrls::new(clients.sqs.clone(), Arc::clone(&names)));
    let pointers = pointer::Pointers::new(files.clone());
    Ok(Cloud {
        queues: Arc::new(queue::AwsQueues::new(clients.sqs, Arc::clone(&urls), pointers)),
        claims: Arc::new(claims::AwsClaims::new(clients.dynamodb.clone(), &names)),
        store: Arc::new(store::AwsStore::new(clients.dynamodb, Arc::clone(&names), clock.clone())),
        files,
        mailer: Arc::new(mailer::AwsMailer::new(clients.sesv2, &clients.region, &settings.aws)),
        callback: Arc::new(callback::AwsCallback::new(clients.sfn, names, urls)),
        clock,
    })
}
