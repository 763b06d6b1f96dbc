//! Which files have a place in a ring's own table, where the kernel finds them without counting a reference each time.
//!
//! A file gets a place when it is used a second time: many are written once and closed. It keeps it until another needs it
//! more, or until it is closed. While an operation names a place, the place keeps its file: some kernels look it up only when
//! the operation is carried out.

/// Files that were used once lately.
const SEEN: usize = 64;
/// No file.
const NONE: u64 = u64::MAX;

/// One place.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    id: u64,
    /// When it was used last, in uses of the table.
    used_at: u64,
    /// Operations under way that name it.
    holders: u32,
    /// To be emptied when the last of them is over.
    is_doomed: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self { id: NONE, used_at: 0, holders: 0, is_doomed: false }
    }
}

/// How an operation is to name its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// By its descriptor.
    Plain,
    /// By this place.
    At(u32),
    /// By this place, once the kernel was told that the file is there now. Whatever was there is forgotten.
    New(u32),
}

/// The table of files, over rows that the caller brings; with none, every file is named by its descriptor.
#[derive(Debug)]
pub struct FileTable<S> {
    rows: S,
    seen: [u64; SEEN],
    clock: u64,
    last: u32,
}

impl<S: AsRef<[Row]> + AsMut<[Row]>> FileTable<S> {
    /// A table without files.
    #[must_use]
    pub fn new(mut rows: S) -> Self {
        rows.as_mut().fill(Row::default());
        Self { rows, seen: [NONE; SEEN], clock: 0, last: 0 }
    }

    /// An operation is about to use file `id`, which is below `u64::MAX`. Unless the answer is [`Use::Plain`], the place is
    /// held until [`FileTable::release`].
    #[inline]
    pub fn hold(&mut self, id: u64) -> Use {
        self.clock += 1;
        if let Some(row) = self.rows.as_mut().get_mut(self.last as usize)
            && row.id == id
            && !row.is_doomed
        {
            row.used_at = self.clock;
            row.holders += 1;
            return Use::At(self.last);
        }
        self.hold_other(id)
    }

    fn hold_other(&mut self, id: u64) -> Use {
        let rows = self.rows.as_mut();
        if let Some(index) = rows.iter().position(|row| row.id == id) {
            let Some(row) = rows.get_mut(index).filter(|row| !row.is_doomed) else { return Use::Plain };
            row.used_at = self.clock;
            row.holders += 1;
            self.last = index as u32;
            return Use::At(self.last);
        }
        let Some(seen) = self.seen.get_mut((id % SEEN as u64) as usize) else { return Use::Plain };
        if *seen != id {
            *seen = id;
            return Use::Plain;
        }
        let Some(index) = self.longest_unused() else { return Use::Plain };
        if let Some(row) = self.rows.as_mut().get_mut(index) {
            *row = Row { id, used_at: self.clock, holders: 1, is_doomed: false };
        }
        self.last = index as u32;
        Use::New(self.last)
    }

    /// An empty row, or else the one that was used least lately and is not held. None where even that one was in use a moment
    /// ago: where more files are used in turn than there are rows, changing them all the time costs more than it saves.
    fn longest_unused(&self) -> Option<usize> {
        let rows = self.rows.as_ref();
        let patience = 4 * rows.len() as u64;
        let free = rows.iter().enumerate().filter(|(_, row)| row.holders == 0);
        let (index, row) = free.min_by_key(|(_, row)| if row.id == NONE { 0 } else { row.used_at })?;
        (row.id == NONE || self.clock - row.used_at > patience).then_some(index)
    }

    /// An operation that named `place` is over. `true` if the place is empty now and the kernel is to be told.
    #[inline]
    pub fn release(&mut self, place: u32) -> bool {
        let Some(row) = self.rows.as_mut().get_mut(place as usize) else { return false };
        row.holders = row.holders.saturating_sub(1);
        let is_over = row.is_doomed && row.holders == 0;
        if is_over {
            *row = Row::default();
        }
        is_over
    }

