//! The manifest as bytes.
//!
//! A record a file, directory, symlink, or hole run of the file before it; every number a varint:
//! ```text
//! end        0
//! file       1 · name · meta · size
//! directory  2 · name · meta
//! symlink    3 · name · meta · target length · target
//! hole       4 · chunks since the end of the run before it (or the start of the file) · chunks
//! name       bytes in common with the path before · bytes that follow · those bytes
//! meta       mode · seconds (zigzag difference to the entry before) · nanoseconds
//! ```

use super::{HoleRun, Kind, MAX_TARGET_BYTES, Manifest, ManifestBuilder, ManifestError, ManifestRule, Meta, Timestamp};
use crate::transfer::path::MAX_PATH_BYTES;
use crate::transfer::varint::{self, VarintError};

const END: u64 = 0;
const FILE: u64 = 1;
const DIR: u64 = 2;
const SYMLINK: u64 = 3;
const HOLE: u64 = 4;

/// No record is longer: a path, a target and at most nine numbers.
pub const MAX_RECORD_BYTES: usize = MAX_PATH_BYTES + MAX_TARGET_BYTES + 9 * varint::MAX_BYTES;

/// Turns a manifest into bytes, a bounded piece at a time.
#[derive(Debug)]
pub struct ManifestEncoder {
    next: u32,
    path: Vec<u8>,
    last_path: Vec<u8>,
    last_secs: i64,
    hasher: blake3::Hasher,
    done: bool,
}

impl Default for ManifestEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ManifestEncoder {
    /// At the first entry.
    pub fn new() -> Self {
        Self {
            next: 0,
            path: Vec::new(),
            last_path: Vec::new(),
            last_secs: 0,
            hasher: blake3::Hasher::new(),
            done: false,
        }
    }

    /// Appends records to `out` until it grew by `budget_bytes` (the last record may pass that) or the end is written.
    /// Gives `true` once the end is written. Every call must get the same manifest.
    pub fn encode(&mut self, manifest: &Manifest, budget_bytes: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        while !self.done && out.len() - start < budget_bytes {
            if self.next == manifest.len() {
                varint::put(out, END);
                self.done = true;
            } else {
                self.put_entry(manifest, out);
                self.next += 1;
            }
        }
        self.hasher.update(&out[start..]);
        self.done
    }

    /// BLAKE3 of all bytes so far; of the whole manifest once [`ManifestEncoder::encode`] gave `true`.
    pub fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    fn put_entry(&mut self, manifest: &Manifest, out: &mut Vec<u8>) {
        let entry = manifest.entry(self.next);
        manifest.path_into(self.next, &mut self.path);
        varint::put(
            out,
            match entry.kind {
                Kind::File { .. } => FILE,
                Kind::Dir => DIR,
                Kind::Symlink { .. } => SYMLINK,
            },
        );
        let shared = self.path.iter().zip(&self.last_path).take_while(|(a, b)| a == b).count();
        varint::put(out, shared as u64);
        varint::put(out, (self.path.len() - shared) as u64);
        out.extend_from_slice(&self.path[shared..]);
        varint::put(out, u64::from(entry.meta.mode));
        varint::put(out, varint::zigzag(entry.meta.mtime.secs.wrapping_sub(self.last_secs)));
        varint::put(out, u64::from(entry.meta.mtime.nanos));
        match entry.kind {
            Kind::File { size_bytes } => varint::put(out, size_bytes),
            Kind::Dir => {}
            Kind::Symlink { target } => {
                varint::put(out, target.len() as u64);
                out.extend_from_slice(target);
            }
        }
        let mut end = 0;
        for run in manifest.holes(self.next) {
            varint::put(out, HOLE);
            varint::put(out, u64::from(run.first - end));
            varint::put(out, u64::from(run.count));
            end = run.first + run.count;
        }
        self.last_secs = entry.meta.mtime.secs;
        std::mem::swap(&mut self.path, &mut self.last_path);
    }
}

/// Builds a manifest out of bytes that arrive in any pieces, and refuses the first record that breaks a rule.
///
/// Beside the manifest it holds less than [`MAX_RECORD_BYTES`] and the piece it was given last.
#[derive(Debug)]
pub struct ManifestDecoder {
    builder: ManifestBuilder,
    pending: Vec<u8>,
    last_path: Vec<u8>,
    last_secs: i64,
    /// End of the last hole run of the last entry.
    hole_end: u32,
    hasher: blake3::Hasher,
    complete: bool,
}

/// Why one record could not be taken: more bytes are needed, or it is refused.
enum Stop {
    Incomplete,
    Refused(ManifestError),
}

