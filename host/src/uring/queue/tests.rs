//! The queue over the kernel's rings.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use tempfile::TempDir;
use wirehaul_core::pool::Sizing;

use super::*;
use crate::io::buffer::Buffer;
use crate::pools::lasting;
use crate::uring::Dir;

/// A queue; `None`, and a word about it, where the kernel gives none. That is a failure where WIREHAUL_REQUIRE has `uring`.
fn queue(options: &QueueOptions) -> Option<Queue> {
    match Queue::open(options) {
        Ok(queue) => Some(queue),
        Err(refused) => {
            let required = std::env::var("WIREHAUL_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|feature| feature.trim() == "uring"), "{refused}");
            eprintln!("skipped: {refused}");
            None
        }
    }
}

fn file(dir: &TempDir, name: &str) -> Arc<File> {
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.path().join(name));
    Arc::new(File::new(file.unwrap().into()))
}

fn buffer(len: usize, seed: u8) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.resize(len);
    buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8 ^ seed);
    buffer
}

fn read(file: &Arc<File>, len: usize, offset: u64) -> Operation {
    let mut buffer = Buffer::new();
    buffer.resize(len);
    Operation::Read { file: file.clone(), buffer, range: 0..len, offset }
}

fn write(file: &Arc<File>, buffer: Buffer, offset: u64) -> Operation {
    let range = 0..buffer.len();
    Operation::Write { file: file.clone(), buffer, range, offset }
}

/// Waits for the next one.
fn next<R: Ring>(queue: &mut Queue<R>) -> Finished {
    loop {
        if let Some(finished) = queue.poll() {
            return finished;
        }
        assert!(queue.in_flight() > 0, "nothing is under way");
        queue.enter(Wait::One).unwrap();
    }
}

fn done<R: Ring>(queue: &mut Queue<R>, operation: Operation) -> Result<Output, Errno> {
    queue.submit(operation, 0).unwrap();
    next(queue).result
}

fn bytes(result: Result<Output, Errno>) -> u64 {
    match result {
        Ok(Output::Bytes(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

fn name(name: &str) -> CString {
    CString::new(name).unwrap()
}

/// URING-1: what was written is what is read.
#[test]
fn bytes_go_to_the_file_and_come_back() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    for (tag, at) in (0..100).map(|n| (n, n * 4096)) {
        assert!(queue.submit(write(&file, buffer(4096, tag as u8), at), tag).is_ok());
    }
    let mut tags: Vec<_> = (0..100).map(|_| next(&mut queue)).map(|f| (bytes(f.result), f.tag)).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..100).map(|tag| (4096, tag)).collect::<Vec<_>>());
    assert!(matches!(done(&mut queue, Operation::SyncData { file: file.clone() }), Ok(Output::Done)));
    assert!(matches!(done(&mut queue, Operation::Sync { file: file.clone() }), Ok(Output::Done)));
    let operation = read(&file, 409_600, 0);
    queue.submit(operation, 7).unwrap();
    let Finished { tag: 7, operation: Operation::Read { buffer: all, .. }, result } = next(&mut queue) else {
        panic!()
    };
    assert_eq!(bytes(result), 409_600);
    for (tag, part) in all.chunks(4096).enumerate() {
        assert_eq!(*part, *buffer(4096, tag as u8));
    }
    assert_eq!((queue.in_flight(), queue.statistics().finished), (0, 103));
    assert_eq!(queue.statistics().strays, Strays::default());
}

#[test]
fn a_read_ends_with_the_file_and_ranges_are_kept() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    assert_eq!(bytes(done(&mut queue, write(&file, buffer(5000, 1), 0))), 5000);
    assert_eq!(bytes(done(&mut queue, read(&file, 8192, 0))), 5000);
    assert_eq!(bytes(done(&mut queue, read(&file, 100, 1 << 40))), 0);
    let operation = Operation::Read { file: file.clone(), buffer: buffer(100, 0), range: 10..20, offset: 4000 };
    queue.submit(operation, 0).unwrap();
    let Operation::Read { buffer: part, .. } = next(&mut queue).operation else { panic!() };
    assert_eq!(part[..10], buffer(100, 0)[..10]);
    assert_eq!(part[10..20], buffer(5000, 1)[4000..4010]);
    assert_eq!(part[20..], buffer(100, 0)[20..]);
}

