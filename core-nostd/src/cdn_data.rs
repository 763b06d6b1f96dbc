//! The facts about CDNs that are compiled in, made from `data/cdn` when the crate is built.

use crate::cdn::facts::{
    AsnFact, CertificateFact, CertificateField, HeaderFact, Holds, NameKind, ProviderSet, Role, SuffixFact,
};
use crate::cdn::pattern::Match;
use crate::cdn::table::Table;
use crate::cdn::{CentiNats, Database, Date, Kind, List, Provenance, Provider, ProviderId};

include!(concat!(env!("OUT_DIR"), "/cdn_tables.rs"));
include!(concat!(env!("OUT_DIR"), "/cdn_texts.rs"));
