//! URING-1, URING-3: transfers against a model of files and of a kernel that does a part of what it is asked for, fails,
//! answers late, in any order and twice. Whatever it does, no operation ends twice or never, and no byte is wrong.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::disk::errno::{EAGAIN, ECANCELED, EINTR, EINVAL, EIO, ENODATA, ENOSPC};
use wirehaul_core::disk::{
    Batch, Direction, FileTable, Flight, Landing, Next, Piece, Place, Progress, Row, Token, Use,
};

/// Direct transfers are of whole blocks.
const BLOCK: u32 = 512;

/// What the kernel does with an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    All,
    /// Of a thousand parts so many, and at least something.
    Part(u32),
    Fail(i32),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::All),
        8 => (0_u32..1000).prop_map(Deed::Part),
        4 => prop::sample::select(vec![EINTR, EAGAIN, ECANCELED]).prop_map(Deed::Fail),
        1 => prop::sample::select(vec![EIO, ENODATA, ENOSPC]).prop_map(Deed::Fail),
    ]
}

/// A transfer, on a file of its own.
#[derive(Clone, Debug)]
struct Transfer {
    direction: Direction,
    offset: u64,
    len: u32,
    is_direct: bool,
    /// How long the file is that is read; how long one may become that is written.
    size: u64,
    deeds: Vec<Deed>,
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let direction = prop::sample::select(vec![Direction::Read, Direction::Write]);
    let parts = (direction, 0_u64..10_000, 1_u32..20_000, any::<bool>(), 0_u64..60_000, vec(deed(), 0..12));
    parts.prop_map(|(direction, offset, len, is_direct, size, deeds)| {
        let block = u64::from(BLOCK);
        let (offset, len) =
            if is_direct { (offset / block * block, len.next_multiple_of(BLOCK)) } else { (offset, len) };
        // A device has whole blocks of room, but a file may end anywhere.
        let size = if is_direct && direction == Direction::Write { size / block * block } else { size };
        Transfer { direction, offset, len, is_direct, size, deeds }
    })
}

/// A transfer as the kernel sees it.
struct File {
    transfer: Transfer,
    bytes: Vec<u8>,
    memory: Vec<u8>,
    deeds: VecDeque<Deed>,
    met: Vec<Deed>,
    outcome: Option<Next>,
}

impl File {
    fn new(transfer: &Transfer) -> Self {
        let is_read = transfer.direction == Direction::Read;
        let bytes = (0..if is_read { transfer.size } else { 0 }).map(|at| (at % 241) as u8).collect();
        let fill = |at: u32| if is_read { 0xee } else { (at % 239) as u8 };
        let memory = (0..transfer.len).map(fill).collect();
        let deeds = transfer.deeds.iter().copied().collect();
        Self { transfer: transfer.clone(), bytes, memory, deeds, met: Vec::new(), outcome: None }
    }

    /// Carries a piece out, and says what the kernel would.
    fn perform(&mut self, piece: Piece) -> i32 {
        let Piece { from, len, offset } = piece;
        let Transfer { direction, is_direct, size, .. } = self.transfer;
        assert!(from + len <= self.transfer.len && len > 0);
        let block = if is_direct { BLOCK } else { 1 };
        if !(offset.is_multiple_of(u64::from(block)) && from.is_multiple_of(block) && len.is_multiple_of(block)) {
            return -EINVAL;
        }
        let deed = self.deeds.pop_front().unwrap_or(Deed::All);
        self.met.push(deed);
        let wanted = match deed {
            Deed::Fail(errno) => return -errno,
            Deed::All => len,
            // A device reads whole blocks. That it writes whole ones is not taken for granted.
            Deed::Part(part) if direction == Direction::Read => (len * part / 1000 / block * block).max(block),
            Deed::Part(part) => (len * part / 1000).max(1),
        };
        let moved = u64::from(wanted).min(size.saturating_sub(offset)) as usize;
        let (begin, at) = (offset as usize, from as usize);
        match direction {
            Direction::Read if moved > 0 => {
                self.memory[at..at + moved].copy_from_slice(&self.bytes[begin..begin + moved]);
            }
            Direction::Write if moved > 0 => {
                self.bytes.resize(self.bytes.len().max(begin + moved), 0);
                self.bytes[begin..begin + moved].copy_from_slice(&self.memory[at..at + moved]);
            }
            // Kernels differ in how they say that there is no room.
            Direction::Write if begin % 2 == 0 => return -ENOSPC,
            _ => {}
        }
        moved as i32
    }

