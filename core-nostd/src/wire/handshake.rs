//! The clear part of the handshake: what stands behind the outer header in packets that are not protected.
//!
//! ```text
//! INIT      version u16 · reserved u16 · sender index u32 · PSK id [8] · cookie length u8 · reserved u8 ·
//!           noise length u16 · cookie [0 or 24] · noise · zeros up to a datagram of 1200 bytes
//! COOKIE    time u64 · keyed hash [16]
//! RESPONSE  sender index u32 · noise length u16 · reserved u16 · noise
//! FINISH    noise length u16 · reserved u16 · noise
//! VERSION   count u8 · reserved u8 · versions u16, ascending
//! REFUSED   reason u8 · reserved [3]
//! ```
//! The first 8 bytes of INIT, and VERSION, are the same in every version of the wire, so that ends of different
//! versions can tell each other so. All functions take and give the body: the datagram without its outer header.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Reject, VersionList, all_zero, versions};
use crate::crypto::PSK_ID_BYTES;
use crate::limits::{
    COOKIE_BYTES, MAX_DATAGRAM_BYTES, MIN_DATAGRAM_BYTES, MIN_NOISE_BYTES, PACKET_HEADER_BYTES, VERSION,
};

/// The shortest body of an INIT: its datagram has 1200 bytes, so that three times that covers the answer (SEC-4).
pub const MIN_INIT_BODY_BYTES: usize = MIN_DATAGRAM_BYTES - PACKET_HEADER_BYTES;
const MAX_BODY_BYTES: usize = MAX_DATAGRAM_BYTES - PACKET_HEADER_BYTES;

/// A stateless cookie: shows that its bearer receives at the address it was made for (SEC-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie {
    /// When it was made, by the clock of the end that made it and in that end's own unit.
    pub stamp: u64,
    /// A keyed hash over the time, the peer's address and the INIT.
    pub mac: [u8; 16],
}

/// The initiator's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitBody<'a> {
    /// The index by which the responder is to address the initiator; not zero.
    pub sender_index: u32,
    /// Names the pre-shared key that the Noise message is under.
    pub psk_id: [u8; PSK_ID_BYTES],
    /// The cookie that the responder asked for.
    pub cookie: Option<Cookie>,
    /// The Noise message.
    pub noise: &'a [u8],
}

/// A responder's demand for the same INIT with this cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieBody {
    /// The cookie.
    pub cookie: Cookie,
}

/// The responder's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseBody<'a> {
    /// The index by which the initiator is to address the responder; not zero.
    pub sender_index: u32,
    /// The Noise message.
    pub noise: &'a [u8],
}

/// The initiator's second message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishBody<'a> {
    /// The Noise message.
    pub noise: &'a [u8],
}

/// The versions that a responder speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionBody<'a> {
    /// The versions.
    pub versions: VersionList<'a>,
}

/// Why a responder will not take an INIT: the body of REFUSED, one byte of reason and three of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusedBody {
    /// The INIT's pre-shared key is not known here.
    UnknownPsk = 1,
    /// There is no room for another session.
    Full = 2,
    /// The two ends share no AEAD.
    NoCommonSuite = 3,
    /// The peer runs another application over this wire.
    WrongApplication = 4,
}

