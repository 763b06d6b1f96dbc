//! Facts that are rows of tables: networks, suffixes of names, headers, certificates.

use super::super::core_cdn::calibration::{ALIAS, CERTIFICATE, HEADER, name_weight, network_weight};
use super::super::core_cdn::facts::{AsnFact, CertificateFact, HeaderFact, NameKind, Provenance, SuffixFact};
use super::super::core_cdn::rows::{self, AsnRow, CertificateRow, HeaderRow, RatioOf, RatioRow, ShareRow, SuffixRow};
use super::super::core_cdn::{CentiNats, name};
use super::{FolderError, Problem, Registry, Texts, first_of_each};

/// What was measured of networks and names.
pub(super) struct Measured<'t> {
    ratios: Vec<RatioRow<'t>>,
    shares: Vec<ShareRow>,
}

impl<'t> Measured<'t> {
    pub(super) fn of(texts: &'t Texts) -> Result<Self, FolderError> {
        let ratios = texts.parsed("likelihoods.tsv", RatioRow::parse)?;
        let shares = texts.parsed("asn_precision.tsv", ShareRow::parse)?;
        Ok(Self {
            ratios: ratios.into_iter().filter_map(|(_, row)| row).collect(),
            shares: shares.into_iter().filter_map(|(_, row)| row).collect(),
        })
    }

    fn of_network(&self, asn: u32) -> (Option<CentiNats>, Option<u32>) {
        let ratio = self.ratios.iter().find(|row| row.of == RatioOf::Asn(asn)).map(|row| row.weight);
        (ratio, self.shares.iter().find(|row| row.asn == asn).map(|row| row.share_ppm))
    }

    fn of_name(&self, suffix: &str) -> Option<CentiNats> {
        let fits = |row: &&RatioRow<'_>| matches!(row.of, RatioOf::Ptr(known) if name::ends_in(suffix, known));
        self.ratios.iter().find(fits).map(|row| row.weight)
    }
}

pub(super) fn asns<'t>(
    texts: &'t Texts,
    registry: &Registry<'t>,
    measured: &Measured<'_>,
) -> Result<Vec<AsnFact<'t>>, FolderError> {
    const FILE: &str = "facts/asns.tsv";
    let rows = texts.parsed(FILE, AsnRow::parse)?;
    let lines = rows.iter().map(|(line, row)| (row.asn, *line));
    first_of_each(lines).map_err(|(line, first)| texts.error(FILE, line, Problem::Duplicate(first)))?;
    let mut facts = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        let (ratio, share) = measured.of_network(row.asn);
        facts.push(AsnFact {
            asn: row.asn,
            provider,
            role: row.role,
            weight: network_weight(row.role, ratio, share),
            provenance: provenance_of_row(texts, FILE, row.source),
        });
    }
    facts.sort_by_key(|fact| fact.asn);
    Ok(facts)
}

fn provenance_of_row<'t>(texts: &'t Texts, file: &str, codes: &'t str) -> Provenance<'t> {
    let text = texts.get(file).unwrap_or_default();
    Provenance { source: rows::source_of_row(text, codes), date: rows::date(text) }
}

pub(super) type Suffixes<'t> = (Vec<SuffixFact<'t>>, Vec<SuffixFact<'t>>);

pub(super) fn suffixes<'t>(
    texts: &'t Texts,
    registry: &Registry<'t>,
    measured: &Measured<'_>,
) -> Result<Suffixes<'t>, FolderError> {
    const FILE: &str = "facts/suffixes.tsv";
    let rows = texts.parsed(FILE, SuffixRow::parse)?;
    let (mut cnames, mut ptrs) = (Vec::new(), Vec::new());
    let named = rows.iter().filter(|(_, row)| !row.is_absence());
    let lines = named.map(|(line, row)| ((row.kind, row.suffix.to_ascii_lowercase()), *line));
    first_of_each(lines).map_err(|(line, first)| texts.error(FILE, line, Problem::Duplicate(first)))?;
    for (line, row) in rows {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        if row.is_absence() {
            continue;
        }
        let ratio = if row.kind == NameKind::Ptr { measured.of_name(row.suffix) } else { None };
        let fact = SuffixFact {
            suffix: row.suffix,
            kind: row.kind,
            provider,
            weight: name_weight(row.kind, row.strength, ratio).min(ALIAS + ALIAS),
            provenance: provenance_of_row(texts, FILE, row.source),
        };
        match row.kind {
            NameKind::Cname => cnames.push(fact),
            NameKind::Ptr => ptrs.push(fact),
        }
    }
    cnames.sort_by(|a, b| name::compare(a.suffix, b.suffix));
    ptrs.sort_by(|a, b| name::compare(a.suffix, b.suffix));
    Ok((cnames, ptrs))
}

pub(super) type Headers<'t> = (Vec<HeaderFact<'t>>, Vec<&'t str>);

pub(super) fn headers<'t>(texts: &'t Texts, registry: &Registry<'t>) -> Result<Headers<'t>, FolderError> {
    const FILE: &str = "facts/headers.tsv";
    let (mut facts, mut leaks) = (Vec::new(), Vec::new());
    for (line, row) in texts.parsed(FILE, HeaderRow::parse)? {
        match row {
            HeaderRow::Leak(names) => leaks.extend(rows::leaks(names)),
            HeaderRow::Edge { provider, header, how, words, strength, source } => facts.push(HeaderFact {
                header,
                how,
                words,
                provider: registry.find(provider).map_err(|problem| texts.error(FILE, line, problem))?,
                weight: strength.of(HEADER),
                provenance: provenance_of_row(texts, FILE, source),
            }),
        }
    }
    Ok((facts, leaks))
}

pub(super) fn certificates<'t>(
    texts: &'t Texts,
    registry: &Registry<'t>,
) -> Result<Vec<CertificateFact<'t>>, FolderError> {
    const FILE: &str = "facts/tls.tsv";
    let mut facts = Vec::new();
    for (line, row) in texts.parsed(FILE, CertificateRow::parse)? {
        let provider = registry.find(row.provider).map_err(|problem| texts.error(FILE, line, problem))?;
        facts.extend(row.patterns().map(|pattern| CertificateFact {
            field: row.field,
            pattern,
            provider,
            weight: row.strength.of(CERTIFICATE),
            provenance: provenance_of_row(texts, FILE, row.source),
        }));
    }
    Ok(facts)
}
