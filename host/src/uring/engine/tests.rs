//! Engines on the kernel's own rings.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use wirehaul_core::pool::Sizing;

use super::*;
use crate::io::buffer::Buffer;
use crate::io::disk::Disk;
use crate::pools::lasting;

const BLOCK: usize = 64 * 1024;

/// `None`, with a word, where this system has no io_uring.
fn start_or_skip<J: Job>(settings: Settings) -> Option<FileEngine<J>> {
    match start(settings) {
        Ok(engine) => Some(engine),
        Err(refused) => {
            let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "uring"), "required, and not here: {refused}");
            eprintln!("skipped: {refused}");
            None
        }
    }
}

fn settings(threads: usize, jobs: usize) -> Settings {
    Settings { threads, jobs, blocks: None }
}

/// Waits for an answer as a packet thread does.
fn next<J: Job>(engine: &mut FileEngine<J>) -> J::Done {
    loop {
        if let Some(done) = engine.poll() {
            return done;
        }
        if !engine.prepare_wait() {
            let mut fds = [PollFd::from_borrowed_fd(engine.wake_fd(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 30, tv_nsec: 0 })).unwrap();
            assert_eq!(ready, 1, "the wake-up never came");
        }
    }
}

enum Act {
    /// Writes a block of this byte at this place, reads it again, and says whether it is the same.
    WriteAndRead(u8, u64),
    /// Opens a file that is not there.
    OpenMissing,
    /// Works elsewhere.
    Elsewhere(u64),
    Panic,
    PanicElsewhere,
}

struct Task {
    path: PathBuf,
    act: Act,
    buffer: Buffer,
}

#[derive(Debug, PartialEq, Eq)]
enum Done {
    Same,
    Different,
    Failed(Errno),
    Value(u64),
    Abandoned,
}

fn name_of(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

impl Job for Task {
    type Done = Done;

    async fn run(&mut self, disk: &impl Disk) -> Done {
        match self.act {
            Act::WriteAndRead(byte, offset) => {
                let file = disk.open(None, name_of(&self.path), OFlags::RDWR).await.unwrap();
                let mut buffer = std::mem::take(&mut self.buffer);
                buffer.resize(BLOCK);
                buffer.fill(byte);
                let (mut buffer, written) = disk.write(Arc::clone(&file), buffer, 0..BLOCK, offset).await;
                if let Err(errno) = written {
                    return Done::Failed(errno);
                }
                buffer.fill(0);
                let (buffer, read) = disk.read(Arc::clone(&file), buffer, 0..BLOCK, offset).await;
                let synced = disk.sync_data(file).await;
                let same = read == Ok(BLOCK) && buffer.iter().all(|found| *found == byte) && synced.is_ok();
                if same { Done::Same } else { Done::Different }
            }
            Act::OpenMissing => match disk.open(None, name_of(&self.path.join("none")), OFlags::RDONLY).await {
                Ok(_) => Done::Different,
                Err(errno) => Done::Failed(errno),
            },
            Act::Elsewhere(value) => Done::Value(disk.blocking(move || value * 2).await),
            Act::Panic => panic!("a job that panics (expected by the test)"),
            Act::PanicElsewhere => disk.blocking(|| panic!("a job that panics elsewhere (expected by the test)")).await,
        }
    }

    fn abandon(&mut self) -> Done {
        Done::Abandoned
    }
}

/// URING-1: more jobs than a thread has at once, on two threads, whose buffers are registered in part.
#[test]
fn every_job_comes_back_once_with_what_it_wrote() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let pool = lasting(&Sizing { slots_per_session: 96, slot_bytes: BLOCK as u32, ..Sizing::new(1, 1) }).unwrap();
    let settings = Settings { threads: 2, jobs: 96, blocks: Some(pool) };
    let Some(mut engine) = start_or_skip::<Task>(settings) else { return };
    assert_eq!(engine.name(), "uring");
    let (mut submitted, mut came) = (0_u64, 0);
    while came < 1000 {
        while submitted < 1000 {
            let buffer = pool.take().map(Buffer::in_slot).unwrap_or_default();
            let act = Act::WriteAndRead(submitted as u8 | 1, submitted * BLOCK as u64);
            if engine.submit(Task { path: path.clone(), act, buffer }).is_err() {
                break;
            }
            submitted += 1;
        }
        assert_eq!(next(&mut engine), Done::Same);
        came += 1;
    }
    assert_eq!((engine.in_flight(), engine.poll()), (0, None));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1000 * BLOCK as u64);
    drop(engine);
    assert_eq!(pool.stats().in_use(), 0, "every buffer went home");
}

#[test]
fn errors_and_panics_end_a_job_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let Some(mut engine) = start_or_skip::<Task>(settings(1, 8)) else { return };
    let mut one = |act| {
        assert!(engine.submit(Task { path: path.clone(), act, buffer: Buffer::new() }).is_ok());
        next(&mut engine)
    };
    assert_eq!(one(Act::OpenMissing), Done::Failed(Errno::NOTDIR));
    assert_eq!(one(Act::Panic), Done::Abandoned);
    assert_eq!(one(Act::PanicElsewhere), Done::Abandoned);
    assert_eq!(one(Act::Elsewhere(21)), Done::Value(42));
    assert_eq!(one(Act::WriteAndRead(9, u64::MAX)), Done::Failed(Errno::INVAL));
    assert_eq!(one(Act::WriteAndRead(9, 4096)), Done::Same);
}

/// A sleeping thread is woken by each kind of event: a job, an operation, work that was done elsewhere, the end.
#[test]
fn an_engine_that_was_idle_wakes_and_ends() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let Some(mut engine) = start_or_skip::<Task>(settings(2, 8)) else { return };
    for round in 0..50_u64 {
        let act = if round % 2 == 0 { Act::Elsewhere(round) } else { Act::WriteAndRead(3, round * BLOCK as u64) };
        assert!(engine.submit(Task { path: path.clone(), act, buffer: Buffer::new() }).is_ok());
        let expected = if round % 2 == 0 { Done::Value(2 * round) } else { Done::Same };
        assert_eq!(next(&mut engine), expected);
        std::thread::sleep(Duration::from_millis(round % 3));
    }
    drop(engine);
    // An engine that never had anything to do ends as well.
    drop(start_or_skip::<Task>(settings(3, 1)));
}

#[test]
fn dropping_the_engine_finishes_what_was_submitted() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let Some(mut engine) = start_or_skip::<Task>(settings(1, 100)) else { return };
    for block in 0..100 {
        let act = Act::WriteAndRead(5, block * BLOCK as u64);
        assert!(engine.submit(Task { path: path.clone(), act, buffer: Buffer::new() }).is_ok());
    }
    drop(engine);
    assert_eq!(std::fs::read(&path).unwrap(), vec![5; 100 * BLOCK]);
}

/// The end may come at any moment of a thread's way to sleep.
#[test]
fn an_engine_ends_whenever_it_is_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    std::fs::write(&path, b"").unwrap();
    for round in 0..1000_u64 {
        let Some(mut engine) = start_or_skip::<Task>(settings(2, 8)) else { return };
        for block in 0..round % 5 {
            let act = Act::WriteAndRead(5, block * BLOCK as u64);
            assert!(engine.submit(Task { path: path.clone(), act, buffer: Buffer::new() }).is_ok());
        }
        for _ in 0..round % 5 {
            assert_eq!(next(&mut engine), Done::Same);
        }
        for _ in 0..round % 61 {
            std::hint::spin_loop();
        }
        drop(engine);
    }
}
