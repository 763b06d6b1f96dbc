//! The autonomous system that announces an address: out of a MaxMind database that the user brings, or, without one, out of the
//! prefixes of providers' networks that are among the facts (CDN-1).

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use wirehaul_core::cdn::prefix::{Address, Prefix, Span};
use wirehaul_core::cdn::{Database, Date};

use super::day::day_of_unix;

/// Bytes of a database at most; GeoLite2-ASN has 10 MB, and the largest with more fields some hundred.
const MOST_BYTES: u64 = 1 << 30;

/// So many records are looked at to find out whether they are about autonomous systems.
const RECORDS_LOOKED_AT: usize = 4_096;

/// Why a database of networks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsnError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than any such file.
    #[error("{} has more than {} MiB: this is no database of networks", path.display(), MOST_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not in MaxMind's format, or a part of it is missing.
    #[error("{} is no MMDB file, or not all of one ({why}); get it again", path.display())]
    NoDatabase {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: MaxMindDbError,
    },
    /// It is one about something else.
    #[error(
        "{} is an MMDB file of the type {kind:?} and has no field autonomous_system_number; give one like GeoLite2-ASN",
        path.display()
    )]
    WrongSchema {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        kind: String,
    },
}

/// A record of the database cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of this address cannot be read; get the database of networks again")]
pub struct BadRecord;

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    autonomous_system_number: Option<u32>,
}

/// Says which autonomous system announces an address.
#[derive(Debug)]
pub struct AsnSource<'d> {
    database: Database<'d>,
    file: Option<MaxMindFile>,
}

#[derive(Debug)]
struct MaxMindFile {
    reader: Reader<Vec<u8>>,
    name: String,
    date: Option<Date>,
}

impl<'d> AsnSource<'d> {
    /// Out of what the facts hold: networks of providers only.
    #[must_use]
    pub const fn of_facts(database: Database<'d>) -> Self {
        Self { database, file: None }
    }

    /// Out of a file with the fields of GeoLite2-ASN.
    ///
    /// # Errors
    /// An error names the file, and says what to do.
    pub fn open(path: &Path, database: Database<'d>) -> Result<Self, AsnError> {
        let no_database = |why| AsnError::NoDatabase { path: path.to_owned(), why };
        let reader = Reader::from_source(read(path)?).map_err(no_database)?;
        if !has_networks(&reader).map_err(no_database)? {
            let kind = reader.metadata().database_type.clone();
            return Err(AsnError::WrongSchema { path: path.to_owned(), kind });
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let date = day_of_unix(reader.metadata().build_epoch);
        Ok(Self { database, file: Some(MaxMindFile { reader, name, date }) })
    }

    /// The facts that go along with it.
    #[must_use]
    pub const fn database(&self) -> Database<'d> {
        self.database
    }

    /// Who says which network announces an address.
    #[must_use]
    pub fn source(&self) -> &str {
        self.file.as_ref().map_or(self.database.announced.source, |file| &file.name)
    }

    /// Of which day that is.
    #[must_use]
    pub fn date(&self) -> Option<Date> {
        self.file.as_ref().map_or(self.database.announced.date, |file| file.date)
    }

    /// The network that announces the address; `None` where nobody knows one.
    #[must_use]
    pub fn asn(&self, ip: IpAddr) -> Option<u32> {
        self.lookup(ip).ok().flatten()
    }

    /// The same, with what is wrong with the record of the address, if anything is.
    ///
    /// # Errors
    /// The file is damaged there.
    pub fn lookup(&self, ip: IpAddr) -> Result<Option<u32>, BadRecord> {
        self.lookup_through(ip, &mut Recent::none())
    }

    /// The same; what was read before is looked for in `recent` first. Records are shared by all prefixes of a network, and
    /// reading one takes longer than finding it.
    ///
    /// # Errors
    /// As for [`Self::lookup`].
    pub fn lookup_through(&self, ip: IpAddr, recent: &mut Recent) -> Result<Option<u32>, BadRecord> {
        let ip = ip.to_canonical();
        let Some(file) = &self.file else { return Ok(self.database.announced_by(ip)) };
        if ip.is_ipv6() && !file.has_ipv6() {
            return Ok(None);
        }
        let found = file.reader.lookup(ip).map_err(|_| BadRecord)?;
        let Some(offset) = found.offset() else { return Ok(None) };
        recent.get(offset, || {
            let record: Option<Record> = found.decode().map_err(|_| BadRecord)?;
            Ok(record.and_then(|record| record.autonomous_system_number).filter(|asn| *asn != 0))
        })
    }

