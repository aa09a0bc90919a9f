//! Prints how well hermes understands the mails of a corpus, against the bars; red when one is not reached. Without the
//! corpus it says so and does nothing.

#![allow(clippy::print_stdout, reason = "the scores are the answer")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Where the mails and the program are.
#[derive(Parser)]
struct Arguments {
    /// Real mails with expected answers.
    #[arg(long, env = "CORPUS", default_value = "../shared/emails")]
    corpus: PathBuf,
    /// The program to score; default: the one beside this.
    #[arg(long)]
    hermes: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if !arguments.corpus.join("replies/manifest.tsv").is_file() {
        println!(
            "skipped: there is no corpus of mails at {}; CORPUS names another place",
            arguments.corpus.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let hermes = arguments.hermes.map_or_else(|| e2e::process::binary("hermes"), Ok)?;
    let scores = e2e::corpus::score(&hermes, &arguments.corpus).await?;
    println!("{scores}");
    let below = scores.below_bar();
    for what in &below {
        println!("below the bar: {what}");
    }
    Ok(if below.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
