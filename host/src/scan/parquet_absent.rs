//! In place of [`parquet`](self) where this build has none.

use std::io;
use std::path::Path;

/// Whether this build has it.
pub const IS_BUILT_IN: bool = false;

/// Why no Parquet file came of the rows.
#[derive(Debug, thiserror::Error)]
#[error("this build writes no Parquet files")]
pub struct NotConverted;

impl NotConverted {
    /// What the system said, which had no part in it.
    #[must_use]
    pub const fn io(&self) -> Option<&io::Error> {
        None
    }
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn convert(_: &Path, _: &Path) -> Result<u64, NotConverted> {
    Err(NotConverted)
}
