//! What the two sides tell each other beside manifest and data.
//!
//! ```text
//! message   kind u8 · length of the body u32 BE · body
//! ```
//! Numbers in a body are varints. A body is at most [`MAX_BODY_BYTES`]; what is longer (a want list) comes in parts.

use thiserror::Error;

use super::path::{self, Escaped};
use super::tree::Hash;
use super::varint::{self, VarintError};

/// Longest body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Most bytes of a want list in one part.
pub const MAX_WANT_PART_BYTES: usize = 32 * 1024;
/// Longest name or reason in bytes; longer ones are cut by the encoder.
pub const MAX_TEXT_BYTES: usize = 512;
const HEADER_BYTES: usize = 5;

/// The receiver keeps nothing: it only verifies.
pub const FLAG_DISCARD: u8 = 1;
/// The sender makes its data up instead of reading it.
pub const FLAG_GENERATE: u8 = 2;
const KNOWN_FLAGS: u8 = FLAG_DISCARD | FLAG_GENERATE;

/// Why the other side refuses the transfer as a whole (exit code 3 there and here).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum Refusal {
    /// Another version of the application protocol.
    #[error("it runs another version of wirehaul")]
    Version = 1,
    /// The list of files breaks a rule.
    #[error("it refuses the list of files")]
    Manifest = 2,
    /// The list of wanted chunks or another message breaks a rule.
    #[error("it could not make sense of a message")]
    Protocol = 3,
    /// Its policy does not permit what was asked, such as discarding or generated data.
    #[error("its policy does not permit this transfer")]
    Policy = 4,
    /// Its target directory is in use by another receiver, or cannot be used.
    #[error("its target directory cannot be used")]
    Target = 5,
    /// Its disk is full, read-only or failing; what it has can be resumed.
    #[error("its disk cannot take the data")]
    Disk = 6,
}

/// How the transfer of an entry ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryVerdict {
    /// Something different was in the way and stays.
    Conflict = 1,
    /// It failed.
    Failed = 2,
}

/// What a transfer came to, as the receiver sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// Files whole under their names.
    pub files_done: u64,
    /// Links and directories likewise.
    pub others_done: u64,
    /// Bytes that came in this run and matched their hash.
    pub stored_bytes: u64,
    /// Bytes that were there already and matched.
    pub resumed_bytes: u64,
    /// Entries that something was in the way of.
    pub conflicts: u64,
    /// Entries that failed.
    pub failures: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of each side.
    Hello {
        /// Version of these messages.
        version: u16,
        /// `FLAG_*`.
        flags: u8,
        /// What the side calls itself, for people.
        name: String,
    },
    /// The sender's manifest is complete.
    ManifestEnd {
        /// Entries in it.
        entries: u32,
        /// BLAKE3 of its bytes.
        digest: Hash,
    },
    /// A part of the receiver's want list.
    Want {
        /// Counts from 0.
        round: u32,
        /// Whether the list ends here.
        is_last: bool,
        /// At most [`MAX_WANT_PART_BYTES`] of the encoded list.
        bytes: Vec<u8>,
    },
    /// The sender sent all data of a round.
    RoundDone {
        /// Counts from 0.
        round: u32,
        /// Bytes of the round's data stream.
        stream_bytes: u64,
    },
    /// The sender could not read an entry.
    FileFailed {
        /// Index in the manifest.
        entry: u32,
        /// Why, for people.
        reason: String,
    },
    /// The receiver could not store an entry.
    EntryEnded {
        /// Index in the manifest.
        entry: u32,
        /// In which way.
        verdict: EntryVerdict,
        /// Why, for people.
        reason: String,
    },
    /// The receiver is done; the last message.
    Result(ResultCounts),
    /// The transfer ends here; the last message.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The rule that was broken, for people.
        reason: String,
    },
}

/// The rule that a message broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    /// No message has this kind.
    #[error("the peer sent a message of an unknown kind")]
    UnknownKind,
    /// The body is longer than [`MAX_BODY_BYTES`].
    #[error("the peer sent a message that is too long")]
    TooLong,
    /// The body is not what its kind demands.
    #[error("the peer sent a malformed message")]
    Malformed,
    /// A name or reason is not UTF-8, too long, or holds control characters.
    #[error("the peer sent a text that cannot be shown")]
    Text,
}

