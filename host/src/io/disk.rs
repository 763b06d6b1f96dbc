//! What a file job asks of the system, where the answer may have to wait for a device.
//!
//! A job is written once, as a future over [`Disk`]. On an ordinary thread every call is over when it returns
//! ([`super::plain::Plain`]); on a ring it is under way, and the thread goes on with another job.
//!
//! What never waits for a device but only for a processor (names, modes and times of open files, small writes to the page cache) is not
//! in here: a ring has nothing better for it than the call itself, and hands most of it to a thread of the kernel, which
//! takes twice the processor time (decision 024).

use std::ffi::CString;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::buffer::Buffer;
use super::file::File;

/// Reads, writes and syncs.
///
/// A buffer belongs to the call until it is over, and comes back with the outcome.
pub trait Disk {
    /// Opens `name` of the directory `dir`, or of the working directory; nothing is created.
    fn open(
        &self,
        dir: Option<Arc<File>>,
        name: CString,
        flags: OFlags,
    ) -> impl Future<Output = Result<Arc<File>, Errno>>;

    /// Reads from `offset` of the file into `range` of the buffer until that is full or the file ends: how many bytes. A
    /// range that the buffer does not have is [`Errno::FAULT`].
    fn read(
        &self,
        file: Arc<File>,
        buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> impl Future<Output = (Buffer, Result<usize, Errno>)>;

    /// Writes `range` of the buffer, all of it, at `offset` of the file. A range that the buffer does not have is
    /// [`Errno::FAULT`].
    fn write(
        &self,
        file: Arc<File>,
        buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> impl Future<Output = (Buffer, Result<(), Errno>)>;

    /// Makes the contents of a file last. After an error it is not known what did: the file has to be written again.
    fn sync_data(&self, file: Arc<File>) -> impl Future<Output = Result<(), Errno>>;

    /// Makes the names in a directory last, where the file system can.
    fn sync_dir(&self, dir: Arc<File>) -> impl Future<Output = Result<(), Errno>>;

    /// Takes the space of a file of `len` bytes from the file system. [`Errno::OPNOTSUPP`] or [`Errno::NOSYS`]: not here.
    fn reserve(&self, file: Arc<File>, len: u64) -> impl Future<Output = Result<(), Errno>>;

    /// Does `work` where nothing else waits for it: calls that may block, of which there is no better form, and computations
    /// of more than a few milliseconds.
    fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T>;
}
