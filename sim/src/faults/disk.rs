//! A host's disk: writes of received bytes, in order, which may be short, fail or take long.
//!
//! A write that fails is tried again a little later, and what a short one leaves over is written again. Where a host is
//! told to keep what it writes, a checker can compare it with what was sent.

use std::collections::BTreeMap;

use wirehaul_core::{time::Duration, wire::StreamId, worker::SessionId};

use super::Fault;

/// How long after a failure a write is tried again.
pub const RETRY_AFTER: Duration = Duration::from_millis(10);

/// A disk. See the module.
#[derive(Debug, Default)]
pub struct Disk {
    writes: u64,
    faults: BTreeMap<u64, WriteFault>,
    files: Option<Files>,
    failed: u64,
    short: u64,
}

/// What was written, by session and stream.
pub type Files = BTreeMap<(SessionId, StreamId), File>;

/// A stream as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Names the content of whoever sent it: see [`crate::content::Content::of`].
    pub key: u64,
    /// Its bytes; zero where none were written.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct WriteFault {
    fails: bool,
    most_bytes: Option<u64>,
    slower_by: Duration,
}

impl Disk {
    /// Keeps what is written from now on.
    pub fn keep_files(&mut self) {
        self.files.get_or_insert_default();
    }

    /// Whether what is written is kept.
    #[must_use]
    pub const fn keeps_files(&self) -> bool {
        self.files.is_some()
    }

    /// Loses what was written.
    pub fn forget_files(&mut self) {
        self.files.iter_mut().for_each(BTreeMap::clear);
    }

    /// What was written and kept.
    pub fn files(&self) -> impl Iterator<Item = (&(SessionId, StreamId), &File)> {
        self.files.iter().flatten()
    }

    /// Writes that failed, and that were short, so far.
    #[must_use]
    pub const fn failed_and_short(&self) -> (u64, u64) {
        (self.failed, self.short)
    }

    /// Adds those faults that befall writes of this host.
    pub fn follow(&mut self, faults: &[Fault], this: usize) {
        for fault in faults.iter().filter(|fault| fault.host() == Some(this)) {
            match fault {
                Fault::ShortWrite { write, bytes, .. } => self.fault(*write).most_bytes = Some(*bytes),
                Fault::FailingWrite { write, .. } => self.fault(*write).fails = true,
                Fault::SlowWrite { write, by_ns, .. } => {
                    self.fault(*write).slower_by = Duration::from_nanos(*by_ns);
                }
                _ => {}
            }
        }
    }

    /// From now on every write is whole, and in time.
    pub fn stop_faults(&mut self) {
        self.faults.clear();
    }

    /// A write is asked for: its number, and by how much longer than others it takes.
    pub fn submit(&mut self) -> (u64, Duration) {
        let write = self.writes;
        self.writes += 1;
        (write, self.faults.get(&write).map_or(Duration::ZERO, |fault| fault.slower_by))
    }

    /// A write of `len` bytes is over: how many of them were written.
    pub fn complete(&mut self, write: u64, len: u64) -> u64 {
        match self.faults.remove(&write) {
            Some(WriteFault { fails: true, .. }) => {
                self.failed += 1;
                0
            }
            Some(WriteFault { most_bytes: Some(most), .. }) if most < len => {
                self.short += 1;
                most
            }
            _ => len,
        }
    }

    /// Keeps bytes that were written, where they are to be kept.
    pub fn keep(&mut self, session: SessionId, stream: StreamId, key: u64, offset: u64, bytes: &[u8]) {
        let Some(files) = &mut self.files else { return };
        let file = files.entry((session, stream)).or_default();
        file.key = key;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        if let Some(place) = file.bytes.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
    }

    fn fault(&mut self, write: u64) -> &mut WriteFault {
        self.faults.entry(write).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_has_the_fault_of_its_number() {
        let mut disk = Disk::default();
        let faults = [
            Fault::FailingWrite { host: 1, write: 0 },
            Fault::ShortWrite { host: 1, write: 1, bytes: 30 },
            Fault::SlowWrite { host: 1, write: 1, by_ns: 7 },
            Fault::FailingWrite { host: 2, write: 2 },
        ];
        disk.follow(&faults, 1);
        let writes: Vec<_> = (0..3).map(|_| disk.submit()).collect();
        assert_eq!(writes, [(0, Duration::ZERO), (1, Duration::from_nanos(7)), (2, Duration::ZERO)]);
        assert_eq!((disk.complete(0, 100), disk.complete(1, 100), disk.complete(2, 100)), (0, 30, 100));
        assert_eq!(disk.failed_and_short(), (1, 1));
    }
}