impl From<VarintError> for MessageError {
    fn from(_: VarintError) -> Self {
        Self::Malformed
    }
}

const HELLO: u8 = 1;
const MANIFEST_END: u8 = 2;
const WANT: u8 = 3;
const ROUND_DONE: u8 = 4;
const FILE_FAILED: u8 = 5;
const ENTRY_ENDED: u8 = 6;
const RESULT: u8 = 7;
const REFUSED: u8 = 8;

impl Message {
    /// Appends the message to `out`. Texts are escaped and cut to what a peer accepts.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(self.kind());
        out.extend_from_slice(&[0; HEADER_BYTES - 1]);
        self.encode_body(out);
        // Every body is bounded by MAX_BODY_BYTES, as long as a want part keeps its limit.
        let len = (out.len() - start - HEADER_BYTES) as u32;
        out[start + 1..start + HEADER_BYTES].copy_from_slice(&len.to_be_bytes());
    }

    /// A want list in parts: each at most [`MAX_WANT_PART_BYTES`].
    pub fn want_parts(round: u32, encoded: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let parts = encoded.len().div_ceil(MAX_WANT_PART_BYTES).max(1);
        (0..parts).map(move |part| {
            let start = part * MAX_WANT_PART_BYTES;
            let end = encoded.len().min(start + MAX_WANT_PART_BYTES);
            Self::Want { round, is_last: part + 1 == parts, bytes: encoded[start..end].to_vec() }
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::ManifestEnd { .. } => MANIFEST_END,
            Self::Want { .. } => WANT,
            Self::RoundDone { .. } => ROUND_DONE,
            Self::FileFailed { .. } => FILE_FAILED,
            Self::EntryEnded { .. } => ENTRY_ENDED,
            Self::Result(_) => RESULT,
            Self::Refused { .. } => REFUSED,
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { version, flags, name } => {
                varint::put(out, u64::from(*version));
                out.push(*flags);
                put_text(out, name);
            }
            Self::ManifestEnd { entries, digest } => {
                varint::put(out, u64::from(*entries));
                out.extend_from_slice(digest);
            }
            Self::Want { round, is_last, bytes } => {
                varint::put(out, u64::from(*round));
                out.push(u8::from(*is_last));
                out.extend_from_slice(bytes);
            }
            Self::RoundDone { round, stream_bytes } => {
                varint::put(out, u64::from(*round));
                varint::put(out, *stream_bytes);
            }
            Self::FileFailed { entry, reason } => {
                varint::put(out, u64::from(*entry));
                put_text(out, reason);
            }
            Self::EntryEnded { entry, verdict, reason } => {
                varint::put(out, u64::from(*entry));
                out.push(*verdict as u8);
                put_text(out, reason);
            }
            Self::Result(counts) => {
                counts.as_array().iter().for_each(|&count| varint::put(out, count));
            }
            Self::Refused { refusal, reason } => {
                out.push(*refusal as u8);
                put_text(out, reason);
            }
        }
    }

    /// A message of `kind` out of its whole body.
    fn decode(kind: u8, mut body: &[u8]) -> Result<Self, MessageError> {
        let input = &mut body;
        let message = match kind {
            HELLO => Self::Hello {
                version: u16::try_from(varint::take(input)?).map_err(|_| MessageError::Malformed)?,
                flags: take_flags(input)?,
                name: take_text(input)?,
            },
            MANIFEST_END => Self::ManifestEnd { entries: take_u32(input)?, digest: take_hash(input)? },
            WANT => take_want(input)?,
            ROUND_DONE => Self::RoundDone { round: take_u32(input)?, stream_bytes: varint::take(input)? },
            FILE_FAILED => Self::FileFailed { entry: take_u32(input)?, reason: take_text(input)? },
            ENTRY_ENDED => {
                Self::EntryEnded { entry: take_u32(input)?, verdict: take_verdict(input)?, reason: take_text(input)? }
            }
            RESULT => Self::Result(take_counts(input)?),
            REFUSED => Self::Refused { refusal: take_refusal(input)?, reason: take_text(input)? },
            _ => return Err(MessageError::UnknownKind),
        };
        if body.is_empty() { Ok(message) } else { Err(MessageError::Malformed) }
    }
}

impl ResultCounts {
    fn as_array(&self) -> [u64; 6] {
        let Self { files_done, others_done, stored_bytes, resumed_bytes, conflicts, failures } = *self;
        [files_done, others_done, stored_bytes, resumed_bytes, conflicts, failures]
    }
}

