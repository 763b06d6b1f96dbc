//! The queue over rings that do not do what they are asked for (URING-3).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempDir};
use wirehaul_core::disk::Strays;
use wirehaul_core::disk::progress::MAX_FRUITLESS;
use wirehaul_core::pool::Sizing;

use super::*;
use crate::io::buffer::Buffer;
use crate::io::file::File;
use crate::pools::lasting;
use crate::uring::{Finished, NotRegistered, Operation, Output, Queue, QueueOptions, Refused, Wait};

fn with_plan(plan: impl FnMut(&Entry) -> Behaviour + 'static) -> ScriptedSystem {
    ScriptedSystem::new(Script { plan: Box::new(plan), ..Script::default() })
}

fn act(act: Act) -> Behaviour {
    Behaviour { act, ..Behaviour::default() }
}

fn open(system: &ScriptedSystem) -> Queue<ScriptedRing> {
    Queue::open_on(&mut system.clone(), &QueueOptions { entries: 16, ..QueueOptions::default() }).unwrap()
}

fn shared(file: &NamedTempFile) -> Arc<File> {
    Arc::new(File::new(file.reopen().unwrap().into()))
}

fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(31).wrapping_add(seed * 7) % 253) as u8).collect()
}

fn filled(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.resize(bytes.len());
    buffer.copy_from_slice(bytes);
    buffer
}

fn write(file: &Arc<File>, bytes: &[u8], offset: u64) -> Operation {
    Operation::Write { file: file.clone(), buffer: filled(bytes), range: 0..bytes.len(), offset }
}

fn read(file: &Arc<File>, len: usize, offset: u64) -> Operation {
    Operation::Read { file: file.clone(), buffer: filled(&vec![0xaa; len]), range: 0..len, offset }
}

fn next(queue: &mut Queue<ScriptedRing>) -> Finished {
    loop {
        if let Some(finished) = queue.poll() {
            return finished;
        }
        queue.enter(Wait::One).unwrap();
    }
}

fn done(queue: &mut Queue<ScriptedRing>, operation: Operation) -> Result<u64, Errno> {
    queue.submit(operation, 0).unwrap();
    match next(queue).result? {
        Output::Bytes(bytes) => Ok(bytes),
        _ => Ok(0),
    }
}

/// A stream of numbers that looks random and is the same each time.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// URING-3: every byte arrives, however few go at a time, however late and in which order answers come, and how often.
#[test]
fn everything_arrives_through_a_ring_that_does_its_worst() {
    for seed in 0..20 {
        let mut number = numbers(seed);
        let system = with_plan(move |_| {
            let act = match number(8) {
                0 => Act::Fail(Errno::INTR),
                1 => Act::Fail(Errno::AGAIN),
                2 => Act::Fail(Errno::CANCELED),
                3 | 4 => Act::AtMost(1 + number(5000) as u32),
                _ => Act::Do,
            };
            Behaviour { act, delay: number(6) as u32, echoes: u32::from(number(4) == 0) }
        });
        system.change(|script| {
            script.takes = 1 + seed as u32 % 5;
            script.enter_failures = [Errno::INTR, Errno::AGAIN, Errno::BUSY, Errno::TIME].into();
        });
        let mut queue = open(&system);
        let under = NamedTempFile::new().unwrap();
        let file = shared(&under);
        round_trip(&mut queue, &file, seed);
        let statistics = queue.statistics();
        assert!(statistics.repeated > 10, "{statistics:?}");
        assert!(statistics.strays.stale > 10, "{statistics:?}");
        assert_eq!(statistics.finished, 400);
    }
}

