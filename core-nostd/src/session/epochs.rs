//! The keys of the session, epoch by epoch (SEC-3).
//!
//! The initiator of the session offers a fresh public key in a REKEY frame; the responder answers with its own and
//! from then on can open packets of the next epoch; the answer lets the initiator seal with it. Data never waits: both
//! phases can be opened around the change, and the phase bit of the outer header says which a packet uses. A key is
//! dropped, and so wiped, when its phase is needed for the epoch after next or three probe time-outs have passed.

use core::hash::{Hash, Hasher};

use crate::{
    crypto::{Aead, EpochKeys, Forged, Handshake, HandshakeError, PUBLIC_KEY_BYTES},
    limits::PACKET_HEADER_BYTES,
    time::{Duration, Instant},
    wire::Reject,
};

/// The keys in use, and those of the epoch beside them.
pub(super) struct Epochs<A> {
    seal: A,
    seal_epoch: u32,
    open: A,
    open_epoch: u32,
    beside: Option<Beside<A>>,
    /// The responder's next sealing key, until the initiator shows that it has it too.
    next_seal: Option<A>,
    exchange: Exchange,
    started_at: Instant,
    sealed: u64,
    opened: u64,
}

/// A key for opening the packets of the phase that is not the current one.
struct Beside<A> {
    key: A,
    age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Age {
    Previous { discard_at: Instant },
    Next,
}

/// A key exchange under way, with this end's public key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Exchange {
    None,
    Offered([u8; PUBLIC_KEY_BYTES]),
    Answered { epoch: u32, public_key: [u8; PUBLIC_KEY_BYTES] },
}

/// What a REKEY frame asks of this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RekeyStep {
    /// Nothing: it repeats what is done.
    Stale,
    /// Send the answer, perhaps again.
    Answer,
    /// The next epoch's keys are in use.
    Advanced,
}

/// All but the keys: which there are, and for which epochs.
impl<A> Hash for Epochs<A> {
    fn hash<D: Hasher>(&self, digest: &mut D) {
        let Self { seal: _, seal_epoch, open: _, open_epoch, beside, next_seal, exchange, started_at, sealed, opened } =
            self;
        let beside = beside.as_ref().map(|Beside { key: _, age }| age);
        (seal_epoch, open_epoch, beside, next_seal.is_some(), exchange, started_at, sealed, opened).hash(digest);
    }
}

impl<A: Aead> Epochs<A> {
    pub(super) fn new(keys: EpochKeys<A>, now: Instant) -> Self {
        Self {
            seal: keys.seal,
            seal_epoch: 0,
            open: keys.open,
            open_epoch: 0,
            beside: None,
            next_seal: None,
            exchange: Exchange::None,
            started_at: now,
            sealed: 0,
            opened: 0,
        }
    }

    /// The phase bit of packets sealed now.
    pub(super) const fn phase(&self) -> bool {
        self.seal_epoch & 1 == 1
    }

    /// Epochs since the handshake.
    pub(super) const fn epoch(&self) -> u32 {
        self.seal_epoch
    }

    /// Seals a whole datagram: header, body, and room for the tag.
    pub(super) fn seal(&mut self, number: u64, datagram: &mut [u8]) {
        let (header, body) = datagram.split_at_mut(PACKET_HEADER_BYTES.min(datagram.len()));
        self.seal.seal_in_place(number, header, body);
        self.sealed += 1;
    }

    /// Opens a packet of this phase; returns the length of the plaintext. Nothing changes until
    /// [`Epochs::authenticated`].
    pub(super) fn open(&self, phase: bool, number: u64, header: &[u8], body: &mut [u8]) -> Result<usize, Reject> {
        let key = if phase == (self.open_epoch & 1 == 1) {
            &self.open
        } else {
            &self.beside.as_ref().ok_or(Reject::UnknownKeyPhase)?.key
        };
        key.open_in_place(number, header, body).map_err(|Forged| Reject::Forged)
    }

    /// A packet of this phase was opened and kept all rules: the first of the next epoch makes it the current one.
    pub(super) fn authenticated(&mut self, phase: bool, now: Instant, keep_previous: Duration) {
        self.opened += 1;
        let current = phase == (self.open_epoch & 1 == 1);
        if current || !matches!(self.beside, Some(Beside { age: Age::Next, .. })) {
            return;
        }
        if let Some(next) = self.beside.take() {
            let previous = core::mem::replace(&mut self.open, next.key);
            self.open_epoch += 1;
            self.opened = 0;
            self.beside = Some(Beside { key: previous, age: Age::Previous { discard_at: now + keep_previous } });
        }
        if let Some(seal) = self.next_seal.take() {
            self.advance_seal(seal, now);
        }
    }

