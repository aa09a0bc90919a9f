//! The bars of mail understanding, held by the debug program where the corpus is at hand; `make corpus` prints the scores of
//! the release program.

#![allow(clippy::print_stdout, reason = "the scores are part of the answer")]

use std::path::Path;

#[tokio::test]
async fn mails_of_the_corpus_are_understood_and_none_makes_the_program_panic() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let places = [top.join("../shared/emails"), top.join("../../shared/emails")];
    let Some(corpus) = places.iter().find(|place| place.join("replies/manifest.tsv").is_file()) else {
        println!("skipped: there is no corpus of mails at {}", places[0].display());
        return;
    };
    let scores = e2e::corpus::score(&e2e::process::binary("hermes").unwrap(), corpus).await.unwrap();
    println!("{scores}");
    assert_eq!(scores.below_bar(), Vec::<String>::new(), "{scores}");
}

#[tokio::test]
async fn mails_of_programs_that_no_rule_was_made_from_are_understood_as_well() {
    let hermes = e2e::process::binary("hermes").unwrap();
    for seed in [1, 2026] {
        let folder = tempfile::tempdir().unwrap();
        e2e::corpus::programs::write(folder.path(), seed).unwrap();
        let scores = e2e::corpus::score(&hermes, folder.path()).await.unwrap();
        println!("seed {seed}: {scores}");
        assert!(scores.replies.all >= 300, "{} mails", scores.replies.all);
        assert_eq!(scores.below_bar(), Vec::<String>::new(), "seed {seed}: {scores}");
    }
}
