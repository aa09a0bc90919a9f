//! Which table and which bucket. Names come from `domain::names`, or from the settings that take their place.

use aws_sdk_sts::Client as Sts;
use tokio::sync::OnceCell;

use super::connect::Clients;
use super::error::failed;
use crate::cloud::files::Space;
use crate::cloud::store::Table;
use crate::cloud::{CloudError, Result};
use crate::config::{CloudSettings, TableSettings};
use crate::domain::names::{self, Prefix, SiteBuckets, SiteTarget};

/// The names of one environment.
pub(super) struct Names {
    pub(super) prefix: Prefix,
    pub(super) unclaimed_url: Option<String>,
    tables: TableSettings,
    pub(super) sites: SiteBuckets,
    account: OnceCell<String>,
    region: String,
    sts: Sts,
}

/// Where a space begins: a bucket, and what all its keys start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) bucket: String,
    pub(super) prefix: String,
}

impl Names {
    /// The names that the settings make.
    pub(super) fn new(settings: &CloudSettings, clients: &Clients) -> Self {
        Self {
            prefix: settings.prefix.clone(),
            unclaimed_url: settings.aws.unclaimed_queue_url.clone(),
            tables: settings.aws.tables.clone(),
            sites: settings.aws.site_buckets(),
            region: clients.region.clone(),
            account: OnceCell::new_with(settings.aws.aws_account_id.clone()),
            sts: clients.sts.clone(),
        }
    }

    /// A table's name.
    pub(super) fn table(&self, table: Table) -> String {
        let chosen = match table {
            Table::EditSessions => self.tables.session_table.as_ref(),
            Table::ThreadMappings => self.tables.thread_mappings_table.as_ref(),
            Table::ActiveJobs => self.tables.active_jobs_table.as_ref(),
            _ => None,
        };
        chosen.cloned().unwrap_or_else(|| names::table(&self.prefix, table.spec().name))
    }

    /// The name of the ownership table.
    pub(super) fn ownership_table(&self) -> String {
        let chosen = self.tables.ownership();
        chosen.cloned().unwrap_or_else(|| names::table(&self.prefix, names::OWNERSHIP_TABLE))
    }

    /// Where the files of a space lie. A thread's own preview lies among the private objects: buckets are too few.
    pub(super) async fn root(&self, space: &Space) -> Result<Root> {
        let whole = |bucket: String| Root { bucket, prefix: String::new() };
        Ok(match space {
            Space::Objects => whole(self.objects_bucket().await?),
            Space::Site(SiteTarget::Live(project)) => whole(self.sites.live(project)),
            Space::Site(SiteTarget::Preview(project)) => whole(self.sites.preview(project)),
            Space::Site(SiteTarget::Thread(project, key)) => Root {
                bucket: self.objects_bucket().await?,
                prefix: names::thread_pages_prefix(project, key),
            },
        })
    }

    /// The private bucket.
    pub(super) async fn objects_bucket(&self) -> Result<String> {
        Ok(names::objects_bucket(&self.prefix, self.account().await?))
    }

    /// The state machine of this environment.
    pub(super) async fn state_machine_arn(&self) -> Result<String> {
        let (partition, region) = (self.partition(), &self.region);
        let (account, name) = (self.account().await?, names::state_machine(&self.prefix));
        Ok(format!("arn:{partition}:states:{region}:{account}:stateMachine:{name}"))
    }

    /// The first part of the names of everything (`arn:aws:...`).
    pub(super) fn partition(&self) -> &'static str {
        partition_of(&self.region)
    }

    /// The region.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The account's id: as set, else asked for once.
    pub(super) async fn account(&self) -> Result<&str> {
        let account = self.account.get_or_try_init(|| self.ask_for_account()).await?;
        Ok(account)
    }

    async fn ask_for_account(&self) -> Result<String> {
        let what = "asking for the account's id (AWS_ACCOUNT_ID is not set)";
        let answer = self.sts.get_caller_identity().send().await.map_err(|e| failed(what, &e))?;
        answer.account.ok_or_else(|| CloudError::unavailable(what, "there is none in the answer"))
    }
}

/// The partition that a region belongs to: the regions of each start alike
/// (<https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>).
fn partition_of(region: &str) -> &'static str {
    const STARTS: [(&str, &str); 2] = [("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")];
    let found = STARTS.iter().find(|(start, _)| region.starts_with(start));
    found.map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_in_the_partition_whose_names_it_has() {
        let regions = [
            ("eu-central-1", "aws"),
            ("us-east-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-gov-east-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
            ("cn-northwest-1", "aws-cn"),
        ];
        for (region, partition) in regions {
            assert_eq!(partition_of(region), partition, "{region}");
        }
    }
}
