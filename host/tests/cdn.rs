//! `wirehaul cdn` and `wirehaul cdn update` as users see them, offline (CDN-1, CDN-6, OPS-4).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a test waits for real processes, and so reads the clock")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use wirehaul_core::cdn_data::FILES;

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "common/process.rs"]
mod process;

use process::{Finished, Process};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehaul"));
    command.arg("cdn").args(arguments);
    command
}

fn cdn(arguments: &[&str]) -> Finished {
    Process::spawn(command(arguments)).wait()
}

/// The same with a file of these lines.
fn cdn_of_lines(lines: &str, arguments: &[&str]) -> Finished {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("items");
    fs::write(&file, lines).unwrap();
    cdn(&[&["-f", file.to_str().unwrap()], arguments].concat())
}

fn rows(finished: &Finished) -> Vec<Value> {
    let rows = finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["type"] != "summary").collect()
}

fn fixture() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/GeoLite2-ASN-Test.mmdb").to_str().unwrap().to_owned()
}

/// A folder with the facts that are built in, changed.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        for (name, text) in FILES {
            let path = temp.path().join("facts").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(temp)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("facts")
    }

    fn name(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    fn beside(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        let old = fs::read_to_string(&path).unwrap();
        fs::write(path, old + text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

// --- rows ---

/// CDN-6: each kind of item, and what scripts read of it.
#[test]
fn each_kind_of_item_has_a_row() {
    let items =
        ["104.16.0.1", "2606:4700::1", "[2606:4700::1]:443", "https://151.101.1.1/", "192.0.2.0/31", "192.0.2.9:80"];
    let finished = cdn(&[&["--json"], &items[..]].concat()).expect(0);
    let rows = rows(&finished);
    let expected = [
        ("104.16.0.1", "104.16.0.1", Some("cloudflare")),
        ("2606:4700::1", "2606:4700::1", Some("cloudflare")),
        ("[2606:4700::1]:443", "2606:4700::1", Some("cloudflare")),
        ("https://151.101.1.1/", "151.101.1.1", Some("fastly")),
        ("192.0.2.0/31", "192.0.2.0", None),
        ("192.0.2.0/31", "192.0.2.1", None),
        ("192.0.2.9:80", "192.0.2.9", None),
    ];
    assert_eq!(rows.len(), expected.len(), "{}", finished.output());
    let keys: BTreeSet<_> = [
        "input",
        "ip",
        "provider",
        "provider_name",
        "kind",
        "posterior",
        "seed_score",
        "seed_verdict",
        "asn",
        "evidence",
        "ms",
    ]
    .into();
    for (row, (input, ip, provider)) in rows.iter().zip(expected) {
        assert_eq!((row["input"].as_str(), row["ip"].as_str()), (Some(input), Some(ip)));
        assert_eq!(row["provider"].as_str(), provider, "{row}");
        assert_eq!(row.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);
        assert_eq!(row["posterior"].as_f64().unwrap() > 0.5, provider.is_some());
        check_evidence(row);
    }
    let summary = finished.summary();
    assert_eq!((&summary["inputs"], &summary["rows"], &summary["errors"]), (&6.into(), &7.into(), &0.into()));
    assert_eq!((&summary["detected"], &summary["exit_code"]), (&4.into(), &0.into()));
    assert_eq!((&summary["providers"]["cloudflare"], &summary["providers"]["fastly"]), (&3.into(), &1.into()));
    assert!(summary["seconds"].is_number() && finished.stderr.is_empty());
}

/// CDN-2: each signal is there, with what it says, or why it was not looked at.
#[track_caller]
fn check_evidence(row: &Value) {
    let evidence = row["evidence"].as_array().unwrap();
    let signals: BTreeSet<_> = evidence.iter().map(|entry| entry["signal"].as_str().unwrap()).collect();
    assert!(["asn", "prefix", "dns", "http", "tls"].iter().all(|signal| signals.contains(signal)), "{row}");
    for entry in evidence {
        let is_fact = entry.get("llr").is_some();
        assert_eq!(is_fact, entry["source"].is_string(), "{entry}");
        assert!(!entry["value"].as_str().unwrap().is_empty());
        if is_fact {
            assert!(
                entry["llr"].is_number() && entry["date"].is_string() && entry.get("provider").is_some(),
                "{entry}"
            );
        }
        if ["dns", "http", "tls"].contains(&entry["signal"].as_str().unwrap()) {
            assert_eq!(entry["value"], "not tried: off");
        }
    }
}

/// What bad input gets: a row for that line, the stream goes on, exit 1 at the end.
#[test]
fn lines_that_are_no_item_have_a_row_and_the_rest_goes_on() {
    let lines =
        "104.16.0.1\n\n# a remark\nnot a name\n999.1.1.1\nftp://x.example/\n192.0.2.0/40\n\u{e9}.example\n151.101.1.1";
    let finished = cdn_of_lines(lines, &["--json"]).expect(1);
    let rows = rows(&finished);
    let inputs: Vec<_> = rows.iter().map(|row| row["input"].as_str().unwrap()).collect();
    let expected =
        ["104.16.0.1", "not a name", "999.1.1.1", "ftp://x.example/", "192.0.2.0/40", "\u{e9}.example", "151.101.1.1"];
    assert_eq!(inputs, expected);
    let errors: Vec<_> = rows.iter().filter_map(|row| row["error"].as_str()).collect();
    assert_eq!(errors.len(), 5, "{}", finished.output());
    assert!(errors.iter().any(|error| error.contains("punycode")), "{errors:?}");
    assert_eq!((&finished.summary()["errors"], &finished.summary()["exit_code"]), (&5.into(), &1.into()));
    let text = cdn_of_lines(lines, &[]).expect(1);
    assert_eq!(text.stdout.lines().count(), 7);
    assert_eq!(text.one_line(), "2 of 7 rows are edges (fastly 1, cloudflare 1); 5 could not be read");
    assert!(cdn_of_lines(lines, &["-q"]).expect(1).stderr.is_empty());
}

#[test]
fn people_see_columns_and_with_explain_the_evidence() {
    let plain = cdn(&["104.16.0.1"]).expect(0);
    let words: Vec<_> = plain.stdout.split_whitespace().collect();
    assert_eq!(words, ["104.16.0.1", "Cloudflare", "cdn", "0.9999", "AS13335", "asn+prefix"]);
    assert!(plain.stderr.is_empty(), "{}", plain.output());
    let explained = cdn(&["--explain", "104.16.0.1"]).expect(0);
    for expected in
        ["+15.00 cloudflare", "104.16.0.0/13", "cloudflare.com/ips-v4", "2026-", "not tried: off", "seed score 0.7"]
    {
        assert!(explained.stdout.contains(expected), "{expected}: {}", explained.output());
    }
}

/// CDN-6: standard input of any length, row by row as lines come; an interrupt ends it with what there is.
#[test]
fn standard_input_streams_and_can_be_interrupted() {
    let mut child =
        command(&["--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for ip in ["104.16.0.1", "192.0.2.1", "151.101.1.1"] {
        writeln!(input, "{ip}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("{{\"input\":\"{ip}\"")), "{line}");
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{rest}");
    let summary: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["rows"], &summary["exit_code"]), (&3.into(), &5.into()));
}

#[test]
fn a_reader_that_left_is_no_reason_to_complain() {
    let mut child = command(&["10.0.0.0/8"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let finished = child.wait_with_output().unwrap();
    assert_eq!((finished.status.code(), finished.stderr.len()), (Some(0), 0), "{finished:?}");
}

#[test]
fn prefixes_in_parts() {
    let finished = cdn(&["--json", "--ranges", "104.16.0.0/12", "2606:4700::/32"]).expect(0);
    let rows = rows(&finished);
    assert!(
        rows.iter().all(|row| row["ip"].as_str().unwrap().contains('/')) && rows.len() > 2,
        "{}",
        finished.output()
    );
    let refused = cdn(&["0.0.0.0/0"]).expect(1);
    assert!(refused.stdout.contains("--ranges"), "{}", refused.output());
}

/// Names go to the name server that was named; where nobody answers the row says so, and comes at its place.
#[test]
fn names_that_nobody_answers_for() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = silent.local_addr().unwrap().to_string();
    let finished = cdn(&["--json", "--resolver", &resolver, "104.16.0.1", "www.example.com", "151.101.1.1"]).expect(0);
    let rows = rows(&finished);
    let inputs: Vec<_> = rows.iter().map(|row| row["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, ["104.16.0.1", "www.example.com", "151.101.1.1"]);
    let values: Vec<_> =
        rows[1]["evidence"].as_array().unwrap().iter().map(|entry| entry["value"].as_str().unwrap()).collect();
    assert!(rows[1]["ip"].is_null() && values.contains(&"not tried: timeout"), "{}", rows[1]);
    let off = cdn(&["--probe", "none", "www.example.com"]).expect(0);
    assert!(off.stdout.contains("no address: off"), "{}", off.output());
}

#[test]
fn usage_is_checked_before_anything_is_done() {
    for arguments in [
        &["--threshold", "1", "192.0.2.1"][..],
        &["--prior", "0", "192.0.2.1"],
        &["--probe", "none,dns", "192.0.2.1"],
        &["--probe", "icmp", "192.0.2.1"],
        &["--resolver", "dns.example", "192.0.2.1"],
        &["--timeout", "0ms", "192.0.2.1"],
        &["--concurrency", "0", "192.0.2.1"],
        &["update", "--db", "facts"],
    ] {
        let refused = cdn(arguments).expect(2);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("--help"), "{}", refused.output());
    }
    let missing = cdn(&["-f", "no/such/file"]).expect(1);
    assert!(missing.one_line().starts_with("cannot read no/such/file: "));
    let folder = cdn(&["-f", "."]).expect(1);
    assert!(folder.one_line().starts_with("cannot read .: "), "{}", folder.output());
}

// --- facts ---

#[test]
fn networks_from_a_file() {
    let finished = cdn(&["--json", "--asn-db", &fixture(), "1.128.0.1", "104.16.0.1"]).expect(0);
    let rows = rows(&finished);
    assert_eq!((&rows[0]["asn"], &rows[0]["evidence"][0]["value"]), (&1221.into(), &"AS1221".into()));
    let temp = TempDir::new().unwrap();
    let whole = fs::read(fixture()).unwrap();
    let broken = temp.path().join("broken.mmdb");
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let refused = cdn(&["--asn-db", broken.to_str().unwrap(), "192.0.2.1"]).expect(1);
    let line = refused.one_line();
    assert!(line.contains("broken.mmdb is no MMDB file") && refused.stdout.is_empty(), "{line}");
    let at = whole.windows(24).position(|window| window == b"autonomous_system_number").unwrap();
    let mut changed = whole;
    changed[at..at + 24].copy_from_slice(b"autonomous_system_colour");
    fs::write(&broken, &changed).unwrap();
    let refused = cdn(&["--json", "--asn-db", broken.to_str().unwrap(), "192.0.2.1"]).expect(1);
    assert!(refused.one_line().contains("give one like GeoLite2-ASN"), "{}", refused.output());
    assert!(refused.summary()["error"].as_str().unwrap().contains("broken.mmdb"));
}

/// CDN-1: facts are replaceable at run time; what belongs to no folder of facts is left alone.
#[test]
fn facts_from_a_folder() {
    let folder = Folder::new();
    folder.append("ranges/keycdn.txt", "192.0.2.0/24\n");
    fs::write(folder.path().join("README.md"), "about it").unwrap();
    fs::write(folder.path().join("ranges/.hidden.txt"), "nonsense").unwrap();
    // An older folder has lists only.
    for name in ["facts/providers.tsv", "facts/anti.tsv"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    fs::remove_dir_all(folder.path().join("ranges-asn")).unwrap();
    let finished = cdn(&["--json", "--db", &folder.name(), "192.0.2.1", "104.16.0.1"]).expect(0);
    let rows = rows(&finished);
    assert_eq!((&rows[0]["provider"], &rows[1]["provider"]), (&"keycdn".into(), &"cloudflare".into()));
    assert_eq!(rows[1]["asn"], 13335);
}

/// What bad input gets: refused, with file and line.
#[test]
fn folders_that_are_broken_are_refused() {
    for (name, text, line, expected) in [
        ("ranges/nobody.txt", "192.0.2.0/24\n", None, "there is no provider \"nobody\""),
        ("ranges/keycdn.txt", "192.0.2.0/24\n104.16.0.0/24\n", Some(2), "has addresses that"),
        ("ranges/keycdn.txt", "# nothing\n", None, "has no prefixes"),
        ("ranges/keycdn.txt", "192.0.2.0/24\n<html>\n", Some(2), "no IPv4 or IPv6 address"),
        ("facts/suffixes.tsv", "nobody\tcname\tx.example\t-\t-\n", Some(1), "there is no provider"),
    ] {
        let folder = Folder::new();
        fs::write(folder.path().join(name), text).unwrap();
        let refused = cdn(&["--db", &folder.name(), "192.0.2.1"]).expect(1);
        let said = refused.one_line();
        let is_placed =
            line.is_none_or(|line| said.contains(&format!("{name}:{line}: ")) || said.contains("cloudflare.txt:"));
        assert!(said.contains(expected) && is_placed && refused.stdout.is_empty(), "{said}");
    }
    let refused = cdn(&["--db", "no/such/folder", "192.0.2.1"]).expect(1);
    assert!(refused.one_line().contains("no/such/folder"), "{}", refused.output());
}

// --- update ---

fn fastly(prefixes: &str) -> String {
    format!(r#"{{"addresses": [{prefixes}], "ipv6_addresses": ["2a04:4e40::/32", "2a04:4e42::/32"]}}"#)
}

/// The prefixes of Fastly's that are built in, as Fastly publishes them, and one more.
fn fastly_and_more() -> String {
    let text = FILES.iter().find(|(name, _)| *name == "ranges/fastly.txt").unwrap().1;
    let old = text.lines().filter(|line| !line.starts_with('#') && !line.contains(':'));
    let quoted: Vec<_> = old.chain(["192.0.2.0/24"]).map(|prefix| format!("\"{prefix}\"")).collect();
    fastly(&quoted.join(", "))
}

#[test]
fn a_new_folder_out_of_what_a_provider_published() {
    let temp = TempDir::new().unwrap();
    let (from, db) = (temp.path().join("public-ip-list.json"), temp.path().join("new/facts"));
    let (from, db) = (from.to_str().unwrap(), db.to_str().unwrap());
    fs::write(from, fastly_and_more()).unwrap();
    assert!(!cdn(&["192.0.2.1"]).expect(0).stdout.contains("Fastly"));
    let made = cdn(&["update", "--from", from, "--db", db]).expect(0);
    assert!(made.stdout.contains("ranges/fastly.txt") && made.stdout.contains("IPv4 +256 -0"), "{}", made.output());
    let found = cdn(&["--json", "--db", db, "192.0.2.1", "104.16.0.1"]).expect(0);
    let rows = rows(&found);
    assert_eq!((&rows[0]["provider"], &rows[1]["provider"]), (&"fastly".into(), &"cloudflare".into()));
    let source = rows[0]["evidence"].as_array().unwrap().iter().find(|entry| entry["signal"] == "prefix").unwrap();
    assert_eq!(source["source"], "api.fastly.com/public-ip-list");
    // The same once more changes nothing.
    let again = cdn(&["update", "--json", "--from", from, "--db", db]).expect(0);
    assert_eq!((&again.summary()["lists"], &again.summary()["changed"]), (&1.into(), &0.into()), "{}", again.output());
    assert_eq!(again.events("list")[0]["v4"]["added"], 0);
    assert_eq!(fs::read_dir(temp.path().join("new")).unwrap().count(), 1, "something was left beside it");
}

/// CDN-1: a list that shrank by more than a fifth is refused, and the old facts stay.
#[test]
fn lists_that_shrank_are_refused_unless_that_is_wanted() {
    let folder = Folder::new();
    fs::write(folder.path().join("NOTES"), "mine").unwrap();
    let before = folder.read("ranges/fastly.txt");
    let few = folder.beside("fastly.json", &fastly("\"151.101.0.0/16\""));
    let refused = cdn(&["update", "--json", "--from", &few, "--db", &folder.name()]).expect(1);
    let line = refused.one_line();
    assert!(line.contains("fastly.json: ranges/fastly.txt would shrink") && line.contains("--allow-shrink"), "{line}");
    assert_eq!(refused.summary()["exit_code"], 1);
    assert_eq!(folder.read("ranges/fastly.txt"), before);
    cdn(&["update", "--allow-shrink", "--from", &few, "--db", &folder.name()]).expect(0);
    assert!(folder.read("ranges/fastly.txt").contains("151.101.0.0/16\n"));
    assert_eq!(folder.read("NOTES"), "mine");
}

#[test]
fn what_cannot_be_renewed_says_where_and_changes_nothing() {
    let folder = Folder::new();
    let before = folder.read("ranges/keycdn.txt");
    for (name, text, expected) in [
        ("nobody.txt", "192.0.2.0/24\n", "there is no provider \"nobody\""),
        ("keycdn.txt", "192.0.2.0/24\nx\n", "keycdn.txt:2: \"x\" is no prefix"),
        ("keycdn.txt", "# moved\n", "has no prefixes of keycdn"),
        ("keycdn.txt", &format!("{before}104.16.0.0/24\n"), "has addresses that"),
        ("page.json", "{\"a\": 1}", "JSON of no known format"),
        ("page.json", "{\"prefixes\": [", "page.json:1: is not JSON"),
        ("goog.json", "{\"prefixes\": [{\"ipv4Prefix\": \"8.8.4.0/24\"}]}", "cloud.json, not goog.json"),
    ] {
        let from = folder.beside(name, text);
        let refused = cdn(&["update", "--from", &from, "--db", &folder.name()]).expect(1);
        let line = refused.one_line();
        assert!(line.contains(expected) && line.contains(name) && refused.stdout.is_empty(), "{line}");
        assert_eq!(folder.read("ranges/keycdn.txt"), before);
    }
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("letter"), "dear").unwrap();
    let from = folder.beside("keycdn.txt", &before);
    let refused = cdn(&["update", "--from", &from, "--db", home.path().to_str().unwrap()]).expect(1);
    assert!(refused.one_line().contains("is no folder of facts"), "{}", refused.output());
    assert!(home.path().join("letter").exists());
}

/// A folder of facts is a source, too: that of another machine, or an older one.
#[test]
fn a_folder_of_facts_renews_another() {
    let (old, new) = (Folder::new(), Folder::new());
    new.append("ranges/keycdn.txt", "192.0.2.0/24\n");
    let done = cdn(&["update", "--from", &new.name(), "--db", &old.name(), "--json"]).expect(0);
    assert_eq!(done.summary()["changed"], 1, "{}", done.output());
    assert_eq!(old.read("ranges/keycdn.txt"), new.read("ranges/keycdn.txt"));
}
