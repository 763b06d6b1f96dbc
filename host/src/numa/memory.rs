//! Memory for frames: on huge pages where there are some, on the card's node, backed before it is used, locked.
//!
//! The order is mmap, mbind, populate, verify, lock. Populating by MADV_POPULATE_WRITE turns "no huge page on that node"
//! into an error that can be answered; touching the memory would end the process with SIGBUS.

use std::fmt;
use std::io;
use std::ptr::NonNull;

use libc::{c_int, c_void};

/// Bytes of a 4 KiB page, of a 2 MiB page and of a 1 GiB page.
const SMALL_BYTES: usize = 1 << 12;
const HUGE_BYTES: usize = 1 << 21;
const GIGANTIC_BYTES: usize = 1 << 30;
/// Allocate on these nodes, and elsewhere where they have none left (include/uapi/linux/mempolicy.h).
const MPOL_PREFERRED: c_int = 1;
/// Allocate on these nodes and nowhere else.
const MPOL_BIND: c_int = 2;
/// Nodes that a mask of one word names.
const MAX_NODES: u32 = 64;
/// Pages asked about in one call.
const VERIFY_BATCH: usize = 1024;

/// What pages memory lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSize {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Huge,
    /// 1 GiB.
    Gigantic,
}

impl PageSize {
    /// Bytes of a page.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL_BYTES,
            Self::Huge => HUGE_BYTES,
            Self::Gigantic => GIGANTIC_BYTES,
        }
    }

    const fn mmap_flags(self) -> c_int {
        match self {
            Self::Small => 0,
            Self::Huge => libc::MAP_HUGETLB | libc::MAP_HUGE_2MB,
            Self::Gigantic => libc::MAP_HUGETLB | libc::MAP_HUGE_1GB,
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "4 KiB",
            Self::Huge => "2 MiB",
            Self::Gigantic => "1 GiB",
        })
    }
}

/// Why there is no memory of one kind.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Not even an address range.
    #[error("the system gives no {bytes} bytes on {pages} pages: {source}")]
    Map {
        /// How much was asked for.
        bytes: usize,
        /// On what.
        pages: PageSize,
        /// What the system said.
        source: io::Error,
    },
    /// The node does not exist, or is not for this process.
    #[error("memory cannot be bound to NUMA node {node}: {source}")]
    Bind {
        /// Which node.
        node: u32,
        /// What the system said.
        source: io::Error,
    },
    /// There are too few pages.
    #[error("there are too few free {pages} pages for {bytes} bytes{}: {source}", on_node(*.node))]
    Populate {
        /// How much was asked for.
        bytes: usize,
        /// On what.
        pages: PageSize,
        /// On which node, if on a certain one.
        node: Option<u32>,
        /// What the system said.
        source: io::Error,
    },
    /// Some pages are elsewhere.
    #[error("{misplaced} of {pages} pages are not on NUMA node {node}")]
    Misplaced {
        /// Pages that are elsewhere.
        misplaced: usize,
        /// All pages.
        pages: usize,
        /// The node that they should be on.
        node: u32,
    },
}

fn on_node(node: Option<u32>) -> String {
    node.map_or_else(String::new, |node| format!(" on NUMA node {node}"))
}

/// Memory of this process and nobody else's, until it is dropped.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    len: usize,
    pages: PageSize,
    node: Option<u32>,
    /// Why it is not on larger pages or not on the node that was asked for, in words.
    steps: Vec<String>,
    is_locked: bool,
}

// SAFETY: `Memory` owns its mapping as a `Vec<u8>` owns its heap: it may be used and unmapped by any one thread.
unsafe impl Send for Memory {}

