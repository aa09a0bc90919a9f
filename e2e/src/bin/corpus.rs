//! Prints how well hermes understands the mails of a corpus, against the bars; red when one is not reached. Without the
//! corpus it says so and does nothing.

#![allow(clippy::print_stdout, reason = "the scores are the answer")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// Where the mails and the program are.
#[derive(Parser)]
struct Arguments {
    /// Real mails with expected answers.
    #[arg(long, env = "CORPUS", default_value = "../shared/emails")]
    corpus: PathBuf,
    /// Mails made from this seed instead, as mail programs of many languages write them.
    #[arg(long)]
    made: Option<u64>,
    /// Where these are kept, to be looked at.
    #[arg(long, requires = "made")]
    into: Option<PathBuf>,
    /// The program to score; default: the one beside this.
    #[arg(long)]
    hermes: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let hermes = arguments.hermes.map_or_else(|| e2e::process::binary("hermes"), Ok)?;
    if let Some(seed) = arguments.made {
        let fleeting = tempfile::tempdir()?;
        let folder = arguments.into.as_deref().unwrap_or(fleeting.path());
        e2e::corpus::programs::write(folder, seed)?;
        return scored(&hermes, folder).await;
    }
    if !arguments.corpus.join("replies/manifest.tsv").is_file() {
        println!(
            "skipped: there is no corpus of mails at {}; CORPUS names another place",
            arguments.corpus.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    scored(&hermes, &arguments.corpus).await
}

async fn scored(hermes: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    let scores = e2e::corpus::score(hermes, folder).await?;
    println!("{scores}");
    let below = scores.below_bar();
    for what in &below {
        println!("below the bar: {what}");
    }
    Ok(if below.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
