//! The sessions of a worker, found by the low byte of their index without a search.

use super::NoRoom;
use crate::{
    crypto::Handshake,
    session::{Session, Storage},
};

/// Most sessions of one worker: the slot is one byte of the session's index.
pub const MAX_SESSIONS: usize = 256;

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
}

impl<'a, H: Handshake> SlotTable<'a, H> {
    pub(super) fn new(slots: &'a mut [SessionSlot<'a, H>]) -> Self {
        let open = slots.iter().filter(|slot| matches!(slot, SessionSlot::Open(_))).count();
        Self { slots, open }
    }

    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len().min(MAX_SESSIONS)
    }

    pub(super) fn free_slot(&self) -> Option<u8> {
        let free = self.slots.iter().take(MAX_SESSIONS).position(|slot| matches!(slot, SessionSlot::Free(_)))?;
        u8::try_from(free).ok()
    }

    pub(super) fn at_mut(&mut self, slot: usize) -> Option<&mut Session<'a, H>> {
        match self.slots.get_mut(slot) {
            Some(SessionSlot::Open(session)) => Some(session),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Session<'a, H>> {
        let [.., slot] = index.to_be_bytes();
        self.at_mut(usize::from(slot)).filter(|session| session.is_addressed_by(index))
    }

    /// The session whose first index this is.
    pub(super) fn by_id(&mut self, id: u32) -> Option<&mut Session<'a, H>> {
        let [.., slot] = id.to_be_bytes();
        self.at_mut(usize::from(slot)).filter(|session| session.id() == id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session<'a, H>> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            SessionSlot::Open(session) => Some(session),
            _ => None,
        })
    }

    /// Puts the session that `make` builds into the free slot that `index` names.
    pub(super) fn fill(
        &mut self,
        index: u32,
        make: impl FnOnce(Storage<'a>) -> Result<Session<'a, H>, NoRoom>,
    ) -> Result<(), NoRoom> {
        let [.., slot] = index.to_be_bytes();
        let slot = self.slots.get_mut(usize::from(slot)).ok_or(NoRoom)?;
        match core::mem::replace(slot, SessionSlot::Unusable) {
            SessionSlot::Free(storage) => {
                *slot = SessionSlot::Open(make(storage)?);
                self.open += 1;
                Ok(())
            }
            taken => {
                *slot = taken;
                Err(NoRoom)
            }
        }
    }

    /// Frees the slots of sessions that are over.
    pub(super) fn reap(&mut self) {
        for slot in self.slots.iter_mut() {
            if !matches!(slot, SessionSlot::Open(session) if session.is_finished()) {
                continue;
            }
            if let SessionSlot::Open(session) = core::mem::replace(slot, SessionSlot::Unusable) {
                *slot = SessionSlot::Free(session.into_storage());
                self.open -= 1;
            }
        }
    }
}
