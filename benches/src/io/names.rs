//! Many small files: made, written and closed; and given another name. Through a ring, and with plain calls on threads.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;
use serde::Serialize;
use wirehaul::io::buffer::Buffer;
use wirehaul::io::engine::default_threads;
use wirehaul::io::file::File;
use wirehaul::uring::{Dir, Finished, Operation, Output, Queue, QueueOptions, Wait};

use super::{IoError, cpu_seconds};
use crate::clock::Stopwatch;

/// Bytes of each file.
pub const FILE_BYTES: usize = 4096;
/// Operations under way through the ring.
const DEPTH: u32 = 64;

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NamesRun {
    /// Files made, written and closed per second.
    pub created_per_s: f64,
    /// CPU time for each.
    pub create_cpu_us: f64,
    /// Files given another name (a link, and the first name removed) per second.
    pub renamed_per_s: f64,
    /// CPU time for each.
    pub rename_cpu_us: f64,
}

/// Measures two steps on `count` files.
fn timed(
    count: u32,
    create: impl FnOnce() -> Result<(), IoError>,
    rename: impl FnOnce() -> Result<(), IoError>,
) -> Result<NamesRun, IoError> {
    let step = |work: &mut dyn FnMut() -> Result<(), IoError>| {
        let (watch, cpu) = (Stopwatch::start(), cpu_seconds());
        work()?;
        let count = f64::from(count);
        Ok::<_, IoError>((count / watch.seconds(), (cpu_seconds() - cpu) * 1e6 / count))
    };
    let (mut create, mut rename) = (Some(create), Some(rename));
    let (created_per_s, create_cpu_us) = step(&mut || create.take().map_or(Ok(()), |create| create()))?;
    let (renamed_per_s, rename_cpu_us) = step(&mut || rename.take().map_or(Ok(()), |rename| rename()))?;
    Ok(NamesRun { created_per_s, create_cpu_us, renamed_per_s, rename_cpu_us })
}

/// Through a ring of ours, in the empty directory `dir`.
///
/// # Errors
/// No ring, or an operation failed.
pub fn by_ring(dir: &Path, count: u32) -> Result<NamesRun, IoError> {
    let directory = fs::File::open(dir).map_err(IoError::file("cannot open the directory"))?;
    let directory = Dir::At(Arc::new(File::new(directory.into())));
    let mut queue = Queue::open(&QueueOptions { entries: DEPTH, ..QueueOptions::default() })?;
    let mut other = Queue::open(&QueueOptions { entries: DEPTH, ..QueueOptions::default() })?;
    timed(count, || create_by_ring(&mut queue, &directory, count), || rename_by_ring(&mut other, &directory, count))
}

fn create_by_ring(queue: &mut Queue, directory: &Dir, count: u32) -> Result<(), IoError> {
    let flags = (OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL).bits().cast_unsigned();
    let open = |number: u32| {
        let flags = wirehaul::uring::OFlags::from_bits_retain(flags);
        Operation::open(directory.clone(), name('a', number), flags, wirehaul::uring::Mode::from_raw_mode(0o644))
    };
    let mut buffers: Vec<Buffer> = Vec::new();
    run_all(queue, count, open, |finished| match (finished.result, finished.operation) {
        (Ok(Output::File(file)), _) => {
            let mut buffer = buffers.pop().unwrap_or_default();
            buffer.resize(FILE_BYTES);
            let file = Arc::new(File::new(file));
            Ok(Some(Operation::Write { file, buffer, range: 0..FILE_BYTES, offset: 0 }))
        }
        (Ok(Output::Bytes(_)), Operation::Write { buffer, .. }) => {
            buffers.push(buffer);
            Ok(None)
        }
        (result, _) => Err(IoError::Operation(format!("{result:?}"))),
    })
}

fn rename_by_ring(queue: &mut Queue, directory: &Dir, count: u32) -> Result<(), IoError> {
    let none = wirehaul::uring::AtFlags::empty();
    let link =
        |number| Operation::link(directory.clone(), name('a', number), directory.clone(), name('b', number), none);
    run_all(queue, count, link, |finished| match (finished.result, finished.operation) {
        (Ok(_), Operation::Link(link)) => Ok(Some(Operation::unlink(link.dir, link.name, none))),
        (Ok(_), _) => Ok(None),
        (Err(errno), _) => Err(IoError::Operation(errno.to_string())),
    })
}

/// Runs operations for `count` files, each of which may be followed by another.
fn run_all(
    queue: &mut Queue,
    count: u32,
    first: impl Fn(u32) -> Operation,
    mut next: impl FnMut(Finished) -> Result<Option<Operation>, IoError>,
) -> Result<(), IoError> {
    let mut waiting = VecDeque::new();
    let (mut begun, mut done) = (0, 0);
    while done < count {
        while queue.in_flight() < queue.capacity() {
            let operation = match waiting.pop_front() {
                Some(operation) => operation,
                None if begun < count => {
                    begun += 1;
                    first(begun)
                }
                None => break,
            };
            queue.submit(operation, 0).map_err(|_| IoError::Operation("the queue is full".to_owned()))?;
        }
        queue.enter(Wait::One).map_err(|errno| IoError::Operation(errno.to_string()))?;
        while let Some(finished) = queue.poll() {
            match next(finished)? {
                Some(operation) => waiting.push_back(operation),
                None => done += 1,
            }
        }
    }
    Ok(())
}

/// With plain calls on as many threads as the product has, in the empty directory `dir`.
///
/// # Errors
/// A call failed.
pub fn by_threads(dir: &Path, count: u32) -> Result<NamesRun, IoError> {
    let directory = fs::File::open(dir).map_err(IoError::file("cannot open the directory"))?;
    let on_threads = |work: &(dyn Fn(u32) -> Result<(), nix::Error> + Sync)| {
        let threads = default_threads() as u32;
        thread::scope(|scope| {
            let step = |number| move || (1..=count).skip(number as usize).step_by(threads as usize).try_for_each(work);
            let running: Vec<_> = (0..threads).map(|number| scope.spawn(step(number))).collect();
            running.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result.map_err(|errno| IoError::Operation(errno.to_string())),
                Err(_) => Err(IoError::Operation("a thread panicked".to_owned())),
            })
        })
    };
    let create = |number| {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&directory, name('a', number).as_c_str(), flags, Mode::from_bits_retain(0o644))?;
        fs::File::from(file).write_all(&[0; FILE_BYTES]).map_err(|_| nix::Error::EIO)
    };
    let rename = |number| {
        let (old, new) = (name('a', number), name('b', number));
        nix::unistd::linkat(&directory, old.as_c_str(), &directory, new.as_c_str(), AtFlags::empty())?;
        nix::unistd::unlinkat(&directory, old.as_c_str(), UnlinkatFlags::NoRemoveDir)
    };
    timed(count, || on_threads(&create), || on_threads(&rename))
}

fn name(first: char, number: u32) -> CString {
    // Letters and digits: no zero among them.
    CString::new(format!("{first}{number}")).unwrap_or_default()
}
