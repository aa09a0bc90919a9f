//! One shared configuration for all clients: where the account is, how long a call may take, how it is tried again.

use std::time::Duration;

use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::Credentials;
use url::{Host, Url};

use crate::config::AwsSettings;

const CONNECT: Duration = Duration::from_secs(3);
/// One try of a call. A lease of 45 s leaves room for several.
const ATTEMPT: Duration = Duration::from_secs(6);
/// A call with all its tries.
const OPERATION: Duration = Duration::from_secs(20);
/// The same for bodies of up to 48 MiB.
const TRANSFER_ATTEMPT: Duration = Duration::from_mins(2);
const TRANSFER: Duration = Duration::from_mins(5);
const MAX_ATTEMPTS: u32 = 4;
/// Where an endpoint of our own is said to be when nobody says it.
const DEFAULT_REGION: &str = "us-east-1";

/// A client per service, over one HTTP client, one cache of credentials and one set of rules.
pub(super) struct Clients {
    pub(super) region: String,
    pub(super) dynamodb: aws_sdk_dynamodb::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) sesv2: aws_sdk_sesv2::Client,
    pub(super) sfn: aws_sdk_sfn::Client,
    pub(super) sqs: aws_sdk_sqs::Client,
    pub(super) sts: aws_sdk_sts::Client,
}

impl Clients {
    /// Reads profile and credentials as every AWS program does; no call is made.
    pub(super) async fn connect(settings: &AwsSettings) -> Self {
        Self::over(&load(settings).await, settings.aws_endpoint_url.is_some())
    }

    fn over(config: &SdkConfig, own_endpoint: bool) -> Self {
        let transfer = timeouts(TRANSFER_ATTEMPT, TRANSFER);
        // Names of buckets are no names of hosts at an endpoint of our own.
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(transfer)
            .force_path_style(own_endpoint)
            .build();
        Self {
            region: config.region().map_or(DEFAULT_REGION, |region| region.as_ref()).to_owned(),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sesv2: aws_sdk_sesv2::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }
}

/// Region and credentials as every AWS program finds them.
pub(super) async fn load(settings: &AwsSettings) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::adaptive().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts(ATTEMPT, OPERATION));
    if let Some(region) = settings.region() {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = &settings.aws_profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &settings.aws_endpoint_url {
        loader = loader.endpoint_url(endpoint.as_str());
        if settings.aws_profile.is_none() && is_loopback(endpoint) {
            loader = loader.credentials_provider(local_credentials());
        }
    }
    loader.load().await
}

/// How long calls may take.
pub(super) fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

impl AwsSettings {
    /// The region that is set; an endpoint of our own needs none.
    fn region(&self) -> Option<String> {
        let default = self.aws_endpoint_url.is_some().then(|| DEFAULT_REGION.to_owned());
        self.aws_region.clone().or(default)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An endpoint on this machine believes anybody; nobody is asked for real credentials on its behalf.
fn local_credentials() -> CredentialsProviderChain {
    let anybody = Credentials::new("local", "local", None, None, "loopback endpoint");
    CredentialsProviderChain::first_try(
        "environment",
        aws_config::environment::EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else("loopback endpoint", anybody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:4566", true),
            ("http://[::1]:4566", true),
            ("http://localhost:4566", true),
            ("http://ministack:4566", false),
            ("https://sqs.eu-central-1.amazonaws.com", false),
            ("http://localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
