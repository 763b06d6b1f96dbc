//! Streams: what each half knows of its bytes, and the table that finds a stream by its id.

use super::{
    flow::ReceiveWindow,
    storage::{StreamSlot, StreamStorage},
};
use crate::{
    ranges::{Range, RangeSet},
    wire::{Reject, StreamId},
};

/// A stream of bytes in both directions. Streams live as long as their session.
#[derive(Debug, Hash)]
pub struct Stream<'a> {
    pub(super) id: StreamId,
    /// Lower goes first.
    pub(super) priority: u8,
    /// What STREAM_OPEN tells the peer, where this end opened the stream with one.
    pub(super) announcement: Option<Announcement>,
    pub(super) send: SendHalf<'a>,
    pub(super) receive: ReceiveHalf<'a>,
}

/// What a STREAM_OPEN frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Announcement {
    pub(super) window: u64,
    pub(super) priority: u8,
}

/// What this end sends on a stream.
#[derive(Debug, Hash)]
pub(super) struct SendHalf<'a> {
    /// The application has bytes up to here.
    pub(super) end: u64,
    /// The first byte that was never sent.
    pub(super) next: u64,
    /// The peer takes bytes up to here.
    pub(super) limit: u64,
    /// Whether `end` is final.
    pub(super) fin: bool,
    /// Whether the end was told, and not lost on its way.
    pub(super) fin_sent: bool,
    /// Why the application gave the stream up, if it did.
    pub(super) reset: Option<u16>,
    acked: RangeSet<'a>,
    lost: RangeSet<'a>,
}

/// What the peer sends on a stream.
#[derive(Debug, Hash)]
pub(super) struct ReceiveHalf<'a> {
    received: RangeSet<'a>,
    /// One above the highest byte seen.
    pub(super) highest: u64,
    pub(super) final_size: Option<u64>,
    pub(super) finished: bool,
    pub(super) window: ReceiveWindow,
}

impl<'a> Stream<'a> {
    pub(super) fn new(id: StreamId, storage: StreamStorage<'a>, send_limit: u64, window: ReceiveWindow) -> Self {
        let send = SendHalf {
            end: 0,
            next: 0,
            limit: send_limit,
            fin: false,
            fin_sent: false,
            reset: None,
            acked: RangeSet::new(storage.acked),
            lost: RangeSet::new(storage.lost),
        };
        let received = RangeSet::new(storage.received);
        let receive = ReceiveHalf { received, highest: 0, final_size: None, finished: false, window };
        Self { id, priority: 0, announcement: None, send, receive }
    }

    pub(super) fn into_storage(self) -> StreamStorage<'a> {
        StreamStorage {
            received: self.receive.received.into_storage(),
            acked: self.send.acked.into_storage(),
            lost: self.send.lost.into_storage(),
        }
    }
}

impl SendHalf<'_> {
    /// Whether there is anything to send that flow control of the stream allows.
    pub(super) fn has_work(&self) -> bool {
        !self.lost.is_empty() || self.next < self.end.min(self.limit) || self.fin_due()
    }

    /// Whether there are bytes to send, whether or not flow control allows it now.
    pub(super) fn has_data(&self) -> bool {
        !self.lost.is_empty() || self.next < self.end
    }

    /// Whether the end of the stream must be told, by a frame of its own if no byte is left to carry it.
    pub(super) fn fin_due(&self) -> bool {
        self.fin && !self.fin_sent && self.next == self.end
    }

    /// The next bytes to send again, at most `limit` of them; none where only the end must be told. Flow control does not
    /// bound them: they were paid for when they were first sent.
    pub(super) fn peek_lost(&self, limit: u64) -> Option<Range> {
        let lost = self.lost.first().map(|lost| Range { start: lost.start, end: lost.end.min(lost.start + limit) });
        lost.or_else(|| self.fin_due().then_some(Range { start: self.end, end: self.end }))
    }

    /// The next bytes to send for the first time, at most `limit` of them and within `connection_credit`.
    pub(super) fn peek_new(&self, limit: u64, connection_credit: u64) -> Option<Range> {
        let end = self.end.min(self.limit).min(self.next.saturating_add(limit.min(connection_credit)));
        (self.next < end).then_some(Range { start: self.next, end })
    }

    /// Records that the bytes which [`SendHalf::peek_lost`] or [`SendHalf::peek_new`] gave are on their way.
    pub(super) fn sent(&mut self, range: Range, new: bool) {
        if new {
            self.next = range.end;
        } else {
            self.lost.take_front(range.len());
        }
    }

    /// The peer has `range`; returns whether the run from zero grew.
    pub(super) fn on_acked(&mut self, range: Range) -> bool {
        let before = self.acked.prefix();
        if self.acked.insert_from_below(range.start, range.end).is_err() {
            // No room to remember it: sending the bytes once more is cheaper than losing count.
            self.on_lost(range, false);
            return false;
        }
        let after = self.acked.prefix();
        if !self.lost.is_empty() {
            // Where it would split a range and there is no room for that, the range stays queued whole and the peer drops
            // what it has. But bytes that the application was told are acknowledged are never asked for again.
            let _ = self.lost.remove(range.start, range.end);
            self.lost.remove_below(after);
        }
        after > before
    }

    /// Nothing is sent any more: the stream ends with what has left. Whether that changes anything.
    pub(super) fn give_up(&mut self, code: u16) -> bool {
        let all_there = self.fin_sent && self.acked.prefix() >= self.end;
        if self.reset.is_some() || all_there {
            return false;
        }
        self.reset = Some(code);
        self.end = self.next;
        self.fin = false;
        self.lost.clear();
        true
    }

    /// The bytes must be sent again, unless they were given up.
    pub(super) fn on_lost(&mut self, range: Range, fin: bool) {
        if self.reset.is_some() {
            return;
        }
        if fin {
            self.fin_sent = false;
        }
        let start = range.start.max(self.acked.prefix());
        if !self.acked.covers(start, range.end) {
            self.lost.insert_or_widen(start, range.end);
        }
    }

    /// The first bytes that the peer has not acknowledged, `limit` of them at most, must be sent again.
    pub(super) fn on_prefix_missing(&mut self, limit: u64) {
        if self.reset.is_some() {
            return;
        }
        let sent = Range { start: self.acked.prefix(), end: self.next };
        if let Some(missing) = self.acked.gaps(sent.start, sent.end).next() {
            self.lost.insert_or_widen(missing.start, missing.end.min(missing.start + limit));
        }
    }

    /// Everything below this is with the peer.
    pub(super) fn acked_prefix(&self) -> u64 {
        self.acked.prefix()
    }
}