    /// The network that announces the address, and a prefix around the address for all of which this holds.
    ///
    /// # Errors
    /// As for [`Self::lookup`].
    pub fn lookup_with_prefix(&self, ip: IpAddr) -> Result<(Option<u32>, Prefix), BadRecord> {
        let ip = ip.to_canonical();
        let asn = self.lookup(ip)?;
        let prefix = match &self.file {
            Some(file) if ip.is_ipv4() || file.has_ipv6() => {
                let network = file.reader.lookup(ip).and_then(|found| found.network()).map_err(|_| BadRecord)?;
                // Where the file has no IPv4 at all it answers with a prefix of IPv6.
                let whole = if ip.is_ipv4() && network.is_ipv6() { 0 } else { u32::from(network.prefix()) };
                prefix_of(ip, whole)
            }
            Some(_) => prefix_of(ip, 0),
            None => match ip {
                IpAddr::V4(ip) => Prefix::V4(around(self.database.announced_v4.get_with_span(ip.into()).1, ip.into())),
                IpAddr::V6(ip) => Prefix::V6(around(self.database.announced_v6.get_with_span(ip.into()).1, ip.into())),
            },
        };
        Ok((asn, prefix))
    }
}

impl MaxMindFile {
    fn has_ipv6(&self) -> bool {
        self.reader.metadata().ip_version != 4
    }
}

/// The prefix of this length around the address.
fn prefix_of(ip: IpAddr, length: u32) -> Prefix {
    fn span<A: Address>(address: A, length: u32) -> Span<A> {
        let bits = A::BITS.saturating_sub(length);
        Span { first: address.without_low_bits(bits), last: address.with_low_bits(bits) }
    }
    match ip {
        IpAddr::V4(ip) => Prefix::V4(span(u32::from(ip), length)),
        IpAddr::V6(ip) => Prefix::V6(span(u128::from(ip), length)),
    }
}

/// The largest prefix around the address within the span.
fn around<A: Address>(span: Span<A>, address: A) -> Span<A> {
    let (first, length) = span.prefix_around(address);
    Span { first, last: first.with_low_bits(A::BITS - length) }
}

