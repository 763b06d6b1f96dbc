//! Valid frames as owned values, drawn from choices.

use wirehaul_core::limits::{MAX_CONNECTION_OFFSET, MAX_STREAM_OFFSET};
use wirehaul_core::wire::{AckRange, Control, DataFlags, FrameKind, FrameWriter, RekeyFrame, StreamId, View};

use crate::choices::Choices;

/// A valid frame: [`View`] with its data owned, and lists where [`View`] has what only parsing makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of `View`")]
pub enum Spec {
    Data { stream: StreamId, offset: u64, payload: Vec<u8>, flags: DataFlags },
    Ack { delay_us: u32, ce_count: u32, ranges: Vec<AckRange> },
    Keepalive,
    Migrate { receiver: u32, sequence: u32 },
    VersionNegotiation { versions: Vec<u16> },
    Rekey { answer: bool, epoch: u32, public_key: [u8; 32] },
    Ping { token: u64 },
    Pong { token: u64 },
    Close { code: u16, reason: String },
    Pad { len: usize },
    StreamOpen { stream: StreamId, window: u64, priority: u8 },
    StreamClose { stream: StreamId, final_size: u64 },
    StreamReset { stream: StreamId, final_size: u64, code: u16 },
    WindowUpdate { stream: Option<StreamId>, limit: u64 },
    GoAway { code: u16, last_stream: Option<StreamId> },
    PathChallenge { data: [u8; 8] },
    PathResponse { data: [u8; 8] },
}

impl Spec {
    /// A frame of any type; `payload_max` bounds the types of any length.
    pub fn draw(choices: &mut Choices<'_>, payload_max: usize) -> Self {
        let kind = FrameKind::ALL[choices.below(15)];
        Self::draw_kind(choices, kind, payload_max)
    }

    /// A frame of this type.
    pub fn draw_kind(choices: &mut Choices<'_>, kind: FrameKind, payload_max: usize) -> Self {
        match kind {
            FrameKind::Data => data(choices, payload_max),
            FrameKind::Ack => Self::Ack {
                delay_us: choices.up_to(u32::MAX.into()) as u32,
                ce_count: choices.up_to(u32::MAX.into()) as u32,
                ranges: ranges(choices, (payload_max.saturating_sub(24) / 8).min(40)),
            },
            FrameKind::Control => match choices.below(3) {
                0 => Self::Keepalive,
                1 => Self::Migrate {
                    receiver: choices.between(1, u32::MAX.into()) as u32,
                    sequence: choices.number() as u32,
                },
                _ => Self::VersionNegotiation { versions: versions(choices) },
            },
            FrameKind::Rekey => Self::Rekey {
                answer: choices.once_in(2),
                epoch: choices.between(1, u32::MAX.into()) as u32,
                public_key: choices.array(),
            },
            FrameKind::Ping => Self::Ping { token: choices.number() },
            FrameKind::Pong => Self::Pong { token: choices.number() },
            FrameKind::Close => Self::Close { code: choices.number() as u16, reason: reason(choices) },
            FrameKind::Pad => Self::Pad { len: choices.below(payload_max + 1) },
            FrameKind::StreamOpen => Self::StreamOpen {
                stream: stream(choices),
                window: choices.up_to(MAX_STREAM_OFFSET),
                priority: choices.number() as u8,
            },
            FrameKind::StreamClose => {
                Self::StreamClose { stream: stream(choices), final_size: choices.up_to(MAX_STREAM_OFFSET) }
            }
            FrameKind::StreamReset => Self::StreamReset {
                stream: stream(choices),
                final_size: choices.up_to(MAX_STREAM_OFFSET),
                code: choices.number() as u16,
            },
            FrameKind::WindowUpdate => {
                let stream = choices.once_in(2).then(|| stream(choices));
                let max = if stream.is_some() { MAX_STREAM_OFFSET } else { MAX_CONNECTION_OFFSET };
                Self::WindowUpdate { stream, limit: choices.up_to(max) }
            }
            FrameKind::GoAway => {
                let last_stream = choices.once_in(2).then(|| stream(choices));
                Self::GoAway { code: choices.number() as u16, last_stream }
            }
            FrameKind::PathChallenge => Self::PathChallenge { data: choices.array() },
            FrameKind::PathResponse => Self::PathResponse { data: choices.array() },
        }
    }

