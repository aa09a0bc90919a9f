//! The API of hermes for programs: `hermes.json` is its document, [`HermesClient`] the client generated from it.
//! `make openapi` writes both anew; nothing here is written by hand but this file.

mod generated;

pub use generated::*;
