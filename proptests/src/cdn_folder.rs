//! A small folder of facts about CDNs, of which one file is what an input says.

use std::net::IpAddr;
use std::path::Path;

use wirehaul::cdn::folder::{Tables, Texts};
use wirehaul_core::cdn::facts::{CertificateField, NameKind};
use wirehaul_core::cdn_data::FILES;

/// Which of the files that are compiled in are in it.
const NAMES: [&str; 12] = [
    "facts/providers.tsv",
    "facts/anti.tsv",
    "facts/asns.tsv",
    "facts/suffixes.tsv",
    "facts/headers.tsv",
    "facts/tls.tsv",
    "asn_precision.tsv",
    "likelihoods.tsv",
    "ranges/akamai.txt",
    "ranges/fastly.txt",
    "ranges-neg/azure_noncdn.txt",
    "ranges-asn/54113.txt",
];

/// Lines of a list that are enough.
const LINES: usize = 12;

/// The files of a folder that is good: names and texts.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    let text_of = |name: &str| FILES.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    let lines = |name: &str| if name.starts_with("ranges") { LINES } else { usize::MAX };
    let text = |name: &str| text_of(name).lines().take(lines(name)).collect::<Vec<_>>().join("\n");
    NAMES.iter().map(|name| ((*name).to_owned(), text(name))).collect()
}

/// Makes tables of the folder, with the file that the first byte names replaced by the rest; says whether there are any, and asks them
/// about what the rest holds.
///
/// # Panics
/// Where an answer contradicts the tables.
#[must_use]
pub fn ask(bytes: &[u8]) -> bool {
    let Some((which, text)) = bytes.split_first() else { return false };
    let mut files = files();
    let place = usize::from(*which) % files.len();
    let text = String::from_utf8_lossy(text).into_owned();
    files[place].1.clone_from(&text);
    let texts = Texts::of(Path::new("folder"), files);
    let Ok(tables) = Tables::build(&texts) else { return false };
    let view = tables.view();
    for (span, bits) in view.v4.iter() {
        assert_eq!((view.v4.get(span.first), view.v4.get(span.last)), (bits, bits));
    }
    for (span, bits) in view.v6.iter() {
        assert_eq!((view.v6.get(span.first), view.v6.get(span.last)), (bits, bits));
    }
    for word in text.split(|c: char| c.is_whitespace() || c == '/').take(50) {
        if let Ok(ip) = word.parse::<IpAddr>() {
            let network = view.network(ip);
            assert_eq!(network.mark, view.mark(ip));
        }
        let _ = (view.suffix(NameKind::Cname, word), view.suffix(NameKind::Ptr, word));
        let _ = view.certificate(CertificateField::AlternativeName, word);
        let _ = view.header(word, text.as_bytes()).count();
    }
    true
}

/// Good inputs, one for each file.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let seed = |(place, (name, text)): (usize, (String, String))| {
        // Whole lines, and not too many: the other files have to go with them.
        let is_registry = name == "facts/providers.tsv";
        let kept: Vec<_> = text.lines().take(if is_registry { usize::MAX } else { LINES }).collect();
        let file_name = name.replace(['/', '.'], "-");
        (file_name, [&[place as u8], kept.join("\n").as_bytes()].concat())
    };
    files().into_iter().enumerate().map(seed).collect()
}
