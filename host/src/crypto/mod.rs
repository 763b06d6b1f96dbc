//! Cryptography behind the core's traits: Noise for the handshake, AEADs for the data, X25519 for every rekey.
//!
//! | concept | where |
//! |-|-|
//! | keys that name and prove who an end is, pre-shared keys | [`identity`] |
//! | the AEADs of the data plane | [`aead`] |
//! | what this CPU runs fast | [`suites`] |
//! | from shared secrets to the keys of an epoch | `schedule` |
//! | the primitives under the Noise state machine | `primitives` |
//! | the handshake itself | [`noise`] |
//! | what the responder brings before it knows who asks | [`acceptor`] |
//! | keys and tickets as text | [`text`] |
//!
//! # What is wiped
//! Everything that this module holds is wiped when it is dropped: static and ephemeral private keys, pre-shared keys,
//! shared secrets, the chain of epochs and data keys (aws-lc wipes its own contexts, the pure-Rust ciphers do by their
//! `zeroize` feature). The one exception is the Noise state machine's copy of the chaining and pre-shared key,
//! which that library does not wipe; it is dropped as soon as epoch 0 has its keys, and no later epoch can be derived
//! from it.

pub mod acceptor;
pub mod aead;
pub mod identity;
pub mod noise;
mod primitives;
mod schedule;
pub mod suites;
pub mod text;

pub use acceptor::HostAcceptor;
pub use aead::DataKey;
pub use identity::{Psk, PublicKey, StaticKey};
pub use noise::{KnownKeys, NoiseHandshake, PeerPolicy};
pub use suites::local_suites;

/// The operating system gave no randomness, without which no key can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness, so no key can be made; check that getrandom(2) is allowed here")]
pub struct NoRandomness;

/// `N` bytes of the operating system's randomness.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