    /// Whether the outcome is the one that it has to be.
    fn check(&self) {
        let Transfer { direction, offset, len, size, .. } = self.transfer;
        let room = size.saturating_sub(offset).min(u64::from(len));
        let outcome = self.outcome.expect("an operation ends");
        let (begin, end) = (offset as usize, (offset + room) as usize);
        match (outcome, direction) {
            (Next::Done(bytes), Direction::Read) => {
                assert_eq!(u64::from(bytes), room, "all that there is");
                assert!(room == 0 || self.memory[..room as usize] == self.bytes[begin..end]);
                assert!(self.memory[room as usize..].iter().all(|byte| *byte == 0xee), "nothing beyond it is touched");
            }
            (Next::Done(bytes), Direction::Write) => {
                assert_eq!((bytes, room), (len, u64::from(len)), "all or an error");
                assert_eq!(self.memory[..], self.bytes[begin..end]);
            }
            (Next::Failed(ENOSPC), Direction::Write) if room < u64::from(len) => {}
            // A direct write that is cut short between boundaries nine times over gets no further either.
            (Next::Failed(ENOSPC), Direction::Write) if self.parts_of_a_direct_file() > 8 => {}
            (Next::Failed(errno), _) => assert!(self.met.contains(&Deed::Fail(errno)), "{errno} came from nowhere"),
            (Next::Again, _) => panic!("an end"),
        }
    }
}

impl File {
    fn parts_of_a_direct_file(&self) -> usize {
        let parts = self.met.iter().filter(|deed| matches!(deed, Deed::Part(_))).count();
        if self.transfer.is_direct { parts } else { 0 }
    }
}

/// A queue as a host runs it.
struct Host {
    files: Vec<File>,
    flight: Flight<(usize, Progress), Vec<Place<(usize, Progress)>>>,
    /// With the kernel: which file, the token, and what is asked for.
    asked: Vec<(usize, u64, Piece)>,
    /// Answers that come once more.
    echoes: Vec<(u64, i32)>,
    begun: usize,
    strays: u64,
}

impl Host {
    fn new(transfers: &[Transfer], capacity: usize) -> Self {
        let places = (0..capacity).map(|_| Place::default()).collect();
        Self {
            files: transfers.iter().map(File::new).collect(),
            flight: Flight::new(places, 6),
            asked: Vec::new(),
            echoes: Vec::new(),
            begun: 0,
            strays: 0,
        }
    }

    fn begin_what_fits(&mut self) {
        while let Some(file) = self.files.get(self.begun) {
            let Transfer { direction, offset, len, .. } = file.transfer;
            let progress = Progress::new(direction, offset, len, 4096).expect("a place in a small file");
            let has_room = self.flight.count() < self.flight.capacity();
            match self.flight.begin((self.begun, progress)) {
                Ok((token, (number, progress))) => {
                    assert!(has_room);
                    self.asked.push((*number, token.to_word(), progress.piece()));
                    self.begun += 1;
                }
                Err((number, _)) => {
                    assert!(!has_room && number == self.begun);
                    return;
                }
            }
        }
    }

    fn answer(&mut self, which: prop::sample::Index, echoes: u8) {
        let (number, word, piece) = self.asked.swap_remove(which.index(self.asked.len()));
        let result = self.files[number].perform(piece);
        self.echoes.extend((0..echoes).map(|_| (word, result)));
        assert!(self.land(word, result), "an answer to what is under way");
    }

    /// Takes an answer; `false` if it belonged to nothing.
    fn land(&mut self, word: u64, result: i32) -> bool {
        let (files, asked) = (&mut self.files, &mut self.asked);
        let landing = self.flight.land(Token::from_word(word), |(number, progress), next| {
            let outcome = progress.completed(result);
            if outcome == Next::Again {
                asked.push((*number, next.to_word(), progress.piece()));
                return false;
            }
            assert_eq!(files[*number].outcome.replace(outcome), None, "it ends once");
            true
        });
        landing != Landing::Stray
    }

    /// An answer that nobody waits for changes nothing.
    fn noise(&mut self, word: u64, result: i32) {
        if self.asked.iter().all(|(_, known, _)| *known != word) {
            let before = self.flight.count();
            assert!(!self.land(word, result));
            self.strays += 1;
            assert_eq!(self.flight.count(), before);
        }
        let strays = self.flight.strays();
        assert_eq!(strays.unknown + strays.stale, self.strays);
    }
}