/// Takes messages out of bytes that arrive in any pieces; it holds one message at most.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    pending: Vec<u8>,
}

impl MessageDecoder {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives the messages that are complete with them.
    ///
    /// # Errors
    /// The first rule that is broken; the decoder is of no use from then on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, MessageError> {
        let mut messages = Vec::new();
        self.pending.extend_from_slice(bytes);
        let mut rest = &self.pending[..];
        while let Some((header, tail)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let [kind, len @ ..] = *header;
            if !(HELLO..=REFUSED).contains(&kind) {
                return Err(MessageError::UnknownKind);
            }
            let len = u32::from_be_bytes(len) as usize;
            if len > MAX_BODY_BYTES {
                return Err(MessageError::TooLong);
            }
            let Some((body, next)) = tail.split_at_checked(len) else { break };
            messages.push(Message::decode(kind, body)?);
            rest = next;
        }
        let taken = self.pending.len() - rest.len();
        self.pending.drain(..taken);
        Ok(messages)
    }
}

/// Appends a text to the end of a body.
fn put_text(out: &mut Vec<u8>, text: &str) {
    // A backslash of the escaping itself must not be escaped again, so only texts that need it are touched.
    let safe = if is_showable(text) { text.to_owned() } else { Escaped(text.as_bytes()).to_string() };
    let end = (0..=safe.len().min(MAX_TEXT_BYTES)).rev().find(|&end| safe.is_char_boundary(end)).unwrap_or(0);
    out.extend_from_slice(&safe.as_bytes()[..end]);
}

fn is_showable(text: &str) -> bool {
    !text.chars().any(path::is_hidden)
}

/// The rest of the body as a text.
fn take_text(input: &mut &[u8]) -> Result<String, MessageError> {
    let bytes = std::mem::take(input);
    let text = std::str::from_utf8(bytes).map_err(|_| MessageError::Text)?;
    if bytes.len() <= MAX_TEXT_BYTES && is_showable(text) { Ok(text.to_owned()) } else { Err(MessageError::Text) }
}

fn take_byte(input: &mut &[u8]) -> Result<u8, MessageError> {
    let (&byte, rest) = input.split_first().ok_or(MessageError::Malformed)?;
    *input = rest;
    Ok(byte)
}

fn take_u32(input: &mut &[u8]) -> Result<u32, MessageError> {
    u32::try_from(varint::take(input)?).map_err(|_| MessageError::Malformed)
}

fn take_hash(input: &mut &[u8]) -> Result<Hash, MessageError> {
    let (hash, rest) = input.split_first_chunk().ok_or(MessageError::Malformed)?;
    *input = rest;
    Ok(*hash)
}

fn take_flags(input: &mut &[u8]) -> Result<u8, MessageError> {
    let flags = take_byte(input)?;
    if flags & !KNOWN_FLAGS == 0 { Ok(flags) } else { Err(MessageError::Malformed) }
}

fn take_want(input: &mut &[u8]) -> Result<Message, MessageError> {
    let round = take_u32(input)?;
    let is_last = match take_byte(input)? {
        0 => false,
        1 => true,
        _ => return Err(MessageError::Malformed),
    };
    if input.len() > MAX_WANT_PART_BYTES {
        return Err(MessageError::TooLong);
    }
    Ok(Message::Want { round, is_last, bytes: std::mem::take(input).to_vec() })
}

fn take_verdict(input: &mut &[u8]) -> Result<EntryVerdict, MessageError> {
    match take_byte(input)? {
        1 => Ok(EntryVerdict::Conflict),
        2 => Ok(EntryVerdict::Failed),
        _ => Err(MessageError::Malformed),
    }
}

fn take_refusal(input: &mut &[u8]) -> Result<Refusal, MessageError> {
    match take_byte(input)? {
        1 => Ok(Refusal::Version),
        2 => Ok(Refusal::Manifest),
        3 => Ok(Refusal::Protocol),
        4 => Ok(Refusal::Policy),
        5 => Ok(Refusal::Target),
        6 => Ok(Refusal::Disk),
        _ => Err(MessageError::Malformed),
    }
}