/// The part of INIT that is the same in every version.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInitStart {
    version: U16,
    reserved: U16,
    sender_index: U32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawInit {
    start: RawInitStart,
    psk_id: [u8; PSK_ID_BYTES],
    cookie_len: u8,
    reserved: u8,
    noise_len: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCookie {
    stamp: U64,
    mac: [u8; 16],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawResponse {
    sender_index: U32,
    noise: RawNoiseLen,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawNoiseLen {
    len: U16,
    reserved: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawVersions {
    count: u8,
    reserved: u8,
}

const _: () = assert!(size_of::<RawInit>() == 20);
const _: () = assert!(size_of::<RawCookie>() == COOKIE_BYTES);
const _: () = assert!(size_of::<RawResponse>() == 8);

impl Cookie {
    fn from_raw(raw: &RawCookie) -> Self {
        Self { stamp: raw.stamp.get(), mac: raw.mac }
    }

    fn to_raw(self) -> RawCookie {
        RawCookie { stamp: U64::new(self.stamp), mac: self.mac }
    }
}

impl<'a> InitBody<'a> {
    /// The version of an INIT and the index to answer it by, which stand in one place in every version.
    ///
    /// # Errors
    /// [`Reject::InitTooSmall`], [`Reject::SenderIndexZero`].
    pub fn version_and_sender(body: &[u8]) -> Result<(u16, u32), Reject> {
        if body.len() < MIN_INIT_BODY_BYTES {
            return Err(Reject::InitTooSmall);
        }
        let (start, _) = RawInitStart::ref_from_prefix(body).map_err(|_| Reject::InitTooSmall)?;
        if start.sender_index.get() == 0 {
            return Err(Reject::SenderIndexZero);
        }
        Ok((start.version.get(), start.sender_index.get()))
    }

    /// Reads an INIT of this version.
    ///
    /// # Errors
    /// What [`InitBody::version_and_sender`] says; [`Reject::BadVersion`]; [`Reject::HandshakeReservedNotZero`],
    /// [`Reject::CookieLength`], [`Reject::NoiseTooShort`], [`Reject::HandshakeLength`] and
    /// [`Reject::InitPaddingInvalid`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Reject> {
        let (version, sender_index) = Self::version_and_sender(body)?;
        if version != VERSION {
            return Err(Reject::BadVersion);
        }
        let (raw, rest) = RawInit::ref_from_prefix(body).map_err(|_| Reject::InitTooSmall)?;
        if raw.start.reserved.get() != 0 || raw.reserved != 0 {
            return Err(Reject::HandshakeReservedNotZero);
        }
        let (cookie, rest) = match usize::from(raw.cookie_len) {
            0 => (None, rest),
            COOKIE_BYTES => {
                let (cookie, rest) = RawCookie::ref_from_prefix(rest).map_err(|_| Reject::HandshakeLength)?;
                (Some(Cookie::from_raw(cookie)), rest)
            }
            _ => return Err(Reject::CookieLength),
        };
        let (noise, padding) =
            rest.split_at_checked(usize::from(raw.noise_len.get())).ok_or(Reject::HandshakeLength)?;
        if noise.len() < MIN_NOISE_BYTES {
            return Err(Reject::NoiseTooShort);
        }
        if !all_zero(padding) || (!padding.is_empty() && body.len() > MIN_INIT_BODY_BYTES) {
            return Err(Reject::InitPaddingInvalid);
        }
        Ok(Self { sender_index, psk_id: raw.psk_id, cookie, noise })
    }

    /// Writes the body to the front of `out`, padded to [`MIN_INIT_BODY_BYTES`]; returns its length.
    ///
    /// `None` where it does not fit or [`InitBody::parse`] would refuse it.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        if self.sender_index == 0 {
            return None;
        }
        let cookie_len = if self.cookie.is_some() { COOKIE_BYTES } else { 0 };
        let raw = RawInit {
            start: RawInitStart {
                version: U16::new(VERSION),
                reserved: U16::ZERO,
                sender_index: U32::new(self.sender_index),
            },
            psk_id: self.psk_id,
            cookie_len: u8::try_from(cookie_len).ok()?,
            reserved: 0,
            noise_len: noise_len(self.noise)?,
        };
        let used = size_of::<RawInit>() + cookie_len + self.noise.len();
        let body = body_of_len(out, used.max(MIN_INIT_BODY_BYTES))?;
        let (fixed, rest) = body.split_at_mut_checked(size_of::<RawInit>())?;
        raw.write_to(fixed).ok()?;
        let (cookie_place, rest) = rest.split_at_mut_checked(cookie_len)?;
        if let Some(cookie) = self.cookie {
            cookie.to_raw().write_to(cookie_place).ok()?;
        }
        let (noise_place, padding) = rest.split_at_mut_checked(self.noise.len())?;
        noise_place.copy_from_slice(self.noise);
        padding.fill(0);
        Some(used.max(MIN_INIT_BODY_BYTES))
    }
}

impl CookieBody {
    /// Reads a demand for a cookie.
    ///
    /// # Errors
    /// [`Reject::CookieLength`].
    pub fn parse(body: &[u8]) -> Result<Self, Reject> {
        let raw = RawCookie::ref_from_bytes(body).map_err(|_| Reject::CookieLength)?;
        Ok(Self { cookie: Cookie::from_raw(raw) })
    }

    /// Writes the body to the front of `out`; returns its length, or `None` where it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        self.cookie.to_raw().write_to_prefix(out).ok()?;
        Some(COOKIE_BYTES)
    }
}

impl<'a> ResponseBody<'a> {
    /// Reads a responder's message.
    ///
    /// # Errors
    /// [`Reject::HandshakeLength`], [`Reject::HandshakeReservedNotZero`], [`Reject::SenderIndexZero`] or
    /// [`Reject::NoiseTooShort`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Reject> {
        let (raw, rest) = RawResponse::ref_from_prefix(body).map_err(|_| Reject::HandshakeLength)?;
        let noise = raw.noise.noise(rest)?;
        if raw.sender_index.get() == 0 {
            return Err(Reject::SenderIndexZero);
        }
        Ok(Self { sender_index: raw.sender_index.get(), noise })
    }

    /// Writes the body to the front of `out`; returns its length.
    ///
    /// `None` where it does not fit or [`ResponseBody::parse`] would refuse it.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        if self.sender_index == 0 {
            return None;
        }
        let raw = RawResponse { sender_index: U32::new(self.sender_index), noise: RawNoiseLen::of(self.noise)? };
        write_with_noise(&raw, self.noise, out)
    }
}