    /// The kernel did not take the file for this place, which it was just given.
    pub fn refused(&mut self, place: u32) {
        if let Some(row) = self.rows.as_mut().get_mut(place as usize) {
            *row = Row::default();
        }
    }

    /// The file in `place` is closed, or to be. `true` if the place is empty now and the kernel is to be told; otherwise it is
    /// empty already, or operations hold it and [`FileTable::release`] will say so.
    pub fn forget(&mut self, place: u32) -> bool {
        let Some(row) = self.rows.as_mut().get_mut(place as usize).filter(|row| row.id != NONE) else { return false };
        if row.holders == 0 {
            *row = Row::default();
            return true;
        }
        row.is_doomed = true;
        false
    }

    /// Where file `id` is.
    #[must_use]
    pub fn place_of(&self, id: u64) -> Option<u32> {
        if id == NONE {
            return None;
        }
        self.rows.as_ref().iter().position(|row| row.id == id).map(|index| index as u32)
    }

    /// The file in `place`.
    #[must_use]
    pub fn id_at(&self, place: u32) -> Option<u64> {
        self.rows.as_ref().get(place as usize).map(|row| row.id).filter(|id| *id != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FileTable<[Row; 3]> {
        FileTable::new([Row::default(); 3])
    }

    /// Uses a file to the end; where it was.
    fn used(table: &mut FileTable<[Row; 3]>, id: u64) -> Use {
        let used = table.hold(id);
        if let Use::At(place) | Use::New(place) = used {
            assert!(!table.release(place));
        }
        used
    }

    /// URING-1: a file is registered when it is used a second time.
    #[test]
    fn the_second_use_gets_a_place() {
        let mut table = table();
        assert_eq!(used(&mut table, 7), Use::Plain);
        assert_eq!(used(&mut table, 7), Use::New(0));
        assert_eq!(used(&mut table, 8), Use::Plain);
        assert_eq!(used(&mut table, 8), Use::New(1));
        assert_eq!(used(&mut table, 7), Use::At(0));
        assert_eq!((table.place_of(8), table.id_at(0), table.place_of(9)), (Some(1), Some(7), None));
    }

    #[test]
    fn the_longest_unused_makes_room_and_a_held_one_never() {
        let mut table = table();
        for id in [1, 2, 3] {
            used(&mut table, id);
            used(&mut table, id);
        }
        assert_eq!(table.hold(1), Use::At(0));
        for _ in 0..20 {
            used(&mut table, 3);
        }
        assert_eq!(used(&mut table, 4), Use::Plain);
        assert_eq!(used(&mut table, 4), Use::New(1), "the first is held, the third was just used");
        assert_eq!(table.id_at(1), Some(4));
        assert_eq!(used(&mut table, 5), Use::Plain);
        assert_eq!(used(&mut table, 5), Use::Plain, "all others were used a moment ago");
    }

    #[test]
    fn a_closed_file_loses_its_place_behind_its_last_operation() {
        let mut table = table();
        used(&mut table, 1);
        assert_eq!(table.hold(1), Use::New(0));
        assert_eq!(table.hold(1), Use::At(0));
        assert!(!table.forget(0));
        assert_eq!(table.hold(1), Use::Plain, "it is not lent again");
        assert!(!table.release(0));
        assert!(table.release(0));
        assert_eq!(table.id_at(0), None);
        assert!(!table.forget(0) && !table.release(0) && !table.forget(99) && !table.release(99));
        assert_eq!((used(&mut table, 2), used(&mut table, 2)), (Use::Plain, Use::New(0)));
        assert!(table.forget(0));
    }

    #[test]
    fn without_rows_every_file_is_plain() {
        let none: [Row; 0] = [];
        let mut table = FileTable::new(none);
        assert_eq!([table.hold(1), table.hold(1), table.hold(1)], [Use::Plain; 3]);
    }

    #[test]
    fn a_refused_place_is_free_again() {
        let mut table = table();
        used(&mut table, 1);
        assert_eq!(table.hold(1), Use::New(0));
        table.refused(0);
        assert_eq!((table.id_at(0), table.place_of(u64::MAX)), (None, None));
    }
}
