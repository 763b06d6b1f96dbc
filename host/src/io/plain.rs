//! The calls of a disk as ordinary calls: each is over when it returns.

use std::ffi::CString;
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::buffer::Buffer;
use super::disk::Disk;
use super::file::File;
use super::os;

/// Ordinary calls, on the thread that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Plain {
    /// Runs a job that asks nobody but [`Plain`].
    pub fn run<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            // No call of `Plain` is ever pending. Whatever else a job may wait for gets its turn.
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }
}

impl Disk for Plain {
    async fn open(&self, dir: Option<Arc<File>>, name: CString, flags: OFlags) -> Result<Arc<File>, Errno> {
        let opened = match dir {
            Some(dir) => openat(&*dir, name, flags, Mode::empty()),
            None => openat(CWD, name, flags, Mode::empty()),
        };
        opened.map(|fd| Arc::new(File::new(fd)))
    }

    async fn read(
        &self,
        file: Arc<File>,
        mut buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> (Buffer, Result<usize, Errno>) {
        let read = buffer.get_mut(range).ok_or(Errno::FAULT).and_then(|bytes| read_at(&*file, bytes, offset));
        (buffer, read)
    }

    async fn write(
        &self,
        file: Arc<File>,
        buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> (Buffer, Result<(), Errno>) {
        let written = buffer.get(range).ok_or(Errno::FAULT).and_then(|bytes| write_all_at(&*file, bytes, offset));
        (buffer, written)
    }

    async fn sync_data(&self, file: Arc<File>) -> Result<(), Errno> {
        os::sync_data(&*file)
    }

    async fn sync_dir(&self, dir: Arc<File>) -> Result<(), Errno> {
        os::sync_dir(&*dir)
    }

    async fn reserve(&self, file: Arc<File>, len: u64) -> Result<(), Errno> {
        os::reserve(&*file, len)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }
}

/// Reads until `buf` is full or the file ends.
pub(crate) fn read_at(fd: impl AsFd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pread(&fd, &mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`.
pub(crate) fn write_all_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(&fd, &bytes[done..], offset + done as u64) {
            // A regular file that takes nothing has no room.
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_range_outside_of_the_buffer_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        Plain::run(async {
            let file = Plain.open(None, name.clone(), OFlags::RDWR).await.unwrap();
            let mut buffer = Buffer::new();
            buffer.resize(10);
            buffer.copy_from_slice(b"0123456789");
            let (buffer, written) = Plain.write(Arc::clone(&file), buffer, 2..6, 3).await;
            assert_eq!(written, Ok(()));
            assert_eq!(Plain.sync_data(Arc::clone(&file)).await, Ok(()));
            let (buffer, read) = Plain.read(Arc::clone(&file), buffer, 0..10, 0).await;
            assert_eq!((read, &buffer[..7]), (Ok(7), &b"\0\0\x002345"[..]));
            let (buffer, read) = Plain.read(Arc::clone(&file), buffer, 5..11, 0).await;
            assert_eq!((read, buffer.len()), (Err(Errno::FAULT), 10));
            assert_eq!(Plain.write(file, buffer, 9..12, 0).await.1, Err(Errno::FAULT));
            assert_eq!(Plain.blocking(|| 7).await, 7);
            let missing = Plain.open(None, c"/nonexistent/file".to_owned(), OFlags::RDONLY).await;
            assert_eq!(missing.map(|_| ()), Err(Errno::NOENT));
        });
    }
}
