//! CDN edges told from origins: what is known offline, and what names, web servers and certificates say (CDN-1 to CDN-8).
//!
//! What evidence comes to is decided in `wirehaul_core::cdn`; this gathers it.

use wirehaul_core::cdn as core_cdn;

pub mod asn;
pub mod cache;
pub mod canonical;
pub mod clues;
pub mod day;
pub mod detection;
pub mod detector;
pub mod dns;
#[path = "../../../core-nostd/build/folder/mod.rs"]
pub mod folder;
pub mod http;
pub mod input;
pub mod limits;
pub mod offline;
pub mod origin;
pub mod rows;
pub mod stream;
pub mod target;
#[cfg(feature = "aws-lc")]
pub mod tls;
#[cfg(not(feature = "aws-lc"))]
#[path = "tls_absent.rs"]
pub mod tls;
pub mod update;
pub mod visit;
