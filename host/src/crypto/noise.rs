//! The handshake: Noise XX with a pre-shared key, then a fresh X25519 exchange for every later epoch (SEC-1, SEC-3).
//!
//! `Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s` (Noise Protocol Framework, revision 34):
//! ```text
//! -> psk, e
//! <- e, ee, s, es
//! -> s, se
//! ```
//! The pre-shared key comes first, so a first message from someone without it fails one AEAD check before any
//! public-key work (SEC-4). The prologue binds the protocol's name, its version and the id of the pre-shared key.
//!
//! # A forged message cannot end a handshake
//! The Noise library puts its hash and chaining key back after a message that it refused, but not its cipher: a third
//! message whose static key is genuine and whose payload was altered would leave the wrong key in place, and the
//! genuine message after it would be refused too. Nor can it take back a response that authenticates and comes from
//! a static key that we refuse. So `Agreement` keeps what was said so far and, in exactly these cases, says it again
//! to a fresh state machine with the same ephemeral key. What it wrote comes out the same, byte for byte.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use snow::{Builder, Error, HandshakeState};
use wirehaul_core::crypto::{EpochKeys, Handshake, HandshakeError, PSK_ID_BYTES, PUBLIC_KEY_BYTES, Suite};
use wirehaul_core::limits::{TAG_BYTES, VERSION};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

use super::aead::DataKey;
use super::identity::{KEY_BYTES, Psk, PublicKey, StaticKey};
use super::primitives::Primitives;
use super::schedule::{Role, Schedule};
use super::{NoRandomness, random_bytes};

const PATTERN: &str = "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s";
const PROTOCOL: &[u8; 8] = b"wirehaul";
/// What each of the three messages spends beside its payload.
const MESSAGE_OVERHEAD_BYTES: [usize; 3] =
    [KEY_BYTES + TAG_BYTES, KEY_BYTES + KEY_BYTES + 2 * TAG_BYTES, KEY_BYTES + 2 * TAG_BYTES];
/// The longest message of Noise.
const MAX_MESSAGE_BYTES: usize = 65_535;

/// Static keys that an end accepts, shared with whoever reloads them.
pub type KnownKeys = Arc<RwLock<BTreeSet<PublicKey>>>;

/// Which static keys of the other end are acceptable.
#[derive(Clone, Debug)]
pub enum PeerPolicy {
    /// Any: the pre-shared key authorises.
    Any,
    /// This one: the responder that a ticket or the user named.
    Exactly(PublicKey),
    /// Those in the list at the moment when the key becomes known.
    Known(KnownKeys),
}

impl PeerPolicy {
    fn accepts(&self, key: &PublicKey) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(expected) => expected == key,
            // A writer that panicked left a whole set behind: inserting is not half done at any point that can panic.
            Self::Known(keys) => keys.read().unwrap_or_else(PoisonError::into_inner).contains(key),
        }
    }
}

/// One session's key agreement, at either end.
///
/// Only the session's initiator offers rekeys (the session sees to that), so two offers never cross. A repeated offer
/// or answer is the session's to recognise: each call of `rekey_answer` and `rekey_finish` makes a new epoch.
pub struct NoiseHandshake {
    role: Role,
    remote: Option<PublicKey>,
    phase: Phase,
    offer: Option<StaticSecret>,
}

enum Phase {
    Agreeing(Box<Agreement>),
    Keyed(Schedule),
}

impl NoiseHandshake {
    /// The end that speaks first, to the one responder whose static key is `responder`.
    ///
    /// `psk` is [`Psk::of_ticket`] for a ticket, [`Psk::of_responder`] between ends that know each other.
    ///
    /// # Errors
    /// [`HandshakeError::Library`] where no randomness is to be had.
    pub fn initiator(identity: Arc<StaticKey>, psk: Psk, responder: PublicKey) -> Result<Self, HandshakeError> {
        Self::new(Role::Initiator, identity, psk, PeerPolicy::Exactly(responder), VERSION)
    }

    /// The end that answers; see [`super::HostAcceptor`].
    ///
    /// # Errors
    /// [`HandshakeError::Library`] where no randomness is to be had.
    pub fn responder(identity: Arc<StaticKey>, psk: Psk, policy: PeerPolicy) -> Result<Self, HandshakeError> {
        Self::new(Role::Responder, identity, psk, policy, VERSION)
    }

    /// The other end's static key, once it is known and was accepted.
    #[must_use]
    pub const fn remote_static(&self) -> Option<PublicKey> {
        self.remote
    }

    fn new(
        role: Role,
        identity: Arc<StaticKey>,
        psk: Psk,
        policy: PeerPolicy,
        version: u16,
    ) -> Result<Self, HandshakeError> {
        let agreement = Agreement::new(role, identity, psk, policy, version)?;
        Ok(Self { role, remote: None, phase: Phase::Agreeing(Box::new(agreement)), offer: None })
    }

