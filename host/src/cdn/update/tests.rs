//! Folders that are renewed, and those that are not.

use std::fs;

use wirehaul_core::cdn_data::FILES;

use super::*;

fn embedded() -> Texts {
    let files = FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Texts::of(Path::new("facts"), files)
}

fn source(name: &str, text: &str) -> Source {
    Source { path: name.into(), text: text.to_owned(), place: None }
}

fn renewed(sources: &[Source]) -> Result<Renewed, UpdateError> {
    let embedded = embedded();
    renew(&embedded, &embedded, sources, Some(Date::new(2026, 11, 22)), false)
}

fn without_comments(text: &str) -> Vec<&str> {
    rows::rows(text).map(|(_, row)| row).collect()
}

/// CDN-1: what a provider published becomes its list, with publisher and date.
#[test]
fn a_list_is_replaced() {
    let embedded = embedded();
    let old = embedded.get("ranges/cloudflare.txt").unwrap();
    let more = format!("{old}192.0.2.0/24\n");
    let renewed = renewed(&[source("ips-v4", &more)]).unwrap();
    let [change] = &renewed.changes[..] else { panic!("{:?}", renewed.changes) };
    assert_eq!(
        (change.list.as_str(), change.added().v4.count(), change.removed().v4.count()),
        ("ranges/cloudflare.txt", 256, 0)
    );
    let text = &renewed.files["ranges/cloudflare.txt"];
    assert!(text.starts_with("# publisher: cloudflare.com/ips-v4, ips-v6\n# date: 2026-08-22\n"), "{text}");
    assert!(rows::is_published(text) && without_comments(text).contains(&"192.0.2.0/24"));
    // All else is as it was.
    for (name, text) in embedded.iter().filter(|(name, _)| *name != "ranges/cloudflare.txt") {
        assert_eq!(renewed.files[name], text, "{name}");
    }
}

#[test]
fn a_file_of_one_family_leaves_the_other() {
    let embedded = embedded();
    let rows = without_comments(embedded.get("ranges/fastly.txt").unwrap());
    let v4: Vec<_> = rows.iter().filter(|row| !row.contains(':')).copied().collect();
    let renewed = renewed(&[source("fastly-v4.txt", &v4.join("\n"))]).unwrap();
    assert_eq!(without_comments(&renewed.files["ranges/fastly.txt"]), rows);
    assert_eq!(renewed.changes[0].date, Some(Date::new(2026, 11, 22)));
    let v6: Vec<_> = rows.iter().filter(|row| row.contains(':')).copied().collect();
    let both = [source("fastly-v4.txt", &v4.join("\n")), source("fastly-v6.txt", &v6.join("\n"))];
    assert_eq!(self::renewed(&both).unwrap().changes[0].from.len(), 2);
}

/// CDN-1: an updater that refuses a list that shrank by more than a fifth or is empty.
#[test]
fn lists_that_lost_much_are_refused() {
    let base: String = (0..100).map(|third| format!("192.0.{third}.0/24\n")).collect();
    let lists = |text: &str| {
        let mut embedded = embedded();
        embedded = Texts::of(
            Path::new("facts"),
            embedded.iter().map(|(name, old)| {
                (name.to_owned(), if name == "ranges/keycdn.txt" { text.to_owned() } else { old.to_owned() })
            }),
        );
        embedded
    };
    let base = lists(&base);
    let try_with = |count: usize, may_shrink: bool| {
        let text: String = (0..count).map(|third| format!("192.0.{third}.0/24\n")).collect();
        renew(&base, &embedded(), &[source("keycdn.txt", &text)], None, may_shrink)
    };
    assert!(try_with(80, false).is_ok());
    let error = try_with(79, false).unwrap_err();
    assert!(matches!(error, UpdateError::Shrunk { before: 25_600, after: 20_224, .. }), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("keycdn.txt: ranges/keycdn.txt would shrink") && message.contains("--allow-shrink"));
    assert!(try_with(1, true).is_ok());
    assert!(matches!(try_with(0, true), Err(UpdateError::Format { error: FormatError::Empty(_), .. })));
}

/// What bad input gets: file and line.
#[test]
fn what_cannot_be_used_says_where() {
    let message = |sources: &[Source]| renewed(sources).unwrap_err().to_string();
    let nobody = message(&[source("in/nobody.txt", "192.0.2.0/24\n")]);
    assert!(nobody.starts_with("in/nobody.txt: there is no provider \"nobody\""), "{nobody}");
    let wrong = message(&[source("in/keycdn.txt", "192.0.2.0/24\n<html>\n")]);
    assert!(wrong.starts_with("in/keycdn.txt:2: \"<html>\" is no prefix"), "{wrong}");
    let embedded = embedded();
    let keycdn = embedded.get("ranges/keycdn.txt").unwrap();
    let overlap = message(&[source("in/keycdn.txt", &format!("{keycdn}104.16.0.0/24\n"))]);
    assert!(overlap.contains("has addresses that") && overlap.contains("(out of in/keycdn.txt)"), "{overlap}");
    let large = message(&[source("in/keycdn.txt", &format!("{keycdn}96.0.0.0/6\n"))]);
    assert!(large.contains("larger than any provider's") && large.contains("keycdn.txt:"), "{large}");
    let twice = message(&[
        source("a.json", r#"{"addresses": ["192.0.2.0/24"], "ipv6_addresses": []}"#),
        source("fastly.txt", "192.0.2.0/24\n"),
    ]);
    assert!(twice.contains("fastly.txt speaks of ranges/fastly.txt, of which a.json did already"), "{twice}");
}

#[test]
fn lists_of_what_is_no_edge_go_to_their_place() {
    let embedded = embedded();
    let text = embedded.get("ranges-neg/linode.txt").unwrap();
    let renewed = renewed(&[source("linode.txt", text)]).unwrap();
    assert_eq!(renewed.changes[0].list, "ranges-neg/linode.txt");
}

#[test]
fn a_folder_takes_the_place_of_another() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("facts");
    let files = |text: &str| BTreeMap::from([("ranges/a.txt".to_owned(), text.to_owned())]);
    store(&folder, &files("1")).unwrap();
    fs::write(folder.join("README.md"), "mine").unwrap();
    fs::write(folder.join("ranges/notes"), "mine, too").unwrap();
    fs::write(folder.join("ranges/b.txt"), "an old list").unwrap();
    fs::create_dir(folder.join("more")).unwrap();
    store(&folder, &files("2")).unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    assert_eq!(read("ranges/a.txt").as_deref(), Some("2"));
    assert_eq!((read("README.md").as_deref(), read("ranges/notes").as_deref()), (Some("mine"), Some("mine, too")));
    assert!(read("ranges/b.txt").is_none() && folder.join("more").is_dir());
    // Nothing is left beside it.
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn folders_of_others_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("letter.txt"), "dear").unwrap();
    let error = store(temp.path(), &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    assert_eq!(fs::read_to_string(temp.path().join("letter.txt")).unwrap(), "dear");
    let error = store(&temp.path().join("letter.txt/facts"), &BTreeMap::new()).unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
}