proptest! {
    #[test]
    fn every_transfer_ends_once_and_right(
        transfers in vec(transfer(), 1..20),
        capacity in 1_usize..10,
        schedule in vec((any::<prop::sample::Index>(), 0_u8..3, any::<u64>()), 50),
    ) {
        let mut host = Host::new(&transfers, capacity);
        for (step, (which, echoes, word)) in schedule.iter().cycle().enumerate() {
            prop_assert!(step < 20 * 60, "it comes to an end");
            host.begin_what_fits();
            prop_assert!(host.flight.count() as usize <= capacity.min(6));
            prop_assert_eq!(host.flight.count() as usize, host.asked.len());
            if host.asked.is_empty() {
                break;
            }
            host.answer(*which, *echoes);
            // Places and generations that exist, mostly.
            for word in [*word, (*word >> 33 & 15) << 32 | *word & 15] {
                host.noise(word, word as i32);
            }
            if let Some((word, result)) = host.echoes.pop() {
                host.noise(word, result);
            }
        }
        prop_assert_eq!(host.begun, transfers.len());
        host.files.iter().for_each(File::check);
    }

    /// Whatever the kernel says, a transfer asks for pieces inside of its memory only, and moves on or ends.
    #[test]
    fn no_answer_leads_outside(
        (direction, offset, len) in (any::<bool>(), any::<u64>(), any::<u32>()),
        address in any::<usize>(),
        answers in vec(prop_oneof![any::<i32>(), 0..10_000_i32, -130..0_i32], 1..100),
    ) {
        let direction = if direction { Direction::Read } else { Direction::Write };
        let Some(mut progress) = Progress::new(direction, offset, len, address) else {
            prop_assert!(u128::from(offset) + u128::from(len) > i64::MAX as u128);
            return Ok(());
        };
        for answer in answers {
            let piece = progress.piece();
            prop_assert!(u64::from(piece.from) + u64::from(piece.len) <= u64::from(len));
            prop_assert_eq!(piece.offset, offset + u64::from(piece.from));
            match progress.completed(answer) {
                Next::Done(bytes) => {
                    prop_assert!(bytes <= len && (direction == Direction::Read || bytes == len));
                    break;
                }
                Next::Failed(errno) => {
                    prop_assert!(errno > 0);
                    break;
                }
                Next::Again => {}
            }
        }
    }

    /// URING-1: the table of files against a list: a place that is held keeps its file, and no file has two places.
    #[test]
    fn a_held_place_keeps_its_file(
        rows in 0_usize..6,
        script in vec((0_u8..8, 0_u64..9, any::<prop::sample::Index>()), 1..400),
    ) {
        let mut table = FileTable::new(vec![Row::default(); rows]);
        // What the kernel has; and what is under way: place and file.
        let mut kernel: Vec<Option<u64>> = vec![None; rows];
        let mut held: Vec<(u32, u64)> = Vec::new();
        let mut doomed = Vec::new();
        for (step, id, which) in script {
            match step {
                0..4 => match table.hold(id) {
                    Use::Plain => {}
                    Use::At(place) => {
                        prop_assert_eq!(kernel[place as usize], Some(id));
                        prop_assert!(!doomed.contains(&place));
                        held.push((place, id));
                    }
                    Use::New(place) => {
                        prop_assert!(held.iter().all(|(other, _)| *other != place), "somebody's place is given away");
                        prop_assert!(!kernel.contains(&Some(id)), "it has two places");
                        kernel[place as usize] = Some(id);
                        held.push((place, id));
                    }
                },
                4..7 if !held.is_empty() => {
                    let (place, id) = held.swap_remove(which.index(held.len()));
                    prop_assert_eq!(kernel[place as usize], Some(id));
                    let is_last = held.iter().all(|(other, _)| *other != place);
                    let is_over = is_last && doomed.contains(&place);
                    prop_assert_eq!(table.release(place), is_over);
                    if is_over {
                        kernel[place as usize] = None;
                        doomed.retain(|other| *other != place);
                    }
                }
                _ => if let Some(place) = table.place_of(id) {
                    let is_held = held.iter().any(|(other, _)| *other == place);
                    prop_assert_eq!(table.forget(place), !is_held);
                    if is_held {
                        doomed.push(place);
                    } else {
                        kernel[place as usize] = None;
                    }
                },
            }
            for (place, id) in (0..).zip(&kernel) {
                prop_assert_eq!(table.id_at(place), *id);
            }
        }
    }

    /// URING-1: between two calls never more than a quarter of what is under way waits for the kernel, apart from a few.
    #[test]
    fn no_more_than_a_quarter_waits(steps in vec((1_u32..300, any::<bool>()), 1..300)) {
        let mut batch = Batch::new();
        for (under_way, takes_all) in steps {
            if batch.queue(under_way) {
                batch.taken(if takes_all { batch.queued() } else { batch.queued() / 2 });
            } else {
                prop_assert!(batch.queued() < 4 || batch.queued() * 4 < under_way);
            }
        }
    }
}
