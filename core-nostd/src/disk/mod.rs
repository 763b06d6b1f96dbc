//! What a host decides while the kernel reads and writes files for it through rings (io_uring): which set-up to try, what a
//! completion means, and what is under way. No ring is here, and no file: results come in as numbers.
//!
//! ```text
//! ladder    which set-up to try next, and why there is none
//! flight    operations under way, by token: none is taken for another, none ends twice
//! progress  one read or write: done, to be continued, or failed
//! batch     when what is queued is worth a system call
//! files     which files have a place in the ring's own table
//! errno     what kind of trouble an error is
//! ```

pub mod batch;
pub mod errno;
pub mod files;
pub mod flight;
pub mod ladder;
pub mod progress;

pub use batch::Batch;
pub use errno::Trouble;
pub use files::{FileTable, Row, Use};
pub use flight::{Flight, Landing, Place, Strays, Token};
pub use ladder::{Ladder, Refusal, Setup, Step};
pub use progress::{Attempts, Direction, Next, Piece, Progress};