impl Memory {
    /// At least `bytes` of memory that is backed: on the largest pages that there are and that it fills half of, on `node`
    /// if one is given. What could not be had is in [`Memory::steps`].
    ///
    /// # Errors
    /// Why not even small pages anywhere can be had.
    pub fn new(bytes: usize, node: Option<u32>) -> Result<Self, MemoryError> {
        let mut steps = Vec::new();
        let places = [node, None];
        // Where no node is asked for, both places are the same.
        let places = if node.is_some() { &places[..] } else { &places[1..] };
        let sizes = [PageSize::Gigantic, PageSize::Huge, PageSize::Small].into_iter();
        let mut failure = None;
        for place in places {
            for pages in sizes.clone().filter(|pages| *pages == PageSize::Small || bytes >= pages.bytes() / 2) {
                match Self::on(bytes.next_multiple_of(pages.bytes()), pages, *place) {
                    Ok(mut memory) => {
                        memory.steps = steps;
                        return Ok(memory);
                    }
                    Err(error) => {
                        steps.push(error.to_string());
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or(MemoryError::Map { bytes, pages: PageSize::Small, source: io::Error::other("no size") }))
    }

    /// `bytes` of memory, a multiple of the page size, on such pages on this node.
    fn on(bytes: usize, pages: PageSize, node: Option<u32>) -> Result<Self, MemoryError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | pages.mmap_flags();
        // SAFETY: an anonymous mapping at an address that the kernel chooses touches no memory of anybody.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        let mapped = NonNull::new(start.cast()).filter(|_| start != libc::MAP_FAILED);
        let start = mapped.ok_or_else(|| MemoryError::Map { bytes, pages, source: io::Error::last_os_error() })?;
        let mut memory = Self { start, len: bytes, pages, node, steps: Vec::new(), is_locked: false };
        if let Some(node) = node {
            memory.bind(node)?;
        }
        memory.populate()?;
        if let Some(node) = node {
            memory.verify(node)?;
        }
        memory.is_locked = memory.lock();
        Ok(memory)
    }

    fn bind(&self, node: u32) -> Result<(), MemoryError> {
        let mask: u64 = if node < MAX_NODES { 1 << node } else { 0 };
        // Where a node has no small page left, whoever is bound to it is ended for lack of memory (mm/oom_kill.c,
        // CONSTRAINT_MEMORY_POLICY); where it has no huge page left, there is an error.
        let policy = if self.pages == PageSize::Small && mask != 0 { MPOL_PREFERRED } else { MPOL_BIND };
        // SAFETY: mbind(2) changes where the pages of our own mapping come from; the mask is one word that outlives the call
        // (the kernel reads `maxnode - 1` bits of it).
        let status = unsafe {
            let at = self.start.as_ptr().cast::<c_void>();
            libc::syscall(libc::SYS_mbind, at, self.len, policy, &raw const mask, u64::from(MAX_NODES) + 1, 0)
        };
        if status == 0 { Ok(()) } else { Err(MemoryError::Bind { node, source: io::Error::last_os_error() }) }
    }

    fn populate(&self) -> Result<(), MemoryError> {
        if self.pages == PageSize::Small {
            // Larger pages all the same, where the kernel finds some together; it may ignore that.
            // SAFETY: advice on our own mapping.
            let _ = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: our own mapping, which nobody has a reference to yet: that its pages are written (with what is in them) is
        // not seen by anyone.
        let status = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_POPULATE_WRITE) };
        if status == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.raw_os_error() == Some(libc::EINVAL) && self.pages == PageSize::Small {
            // Linux before 5.14. Small pages are there when they are touched, or when the kernel pins them.
            return Ok(());
        }
        Err(MemoryError::Populate { bytes: self.len, pages: self.pages, node: self.node, source })
    }

    /// Asks for every page where it is.
    fn verify(&self, node: u32) -> Result<(), MemoryError> {
        let all = NonNull::slice_from_raw_parts(self.start, self.len);
        match residency(all, self.pages.bytes(), node) {
            // Pages that are not there yet, where the kernel could not be asked for them, may still come from anywhere.
            Some(Residency { pages, misplaced }) if misplaced > 0 => {
                Err(MemoryError::Misplaced { misplaced, pages, node })
            }
            // A kernel without NUMA has one node.
            _ => Ok(()),
        }
    }

    /// Keeps it from being swapped; `false` where the limit of locked memory is in the way.
    fn lock(&self) -> bool {
        // SAFETY: our own mapping.
        unsafe { libc::mlock(self.start.as_ptr().cast(), self.len) == 0 }
    }

    /// Where it begins: at a page.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none; never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What pages it lies on.
    #[must_use]
    pub const fn pages(&self) -> PageSize {
        self.pages
    }

    /// The NUMA node that every page was found on; `None` where none was asked for or could be had.
    #[must_use]
    pub const fn node(&self) -> Option<u32> {
        self.node
    }

    /// Whether it is locked beside being pinned: no swap.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// What was tried before, and why it could not be had.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

/// Where the pages of some memory are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    /// Pages that are there: those that were touched.
    pub pages: usize,
    /// Of these, the ones that are on another node than they should be.
    pub misplaced: usize,
}

/// Asks the kernel for every page of this process's memory whether it is on `node`, in steps of `page_bytes`. `None` on a kernel
/// without NUMA.
#[must_use]
pub fn residency(memory: NonNull<[u8]>, page_bytes: usize, node: u32) -> Option<Residency> {
    let start = memory.cast::<u8>().as_ptr();
    let count = memory.len().div_ceil(page_bytes.max(1));
    let mut found = Residency::default();
    for first in (0..count).step_by(VERIFY_BATCH) {
        let batch = (count - first).min(VERIFY_BATCH);
        let pages: Vec<_> = (first..first + batch).map(|page| start.wrapping_add(page * page_bytes)).collect();
        let mut status: Vec<c_int> = vec![-libc::ENOENT; batch];
        // SAFETY: without a list of nodes move_pages(2) moves nothing and reads nothing of the pages: it reads `batch` addresses
        // and writes as many words into `status`, both of which are that long.
        let answered = unsafe {
            let (pages, status) = (pages.as_ptr(), status.as_mut_ptr());
            libc::syscall(libc::SYS_move_pages, 0, batch, pages, std::ptr::null::<c_int>(), status, 0)
        };
        if answered != 0 {
            return None;
        }
        // A page that is not there has an error instead of a node.
        let nodes = status.iter().filter_map(|at| u32::try_from(*at).ok());
        let (there, elsewhere) = nodes.fold((0, 0), |(all, other), at| (all + 1, other + usize::from(at != node)));
        found.pages += there;
        found.misplaced += elsewhere;
    }
    Some(found)
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever had references into it borrowed this or promised to be gone (`Umem`).
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_backed_page_aligned_and_on_the_node() {
        let memory = Memory::new(300_000, Some(0)).unwrap();
        assert!(memory.len() >= 300_000 && memory.start().as_ptr().align_offset(memory.pages().bytes()) == 0);
        assert_eq!(memory.node(), Some(0));
        // SAFETY: the mapping is this long, and nobody else has it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(memory.start().as_ptr(), memory.len()) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(7);
    }

    #[test]
    fn a_node_that_does_not_exist_is_a_step_and_no_failure() {
        let memory = Memory::new(1 << 20, Some(63)).unwrap();
        assert_eq!(memory.node(), None);
        assert!(memory.steps().iter().any(|step| step.contains("NUMA node 63")), "{:?}", memory.steps());
        assert!(matches!(Memory::on(4096, PageSize::Small, Some(999)), Err(MemoryError::Bind { node: 999, .. })));
    }

    #[test]
    fn pages_are_found_where_they_are() {
        let memory = Memory::new(64 << 10, None).unwrap();
        let all = NonNull::slice_from_raw_parts(memory.start(), memory.len());
        let Some(here) = residency(all, 4096, 0) else { return };
        assert_eq!(here.pages, 16);
        assert_eq!(residency(all, 4096, 999), Some(Residency { pages: 16, misplaced: 16 }));
        let untouched = memmap2::MmapMut::map_anon(64 << 10).unwrap();
        assert_eq!(residency(NonNull::from(&untouched[..]), 4096, 0), Some(Residency::default()));
    }

    #[test]
    fn small_memory_takes_no_huge_pages() {
        let memory = Memory::new(4096, None).unwrap();
        assert_eq!((memory.pages(), memory.len()), (PageSize::Small, 4096));
        assert!(memory.steps().is_empty());
    }
}