/// Writes two hundred pieces and reads them back, many at a time.
fn round_trip(queue: &mut Queue<ScriptedRing>, file: &Arc<File>, seed: u64) {
    let len = |tag: u64| (tag as usize * 977) % 9000 + 1;
    for is_write in [true, false] {
        let mut waiting: Vec<u64> = (0..200).collect();
        let mut finished = BTreeMap::new();
        while finished.len() < 200 {
            while let Some(tag) = waiting.pop() {
                let at = tag * 10_000;
                let operation =
                    if is_write { write(file, &pattern(len(tag), seed + tag), at) } else { read(file, len(tag), at) };
                if queue.submit(operation, tag).is_err() {
                    waiting.push(tag);
                    break;
                }
            }
            let one = next(queue);
            assert!(matches!(one.result, Ok(Output::Bytes(bytes)) if bytes == len(one.tag) as u64), "{one:?}");
            if let Operation::Read { buffer, .. } = &one.operation {
                assert_eq!(buffer[..], pattern(len(one.tag), seed + one.tag)[..], "{}", one.tag);
            }
            assert!(finished.insert(one.tag, ()).is_none(), "an operation finished twice");
        }
    }
}

/// URING-3: what was moved before an error, or cannot be moved, is an error of the operation; the queue goes on.
#[test]
fn errors_come_back_with_their_operation() {
    for errno in [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::REMOTEIO, Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        let mut count = 0;
        let system = with_plan(move |_| {
            count += 1;
            act(if count == 2 { Act::Fail(errno) } else { Act::AtMost(100) })
        });
        let mut queue = open(&system);
        let under = NamedTempFile::new().unwrap();
        assert_eq!(done(&mut queue, write(&shared(&under), &pattern(300, 0), 0)), Err(errno));
        assert_eq!(done(&mut queue, write(&shared(&under), &pattern(300, 1), 0)), Ok(300));
        assert_eq!(fs::read(under.path()).unwrap(), pattern(300, 1));
    }
}

#[test]
fn a_write_of_nothing_is_a_full_disk() {
    let mut queue = open(&with_plan(|_| act(Act::AtMost(0))));
    let under = NamedTempFile::new().unwrap();
    assert_eq!(done(&mut queue, write(&shared(&under), &pattern(300, 0), 0)), Err(Errno::NOSPC));
    assert_eq!(done(&mut queue, read(&shared(&under), 300, 0)), Ok(0));
}

#[test]
fn what_is_interrupted_for_ever_fails() {
    let mut queue = open(&with_plan(|_| act(Act::Fail(Errno::INTR))));
    let under = NamedTempFile::new().unwrap();
    assert_eq!(done(&mut queue, write(&shared(&under), &pattern(300, 0), 0)), Err(Errno::INTR));
    assert_eq!(queue.statistics().repeated, u64::from(MAX_FRUITLESS));
}

/// URING-3: an fsync that failed says what was lost; to ask again would say that nothing was.
#[test]
fn a_failed_sync_is_not_tried_again() {
    for errno in [Errno::IO, Errno::INTR, Errno::AGAIN, Errno::NOSPC] {
        let system = with_plan(move |_| act(Act::Fail(errno)));
        let mut queue = open(&system);
        let under = NamedTempFile::new().unwrap();
        let file = shared(&under);
        assert_eq!(done(&mut queue, Operation::SyncData { file: file.clone() }), Err(errno));
        assert_eq!(done(&mut queue, Operation::Sync { file }), Err(errno));
        assert_eq!(system.seen().syncs, 2);
    }
}

/// URING-3: what may be done twice is, after an interruption; what may not is left to the caller.
#[test]
fn only_what_may_be_repeated_is_repeated() {
    let mut count = 0;
    let mut queue = open(&with_plan(move |_| {
        count += 1;
        act(if count % 2 == 1 { Act::Fail(Errno::INTR) } else { Act::Do })
    }));
    let dir = TempDir::new().unwrap();
    let name = |name: &str| std::ffi::CString::new(dir.path().join(name).to_str().unwrap()).unwrap();
    let make = || Operation::make_dir(crate::uring::Dir::Current, name("d"), rustix::fs::Mode::from(0o700));
    assert_eq!(done(&mut queue, make()), Err(Errno::INTR));
    assert_eq!(done(&mut queue, make()), Ok(0));
    assert_eq!(done(&mut queue, Operation::stat(crate::uring::Dir::Current, name("d"))), Ok(0));
    assert_eq!(queue.statistics().repeated, 1);
}