    fn agreement(&mut self) -> Result<&mut Agreement, HandshakeError> {
        match &mut self.phase {
            Phase::Agreeing(agreement) => Ok(agreement),
            Phase::Keyed(_) => Err(HandshakeError::Malformed),
        }
    }

    fn schedule(&mut self) -> Result<&mut Schedule, HandshakeError> {
        match &mut self.phase {
            Phase::Keyed(schedule) => Ok(schedule),
            Phase::Agreeing(_) => Err(HandshakeError::Malformed),
        }
    }
}

impl Handshake for NoiseHandshake {
    type Aead = DataKey;

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.agreement()?.write(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let agreement = self.agreement()?;
        let read = agreement.read(message, payload);
        if read.is_err() {
            // What a refused peer said is of no use to anyone.
            payload.zeroize();
        }
        let remote = agreement.remote;
        self.remote = remote;
        read
    }

    /// As the trait has it; the keys are given once, and the state of the agreement is dropped with that.
    ///
    /// A responder that refused the peer's key gets them too, so that it can tell the peer so under the keys:
    /// [`HandshakeError::UnknownPeer`] must not be overlooked. [`NoiseHandshake::remote_static`] then stays `None`.
    fn first_keys(&mut self, suite: Suite) -> Result<EpochKeys<DataKey>, HandshakeError> {
        let role = self.role;
        let state = &mut self.agreement()?.state;
        if !state.is_handshake_finished() {
            return Err(HandshakeError::Malformed);
        }
        let (mut from_initiator, mut from_responder) = state.dangerously_get_raw_split();
        let split = (&from_initiator, &from_responder);
        let begun = Schedule::begin(role, suite, split, state.get_handshake_hash());
        from_initiator.zeroize();
        from_responder.zeroize();
        let (schedule, keys) = begun.ok_or(HandshakeError::Library)?;
        self.phase = Phase::Keyed(schedule);
        Ok(keys)
    }

    fn rekey_offer(&mut self) -> Result<[u8; PUBLIC_KEY_BYTES], HandshakeError> {
        self.schedule()?;
        let offer = match self.offer.take() {
            Some(offer) => offer,
            None => ephemeral()?,
        };
        let public = x25519_dalek::PublicKey::from(&offer).to_bytes();
        self.offer = Some(offer);
        Ok(public)
    }

