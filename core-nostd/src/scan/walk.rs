//! Who does what of a survey: shards of an order, and workers of a shard (SCAN-2, NUMA-3).
//!
//! ```text
//! positions of the order     0 1 2 3 4 5 6 7 8 ...      shard i of n has those that are i-1 modulo n,
//! positions of shard 2/3       0     1     2   ...      which it numbers from 0
//! steps of its course          0     1     2   ...      attempt a of position k is made at step k + a x spacing
//! ```
//!
//! What a shard covers depends on the order and on i/n alone. Its workers share the steps: of each block of step numbers,
//! every worker has a part by its weight. So no worker is far from where the others are, the least step that one of them has yet to
//! make says how far all have come ([`Walk::done_before`]), and whoever goes on from there may do so with other workers.

use core::fmt;

use super::order::Order;
use crate::numa::Partition;

/// About so many step numbers are divided among workers at a time: the multiple of their weights that is next below it, so that each gets
/// its exact part, and all of them come to the end together.
const BLOCK: u64 = 64;

/// No course has more steps: at a billion a second they take 292 years.
const MAX_STEPS: u64 = 1 << 63;

/// A part of a survey: all positions of the order that are `index - 1` modulo `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// Why something is no shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardError {
    /// It is not written as two numbers with a slash between them.
    Form,
    /// There are no shards, or more than 2^32 - 1.
    Count,
    /// There is no such shard: they are counted from 1.
    Index,
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "a shard is written i/n, as in 2/7",
            Self::Count => "the number of shards is from 1 to 4294967295",
            Self::Index => "shards are counted from 1 to their number: 1/3, 2/3 and 3/3",
        })
    }
}

impl core::error::Error for ShardError {}

impl Shard {
    /// The whole survey: 1/1.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// Shard `index` of `count`.
    ///
    /// # Errors
    /// `count` is 0, or `index` is not from 1 to `count`.
    pub const fn new(index: u32, count: u32) -> Result<Self, ShardError> {
        match (index, count) {
            (_, 0) => Err(ShardError::Count),
            (0, _) => Err(ShardError::Index),
            _ if index > count => Err(ShardError::Index),
            _ => Ok(Self { index, count }),
        }
    }

    /// The whole survey: 1/1.
    #[must_use]
    pub const fn whole() -> Self {
        Self::WHOLE
    }

    /// Reads `2/7`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ShardError> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (index, count) = text.split_once('/').ok_or(ShardError::Form)?;
        if !(is_number(index) && is_number(count)) {
            return Err(ShardError::Form);
        }
        let count = count.parse().map_err(|_| ShardError::Count)?;
        Self::new(index.parse().map_err(|_| ShardError::Index)?, count)
    }

    /// Which one, from 1.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// How many of `elements` positions are its.
    const fn share(self, elements: u128) -> u128 {
        // The index is not 0.
        elements.saturating_sub(self.index as u128 - 1).div_ceil(self.count as u128)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Why there is nothing to walk along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourseError {
    /// There are no elements.
    Nothing,
    /// There are more than [`Order::MAX_LEN`] elements.
    TooMany,
}

impl fmt::Display for CourseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "there is nothing to ask: no address, or no port",
            Self::TooMany => "addresses times ports are more than 2^120: name fewer of either",
        })
    }
}

impl core::error::Error for CourseError {}

/// The way that a shard goes, which all of its workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    order: Order,
    shard: Shard,
    attempts: u8,
    spacing: u64,
    /// Positions of the shard, [`MAX_STEPS`] at most.
    positions: u64,
    steps: u64,
}

impl Course {
    /// The way of `shard` through `elements` in the order of `seed`. Each is tried `attempts` times (0 is taken for 1), with
    /// `spacing` steps from one attempt to the next.
    ///
    /// # Errors
    /// There are no elements, or too many.
    pub fn new(elements: u128, seed: u64, shard: Shard, attempts: u8, spacing: u64) -> Result<Self, CourseError> {
        let reason = if elements == 0 { CourseError::Nothing } else { CourseError::TooMany };
        let order = Order::new(elements, seed).ok_or(reason)?;
        let attempts = attempts.max(1);
        let positions = u64::try_from(shard.share(elements)).unwrap_or(MAX_STEPS).min(MAX_STEPS);
        let later = spacing.saturating_mul(u64::from(attempts) - 1);
        let steps = if positions == 0 { 0 } else { positions.saturating_add(later).min(MAX_STEPS) };
        Ok(Self { order, shard, attempts, spacing, positions, steps })
    }