impl ReceiveHalf<'_> {
    /// Whether `start..end` may arrive: flow control, final size, and room to remember a gap. Returns into how many new
    /// pieces it falls, `max_pieces` at most.
    pub(super) fn check(&self, start: u64, end: u64, fin: bool, max_pieces: usize) -> Result<usize, Reject> {
        if end > self.window.limit() {
            return Err(Reject::FlowControl);
        }
        match self.final_size {
            Some(size) if end > size || (fin && end != size) => return Err(Reject::FinalSize),
            None if fin && end < self.highest => return Err(Reject::FinalSize),
            _ => {}
        }
        if self.received.last().map_or(start == 0, |last| last.end == start) {
            return Ok(1);
        }
        // What joins a range that is there needs no room: else a full set could never be filled up again.
        let pieces = self.received.gaps(start, end).take(max_pieces + 1).count();
        let fits = pieces == 0 || self.received.has_room_for(start, end);
        if fits && pieces <= max_pieces { Ok(pieces) } else { Err(Reject::RangesFull) }
    }

    /// Records `start..end` and shows each part of it that is new to `sink`.
    pub(super) fn record(&mut self, start: u64, end: u64, mut sink: impl FnMut(Range)) {
        if self.received.last().is_none_or(|last| last.end <= start) {
            if start < end {
                sink(Range { start, end });
            }
        } else {
            self.received.gaps(start, end).for_each(sink);
        }
        // Cannot be full: `check` came first.
        let _ = self.received.insert(start, end);
        self.highest = self.highest.max(end);
    }

    /// The peer gave the stream up at `final_size`; returns how many of its bytes will never be reported.
    pub(super) fn reset(&mut self, final_size: u64) -> u64 {
        self.highest = self.highest.max(final_size);
        self.final_size = Some(final_size);
        self.finished = true;
        self.received.gaps(0, final_size).map(Range::len).sum()
    }

    /// Whether every byte up to the final size is there; true once.
    pub(super) fn finishes(&mut self) -> bool {
        let done = self.final_size.is_some_and(|size| self.received.prefix() >= size);
        let newly = done && !self.finished;
        self.finished |= done;
        newly
    }
}

/// Finds streams by id. Sessions have few streams, so looking at each is faster than any index.
#[derive(Debug, Hash)]
pub(super) struct StreamTable<'a> {
    slots: &'a mut [StreamSlot<'a>],
    /// How many are open, all at the front.
    open: usize,
    /// Where the last frame's stream was.
    recent: usize,
}

impl<'a> StreamTable<'a> {
    pub(super) fn new(slots: &'a mut [StreamSlot<'a>]) -> Self {
        Self { slots, open: 0, recent: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn get(&self, index: usize) -> Option<&Stream<'a>> {
        match self.slots.get(index) {
            Some(StreamSlot::Open(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Stream<'a>> {
        match self.slots.get_mut(index) {
            Some(StreamSlot::Open(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        if self.get(self.recent).is_some_and(|stream| stream.id == id) {
            return Some(self.recent);
        }
        (0..self.open).find(|index| self.get(*index).is_some_and(|stream| stream.id == id))
    }

    pub(super) fn touch(&mut self, index: usize) {
        self.recent = index;
    }

    /// How many more streams can be opened.
    pub(super) fn room(&self) -> usize {
        self.slots.len() - self.open
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<'a>> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            StreamSlot::Open(stream) => Some(stream),
            _ => None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream<'a>> {
        self.slots.iter().filter_map(|slot| match slot {
            StreamSlot::Open(stream) => Some(stream),
            _ => None,
        })
    }

    /// Opens a stream in the next free slot; `None` where there is none.
    pub(super) fn open(&mut self, id: StreamId, send_limit: u64, window: ReceiveWindow) -> Option<usize> {
        let index = self.open;
        let slot = self.slots.get_mut(index)?;
        match core::mem::replace(slot, StreamSlot::Moving) {
            StreamSlot::Free(storage) => *slot = StreamSlot::Open(Stream::new(id, storage, send_limit, window)),
            other => {
                *slot = other;
                return None;
            }
        }
        self.open += 1;
        Some(index)
    }

    /// Gives the storage back, every slot free.
    pub(super) fn into_storage(self) -> &'a mut [StreamSlot<'a>] {
        for slot in self.slots.iter_mut() {
            *slot = match core::mem::replace(slot, StreamSlot::Moving) {
                StreamSlot::Open(stream) => StreamSlot::Free(stream.into_storage()),
                other => other,
            };
        }
        self.slots
    }
}
