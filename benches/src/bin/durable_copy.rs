//! The ceiling of moving a file to this disk: a copy on the same machine, from the page cache past the page cache
//! (O_DIRECT), in MiB blocks by a few threads, and an fdatasync. No network, no hashes, no encryption.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

/// How much one call moves.
const BLOCK_BYTES: usize = 1 << 20;
/// Where a block begins in memory: at a page.
const ALIGN_BYTES: usize = 4096;
/// Blocks under way at once.
const THREADS: usize = 4;

#[derive(Parser)]
#[command(about = "Copies a file to this disk as fast as it can be made durable: the bound of every transfer to it")]
struct Arguments {
    /// The file
    source: PathBuf,
    /// The copy, which must not exist
    target: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match copy(&arguments.source, &arguments.target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("durable_copy: {}: {error}", arguments.target.display());
            ExitCode::FAILURE
        }
    }
}

fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let from = File::open(source)?;
    let length = from.metadata()?.len();
    let to = OpenOptions::new().write(true).create_new(true).open(target)?;
    fallocate(&to, FallocateFlags::empty(), 0, i64::try_from(length).map_err(io::Error::other)?)?;
    let direct = OpenOptions::new().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(target)?;
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| copy_blocks(&from, &to, &direct, length, &next))).collect();
        let results =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("panic"))));
        results.collect::<io::Result<()>>()
    })?;
    to.sync_data()
}

/// Copies blocks until there are none left. The end of the file need not be a multiple of the page: it is written
/// through the page cache.
fn copy_blocks(from: &File, to: &File, direct: &File, length: u64, next: &AtomicU64) -> io::Result<()> {
    let mut memory = vec![0; BLOCK_BYTES + ALIGN_BYTES];
    let start = memory.as_ptr().align_offset(ALIGN_BYTES) % ALIGN_BYTES;
    let block = memory.get_mut(start..start + BLOCK_BYTES).unwrap_or_default();
    loop {
        let offset = next.fetch_add(BLOCK_BYTES as u64, Ordering::Relaxed);
        if offset >= length {
            return Ok(());
        }
        let part = block.get_mut(..(length - offset).min(BLOCK_BYTES as u64) as usize).unwrap_or_default();
        from.read_exact_at(part, offset)?;
        let file = if part.len().is_multiple_of(ALIGN_BYTES) { direct } else { to };
        file.write_all_at(part, offset)?;
    }
}
