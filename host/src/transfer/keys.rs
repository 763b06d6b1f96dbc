//! The user's own key and the peers that the user trusts, as files in the config directory.
//!
//! | file | content |
//! |-|-|
//! | `key` | the private key as one line of text, mode 0600 |
//! | `known_peers` | one trusted peer a line, `NAME KEY`; `#` begins a comment; meant to be edited |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::text::{self, Unreadable};
use crate::crypto::{NoRandomness, PublicKey, StaticKey, random_bytes};

mod known_peers;

pub use known_peers::{KnownPeer, KnownPeers, KnownPeersError, NameError, check_name};

const SECRET_PREFIX: &str = "whs1";
/// Far more than a key file ever holds: what is longer is something else.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Why the user's key or peers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither XDG_CONFIG_HOME nor HOME says where the files are.
    #[error("cannot find the config directory: neither XDG_CONFIG_HOME nor HOME is set to an absolute path; set one")]
    NoConfigDir,
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The private key may be known to others.
    #[error(
        "refusing to use the key in {path}: its mode {mode:04o} lets other users at it; run `chmod 600 {path}`, \
         or `wirehaul key new --force` if someone may have copied it"
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file does not hold a key.
    #[error(
        "{path} does not hold a whole key; restore it from a backup, or make a new one with `wirehaul key new --force`"
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
    },
    /// There is a key already, which peers know.
    #[error("there is a key in {path} already, and peers that know it would no longer know you; --force replaces it")]
    Exists {
        /// The key file.
        path: PathBuf,
    },
    /// No key could be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The file of known peers has a mistake.
    #[error("{path}, line {}: {error}", .error.line())]
    KnownPeers {
        /// The file.
        path: PathBuf,
        /// The mistake and its line.
        error: KnownPeersError,
    },
    /// Another peer goes by this name.
    #[error("{path} already has another key for {name}; if it really changed, edit that line")]
    NameTaken {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// The name cannot stand in the file.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What [`KeyStore::trust`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The peer is new.
    Added,
    /// The same name and key were there already.
    Already,
}

/// The directory with the user's key and known peers.
#[derive(Clone, Debug)]
pub struct KeyStore {
    dir: PathBuf,
}

impl KeyStore {
    /// The user's own: `$XDG_CONFIG_HOME/wirehaul`, or `~/.config/wirehaul`.
    ///
    /// # Errors
    /// [`KeyError::NoConfigDir`] where the environment names neither.
    pub fn of_user() -> Result<Self, KeyError> {
        // The XDG Base Directory Specification has relative paths ignored.
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .ok_or(KeyError::NoConfigDir)?;
        Ok(Self::at(config.join("wirehaul")))
    }

    /// The files in `dir`, which need not be there yet.
    #[must_use]
    pub const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the private key is.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// Where the known peers are.
    #[must_use]
    pub fn known_peers_path(&self) -> PathBuf {
        self.dir.join("known_peers")
    }

