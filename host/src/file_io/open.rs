//! The engines of a command.

use thiserror::Error;

use super::Choice;
use crate::io::Job;
use crate::io::engine::{EngineError, FileEngine};
use crate::pools::LastingPool;
#[cfg(target_os = "linux")]
use crate::uring::{self, NoRing};

/// How much is needed.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What is asked for.
    pub choice: Choice,
    /// Engines: one for each worker.
    pub engines: usize,
    /// File threads of each.
    pub threads: usize,
    /// Jobs of each that may be under way.
    pub jobs: usize,
    /// Where the bytes lie that are read and written; `None` for no files.
    pub blocks: Option<LastingPool>,
}

/// Engines, all of one kind, and why that kind.
pub struct Opened<J: Job> {
    /// As many as were wished for.
    pub engines: Vec<FileEngine<J>>,
    /// Why it is not io_uring, where that was not refused by the user but by the system.
    pub refused: Option<String>,
}

/// Why files cannot be read and written.
#[derive(Debug, Error)]
pub enum NoFileIo {
    /// io_uring was forced, and cannot be had.
    #[cfg(target_os = "linux")]
    #[error("--io uring: {0}, or use --io auto")]
    Ring(#[from] NoRing),
    /// io_uring was forced, and this system does not know it.
    #[cfg(not(target_os = "linux"))]
    #[error("--io uring: this system has no io_uring; use --io auto")]
    NotHere,
    /// No file threads.
    #[error(transparent)]
    Threads(#[from] EngineError),
}

/// Starts engines of the kind that was asked for, or of the best that there is.
///
/// # Errors
/// The kind that was forced cannot be had, or not even a thread can.
#[cfg(target_os = "linux")]
pub fn open<J: Job>(wish: &Wish) -> Result<Opened<J>, NoFileIo> {
    let refused = match wish.choice {
        Choice::Sync => None,
        Choice::Auto | Choice::Uring => {
            let settings = uring::Settings { threads: wish.threads, jobs: wish.jobs, blocks: wish.blocks };
            match (0..wish.engines).map(|_| uring::start(settings)).collect::<Result<Vec<_>, NoRing>>() {
                Ok(engines) => return Ok(Opened { engines, refused: None }),
                Err(refused) if wish.choice == Choice::Auto => Some(refused.to_string()),
                Err(refused) => return Err(refused.into()),
            }
        }
    };
    Ok(Opened { engines: plain(wish)?, refused })
}

/// See the one for Linux.
///
/// # Errors
/// See there.
#[cfg(not(target_os = "linux"))]
pub fn open<J: Job>(wish: &Wish) -> Result<Opened<J>, NoFileIo> {
    if wish.choice == Choice::Uring {
        return Err(NoFileIo::NotHere);
    }
    Ok(Opened { engines: plain(wish)?, refused: None })
}

fn plain<J: Job>(wish: &Wish) -> Result<Vec<FileEngine<J>>, EngineError> {
    (0..wish.engines).map(|_| FileEngine::plain(wish.threads, wish.jobs)).collect()
}