impl<'a> FinishBody<'a> {
    /// Reads the initiator's second message.
    ///
    /// # Errors
    /// [`Reject::HandshakeLength`], [`Reject::HandshakeReservedNotZero`] or [`Reject::NoiseTooShort`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Reject> {
        let (raw, rest) = RawNoiseLen::ref_from_prefix(body).map_err(|_| Reject::HandshakeLength)?;
        Ok(Self { noise: raw.noise(rest)? })
    }

    /// Writes the body to the front of `out`; returns its length.
    ///
    /// `None` where it does not fit or [`FinishBody::parse`] would refuse it.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        write_with_noise(&RawNoiseLen::of(self.noise)?, self.noise, out)
    }
}

impl<'a> VersionBody<'a> {
    /// Reads the versions that a responder speaks.
    ///
    /// # Errors
    /// [`Reject::HandshakeLength`], [`Reject::HandshakeReservedNotZero`] or [`Reject::VersionListInvalid`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Reject> {
        let (raw, rest) = RawVersions::ref_from_prefix(body).map_err(|_| Reject::HandshakeLength)?;
        if raw.reserved != 0 {
            return Err(Reject::HandshakeReservedNotZero);
        }
        Ok(Self { versions: VersionList::parse(raw.count, rest, Reject::HandshakeLength)? })
    }

    /// Writes a body that names `list`: 1 to 16 versions, ascending, none zero; returns its length.
    ///
    /// `None` where it does not fit or the list breaks its rules.
    pub fn write(list: impl ExactSizeIterator<Item = u16> + Clone, out: &mut [u8]) -> Option<usize> {
        let count = versions::valid_count(list.clone())?;
        let len = size_of::<RawVersions>() + 2 * usize::from(count);
        let (fixed, rest) = body_of_len(out, len)?.split_at_mut_checked(size_of::<RawVersions>())?;
        RawVersions { count, reserved: 0 }.write_to(fixed).ok()?;
        VersionList::write(list, rest);
        Some(len)
    }
}

impl RefusedBody {
    const ALL: [Self; 4] = [Self::UnknownPsk, Self::Full, Self::NoCommonSuite, Self::WrongApplication];

    /// Reads the body.
    ///
    /// # Errors
    /// [`Reject::RefusalInvalid`].
    pub fn parse(body: &[u8]) -> Result<Self, Reject> {
        match body {
            [number, 0, 0, 0] => Self::ALL.into_iter().find(|reason| *reason as u8 == *number),
            _ => None,
        }
        .ok_or(Reject::RefusalInvalid)
    }

    /// Writes the body; returns its length, or `None` where `out` is too small.
    pub fn write(self, out: &mut [u8]) -> Option<usize> {
        out.get_mut(..4)?.copy_from_slice(&[self as u8, 0, 0, 0]);
        Some(4)
    }
}

impl RawNoiseLen {
    fn of(noise: &[u8]) -> Option<Self> {
        Some(Self { len: noise_len(noise)?, reserved: U16::ZERO })
    }

    /// The Noise message that fills `rest`.
    fn noise<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], Reject> {
        if self.reserved.get() != 0 {
            return Err(Reject::HandshakeReservedNotZero);
        }
        if rest.len() != usize::from(self.len.get()) {
            return Err(Reject::HandshakeLength);
        }
        if rest.len() < MIN_NOISE_BYTES {
            return Err(Reject::NoiseTooShort);
        }
        Ok(rest)
    }
}

/// The length of a Noise message as it goes on the wire; `None` for one too short to be one.
fn noise_len(noise: &[u8]) -> Option<U16> {
    if noise.len() < MIN_NOISE_BYTES {
        return None;
    }
    u16::try_from(noise.len()).ok().map(U16::new)
}

/// The first `len` bytes of `out`, where a datagram can hold that many.
fn body_of_len(out: &mut [u8], len: usize) -> Option<&mut [u8]> {
    if len > MAX_BODY_BYTES {
        return None;
    }
    out.get_mut(..len)
}

fn write_with_noise(raw: &(impl IntoBytes + Immutable), noise: &[u8], out: &mut [u8]) -> Option<usize> {
    let len = size_of_val(raw) + noise.len();
    let (fixed, rest) = body_of_len(out, len)?.split_at_mut_checked(size_of_val(raw))?;
    raw.write_to(fixed).ok()?;
    rest.copy_from_slice(noise);
    Some(len)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
