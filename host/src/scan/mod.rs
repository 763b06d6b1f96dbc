//! The network survey: what is to be asked, read from the command line and from files (SCAN-1, SCAN-6).
//!
//! What is decided about it, from the order to the policy, is in `wirehaul_core::scan`.

pub mod addresses;
pub mod allow;
pub mod exclude;
pub mod expression;
pub mod files;

pub use addresses::{Addresses, Spans, TargetRuns};
pub use allow::AllowFile;
pub use exclude::ExcludeFiles;
pub use expression::{Expression, ExpressionError};
pub use files::{FileError, LineError, Name, TargetList};
