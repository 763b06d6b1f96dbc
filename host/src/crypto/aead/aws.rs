//! The AEADs by aws-lc, whose AES-GCM uses VAES and AVX-512 where the CPU has them.
//!
//! aws-lc wipes a key's context when it is freed.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use wirehaul_core::crypto::{Forged, Suite};

use super::{MAX_KEY_BYTES, NONCE_BYTES, key_bytes, split_tag};

/// A key of any suite; the nonce is the caller's to keep unique.
///
/// "Less safe" is the library's name for a key that takes its nonce from outside, as a packet number demands.
pub(in crate::crypto) struct CipherKey(LessSafeKey);

impl CipherKey {
    /// The key of `suite` in the front of `secret`; `None` where the library is out of memory.
    pub(in crate::crypto) fn new(suite: Suite, secret: &[u8; MAX_KEY_BYTES]) -> Option<Self> {
        let algorithm = match suite {
            Suite::Aes128Gcm => &AES_128_GCM,
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, &secret[..key_bytes(suite)]).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Encrypts all of `buf` but its last 16 bytes, which become the tag.
    #[inline]
    pub(in crate::crypto) fn seal(&self, nonce: [u8; NONCE_BYTES], associated: &[u8], buf: &mut [u8]) {
        let Some((text, tag)) = split_tag(buf) else { return };
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.0.seal_in_place_scatter(nonce, Aad::from(associated), text, &[], tag).is_err() {
            // Only a text beyond the cipher's 64 GiB gets here. Nothing readable may leave all the same.
            buf.fill(0);
        }
    }

    /// Decrypts what [`CipherKey::seal`] made; returns the length of the text.
    #[inline]
    pub(in crate::crypto) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, Forged> {
        let (text, tag) = split_tag(buf).ok_or(Forged)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, text);
        opened.map(|text| text.len()).map_err(|_| Forged)
    }
}