    /// How many step numbers there are; 2^63 stands for more, which nobody comes to. With `spacing` larger than the shard there are
    /// numbers at which nothing is to be done.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// How many elements the shard has.
    #[must_use]
    pub const fn elements(&self) -> u128 {
        self.shard.share(self.order.len())
    }

    /// How often each is tried.
    #[must_use]
    pub const fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Steps from one attempt to the next.
    #[must_use]
    pub const fn spacing(&self) -> u64 {
        self.spacing
    }

    /// The order that the shard is a part of.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// The element at a position of the shard.
    #[inline]
    const fn element(&self, position: u64) -> u128 {
        // Less than 2^63 x 2^32 + 2^32.
        self.order.at(position as u128 * self.shard.count as u128 + (self.shard.index - 1) as u128)
    }

    /// The position that this attempt is made for at this step, if there is one.
    #[inline]
    const fn position(&self, step: u64, attempt: u8) -> Option<u64> {
        // Both factors are below the number of steps wherever the product counts.
        match step.checked_sub(self.spacing.saturating_mul(attempt as u64)) {
            Some(position) if position < self.positions => Some(position),
            _ => None,
        }
    }

    /// The first attempt from this one on that is made at this step, if there is any.
    #[inline]
    const fn attempt_at(&self, step: u64, from: u8) -> Option<u8> {
        let mut attempt = from;
        while attempt < self.attempts {
            if step < self.steps && self.position(step, attempt).is_some() {
                return Some(attempt);
            }
            attempt += 1;
        }
        None
    }

    /// The first step from this one on at which there is something to do, if there is any.
    const fn next_busy(&self, step: u64) -> Option<u64> {
        let Some(round) = step.checked_div(self.spacing) else {
            return if step < self.steps { Some(step) } else { None };
        };
        let last_round = self.attempts as u64 - 1;
        let is_busy = if round > last_round {
            // The last attempts are under way, or over.
            step - last_round * self.spacing < self.positions
        } else {
            step % self.spacing < self.positions
        };
        match is_busy {
            true if step < self.steps => Some(step),
            false if round < last_round => {
                let next = (round + 1).saturating_mul(self.spacing);
                if next < self.steps { Some(next) } else { None }
            }
            _ => None,
        }
    }
}

/// One thing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its place on the course. Several attempts of different elements may be at one.
    pub number: u64,
    /// What to ask; see [`split`].
    pub element: u128,
    /// The how manieth attempt it is, from 0.
    pub attempt: u8,
}

/// The number of the address, and the place of the probe in the list, that an element stands for; `probes` is how many there are in
/// the list, and 0 is taken for 1.
#[must_use]
#[inline]
pub const fn split(element: u128, probes: u32) -> (u128, u32) {
    let probes = if probes == 0 { 1 } else { probes };
    // Division of 128 bits costs more than everything else that is done for an element.
    if element <= u64::MAX as u128 {
        let element = element as u64;
        ((element / probes as u64) as u128, (element % probes as u64) as u32)
    } else {
        (element / probes as u128, (element % probes as u128) as u32)
    }
}

/// A worker's part of a course, in order of step numbers, and of attempts at each.
#[derive(Clone, Debug)]
pub struct Walk {
    course: Course,
    block: u64,
    /// What of each block is the worker's: from the first, up to the second and without it.
    part: (u64, u64),
    /// The step that it is at, and the attempt that it makes there next, for which there is an element; `None` at the end.
    at: Option<(u64, u8)>,
    /// Where its part of the block that it is in ends.
    part_end: u64,
}