    /// Writes the frame; `false` where there is no room.
    #[must_use]
    pub fn write(&self, writer: &mut FrameWriter<'_>) -> bool {
        match self {
            Self::Data { stream, offset, payload, flags } => {
                let place = writer.data_header(*stream, *offset, *flags, payload.len());
                place.map(|place| place.copy_from_slice(payload)).is_some()
            }
            Self::Ack { delay_us, ce_count, ranges } => {
                writer.ack(*delay_us, *ce_count, ranges.iter().copied(), ranges.len()).is_some()
            }
            Self::Keepalive => writer.keepalive(),
            Self::Migrate { receiver, sequence } => writer.migrate(*receiver, *sequence),
            Self::VersionNegotiation { versions } => writer.version_negotiation(versions.iter().copied()),
            Self::Rekey { answer, epoch, public_key } => {
                writer.rekey(&RekeyFrame { answer: *answer, epoch: *epoch, public_key })
            }
            Self::Ping { token } => writer.ping(*token),
            Self::Pong { token } => writer.pong(*token),
            Self::Close { code, reason } => writer.close(*code, reason),
            Self::Pad { len } => writer.pad(*len),
            Self::StreamOpen { stream, window, priority } => writer.stream_open(*stream, *window, *priority),
            Self::StreamClose { stream, final_size } => writer.stream_close(*stream, *final_size),
            Self::StreamReset { stream, final_size, code } => writer.stream_reset(*stream, *final_size, *code),
            Self::WindowUpdate { stream, limit } => writer.window_update(*stream, *limit),
            Self::GoAway { code, last_stream } => writer.go_away(*code, *last_stream),
            Self::PathChallenge { data } => writer.path_challenge(data),
            Self::PathResponse { data } => writer.path_response(data),
        }
    }

    /// What a parsed frame says, owned.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        match *view {
            View::Data { stream, offset, payload, flags } => {
                Self::Data { stream, offset, payload: payload.to_vec(), flags }
            }
            View::Ack(ack) => {
                Self::Ack { delay_us: ack.delay_us(), ce_count: ack.ce_count(), ranges: ack.ranges().collect() }
            }
            View::Control(Control::Keepalive) => Self::Keepalive,
            View::Control(Control::Migrate { receiver, sequence }) => Self::Migrate { receiver, sequence },
            View::Control(Control::VersionNegotiation { versions }) => {
                Self::VersionNegotiation { versions: versions.iter().collect() }
            }
            View::Rekey(rekey) => {
                Self::Rekey { answer: rekey.answer, epoch: rekey.epoch, public_key: *rekey.public_key }
            }
            View::Ping { token } => Self::Ping { token },
            View::Pong { token } => Self::Pong { token },
            View::Close { code, reason } => Self::Close { code, reason: reason.to_owned() },
            View::Pad { len } => Self::Pad { len },
            View::StreamOpen { stream, window, priority } => Self::StreamOpen { stream, window, priority },
            View::StreamClose { stream, final_size } => Self::StreamClose { stream, final_size },
            View::StreamReset { stream, final_size, code } => Self::StreamReset { stream, final_size, code },
            View::WindowUpdate { stream, limit } => Self::WindowUpdate { stream, limit },
            View::GoAway { code, last_stream } => Self::GoAway { code, last_stream },
            View::PathChallenge { data } => Self::PathChallenge { data },
            View::PathResponse { data } => Self::PathResponse { data },
        }
    }
}

/// Bytes of a packet body with these frames.
#[must_use]
pub fn body(frames: &[Spec]) -> Vec<u8> {
    let mut out = vec![0xaa; 9000];
    let mut writer = FrameWriter::new(&mut out);
    for frame in frames {
        if !frame.write(&mut writer) {
            break;
        }
    }
    let length = writer.finish();
    out.truncate(length);
    out
}

fn stream(choices: &mut Choices<'_>) -> StreamId {
    StreamId::new(choices.between(16, u16::MAX.into()) as u16).unwrap_or(StreamId::FIRST)
}

fn data(choices: &mut Choices<'_>, payload_max: usize) -> Spec {
    let flags = DataFlags::from_bits_truncate(choices.number() as u8);
    let empty_ok = flags.contains(DataFlags::FIN);
    let len = choices.below(payload_max + 1).max(usize::from(!empty_ok));
    let offset = choices.up_to(MAX_STREAM_OFFSET - len as u64);
    Spec::Data { stream: stream(choices), offset, payload: choices.bytes(len), flags }
}

/// Up to `more + 1` ranges from newest to oldest with a gap between each two.
pub fn ranges(choices: &mut Choices<'_>, more: usize) -> Vec<AckRange> {
    let mut ranges = Vec::new();
    let mut last = choices.up_to(u64::MAX);
    for _ in 0..=choices.below(more + 1) {
        let first = last - choices.up_to(1 << 20).min(last);
        ranges.push(AckRange { first, last });
        let Some(next) = first.checked_sub(2 + choices.up_to(1 << 20)) else { break };
        last = next;
    }
    ranges
}

/// 1 to 16 versions, ascending, none zero.
pub fn versions(choices: &mut Choices<'_>) -> Vec<u16> {
    let count = 1 + choices.below(16);
    let step = 1 + choices.below(4000);
    (1..=count).map(|i| (i * step) as u16).collect()
}

fn reason(choices: &mut Choices<'_>) -> String {
    const LETTERS: [char; 6] = ['a', ' ', 'é', '…', '🙂', '~'];
    let count = choices.below(40);
    let mut reason = String::new();
    for _ in 0..count {
        let letter = LETTERS[choices.below(LETTERS.len())];
        if reason.len() + letter.len_utf8() <= 64 {
            reason.push(letter);
        }
    }
    reason
}
