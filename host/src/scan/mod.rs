//! The network survey: what is to be asked, read from the command line and from files, and what becomes of the answers (SCAN-1 to
//! SCAN-9).
//!
//! What is decided about it, from the order to the policy, is in `wirehaul_core::scan`.

pub mod addresses;
pub mod allow;
pub mod audit;
pub mod cdn;
pub mod checkpoint;
pub mod collect;
pub mod csv;
pub mod digits;
pub mod exclude;
pub mod expression;
pub mod files;
pub mod format;
pub mod json;
pub mod metadata;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(not(feature = "parquet"))]
#[path = "parquet_absent.rs"]
pub mod parquet;
pub mod rotate;
pub mod row;
pub mod sink;
pub mod text;
pub mod zgrab;

pub use addresses::{Addresses, Spans, TargetRuns};
pub use allow::AllowFile;
pub use exclude::ExcludeFiles;
pub use expression::{Expression, ExpressionError};
pub use files::{FileError, LineError, Name, TargetList};
