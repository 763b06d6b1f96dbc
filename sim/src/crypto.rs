//! Cryptography without security: fast, deterministic, and with the behaviour of the real thing.
//!
//! What the core relies on holds: a packet sealed under another key, number or header does not open; an altered byte
//! is noticed; another pre-shared key fails at the first message; static keys can be refused; each rekey gives both ends
//! the same new keys. What an attacker could compute, anybody can compute here: this is for simulations only.

use std::{cell::Cell, rc::Rc};

use wirehaul_core::{
    crypto::{Acceptor, Aead, EpochKeys, Forged, Handshake, HandshakeError, PSK_ID_BYTES, PUBLIC_KEY_BYTES, Suite},
    limits::{TAG_BYTES, VERSION},
};

use crate::{
    planted::invent_acks,
    rng::{Stream, mix},
};

/// What an AEAD does of its work. All but the first exist for tests of the alarms and of hostile peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vigilance {
    /// Tags are checked.
    #[default]
    Strict,
    /// Any tag passes: a planted bug.
    Blind,
    /// Any tag passes and nothing is encrypted: lets a test speak as a peer that holds the keys.
    Transparent,
    /// Tags are checked, and ACKs that are sealed name packets that did not arrive: a planted bug.
    InventsAcks,
}

/// One direction's key.
#[derive(Clone, Debug)]
pub struct SimAead {
    key: u64,
    vigilance: Vigilance,
}

/// A digest of byte strings: fast, not cryptographic, sensitive to every bit and every length.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    low: u64,
    high: u64,
}

impl Digest {
    /// A digest that starts from `key`.
    #[must_use]
    pub const fn new(key: u64) -> Self {
        Self { low: mix(key), high: mix(!key) }
    }

    /// Takes in eight bytes as a number.
    pub const fn word(&mut self, word: u64) {
        self.low = (self.low ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(31);
        self.high = (self.high.rotate_left(27) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
    }

    /// Takes in a string of bytes and its length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<64>();
        if !blocks.is_empty() {
            self.blocks(blocks);
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// Takes in long strings eight words at a time, which do not wait for each other.
    fn blocks(&mut self, blocks: &[[u8; 64]]) {
        let mut lanes = [self.low; 8];
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(0x9fb2_1c65_1e98_df25).rotate_left(31);
            }
        }
        lanes.iter().for_each(|lane| self.word(*lane));
    }

    /// Takes in the length of a string of bytes and its first and last 16: of a packet the header and the tag.
    pub fn ends(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
            (Some(first), Some(last)) => {
                first.as_chunks::<8>().0.iter().chain(last.as_chunks::<8>().0).for_each(|word| {
                    self.word(u64::from_le_bytes(*word));
                })
            }
            _ => self.bytes(bytes),
        }
    }

    /// The digest as 16 bytes.
    #[must_use]
    pub fn tag(&self) -> [u8; 16] {
        let (low, high) = (mix(self.low ^ self.high.rotate_left(32)), mix(self.high));
        (u128::from(low) << 64 | u128::from(high)).to_be_bytes()
    }

    /// The digest as a number.
    #[must_use]
    pub const fn value(&self) -> u64 {
        mix(self.low ^ mix(self.high))
    }
}

impl SimAead {
    const fn new(key: u64, vigilance: Vigilance) -> Self {
        Self { key, vigilance }
    }

    fn tag(&self, number: u64, associated: &[u8], ciphertext: &[u8]) -> [u8; TAG_BYTES] {
        let mut digest = Digest::new(self.key);
        digest.word(number);
        digest.bytes(associated);
        digest.bytes(ciphertext);
        digest.tag()
    }

    fn apply_key_stream(&self, number: u64, bytes: &mut [u8]) {
        if self.vigilance == Vigilance::Transparent {
            return;
        }
        let mut state = mix(self.key ^ mix(number));
        let mut next = || {
            // No multiplication, so that many numbers are made at once.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            state ^ (state >> 29)
        };
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_le_bytes(*word) ^ next()).to_le_bytes();
        }
        let last = next().to_le_bytes();
        rest.iter_mut().zip(last).for_each(|(byte, key)| *byte ^= key);
    }
}

