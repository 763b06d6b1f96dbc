//! Keys that name an end, and the pre-shared keys that a first handshake message must be made with.

use core::fmt;
use core::str::FromStr;

use wirehaul_core::crypto::PSK_ID_BYTES;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::text::Unreadable;
use super::{NoRandomness, random_bytes, schedule, text};

/// Bytes of a public key, of a private key and of a pre-shared key alike.
pub const KEY_BYTES: usize = 32;

/// An end's static X25519 public key: its name towards its peers. Safe to show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// The key with these bytes. Any bytes will do; low-order points are refused where they are used.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// What the text form of a public key begins with.
const TEXT_PREFIX: &str = "whk1";

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(TEXT_PREFIX, &self.0))
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let value = text::decode(TEXT_PREFIX, text).map_err(|unreadable| match unreadable {
            Unreadable::Prefix => NotAPublicKey::Prefix,
            Unreadable::Truncated => NotAPublicKey::Length,
            Unreadable::Damaged => NotAPublicKey::Damaged,
        })?;
        value[..].try_into().map(Self).map_err(|_| NotAPublicKey::Length)
    }
}

/// Why a text is not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPublicKey {
    /// It begins with something else.
    #[error("this is not a key: a key begins with whk1; `wirehaul key show` prints yours")]
    Prefix,
    /// It is too short or too long.
    #[error("the key is not complete; copy all of it")]
    Length,
    /// The checksum does not match.
    #[error("the key has a mistake in it; copy it again")]
    Damaged,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// An end's static X25519 key pair. The private half is wiped on drop and never shown.
#[derive(Clone)]
pub struct StaticKey {
    secret: StaticSecret,
    public: PublicKey,
}

impl StaticKey {
    /// A new key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let secret = Zeroizing::new(random_bytes()?);
        Ok(Self::from_secret(&secret))
    }

    /// The key with this private half; any 32 bytes are one.
    #[must_use]
    pub fn from_secret(secret: &[u8; KEY_BYTES]) -> Self {
        let secret = StaticSecret::from(*secret);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The private half, to be stored and nothing else.
    #[must_use]
    pub fn secret(&self) -> &[u8; KEY_BYTES] {
        self.secret.as_bytes()
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticKey({}, secret)", self.public)
    }
}

/// A pre-shared key and the public id that asks for it. Wiped on drop.
#[derive(Clone)]
pub struct Psk {
    id: [u8; PSK_ID_BYTES],
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl Psk {
    /// The pre-shared key of a ticket's one-time secret.
    ///
    /// Key and id are derived apart, so the id, which travels in the clear, tells nothing about the key.
    #[must_use]
    pub fn of_ticket(ticket_secret: &[u8]) -> Self {
        Self::derive("wirehaul 1 ticket psk", "wirehaul 1 ticket psk id", ticket_secret)
    }

    /// The pre-shared key under which ends that know each other's static keys talk to this responder.
    ///
    /// It is as public as the responder's key: it authorises nobody, and only lets the responder drop what comes
    /// from someone who does not know the responder's name, without any public-key work (SEC-4).
    #[must_use]
    pub fn of_responder(responder: &PublicKey) -> Self {
        Self::derive("wirehaul 1 responder psk", "wirehaul 1 responder psk id", responder.as_bytes())
    }

    /// The id by which a first message asks for this key.
    #[must_use]
    pub const fn id(&self) -> [u8; PSK_ID_BYTES] {
        self.id
    }

    /// The key itself.
    pub(super) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    fn derive(psk_context: &str, id_context: &str, material: &[u8]) -> Self {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        schedule::derive(psk_context, &[material], &mut secret[..]);
        let mut id = [0; PSK_ID_BYTES];
        schedule::derive(id_context, &[material], &mut id);
        Self { id, secret }
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_secret() {
        let key = StaticKey::generate().unwrap();
        assert_eq!(StaticKey::from_secret(key.secret()).public(), key.public());
        assert_ne!(StaticKey::generate().unwrap().public(), key.public());
    }

    #[test]
    fn a_public_key_comes_back_from_its_text() {
        let key = StaticKey::generate().unwrap().public();
        let shown = key.to_string();
        assert_eq!(shown.parse(), Ok(key));
        assert_eq!("".parse::<PublicKey>(), Err(NotAPublicKey::Prefix));
        assert!(shown[..shown.len() - 2].parse::<PublicKey>().is_err());
        assert_eq!(text::encode(TEXT_PREFIX, &[1; 31]).parse::<PublicKey>(), Err(NotAPublicKey::Length));
        for at in 4..shown.len() {
            let other = if &shown[at..=at] == "a" { "b" } else { "a" };
            let mistyped = format!("{}{other}{}", &shown[..at], &shown[at + 1..]);
            assert_eq!(mistyped.parse::<PublicKey>(), Err(NotAPublicKey::Damaged), "{mistyped}");
        }
    }

    #[test]
    fn psks_differ_by_secret_and_by_purpose() {
        let responder = PublicKey::from_bytes([1; KEY_BYTES]);
        let (ticket, other, known) =
            (Psk::of_ticket(&[1; 32]), Psk::of_ticket(&[2; 32]), Psk::of_responder(&responder));
        assert_ne!(ticket.id(), other.id());
        assert_ne!(ticket.id(), known.id());
        assert_ne!(ticket.secret(), other.secret());
        assert_ne!(ticket.secret(), known.secret());
        assert_ne!(ticket.secret()[..PSK_ID_BYTES], ticket.id());
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = StaticKey::from_secret(&[0xab; KEY_BYTES]);
        for shown in [format!("{key:?}"), format!("{:?}", Psk::of_ticket(&[0xab; 32]))] {
            assert!(shown.contains("secret") && !shown.contains("171") && !shown.contains("abab"), "{shown}");
        }
    }
}
