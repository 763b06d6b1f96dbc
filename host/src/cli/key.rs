//! `wirehaul key`: this host's key, and whom it trusts.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args::{KeyArgs, KeyCommand, OutputArgs};
use super::exit::Exit;
use crate::crypto::PublicKey;
use crate::transfer::keys::{KeyError, KeyStore, Trusted};

/// Carries out `wirehaul key` on the user's own keys.
///
/// What was asked for goes to `out`, remarks and errors go to `remarks`.
pub fn run(args: &KeyArgs, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> Exit {
    match KeyStore::of_user() {
        Ok(store) => run_on(&store, args, output, out, remarks),
        Err(error) => fail(&error, remarks),
    }
}

/// The same on the keys in `store`.
pub fn run_on(
    store: &KeyStore,
    args: &KeyArgs,
    output: OutputArgs,
    out: &mut impl Write,
    remarks: &mut impl Write,
) -> Exit {
    let answer = match &args.command {
        KeyCommand::Show => show(store),
        KeyCommand::New { force } => new(store, *force),
        KeyCommand::Trust { name, key } => trust(store, name, *key),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return fail(&error, remarks),
    };
    let printed = answer.print(output, out, remarks);
    Exit::Done.once_printed(printed, "the answer", remarks)
}

/// What a command has to say, for people and for scripts.
struct Answer {
    /// For stdout; empty where only the exit code answers.
    text: String,
    /// For stderr, unless `-q`.
    remark: Option<String>,
    /// For stdout with `--json`.
    summary: Value,
}

impl Answer {
    fn print(&self, output: OutputArgs, out: &mut impl Write, remarks: &mut impl Write) -> io::Result<()> {
        if output.json {
            writeln!(out, "{}", self.summary)?;
        } else if !self.text.is_empty() {
            writeln!(out, "{}", self.text)?;
        }
        if let Some(remark) = self.remark.as_ref().filter(|_| !output.quiet) {
            writeln!(remarks, "{remark}")?;
        }
        out.flush()
    }
}

fn show(store: &KeyStore) -> Result<Answer, KeyError> {
    let existed = store.load_key()?.is_some();
    let key = store.load_or_create_key()?.public();
    Ok(Answer {
        text: key.to_string(),
        remark: (!existed).then(|| made(store)),
        summary: key_summary(store, key, !existed),
    })
}

fn new(store: &KeyStore, force: bool) -> Result<Answer, KeyError> {
    let key = store.create_key(force)?.public();
    Ok(Answer { text: key.to_string(), remark: Some(made(store)), summary: key_summary(store, key, true) })
}

fn trust(store: &KeyStore, name: &str, key: PublicKey) -> Result<Answer, KeyError> {
    let path = store.known_peers_path();
    let added = store.trust(name, key)? == Trusted::Added;
    let verb = if added { "is now trusted" } else { "was trusted already" };
    Ok(Answer {
        text: String::new(),
        remark: Some(format!("{name} {verb}; the list is {}", path.display())),
        summary: json!({
            "type": "summary", "name": name, "key": key.to_string(), "added": added,
            "known_peers": path.to_string_lossy(),
        }),
    })
}

fn made(store: &KeyStore) -> String {
    format!("made a new key in {}", store.key_path().display())
}

fn key_summary(store: &KeyStore, key: PublicKey, created: bool) -> Value {
    json!({
        "type": "summary", "key": key.to_string(), "created": created, "path": store.key_path().to_string_lossy(),
    })
}

fn fail(error: &KeyError, remarks: &mut impl Write) -> Exit {
    // There is nowhere left to say it if this fails.
    let _ = writeln!(remarks, "wirehaul: {error}");
    exit_of(error)
}

/// The exit code for trouble with keys, in every command that needs them.
#[must_use]
pub const fn exit_of(error: &KeyError) -> Exit {
    match error {
        KeyError::Exposed { .. } | KeyError::Exists { .. } | KeyError::NameTaken { .. } => Exit::Refused,
        KeyError::Name(_) => Exit::Usage,
        KeyError::NoConfigDir
        | KeyError::Io { .. }
        | KeyError::Damaged { .. }
        | KeyError::NoRandomness(_)
        | KeyError::KnownPeers { .. } => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Desk {
        _dir: tempfile::TempDir,
        store: KeyStore,
    }

    impl Desk {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = KeyStore::at(dir.path().join("wirehaul"));
            Self { _dir: dir, store }
        }

        /// Exit code, stdout and stderr.
        fn run(&self, command: KeyCommand, output: OutputArgs) -> (Exit, String, String) {
            let (mut out, mut remarks) = (Vec::new(), Vec::new());
            let exit = run_on(&self.store, &KeyArgs { command }, output, &mut out, &mut remarks);
            (exit, String::from_utf8(out).unwrap(), String::from_utf8(remarks).unwrap())
        }
    }

    const PLAIN: OutputArgs = OutputArgs { json: false, quiet: false, verbose: 0, tui: false };
    const JSON: OutputArgs = OutputArgs { json: true, quiet: true, verbose: 0, tui: false };

    #[test]
    fn show_prints_the_key_alone_and_says_once_that_it_was_made() {
        let desk = Desk::new();
        let (exit, out, remarks) = desk.run(KeyCommand::Show, PLAIN);
        assert_eq!(exit, Exit::Done);
        assert!(remarks.contains("made a new key"));
        let key: PublicKey = out.trim_end().parse().unwrap();
        assert_eq!(desk.run(KeyCommand::Show, PLAIN), (Exit::Done, format!("{key}\n"), String::new()));
    }

    #[test]
    fn json_ends_with_a_summary() {
        let desk = Desk::new();
        let (exit, out, remarks) = desk.run(KeyCommand::Show, JSON);
        let summary: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((exit, remarks.as_str(), &summary["type"]), (Exit::Done, "", &json!("summary")));
        assert!(summary["key"].as_str().unwrap().parse::<PublicKey>().is_ok());
        assert_eq!(summary["created"], json!(true));
    }

    #[test]
    fn new_keeps_a_key_unless_forced() {
        let desk = Desk::new();
        let (_, first, _) = desk.run(KeyCommand::New { force: false }, PLAIN);
        let (exit, out, remarks) = desk.run(KeyCommand::New { force: false }, PLAIN);
        assert_eq!((exit, out.as_str()), (Exit::Refused, ""));
        assert!(remarks.starts_with("wirehaul: ") && remarks.contains("--force") && remarks.lines().count() == 1);
        let (exit, second, _) = desk.run(KeyCommand::New { force: true }, PLAIN);
        assert_eq!(exit, Exit::Done);
        assert_ne!(first, second);
    }

    #[test]
    fn trust_adds_once_and_refuses_another_key_of_that_name() {
        let desk = Desk::new();
        let trust =
            |name: &str, byte| KeyCommand::Trust { name: name.to_owned(), key: PublicKey::from_bytes([byte; 32]) };
        let (exit, out, remarks) = desk.run(trust("alpha", 1), PLAIN);
        assert_eq!((exit, out.as_str()), (Exit::Done, ""));
        assert!(remarks.contains("alpha is now trusted"));
        let (_, out, _) = desk.run(trust("alpha", 1), JSON);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["added"], json!(false));
        assert_eq!(desk.run(trust("alpha", 2), PLAIN).0, Exit::Refused);
        assert_eq!(desk.run(trust("al#pha", 2), PLAIN).0, Exit::Usage);
        assert_eq!(desk.store.load_known_peers().unwrap().iter().count(), 1);
    }

    /// A reader that went away, or a full disk behind a redirection.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_a_failure_but_a_reader_that_left_is_not() {
        let desk = Desk::new();
        for (kind, expected) in [(io::ErrorKind::BrokenPipe, Exit::Done), (io::ErrorKind::StorageFull, Exit::Failed)] {
            let args = KeyArgs { command: KeyCommand::Show };
            let exit = run_on(&desk.store, &args, PLAIN, &mut Broken(kind), &mut Vec::new());
            assert_eq!(exit, expected);
        }
    }
}