    fn rekey_answer(
        &mut self,
        offer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Result<([u8; PUBLIC_KEY_BYTES], EpochKeys<DataKey>), HandshakeError> {
        let schedule = self.schedule()?;
        let secret = ephemeral()?;
        let answer = x25519_dalek::PublicKey::from(&secret).to_bytes();
        let shared = agree(&secret, offer)?;
        let keys = schedule.advance(&shared, offer, &answer).ok_or(HandshakeError::Library)?;
        Ok((answer, keys))
    }

    fn rekey_finish(&mut self, answer: &[u8; PUBLIC_KEY_BYTES]) -> Result<EpochKeys<DataKey>, HandshakeError> {
        let secret = self.offer.as_ref().ok_or(HandshakeError::Malformed)?;
        let offer = x25519_dalek::PublicKey::from(secret).to_bytes();
        let shared = agree(secret, answer)?;
        let keys = self.schedule()?.advance(&shared, &offer, answer).ok_or(HandshakeError::Library)?;
        self.offer = None;
        Ok(keys)
    }

    fn random(&mut self) -> Result<[u8; 8], HandshakeError> {
        random_bytes().map_err(library)
    }
}

fn ephemeral() -> Result<StaticSecret, HandshakeError> {
    let bytes = Zeroizing::new(random_bytes().map_err(library)?);
    Ok(StaticSecret::from(*bytes))
}

fn agree(secret: &StaticSecret, public: &[u8; PUBLIC_KEY_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, HandshakeError> {
    let shared = secret.diffie_hellman(&(*public).into());
    // A point of low order would make the secret the same whatever our key is.
    if !shared.was_contributory() {
        return Err(HandshakeError::Malformed);
    }
    Ok(Zeroizing::new(shared.to_bytes()))
}

fn library(_: NoRandomness) -> HandshakeError {
    HandshakeError::Library
}

/// The Noise state machine with what it takes to put it back where it was.
struct Agreement {
    role: Role,
    identity: Arc<StaticKey>,
    psk: Psk,
    policy: PeerPolicy,
    prologue: [u8; PROLOGUE_BYTES],
    ephemeral: Zeroizing<[u8; KEY_BYTES]>,
    state: HandshakeState,
    /// What was said so far, in order; at most two messages before it can no longer matter.
    said: Vec<Said>,
    remote: Option<PublicKey>,
}

enum Said {
    /// This end's payload.
    Wrote(Zeroizing<Vec<u8>>),
    /// The other end's message.
    Read(Vec<u8>),
}

const PROLOGUE_BYTES: usize = PROTOCOL.len() + size_of::<u16>() + PSK_ID_BYTES;

impl Agreement {
    fn new(
        role: Role,
        identity: Arc<StaticKey>,
        psk: Psk,
        policy: PeerPolicy,
        version: u16,
    ) -> Result<Self, HandshakeError> {
        let ephemeral = Zeroizing::new(random_bytes().map_err(library)?);
        let prologue = prologue(version, &psk);
        let state = build(role, &identity, &psk, &prologue, &ephemeral)?;
        Ok(Self { role, identity, psk, policy, prologue, ephemeral, state, said: Vec::with_capacity(3), remote: None })
    }

    fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let overhead = MESSAGE_OVERHEAD_BYTES.get(self.said.len()).ok_or(HandshakeError::Malformed)?;
        let bytes = payload.len() + overhead;
        if !self.state.is_my_turn() || bytes > out.len() || bytes > MAX_MESSAGE_BYTES {
            return Err(HandshakeError::Malformed);
        }
        match self.state.write_message(payload, out) {
            Ok(bytes) => {
                self.said.push(Said::Wrote(Zeroizing::new(payload.to_vec())));
                Ok(bytes)
            }
            Err(error) => {
                self.rewind()?;
                Err(refusal(&error))
            }
        }
    }

    fn read(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let overhead = MESSAGE_OVERHEAD_BYTES.get(self.said.len()).ok_or(HandshakeError::Malformed)?;
        let payload_bytes = message.len().checked_sub(*overhead).ok_or(HandshakeError::Malformed)?;
        if self.state.is_my_turn() || payload_bytes > payload.len() || message.len() > MAX_MESSAGE_BYTES {
            return Err(HandshakeError::Malformed);
        }
        match self.state.read_message(message, payload) {
            Ok(bytes) => {
                self.admit()?;
                self.said.push(Said::Read(message.to_vec()));
                Ok(bytes)
            }
            Err(error) => {
                // Up to the static key, the library undoes a refused message by itself, and cheaply.
                if self.state.get_remote_static().is_some() {
                    self.rewind()?;
                }
                Err(refusal(&error))
            }
        }
    }

    /// Takes the peer in, if its static key came with the message just read and is acceptable.
    fn admit(&mut self) -> Result<(), HandshakeError> {
        let Some(bytes) = self.state.get_remote_static() else { return Ok(()) };
        let remote = bytes.try_into().map(PublicKey::from_bytes).map_err(|_| HandshakeError::Library)?;
        if !self.policy.accepts(&remote) {
            // A response may be from anyone with the pre-shared key, so the right one may yet come. A third message is
            // from whoever sent the first; the session may close under the keys that are now agreed, to say why.
            if self.role == Role::Initiator {
                self.rewind()?;
            }
            return Err(HandshakeError::UnknownPeer);
        }
        self.remote = Some(remote);
        Ok(())
    }

    /// Puts the state machine back to where it was after the last message in `said`.
    fn rewind(&mut self) -> Result<(), HandshakeError> {
        let mut state = build(self.role, &self.identity, &self.psk, &self.prologue, &self.ephemeral)?;
        let mut scratch = Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]);
        for said in &self.said {
            let repeated = match said {
                Said::Wrote(payload) => state.write_message(payload, &mut scratch),
                Said::Read(message) => state.read_message(message, &mut scratch),
            };
            repeated.map_err(|_| HandshakeError::Library)?;
        }
        self.state = state;
        Ok(())
    }
}

fn prologue(version: u16, psk: &Psk) -> [u8; PROLOGUE_BYTES] {
    let mut prologue = [0; PROLOGUE_BYTES];
    let (name, rest) = prologue.split_at_mut(PROTOCOL.len());
    let (number, id) = rest.split_at_mut(size_of::<u16>());
    name.copy_from_slice(PROTOCOL);
    number.copy_from_slice(&version.to_be_bytes());
    id.copy_from_slice(&psk.id());
    prologue
}

fn build(
    role: Role,
    identity: &Arc<StaticKey>,
    psk: &Psk,
    prologue: &[u8],
    ephemeral: &Zeroizing<[u8; KEY_BYTES]>,
) -> Result<HandshakeState, HandshakeError> {
    let primitives = Primitives { identity: Arc::clone(identity), ephemeral: ephemeral.clone() };
    let parameters = PATTERN.parse().map_err(|_| HandshakeError::Library)?;
    let built = Builder::with_resolver(parameters, Box::new(primitives))
        .local_private_key(identity.secret())
        .and_then(|builder| builder.prologue(prologue))
        .and_then(|builder| builder.psk(0, psk.secret()))
        .and_then(|builder| match role {
            Role::Initiator => builder.build_initiator(),
            Role::Responder => builder.build_responder(),
        });
    built.map_err(|_| HandshakeError::Library)
}

/// The library's reason as one of ours, which say no more than the rule that was broken (SEC-6).
fn refusal(error: &Error) -> HandshakeError {
    match error {
        Error::Decrypt => HandshakeError::Unauthentic,
        Error::Input | Error::State(_) | Error::Dh => HandshakeError::Malformed,
        _ => HandshakeError::Library,
    }
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
