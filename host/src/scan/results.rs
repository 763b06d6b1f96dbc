//! What was found, on its way to whoever keeps it: in batches, through a bounded channel.
//!
//! A full channel holds up sending and never receiving: replies that come meanwhile wait here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration as StdDuration;

use crossbeam_channel::{Sender, TrySendError};
use wirehaul_core::scan::{Outside, Reply};
use wirehaul_core::time::{Duration, Instant};

use super::collect::Found;
use super::excluded::ExcludedHere;

/// Replies of a full batch.
const BATCH: usize = 256;
/// Batches that wait at most. What comes beyond is counted as dropped: nothing was sent for long by then.
const MAX_BACKLOG: usize = 256;
/// How long a batch that is not full waits for more.
const HOLD: Duration = Duration::from_millis(20);
/// How long the last batches wait for room.
const LAST_PATIENCE: StdDuration = StdDuration::from_secs(10);

/// A thread's end of the channel.
pub(super) struct Results {
    channel: Sender<Vec<Found>>,
    excluded: ExcludedHere,
    /// Nanoseconds since 1970 at the clock's origin.
    epoch_ns: u64,
    queue: u32,
    node: Option<u32>,
    batch: Vec<Found>,
    batch_since: Instant,
    backlog: VecDeque<Vec<Found>>,
    dropped: u64,
}

impl Results {
    pub(super) fn new(
        channel: Sender<Vec<Found>>,
        excluded: ExcludedHere,
        epoch_ns: u64,
        queue: u32,
        node: Option<u32>,
    ) -> Self {
        let (batch, backlog) = (Vec::with_capacity(BATCH), VecDeque::new());
        Self { channel, excluded, epoch_ns, queue, node, batch, batch_since: Instant::ZERO, backlog, dropped: 0 }
    }

    /// Replies that found no room.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Once a turn: passes on what has waited long enough, or was held up.
    pub(super) fn pump(&mut self, now: Instant) {
        self.excluded.refresh();
        if !self.batch.is_empty() && now.saturating_since(self.batch_since) >= HOLD {
            self.close_batch();
        }
        while let Some(batch) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(batch)) = self.channel.try_send(batch) {
                self.backlog.push_front(batch);
                break;
            }
        }
    }

    /// When [`Results::pump`] has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_backlog = (!self.backlog.is_empty()).then_some(Instant::ZERO);
        of_backlog.or_else(|| (!self.batch.is_empty()).then(|| self.batch_since + HOLD))
    }

    /// Passes on everything, and waits for room for so long.
    pub(super) fn finish(&mut self) {
        self.close_batch();
        for batch in self.backlog.drain(..) {
            let len = batch.len() as u64;
            // Nobody takes them any more.
            if self.channel.send_timeout(batch, LAST_PATIENCE).is_err() {
                self.dropped += len;
            }
        }
    }

    fn close_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if self.backlog.len() < MAX_BACKLOG {
            self.backlog.push_back(batch);
        } else {
            self.dropped += batch.len() as u64;
        }
    }
}

impl Outside for Results {
    fn is_excluded(&mut self, ip: IpAddr) -> bool {
        self.excluded.contains(ip)
    }

    fn found(&mut self, now: Instant, reply: &Reply) {
        if self.batch.is_empty() {
            self.batch_since = now;
        }
        let at_ns = self.epoch_ns.saturating_add(now.as_nanos());
        self.batch.push(Found { at_ns, reply: *reply, queue: self.queue, node: self.node });
        if self.batch.len() >= BATCH {
            self.close_batch();
        }
    }

    fn has_room(&mut self) -> bool {
        self.backlog.is_empty() || !self.channel.is_full()
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::scan::{Class, Probe};

    use super::super::excluded::Excluded;
    use super::*;

    fn results(room: usize) -> (Results, crossbeam_channel::Receiver<Vec<Found>>) {
        let (sender, receiver) = crossbeam_channel::bounded(room);
        (Results::new(sender, ExcludedHere::new(Excluded::default()), 1000, 7, Some(1)), receiver)
    }

    fn reply(last: u8) -> Reply {
        Reply {
            target: [10, 0, 0, last].into(),
            probe: Probe::tcp(80),
            class: Class::Open,
            responder: [10, 0, 0, last].into(),
            local: ([10, 0, 0, 1], 61440).into(),
            ttl: 64,
            rtt: None,
            icmp: None,
            ack: None,
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn replies_are_passed_on_in_order_when_they_are_many_or_have_waited() {
        let (mut results, receiver) = results(4);
        results.found(at(1), &reply(1));
        results.pump(at(2));
        assert_eq!((receiver.len(), results.deadline()), (0, Some(at(21))));
        results.pump(at(21));
        let first = receiver.try_recv().unwrap();
        let [Found { at_ns, reply: found, queue, node }] = &first[..] else { panic!("{first:?}") };
        assert_eq!((*at_ns, *found, *queue, *node), (1_001_000, reply(1), 7, Some(1)));
        assert_eq!(results.deadline(), None);
        (0..=u8::MAX).for_each(|number| results.found(at(30), &reply(number)));
        results.pump(at(30));
        let batch = receiver.try_recv().unwrap();
        assert!(batch.iter().zip(0..=u8::MAX).all(|(found, number)| found.reply == reply(number)));
        assert_eq!(batch.len(), BATCH);
    }

    /// What nobody takes stops sending, is kept, and is passed on when there is room.
    #[test]
    fn a_full_channel_stops_sending_and_loses_nothing() {
        let (mut results, receiver) = results(1);
        for _ in 0..5 {
            assert!(results.has_room() || receiver.is_full());
            (0..BATCH).for_each(|_| results.found(at(0), &reply(1)));
            results.pump(at(0));
        }
        assert!(!results.has_room());
        let mut count = 0;
        while let Ok(batch) = receiver.try_recv() {
            count += batch.len();
            results.pump(at(1));
        }
        assert_eq!((count, results.dropped()), (5 * BATCH, 0));
        assert!(results.has_room());
    }

    #[test]
    fn beyond_all_bounds_replies_are_counted() {
        let (mut results, receiver) = results(1);
        let all = (MAX_BACKLOG + 3) * BATCH;
        (0..all).for_each(|_| results.found(at(0), &reply(1)));
        assert_eq!(results.dropped(), 3 * BATCH as u64);
        drop(receiver);
        results.finish();
        assert_eq!(results.dropped(), all as u64, "nobody is there any more");
    }
}