    /// Whether the initiator should start a key exchange now.
    pub(super) fn rekey_due(&self, now: Instant, packets: u64, interval: Duration) -> bool {
        let old = self.rekey_at(interval).is_some_and(|at| at <= now);
        old || (self.is_settled() && self.sealed.max(self.opened) >= packets)
    }

    /// When the epoch is old enough for a key exchange; `None` while one is under way.
    pub(super) fn rekey_at(&self, interval: Duration) -> Option<Instant> {
        self.is_settled().then(|| self.started_at + interval)
    }

    /// Whether both directions use the same epoch and no key exchange is under way.
    fn is_settled(&self) -> bool {
        self.exchange == Exchange::None && self.seal_epoch == self.open_epoch
    }

    /// Starts a key exchange.
    pub(super) fn offer(&mut self, public_key: [u8; PUBLIC_KEY_BYTES]) {
        self.exchange = Exchange::Offered(public_key);
    }

    /// The epoch and public key of the offer to send.
    pub(super) fn pending_offer(&self) -> Option<(u32, [u8; PUBLIC_KEY_BYTES])> {
        match self.exchange {
            Exchange::Offered(public_key) => Some((self.seal_epoch + 1, public_key)),
            _ => None,
        }
    }

    /// The epoch and public key of the answer to send.
    pub(super) fn pending_answer(&self) -> Option<(u32, [u8; PUBLIC_KEY_BYTES])> {
        match self.exchange {
            Exchange::Answered { epoch, public_key } => Some((epoch, public_key)),
            _ => None,
        }
    }

    /// Whether a REKEY frame comes in its turn. Changes nothing.
    pub(super) fn check(&self, answer: bool, epoch: u32, initiator: bool) -> Result<(), Reject> {
        let newest = self.open_epoch + u32::from(matches!(self.beside, Some(Beside { age: Age::Next, .. })));
        let in_turn = answer == initiator && epoch <= newest.saturating_add(1);
        let expected = !answer || epoch <= self.seal_epoch || matches!(self.exchange, Exchange::Offered(_));
        if in_turn && expected { Ok(()) } else { Err(Reject::RekeyUnexpected) }
    }

    /// Takes in the peer's public key, which [`Epochs::check`] let pass.
    pub(super) fn on_rekey<H: Handshake<Aead = A>>(
        &mut self,
        answer: bool,
        epoch: u32,
        public_key: &[u8; PUBLIC_KEY_BYTES],
        handshake: &mut H,
        now: Instant,
    ) -> Result<RekeyStep, HandshakeError> {
        if answer {
            if epoch != self.seal_epoch + 1 || !matches!(self.exchange, Exchange::Offered(_)) {
                return Ok(RekeyStep::Stale);
            }
            let keys = handshake.rekey_finish(public_key)?;
            self.beside = Some(Beside { key: keys.open, age: Age::Next });
            self.exchange = Exchange::None;
            self.advance_seal(keys.seal, now);
            return Ok(RekeyStep::Advanced);
        }
        if matches!(self.exchange, Exchange::Answered { epoch: answered, .. } if answered == epoch) {
            return Ok(RekeyStep::Answer);
        }
        if epoch != self.open_epoch + 1 {
            return Ok(RekeyStep::Stale);
        }
        let (own, keys) = handshake.rekey_answer(public_key)?;
        self.beside = Some(Beside { key: keys.open, age: Age::Next });
        self.next_seal = Some(keys.seal);
        self.exchange = Exchange::Answered { epoch, public_key: own };
        Ok(RekeyStep::Answer)
    }

    /// Drops the previous epoch's key once its packets can no longer be on their way.
    pub(super) fn discard_old(&mut self, now: Instant) {
        if self.discard_at().is_some_and(|at| at <= now) {
            self.beside = None;
        }
    }

    /// When [`Epochs::discard_old`] has something to do.
    pub(super) fn discard_at(&self) -> Option<Instant> {
        match self.beside {
            Some(Beside { age: Age::Previous { discard_at }, .. }) => Some(discard_at),
            _ => None,
        }
    }

    fn advance_seal(&mut self, seal: A, now: Instant) {
        self.seal = seal;
        self.seal_epoch += 1;
        self.sealed = 0;
        self.started_at = now;
    }
}
