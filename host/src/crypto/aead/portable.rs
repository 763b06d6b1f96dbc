//! The AEADs in pure Rust: for builds without a C compiler, and the oracle that the tests hold aws-lc against.
//!
//! The ciphers wipe their key schedules when they are dropped.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use chacha20poly1305::ChaCha20Poly1305;
use wirehaul_core::crypto::{Forged, Suite};

use super::{MAX_KEY_BYTES, NONCE_BYTES, key_bytes, split_tag};

/// A key of any suite; the nonce is the caller's to keep unique.
#[allow(clippy::large_enum_variant, reason = "two per session, and a box would cost a load per packet")]
pub(in crate::crypto) enum CipherKey {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
    ChaCha20(ChaCha20Poly1305),
}

impl CipherKey {
    /// The key of `suite` in the front of `secret`. Always there; an option to match the other implementation.
    pub(in crate::crypto) fn new(suite: Suite, secret: &[u8; MAX_KEY_BYTES]) -> Option<Self> {
        let key = &secret[..key_bytes(suite)];
        Some(match suite {
            Suite::Aes128Gcm => Self::Aes128(Aes128Gcm::new_from_slice(key).ok()?),
            Suite::Aes256Gcm => Self::Aes256(Aes256Gcm::new_from_slice(key).ok()?),
            Suite::ChaCha20Poly1305 => Self::ChaCha20(ChaCha20Poly1305::new_from_slice(key).ok()?),
        })
    }

    /// Encrypts all of `buf` but its last 16 bytes, which become the tag.
    pub(in crate::crypto) fn seal(&self, nonce: [u8; NONCE_BYTES], associated: &[u8], buf: &mut [u8]) {
        let Some((text, tag)) = split_tag(buf) else { return };
        let nonce = nonce.into();
        let sealed = match self {
            Self::Aes128(key) => key.encrypt_inout_detached(&nonce, associated, text.into()),
            Self::Aes256(key) => key.encrypt_inout_detached(&nonce, associated, text.into()),
            Self::ChaCha20(key) => key.encrypt_inout_detached(&nonce, associated, text.into()),
        };
        match sealed {
            Ok(made) => tag.copy_from_slice(&made),
            // Only a text beyond the cipher's 64 GiB gets here. Nothing readable may leave all the same.
            Err(_) => buf.fill(0),
        }
    }

    /// Decrypts what [`CipherKey::seal`] made; returns the length of the text.
    pub(in crate::crypto) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        buf: &mut [u8],
    ) -> Result<usize, Forged> {
        let (text, tag) = split_tag(buf).ok_or(Forged)?;
        let text_bytes = text.len();
        let nonce = nonce.into();
        let tag = (&*tag).try_into().map_err(|_| Forged)?;
        let opened = match self {
            Self::Aes128(key) => key.decrypt_inout_detached(&nonce, associated, text.into(), tag),
            Self::Aes256(key) => key.decrypt_inout_detached(&nonce, associated, text.into(), tag),
            Self::ChaCha20(key) => key.decrypt_inout_detached(&nonce, associated, text.into(), tag),
        };
        opened.map(|()| text_bytes).map_err(|_| Forged)
    }
}