/// URING-3: more answers than the queue has places for come later, and none is lost.
#[test]
fn an_overflowing_completion_queue_loses_nothing() {
    let echo = |_: &Entry| Behaviour { echoes: 5, ..Behaviour::default() };
    let system = with_plan(echo);
    system.change(|script| script.completions = Some(4));
    let mut queue = open(&system);
    assert_eq!(queue.capacity(), 4, "no more is under way than there are places for answers");
    let under = NamedTempFile::new().unwrap();
    let file = shared(&under);
    for round in 0..50 {
        for tag in 0..4 {
            queue.submit(write(&file, &pattern(100, tag), tag * 100), tag).unwrap();
        }
        let mut tags: Vec<_> = (0..4).map(|_| next(&mut queue).tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, [0, 1, 2, 3], "{round}");
    }
    assert!(system.seen().overflowed > 0);
    let strays = queue.statistics().strays;
    assert!(strays.stale >= 49 * 4 * 5 && strays.unknown == 0, "{strays:?}");
}

/// URING-3: answers that nobody asked for change nothing.
#[test]
fn answers_to_nobody_are_counted() {
    let system = with_plan(|_| Behaviour::default());
    let mut queue = open(&system);
    let under = NamedTempFile::new().unwrap();
    let file = shared(&under);
    queue.submit(write(&file, &pattern(10, 0), 0), 3).unwrap();
    for word in [0, 7, 1 << 32 | 15, u64::MAX - 1, 5 << 32] {
        queue.ring_mut().ready.push_back(Completion { word, result: 1 });
    }
    assert_eq!(next(&mut queue).tag, 3);
    assert!(queue.poll().is_none());
    assert_eq!(queue.statistics().strays, Strays { unknown: 1, stale: 4 });
}

/// URING-1: until the last answer has come, everything stays, also when the queue is dropped.
#[test]
fn a_dropped_queue_waits_for_late_answers() {
    let pool = lasting(&Sizing { slots_per_session: 8, slot_bytes: 4096, ..Sizing::new(1, 1) }).unwrap();
    let mut number = numbers(5);
    let mut queue = open(&with_plan(move |_| Behaviour { delay: number(40) as u32, ..Behaviour::default() }));
    let under = NamedTempFile::new().unwrap();
    let file = shared(&under);
    let (_writer, reader) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (writer, Arc::new(File::new(reader.into())))
    };
    for tag in 0..8 {
        let mut buffer = Buffer::in_slot(pool.take().unwrap());
        buffer.resize(4096);
        buffer.copy_from_slice(&pattern(4096, tag));
        queue.submit(Operation::Write { file: file.clone(), buffer, range: 0..4096, offset: tag * 4096 }, tag).unwrap();
    }
    let name = std::ffi::CString::new(under.path().to_str().unwrap()).unwrap();
    let flags = rustix::fs::OFlags::RDONLY;
    let open_too = Operation::open(crate::uring::Dir::Current, name, flags, rustix::fs::Mode::empty());
    queue.submit(open_too, 0).unwrap();
    queue.submit(Operation::Watch { file: reader.clone() }, 0).unwrap();
    drop(queue);
    assert_eq!((pool.stats().in_use(), Arc::strong_count(&file), Arc::strong_count(&reader)), (0, 1, 1));
    let all: Vec<u8> = (0..8).flat_map(|tag| pattern(4096, tag)).collect();
    assert_eq!(fs::read(under.path()).unwrap(), all);
}