fn read(path: &Path) -> Result<Vec<u8>, AsnError> {
    let failed = |source| AsnError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(AsnError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Whether one of the first records has the number of a network.
fn has_networks(reader: &Reader<Vec<u8>>) -> Result<bool, MaxMindDbError> {
    for found in reader.networks(maxminddb::WithinOptions::default())?.take(RECORDS_LOOKED_AT) {
        // Records of another schema may not even be maps.
        if let Ok(Some(Record { autonomous_system_number: Some(_) })) = found?.decode() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records that were read not long ago, by their places in the file: for one thread, and one file.
#[derive(Debug)]
pub struct Recent {
    slots: Vec<(u32, Option<u32>)>,
}

/// No record is at the last place, since the description of the file is behind all of them.
const NO_RECORD: u32 = u32::MAX;

impl Recent {
    /// 2^14 of them, in 192 KiB: there are some 80,000 networks, of which few have most of the addresses.
    const SLOTS_BITS: u32 = 14;

    /// With room for some thousands.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: vec![(NO_RECORD, None); 1 << Self::SLOTS_BITS] }
    }

    const fn none() -> Self {
        Self { slots: Vec::new() }
    }

    fn get(
        &mut self,
        offset: usize,
        read: impl FnOnce() -> Result<Option<u32>, BadRecord>,
    ) -> Result<Option<u32>, BadRecord> {
        // MOST_BYTES fit.
        let offset = offset as u32;
        // Offsets are multiples of nothing in particular: the golden ratio spreads them.
        let slot = (offset.wrapping_mul(0x9e37_79b9) >> (u32::BITS - Self::SLOTS_BITS)) as usize;
        match self.slots.get_mut(slot) {
            Some((known, asn)) if *known == offset => Ok(*asn),
            Some(slot) => {
                let asn = read()?;
                *slot = (offset, asn);
                Ok(asn)
            }
            None => read(),
        }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::cdn_data::EMBEDDED;

    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/GeoLite2-ASN-Test.mmdb")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    /// CDN-1: any MMDB with the fields of GeoLite2-ASN.
    #[test]
    fn networks_of_a_file() {
        let source = AsnSource::open(&fixture(), EMBEDDED).unwrap();
        let mut recent = Recent::new();
        for (address, expected) in [
            ("1.128.0.1", Some(1221)),
            ("::ffff:1.128.0.1", Some(1221)),
            ("12.81.92.1", Some(7018)),
            ("2600:6000::1", Some(237)),
            ("192.0.2.1", None),
        ] {
            assert_eq!(source.asn(ip(address)), expected, "{address}");
            assert_eq!(source.lookup_through(ip(address), &mut recent), Ok(expected), "{address}");
            assert_eq!(source.lookup_through(ip(address), &mut recent), Ok(expected), "{address}, again");
        }
        assert_eq!(source.source(), "GeoLite2-ASN-Test.mmdb");
        assert!(source.date().is_some());
        let (asn, prefix) = source.lookup_with_prefix(ip("1.128.0.1")).unwrap();
        assert_eq!((asn, prefix.to_string().as_str()), (Some(1221), "1.128.0.0/11"));
    }

    #[test]
    fn networks_of_the_facts() {
        let source = AsnSource::of_facts(EMBEDDED);
        assert_eq!(source.asn(ip("104.16.0.1")), Some(13335));
        assert_eq!(source.asn(ip("2606:4700::1111")), Some(13335));
        assert_eq!(source.asn(ip("192.0.2.1")), None);
        assert!(source.source().contains("@ip-location-db/asn") && source.date().is_some());
        let (asn, prefix) = source.lookup_with_prefix(ip("104.16.0.1")).unwrap();
        let Prefix::V4(span) = prefix else { panic!("{prefix}") };
        assert!(asn == Some(13335) && span.contains(0x6810_0001));
        assert_eq!(source.asn(span.first.ip()), source.asn(span.last.ip()));
    }

    /// What bad input gets: the file's name, and what to do.
    #[test]
    fn files_that_are_none_are_refused() {
        let whole = std::fs::read(fixture()).unwrap();
        let refusal = |bytes: &[u8]| {
            let file = file_of(bytes);
            let error = AsnSource::open(file.path(), EMBEDDED).unwrap_err();
            assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
            error
        };
        for end in [0, 1, 100, whole.len() / 2, whole.len() - 200, whole.len() - 1] {
            let error = refusal(&whole[..end]);
            assert!(
                matches!(error, AsnError::NoDatabase { .. }) && error.to_string().contains("get it again"),
                "{end}"
            );
        }
        // The same length of every name, so that the file stays whole.
        let other = String::from_utf8_lossy(b"autonomous_system_number").replace("number", "colour");
        let mut changed = whole.clone();
        let at = whole.windows(24).position(|window| window == b"autonomous_system_number").unwrap();
        changed[at..at + 24].copy_from_slice(other.as_bytes());
        let error = refusal(&changed);
        assert!(matches!(error, AsnError::WrongSchema { .. }), "{error}");
        assert!(error.to_string().contains("GeoLite2-ASN"), "{error}");
        let missing = AsnSource::open(Path::new("no such file"), EMBEDDED).unwrap_err();
        assert!(matches!(missing, AsnError::Read { .. }));
    }

    /// What bad input gets: never a panic.
    #[test]
    fn damage_is_an_error_or_another_answer() {
        let whole = std::fs::read(fixture()).unwrap();
        let addresses = ["1.128.0.1", "12.81.92.1", "2600:6000::1", "255.255.255.255", "::1"].map(ip);
        for at in (0..whole.len()).step_by(7) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let Ok(reader) = Reader::from_source(damaged) else { continue };
                let file = MaxMindFile { reader, name: String::new(), date: None };
                let source = AsnSource { database: EMBEDDED, file: Some(file) };
                for address in addresses {
                    let _ = (source.lookup(address), source.lookup_with_prefix(address));
                }
            }
        }
    }
}
