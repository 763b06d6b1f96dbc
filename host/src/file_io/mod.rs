//! How files are read and written: io_uring or ordinary calls, chosen once when a command starts (URING-2).

mod choice;
#[cfg(unix)]
mod open;

pub use choice::Choice;
#[cfg(unix)]
pub use open::{NoFileIo, Opened, Wish, open};
