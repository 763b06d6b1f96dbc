//! Open files, told apart by more than their descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// An open file or directory. Jobs and operations under way share it (`Arc`), so it is closed behind the last of them.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    id: u64,
}

impl File {
    /// Takes over `fd`.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { fd, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// A number that no other file of this process gets, also after this one is closed. Descriptors are used again: what
    /// remembers a file by its descriptor may find another one.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_used_again_is_another_file() {
        let open = || File::new(std::fs::File::open("/").map(OwnedFd::from).unwrap());
        let first = open().id();
        assert_ne!(first, open().id());
    }
}
