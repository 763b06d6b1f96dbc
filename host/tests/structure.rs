//! The rules of the house (docs/architecture.md), held against the source: which way imports point, where `unsafe` may
//! stand, how long a file may be, and that the documents say what the code does.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wirehaul::cli::exit::EXIT_CODES;
use wirehaul_core::wire::Reject;
use wirehaul_core::wire::net::NetReject;

#[path = "structure/tokens.rs"]
mod tokens;

use tokens::{Token, crate_paths, is_float, tokens, without_tests};

/// A module, and the modules of its own crate that it may import.
type Rules = &'static [(&'static str, &'static [&'static str])];

/// The core: the wire knows no session, the controllers and the pacer know no wire, the worker knows all.
const CORE_RULES: Rules = &[
    ("time", &[]),
    ("limits", &[]),
    ("ranges", &[]),
    ("cdn", &[]),
    ("cdn_data", &["cdn"]),
    ("crypto", &[]),
    ("disk", &[]),
    ("filter", &[]),
    ("numa", &[]),
    ("pool", &[]),
    ("sources", &[]),
    ("rate", &["time"]),
    ("device", &["time"]),
    ("scan", &["cdn", "numa", "pacer", "rate", "time", "wire"]),
    ("hops", &["time"]),
    ("pacer", &["rate", "time"]),
    ("hystart", &["congestion", "time"]),
    ("cubic", &["congestion", "hystart", "rate", "time"]),
    ("bbr", &["congestion", "pacer", "rate", "time"]),
    ("congestion", &["bbr", "cubic", "rate", "time"]),
    ("wire", &["crypto", "limits"]),
    ("session", &["congestion", "crypto", "device", "limits", "pacer", "ranges", "rate", "time", "wire"]),
    ("xsk", &["device", "hops", "pool", "sources", "wire"]),
    ("worker", &["crypto", "device", "limits", "session", "time", "wire"]),
];

/// All that the wire may take from `crypto`: names and sizes of what travels, nothing that computes.
const CRYPTO_ON_THE_WIRE: &[&str] = &["PSK_ID_BYTES", "PUBLIC_KEY_BYTES", "Suite", "SuiteSet"];

/// The host: sockets, files and keys know nothing of transfers, and nothing knows the command line.
const HOST_RULES: Rules = &[
    ("cdn", &["clock", "events"]),
    ("clock", &[]),
    ("config", &["crypto", "file_io", "interface", "transport", "units"]),
    ("crypto", &[]),
    ("daemon", &["clock", "events", "notes", "units"]),
    ("events", &[]),
    ("interface", &["kernel_files", "netlink"]),
    ("io", &[]),
    ("kernel_files", &[]),
    ("memory", &[]),
    ("metrics", &["clock", "events"]),
    ("neighbours", &["netlink"]),
    ("netlink", &[]),
    ("notes", &["clock", "events"]),
    ("numa", &["interface", "kernel_files"]),
    ("packet", &[]),
    ("pools", &[]),
    ("privileges", &[]),
    (
        "scan",
        &[
            "cdn",
            "clock",
            "drive",
            "events",
            "interface",
            "kernel_files",
            "netlink",
            "numa",
            "packet",
            "transport",
            "xdp",
        ],
    ),
    ("device", &["events"]),
    ("udp", &["clock", "device", "events", "netlink", "pools"]),
    ("units", &[]),
    ("uring", &["clock", "io", "numa", "pools"]),
    ("file_io", &["io", "pools", "uring"]),
    ("xdp", &["device", "events", "interface", "neighbours", "numa", "udp"]),
    ("transport", &["device", "events", "interface", "netlink", "udp", "xdp"]),
    ("doctor", &["interface", "kernel_files", "netlink", "numa", "xdp"]),
    ("handover", &["device", "events", "io", "pools"]),
    ("drive", &["clock", "crypto", "device", "events"]),
    ("tui", &["clock", "events", "notes", "units"]),
    ("transfer", &["crypto", "drive", "events", "io", "memory", "pools", "udp", "units"]),
    (
        "cli",
        &[
            "cdn",
            "clock",
            "config",
            "crypto",
            "daemon",
            "doctor",
            "drive",
            "events",
            "file_io",
            "handover",
            "interface",
            "io",
            "memory",
            "metrics",
            "notes",
            "numa",
            "pools",
            "privileges",
            "scan",
            "transfer",
            "transport",
            "tui",
            "udp",
            "units",
            "xdp",
        ],
    ),
];

/// What the core may depend on at all.
const CORE_DEPENDENCIES: &[&str] = &["bitflags", "heapless", "zerocopy"];

