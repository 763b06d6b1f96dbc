//! The manifest on its way in.

use super::failure::Failure;
use super::manifest::{Manifest, ManifestDecoder, ManifestError};
use super::message::RefusalClass;
use super::streams::Inbox;

/// A manifest that is being read.
#[derive(Default)]
pub struct Intake {
    inbox: Inbox,
    decoder: ManifestDecoder,
}

/// Why a manifest is refused.
pub struct IntakeError(ManifestError);

impl Intake {
    /// Takes bytes of the manifest stream in; returns how many are done with.
    ///
    /// # Errors
    /// The manifest breaks a rule (XFER-3); nothing was written for it.
    pub fn receive(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, IntakeError> {
        let decoder = &mut self.decoder;
        self.inbox.receive(offset, bytes, |bytes| decoder.push(bytes)).map_err(IntakeError)
    }

    /// The manifest, once its stream has ended.
    ///
    /// # Errors
    /// It ends too early.
    pub fn finish(self) -> Result<Manifest, IntakeError> {
        self.decoder.finish().map(|(manifest, _)| manifest).map_err(IntakeError)
    }
}

impl IntakeError {
    /// The refusal that the sender hears.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        Failure::Refused { class: RefusalClass::Policy, reason: self.0.to_string() }
    }
}
