//! The calls of a disk as operations on a ring: under way while the thread goes on with another job.

use std::cell::RefCell;
use std::ffi::CString;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::elsewhere::elsewhere;
use super::operation::{Dir, Finished, Operation, Output};
use super::queue::{Queue, Wait};
use super::ring::Ring;
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;
use crate::io::file::File;

/// A tag that is nobody's place: that of the watch on the thread's bell.
const BELL: u64 = u64::MAX;

/// The disk of one file thread. Its copies are the same disk.
pub(super) struct RingDisk<R: Ring> {
    inner: Rc<RefCell<Inner<R>>>,
}

struct Inner<R: Ring> {
    queue: Queue<R>,
    places: Places,
    /// Jobs that wait for room in the queue.
    crowd: Vec<Waker>,
    /// Why the ring cannot be used any more. What is under way in it stays with the queue.
    broken: Option<Errno>,
}

impl<R: Ring> Clone for RingDisk<R> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<R: Ring> RingDisk<R> {
    pub(super) fn new(queue: Queue<R>) -> Self {
        let places = Places::new(queue.capacity());
        Self { inner: Rc::new(RefCell::new(Inner { queue, places, crowd: Vec::new(), broken: None })) }
    }

    /// Has the kernel wake this thread when `file` is readable: [`RingDisk::collect`] then says that the bell was rung. `false`
    /// where there is no room for that now.
    pub(super) fn watch(&self, file: Arc<File>) -> bool {
        self.inner.borrow_mut().queue.submit(Operation::Watch { file }, BELL).is_ok()
    }