/// URING-3: where a ring breaks with operations under way, their memory is given up rather than used again.
#[test]
fn what_a_broken_ring_may_still_touch_is_never_used_again() {
    let pool = lasting(&Sizing { slots_per_session: 2, slot_bytes: 4096, ..Sizing::new(1, 1) }).unwrap();
    let system = with_plan(|_| Behaviour { delay: 100, ..Behaviour::default() });
    let mut queue = open(&system);
    let under = NamedTempFile::new().unwrap();
    let mut buffer = Buffer::in_slot(pool.take().unwrap());
    buffer.resize(4096);
    queue.submit(Operation::Write { file: shared(&under), buffer, range: 0..4096, offset: 0 }, 0).unwrap();
    system.change(|script| script.enter_failures = [Errno::BADF, Errno::BADF].into());
    assert_eq!(queue.enter(Wait::One), Err(Errno::BADF));
    drop(queue);
    assert_eq!(pool.stats().in_use(), 1);
}

/// URING-2: every kernel gets the best ring that it knows, and works the same.
#[test]
fn old_kernels_get_plainer_rings() {
    let v5_15 = Setup::CQSIZE;
    let v5_19 = v5_15 | Setup::SUBMIT_ALL | Setup::COOP_TASKRUN | Setup::TASKRUN_FLAG;
    for (known, attempts) in [(Setup::all(), 1), (v5_19, 2), (v5_15, 4), (Setup::empty(), 5)] {
        let system = ScriptedSystem::new(Script { known, has_file_tables: known == Setup::all(), ..Script::default() });
        let mut queue = open(&system);
        assert_eq!(system.seen().setups.len(), attempts);
        let under = NamedTempFile::new().unwrap();
        round_trip(&mut queue, &shared(&under), 1);
        assert_eq!(system.seen().registered > 0, known == Setup::all());
    }
}

/// URING-2: a refusal says what happened and what to do.
#[test]
fn refusals_say_what_to_do() {
    let refused = |script: Script| {
        let options = QueueOptions { entries: 64, ..QueueOptions::default() };
        Queue::open_on(&mut ScriptedSystem::new(script), &options).map(drop).unwrap_err()
    };
    let because = |refusal, disabled| {
        refused(Script { refusal: Some(refusal), disabled, memlock: Some(65536), ..Script::default() })
    };
    assert_eq!(because(Errno::NOSYS, 0), Refused::Absent);
    assert_eq!(because(Errno::PERM, 1), Refused::DisabledForUsers);
    assert_eq!(because(Errno::PERM, 0), Refused::Forbidden);
    assert_eq!(because(Errno::MFILE, 0), Refused::Files);
    assert_eq!(because(Errno::INVAL, 0), Refused::Invalid { entries: 64, polled: false });
    assert_eq!(because(Errno::NXIO, 0), Refused::Other(Errno::NXIO));
    let says = |refused: Refused, part: &str| assert!(refused.to_string().contains(part), "{refused}");
    says(because(Errno::PERM, 2), "kernel.io_uring_disabled is 2; `sysctl kernel.io_uring_disabled=0` allows it");
    says(because(Errno::NOMEM, 0), "and 65536 may be locked");
    says(refused(Script { missing: Some("rename files"), ..Script::default() }), "cannot rename files");
}

/// URING-1: registration that is refused says its numbers, and everything works without.
#[test]
fn refused_registration_costs_nothing_but_speed() {
    let pool = lasting(&Sizing { slots_per_session: 4, slot_bytes: 4096, ..Sizing::new(1, 1) }).unwrap();
    let system = ScriptedSystem::new(Script { memlock: Some(10_000), ..Script::default() });
    let mut queue = open(&system);
    let refused = queue.register_buffers(&[Region::of(pool, 16384)]).unwrap_err();
    assert_eq!(refused, NotRegistered::Limit { wanted_bytes: 16384, limit_bytes: Some(10_000) });
    assert!(refused.to_string().starts_with("16384 bytes cannot be registered with io_uring, and 10000 may be locked"));
    let under = NamedTempFile::new().unwrap();
    let file = shared(&under);
    for (registered, fixed) in [(false, 0), (true, 10)] {
        if registered {
            queue.register_buffers(&[Region::of(pool, 8192)]).unwrap();
        }
        for round in 0..10 {
            let mut buffer = Buffer::in_slot(pool.take().unwrap());
            buffer.resize(4096);
            buffer.copy_from_slice(&pattern(4096, round));
            let operation = Operation::Write { file: file.clone(), buffer, range: 0..4096, offset: 0 };
            assert_eq!(done(&mut queue, operation), Ok(4096));
            assert_eq!(fs::read(under.path()).unwrap(), pattern(4096, round));
        }
        assert_eq!(system.seen().fixed, fixed);
    }
}

