//! The generated client belongs to the document beside it.

use sha2::{Digest, Sha256};

#[test]
fn the_client_was_generated_from_this_document() {
    let document = Sha256::digest(include_bytes!("../hermes.json"));
    let written = include_str!("../src/generated/SOURCE.sha256").trim();
    assert_eq!(hex::encode(document), written, "hermes.json is newer than the client; run `make openapi`");
}