    /// Shows the kernel what is new, and waits if that is asked for. A ring that cannot be used any more fails all that is and
    /// will be under way.
    pub(super) fn enter(&self, wait: Wait) {
        let mut inner = self.inner.borrow_mut();
        if let Err(errno) = inner.queue.enter(wait) {
            inner.broken = Some(errno);
            let woken = inner.places.all_wakers();
            drop(inner);
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes what is finished out of the queue, and wakes who waits for it: whether the bell was rung, and whether there was
    /// anything.
    pub(super) fn collect(&self) -> (bool, bool) {
        let (mut rung, mut worked) = (false, false);
        loop {
            let woken = {
                let mut inner = self.inner.borrow_mut();
                let Some(finished) = inner.queue.poll() else { break };
                worked = true;
                if finished.tag == BELL {
                    rung = true;
                    None
                } else {
                    // What was in the way of somebody else is gone.
                    inner.crowd.drain(..).for_each(Waker::wake);
                    inner.places.fill(finished)
                }
            };
            if let Some(waker) = woken {
                waker.wake();
            }
        }
        (rung, worked)
    }

    async fn perform(&self, operation: Operation) -> Result<Finished, Errno> {
        let mut unsent = Some(operation);
        let mut place = Held { disk: self, index: None };
        poll_fn(move |context| {
            let mut inner = self.inner.borrow_mut();
            let inner = &mut *inner;
            if let Some(errno) = inner.broken {
                return Poll::Ready(Err(errno));
            }
            if let Some(operation) = unsent.take() {
                let index = inner.places.reserve(context.waker());
                match inner.queue.submit(operation, index as u64) {
                    Ok(()) => place.index = Some(index),
                    Err(operation) => {
                        inner.places.give_back(index);
                        inner.crowd.push(context.waker().clone());
                        unsent = Some(operation);
                    }
                }
                return Poll::Pending;
            }
            let Some(index) = place.index else { return Poll::Pending };
            match inner.places.take(index, context.waker()) {
                Some(finished) => {
                    place.index = None;
                    Poll::Ready(Ok(finished))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// A read or a write, whose buffer comes back.
    async fn transfer(&self, operation: Operation) -> (Buffer, Result<Output, Errno>) {
        match self.perform(operation).await {
            Ok(Finished {
                operation: Operation::Read { buffer, .. } | Operation::Write { buffer, .. },
                result,
                ..
            }) => (buffer, result),
            Ok(finished) => (Buffer::new(), finished.result),
            // The kernel may have its memory still.
            Err(errno) => (Buffer::new(), Err(errno)),
        }
    }
}

/// A place that a job has while its operation is under way. Where the job goes before, what it waited for is dropped when it
/// comes.
struct Held<'d, R: Ring> {
    disk: &'d RingDisk<R>,
    index: Option<usize>,
}

impl<R: Ring> Drop for Held<'_, R> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.disk.inner.borrow_mut().places.abandon(index);
        }
    }
}

/// Who waits for which operation.
struct Places {
    places: Vec<Place>,
    free: Vec<usize>,
}

enum Place {
    Free,
    Waiting(Waker),
    Filled(Finished),
    Abandoned,
}

impl Places {
    fn new(count: usize) -> Self {
        let places = (0..count).map(|_| Place::Free).collect();
        Self { places, free: (0..count).rev().collect() }
    }

    /// A place for somebody who waits. There are as many as a queue takes operations; should that not be so, there are more.
    fn reserve(&mut self, waker: &Waker) -> usize {
        let waiting = Place::Waiting(waker.clone());
        match self.free.pop() {
            Some(index) => {
                self.places[index] = waiting;
                index
            }
            None => {
                self.places.push(waiting);
                self.places.len() - 1
            }
        }
    }

    fn give_back(&mut self, index: usize) {
        self.places[index] = Place::Free;
        self.free.push(index);
    }

    /// What came of the operation with this place, if it is over; else `waker` is the one to wake.
    fn take(&mut self, index: usize, waker: &Waker) -> Option<Finished> {
        match std::mem::replace(&mut self.places[index], Place::Free) {
            Place::Filled(finished) => {
                self.free.push(index);
                Some(finished)
            }
            Place::Waiting(mut known) => {
                known.clone_from(waker);
                self.places[index] = Place::Waiting(known);
                None
            }
            other => {
                self.places[index] = other;
                None
            }
        }
    }

    fn all_wakers(&self) -> Vec<Waker> {
        let waiting = |place: &Place| match place {
            Place::Waiting(waker) => Some(waker.clone()),
            _ => None,
        };
        self.places.iter().filter_map(waiting).collect()
    }

    fn abandon(&mut self, index: usize) {
        match self.places[index] {
            Place::Waiting(_) => self.places[index] = Place::Abandoned,
            _ => self.give_back(index),
        }
    }

    /// An operation is over: who is to be woken.
    fn fill(&mut self, finished: Finished) -> Option<Waker> {
        let index = usize::try_from(finished.tag).ok().filter(|index| *index < self.places.len())?;
        match std::mem::replace(&mut self.places[index], Place::Free) {
            Place::Waiting(waker) => {
                self.places[index] = Place::Filled(finished);
                Some(waker)
            }
            Place::Abandoned => {
                self.free.push(index);
                None
            }
            other => {
                self.places[index] = other;
                None
            }
        }
    }
}

impl<R: Ring> Disk for RingDisk<R> {
    async fn open(&self, dir: Option<Arc<File>>, name: CString, flags: OFlags) -> Result<Arc<File>, Errno> {
        let dir = dir.map_or(Dir::Current, Dir::At);
        match self.perform(Operation::open(dir, name, flags, Mode::empty())).await?.result? {
            Output::File(fd) => Ok(Arc::new(File::new(fd))),
            _ => Err(Errno::IO),
        }
    }

    async fn read(
        &self,
        file: Arc<File>,
        buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> (Buffer, Result<usize, Errno>) {
        let (buffer, output) = self.transfer(Operation::Read { file, buffer, range, offset }).await;
        let bytes = output.and_then(|output| match output {
            Output::Bytes(count) => usize::try_from(count).map_err(|_| Errno::OVERFLOW),
            _ => Err(Errno::IO),
        });
        (buffer, bytes)
    }

    async fn write(
        &self,
        file: Arc<File>,
        buffer: Buffer,
        range: Range<usize>,
        offset: u64,
    ) -> (Buffer, Result<(), Errno>) {
        let (buffer, output) = self.transfer(Operation::Write { file, buffer, range, offset }).await;
        (buffer, output.map(|_| ()))
    }

    async fn sync_data(&self, file: Arc<File>) -> Result<(), Errno> {
        self.perform(Operation::SyncData { file }).await?.result.map(|_| ())
    }

    async fn sync_dir(&self, dir: Arc<File>) -> Result<(), Errno> {
        match self.perform(Operation::Sync { file: dir }).await?.result {
            // The file system has no such thing: its names are as durable as it makes them.
            Err(Errno::INVAL) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    async fn reserve(&self, file: Arc<File>, len: u64) -> Result<(), Errno> {
        self.perform(Operation::Reserve { file, offset: 0, len }).await?.result.map(|_| ())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        elsewhere(work).await
    }
}