/// URING-3: what cannot be is an error of that operation.
#[test]
fn operations_that_cannot_be_fail() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    let mut failure = |operation| done(&mut queue, operation).unwrap_err();
    let outside = Operation::Read { file: file.clone(), buffer: buffer(10, 0), range: 5..11, offset: 0 };
    assert_eq!(failure(outside), Errno::INVAL);
    #[allow(clippy::reversed_empty_ranges, reason = "whatever a caller says")]
    let reversed = Operation::Write { file: file.clone(), buffer: buffer(10, 0), range: 5..2, offset: 0 };
    assert_eq!(failure(reversed), Errno::INVAL);
    assert_eq!(failure(write(&file, buffer(10, 0), u64::MAX)), Errno::INVAL);
    let only_read = fs::File::open(dir.path().join("a")).unwrap();
    assert_eq!(failure(write(&Arc::new(File::new(only_read.into())), buffer(1, 0), 0)), Errno::BADF);
    let missing = Operation::open(Dir::Current, name("/nowhere/at/all"), OFlags::RDONLY, Mode::empty());
    assert_eq!(failure(missing), Errno::NOENT);
}

/// URING-3: more than the queue holds is given back, and nothing is lost.
#[test]
fn a_full_queue_gives_the_operation_back() {
    let Some(mut queue) = queue(&QueueOptions { entries: 8, ..QueueOptions::default() }) else { return };
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    assert_eq!(queue.capacity(), 8);
    let (mut submitted, mut finished, mut given_back) = (0, 0, 0);
    while finished < 1000 {
        while submitted < 1000 {
            match queue.submit(write(&file, buffer(512, submitted as u8), submitted * 512), submitted) {
                Ok(()) => submitted += 1,
                Err(Operation::Write { offset, .. }) => {
                    assert_eq!(offset, submitted * 512);
                    given_back += 1;
                    break;
                }
                Err(_) => panic!("it is another one"),
            }
        }
        assert!(queue.in_flight() <= 8);
        queue.enter(Wait::One).unwrap();
        while let Some(done) = queue.poll() {
            assert_eq!(bytes(done.result), 512);
            finished += 1;
        }
    }
    assert!(given_back > 0);
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), 512_000);
}

#[test]
fn names_are_made_changed_and_removed() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    let at = Dir::At(Arc::new(File::new(fs::File::open(dir.path()).unwrap().into())));
    let make = Operation::make_dir(at.clone(), name("d"), Mode::from(0o755));
    assert!(matches!(done(&mut queue, make), Ok(Output::Done)));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
    let mut open =
        |name: &CString| done(&mut queue, Operation::open(at.clone(), name.clone(), flags, Mode::from(0o640)));
    let Ok(Output::File(made)) = open(&name("d/a")) else { panic!() };
    assert!(rustix::io::fcntl_getfd(&made).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(open(&name("d/a")).unwrap_err(), Errno::EXIST);
    let made = Arc::new(File::new(made));
    assert_eq!(bytes(done(&mut queue, write(&made, buffer(5000, 3), 0))), 5000);

    let Ok(Output::Stat(by_name)) = done(&mut queue, Operation::stat(at.clone(), name("d/a"))) else { panic!() };
    let Ok(Output::Stat(by_file)) = done(&mut queue, Operation::stat_file(made.clone())) else { panic!() };
    assert_eq!((by_name.stx_size, by_name.stx_mode & 0o777), (5000, 0o640));
    assert_eq!((by_file.stx_ino, by_file.stx_nlink), (by_name.stx_ino, 1));
    assert_eq!(FileType::from_raw_mode(u32::from(by_file.stx_mode)), FileType::RegularFile);

    let none = AtFlags::empty();
    let link = Operation::link(at.clone(), name("d/a"), at.clone(), name("d/b"), none);
    assert!(done(&mut queue, link).is_ok());
    let rename = |flags| Operation::rename(at.clone(), name("d/a"), at.clone(), name("d/b"), flags);
    assert_eq!(done(&mut queue, rename(RenameFlags::NOREPLACE)).unwrap_err(), Errno::EXIST);
    let rename = Operation::rename(at.clone(), name("d/a"), at.clone(), name("c"), RenameFlags::NOREPLACE);
    assert!(done(&mut queue, rename).is_ok());
    assert_eq!(fs::read(dir.path().join("c")).unwrap(), *buffer(5000, 3));
    for (what, flags) in [("d/b", none), ("c", none), ("d", AtFlags::REMOVEDIR)] {
        assert!(done(&mut queue, Operation::unlink(at.clone(), name(what), flags)).is_ok(), "{what}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn space_is_reserved_and_given_back() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    let blocks = || std::os::unix::fs::MetadataExt::blocks(&fs::metadata(dir.path().join("a")).unwrap());
    let reserve = Operation::Reserve { file: file.clone(), offset: 0, len: 1 << 20 };
    assert!(done(&mut queue, reserve).is_ok());
    assert_eq!((fs::metadata(dir.path().join("a")).unwrap().len(), blocks()), (1 << 20, 2048));
    let punch = Operation::PunchHole { file: file.clone(), offset: 0, len: 1 << 19 };
    assert!(done(&mut queue, punch).is_ok());
    assert_eq!((fs::metadata(dir.path().join("a")).unwrap().len(), blocks()), (1 << 20, 1024));
}

#[test]
fn a_watch_ends_when_its_file_is_readable() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let event = Arc::new(File::new(event));
    queue.submit(Operation::Watch { file: event.clone() }, 5).unwrap();
    queue.enter(Wait::AtMost(Duration::from_millis(1))).unwrap();
    assert!(queue.poll().is_none());
    let writer = event.clone();
    let thread = std::thread::spawn(move || rustix::io::write(&*writer, &1_u64.to_ne_bytes()).unwrap());
    assert_eq!(next(&mut queue).tag, 5);
    thread.join().unwrap();
}

/// URING-1: buffers stay owned until their completion, also when nobody waits for it.
#[test]
fn dropping_a_queue_waits_for_what_is_under_way() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    let event = Arc::new(File::new(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()));
    let pool = lasting(&Sizing { slots_per_session: 16, slot_bytes: 65536, ..Sizing::new(1, 1) }).unwrap();
    for _ in 0..20 {
        let Some(mut queue) = queue(&QueueOptions { entries: 32, ..QueueOptions::default() }) else { return };
        queue.submit(Operation::Watch { file: event.clone() }, 0).unwrap();
        queue.enter(Wait::No).unwrap();
        for at in 0..16 {
            let mut buffer = Buffer::in_slot(pool.take().unwrap());
            buffer.resize(65536);
            buffer.fill(at as u8 + 1);
            queue.submit(write(&file, buffer, at * 65536), at).unwrap();
        }
        queue.submit(Operation::Watch { file: event.clone() }, 0).unwrap();
        drop(queue);
        assert_eq!((pool.stats().in_use(), Arc::strong_count(&file), Arc::strong_count(&event)), (0, 1, 1));
    }
    let all = fs::read(dir.path().join("a")).unwrap();
    assert!(all.chunks(65536).enumerate().all(|(at, part)| part.iter().all(|byte| *byte == at as u8 + 1)));
}