impl Walk {
    /// The part of `worker`, from step `from` on: 0, or what [`Walk::done_before`] said. The worker is one of the partition's parts,
    /// from 0; one that is not there, or has no weight, has nothing to do.
    #[must_use]
    pub fn new(course: Course, partition: &Partition, worker: usize, from: u64) -> Self {
        let total = partition.total();
        let block = total * (BLOCK / total).max(1);
        let part = partition.range(block, worker);
        let mut walk = Self { course, block, part: (part.start, part.end), at: None, part_end: 0 };
        if !part.is_empty() {
            walk.go_to(from);
        }
        walk
    }

    /// What it is a part of.
    #[must_use]
    pub const fn course(&self) -> &Course {
        &self.course
    }

    /// Every step below this number that is this worker's was handed out, with all of its attempts; `u64::MAX` when all were. Never
    /// falls. The least of all workers of a shard, which they were asked for after what they were handed out was done, is where to go
    /// on from.
    #[must_use]
    pub fn done_before(&self) -> u64 {
        self.at.map_or(u64::MAX, |(step, _)| step)
    }

    /// Its first step from `step` on.
    fn go_to(&mut self, step: u64) {
        let mut wanted = step;
        loop {
            self.at = None;
            let Some(busy) = self.course.next_busy(wanted) else { return };
            // Steps end at 2^63, so that none of this overflows.
            let mut block = busy - busy % self.block;
            if busy >= block + self.part.1 {
                block += self.block;
            }
            let own = busy.max(block + self.part.0);
            // Where it is not busy, the next one that is lies further on.
            if let Some(attempt) = self.course.attempt_at(own, 0) {
                self.at = Some((own, attempt));
                self.part_end = block + self.part.1;
                return;
            }
            wanted = own;
        }
    }

    #[inline]
    fn leave(&mut self, step: u64) {
        let next = step + 1;
        if next < self.part_end && next < self.course.positions {
            self.at = Some((next, 0));
        } else {
            self.go_to(next);
        }
    }
}

impl Iterator for Walk {
    type Item = Step;

    #[inline]
    fn next(&mut self) -> Option<Step> {
        let (number, attempt) = self.at?;
        let position = self.course.position(number, attempt)?;
        match self.course.attempt_at(number, attempt.saturating_add(1)) {
            Some(later) => self.at = Some((number, later)),
            None => self.leave(number),
        }
        Some(Step { number, element: self.course.element(position), attempt })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn course(elements: u128, shard: &str, attempts: u8, spacing: u64) -> Course {
        Course::new(elements, 7, Shard::parse(shard).unwrap(), attempts, spacing).unwrap()
    }

    fn walk(course: Course, weights: &[u32], worker: usize, from: u64) -> Walk {
        Walk::new(course, &Partition::new(weights.iter().copied()).unwrap(), worker, from)
    }

    #[test]
    fn shards_are_read_as_they_are_written() {
        for text in ["1/1", "2/7", "7/7", "4294967295/4294967295"] {
            assert_eq!(Shard::parse(text).unwrap().to_string(), text);
        }
        for (text, error) in [
            ("3/2", ShardError::Index),
            ("0/2", ShardError::Index),
            ("99999999999/2", ShardError::Index),
            ("1/0", ShardError::Count),
            ("1/4294967296", ShardError::Count),
            ("", ShardError::Form),
            ("1", ShardError::Form),
            ("1/", ShardError::Form),
            ("+1/2", ShardError::Form),
            ("1/2/3", ShardError::Form),
            ("1 / 2", ShardError::Form),
        ] {
            assert_eq!(Shard::parse(text), Err(error), "{text}");
        }
        assert_eq!(Shard::whole().to_string(), "1/1");
    }

    #[test]
    fn nothing_and_too_much_are_no_course() {
        assert_eq!(Course::new(0, 1, Shard::WHOLE, 1, 0), Err(CourseError::Nothing));
        assert_eq!(Course::new(Order::MAX_LEN + 1, 1, Shard::WHOLE, 1, 0), Err(CourseError::TooMany));
        let longest = Course::new(Order::MAX_LEN, 1, Shard::WHOLE, 255, u64::MAX).unwrap();
        assert_eq!((longest.steps(), longest.elements()), (1 << 63, Order::MAX_LEN));
        let mut walk = walk(longest, &[1], 0, (1 << 63) - 1);
        assert_eq!(walk.next().map(|step| (step.number, step.attempt)), Some(((1 << 63) - 1, 0)));
        assert_eq!((walk.next(), walk.done_before()), (None, u64::MAX));
    }

    /// SCAN-2: a shard without elements has no steps, and does no harm.
    #[test]
    fn more_shards_than_elements() {
        let found: Vec<_> = (1..=5)
            .flat_map(|index| walk(Course::new(3, 7, Shard::new(index, 5).unwrap(), 2, 10).unwrap(), &[1], 0, 0))
            .map(|step| (step.element, step.attempt))
            .collect();
        assert_eq!(found.len(), 6);
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 6);
        assert_eq!(course(3, "5/5", 2, 10).steps(), 0);
    }