/// Where `unsafe` may stand.
const UNSAFE_PLACES: &[&str] =
    &["core-nostd/src/pool", "host/src/numa", "host/src/packet", "host/src/uring", "host/src/xdp"];

const MAX_FILE_LINES: usize = 700;

// --- which way imports point ---

#[test]
fn modules_of_the_core_import_only_what_they_may() {
    assert_eq!(violations("core-nostd/src", CORE_RULES), [""; 0]);
}

#[test]
fn modules_of_the_host_import_only_what_they_may() {
    assert_eq!(violations("host/src", HOST_RULES), [""; 0]);
}

#[test]
fn the_wire_takes_no_more_of_crypto_than_what_travels() {
    let mut taken = BTreeSet::new();
    for file in modules("core-nostd/src").into_iter().filter(|file| file.module.first().is_some_and(|m| m == "wire")) {
        taken.extend(file.paths().into_iter().filter(|path| path[0] == "crypto").map(|path| path[1..].join("::")));
    }
    let allowed: BTreeSet<_> = CRYPTO_ON_THE_WIRE.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(taken, allowed);
}

#[test]
fn crates_depend_on_each_other_as_the_house_says() {
    let dependencies = dependencies();
    let ours = |name: &str| -> Vec<&str> {
        dependencies[name].iter().map(String::as_str).filter(|other| dependencies.contains_key(*other)).collect()
    };
    assert_eq!(dependencies["wirehaul-core"].iter().map(String::as_str).collect::<Vec<_>>(), CORE_DEPENDENCIES);
    assert_eq!(ours("wirehaul"), ["wirehaul-core"]);
    assert_eq!(ours("wirehaul-sim"), ["wirehaul-core"]);
}

/// A module of a crate with its tokens, those for tests left out.
struct Module {
    file: String,
    module: Vec<String>,
    tokens: Vec<Token>,
}

impl Module {
    /// Paths from the root of the crate; none is empty.
    fn paths(&self) -> Vec<Vec<String>> {
        crate_paths(&self.tokens, &self.module).into_iter().filter(|path| !path.is_empty()).collect()
    }
}

/// The modules of the crate whose sources lie in `folder`, its roots and its tests left out.
fn modules(folder: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for file in rust_files().into_iter().filter(|file| file.starts_with(&format!("{folder}/"))) {
        let path = file[folder.len() + 1..].trim_end_matches(".rs");
        let module: Vec<_> = path.split('/').filter(|part| *part != "mod").map(str::to_owned).collect();
        let is_root = matches!(path, "lib" | "main");
        if is_root || path.ends_with("tests") {
            continue;
        }
        let tokens = without_tests(&tokens(&read(&file)));
        found.push(Module { file, module, tokens });
    }
    assert!(found.len() > 5, "{folder} holds {} modules: the scan has lost its way", found.len());
    found
}

/// Every import in `folder` that `rules` do not allow; and every module without a rule, and every rule without a module.
fn violations(folder: &str, rules: Rules) -> Vec<String> {
    let rules: BTreeMap<_, _> = rules.iter().copied().collect();
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for file in modules(folder) {
        let own = &file.module[0];
        seen.insert(own.clone());
        let Some(allowed) = rules.get(own.as_str()) else {
            found.insert(format!("{own} has no rule: say in this test what it may import"));
            continue;
        };
        for path in file.paths().into_iter().filter(|path| path[0] != *own) {
            if !allowed.contains(&path[0].as_str()) {
                found.insert(format!("{} imports crate::{}", file.file, path.join("::")));
            }
        }
    }
    found.extend(rules.keys().filter(|module| !seen.contains(**module)).map(|module| format!("{module} is gone")));
    found.into_iter().collect()
}

/// What each crate of the workspace depends on, for building, tests and use alike, sorted.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|p| (name(p), p["dependencies"].as_array().unwrap().iter().map(name).collect())).collect()
}

// --- what may stand where ---

