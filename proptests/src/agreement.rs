//! A key agreement for tests: the simulator's, which can be made to fail.

use std::cell::Cell;
use std::rc::Rc;

use wirehaul_core::crypto::{EpochKeys, Handshake, HandshakeError, PUBLIC_KEY_BYTES, Suite};
use wirehaul_sim::crypto::{SimAead, SimHandshake};

/// What the next handshake message that is read fails with; shared with the session that has the agreement.
#[derive(Clone, Debug, Default)]
pub struct Fault(Rc<Cell<Option<HandshakeError>>>);

impl Fault {
    /// Every message fails like this from now on, without an effect; `None` mends it.
    pub fn set(&self, error: Option<HandshakeError>) {
        self.0.set(error);
    }
}

/// The simulator's key agreement with a [`Fault`].
#[derive(Debug)]
pub struct Agreement {
    inner: SimHandshake,
    fault: Fault,
}

impl Agreement {
    /// An agreement that works until `fault` says otherwise.
    #[must_use]
    pub const fn new(inner: SimHandshake, fault: Fault) -> Self {
        Self { inner, fault }
    }
}

impl Handshake for Agreement {
    type Aead = SimAead;

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.inner.write_message(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.fault.0.get().map_or(Ok(()), Err)?;
        self.inner.read_message(message, payload)
    }

    fn first_keys(&mut self, suite: Suite) -> Result<EpochKeys<SimAead>, HandshakeError> {
        self.inner.first_keys(suite)
    }

    fn rekey_offer(&mut self) -> Result<[u8; PUBLIC_KEY_BYTES], HandshakeError> {
        self.inner.rekey_offer()
    }

    fn rekey_answer(
        &mut self,
        offer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Result<([u8; PUBLIC_KEY_BYTES], EpochKeys<SimAead>), HandshakeError> {
        self.inner.rekey_answer(offer)
    }

    fn rekey_finish(&mut self, answer: &[u8; PUBLIC_KEY_BYTES]) -> Result<EpochKeys<SimAead>, HandshakeError> {
        self.inner.rekey_finish(answer)
    }

    fn random(&mut self) -> Result<[u8; 8], HandshakeError> {
        self.inner.random()
    }
}