impl From<VarintError> for Stop {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Incomplete => Self::Incomplete,
            VarintError::Malformed => malformed(),
        }
    }
}

impl From<ManifestError> for Stop {
    fn from(error: ManifestError) -> Self {
        Self::Refused(error)
    }
}

fn malformed() -> Stop {
    Stop::Refused(ManifestError::new(ManifestRule::Malformed, b""))
}

impl Default for ManifestDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ManifestDecoder {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self {
            builder: ManifestBuilder::new(),
            pending: Vec::new(),
            last_path: Vec::new(),
            last_secs: 0,
            hole_end: 0,
            hasher: blake3::Hasher::new(),
            complete: false,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The first rule that is broken; the decoder is of no use from then on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        self.hasher.update(bytes);
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = &pending[..];
        while !rest.is_empty() {
            if self.complete {
                return Err(ManifestError::new(ManifestRule::Malformed, b""));
            }
            let mut record = rest;
            match self.take_record(&mut record) {
                Ok(()) => rest = record,
                Err(Stop::Incomplete) => break,
                Err(Stop::Refused(error)) => return Err(error),
            }
        }
        let taken = pending.len() - rest.len();
        pending.drain(..taken);
        self.pending = pending;
        Ok(())
    }

    /// Whether the end mark was taken.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The manifest and the BLAKE3 of its bytes.
    ///
    /// # Errors
    /// [`ManifestRule::Truncated`] before the end mark.
    pub fn finish(self) -> Result<(Manifest, [u8; 32]), ManifestError> {
        if !self.complete {
            return Err(ManifestError::new(ManifestRule::Truncated, b""));
        }
        Ok((self.builder.finish(), *self.hasher.finalize().as_bytes()))
    }

    fn take_record(&mut self, input: &mut &[u8]) -> Result<(), Stop> {
        match varint::take(input)? {
            END => {
                self.complete = true;
                Ok(())
            }
            HOLE => self.take_hole(input),
            tag => self.take_entry(tag, input),
        }
    }

    fn take_hole(&mut self, input: &mut &[u8]) -> Result<(), Stop> {
        let gap = u32::try_from(varint::take(input)?).map_err(|_| malformed())?;
        let count = u32::try_from(varint::take(input)?).map_err(|_| malformed())?;
        let first = self.hole_end.checked_add(gap).ok_or_else(malformed)?;
        let end = first.checked_add(count).ok_or_else(malformed)?;
        self.builder.push_hole(HoleRun { first, count })?;
        self.hole_end = end;
        Ok(())
    }

    fn take_entry(&mut self, tag: u64, input: &mut &[u8]) -> Result<(), Stop> {
        let shared = take_len(input, self.last_path.len())?;
        let rest_len = take_len(input, MAX_PATH_BYTES)?;
        let rest = take_bytes(input, rest_len)?;
        // The shared part is as long as it can be, so that each manifest has one encoding.
        if !rest.is_empty() && self.last_path.get(shared) == rest.first() {
            return Err(malformed());
        }
        let mode = varint::take(input)?;
        let secs = self.last_secs.wrapping_add(varint::unzigzag(varint::take(input)?));
        let nanos = varint::take(input)?;
        let mut path = self.last_path[..shared].to_vec();
        path.extend_from_slice(rest);
        let refuse = |rule: ManifestRule| Stop::Refused(ManifestError::new(rule, &path));
        let mode = u16::try_from(mode).map_err(|_| refuse(ManifestRule::Mode))?;
        let nanos = u32::try_from(nanos).map_err(|_| refuse(ManifestRule::Time))?;
        let kind = match tag {
            FILE => Kind::File { size_bytes: varint::take(input)? },
            DIR => Kind::Dir,
            SYMLINK => {
                let target_len = take_len(input, MAX_TARGET_BYTES).map_err(|stop| match stop {
                    Stop::Refused(_) => refuse(ManifestRule::Target),
                    Stop::Incomplete => stop,
                })?;
                Kind::Symlink { target: take_bytes(input, target_len)? }
            }
            _ => return Err(refuse(ManifestRule::UnknownKind)),
        };
        self.builder.push(&path, kind, Meta { mode, mtime: Timestamp { secs, nanos } })?;
        self.last_path = path;
        self.last_secs = secs;
        self.hole_end = 0;
        Ok(())
    }
}

fn take_len(input: &mut &[u8], max: usize) -> Result<usize, Stop> {
    let len = varint::take(input)?;
    usize::try_from(len).ok().filter(|&len| len <= max).ok_or_else(malformed)
}

fn take_bytes<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], Stop> {
    let (head, tail) = input.split_at_checked(len).ok_or(Stop::Incomplete)?;
    *input = tail;
    Ok(head)
}
