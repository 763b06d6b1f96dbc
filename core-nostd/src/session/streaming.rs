//! What the application does with streams: it opens, provides, consumes, gives up, and stops taking new ones.

use super::{Controls, Phase, ReceiveWindow, Session, streams::Announcement};
use crate::{
    crypto::Handshake,
    limits,
    time::{Duration, Instant},
    wire::StreamId,
};

/// What a GOAWAY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leaving {
    pub(super) code: u16,
    /// The last stream that was open then.
    pub(super) last: Option<StreamId>,
}

/// The PING under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ping {
    /// Counts the PINGs, and tells them apart on the wire.
    pub(super) token: u64,
    /// When the newest left, while its answer is awaited.
    pub(super) sent_at: Option<Instant>,
}

impl Ping {
    /// One leaves: its token.
    pub(super) const fn leaves(&mut self, now: Instant) -> u64 {
        self.token = self.token.wrapping_add(1);
        self.sent_at = Some(now);
        self.token
    }

    /// An answer: the round trip, where it is to the newest.
    pub(super) fn answered(&mut self, token: u64, now: Instant) -> Option<Duration> {
        let sent_at = if token == self.token { self.sent_at.take()? } else { return None };
        Some(now.saturating_since(sent_at))
    }
}

impl<H: Handshake> Session<'_, H> {
    /// Opens a stream of this end's choosing. `false` where the id is taken, this end has no room for it, or the peer takes no
    /// new streams.
    ///
    /// The peer learns of it with the first bytes. Both ends may send on it.
    pub fn open_stream(&mut self, id: StreamId, now: Instant) -> bool {
        let window = self.config.initial_window_bytes;
        self.open_own_stream(id, window, now).is_some()
    }

    /// Opens a stream like [`Session::open_stream`], and says so to the peer at once (STREAM_OPEN): it may send up to
    /// `window_bytes` on it to begin with, at least what the handshake said and at most [`super::Config::max_window_bytes`], and
    /// streams of a lower `priority` go first at both ends. All other streams have priority 0. The connection's window grows by
    /// what the stream's has more than others.
    pub fn open_stream_with(&mut self, id: StreamId, window_bytes: u64, priority: u8, now: Instant) -> bool {
        let least = self.config.initial_window_bytes;
        let most = self.config.max_window_bytes.min(limits::MAX_STREAM_OFFSET).max(least);
        let window = window_bytes.clamp(least, most);
        let Some(index) = self.open_own_stream(id, window, now) else { return false };
        if let Some(stream) = self.streams.get_mut(index) {
            stream.priority = priority;
            stream.announcement = Some(Announcement { window, priority });
        }
        self.opened_streams |= 1 << index;
        self.controls |= Controls::STREAM_OPEN;
        if window > least {
            self.connection_window.widen(window - least);
            self.controls |= Controls::CONNECTION_WINDOW;
        }
        true
    }

    /// Says that the application has bytes of the stream up to offset `end` (2^48 at most; what is beyond is cut off), and
    /// whether that is all there will be. An `end` below an earlier one counts as that one; after `fin` nothing changes.
    ///
    /// [`super::Source::fill`] is asked for them when they may leave. `false` where the stream is not open, or was given up.
    pub fn provide(&mut self, id: StreamId, end: u64, fin: bool) -> bool {
        self.check_app_limited();
        let Some(stream) = self.streams.find(id).and_then(|index| self.streams.get_mut(index)) else { return false };
        if stream.send.reset.is_some() {
            return false;
        }
        if !stream.send.fin {
            stream.send.end = stream.send.end.max(end.min(limits::MAX_STREAM_OFFSET));
            stream.send.fin = fin;
        }
        true
    }

    /// Gives up what this end sends on the stream: nothing of it is sent any more, nor asked for, and the peer hears
    /// [`super::Event::StreamReset`] with `code`. `false` where the stream is not open, was given up, or all of it is with the
    /// peer.
    pub fn reset_stream(&mut self, id: StreamId, code: u16) -> bool {
        let Some(index) = self.streams.find(id) else { return false };
        let Some(stream) = self.streams.get_mut(index) else { return false };
        if !stream.send.give_up(code) {
            return false;
        }
        self.reset_streams |= 1 << index;
        self.controls |= Controls::STREAM_RESET;
        true
    }

    /// Says that the application is done with `bytes` more of the stream, so that the peer may send as many again. Each
    /// byte of [`super::Event::Data`] is to be consumed once, in any order.
    pub fn consume(&mut self, id: StreamId, bytes: u64, now: Instant) {
        let min_rtt = self.recovery.rtt.min();
        self.connection_window.consume(bytes);
        if self.connection_window.wants_update(now, min_rtt) {
            self.controls |= Controls::CONNECTION_WINDOW;
        }
        let Some(index) = self.streams.find(id) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.receive.window.consume(bytes);
        if stream.receive.final_size.is_none() && stream.receive.window.wants_update(now, min_rtt) {
            self.controls |= Controls::STREAM_WINDOW;
            self.window_streams |= 1 << index;
        }
    }

    /// Lets the peer have at least so many bytes of the stream on their way, and of the connection: as where it was given a small
    /// window because there were many others, and they have left. [`super::Config::max_window_bytes`] bounds it.
    pub fn ensure_window(&mut self, id: StreamId, bytes: u64) {
        if self.connection_window.ensure(bytes) {
            self.controls |= Controls::CONNECTION_WINDOW;
        }
        let Some(index) = self.streams.find(id) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.receive.final_size.is_none() && stream.receive.window.ensure(bytes) {
            self.controls |= Controls::STREAM_WINDOW;
            self.window_streams |= 1 << index;
        }
    }

    /// Asks the peer to open no more streams (GOAWAY); those that are open go on, and so do those that it opens before it hears
    /// of this. `code` says why, as in CLOSE. Said once.
    pub fn go_away(&mut self, code: u16) {
        if self.leaving.is_none() && matches!(self.phase, Phase::Established) {
            let last = self.streams.iter().map(|stream| stream.id).max();
            self.leaving = Some(Leaving { code, last });
            self.controls |= Controls::GO_AWAY;
        }
    }

    /// Measures a round trip from this application to the peer's session and back: [`super::Event::Pong`] tells it, unless
    /// one of the two packets is lost. Of several under way only the newest is answered.
    pub fn ping(&mut self) {
        if matches!(self.phase, Phase::Established) {
            self.controls |= Controls::PING;
        }
    }

    /// Frames about streams were lost: those of all streams that it may have been, since one too many does no harm.
    pub(super) fn repeat_stream_controls(&mut self, controls: Controls) {
        for index in 0..self.streams.len() {
            let Some(stream) = self.streams.get(index) else { continue };
            if controls.contains(Controls::STREAM_OPEN) && stream.announcement.is_some() {
                self.opened_streams |= 1 << index;
            }
            if controls.contains(Controls::STREAM_RESET) && stream.send.reset.is_some() {
                self.reset_streams |= 1 << index;
            }
        }
    }

    fn open_own_stream(&mut self, id: StreamId, window: u64, now: Instant) -> Option<usize> {
        if self.peer_going_away || self.streams.find(id).is_some() {
            return None;
        }
        self.open_stream_slot(id, window, now)
    }

    /// Opens a stream, with this window for what the peer sends.
    pub(super) fn open_stream_slot(&mut self, id: StreamId, window: u64, now: Instant) -> Option<usize> {
        let window = ReceiveWindow::new(window, self.config.max_window_bytes, now);
        self.streams.open(id, self.peer.stream_window, window)
    }
}