/// URING-1: a place in the kernel's table is never taken from an operation that names it, though it is taken late.
#[test]
fn a_place_is_not_given_away_while_it_is_named() {
    let mut number = numbers(9);
    let system = with_plan(move |_| Behaviour { delay: number(30) as u32, ..Behaviour::default() });
    let options = QueueOptions { entries: 64, files: 2, ..QueueOptions::default() };
    let mut queue = Queue::open_on(&mut system.clone(), &options).unwrap();
    let dir = TempDir::new().unwrap();
    let files: Vec<_> = (0..8).map(|n| fs::File::create_new(dir.path().join(n.to_string())).unwrap()).collect();
    let shared: Vec<_> = files.iter().map(|file| Arc::new(File::new(file.try_clone().unwrap().into()))).collect();
    let mut pick = numbers(4);
    let mut at = [0_u64; 8];
    for _ in 0..2000 {
        // Mostly one of two, which move on, so that others come into the table.
        let n = (pick(2) + at.iter().sum::<u64>() / 250 % 7) as usize;
        while queue.submit(write(&shared[n], &[n as u8 + 1], at[n]), 0).is_err() {
            next(&mut queue);
        }
        at[n] += 1;
    }
    while queue.in_flight() > 0 {
        next(&mut queue);
    }
    for (n, file) in files.iter().enumerate() {
        let mut all = vec![0; at[n] as usize + 1];
        assert_eq!(file.read_at(&mut all, 0).unwrap() as u64, at[n]);
        assert!(all[..at[n] as usize].iter().all(|byte| *byte == n as u8 + 1), "{n}");
    }
    assert!(system.seen().registered > 500, "{:?}", system.seen());
}

/// What cannot be polled goes the other way, once and for all.
#[test]
fn what_cannot_be_polled_is_not() {
    let polled = Rc::new(RefCell::new(0));
    let count = polled.clone();
    let system = with_plan(move |_| {
        *count.borrow_mut() += 1;
        act(if *count.borrow() == 3 { Act::Fail(Errno::OPNOTSUPP) } else { Act::Do })
    });
    let options = QueueOptions { entries: 16, iopoll: true, ..QueueOptions::default() };
    let mut queue = Queue::open_on(&mut system.clone(), &options).unwrap();
    assert_eq!(system.seen().setups[1], system.seen().setups[0] | Setup::IOPOLL);
    let under = NamedTempFile::new().unwrap();
    let file = shared(&under);
    for round in 0..10 {
        assert_eq!(done(&mut queue, write(&file, &pattern(4096, round), 0)), Ok(4096));
        assert!(done(&mut queue, Operation::SyncData { file: file.clone() }).is_ok());
        assert_eq!(queue.polling_refused(), (round >= 1).then_some(Errno::OPNOTSUPP));
        assert_eq!(fs::read(under.path()).unwrap(), pattern(4096, round));
    }
    let none = ScriptedSystem::new(Script { known: Setup::all() - Setup::IOPOLL, ..Script::default() });
    let queue = Queue::open_on(&mut none.clone(), &options).unwrap();
    assert_eq!(queue.polling_refused(), Some(Errno::INVAL));
}
