//! `hermes suppressions`

use clap::Subcommand;
use common::cloud::Cloud;
use common::domain::ids::EmailAddress;

use super::{Output, Result};
use crate::operations::{Slice, suppressions};
use crate::suppressions::Suppression;

/// What to do with addresses that we do not write to.
#[derive(Debug, Subcommand)]
pub enum SuppressionCommand {
    /// Addresses that take no mail, or whose reader reported ours as spam.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Where the list before ended, as its last line says.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Take an address off the list: later mails go there again.
    Remove {
        /// The e-mail address.
        address: EmailAddress,
    },
}

/// Carries it out.
pub(super) async fn run(cloud: &Cloud, command: &SuppressionCommand, out: &Output) -> Result<()> {
    match command {
        SuppressionCommand::List { limit, cursor } => {
            let listed = suppressions::list(cloud, Slice::new(Some(*limit), cursor.clone())).await?;
            let rows = || listed.items.iter().map(row).collect();
            out.list(&listed, &["since", "address", "mail", "reason"], rows)?;
            Ok(out.more(listed.next.as_deref(), "hermes suppressions list")?)
        }
        SuppressionCommand::Remove { address } => {
            suppressions::remove(cloud, address).await?;
            let said = || format!("{address} is off the list; later mails go there again");
            Ok(out.say(&serde_json::json!({"removed": address}), said)?)
        }
    }
}

fn row(entry: &Suppression) -> Vec<String> {
    let reason = format!("{} {}", entry.reason.words(), entry.detail);
    vec![entry.since.to_string(), entry.address.to_string(), entry.mail_id.to_string(), reason]
}