    /// The user's key, made now if there is none.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn load_or_create_key(&self) -> Result<StaticKey, KeyError> {
        if let Some(key) = self.load_key()? {
            return Ok(key);
        }
        match self.create_key(false) {
            // Another process was faster.
            Err(KeyError::Exists { path }) => self.load_key()?.ok_or(KeyError::Damaged { path }),
            created => created,
        }
    }

    /// The user's key; `None` where there is none.
    ///
    /// # Errors
    /// See [`KeyError`]; [`KeyError::Exposed`] for a file that others can read or write.
    pub fn load_key(&self) -> Result<Option<StaticKey>, KeyError> {
        let path = self.key_path();
        let read = failed("read", &path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(read(source)),
        };
        refuse_exposed(&file.metadata().map_err(failed("read", &path))?, &path)?;
        let mut content = Zeroizing::new(String::with_capacity(MAX_KEY_FILE_BYTES as usize));
        match file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut content) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyError::Damaged { path }),
            Err(source) => return Err(read(source)),
        }
        decode_secret(content.trim()).map(Some).ok_or(KeyError::Damaged { path })
    }

    /// Makes a new key and stores it, whole or not at all.
    ///
    /// # Errors
    /// See [`KeyError`]; [`KeyError::Exists`] where there is one and it is not to be replaced.
    pub fn create_key(&self, replace: bool) -> Result<StaticKey, KeyError> {
        let path = self.key_path();
        if !replace && path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists { path });
        }
        create_private_dir(&self.dir).map_err(failed("create", &self.dir))?;
        let key = StaticKey::generate()?;
        let line = Zeroizing::new(text::encode(SECRET_PREFIX, key.secret()) + "\n");

        let draft = self.dir.join(format!(".key.{:016x}", u64::from_be_bytes(random_bytes()?)));
        let stored = write_private(&draft, line.as_bytes()).and_then(|()| put_in_place(&draft, &path, replace));
        // Gone already where it was renamed; not to be left behind where anything failed.
        let _ = fs::remove_file(&draft);
        match stored {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyError::Exists { path }),
            Err(source) => Err(failed("write", &path)(source)),
        }
    }

    /// The peers that the user trusts; none where there is no file.
    ///
    /// # Errors
    /// See [`KeyError`]; a mistake is reported with its line.
    pub fn load_known_peers(&self) -> Result<KnownPeers, KeyError> {
        let path = self.known_peers_path();
        match fs::read_to_string(&path) {
            Ok(content) => KnownPeers::parse(&content).map_err(|error| KeyError::KnownPeers { path, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KnownPeers::default()),
            Err(source) => Err(failed("read", &path)(source)),
        }
    }

    /// Adds a peer to those that the user trusts.
    ///
    /// # Errors
    /// See [`KeyError`]; [`KeyError::NameTaken`] where the name stands for another key.
    pub fn trust(&self, name: &str, key: PublicKey) -> Result<Trusted, KeyError> {
        check_name(name)?;
        let path = self.known_peers_path();
        match self.load_known_peers()?.by_name(name) {
            Some(peer) if peer.key == key => return Ok(Trusted::Already),
            Some(_) => return Err(KeyError::NameTaken { path, name: name.to_owned() }),
            None => {}
        }
        create_private_dir(&self.dir).map_err(failed("create", &self.dir))?;
        append_line(&path, &format!("{name} {key}\n")).map_err(failed("write", &path))?;
        Ok(Trusted::Added)
    }
}

/// What an I/O error on `path` becomes.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}

fn decode_secret(text: &str) -> Option<StaticKey> {
    let value: Result<_, Unreadable> = text::decode(SECRET_PREFIX, text);
    let value = value.ok()?;
    value.as_slice().try_into().ok().map(StaticKey::from_secret)
}

#[cfg(unix)]
fn refuse_exposed(metadata: &fs::Metadata, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Exposed { path: path.to_owned(), mode }) }
}

/// Elsewhere a user's config directory is private by the system's own rules.
#[cfg(not(unix))]
fn refuse_exposed(_: &fs::Metadata, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes a new file that only its owner can read, down to the disk.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Gives the draft its name; without `replace`, fails with `AlreadyExists` where the name is taken.
fn put_in_place(draft: &Path, path: &Path, replace: bool) -> io::Result<()> {
    if replace {
        fs::rename(draft, path)?;
    } else {
        // Unlike a rename, a link never replaces; the draft's own name goes afterwards.
        fs::hard_link(draft, path)?;
    }
    sync_parent(path)
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Adds a line at the end, on a line of its own even where the last one lacks its end.
fn append_line(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut content = String::new();
    file.read_to_string(&mut content)?;
    let separator = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
    // One write, so that two processes do not mix their lines.
    file.write_all(format!("{separator}{line}").as_bytes())?;
    file.sync_all()
}

#[cfg(all(test, unix))]
mod tests;
