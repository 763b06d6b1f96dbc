//! Files that a ring knows beforehand.

use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use wirehaul_core::disk::{FileTable, Row, Use};

use super::ring::{Ring, Target};
use crate::io::file::File;

/// Entries of the queue after which the table is looked through for files that were closed meanwhile.
const SWEEP_EVERY: u32 = 64;

/// The ring's table, and which files in it are still open. The table itself keeps none of them open on this side, but the
/// kernel keeps open what is in its table: it is emptied soon after a file was closed here.
pub(super) struct Files {
    table: FileTable<Box<[Row]>>,
    /// By place.
    open: Vec<Weak<File>>,
    since_sweep: u32,
}

impl Files {
    pub(super) fn new(places: u32) -> Self {
        let rows = vec![Row::default(); places as usize].into_boxed_slice();
        Self { table: FileTable::new(rows), open: (0..places).map(|_| Weak::new()).collect(), since_sweep: 0 }
    }

    /// How an operation is to name `file` in `rings`. A registered place is held until [`Files::release`].
    #[inline]
    pub(super) fn hold<R: Ring>(&mut self, file: &Arc<File>, rings: &mut [R]) -> Target {
        match self.table.hold(file.id()) {
            Use::At(place) => Target::Registered(place),
            Use::Plain => plain(file),
            Use::New(place) => self.enroll(place, file, rings),
        }
    }

    #[cold]
    fn enroll<R: Ring>(&mut self, place: u32, file: &Arc<File>, rings: &mut [R]) -> Target {
        let is_taken = rings.iter_mut().all(|ring| ring.set_file(place, Some(file.as_fd())).is_ok());
        match self.open.get_mut(place as usize) {
            Some(open) if is_taken => {
                *open = Arc::downgrade(file);
                Target::Registered(place)
            }
            _ => {
                self.table.refused(place);
                clear(place, rings);
                plain(file)
            }
        }
    }

    /// An operation that named a place is over.
    #[inline]
    pub(super) fn release<R: Ring>(&mut self, target: Target, rings: &mut [R]) {
        if let Target::Registered(place) = target
            && self.table.release(place)
        {
            clear(place, rings);
        }
    }

    /// `file` is about to be closed: the ring is to let go of it.
    pub(super) fn forget<R: Ring>(&mut self, file: &File, rings: &mut [R]) {
        if let Some(place) = self.table.place_of(file.id())
            && self.table.forget(place)
        {
            clear(place, rings);
        }
    }

    /// Lets go of files that were closed; not each time, unless the queue is `idle`.
    #[inline]
    pub(super) fn sweep<R: Ring>(&mut self, idle: bool, rings: &mut [R]) {
        self.since_sweep += 1;
        if !idle && self.since_sweep < SWEEP_EVERY {
            return;
        }
        self.since_sweep = 0;
        for (place, open) in (0..).zip(&self.open) {
            if open.strong_count() == 0 && self.table.forget(place) {
                clear(place, rings);
            }
        }
    }

    /// Whether the ring knows `file`.
    pub(super) fn knows(&self, file: &File) -> bool {
        self.table.place_of(file.id()).is_some()
    }
}

fn plain(file: &File) -> Target {
    use std::os::fd::AsRawFd;
    Target::Descriptor(file.as_fd().as_raw_fd())
}

/// Where the kernel does not do it, it keeps a file open for longer; nothing names the place before another file is there.
fn clear<R: Ring>(place: u32, rings: &mut [R]) {
    for ring in rings {
        let _ = ring.set_file(place, None);
    }
}
