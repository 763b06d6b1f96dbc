//! The sealed records of the ceiling: an 8-byte counter in the clear, payload, a 16-byte tag, 1472 bytes in all (what a
//! UDP datagram carries at an MTU of 1500), under one of two AEAD libraries or none.

use aws_lc_rs::aead as aws;
use ring::aead as ring;

/// Bytes of one record on the wire: 1500 less 20 of IPv4 and 8 of UDP.
pub const RECORD_BYTES: usize = 1472;
/// The record's counter, in the clear and authenticated.
pub const COUNTER_BYTES: usize = 8;
/// The tag of every AEAD here.
pub const TAG_BYTES: usize = 16;
/// What a record carries.
pub const PAYLOAD_BYTES: usize = RECORD_BYTES - COUNTER_BYTES - TAG_BYTES;

/// The key of both ends: a benchmark has no secret.
const KEY: [u8; 32] = [0x42; 32];

/// Which implementation seals and opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Library {
    /// aws-lc-rs.
    AwsLc,
    /// ring.
    Ring,
    /// Nobody: the payload goes as it is, to see what the sockets alone can do.
    None,
}

/// Which AEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    Chacha20Poly1305,
}

impl Cipher {
    /// The name as it is usually written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::Chacha20Poly1305 => "ChaCha20-Poly1305",
        }
    }
}

/// A record was not authentic, or a library refused its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the AEAD refused the key or the record")]
pub struct AeadRefused;

/// A key that seals and opens records.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one key, and a box would cost a look-up per record")]
pub enum RecordKey {
    /// A key of aws-lc-rs.
    AwsLc(aws::LessSafeKey),
    /// A key of ring.
    Ring(ring::LessSafeKey),
    /// No protection.
    Clear,
}

impl RecordKey {
    /// Makes the key of both ends.
    ///
    /// # Errors
    /// [`AeadRefused`] when the library does not take a key of that length, which would be a fault of it.
    pub fn new(library: Library, cipher: Cipher) -> Result<Self, AeadRefused> {
        match library {
            Library::AwsLc => {
                let algorithm = match cipher {
                    Cipher::Aes128Gcm => &aws::AES_128_GCM,
                    Cipher::Aes256Gcm => &aws::AES_256_GCM,
                    Cipher::Chacha20Poly1305 => &aws::CHACHA20_POLY1305,
                };
                let key = KEY.get(..algorithm.key_len()).ok_or(AeadRefused)?;
                let key = aws::UnboundKey::new(algorithm, key).map_err(|_| AeadRefused)?;
                Ok(Self::AwsLc(aws::LessSafeKey::new(key)))
            }
            Library::Ring => {
                let algorithm = match cipher {
                    Cipher::Aes128Gcm => &ring::AES_128_GCM,
                    Cipher::Aes256Gcm => &ring::AES_256_GCM,
                    Cipher::Chacha20Poly1305 => &ring::CHACHA20_POLY1305,
                };
                let key = KEY.get(..algorithm.key_len()).ok_or(AeadRefused)?;
                let key = ring::UnboundKey::new(algorithm, key).map_err(|_| AeadRefused)?;
                Ok(Self::Ring(ring::LessSafeKey::new(key)))
            }
            Library::None => Ok(Self::Clear),
        }
    }

    /// Seals one record in place: writes the counter in front and the tag behind.
    ///
    /// # Errors
    /// [`AeadRefused`], which no record of [`RECORD_BYTES`] meets.
    pub fn seal(&self, counter: u64, record: &mut [u8; RECORD_BYTES]) -> Result<(), AeadRefused> {
        let (head, rest) = record.split_at_mut(COUNTER_BYTES);
        let (payload, tag_space) = rest.split_at_mut(PAYLOAD_BYTES);
        head.copy_from_slice(&counter.to_be_bytes());
        let nonce = nonce_of(counter);
        match self {
            Self::AwsLc(key) => {
                let nonce = aws::Nonce::assume_unique_for_key(nonce);
                let sealed = key.seal_in_place_separate_tag(nonce, aws::Aad::from(&*head), payload);
                tag_space.copy_from_slice(sealed.map_err(|_| AeadRefused)?.as_ref());
            }
            Self::Ring(key) => {
                let nonce = ring::Nonce::assume_unique_for_key(nonce);
                let sealed = key.seal_in_place_separate_tag(nonce, ring::Aad::from(&*head), payload);
                tag_space.copy_from_slice(sealed.map_err(|_| AeadRefused)?.as_ref());
            }
            Self::Clear => {}
        }
        Ok(())
    }

    /// Opens one record in place and gives its counter.
    ///
    /// # Errors
    /// [`AeadRefused`] for a record that is too short or not authentic.
    pub fn open(&self, record: &mut [u8]) -> Result<u64, AeadRefused> {
        let (head, sealed) = record.split_at_mut_checked(COUNTER_BYTES).ok_or(AeadRefused)?;
        let counter = u64::from_be_bytes((&*head).try_into().map_err(|_| AeadRefused)?);
        let nonce = nonce_of(counter);
        match self {
            Self::AwsLc(key) => {
                let nonce = aws::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, aws::Aad::from(&*head), sealed).map_err(|_| AeadRefused)?;
            }
            Self::Ring(key) => {
                let nonce = ring::Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, ring::Aad::from(&*head), sealed).map_err(|_| AeadRefused)?;
            }
            Self::Clear => {}
        }
        Ok(counter)
    }
}

/// The nonce of a record: its counter, right-aligned.
fn nonce_of(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::{Cipher, Library, RECORD_BYTES, RecordKey};

    #[test]
    fn both_libraries_make_the_same_records_and_refuse_a_changed_one() {
        for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Chacha20Poly1305] {
            let aws = RecordKey::new(Library::AwsLc, cipher).expect("aws-lc takes the key");
            let ring = RecordKey::new(Library::Ring, cipher).expect("ring takes the key");
            let (mut by_aws, mut by_ring) = ([7; RECORD_BYTES], [7; RECORD_BYTES]);
            aws.seal(99, &mut by_aws).expect("aws-lc seals");
            ring.seal(99, &mut by_ring).expect("ring seals");
            assert_eq!(by_aws, by_ring);
            let mut changed = by_aws;
            changed[700] ^= 1;
            assert!(aws.open(&mut changed).is_err());
            assert_eq!(ring.open(&mut by_aws), Ok(99));
        }
    }
}
