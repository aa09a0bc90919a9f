//! Where AWS is and what things are called there. Credentials come from where every AWS program finds them.

use clap::Args;
use url::Url;

use crate::domain::names::{BucketPattern, SiteBuckets};

/// The preview bucket when no pattern is set: the prefix, then this.
const SITE_DOMAIN: &str = "{projectId}.webordinary.com";

/// Settings that matter under `HERMES_CLOUD=aws` only.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS (HERMES_CLOUD=aws)")]
pub struct AwsSettings {
    /// The region. Default: the profile's, else the machine's; us-east-1 when AWS_ENDPOINT_URL is set.
    #[arg(long, env = "AWS_REGION", value_name = "REGION", global = true)]
    pub aws_region: Option<String>,

    /// The profile of ~/.aws that has the credentials. Default: the task's or machine's own role, or AWS_ACCESS_KEY_ID
    /// and AWS_SECRET_ACCESS_KEY.
    #[arg(long, env = "AWS_PROFILE", value_name = "NAME", global = true)]
    pub aws_profile: Option<String>,

    /// One address for all services instead of Amazon's, such as a stand-in on this machine.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", global = true)]
    pub aws_endpoint_url: Option<Url>,

    /// The account's id, for names. Default: asked for.
    #[arg(long, env = "AWS_ACCOUNT_ID", value_name = "ID", global = true)]
    pub aws_account_id: Option<String>,

    /// The bucket of a project's preview. Default: S3_BUCKET_PREFIX and {projectId}.webordinary.com.
    #[arg(long, env = "S3_BUCKET_PATTERN", value_name = "PATTERN", global = true)]
    pub s3_bucket_pattern: Option<BucketPattern>,

    /// What the bucket of a preview starts with when no pattern is set; must make a legal name.
    #[arg(long, env = "S3_BUCKET_PREFIX", value_parser = preview_pattern, value_name = "TEXT", default_value = "edit.", global = true)]
    pub s3_bucket_prefix: BucketPattern,

    /// The bucket of a live site.
    #[arg(long, env = "S3_LIVE_BUCKET_PATTERN", value_name = "PATTERN", default_value = SITE_DOMAIN, global = true)]
    pub s3_live_bucket_pattern: BucketPattern,

    /// The address of the unclaimed queue. Default: asked for by its name.
    #[arg(long, env = "UNCLAIMED_QUEUE_URL", value_name = "URL", global = true)]
    pub unclaimed_queue_url: Option<String>,

    /// The configuration set that outgoing mail is sent with: it says where bounces and complaints go.
    #[arg(long, env = "HERMES_SES_CONFIGURATION_SET", value_name = "NAME", global = true)]
    pub ses_configuration_set: Option<String>,

    /// The role that the state machine acts by: `hermes provision` makes the machine when it is set.
    #[arg(long, env = "HERMES_STATE_MACHINE_ROLE_ARN", value_name = "ARN", global = true)]
    pub state_machine_role_arn: Option<String>,

    /// Tables of another name.
    #[command(flatten)]
    pub tables: TableSettings,
}

/// Tables that have another name than PREFIX-name.
#[derive(Debug, Clone, Default, Args)]
pub struct TableSettings {
    /// The table of claims (also CONTAINER_OWNERSHIP_TABLE). Default: PREFIX-container-ownership.
    #[arg(long, env = "OWNERSHIP_TABLE_NAME", value_name = "TABLE", global = true)]
    pub ownership_table_name: Option<String>,

    /// The older name of OWNERSHIP_TABLE_NAME.
    #[arg(long, env = "CONTAINER_OWNERSHIP_TABLE", value_name = "TABLE", hide = true, global = true)]
    pub container_ownership_table: Option<String>,

    /// The table of sessions. Default: PREFIX-edit-sessions.
    #[arg(long, env = "SESSION_TABLE", value_name = "TABLE", global = true)]
    pub session_table: Option<String>,

    /// The table of Message-IDs. Default: PREFIX-thread-mappings.
    #[arg(long, env = "THREAD_MAPPINGS_TABLE", value_name = "TABLE", global = true)]
    pub thread_mappings_table: Option<String>,

    /// The table of running jobs. Default: PREFIX-active-jobs.
    #[arg(long, env = "ACTIVE_JOBS_TABLE", value_name = "TABLE", global = true)]
    pub active_jobs_table: Option<String>,
}

impl AwsSettings {
    /// The buckets of the sites.
    pub fn site_buckets(&self) -> SiteBuckets {
        let preview = self.s3_bucket_pattern.clone().unwrap_or_else(|| self.s3_bucket_prefix.clone());
        SiteBuckets { preview, live: self.s3_live_bucket_pattern.clone() }
    }
}

impl TableSettings {
    /// The name of the ownership table, when it is another.
    pub fn ownership(&self) -> Option<&String> {
        self.ownership_table_name.as_ref().or(self.container_ownership_table.as_ref())
    }
}

fn preview_pattern(prefix: &str) -> Result<BucketPattern, String> {
    let pattern = BucketPattern::parse(&format!("{prefix}{SITE_DOMAIN}")).map_err(|e| e.to_string())?;
    if prefix.is_empty() {
        return Err("previews would lie in the buckets of the live sites".to_owned());
    }
    Ok(pattern)
}
