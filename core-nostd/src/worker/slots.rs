//! The sessions of a worker, found by the low bits of their index without a search, and which of them need a look.
//!
//! A session has something to send, or ends, only after a call that changes it or when its timer is due
//! ([`Session::poll_transmit`]). So whatever changes one marks its slot, and a turn of a thousand sessions costs no more than the few
//! of them that have something to do.

use core::net::SocketAddr;

use super::{
    NoRoom,
    marks::{Marks, Timers},
};
use crate::{
    crypto::Handshake,
    session::{Session, Storage},
    time::Instant,
};

/// Bits of an index that are the slot.
pub(super) const SLOT_BITS: u32 = 11;
/// Most sessions of one worker.
pub const MAX_SESSIONS: usize = 1 << SLOT_BITS;

/// The number of a slot, below [`MAX_SESSIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u16);

impl Slot {
    /// `None` for [`MAX_SESSIONS`] and above.
    pub(super) fn new(number: usize) -> Option<Self> {
        u16::try_from(number).ok().filter(|_| number < MAX_SESSIONS).map(Self)
    }

    /// The one that a receiver index leads to.
    pub(super) const fn of_index(index: u32) -> Self {
        Self((index & (MAX_SESSIONS as u32 - 1)) as u16)
    }

    pub(super) const fn get(self) -> usize {
        self.0 as usize
    }

    pub(super) const fn bits(self) -> u32 {
        self.0 as u32
    }
}

/// Room for one session: its storage while it is free.
#[expect(clippy::large_enum_variant, reason = "sessions live in place, in storage that the caller gave")]
pub enum SessionSlot<'a, H: Handshake> {
    /// Not in use.
    Free(Storage<'a>),
    /// In use.
    Open(Session<'a, H>),
    /// Its storage was too small for a session: it is never used.
    Unusable,
}

pub(super) struct SlotTable<'a, H: Handshake> {
    slots: &'a mut [SessionSlot<'a, H>],
    open: usize,
    /// Sessions that were changed since they were last asked what they have to send.
    touched: Marks,
    /// Sessions of which the pacer holds a packet back that nobody has begun to wait for ([`Session::await_departure`]).
    unawaited: Marks,
    /// When the pacer lets a packet of each session leave that it holds back. Until then there is nothing to ask the session for.
    departures: Timers,
    timers: Timers,
    /// Sessions whose handshake is under way, and how many.
    half_open: Marks,
    half_open_count: usize,
    /// What each session's peer calls it, so that a repeated INIT is found without looking at every session; zero for none.
    peers: [u32; MAX_SESSIONS],
}

