//! What the core needs from cryptography, as traits: the host brings Noise and AEADs, the simulator a fast stand-in.

/// An authenticated cipher with one direction's key.
///
/// The nonce is derived from the packet number by the implementation, so equal packet numbers under one key must
/// never be sealed twice; [`crate::session::Session`] sees to that.
pub trait Aead {
    /// Encrypts `buf[..buf.len() - 16]` in place and writes the tag into the last 16 bytes.
    ///
    /// `associated` (the outer header) is authenticated and not encrypted. `buf` holds at least the tag.
    fn seal_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]);

    /// Checks the tag in the last 16 bytes of `buf` and decrypts the rest in place.
    ///
    /// Returns how many bytes at the front of `buf` are plaintext.
    ///
    /// # Errors
    /// [`Forged`] where the tag does not match; `buf` then holds nothing of use.
    fn open_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) -> Result<usize, Forged>;
}

/// A packet whose tag does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// The AEADs of wire version 1. Lower numbers win where both ends run them equally well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Suite {
    /// AES-128-GCM: the fastest wherever the CPU has AES instructions.
    Aes128Gcm = 1,
    /// AES-256-GCM.
    Aes256Gcm = 2,
    /// ChaCha20-Poly1305: for CPUs without AES instructions.
    ChaCha20Poly1305 = 3,
}

impl Suite {
    /// The suite with this number on the wire.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Aes128Gcm),
            2 => Some(Self::Aes256Gcm),
            3 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// This suite's bit in a [`SuiteSet`].
    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of suites: what one end runs fast, as it tells the other in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SuiteSet(u8);

impl SuiteSet {
    /// No suite.
    pub const EMPTY: Self = Self(0);

    /// The set with `suite` added.
    #[must_use]
    pub const fn with(self, suite: Suite) -> Self {
        Self(self.0 | suite.bit())
    }

    /// Whether `suite` is in the set.
    #[must_use]
    pub const fn contains(self, suite: Suite) -> bool {
        self.0 & suite.bit() != 0
    }

    /// The set as a byte of the handshake.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        self.0
    }

    /// The set in a byte of the handshake; unknown bits are kept out of it, so that a newer peer may offer more.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Self {
        Self(byte & 0b1110)
    }

    /// The suite to use between an end with this set and one with `other`; `None` where they share none.
    #[must_use]
    pub fn best_common(self, other: Self) -> Option<Suite> {
        let common = self.0 & other.0;
        [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305]
            .into_iter()
            .find(|suite| common & suite.bit() != 0)
    }
}

/// The keys of one epoch: one per direction (SEC-2).
pub struct EpochKeys<A> {
    /// Seals what this end sends.
    pub seal: A,
    /// Opens what the peer sent.
    pub open: A,
}

/// Bytes of an X25519 public key, as it travels in REKEY frames.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes that name a pre-shared key in a handshake's first message.
pub const PSK_ID_BYTES: usize = 8;

/// Why a handshake message was refused. None of these says more than the rule that was broken (SEC-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {
    /// The message is too short, too long, or out of turn.
    Malformed,
    /// It does not authenticate: another pre-shared key, another version in the prologue, or altered on its way.
    Unauthentic,
    /// It authenticates, but the static key is not one that this end accepts.
    UnknownPeer,
    /// The cryptographic library failed.
    Library,
}

/// A key agreement for one session: Noise XX with a pre-shared key, then the schedule of later epochs.
pub trait Handshake {
    /// The AEAD that the agreed keys are for.
    type Aead: Aead;

    /// Writes the next handshake message with `payload` inside; returns its length in `out`.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError>;

    /// Reads the peer's next handshake message; returns the length of its payload, put into `payload`.
    ///
    /// An error leaves the state as it was, so that a forged message cannot end a handshake. The one exception is a
    /// responder's [`HandshakeError::UnknownPeer`]: the message was genuine, and [`Handshake::first_keys`] works after
    /// it, so that the peer can be told under the keys.
    ///
    /// # Errors
    /// See [`HandshakeError`]; [`HandshakeError::UnknownPeer`] once the static key is known and not acceptable.
    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError>;

    /// The keys of epoch 0, once all three messages are through.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] before that.
    fn first_keys(&mut self, suite: Suite) -> Result<EpochKeys<Self::Aead>, HandshakeError>;

    /// Starts the next epoch: a fresh ephemeral public key to send. Asked again before the answer came, the same key.
    ///
    /// # Errors
    /// [`HandshakeError::Library`] where no randomness is to be had.
    fn rekey_offer(&mut self) -> Result<[u8; PUBLIC_KEY_BYTES], HandshakeError>;

    /// Answers the peer's offer: this end's public key to send back, and the next epoch's keys.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] for a public key of low order.
    fn rekey_answer(
        &mut self,
        offer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Result<([u8; PUBLIC_KEY_BYTES], EpochKeys<Self::Aead>), HandshakeError>;

    /// Ends what [`Handshake::rekey_offer`] began, with the peer's answer.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] without an offer under way, or for a public key of low order.
    fn rekey_finish(&mut self, answer: &[u8; PUBLIC_KEY_BYTES]) -> Result<EpochKeys<Self::Aead>, HandshakeError>;

    /// Bytes that nobody else can guess, for challenges of addresses and for new receiver indexes (SEC-5).
    ///
    /// # Errors
    /// [`HandshakeError::Library`] where no randomness is to be had.
    fn random(&mut self) -> Result<[u8; 8], HandshakeError>;
}

/// What the responding end brings to a handshake before it knows who is asking.
pub trait Acceptor {
    /// The key agreement that answers a first message.
    type Handshake: Handshake;

    /// A responder for a first message under the pre-shared key with this id; `None` where there is no such key.
    ///
    /// Must cost no public-key operation (SEC-4).
    fn accept(&mut self, psk_id: &[u8; PSK_ID_BYTES]) -> Option<Self::Handshake>;

    /// A keyed hash under a secret that only this process knows, for stateless cookies (SEC-4).
    fn cookie(&self, input: &[u8]) -> [u8; 16];
}
