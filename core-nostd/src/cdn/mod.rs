//! CDN edges told from other addresses: facts about providers, tables to look addresses and names up in, and what evidence comes to
//! (CDN-1, CDN-2).
//!
//! Nothing here resolves a name or opens a connection: whoever did says what was seen. The tables of [`crate::cdn_data`] are made
//! from `data/cdn` when the crate is built; the host makes the same from a folder at run time.

pub mod calibration;
pub mod facts;
pub mod name;
pub mod pattern;
pub mod prefix;
pub mod rows;
pub mod score;
pub mod table;
pub mod weight;

mod database;
#[cfg(test)]
mod tests;

pub use database::{Database, Network};
pub use facts::{Kind, List, ListId, Listing, Mark, Provenance, Provider, ProviderId, ProviderSet};
pub use rows::Date;
pub use score::{Clue, Signal, Verdict, weigh};
pub use weight::{CentiNats, Probability};
