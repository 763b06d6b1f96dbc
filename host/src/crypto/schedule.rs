//! From shared secrets to the keys of an epoch: the key schedule.
//!
//! ```text
//! root(0)   = derive("epoch 0 root", k1, k2, handshake hash)              k1, k2: the Noise split
//! root(n+1) = derive("rekey root", chain(n), X25519 secret, offer, answer, n+1)
//! chain(n)  = derive("chain", root(n))
//! key, iv   = derive("data key", root(n), suite, direction)
//! ```
//! `derive` is BLAKE3's key derivation with the context named here behind `wirehaul 1 `. Only the chain outlives the
//! making of an epoch, so neither a chain nor an X25519 secret alone gives the next epoch, and no epoch gives an
//! earlier one.

use wirehaul_core::crypto::{EpochKeys, PUBLIC_KEY_BYTES, Suite};
use zeroize::{Zeroize, Zeroizing};

use super::aead::{DataKey, MAX_KEY_BYTES, NONCE_BYTES};

const SECRET_BYTES: usize = 32;
type Secret = Zeroizing<[u8; SECRET_BYTES]>;

/// Which end of the session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// Who sends under a key, as it enters the derivation.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Direction {
    FromInitiator = 0,
    FromResponder = 1,
}

/// The chain of epochs of one session.
pub(super) struct Schedule {
    suite: Suite,
    role: Role,
    epoch: u64,
    chain: Secret,
}

impl Schedule {
    /// Epoch 0, from what the Noise handshake agreed. `None` where the cipher library is out of memory.
    pub(super) fn begin(
        role: Role,
        suite: Suite,
        split: (&[u8; SECRET_BYTES], &[u8; SECRET_BYTES]),
        handshake_hash: &[u8],
    ) -> Option<(Self, EpochKeys<DataKey>)> {
        let root = derive_secret("wirehaul 1 epoch 0 root", &[split.0, split.1, handshake_hash]);
        let keys = epoch_keys(role, suite, &root)?;
        Some((Self { suite, role, epoch: 0, chain: chain(&root) }, keys))
    }

    /// The next epoch, from a fresh X25519 secret and the two public keys that made it.
    ///
    /// `None` where the cipher library is out of memory; the schedule then stays where it is.
    pub(super) fn advance(
        &mut self,
        shared: &[u8; SECRET_BYTES],
        offer: &[u8; PUBLIC_KEY_BYTES],
        answer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Option<EpochKeys<DataKey>> {
        let epoch = self.epoch.checked_add(1)?;
        let material: [&[u8]; 5] = [&self.chain[..], shared, offer, answer, &epoch.to_be_bytes()];
        let root = derive_secret("wirehaul 1 rekey root", &material);
        let keys = epoch_keys(self.role, self.suite, &root)?;
        self.chain = chain(&root);
        self.epoch = epoch;
        Some(keys)
    }
}

fn chain(root: &Secret) -> Secret {
    derive_secret("wirehaul 1 chain", &[&root[..]])
}

fn epoch_keys(role: Role, suite: Suite, root: &Secret) -> Option<EpochKeys<DataKey>> {
    let from_initiator = data_key(suite, Direction::FromInitiator, root)?;
    let from_responder = data_key(suite, Direction::FromResponder, root)?;
    Some(match role {
        Role::Initiator => EpochKeys { seal: from_initiator, open: from_responder },
        Role::Responder => EpochKeys { seal: from_responder, open: from_initiator },
    })
}

fn data_key(suite: Suite, direction: Direction, root: &Secret) -> Option<DataKey> {
    let mut material = Zeroizing::new([0; MAX_KEY_BYTES + NONCE_BYTES]);
    derive("wirehaul 1 data key", &[&root[..], &[suite as u8, direction as u8]], &mut material[..]);
    let mut key = Zeroizing::new([0; MAX_KEY_BYTES]);
    let mut iv = [0; NONCE_BYTES];
    key.copy_from_slice(&material[..MAX_KEY_BYTES]);
    iv.copy_from_slice(&material[MAX_KEY_BYTES..]);
    let made = DataKey::new(suite, &key, iv);
    iv.zeroize();
    made
}

fn derive_secret(context: &str, parts: &[&[u8]]) -> Secret {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    derive(context, parts, &mut secret[..]);
    secret
}

/// Fills `out` from `parts`, which the caller keeps of fixed lengths so that no two inputs join to the same bytes.
pub(super) fn derive(context: &str, parts: &[&[u8]], out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut reader = hasher.finalize_xof();
    reader.fill(out);
    reader.zeroize();
    hasher.zeroize();
}

#[cfg(test)]
mod tests {
    use wirehaul_core::crypto::Aead;

    use super::*;

    fn begin(role: Role, suite: Suite, k1: u8, hash: &[u8]) -> (Schedule, EpochKeys<DataKey>) {
        Schedule::begin(role, suite, (&[k1; 32], &[2; 32]), hash).unwrap()
    }

    /// Whether what `seal` protects opens under `open`.
    fn fits(seal: &DataKey, open: &DataKey) -> bool {
        let mut packet = [0x11; 40];
        seal.seal_in_place(7, b"header", &mut packet);
        open.open_in_place(7, b"header", &mut packet).is_ok()
    }

    #[test]
    fn each_direction_has_its_own_key_that_fits_the_other_end() {
        for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
            let (_, ours) = begin(Role::Initiator, suite, 1, b"hash");
            let (_, theirs) = begin(Role::Responder, suite, 1, b"hash");
            assert!(fits(&ours.seal, &theirs.open) && fits(&theirs.seal, &ours.open));
            assert!(!fits(&ours.seal, &ours.open) && !fits(&ours.seal, &theirs.seal));
        }
    }

    #[test]
    fn every_input_changes_the_keys() {
        let (_, keys) = begin(Role::Initiator, Suite::Aes256Gcm, 1, b"hash");
        let (_, other_split) = begin(Role::Responder, Suite::Aes256Gcm, 9, b"hash");
        let (_, other_hash) = begin(Role::Responder, Suite::Aes256Gcm, 1, b"hasH");
        assert!(!fits(&keys.seal, &other_split.open) && !fits(&keys.seal, &other_hash.open));

        let next = |secret: u8, offer: u8, answer: u8, role| {
            begin(role, Suite::Aes256Gcm, 1, b"hash").0.advance(&[secret; 32], &[offer; 32], &[answer; 32]).unwrap()
        };
        let keys = next(1, 2, 3, Role::Initiator);
        assert!(fits(&keys.seal, &next(1, 2, 3, Role::Responder).open));
        for other in [next(9, 2, 3, Role::Responder), next(1, 9, 3, Role::Responder), next(1, 2, 9, Role::Responder)] {
            assert!(!fits(&keys.seal, &other.open));
        }
    }

    #[test]
    fn the_same_exchange_in_a_later_epoch_gives_other_keys() {
        let (mut ours, _) = begin(Role::Initiator, Suite::Aes128Gcm, 1, b"hash");
        let (mut theirs, _) = begin(Role::Responder, Suite::Aes128Gcm, 1, b"hash");
        let first = ours.advance(&[1; 32], &[2; 32], &[3; 32]).unwrap();
        let second = ours.advance(&[1; 32], &[2; 32], &[3; 32]).unwrap();
        let their_first = theirs.advance(&[1; 32], &[2; 32], &[3; 32]).unwrap();
        assert!(fits(&first.seal, &their_first.open) && !fits(&second.seal, &their_first.open));
    }
}
