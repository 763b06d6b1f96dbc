//! Makes the tables of CDNs out of `data/cdn`: arrays in Rust, so that the program has nothing to read or build when it starts.

use std::error::Error;
use std::fmt::{Debug, Display, Write as _};
use std::path::{Path, PathBuf};

#[allow(dead_code, unused_imports, reason = "the build needs a part of it")]
#[path = "../src/cdn/mod.rs"]
mod core_cdn;
#[allow(dead_code, reason = "the build needs a part of it")]
#[path = "folder/mod.rs"]
mod folder;

use core_cdn::facts::{Holds, NameKind, Provenance, ProviderId, SuffixFact};
use core_cdn::prefix::Address;
use core_cdn::{CentiNats, Date};
use folder::{FACT_FILES, LIST_FOLDERS, Segments, Tables, Texts};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/cdn");
    let data = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("data/cdn");
    for name in LIST_FOLDERS.into_iter().chain(FACT_FILES) {
        println!("cargo::rerun-if-changed=data/cdn/{name}");
    }
    let texts = Texts::read(&data)?;
    let tables = Tables::build(&texts)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("cdn_tables.rs"), source_of(&tables)?)?;
    std::fs::write(out.join("cdn_texts.rs"), source_of_texts(&texts, &data)?)?;
    Ok(())
}

/// The constant `EMBEDDED`, as Rust.
fn source_of(tables: &Tables<'_>) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let segments = [
        segments(&mut out, "V4", ["u32", "()", "u16"], &tables.v4)?,
        segments(&mut out, "V6", ["u64", "u64", "u16"], &tables.v6)?,
        segments(&mut out, "ANNOUNCED_V4", ["u32", "()", "u32"], &tables.announced_v4)?,
        segments(&mut out, "ANNOUNCED_V6", ["u64", "u64", "u32"], &tables.announced_v6)?,
    ];
    let [v4, v6, announced_v4, announced_v6] = segments;
    writeln!(
        out,
        "/// The facts that the program was built with.\npub static EMBEDDED: Database<'static> = Database {{"
    )?;
    list(&mut out, "providers", &tables.providers, |p| {
        format!("Provider {{ key: {:?}, name: {:?}, kind: Kind::{:?} }}", p.key, p.name, p.kind)
    })?;
    list(&mut out, "lists", &tables.lists, |list| {
        let holds = match list.holds {
            Holds::Edges { provider, is_published } => {
                format!("Holds::Edges {{ provider: {}, is_published: {is_published} }}", id(provider))
            }
            Holds::NoEdges { against } => {
                format!("Holds::NoEdges {{ against: ProviderSet::of_bits({}) }}", against.bits())
            }
        };
        format!("List {{ key: {:?}, holds: {holds}, provenance: {} }}", list.key, provenance(list.provenance))
    })?;
    writeln!(out, "v4: {v4}, v6: {v6}, announced_v4: {announced_v4}, announced_v6: {announced_v6},")?;
    writeln!(out, "announced: {},", provenance(tables.announced))?;
    list(&mut out, "asns", &tables.asns, |fact| {
        let (asn, role, rest) = (fact.asn, fact.role, rest(fact.provider, fact.weight, fact.provenance));
        format!("AsnFact {{ asn: {asn}, role: Role::{role:?}, {rest} }}")
    })?;
    list(&mut out, "cnames", &tables.cnames, suffix)?;
    list(&mut out, "ptrs", &tables.ptrs, suffix)?;
    list(&mut out, "headers", &tables.headers, |fact| {
        let (header, how, words) = (fact.header, fact.how, fact.words);
        let rest = rest(fact.provider, fact.weight, fact.provenance);
        format!("HeaderFact {{ header: {header:?}, how: Match::{how:?}, words: {words:?}, {rest} }}")
    })?;
    list(&mut out, "certificates", &tables.certificates, |fact| {
        let rest = rest(fact.provider, fact.weight, fact.provenance);
        format!("CertificateFact {{ field: CertificateField::{:?}, pattern: {:?}, {rest} }}", fact.field, fact.pattern)
    })?;
    list(&mut out, "leaks", &tables.leaks, |leak| format!("{leak:?}"))?;
    writeln!(out, "}};")?;
    Ok(out)
}

/// Statics for a table, and the expression that makes it of them. `types`: of high halves, low halves and values.
fn segments<A: Address, V: Debug>(
    out: &mut String,
    name: &str,
    types: [&str; 3],
    segments: &Segments<A, V>,
) -> Result<String, std::fmt::Error> {
    let Segments { highs, lows, values, index } = segments;
    let [high, low, value] = types;
    writeln!(out, "static {name}_HIGHS: [{high}; {}] = {highs:?};", highs.len())?;
    writeln!(out, "static {name}_LOWS: [{low}; {}] = {lows:?};", lows.len())?;
    writeln!(out, "static {name}_VALUES: [{value}; {}] = {values:?};", values.len())?;
    writeln!(out, "static {name}_INDEX: [u32; {}] = {index:?};", index.len())?;
    Ok(format!("Table::trusted(&{name}_HIGHS, &{name}_LOWS, &{name}_VALUES, &{name}_INDEX)"))
}

fn list<T>(out: &mut String, field: &str, items: &[T], source: impl Fn(&T) -> String) -> std::fmt::Result {
    writeln!(out, "{field}: &[")?;
    items.iter().try_for_each(|item| writeln!(out, "{},", source(item)))?;
    writeln!(out, "],")
}

fn suffix(fact: &SuffixFact<'_>) -> String {
    let kind = match fact.kind {
        NameKind::Cname => "Cname",
        NameKind::Ptr => "Ptr",
    };
    let rest = rest(fact.provider, fact.weight, fact.provenance);
    format!("SuffixFact {{ suffix: {:?}, kind: NameKind::{kind}, {rest} }}", fact.suffix)
}

fn rest(provider: ProviderId, weight: CentiNats, from: Provenance<'_>) -> String {
    format!("provider: {}, weight: CentiNats({}), provenance: {}", id(provider), weight.0, provenance(from))
}

fn id(provider: ProviderId) -> impl Display {
    format!("ProviderId::trusted({})", provider.place())
}

fn provenance(from: Provenance<'_>) -> String {
    let date = match from.date.map(Date::parts) {
        Some((year, month, day)) => format!("Some(Date::new({year}, {month}, {day}))"),
        None => "None".to_owned(),
    };
    format!("Provenance {{ source: {:?}, date: {date} }}", from.source)
}

/// The constant `FILES`: the texts themselves, for whoever makes a folder of them.
fn source_of_texts(texts: &Texts, data: &Path) -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "/// The texts of those facts, by their names in a folder.\npub static FILES: &[(&str, &str)] = &[\n",
    );
    for (name, _) in texts.iter() {
        writeln!(out, "({name:?}, include_str!({:?})),", data.join(name).display().to_string())?;
    }
    out.push_str("];\n");
    Ok(out)
}