#[test]
fn unsafe_stands_only_where_it_may() {
    let allowed = |file: &str| UNSAFE_PLACES.iter().any(|place| file.starts_with(place));
    let found: Vec<_> = rust_files()
        .into_iter()
        .filter(|file| !allowed(file) && tokens(&read(file)).iter().any(|token| token.is_word("unsafe")))
        .collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_core_has_no_floats_and_does_not_allocate() {
    let banned = |token: &Token| match token {
        Token::Word(word) => matches!(word.as_str(), "f32" | "f64" | "extern"),
        Token::Number(number) => is_float(number),
        _ => false,
    };
    // Tests may allocate: their harness does, too.
    let is_code = |file: &String| file.starts_with("core-nostd/src/") && !file.ends_with("tests.rs");
    let files = rust_files().into_iter().filter(is_code);
    let found: Vec<_> = files.filter(|file| without_tests(&tokens(&read(file))).iter().any(banned)).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn no_file_is_too_long() {
    let lines = |file: &String| read(file).lines().count();
    let found: Vec<_> = rust_files().into_iter().filter(|file| lines(file) > MAX_FILE_LINES).collect();
    assert_eq!(found, [""; 0]);
}

/// Neither the directories of the machine that somebody works on, nor the hosts that packages come from: both differ
/// from place to place.
#[test]
fn no_file_names_a_registry_or_a_place_on_one_machine() {
    // In pieces, so that this file passes its own test.
    let machine = [["/wo", "rk/"], ["/tm", "p/h-"], ["/ro", "ot/"], ["/ho", "me/"]];
    let hosts = [["crates", "io"], ["pypi", "org"], ["pythonhosted", "org"], ["npmjs", "org"], ["debian", "org"]];
    let banned: Vec<_> =
        machine.iter().map(|halves| halves.concat()).chain(hosts.iter().map(|parts| parts.join("."))).collect();
    let mut found = Vec::new();
    for file in text_files().into_iter().filter(|file| !file.ends_with("Cargo.lock")) {
        let text = read(&file);
        let bad = banned.iter().filter(|banned| text.contains(banned.as_str()));
        found.extend(bad.map(|banned| format!("{file}: {banned}")));
    }
    assert_eq!(found, [""; 0]);
    for file in text_files().into_iter().filter(|file| file.ends_with("Cargo.lock")) {
        let text = read(&file);
        let mut sources = text.lines().filter_map(|line| line.strip_prefix("source = "));
        let stranger = sources.find(|source| !source.starts_with("\"registry+https://github.com/rust-lang/"));
        assert_eq!(stranger, None, "{file}: not the public index");
    }
}

// --- what the documents say ---

/// FRAME-3: every rule is one line in one table, with the place that checks it.
#[test]
fn the_table_of_rules_is_the_code_s() {
    let page = read("docs/rejects.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let names: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(names, Reject::ALL.map(Reject::name), "one row per rule, in the order of Reject::ALL");
    let sources = modules("core-nostd/src");
    for (reject, row) in Reject::ALL.into_iter().zip(&rows) {
        assert_eq!(row[1], reject.rule(), "{}", reject.name());
        let variant = format!("{reject:?}");
        let mentions = |module: &&Module| {
            let on_type = |pair: &[Token]| pair[0].is_word("Reject") && pair[2].is_word(&variant);
            module.module != ["wire", "reject"] && module.tokens.windows(3).any(on_type)
        };
        let places: BTreeSet<_> =
            sources.iter().filter(mentions).map(|m| m.file["core-nostd/src/".len()..].to_owned()).collect();
        let told: BTreeSet<_> = row[2].split('`').filter(|part| part.ends_with(".rs")).map(str::to_owned).collect();
        assert!(told.is_subset(&places), "{}: says {told:?}, and it is in {places:?}", reject.name());
        assert_eq!(told.is_empty(), places.is_empty(), "{}: is it checked or not? {places:?}", reject.name());
    }
}

/// FRAME-3, for what comes from a network card.
#[test]
fn the_table_of_rules_for_frames_is_the_code_s() {
    let page = read("docs/rejects.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with('`') && line.contains("` | ")).collect();
    assert_eq!(rows, NetReject::ALL.map(|reject| format!("`{}` | {}", reject.name(), reject.rule())));
}

#[test]
fn the_readme_has_the_exit_codes_of_the_program() {
    let readme = read("README.md");
    let rows: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .map(|(code, meaning)| format!("{code}  {meaning}"))
        .collect();
    let codes: Vec<_> = EXIT_CODES.lines().skip(1).map(str::trim).collect();
    assert_eq!(rows, codes);
}

#[test]
fn the_book_has_every_page_and_no_link_leads_nowhere() {
    let contents = read("docs/SUMMARY.md");
    let pages: Vec<_> = text_files().into_iter().filter(|file| file.ends_with(".md")).collect();
    let mut found = Vec::new();
    for page in pages.iter().filter_map(|page| page.strip_prefix("docs/")).filter(|page| *page != "SUMMARY.md") {
        if !contents.contains(&format!("]({page})")) {
            found.push(format!("docs/SUMMARY.md leaves out {page}"));
        }
    }
    for page in &pages {
        let folder = Path::new(page).parent().unwrap().to_owned();
        let text = read(page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") && !root().join(&folder).join(target).exists() {
                found.push(format!("{page} links to {link}"));
            }
        }
        for place in text.split('`').filter(|word| is_place_in_source(word)) {
            if !root().join(place).exists() {
                found.push(format!("{page} speaks of {place}"));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_map_has_every_room() {
    let page = read("docs/architecture.md");
    for folder in ["core-nostd/src", "host/src", "sim/src"] {
        let head = format!("| Rooms of `{folder}` |");
        let rows =
            page.lines().skip_while(|line| !line.starts_with(&head)).skip(2).take_while(|line| line.starts_with('|'));
        let told: BTreeSet<_> =
            rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
        let modules = modules(folder);
        let rooms: BTreeSet<_> = modules.iter().map(|module| module.module[0].as_str()).collect();
        assert_eq!(told, rooms, "{folder}");
    }
}

fn is_place_in_source(word: &str) -> bool {
    let begins = ["core-nostd/src/", "host/src/", "sim/src/"].iter().any(|folder| word.starts_with(folder));
    begins && !UNSAFE_PLACES.contains(&word.trim_end_matches('/')) && !word.contains(['*', '{', ' '])
}

// --- the files of the project ---

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rust_files() -> Vec<String> {
    let files: Vec<_> = text_files().into_iter().filter(|file| file.ends_with(".rs")).collect();
    assert!(files.len() > 100, "{} files: the scan has lost its way", files.len());
    files
}

/// All files that are text, by their path from the root, sorted; what is built or measured is left out.
fn text_files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                let generated = ["target", "corpus", "corpora", "bench-results", "book", ".git"];
                if !generated.iter().any(|generated| name == *generated) {
                    folders.push(path);
                }
            } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8(bytes).is_ok()) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

// --- the scanner itself: a rule that it cannot see broken is no rule ---

fn paths_in(source: &str, module: &[&str]) -> Vec<String> {
    let module: Vec<_> = module.iter().map(|part| (*part).to_owned()).collect();
    crate_paths(&without_tests(&tokens(source)), &module).iter().map(|path| path.join("::")).collect()
}

#[test]
fn the_scanner_sees_every_way_to_write_an_import() {
    let list = "use crate::{time::{Duration, Instant as T}, wire, session::*, cubic::Cubic};";
    assert_eq!(paths_in(list, &["pacer"]), ["time::Duration", "time::Instant", "wire", "session", "cubic::Cubic"]);
    assert_eq!(
        paths_in("use super::{super::session::Session, ack};", &["wire", "frame"]),
        ["session::Session", "wire::ack"]
    );
    assert_eq!(
        paths_in("fn f() -> crate::session::Stats { self::g(super::h) }", &["a", "b"]),
        ["session::Stats", "a::b::g", "a::h"]
    );
    assert_eq!(paths_in("pub(in crate::transfer) x: u8, pub(super) y: u8", &["transfer", "job"]), ["transfer"]);
}

#[test]
fn the_scanner_sees_neither_comments_nor_literals_nor_tests() {
    let hidden = r##"
        // use crate::a;  /* unsafe */
        /* outer /* crate::b::x */ unsafe */
        const S: &str = "crate::c \" unsafe"; const R: &[u8] = br#"crate::d " unsafe"#;
        fn f<'a>(x: &'a str) -> char { if x.is_empty() { '"' } else { '\'' } }
        #[cfg(test)] mod tests { use crate::e; fn g() { unsafe {} } }
        #[cfg(all(test, unix))] #[path = "x.rs"] mod other;
        #[cfg(not(test))] use crate::kept;
    "##;
    let tokens = without_tests(&tokens(hidden));
    assert_eq!(crate_paths(&tokens, &[]), [["kept"]]);
    assert!(!tokens.iter().any(|token| token.is_word("unsafe")));
}

#[test]
fn the_scanner_knows_floats_from_integers() {
    for (number, float) in [("1.5", true), ("2f64", true), ("1e9", true), ("3_f32", true), ("0x1e9", false)] {
        assert_eq!(is_float(number), float, "{number}");
    }
    let numbers = |source: &str| tokens(source).iter().filter(|t| matches!(t, Token::Number(n) if is_float(n))).count();
    assert_eq!(numbers("0..10, 7usize, 0b11e, 1_000u64"), 0);
    assert_eq!(numbers("let x = 0.5 + 10.0f32;"), 2);
}
