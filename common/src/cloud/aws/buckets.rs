//! Buckets: which one, and made when something is first written to it.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use super::error::{failed, says};
use super::names::{Names, Root};
use crate::cloud::Result;
use crate::cloud::files::{At, Space};
use crate::domain::names::{PublicHost, SiteTarget};

/// The region that must not be named when a bucket is made.
const UNNAMED_REGION: &str = "us-east-1";

/// The buckets of one environment.
pub(super) struct Buckets {
    s3: Client,
    names: Arc<Names>,
    region: String,
}

/// A file's place in S3.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
}

impl Buckets {
    /// Of the account behind this client.
    pub(super) fn new(s3: Client, names: Arc<Names>, region: &str) -> Self {
        Self { s3, names, region: region.to_owned() }
    }

    /// Where a space begins.
    pub(super) async fn root(&self, space: &Space) -> Result<Root> {
        self.names.root(space).await
    }

    /// Where a file lies.
    pub(super) async fn place(&self, at: &At) -> Result<Place> {
        let root = self.root(&at.space).await?;
        Ok(Place { bucket: root.bucket, key: format!("{}{}", root.prefix, at.key) })
    }

    /// Where browsers get a site from its bucket.
    pub(super) fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.names.sites.public_host(site)
    }

    /// Makes a private bucket; fine when it is there.
    pub(super) async fn make(&self, bucket: &str) -> Result<()> {
        let place = (self.region != UNNAMED_REGION).then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let made = self.s3.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if says(&error, &["BucketAlreadyOwnedByYou"]) => Ok(()),
            Err(error) => Err(failed(&format!("making the bucket {bucket}"), &error)),
        }
    }
}