impl<'a, H: Handshake> SlotTable<'a, H> {
    pub(super) fn new(slots: &'a mut [SessionSlot<'a, H>]) -> Self {
        let open = slots.iter().filter(|slot| matches!(slot, SessionSlot::Open(_))).count();
        let mut table = Self {
            slots,
            open,
            touched: Marks::NONE,
            unawaited: Marks::NONE,
            departures: Timers::NONE,
            timers: Timers::NONE,
            half_open: Marks::NONE,
            half_open_count: 0,
            peers: [0; MAX_SESSIONS],
        };
        for slot in (0..table.capacity()).map_while(Slot::new) {
            let is_open = table.at_mut(slot).is_some();
            table.touched.set(slot, is_open);
            table.note(slot);
        }
        table
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len().min(MAX_SESSIONS)
    }

    pub(super) fn free_slot(&self) -> Option<Slot> {
        let free = self.slots.iter().take(MAX_SESSIONS).position(|slot| matches!(slot, SessionSlot::Free(_)))?;
        Slot::new(free)
    }

    /// The session in a slot, to be changed.
    pub(super) fn at_mut(&mut self, slot: Slot) -> Option<&mut Session<'a, H>> {
        match self.slots.get_mut(slot.get()) {
            Some(SessionSlot::Open(session)) => {
                self.touched.set(slot, true);
                Some(session)
            }
            _ => None,
        }
    }

    /// The session in a slot, to be looked at.
    pub(super) fn at(&self, slot: Slot) -> Option<&Session<'a, H>> {
        match self.slots.get(slot.get()) {
            Some(SessionSlot::Open(session)) => Some(session),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Session<'a, H>> {
        self.at_mut(Slot::of_index(index)).filter(|session| session.is_addressed_by(index))
    }

    /// The session whose first index this is.
    pub(super) fn by_id(&mut self, id: u32) -> Option<&mut Session<'a, H>> {
        self.at_mut(Slot::of_index(id)).filter(|session| session.id() == id)
    }

    /// All sessions, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session<'a, H>> {
        let touched = &mut self.touched;
        self.slots.iter_mut().zip((0..).map_while(Slot::new)).filter_map(|(place, slot)| match place {
            SessionSlot::Open(session) => {
                touched.set(slot, true);
                Some(session)
            }
            _ => None,
        })
    }

    /// All sessions, to be looked at.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session<'a, H>> {
        self.slots.iter().filter_map(|slot| match slot {
            SessionSlot::Open(session) => Some(session),
            _ => None,
        })
    }

    /// Tells the sessions of which the pacer holds a packet back that it is waited for, and returns when the first of these may leave.
    pub(super) fn await_departures(&mut self) -> Option<Instant> {
        let mut from = 0;
        while let Some(slot) = self.unawaited.next(from) {
            from = slot.get() + 1;
            self.unawaited.set(slot, false);
            if let Some(SessionSlot::Open(session)) = self.slots.get_mut(slot.get()) {
                session.await_departure();
            }
        }
        self.departures.earliest(self.capacity())
    }

    /// The first slot, not before `from`, whose session may have something to send or may be over.
    pub(super) fn next_to_ask(&self, from: usize) -> Option<Slot> {
        self.touched.next(from)
    }

    /// The first slot, not before `from`, whose timer may be due: what was changed since its timer was noted may have another.
    pub(super) fn next_due(&self, now: Instant, from: usize) -> Option<Slot> {
        let noted = self.timers.next_due(now, from, self.capacity());
        let changed = self.next_to_ask(from);
        [noted, changed].into_iter().flatten().min_by_key(|slot| slot.get())
    }

    pub(super) fn earliest_timer(&self) -> Option<Instant> {
        self.timers.earliest(self.capacity())
    }

    /// The session in this slot was asked what it has to send; whether it has to be asked again although nothing happens. One that is
    /// over gives its storage back.
    pub(super) fn was_asked(&mut self, slot: Slot, ask_again: bool) {
        let Some(place) = self.slots.get_mut(slot.get()) else { return };
        let is_over = matches!(place, SessionSlot::Open(session) if session.is_finished());
        if is_over && let SessionSlot::Open(session) = core::mem::replace(place, SessionSlot::Unusable) {
            *place = SessionSlot::Free(session.into_storage());
            self.open -= 1;
        }
        let open = match place {
            SessionSlot::Open(session) => Some(session),
            _ => None,
        };
        self.touched.set(slot, ask_again && open.is_some());
        let departure = open.as_ref().and_then(|session| session.next_departure());
        self.unawaited.set(slot, departure.is_some());
        self.departures.set(slot, departure);
        self.timers.set(slot, open.and_then(|session| session.poll_timeout()));
        self.note(slot);
    }

    /// Keeps what is known of this slot's session beside it.
    fn note(&mut self, slot: Slot) {
        let (peer, is_half_open) =
            self.at(slot).map_or((0, false), |session| (session.peer_index(), session.is_connecting()));
        if let Some(known) = self.peers.get_mut(slot.get()) {
            *known = peer;
        }
        if self.half_open.has(slot) != is_half_open {
            self.half_open.set(slot, is_half_open);
            self.half_open_count =
                if is_half_open { self.half_open_count + 1 } else { self.half_open_count.saturating_sub(1) };
        }
    }

    /// Sessions whose handshake is under way.
    pub(super) const fn half_open(&self) -> usize {
        self.half_open_count
    }

    /// The session that an INIT of this peer has started.
    pub(super) fn answering(&mut self, remote: SocketAddr, peer_index: u32) -> Option<&mut Session<'a, H>> {
        let count = self.capacity();
        let mut from = 0;
        let slot = loop {
            let ahead = self.peers.get(from..count)?;
            let found = from + ahead.iter().position(|peer| *peer == peer_index)?;
            match self.slots.get(found) {
                Some(SessionSlot::Open(session)) if session.answers(remote, peer_index) => break Slot::new(found)?,
                _ => from = found + 1,
            }
        };
        self.at_mut(slot)
    }

    /// Puts the session that `make` builds into the free slot that `index` names.
    pub(super) fn fill(
        &mut self,
        index: u32,
        make: impl FnOnce(Storage<'a>) -> Result<Session<'a, H>, NoRoom>,
    ) -> Result<(), NoRoom> {
        let slot = Slot::of_index(index);
        let place = self.slots.get_mut(slot.get()).ok_or(NoRoom)?;
        match core::mem::replace(place, SessionSlot::Unusable) {
            SessionSlot::Free(storage) => {
                *place = SessionSlot::Open(make(storage)?);
                self.open += 1;
                self.touched.set(slot, true);
                self.note(slot);
                Ok(())
            }
            taken => {
                *place = taken;
                Err(NoRoom)
            }
        }
    }
}