fn take_counts(input: &mut &[u8]) -> Result<ResultCounts, MessageError> {
    Ok(ResultCounts {
        files_done: varint::take(input)?,
        others_done: varint::take(input)?,
        stored_bytes: varint::take(input)?,
        resumed_bytes: varint::take(input)?,
        conflicts: varint::take(input)?,
        failures: varint::take(input)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> Vec<Message> {
        let counts = ResultCounts {
            files_done: 1,
            others_done: 0,
            stored_bytes: 1 << 40,
            resumed_bytes: 300,
            conflicts: 2,
            failures: 3,
        };
        vec![
            Message::Hello { version: 1, flags: FLAG_DISCARD, name: "host é".into() },
            Message::ManifestEnd { entries: 100_000, digest: [7; 32] },
            Message::Want { round: 0, is_last: false, bytes: vec![1; MAX_WANT_PART_BYTES] },
            Message::Want { round: 1, is_last: true, bytes: vec![] },
            Message::RoundDone { round: 2, stream_bytes: 1 << 47 },
            Message::FileFailed { entry: 5, reason: "dir\\xff: permission denied".into() },
            Message::EntryEnded { entry: 6, verdict: EntryVerdict::Conflict, reason: "exists".into() },
            Message::Result(counts),
            Message::Refused { refusal: Refusal::Disk, reason: String::new() },
        ]
    }

    fn encoded(messages: &[Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        bytes
    }

    fn decode(bytes: &[u8], piece_bytes: usize) -> Result<Vec<Message>, MessageError> {
        let mut decoder = MessageDecoder::new();
        let mut messages = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            messages.extend(decoder.push(piece)?);
        }
        Ok(messages)
    }

    #[test]
    fn every_message_comes_back_whatever_the_pieces() {
        let bytes = encoded(&samples());
        for piece_bytes in [1, 3, 1400, bytes.len()] {
            assert_eq!(decode(&bytes, piece_bytes).unwrap(), samples());
        }
    }

    #[test]
    fn hostile_texts_are_made_harmless_by_the_sender_and_refused_by_the_receiver() {
        let message = Message::FileFailed { entry: 0, reason: format!("\x1b[2J\u{202e}{}", "é".repeat(600)) };
        let [Message::FileFailed { reason, .. }] = &decode(&encoded(&[message]), 9).unwrap()[..] else { panic!() };
        assert!(reason.starts_with("\\u{1b}[2J\\u{202e}") && reason.len() <= MAX_TEXT_BYTES);
        for bad in [&b"\x00\x1b"[..], b"\x00\xff", b"\x00\xe2\x80\xae"] {
            let mut bytes = vec![FILE_FAILED, 0, 0, 0, bad.len() as u8];
            bytes.extend_from_slice(bad);
            assert_eq!(decode(&bytes, 2), Err(MessageError::Text));
        }
    }

    #[test]
    fn broken_messages_are_refused_by_rule() {
        let cases: [(&[u8], MessageError); 8] = [
            (&[0, 0, 0, 0, 0], MessageError::UnknownKind),
            (&[9, 0, 0, 0, 0], MessageError::UnknownKind),
            (&[WANT, 0, 1, 0, 1], MessageError::TooLong),
            (&[WANT, 0xff, 0xff, 0xff, 0xff], MessageError::TooLong),
            (&[HELLO, 0, 0, 0, 0], MessageError::Malformed),
            (&[HELLO, 0, 0, 0, 2, 1, 0x80], MessageError::Malformed),
            (&[ROUND_DONE, 0, 0, 0, 3, 0, 0, 0], MessageError::Malformed),
            (&[REFUSED, 0, 0, 0, 1, 77], MessageError::Malformed),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(bytes, 1), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_want_list_travels_in_parts() {
        let list: Vec<u8> = (0..100_000_u32).map(|index| index as u8).collect();
        let parts: Vec<_> = Message::want_parts(3, &list).collect();
        let mut joined = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let Message::Want { round: 3, is_last, bytes } = part else { panic!("{part:?}") };
            assert_eq!(*is_last, index + 1 == parts.len());
            joined.extend_from_slice(bytes);
        }
        assert_eq!((parts.len(), joined), (4, list));
        assert_eq!(Message::want_parts(0, &[]).count(), 1);
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), piece_bytes in 1_usize..99) {
            let mut bytes = encoded(&samples()[4..]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(messages) = decode(&bytes, piece_bytes) {
                prop_assert!(messages.len() <= bytes.len() / HEADER_BYTES);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 7);
        }
    }
}
