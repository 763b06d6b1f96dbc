//! What the property tests in `tests/` and the fuzz targets share: where inputs come from and what is asked of them.
//!
//! Valid input is drawn from [`choices::Choices`], so that one generator serves proptest (which shrinks the choices),
//! the mutation tests (which draw them from a seed) and the seed corpora.

pub mod agreement;
pub mod cdn_folder;
pub mod choices;
pub mod corpus;
pub mod filtering;
pub mod frames;
pub mod handshakes;
pub mod manifests;
pub mod mutate;
pub mod oracle;
pub mod packets;
pub mod pair;
pub mod pool_ops;
pub mod reception;
pub mod reference;
pub mod replies;
pub mod responder;
pub mod script;
pub mod spec;
pub mod transfer;
