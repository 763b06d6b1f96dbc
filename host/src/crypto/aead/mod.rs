//! The AEADs of the data plane: one key per direction, the nonce made from the packet number (SEC-2).

#[cfg(feature = "aws-lc")]
mod aws;
// Beside aws-lc this one is the oracle of the tests.
#[cfg(any(not(feature = "aws-lc"), test))]
mod portable;
#[cfg(test)]
mod tests;

use core::fmt;

use wirehaul_core::crypto::{Aead, Forged, Suite};
use wirehaul_core::limits::TAG_BYTES;
use zeroize::{Zeroize, ZeroizeOnDrop};

#[cfg(feature = "aws-lc")]
pub(super) use aws::CipherKey;
#[cfg(not(feature = "aws-lc"))]
pub(super) use portable::CipherKey;

/// Bytes of the nonce of every suite (RFC 5116 N_MIN = N_MAX).
pub(super) const NONCE_BYTES: usize = 12;
/// Bytes of the longest key of any suite.
pub(super) const MAX_KEY_BYTES: usize = 32;

/// Bytes of a key of `suite`.
pub(super) const fn key_bytes(suite: Suite) -> usize {
    match suite {
        Suite::Aes128Gcm => 16,
        Suite::Aes256Gcm | Suite::ChaCha20Poly1305 => 32,
    }
}

/// One direction's key of one epoch, with the secret IV that its nonces are made of.
///
/// The nonce is the IV xor the 64-bit packet number in the last eight bytes, as in TLS 1.3 (RFC 8446, section 5.3).
pub struct DataKey {
    cipher: CipherKey,
    iv: Iv,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Iv([u8; NONCE_BYTES]);

impl DataKey {
    /// The key of `suite` in `secret`, of which shorter suites take the front.
    ///
    /// `None` where the library refuses to set up a context (it is out of memory).
    pub(super) fn new(suite: Suite, secret: &[u8; MAX_KEY_BYTES], iv: [u8; NONCE_BYTES]) -> Option<Self> {
        Some(Self { cipher: CipherKey::new(suite, secret)?, iv: Iv(iv) })
    }

    fn nonce(&self, packet_number: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = self.iv.0;
        for (byte, number) in nonce[NONCE_BYTES - 8..].iter_mut().zip(packet_number.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }
}

impl Aead for DataKey {
    #[inline]
    fn seal_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) {
        self.cipher.seal(self.nonce(packet_number), associated, buf);
    }

    #[inline]
    fn open_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) -> Result<usize, Forged> {
        self.cipher.open(self.nonce(packet_number), associated, buf)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(secret)")
    }
}

/// `buf` as what to encrypt and where the tag goes; `None` where it cannot even hold a tag.
fn split_tag(buf: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let text_bytes = buf.len().checked_sub(TAG_BYTES)?;
    Some(buf.split_at_mut(text_bytes))
}