impl Aead for SimAead {
    fn seal_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) {
        if self.vigilance == Vigilance::InventsAcks {
            invent_acks(buf);
        }
        let Some((text, tag)) = buf.split_last_chunk_mut::<TAG_BYTES>() else { return };
        self.apply_key_stream(packet_number, text);
        *tag = self.tag(packet_number, associated, text);
    }

    fn open_in_place(&self, packet_number: u64, associated: &[u8], buf: &mut [u8]) -> Result<usize, Forged> {
        let (text, tag) = buf.split_last_chunk_mut::<TAG_BYTES>().ok_or(Forged)?;
        if matches!(self.vigilance, Vigilance::Strict | Vigilance::InventsAcks)
            && *tag != self.tag(packet_number, associated, text)
        {
            return Err(Forged);
        }
        self.apply_key_stream(packet_number, text);
        Ok(text.len())
    }
}

/// Who a host is and whom it trusts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its static key.
    pub static_key: u64,
    /// The pre-shared keys that it knows: id and secret.
    pub psks: Vec<([u8; PSK_ID_BYTES], u64)>,
    /// Static keys that it accepts; `None` accepts any.
    pub known: Option<Vec<u64>>,
    /// Whether its AEAD does its work.
    pub vigilance: Vigilance,
    /// The version that goes into its prologue.
    pub version: u16,
}

/// The id and secret of the pre-shared key that hosts share unless told otherwise.
pub const COMMON_PSK: ([u8; PSK_ID_BYTES], u64) = (*b"sim psk0", 0x5eed_0f57);

impl Identity {
    /// A host with this static key that knows [`COMMON_PSK`] and accepts everybody who does.
    #[must_use]
    pub fn new(static_key: u64) -> Self {
        Self { static_key, psks: vec![COMMON_PSK], known: None, vigilance: Vigilance::Strict, version: VERSION }
    }
}

/// How often a host did what real cryptography would charge for.
#[derive(Clone, Debug, Default)]
pub struct Work(Rc<Cell<u64>>);

impl Work {
    /// Public-key operations so far.
    #[must_use]
    pub fn public_key_operations(&self) -> u64 {
        self.0.get()
    }

    fn add(&self, operations: u64) {
        self.0.set(self.0.get() + operations);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    WriteFirst,
    ReadFirst,
    WriteSecond,
    ReadSecond,
    WriteThird,
    ReadThird,
    Done,
}

/// A key agreement shaped like Noise XX with a pre-shared key in front.
#[derive(Debug)]
pub struct SimHandshake {
    identity: Identity,
    turn: Turn,
    initiator: bool,
    /// Digest of everything agreed so far: what Noise calls the chaining key.
    chain: u64,
    ephemeral: u64,
    remote_static: Option<u64>,
    offer: Option<u64>,
    random: Stream,
    work: Work,
}

impl SimHandshake {
    fn new(identity: Identity, psk: u64, initiator: bool, random: Stream, work: Work) -> Self {
        let chain = combine(&[psk, u64::from(identity.version)]);
        let turn = if initiator { Turn::WriteFirst } else { Turn::ReadFirst };
        Self { identity, turn, initiator, chain, ephemeral: 0, remote_static: None, offer: None, random, work }
    }

    /// The peer's static key, once it is known.
    #[must_use]
    pub const fn remote_static(&self) -> Option<u64> {
        self.remote_static
    }

    fn write_encrypted(&self, step: u64, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let buffer = out.get_mut(..payload.len() + TAG_BYTES).ok_or(HandshakeError::Malformed)?;
        buffer[..payload.len()].copy_from_slice(payload);
        SimAead::new(self.chain, Vigilance::Strict).seal_in_place(step, &[], buffer);
        Ok(buffer.len())
    }

    fn read_encrypted(chain: u64, step: u64, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let mut buffer = message.to_vec();
        let opened = SimAead::new(chain, Vigilance::Strict).open_in_place(step, &[], &mut buffer);
        let len = opened.map_err(|Forged| HandshakeError::Unauthentic)?;
        payload.get_mut(..len).ok_or(HandshakeError::Malformed)?.copy_from_slice(&buffer[..len]);
        Ok(len)
    }