    /// SCAN-4: retries are spread over time: each comes `spacing` steps after the attempt before it.
    #[test]
    fn attempts_are_as_far_apart_as_they_should_be() {
        for (elements, spacing) in [(10, 0), (10, 3), (10, 10), (10, 11), (10, 5_000), (9_000, 100), (9_000, 20_000)] {
            let steps: Vec<_> = walk(course(elements, "1/1", 3, spacing), &[1], 0, 0).collect();
            assert_eq!(steps.len() as u128, 3 * elements, "{elements} {spacing}");
            let mut first = vec![0; elements as usize];
            let mut count = vec![0; elements as usize];
            for step in &steps {
                let element = step.element as usize;
                if step.attempt == 0 {
                    first[element] = step.number;
                }
                assert_eq!(step.number, first[element] + u64::from(step.attempt) * spacing);
                assert_eq!(step.attempt, count[element]);
                count[element] += 1;
            }
            assert!(steps.is_sorted_by_key(|step| (step.number, step.attempt)));
        }
    }

    #[test]
    fn far_attempts_are_not_searched_for_step_by_step() {
        let course = course(2, "1/1", 200, 1 << 50);
        assert_eq!(walk(course, &[1, 3], 0, 0).count(), 400);
        // All of these are at the beginning of blocks, which is the first worker's.
        let mut other = walk(course, &[1, 3], 1, 0);
        assert_eq!((other.next(), other.done_before()), (None, u64::MAX));
    }

    /// SCAN-5: what was handed out before a step is never handed out again, and what was not is.
    #[test]
    fn a_walk_goes_on_where_it_was() {
        let course = course(20_000, "2/3", 2, 300);
        for worker in 0..3 {
            let all: Vec<_> = walk(course, &[2, 0, 5], worker, 0).collect();
            for done in [0, 1, 2, 700, 1_500, all.len().saturating_sub(1), all.len()] {
                let mut before = walk(course, &[2, 0, 5], worker, 0);
                let count = before.by_ref().take(done).count();
                let from = before.done_before();
                let after: Vec<_> = walk(course, &[2, 0, 5], worker, from).collect();
                assert_eq!(after, all.iter().copied().filter(|step| step.number >= from).collect::<Vec<_>>());
                assert!(all[..count].len() + after.len() >= all.len(), "skips");
                assert!(count + after.len() <= all.len() + 1, "repeats more than the attempts at one step");
            }
        }
        assert_eq!(walk(course, &[2, 0, 5], 1, 0).done_before(), u64::MAX);
        assert_eq!(walk(course, &[2, 0, 5], 9, 0).done_before(), u64::MAX);
    }

    #[test]
    fn elements_are_cut_into_address_and_probe() {
        for (element, probes, expected) in [
            (0, 3, (0, 0)),
            (7, 3, (2, 1)),
            (u128::from(u64::MAX), 65_535, (u128::from(u64::MAX / 65_535), (u64::MAX % 65_535) as u32)),
            (1 << 100, 1 << 16, (1 << 84, 0)),
            (10_u128.pow(30) + 9, 10, (10_u128.pow(29), 9)),
            (5, 0, (5, 0)),
        ] {
            assert_eq!(split(element, probes), expected);
        }
    }
}
