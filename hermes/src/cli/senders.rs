//! `hermes senders`

use clap::Subcommand;
use common::cloud::Cloud;
use common::domain::ids::{EmailAddress, ProjectId};
use common::domain::language::Language;
use common::domain::project::{Role, Sender};

use super::{Output, Result, word};
use crate::operations::senders::{self, SenderSettings};

/// What to do with senders.
#[derive(Debug, Subcommand)]
pub enum SenderCommand {
    /// Let an address write about a site.
    ///
    /// Example:
    ///
    ///   hermes senders add scott@example.org --project bakery --user scott
    #[command(verbatim_doc_comment)]
    Add {
        /// The e-mail address.
        address: EmailAddress,
        /// The project's id.
        #[arg(long, value_name = "ID")]
        project: ProjectId,
        /// As which user: 1 to 39 of a-z, 0-9 and '-'; for an e-mail address such an id is made.
        #[arg(long, value_name = "ID")]
        user: String,
        /// What they may do: owner or editor.
        #[arg(long, value_name = "ROLE", default_value = "owner", value_parser = word::<Role>)]
        role: Role,
        /// In which language they are answered: en, de, fr or es [default: as their mails tell]
        #[arg(long, value_name = "CODE")]
        language: Option<Language>,
    },
    /// All senders.
    List,
    /// Take an address off the list.
    Remove {
        /// The e-mail address.
        address: EmailAddress,
        /// Only for this project [default: for all]
        #[arg(long, value_name = "ID")]
        project: Option<ProjectId>,
    },
}

/// Carries it out.
pub(super) async fn run(cloud: &Cloud, command: &SenderCommand, out: &Output) -> Result<()> {
    match command {
        SenderCommand::Add { address, project, user, role, language } => {
            let settings = SenderSettings {
                project_id: project.clone(),
                user: user.clone(),
                role: *role,
                language: *language,
            };
            let (sender, _) = senders::put(cloud, address, settings).await?;
            Ok(out.say(&sender, || format!("{address} writes as {}", sender.project_user()))?)
        }
        SenderCommand::List => {
            let listed = senders::all(cloud).await?;
            let rows = || listed.items.iter().map(row).collect();
            Ok(out.list(&listed, &["address", "project", "user", "role"], rows)?)
        }
        SenderCommand::Remove { address, project } => {
            senders::remove(cloud, address, project.as_ref()).await?;
            Ok(out.say(&serde_json::json!({"removed": address}), || format!("{address} is off the list"))?)
        }
    }
}

fn row(sender: &Sender) -> Vec<String> {
    let role = match sender.role {
        Role::Owner => "owner",
        Role::Editor => "editor",
    };
    vec![sender.address.to_string(), sender.project_id.to_string(), sender.user_id.to_string(), role.into()]
}
