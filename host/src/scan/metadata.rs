//! What a scan was: a file of JSON beside its results, so that whoever finds them years later knows what was asked of whom, how, and
//! what of it was lost (SCAN-5).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::rotate::with_suffix;
use super::sink::{SinkError, rename};

/// Addresses, or a list that was given: a hash, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// BLAKE3, in hexadecimal.
    pub blake3: String,
    /// How many addresses.
    pub addresses: u128,
}

impl Digest {
    /// For scripts. Numbers beyond 64 bits, which many of them cannot read, are strings.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "blake3": self.blake3, "addresses": big(self.addresses) })
    }
}

/// An allow-list that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub digest: Digest,
    /// Whose addresses they are.
    pub owner: String,
    /// Who allows it, and how.
    pub authorisation: String,
    /// Until when.
    pub expires: String,
}

impl Allowed {
    /// For scripts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "blake3": self.digest.blake3,
            "addresses": big(self.digest.addresses),
            "owner": self.owner,
            "authorisation": self.authorisation,
            "expires": self.expires,
        })
    }
}

/// What is known before the first packet.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The scan.
    pub scan_id: String,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// Addresses to ask, what is excluded left out.
    pub targets: Digest,
    /// Addresses that are excluded.
    pub exclusions: Digest,
    /// Whether there are public addresses among those to ask.
    pub has_public: bool,
    /// The allow-lists.
    pub allowed: Vec<Allowed>,
    /// The ports as they were written.
    pub ports: String,
    /// A hash of the list of ports.
    pub ports_blake3: String,
    /// How many there are, the echo request counted as one.
    pub probes: u64,
    /// What the order is drawn by.
    pub seed: u64,
    /// Which part.
    pub shard: String,
    /// How often each is asked.
    pub attempts: u8,
    /// The cap over all, in words: `10000pps`.
    pub rate: String,
    /// The cap per subnet, in words.
    pub subnet_rate: String,
    /// Whom to write to.
    pub contact: Option<String>,
    /// Which lists of CDN edges; `None` where nobody looked.
    pub list_version: Option<String>,
    /// Whether edges are left out.
    pub skips_edges: bool,
    /// The format of the results.
    pub format: &'static str,
    /// When the scan began, in its first run.
    pub started_unix: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// The interface.
    pub iface: Option<String>,
    /// How packets travelled.
    pub transport: Option<String>,
    /// When this run ended.
    pub ended_unix: u64,
    /// All figures, by name, as in the summary.
    pub figures: Map<String, Value>,
    /// Whether every target was asked.
    pub is_complete: bool,
    /// The files of results that are complete.
    pub files: Vec<PathBuf>,
    /// The exit code.
    pub exit_code: u8,
    /// Why it is not complete, where it is not.
    pub error: Option<String>,
}

/// A number that scripts can read whatever they are written in: as a string beyond 64 bits.
#[must_use]
pub fn big(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| json!(number.to_string()), |number| json!(number))
}

/// The metadata's place beside the results: `NAME.meta.json`.
#[must_use]
pub fn path_for(output: &Path) -> PathBuf {
    with_suffix(output, ".meta.json")
}

/// All of it, as one object.
#[must_use]
pub fn to_json(asked: &Asked, came: &Came) -> Value {
    let allowed: Vec<_> = asked.allowed.iter().map(Allowed::to_json).collect();
    let files: Vec<_> = came.files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    json!({
        "type": "scan",
        "scan_id": asked.scan_id,
        "version": env!("CARGO_PKG_VERSION"),
        "command": asked.command,
        "targets": asked.targets.to_json(),
        "exclusions": asked.exclusions.to_json(),
        "allow_lists": allowed,
        "ports": { "text": asked.ports, "blake3": asked.ports_blake3, "probes": asked.probes },
        "seed": asked.seed,
        "shard": asked.shard,
        "attempts": asked.attempts,
        "rate": asked.rate,
        "subnet_rate": asked.subnet_rate,
        "contact": asked.contact,
        "list_version": asked.list_version,
        "skip_cdn": asked.skips_edges,
        "format": asked.format,
        "iface": came.iface,
        "transport": came.transport,
        "started_unix": asked.started_unix,
        "ended_unix": came.ended_unix,
        "results": came.figures,
        "completed": came.is_complete,
        "files": files,
        "exit_code": came.exit_code,
        "error": came.error,
    })
}

/// Writes it in place of what an earlier run left.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, metadata: &Value) -> Result<(), SinkError> {
    let new = with_suffix(path, ".new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(format!("{metadata:#}\n").as_bytes())?;
        file.sync_data()
    });
    if let Err(source) = written {
        // What there is of it is of no use.
        let _ = fs::remove_file(&new);
        return Err(SinkError::Io { action: "write", path: path.to_owned(), source });
    }
    rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_scripts_cannot_read_are_strings() {
        assert_eq!(big(u64::MAX.into()), json!(u64::MAX));
        assert_eq!(big(1 << 64), json!("18446744073709551616"));
    }

    /// SCAN-5: a metadata file with hashes and counts.
    #[test]
    fn it_is_written_whole_and_again() {
        let temp = tempfile::TempDir::new().unwrap();
        let path = path_for(&temp.path().join("out.jsonl"));
        assert!(path.ends_with("out.jsonl.meta.json"));
        let targets = Digest { blake3: "ab".to_owned(), addresses: 1 << 100 };
        let asked = Asked { scan_id: "s".to_owned(), targets, seed: u64::MAX, ..Asked::default() };
        write(&path, &to_json(&asked, &Came { exit_code: 5, ..Came::default() })).unwrap();
        write(&path, &to_json(&asked, &Came { is_complete: true, ..Came::default() })).unwrap();
        let read: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((&read["completed"], &read["exit_code"]), (&json!(true), &json!(0)));
        assert_eq!(read["targets"]["addresses"], json!((1_u128 << 100).to_string()));
        assert_eq!(read["seed"], json!(u64::MAX));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
