//! Lists of wire versions, as in the VERSION packet and in CONTROL VERSION_NEGOTIATION.

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

use super::Reject;
use crate::limits::MAX_VERSIONS;

/// The wire versions that one end speaks: 1 to 16 of them, ascending, none zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionList<'a>(&'a [U16]);

impl<'a> VersionList<'a> {
    /// Reads `count` versions that fill `bytes`; `length` is the reason given where they do not.
    pub(super) fn parse(count: u8, bytes: &'a [u8], length: Reject) -> Result<Self, Reject> {
        let versions = <[U16]>::ref_from_bytes_with_elems(bytes, usize::from(count)).map_err(|_| length)?;
        if is_valid(versions.iter().map(|version| version.get())) {
            Ok(Self(versions))
        } else {
            Err(Reject::VersionListInvalid)
        }
    }

    /// Writes `versions` to `out`, which must be two bytes long for each.
    pub(super) fn write(versions: impl Iterator<Item = u16>, out: &mut [u8]) {
        for (version, place) in versions.zip(out.chunks_exact_mut(2)) {
            place.copy_from_slice(U16::new(version).as_bytes());
        }
    }

    /// The versions, ascending.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u16> + Clone + use<'a> {
        self.0.iter().map(|version| version.get())
    }

    /// Whether `version` is in the list.
    #[must_use]
    pub fn contains(self, version: u16) -> bool {
        self.iter().any(|listed| listed == version)
    }
}

/// How many versions these are, as the lists' count byte; `None` where they break the rules of a list.
pub(super) fn valid_count(versions: impl ExactSizeIterator<Item = u16> + Clone) -> Option<u8> {
    let count = u8::try_from(versions.len()).ok()?;
    is_valid(versions).then_some(count)
}

fn is_valid(versions: impl ExactSizeIterator<Item = u16>) -> bool {
    // A version above its predecessor, with 0 before the first, is also above zero.
    (1..=MAX_VERSIONS).contains(&versions.len())
        && versions.scan(0, |last, version| Some(version > core::mem::replace(last, version))).all(|above| above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_ascending_and_bounded() {
        let parse = |bytes: &'static [u8]| {
            VersionList::parse((bytes.len() / 2) as u8, bytes, Reject::ControlLength).map(|list| list.iter().last())
        };
        assert_eq!(parse(&[0, 1]), Ok(Some(1)));
        assert_eq!(parse(&[0, 1, 1, 0]), Ok(Some(256)));
        assert_eq!(parse(&[]), Err(Reject::VersionListInvalid));
        assert_eq!(parse(&[0, 0]), Err(Reject::VersionListInvalid));
        assert_eq!(parse(&[0, 2, 0, 2]), Err(Reject::VersionListInvalid));
        assert_eq!(parse(&[0, 2, 0, 1]), Err(Reject::VersionListInvalid));
        assert_eq!(parse(&[0, 1, 0]), Err(Reject::ControlLength));
        assert_eq!(valid_count(1..=16), Some(16));
        assert_eq!(valid_count(1..=17), None);
    }

    #[test]
    fn a_list_tells_what_it_holds() {
        let list = VersionList::parse(2, &[0, 1, 0, 3], Reject::ControlLength);
        assert_eq!(list.map(|list| (list.contains(1), list.contains(2), list.contains(3))), Ok((true, false, true)));
    }
}
