//! The transfers of a receiver: found by their session without a search, and which of them need a look.
//!
//! A transfer goes on only after something came for it: data, a finished job, a time. So what brings it something wakes it, and a thousand
//! transfers cost a turn no more than the few of them that have something to do.

use std::collections::VecDeque;

use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::worker::SessionId;

use super::storing::{Transfer, TransferStage};

/// The transfers. Places are numbers from 0, and change when one is removed.
#[derive(Default)]
pub(super) struct Table {
    transfers: Vec<Transfer>,
    /// Where the transfer of each session is, by the session's own place.
    places: Vec<Option<u32>>,
    /// Transfers that something came for.
    awake: Vec<SessionId>,
    /// Memory for the next such list.
    spare: Vec<SessionId>,
    /// No transfer has a time to look at before this.
    wake_at: Option<Instant>,
    /// When the last word was said to whom.
    last_words: VecDeque<(Instant, SessionId)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.transfers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transfers.is_empty()
    }

    /// Where the transfer of this session is, if it has one.
    pub(super) fn place_of(&self, id: SessionId) -> Option<usize> {
        let place = (*self.places.get(id.place())?)? as usize;
        self.transfers.get(place).filter(|transfer| transfer.id == id).map(|_| place)
    }

    pub(super) fn at(&mut self, place: usize) -> &mut Transfer {
        &mut self.transfers[place]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Transfer> {
        self.transfers.iter_mut()
    }

    /// Whether the transfer of this session goes on.
    pub(super) fn is_live(&self, id: SessionId) -> bool {
        let place = self.place_of(id).and_then(|place| self.transfers.get(place));
        place.is_some_and(|transfer| !matches!(transfer.stage, TransferStage::Ended))
    }

    /// Adds a transfer, and returns its place.
    pub(super) fn push(&mut self, transfer: Transfer) -> usize {
        let (place, of_session) = (self.transfers.len(), transfer.id.place());
        if self.places.len() <= of_session {
            self.places.resize(of_session + 1, None);
        }
        self.places[of_session] = u32::try_from(place).ok();
        self.transfers.push(transfer);
        place
    }

    /// Takes a transfer out. The last one takes its place.
    pub(super) fn remove(&mut self, place: usize) -> Transfer {
        let transfer = self.transfers.swap_remove(place);
        self.places[transfer.id.place()] = None;
        if let Some(moved) = self.transfers.get(place) {
            self.places[moved.id.place()] = u32::try_from(place).ok();
        }
        transfer
    }

    /// Something came for a transfer.
    pub(super) fn wake(&mut self, place: usize) {
        let transfer = &mut self.transfers[place];
        if !transfer.is_awake {
            transfer.is_awake = true;
            self.awake.push(transfer.id);
        }
    }

    /// A transfer wants to be woken at `at`, if at any time.
    pub(super) fn wake_later(&mut self, at: Option<Instant>) {
        self.wake_at = [self.wake_at, at].into_iter().flatten().min();
    }

    /// Wakes the transfers whose time has come.
    pub(super) fn wake_due(&mut self, now: Instant) {
        if self.wake_at.is_none_or(|at| at > now) {
            return;
        }
        self.wake_at = None;
        for place in 0..self.transfers.len() {
            match self.transfers[place].deadline() {
                Some(at) if at <= now => self.wake(place),
                at => self.wake_later(at),
            }
        }
    }

    /// Those that are awake, who sleep from now on. To be given back, for the sake of its memory.
    pub(super) fn take_awake(&mut self) -> Vec<SessionId> {
        let awake = std::mem::replace(&mut self.awake, std::mem::take(&mut self.spare));
        for id in &awake {
            if let Some(place) = self.place_of(*id) {
                self.transfers[place].is_awake = false;
            }
        }
        awake
    }

    /// See [`Table::take_awake`].
    pub(super) fn give_back(&mut self, mut awake: Vec<SessionId>) {
        awake.clear();
        self.spare = awake;
    }

    /// The last word was said to this session's peer.
    pub(super) fn said_last_word(&mut self, now: Instant, id: SessionId) {
        self.last_words.push_back((now, id));
    }

    /// The next peer that had its last word `wait` ago.
    pub(super) fn next_silent(&mut self, now: Instant, wait: Duration) -> Option<SessionId> {
        let (_, id) = *self.last_words.front().filter(|(at, _)| *at + wait <= now)?;
        self.last_words.pop_front();
        Some(id)
    }

    /// When the next transfer has something to do although nothing comes for it.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        let last_word = self.last_words.front().map(|(at, _)| *at + wait);
        [self.wake_at, last_word].into_iter().flatten().min()
    }
}
