//! `wirehaul cdn update`: a folder of facts, renewed from what providers publish (CDN-1).

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};
use wirehaul_core::cdn::prefix::Prefix;

use super::{OutputArgs, embedded, remark};
use crate::cdn::day::day_of_unix;
use crate::cdn::folder::Texts;
use crate::cdn::update::addresses::Addresses;
use crate::cdn::update::{self, Change, StoreError, UpdateError};
use crate::cli::args::CdnUpdateArgs;
use crate::cli::exit::Exit;
use crate::clock;

/// Why nothing was renewed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads, checks and writes, and says what has changed.
pub fn run(args: &CdnUpdateArgs, output: OutputArgs) -> Exit {
    let renewed = renew(args);
    let (changes, error) = match &renewed {
        Ok(changes) => (changes.as_slice(), None),
        Err(error) => (&[][..], Some(error.to_string())),
    };
    let exit = if error.is_some() { Exit::Failed } else { Exit::Done };
    // Whoever reads our output left: the facts are in place all the same.
    let _ = print(args, output, changes, error.as_deref(), exit, &mut io::stdout().lock());
    if let Some(error) = error {
        remark(&error);
    }
    exit
}

fn renew(args: &CdnUpdateArgs) -> Result<Vec<Change>, Error> {
    let embedded = embedded();
    let sources = update::read(&args.from)?;
    let old = if args.db.exists() { Texts::read(&args.db).map_err(UpdateError::Base)? } else { Texts::default() };
    let is_new = old.iter().next().is_none();
    // A new folder has all that is built in.
    let files = if is_new { &embedded } else { &old };
    let base = Texts::of(&args.db, files.iter().map(|(name, text)| (name.to_owned(), text.to_owned())));
    let renewed = update::renew(&base, &embedded, &sources, day_of_unix(clock::unix_seconds()), args.allow_shrink)?;
    update::store(&args.db, &renewed.files)?;
    Ok(renewed.changes)
}

fn print(
    args: &CdnUpdateArgs,
    output: OutputArgs,
    changes: &[Change],
    error: Option<&str>,
    exit: Exit,
    out: &mut impl Write,
) -> io::Result<()> {
    if output.json {
        for change in changes {
            writeln!(out, "{}", to_json(change))?;
        }
        let summary = json!({
            "type": "summary",
            "command": "cdn update",
            "db": args.db.display().to_string(),
            "lists": changes.len(),
            "changed": changes.iter().filter(|change| has_changed(change)).count(),
            "error": error,
            "exit_code": exit.code(),
        });
        writeln!(out, "{summary}")?;
    } else if !output.quiet && error.is_none() {
        for change in changes {
            writeln!(out, "{}", in_words(change))?;
        }
        writeln!(out, "{} is up to date: try `wirehaul cdn --db {0} 192.0.2.1`", args.db.display())?;
    }
    out.flush()
}

fn has_changed(change: &Change) -> bool {
    !change.added().is_empty() || !change.removed().is_empty()
}

/// How many there are, for people and for scripts: single addresses of IPv4, networks of length 64 of IPv6.
fn sizes(addresses: &Addresses) -> (u64, u64) {
    let networks = addresses.v6.count() >> 64;
    (addresses.v4.count(), u64::try_from(networks).unwrap_or(u64::MAX))
}

fn prefixes(addresses: &Addresses, is_v4: bool) -> usize {
    addresses.prefixes().filter(|prefix| matches!(prefix, Prefix::V4(_)) == is_v4).count()
}

fn in_words(change: &Change) -> String {
    let date = change.date.map_or_else(|| "-".to_owned(), |date| date.to_string());
    let ((added_v4, added_v6), (removed_v4, removed_v6)) = (sizes(&change.added()), sizes(&change.removed()));
    let ((v4, v6), list) = (sizes(&change.after), &change.list);
    let what = if change.before.is_none() {
        "new".to_owned()
    } else if has_changed(change) {
        format!("IPv4 +{added_v4} -{removed_v4}, IPv6 +{added_v6} -{removed_v6} /64s")
    } else {
        "as it was".to_owned()
    };
    format!("{list:<34} {date:<12} {v4} addresses and {v6} /64s; {what}")
}

fn to_json(change: &Change) -> Value {
    let (after, added, removed) = (sizes(&change.after), sizes(&change.added()), sizes(&change.removed()));
    let from: Vec<_> = change.from.iter().map(|path: &PathBuf| path.display().to_string()).collect();
    json!({
        "type": "list",
        "list": change.list,
        "from": from,
        "date": change.date.map(|date| date.to_string()),
        "new": change.before.is_none(),
        "v4": { "prefixes": prefixes(&change.after, true), "addresses": after.0, "added": added.0, "removed": removed.0 },
        "v6": { "prefixes": prefixes(&change.after, false), "networks_64": after.1, "added": added.1, "removed": removed.1 },
    })
}
