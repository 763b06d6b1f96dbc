//! The rules of frames once more, written naively from `docs/frame-types.md`, to compare the real parser with.
//!
//! It shares no code with the core: bytes are numbers by hand, and arithmetic is too wide to overflow.

const MAX_OFFSET: u128 = 1 << 48;
const MAX_CONNECTION: u128 = 1 << 62;

/// A big-endian number.
fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number * 256 + u128::from(*byte))
}

fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The frames of a body as (type, payload), or `None` where a rule is broken anywhere.
#[must_use]
pub fn frames(mut body: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    if body.len() > 9000 - 12 - 16 {
        return None;
    }
    let mut frames = Vec::new();
    while !body.is_empty() {
        let (header, rest) = (body.get(..16)?, &body[16..]);
        let len = number(&header[4..6]) as usize;
        let payload = rest.get(..len)?;
        let stream = number(&header[2..4]);
        if !zeros(&header[6..8]) || !is_valid(header[0], header[1], stream, number(&header[8..16]), payload) {
            return None;
        }
        frames.push((header[0], payload));
        body = &rest[len..];
    }
    (!frames.is_empty()).then_some(frames)
}

fn is_valid(kind: u8, flags: u8, stream: u128, offset: u128, payload: &[u8]) -> bool {
    let len = payload.len();
    let no_place = stream == 0 && offset == 0;
    let plain = flags == 0 && no_place;
    match kind {
        0x01 => flags <= 3 && stream >= 16 && offset + len as u128 <= MAX_OFFSET && (len > 0 || flags & 1 == 1),
        0x02 => plain && ack_ranges(payload).is_some(),
        0x03 => plain && control(payload),
        0x04 => flags <= 1 && no_place && len == 36 && !zeros(&payload[..4]),
        0x05 | 0x06 | 0x0e | 0x0f => plain && len == 8,
        0x07 => {
            let text = |reason| std::str::from_utf8(reason).is_ok_and(|reason| !reason.chars().any(char::is_control));
            plain && (2..=66).contains(&len) && text(&payload[2..])
        }
        0x08 => plain && zeros(payload),
        0x09 => {
            let window = |payload: &[u8]| number(&payload[..8]) <= MAX_OFFSET && zeros(&payload[9..]);
            flags == 0 && stream >= 16 && offset == 0 && len == 16 && window(payload)
        }
        0x0a => flags == 0 && stream >= 16 && offset <= MAX_OFFSET && len == 0,
        0x0b => flags == 0 && stream >= 16 && offset <= MAX_OFFSET && len == 2,
        0x0c => {
            let max = if stream == 0 { MAX_CONNECTION } else { MAX_OFFSET };
            flags == 0 && !(1..16).contains(&stream) && offset == 0 && len == 8 && number(payload) <= max
        }
        0x0d => plain && len == 4 && !(1..16).contains(&number(&payload[2..])),
        _ => false,
    }
}

fn control(payload: &[u8]) -> bool {
    let Some((&[subtype, count, 0, 0], rest)) = payload.split_first_chunk() else { return false };
    let versions: Vec<u128> = rest.chunks(2).map(number).collect();
    match subtype {
        1 => count == 0 && rest.is_empty(),
        2 => count == 0 && rest.len() == 8 && !zeros(&rest[..4]),
        3 => {
            (1..=16).contains(&count)
                && rest.len() == 2 * usize::from(count)
                && versions[0] > 0
                && versions.is_sorted_by(|a, b| a < b)
        }
        _ => false,
    }
}

/// The ranges of an ACK's payload as (first, last), newest first; `None` where a rule is broken.
#[must_use]
pub fn ack_ranges(payload: &[u8]) -> Option<Vec<(u64, u64)>> {
    let fixed = payload.get(..24)?;
    let count = number(&fixed[16..18]) as usize;
    if count == 0 || !zeros(&fixed[18..20]) || payload.len() != 24 + 8 * (count - 1) {
        return None;
    }
    let mut ranges = Vec::new();
    let mut last = number(&fixed[..8]) as i128;
    let mut len = number(&fixed[20..24]) as i128;
    let mut more = payload[24..].chunks(8);
    loop {
        let first = last - len + 1;
        if len == 0 || first < 0 {
            return None;
        }
        ranges.push((first as u64, last as u64));
        let Some(next) = more.next() else { return Some(ranges) };
        let gap = number(&next[..4]) as i128;
        if gap == 0 {
            return None;
        }
        last = first - gap - 1;
        len = number(&next[4..]) as i128;
    }
}