    /// Messages one and two begin with an ephemeral key in the clear.
    fn write_with_ephemeral(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.ephemeral = self.random.next_u64();
        self.work.add(1);
        let (place, rest) = out.split_first_chunk_mut::<32>().ok_or(HandshakeError::Malformed)?;
        *place = public_key(self.ephemeral);
        self.chain = combine(&[self.chain, self.ephemeral]);
        let mut body = self.static_key_bytes();
        body.extend_from_slice(payload);
        Ok(32 + self.write_encrypted(1, &body, rest)?)
    }

    /// The static key travels in the second and third message.
    fn static_key_bytes(&self) -> Vec<u8> {
        if self.turn == Turn::WriteFirst { Vec::new() } else { public_key(self.identity.static_key).to_vec() }
    }

    fn read_first(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        let (ephemeral, rest) = message.split_first_chunk::<32>().ok_or(HandshakeError::Malformed)?;
        let chain = combine(&[self.chain, secret_of(ephemeral)]);
        let len = Self::read_encrypted(chain, 1, rest, payload)?;
        self.chain = chain;
        Ok(len)
    }

    fn read_with_static(&mut self, chain: u64, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.work.add(2);
        let mut body = vec![0; message.len()];
        let len = Self::read_encrypted(chain, 1, message, &mut body)?;
        let (key, rest) = body[..len].split_first_chunk::<32>().ok_or(HandshakeError::Malformed)?;
        let key = secret_of(key);
        payload.get_mut(..rest.len()).ok_or(HandshakeError::Malformed)?.copy_from_slice(rest);
        self.chain = combine(&[chain, key]);
        self.remote_static = Some(key);
        Ok(rest.len())
    }

    fn judge_peer(&self, payload_len: usize) -> Result<usize, HandshakeError> {
        let accepted = match (&self.identity.known, self.remote_static) {
            (Some(known), Some(key)) => known.contains(&key),
            _ => true,
        };
        if accepted { Ok(payload_len) } else { Err(HandshakeError::UnknownPeer) }
    }

    fn keys(&self, root: u64) -> EpochKeys<SimAead> {
        let (ours, theirs) = if self.initiator { (1, 2) } else { (2, 1) };
        let key = |side| SimAead::new(combine(&[root, side]), self.identity.vigilance);
        EpochKeys { seal: key(ours), open: key(theirs) }
    }

    fn next_epoch(&mut self, offer: u64, answer: u64) -> EpochKeys<SimAead> {
        self.chain = combine(&[self.chain, offer, answer]);
        self.keys(self.chain)
    }
}

impl Handshake for SimHandshake {
    type Aead = SimAead;

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        match self.turn {
            Turn::WriteFirst => {
                let len = self.write_with_ephemeral(payload, out)?;
                self.turn = Turn::ReadSecond;
                Ok(len)
            }
            Turn::WriteSecond => {
                self.work.add(2);
                let len = self.write_with_ephemeral(payload, out)?;
                self.chain = combine(&[self.chain, self.identity.static_key]);
                self.turn = Turn::ReadThird;
                Ok(len)
            }
            Turn::WriteThird => {
                self.work.add(1);
                let mut body = self.static_key_bytes();
                body.extend_from_slice(payload);
                let len = self.write_encrypted(1, &body, out)?;
                self.chain = combine(&[self.chain, self.identity.static_key]);
                self.turn = Turn::Done;
                Ok(len)
            }
            _ => Err(HandshakeError::Malformed),
        }
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        match self.turn {
            Turn::ReadFirst => {
                let len = self.read_first(message, payload)?;
                self.turn = Turn::WriteSecond;
                Ok(len)
            }
            Turn::ReadSecond => {
                let (ephemeral, rest) = message.split_first_chunk::<32>().ok_or(HandshakeError::Malformed)?;
                let chain = combine(&[self.chain, secret_of(ephemeral)]);
                let len = self.read_with_static(chain, rest, payload)?;
                self.turn = Turn::WriteThird;
                self.judge_peer(len)
            }
            Turn::ReadThird => {
                let len = self.read_with_static(self.chain, message, payload)?;
                self.turn = Turn::Done;
                self.judge_peer(len)
            }
            _ => Err(HandshakeError::Malformed),
        }
    }

