//! The primitives under the Noise state machine: X25519, ChaCha20-Poly1305, BLAKE2s, and a source of "randomness" that
//! gives one ephemeral key drawn beforehand.
//!
//! They are our own wiring for three reasons. Keys are wiped when dropped. The static public key is not computed
//! again for every handshake, so that answering a first message costs no public-key work before it authenticates
//! (SEC-4). And because the ephemeral key comes from outside, a handshake can be rebuilt exactly as it was (see
//! [`super::noise`]).

use std::sync::Arc;

use blake2::digest::FixedOutputReset;
use blake2::{Blake2s256, Digest};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use wirehaul_core::crypto::Suite;
use wirehaul_core::limits::TAG_BYTES;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::aead::{CipherKey, NONCE_BYTES};
use super::identity::{KEY_BYTES, StaticKey};

/// What one handshake's state machine is built on.
pub(super) struct Primitives {
    /// This end's static key.
    pub(super) identity: Arc<StaticKey>,
    /// The private ephemeral key that this handshake uses, whenever it is (re)built.
    pub(super) ephemeral: Zeroizing<[u8; KEY_BYTES]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Predrawn(self.ephemeral.clone())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| -> Box<dyn Dh> {
            let secret = StaticSecret::from([0; KEY_BYTES]);
            Box::new(X25519 { identity: Arc::clone(&self.identity), secret, public: [0; KEY_BYTES] })
        })
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s).then(|| -> Box<dyn Hash> { Box::new(Blake2s(Blake2s256::new())) })
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| -> Box<dyn Cipher> { Box::new(ChaChaPoly(None)) })
    }
}

/// The ephemeral key that was drawn before.
struct Predrawn(Zeroizing<[u8; KEY_BYTES]>);

impl Random for Predrawn {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        // XX asks once, for one key. Anything else must not get the same bytes.
        if dest.len() != KEY_BYTES {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(&self.0[..]);
        Ok(())
    }
}

/// One X25519 key pair.
struct X25519 {
    identity: Arc<StaticKey>,
    secret: StaticSecret,
    public: [u8; KEY_BYTES],
}

impl X25519 {
    fn take(&mut self, secret: &[u8; KEY_BYTES]) {
        self.secret = StaticSecret::from(*secret);
        if secret == self.identity.secret() {
            self.public = *self.identity.public().as_bytes();
        } else {
            count_public_key_operation();
            self.public = x25519_dalek::PublicKey::from(&self.secret).to_bytes();
        }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, privkey: &[u8]) {
        // The builder passes on the slice that `noise` gave it, which has this length.
        if let Ok(secret) = privkey.try_into() {
            self.take(secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rng.try_fill_bytes(&mut secret[..])?;
        self.take(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let (public, _) = pubkey.split_first_chunk::<KEY_BYTES>().ok_or(Error::Dh)?;
        let (out, _) = out.split_first_chunk_mut::<KEY_BYTES>().ok_or(Error::Dh)?;
        count_public_key_operation();
        let shared = self.secret.diffie_hellman(&(*public).into());
        // A point of low order would make the secret the same whatever our key is.
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        *out = *shared.as_bytes();
        Ok(())
    }
}

/// ChaCha20-Poly1305 as the Noise specification has it: 32 zero bits, then the counter, little-endian.
struct ChaChaPoly(Option<CipherKey>);

impl ChaChaPoly {
    fn nonce(counter: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[NONCE_BYTES - 8..].copy_from_slice(&counter.to_le_bytes());
        nonce
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_BYTES]) {
        self.0 = CipherKey::new(Suite::ChaCha20Poly1305, key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let bytes = plaintext.len() + TAG_BYTES;
        // `noise` has checked the room; without it, or without a key, what goes out is empty and the peer refuses it.
        let Some(out) = out.get_mut(..bytes) else { return 0 };
        out.fill(0);
        if let Some(key) = &self.0 {
            out[..plaintext.len()].copy_from_slice(plaintext);
            key.seal(Self::nonce(nonce), authtext, out);
        }
        bytes
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let mut text = Zeroizing::new(ciphertext.to_vec());
        let bytes = key.open(Self::nonce(nonce), authtext, &mut text).map_err(|_| Error::Decrypt)?;
        out.get_mut(..bytes).ok_or(Error::Decrypt)?.copy_from_slice(&text[..bytes]);
        Ok(bytes)
    }
}

/// BLAKE2s with 32 bytes of output.
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        Digest::reset(&mut self.0);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = self.0.finalize_fixed_reset();
        out[..digest.len()].copy_from_slice(&digest);
    }
}

#[cfg(not(test))]
const fn count_public_key_operation() {}

#[cfg(test)]
fn count_public_key_operation() {
    PUBLIC_KEY_OPERATIONS.with(|count| count.set(count.get() + 1));
}

#[cfg(test)]
thread_local! {
    /// X25519 multiplications on this thread, so that a test can prove that garbage costs none (SEC-4).
    pub(super) static PUBLIC_KEY_OPERATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