/// URING-1: memory of a pool is registered, and transfers use it.
#[test]
fn registered_memory_is_used() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let pool = lasting(&Sizing { slots_per_session: 8, slot_bytes: 8192, ..Sizing::new(1, 1) }).unwrap();
    queue.register_buffers(&[Region::of(pool, 4 * 8192)]).unwrap();
    let dir = TempDir::new().unwrap();
    let file = file(&dir, "a");
    // The first four lie in it, the others do not: all the same to who asks.
    for at in 0..8 {
        let mut slot = Buffer::in_slot(pool.take().unwrap());
        slot.resize(8192);
        slot.copy_from_slice(&buffer(8192, at as u8));
        queue.submit(write(&file, slot, at * 8192), at).unwrap();
    }
    assert_eq!(queue.register_buffers(&[]), Err(NotRegistered::Busy));
    let slots: Vec<_> = (0..8).map(|_| next(&mut queue)).collect();
    for finished in slots {
        let Operation::Write { file, buffer: mut slot, range, offset } = finished.operation else { panic!() };
        slot.fill(0);
        queue.submit(Operation::Read { file, buffer: slot, range, offset }, finished.tag).unwrap();
    }
    for _ in 0..8 {
        let finished = next(&mut queue);
        let Operation::Read { buffer: slot, .. } = finished.operation else { panic!() };
        assert_eq!(bytes(finished.result), 8192);
        assert_eq!(*slot, *buffer(8192, finished.tag as u8));
    }
    queue.register_buffers(&[Region::of(pool, usize::MAX)]).unwrap();
    queue.register_buffers(&[]).unwrap();
}