    fn first_keys(&mut self, suite: Suite) -> Result<EpochKeys<SimAead>, HandshakeError> {
        if self.turn != Turn::Done {
            return Err(HandshakeError::Malformed);
        }
        self.chain = combine(&[self.chain, suite as u64]);
        Ok(self.keys(self.chain))
    }

    fn rekey_offer(&mut self) -> Result<[u8; PUBLIC_KEY_BYTES], HandshakeError> {
        let random = &mut self.random;
        let offer = *self.offer.get_or_insert_with(|| random.next_u64());
        self.work.add(1);
        Ok(public_key(offer))
    }

    fn rekey_answer(
        &mut self,
        offer: &[u8; PUBLIC_KEY_BYTES],
    ) -> Result<([u8; PUBLIC_KEY_BYTES], EpochKeys<SimAead>), HandshakeError> {
        self.work.add(2);
        let answer = self.random.next_u64();
        let keys = self.next_epoch(secret_of(offer), answer);
        Ok((public_key(answer), keys))
    }

    fn rekey_finish(&mut self, answer: &[u8; PUBLIC_KEY_BYTES]) -> Result<EpochKeys<SimAead>, HandshakeError> {
        let offer = self.offer.take().ok_or(HandshakeError::Malformed)?;
        self.work.add(1);
        Ok(self.next_epoch(offer, secret_of(answer)))
    }

    fn random(&mut self) -> Result<[u8; 8], HandshakeError> {
        Ok(self.random.next_u64().to_be_bytes())
    }
}

/// What a simulated host brings to handshakes, as initiator and as responder.
#[derive(Debug)]
pub struct SimAcceptor {
    identity: Identity,
    random: Stream,
    cookie_key: u64,
    handshakes: u64,
    work: Work,
}

impl SimAcceptor {
    /// An acceptor whose secrets come from `random`.
    #[must_use]
    pub fn new(identity: Identity, mut random: Stream) -> Self {
        let cookie_key = random.next_u64();
        Self { identity, random, cookie_key, handshakes: 0, work: Work::default() }
    }

    /// The counter of what handshakes of this host cost.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work.clone()
    }

    /// The initiating side of a handshake under this host's first pre-shared key, and that key's id.
    #[must_use]
    pub fn initiate(&mut self) -> (SimHandshake, [u8; PSK_ID_BYTES]) {
        let (id, secret) = self.identity.psks.first().copied().unwrap_or(COMMON_PSK);
        (self.handshake(secret, true), id)
    }

    fn handshake(&mut self, psk: u64, initiator: bool) -> SimHandshake {
        self.handshakes += 1;
        let random = crate::rng::Seed(self.random.next_u64()).stream(self.handshakes, crate::rng::Purpose::Keys);
        SimHandshake::new(self.identity.clone(), psk, initiator, random, self.work.clone())
    }
}

impl Acceptor for SimAcceptor {
    type Handshake = SimHandshake;

    fn accept(&mut self, psk_id: &[u8; PSK_ID_BYTES]) -> Option<SimHandshake> {
        let (_, secret) = self.identity.psks.iter().copied().find(|(id, _)| id == psk_id)?;
        Some(self.handshake(secret, false))
    }

    fn cookie(&self, input: &[u8]) -> [u8; 16] {
        let mut digest = Digest::new(self.cookie_key);
        digest.bytes(input);
        digest.tag()
    }
}

fn combine(words: &[u64]) -> u64 {
    let mut digest = Digest::new(0x006b_6579);
    words.iter().for_each(|word| digest.word(*word));
    digest.value()
}

/// The public key for a secret: its first half is the secret itself, for there is nothing to protect here.
fn public_key(secret: u64) -> [u8; PUBLIC_KEY_BYTES] {
    let mut key = [0; PUBLIC_KEY_BYTES];
    for (index, place) in key.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *place = (if index == 0 { secret } else { mix(secret ^ index as u64) }).to_be_bytes();
    }
    key
}

fn secret_of(public: &[u8; PUBLIC_KEY_BYTES]) -> u64 {
    let mut digest = u64::from_be_bytes(*public.first_chunk().unwrap_or(&[0; 8]));
    if public_key(digest) != *public {
        // An altered key is another key.
        let mut altered = Digest::new(0);
        altered.bytes(public);
        digest = altered.value();
    }
    digest
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
