//! A buffer that somebody owns, and the memory that it lies in: the only place with `unsafe`.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::Pool;

/// The memory of a pool, cut into slots of equal length.
pub(super) struct Memory<'m> {
    start: NonNull<u8>,
    slot_bytes: usize,
    slots: u32,
    /// It is borrowed for as long as the pool lives, and nobody else has it.
    borrowed: PhantomData<&'m mut [u8]>,
}

// SAFETY: `Memory` is an exclusive borrow of plain bytes, which may move to another thread as `&mut [u8]` may.
unsafe impl Send for Memory<'_> {}
// SAFETY: `&Memory` gives access to bytes only through `start_of`, which only a [`Slot`] calls, for the place that it owns: it is the
// only one that touches these bytes. How ownership passes between threads is the stack's part (release on put, acquire on take).
unsafe impl Sync for Memory<'_> {}

impl<'m> Memory<'m> {
    /// The first `slots * slot_bytes` bytes of `bytes`; `None` where it has fewer.
    pub(super) fn new(bytes: &'m mut [u8], slot_bytes: usize, slots: u32) -> Option<Self> {
        let needed = slot_bytes.checked_mul(usize::try_from(slots).ok()?)?;
        let start = NonNull::from(bytes.get_mut(..needed)?).cast();
        Some(Self { start, slot_bytes, slots, borrowed: PhantomData })
    }

    pub(super) const fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    pub(super) const fn slots(&self) -> u32 {
        self.slots
    }

    /// All slots, one behind the other.
    pub(super) const fn region(&self) -> NonNull<[u8]> {
        // `new` has made sure that the product fits.
        NonNull::slice_from_raw_parts(self.start, self.slot_bytes * self.slots as usize)
    }

    /// Where slot `index` begins.
    ///
    /// # Safety
    /// `index` is below [`Memory::slots`].
    const unsafe fn start_of(&self, index: u32) -> NonNull<u8> {
        // SAFETY: `new` has made sure that `slots * slot_bytes` bytes follow `start` in one borrowed slice (so their number
        // also fits an isize); `index < slots`, so the slot's begin lies within them.
        unsafe { self.start.add(index as usize * self.slot_bytes) }
    }
}

/// One buffer of a pool, owned: a token that can be moved and not copied.
///
/// It goes back to its pool when it is dropped, on whichever thread; [`super::Magazine::put`] is the faster way. What is in
/// the buffer is not said: zeros, or what its last owner left. A slot that is forgotten ([`core::mem::forget`]) is lost to
/// its pool, and shows in [`super::PoolStats::in_use`].
pub struct Slot<'p> {
    /// Below `pool.memory.slots()`, and in no other slot, in no magazine and not on the stack.
    index: u32,
    pool: &'p Pool<'p>,
}

impl<'p> Slot<'p> {
    /// The slot `index` of `pool`.
    ///
    /// # Safety
    /// `index` came from [`Pool::withdraw`] of the same pool, and was neither used for a slot nor given back since.
    pub(super) const unsafe fn new(pool: &'p Pool<'p>, index: u32) -> Self {
        Self { index, pool }
    }

    /// Ends the ownership of the buffer: the caller owes the index to the pool.
    pub(super) fn into_index(self) -> u32 {
        ManuallyDrop::new(self).index
    }

    /// The pool that it goes back to.
    #[must_use]
    pub const fn pool(&self) -> &'p Pool<'p> {
        self.pool
    }

    /// Its place in the pool: its buffer begins at so many times [`Pool::slot_bytes`] of the pool's memory.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }
}

impl Deref for Slot<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let memory = self.pool.memory();
        // SAFETY: by the contract of `Slot::new` the index exists and this slot is its only owner. So the bytes are inside of
        // the pool's memory and initialised (they were a `[u8]`), no `&mut` to them exists (it would borrow this slot), and
        // nobody writes them while the result borrows this slot.
        unsafe { core::slice::from_raw_parts(memory.start_of(self.index).as_ptr(), memory.slot_bytes()) }
    }
}

impl DerefMut for Slot<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let memory = self.pool.memory();
        // SAFETY: as in `deref`; and the result borrows the only owner exclusively, so it is the only way to these bytes.
        unsafe { core::slice::from_raw_parts_mut(memory.start_of(self.index).as_ptr(), memory.slot_bytes()) }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pool.deposit(&[self.index]);
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("index", &self.index).field("bytes", &self.pool.slot_bytes()).finish()
    }
}