/// URING-1: a file is registered when it is used again, and never for longer than it is open.
#[test]
fn files_that_are_used_again_are_registered_while_they_are_open() {
    let Some(mut queue) = queue(&QueueOptions { files: 4, ..QueueOptions::default() }) else { return };
    let dir = TempDir::new().unwrap();
    // Other tests open files meanwhile: until nobody is faster.
    let reused = (0..100).find_map(|_| {
        let first = file(&dir, "first");
        assert_eq!(bytes(done(&mut queue, write(&first, buffer(10, 1), 0))), 10);
        assert!(!queue.knows(&first));
        assert_eq!(bytes(done(&mut queue, write(&first, buffer(10, 2), 0))), 10);
        assert!(queue.knows(&first));
        let descriptor = first.as_fd().as_raw_fd();
        drop(first);
        // Its descriptor is used again, for another file.
        let second = file(&dir, "second");
        (second.as_fd().as_raw_fd() == descriptor).then_some(second)
    });
    let second = reused.unwrap();
    for at in 0..10 {
        assert_eq!(bytes(done(&mut queue, write(&second, buffer(10, 3), at * 10))), 10);
    }
    assert!(queue.knows(&second));
    assert_eq!(fs::metadata(dir.path().join("first")).unwrap().len(), 10);
    assert_eq!(fs::metadata(dir.path().join("second")).unwrap().len(), 100);
    // More than there are places, in turn: each write still reaches its own.
    let many: Vec<_> = (0..12).map(|n| file(&dir, &n.to_string())).collect();
    for round in 0..200 {
        for file in &many {
            assert_eq!(bytes(done(&mut queue, write(file, buffer(10, 4), round * 10))), 10);
        }
    }
    assert!((0..12).all(|n| fs::metadata(dir.path().join(n.to_string())).unwrap().len() == 2000));
    queue.forget(&second);
    assert!(!queue.knows(&second));
}

/// What the kernel's table holds is not open for longer: a pipe's reader sees its end.
#[test]
fn a_closed_file_is_closed_in_the_kernel_too() {
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let (reader, writer) = std::io::pipe().unwrap();
    let writer = Arc::new(File::new(OwnedFd::from(writer)));
    for _ in 0..3 {
        assert_eq!(bytes(done(&mut queue, write(&writer, buffer(10, 1), 0))), 10);
    }
    assert!(queue.knows(&writer));
    drop(writer);
    queue.submit(Operation::Watch { file: Arc::new(File::new(reader.try_clone().unwrap().into())) }, 0).unwrap();
    queue.enter(Wait::One).unwrap();
    let all = std::io::read_to_string(reader).unwrap();
    assert_eq!(all.len(), 30);
}

/// What cannot be polled is not; whether anything can depends on the device.
#[test]
fn a_queue_that_is_to_poll_works_whatever_the_device_can() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let options = QueueOptions { iopoll: true, ..QueueOptions::default() };
    let Some(mut queue) = queue(&options) else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let open = |flags| fs::File::options().read(true).write(true).create(true).custom_flags(flags).open(&path);
    for flags in [libc::O_DIRECT, 0] {
        // Not every file system has direct transfers.
        let Ok(file) = open(flags) else { continue };
        let file = Arc::new(File::new(file.into()));
        for at in 0..50 {
            queue.submit(write(&file, buffer(4096, at as u8), at * 4096), at).unwrap();
        }
        for _ in 0..50 {
            assert_eq!(bytes(next(&mut queue).result), 4096);
        }
        assert!(done(&mut queue, Operation::SyncData { file: file.clone() }).is_ok());
        let all = fs::read(&path).unwrap();
        assert!(all.chunks(4096).enumerate().all(|(at, part)| *part == *buffer(4096, at as u8)));
    }
    assert!(matches!(queue.polling_refused(), Some(Errno::OPNOTSUPP | Errno::INVAL)), "a plain file cannot be polled");
}

/// URING-3: the end of a file that is read past the page cache lies between two boundaries.
#[test]
fn a_direct_read_ends_with_the_file() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(mut queue) = queue(&QueueOptions::default()) else { return };
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), &*buffer(5000, 1)).unwrap();
    let Ok(file) = fs::File::options().read(true).custom_flags(libc::O_DIRECT).open(dir.path().join("a")) else {
        return;
    };
    let file = Arc::new(File::new(file.into()));
    for (len, offset, expected) in [(8192, 0, 5000), (4096, 4096, 904), (4096, 8192, 0), (4096, 0, 4096)] {
        queue.submit(read(&file, len, offset), 0).unwrap();
        let Finished { operation: Operation::Read { buffer: got, .. }, result, .. } = next(&mut queue) else {
            panic!()
        };
        assert_eq!(bytes(result), expected);
        let from = offset as usize;
        assert_eq!(got[..expected as usize], buffer(5000, 1)[from.min(5000)..from.min(5000) + expected as usize]);
    }
}
